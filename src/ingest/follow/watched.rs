//! Which slots a watch is of.

use std::collections::HashMap;

/// Slots by watch. Several paths may lead to one file, and a folder has many.
#[derive(Debug, Default)]
pub(super) struct Watched(HashMap<i32, Vec<usize>>);

impl Watched {
    pub(super) fn of(&self, watch: i32) -> &[usize] {
        self.0.get(&watch).map_or(&[], Vec::as_slice)
    }

    /// The slot has another watch than before.
    pub(super) fn changed(&mut self, slot: usize, from: Option<i32>, to: Option<i32>) {
        if from == to {
            return;
        }
        if let Some(from) = from {
            self.leave(slot, from);
        }
        if let Some(to) = to {
            self.0.entry(to).or_default().push(slot);
        }
    }

    fn leave(&mut self, slot: usize, watch: i32) {
        let Some(slots) = self.0.get_mut(&watch) else { return };
        slots.retain(|other| *other != slot);
        if slots.is_empty() {
            self.0.remove(&watch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_is_of_all_slots_that_have_it() {
        let mut watched = Watched::default();
        watched.changed(1, None, Some(7));
        watched.changed(2, None, Some(7));
        watched.changed(2, Some(7), Some(7));
        assert_eq!((watched.of(7), watched.of(8)), (&[1, 2][..], &[][..]));
        watched.changed(1, Some(7), Some(8));
        assert_eq!((watched.of(7), watched.of(8)), (&[2][..], &[1][..]));
        watched.changed(2, Some(7), None);
        assert!(watched.of(7).is_empty());
        assert_eq!(watched.0.len(), 1, "nothing stays of a watch that is gone");
    }
}
