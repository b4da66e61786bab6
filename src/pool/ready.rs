//! The order of ready keys, lowest rank first: a run and a heap of slots.
//!
//! A key that was just used mostly stands last, so most keys stand in the *run*, a queue in order of rank: taking its
//! first and adding a last cost the same with 10 keys as with 100,000. What does not fit behind the run's last goes to
//! an indexed 4-ary heap. Both hold slots only; rank and position live in the lane's cells, so that any key can be moved
//! or taken out without a search.

use std::collections::VecDeque;

use super::cell::LaneCell;

#[derive(Debug, Default)]
pub(super) struct Ready {
    /// In order of rank. `GONE` where one was taken out; never first or last.
    run: VecDeque<u32>,
    /// The number of the run's first place: positions in the run are numbers that go on.
    first: u32,
    gone: usize,
    /// Slots in heap order. Four children a node: half the depth of a binary heap.
    heap: Vec<u32>,
}

const ARITY: usize = 4;
/// A place in the run whose key was taken out.
const GONE: u32 = u32::MAX;
/// In a position: it is one of the run.
const IN_RUN: u32 = 1 << 24;

impl Ready {
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.run.len() - self.gone + self.heap.len()
    }

    #[inline]
    pub(super) fn top(&self, cells: &[LaneCell]) -> Option<u32> {
        let first = self.run.front().copied();
        let Some(least) = self.heap.first().copied() else { return first };
        match first {
            Some(first) if order(first, cells) < order(least, cells) => Some(first),
            _ => Some(least),
        }
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        self.run.iter().filter(|slot| **slot != GONE).chain(&self.heap).copied()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        (self.run.capacity() + self.heap.capacity()) * size_of::<u32>()
    }

    pub(super) fn reserve(&mut self, keys: usize) {
        self.run.reserve_exact(keys.saturating_sub(self.run.len()));
    }

    /// Puts a slot in; its cell holds its rank.
    #[inline]
    pub(super) fn push(&mut self, slot: u32, cells: &mut [LaneCell]) {
        if self.run.back().is_none_or(|last| order(*last, cells) <= order(slot, cells)) {
            let number = self.first.wrapping_add(self.run.len() as u32) % IN_RUN;
            cells[slot as usize].set_position(IN_RUN | number);
            self.run.push_back(slot);
        } else {
            self.heap.push(slot);
            self.sift_up(self.heap.len() - 1, cells);
        }
    }

    /// Takes the slot at this position out. Its own rank does not matter.
    #[inline]
    pub(super) fn remove(&mut self, at: u32, cells: &mut [LaneCell]) {
        if at & IN_RUN == 0 {
            self.remove_from_heap(at as usize, cells);
            return;
        }
        let place = (at.wrapping_sub(self.first) % IN_RUN) as usize;
        if place == 0 {
            self.run.pop_front();
            self.first = self.first.wrapping_add(1) % IN_RUN;
            if self.gone > 0 {
                self.trim();
            }
        } else {
            self.remove_from_run(place, cells);
        }
    }

    /// Restores the order after the rank of the slot at this position changed.
    #[inline]
    pub(super) fn reorder(&mut self, slot: u32, at: u32, cells: &mut [LaneCell]) {
        self.remove(at, cells);
        self.push(slot, cells);
    }

    fn remove_from_run(&mut self, place: usize, cells: &mut [LaneCell]) {
        self.run[place] = GONE;
        self.gone += 1;
        self.trim();
        if self.gone > 16 && self.gone > self.run.len() / 2 {
            self.run.retain(|slot| *slot != GONE);
            self.gone = 0;
            for (number, slot) in (self.first..).zip(&self.run) {
                cells[*slot as usize].set_position(IN_RUN | number % IN_RUN);
            }
        }
    }

    /// The run begins and ends with a key.
    fn trim(&mut self) {
        while self.run.front() == Some(&GONE) {
            self.run.pop_front();
            self.first = self.first.wrapping_add(1) % IN_RUN;
            self.gone -= 1;
        }
        while self.run.back() == Some(&GONE) {
            self.run.pop_back();
            self.gone -= 1;
        }
    }

    fn remove_from_heap(&mut self, at: usize, cells: &mut [LaneCell]) {
        let last = self.heap.len() - 1;
        self.heap.swap_remove(at);
        if at < last {
            let at = self.sift_up(at, cells);
            self.sift_down(at, cells);
        }
    }

    fn sift_up(&mut self, mut at: usize, cells: &mut [LaneCell]) -> usize {
        let slot = self.heap[at];
        let own = order(slot, cells);
        while at > 0 {
            let parent = (at - 1) / ARITY;
            let above = self.heap[parent];
            if order(above, cells) <= own {
                break;
            }
            self.heap[at] = above;
            cells[above as usize].set_position(at as u32);
            at = parent;
        }
        self.heap[at] = slot;
        cells[slot as usize].set_position(at as u32);
        at
    }

    fn sift_down(&mut self, mut at: usize, cells: &mut [LaneCell]) {
        let slot = self.heap[at];
        let own = order(slot, cells);
        loop {
            let first = at * ARITY + 1;
            let children = self.heap.get(first..(first + ARITY).min(self.heap.len())).unwrap_or_default();
            let least = children.iter().map(|child| order(*child, cells)).enumerate().min_by_key(|(_, child)| *child);
            let Some((nth, child)) = least.filter(|(_, child)| *child < own) else { break };
            self.heap[at] = child.1;
            cells[child.1 as usize].set_position(at as u32);
            at = first + nth;
        }
        self.heap[at] = slot;
        cells[slot as usize].set_position(at as u32);
    }
}

/// By rank, then by slot.
#[inline]
fn order(slot: u32, cells: &[LaneCell]) -> (u64, u32) {
    (cells[slot as usize].rank, slot)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SLOTS: u32 = 40;

    /// Every slot stands once where its cell says, and the run is in order.
    fn sound(ready: &Ready, cells: &[LaneCell]) -> bool {
        let run: Vec<u32> = ready.run.iter().copied().filter(|slot| *slot != GONE).collect();
        let in_run = ready.run.iter().zip(ready.first..).filter(|(slot, _)| **slot != GONE);
        let in_heap = ready.heap.iter().zip(0..);
        in_run.clone().all(|(slot, at)| cells[*slot as usize].position() == IN_RUN | at % IN_RUN)
            && in_heap.clone().all(|(slot, at)| cells[*slot as usize].position() == at)
            && run.is_sorted_by_key(|slot| order(*slot, cells))
            && ready.run.len() - run.len() == ready.gone
            && ready.run.back() != Some(&GONE)
    }

    proptest! {
        #[test]
        fn comes_out_in_rank_order_after_any_schedule(
            first in prop_oneof![Just(0), Just(IN_RUN - 3)],
            ops in prop::collection::vec((0..SLOTS, 0u64..100, 0u8..5), 1..400),
        ) {
            let mut cells = vec![LaneCell::default(); SLOTS as usize];
            let mut inside = vec![false; SLOTS as usize];
            let mut ready = Ready { first, ..Ready::default() };
            for (step, (slot, rank, op)) in ops.into_iter().enumerate() {
                let index = slot as usize;
                // As most ranks are: above all others.
                let rank = if op >= 3 { 100 + step as u64 } else { rank };
                match (op, inside[index]) {
                    (0 | 3, false) => { cells[index].rank = rank; ready.push(slot, &mut cells); inside[index] = true; }
                    (1, true) => { ready.remove(cells[index].position(), &mut cells); inside[index] = false; }
                    (2 | 4, true) => {
                        cells[index].rank = rank;
                        ready.reorder(slot, cells[index].position(), &mut cells);
                    }
                    _ => {}
                }
                let least = (0..SLOTS).filter(|slot| inside[*slot as usize]).min_by_key(|slot| order(*slot, &cells));
                prop_assert_eq!(ready.top(&cells), least);
                prop_assert_eq!(ready.len(), inside.iter().filter(|inside| **inside).count());
                prop_assert_eq!(ready.slots().count(), ready.len());
                prop_assert!(sound(&ready, &cells), "{:?}", ready);
            }
        }
    }
}
