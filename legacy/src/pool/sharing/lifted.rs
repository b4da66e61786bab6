//! Units that are asked for by their names: those that somebody must have, and what may serve again against all that the board
//! was told, since whoever gives a unit back whose keys rest says when that ends.

use super::KindAt;
use crate::{pool::state::State, share::UnitId, time::Now};

impl State {
    /// The units of a kind that somebody lacks and must have, or that may serve again against all that the board was told.
    pub(super) fn named_in(&self, at: KindAt) -> Vec<UnitId> {
        let Some(kind) = self.share().and_then(|share| share.kinds.get(&at)).filter(|kind| kind.lacks) else {
            return Vec::new();
        };
        let is_held = |owner: &&u32| self.lanes[usize::from(at.0)].owners[**owner as usize].is_held();
        let lifted = kind.lifted.keys().filter(|owner| !is_held(owner) && !kind.named.contains(owner));
        kind.named.iter().chain(lifted).filter_map(|owner| self.unit_name(at.0, *owner)).collect()
    }

    /// A rest of this owner was lifted: the board is not to wait for the end that it was told.
    #[cold]
    pub(in crate::pool) fn note_lifted(&mut self, owner: u32, now: Now) {
        let Some(share) = self.share_mut() else { return };
        let kinds = share.kind_at.iter().filter(|(at, _)| at.1 == owner).map(|(_, kind)| *kind);
        for at in kinds.collect::<Vec<_>>() {
            let Some(kind) = share.kinds.get_mut(&at) else { continue };
            kind.lifted.insert(owner, now.tick);
            (kind.dry, kind.opens) = (None, None);
        }
    }
}
