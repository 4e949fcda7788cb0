//! The keys of `metrics`: how series are exposed.

use super::fields::Fields;
use crate::model::exposition::Exposition;
use crate::model::metric::NameSet;

/// Reads the keys.
pub(super) fn exposition(mut fields: Fields<'_>) -> Exposition {
    let default = Exposition::default();
    let mut flag = |key, default| {
        let is_there = fields.has(key);
        // Also read where it is not there, so that the key is known.
        let value = fields.flag(key);
        if is_there { value } else { default }
    };
    let (created, classic_histograms) =
        (flag("created", default.created), flag("classic_histograms", default.classic_histograms));
    let names = fields.parsed("names", names).unwrap_or_default();
    let exposition = Exposition { names, created, classic_histograms };
    fields.finish();
    exposition
}

fn names(text: &str) -> Result<NameSet, &'static str> {
    match text {
        "prometheus" => Ok(NameSet::Prometheus),
        "expvarreceiver" => Ok(NameSet::ExpvarReceiver),
        _ => Err("must be prometheus or expvarreceiver"),
    }
}
