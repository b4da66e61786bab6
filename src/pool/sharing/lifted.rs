//! What may serve again against all that the board was told: whoever gives a unit back whose keys rest says when that ends.

use crate::{pool::state::State, time::Now};

impl State {
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
