//! The order of ready keys: an indexed 4-ary heap of slots, lowest rank first.
//!
//! The heap holds slots only; rank and position live in the lane's cells, so that any key can be moved or taken out
//! without a search.

use super::cell::LaneCell;

/// Slots in heap order. Four children a node: half the depth of a binary heap, and a node's children share a line.
#[derive(Debug, Default)]
pub(super) struct Ready(Vec<u32>);

const ARITY: usize = 4;

impl Ready {
    pub(super) fn top(&self) -> Option<u32> {
        self.0.first().copied()
    }

    pub(super) fn slots(&self) -> &[u32] {
        &self.0
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<u32>()
    }

    pub(super) fn reserve(&mut self, keys: usize) {
        self.0.reserve_exact(keys.saturating_sub(self.0.len()));
    }

    /// Puts a slot in; its cell holds its rank.
    pub(super) fn push(&mut self, slot: u32, cells: &mut [LaneCell]) {
        self.0.push(slot);
        let at = self.0.len() - 1;
        self.sift_up(at, cells);
    }

    /// Takes the slot at this position out.
    pub(super) fn remove(&mut self, at: usize, cells: &mut [LaneCell]) {
        let last = self.0.len() - 1;
        self.0.swap_remove(at);
        if at < last {
            let at = self.sift_up(at, cells);
            self.sift_down(at, cells);
        }
    }

    /// Restores the order after the rank of the slot at this position changed.
    pub(super) fn reorder(&mut self, at: usize, cells: &mut [LaneCell]) {
        let at = self.sift_up(at, cells);
        self.sift_down(at, cells);
    }

    fn sift_up(&mut self, mut at: usize, cells: &mut [LaneCell]) -> usize {
        let slot = self.0[at];
        let rank = cells[slot as usize].rank;
        while at > 0 {
            let parent = (at - 1) / ARITY;
            let above = self.0[parent];
            if (cells[above as usize].rank, above) <= (rank, slot) {
                break;
            }
            self.0[at] = above;
            cells[above as usize].set_position(at);
            at = parent;
        }
        self.0[at] = slot;
        cells[slot as usize].set_position(at);
        at
    }

    fn sift_down(&mut self, mut at: usize, cells: &mut [LaneCell]) {
        let slot = self.0[at];
        let rank = cells[slot as usize].rank;
        loop {
            let first = at * ARITY + 1;
            if first >= self.0.len() {
                break;
            }
            let end = (first + ARITY).min(self.0.len());
            let mut least = first;
            let mut least_rank = (cells[self.0[first] as usize].rank, self.0[first]);
            for child in first + 1..end {
                let child_rank = (cells[self.0[child] as usize].rank, self.0[child]);
                if child_rank < least_rank {
                    least = child;
                    least_rank = child_rank;
                }
            }
            if (rank, slot) <= least_rank {
                break;
            }
            let below = self.0[least];
            self.0[at] = below;
            cells[below as usize].set_position(at);
            at = least;
        }
        self.0[at] = slot;
        cells[slot as usize].set_position(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn comes_out_in_rank_order_after_any_schedule(ops in prop::collection::vec((0u32..40, 0u64..100, 0u8..3), 1..300)) {
            let mut cells = vec![LaneCell::default(); 40];
            let mut inside = vec![false; 40];
            let mut heap = Ready::default();
            for (slot, rank, op) in ops {
                let index = slot as usize;
                match (op, inside[index]) {
                    (0, false) => { cells[index].rank = rank; heap.push(slot, &mut cells); inside[index] = true; }
                    (1, true) => { heap.remove(cells[index].position(), &mut cells); inside[index] = false; }
                    (2, true) => { cells[index].rank = rank; heap.reorder(cells[index].position(), &mut cells); }
                    _ => {}
                }
                let least = (0..40u32).filter(|s| inside[*s as usize]).min_by_key(|s| (cells[*s as usize].rank, *s));
                prop_assert_eq!(heap.top(), least);
                for (at, slot) in heap.slots().iter().enumerate() {
                    prop_assert_eq!(cells[*slot as usize].position(), at);
                }
            }
        }
    }
}
