//! The keys of `metrics`: how series are exposed.

use super::fields::Fields;
use crate::model::exposition::Exposition;

/// Reads the keys.
pub(super) fn exposition(mut fields: Fields<'_>) -> Exposition {
    let default = Exposition::default();
    let mut flag = |key, default| {
        let is_there = fields.has(key);
        // Also read where it is not there, so that the key is known.
        let value = fields.flag(key);
        if is_there { value } else { default }
    };
    let exposition = Exposition {
        created: flag("created", default.created),
        classic_histograms: flag("classic_histograms", default.classic_histograms),
    };
    fields.finish();
    exposition
}
