//! The order of ready keys, lowest rank first: a run and a heap of slots.
//!
//! A key that was just used mostly stands last, so most keys stand in the *run*, a ring in order of rank: taking its
//! first and adding one near its end, where few are busy, cost the same with 10 keys as with 100,000. What stands further
//! in front goes to an indexed 4-ary heap. Both hold slots only; rank and position live in the lane's cells, so that any
//! key can be moved or taken out without a search.

use super::cell::LaneCell;

/// Tells the rank that a slot now has; `old` is the one that it had.
pub(super) trait RankOf {
    fn rank_of(&self, slot: u32, old: u64) -> u64;
}

#[cfg(test)]
impl<F: Fn(u32, u64) -> u64> RankOf for F {
    fn rank_of(&self, slot: u32, old: u64) -> u64 {
        self(slot, old)
    }
}

#[derive(Debug, Default)]
pub(super) struct Ready {
    /// Places for the run, of which `len` from `head` on are its own. In order of rank; `GONE` where one was taken
    /// out, but never first or last.
    ring: Vec<u32>,
    head: usize,
    len: usize,
    gone: usize,
    /// Slots in heap order. Four children a node: half the depth of a binary heap.
    heap: Vec<u32>,
}

const ARITY: usize = 4;
/// A place in the run whose key was taken out.
const GONE: u32 = u32::MAX;
/// So many keys of the run are looked at by one that is put in its order there: it passes fewer.
const NEAR: usize = 8;
/// In a position: it is a place of the ring.
const IN_RUN: u32 = 1 << 24;

impl Ready {
    #[cfg(test)]
    fn len(&self) -> usize {
        self.len - self.gone + self.heap.len()
    }

    #[inline]
    pub(super) fn top(&self, cells: &[LaneCell]) -> Option<u32> {
        let first = if self.len > 0 { self.ring.get(self.head).copied() } else { None };
        let Some(least) = self.heap.first().copied() else { return first };
        match first {
            Some(first) if order(first, cells) < order(least, cells) => Some(first),
            _ => Some(least),
        }
    }

    /// The first slot whose rank is still what `ranks` says; those before it, whose ranks grew, move to where they
    /// stand now.
    #[inline(never)]
    pub(super) fn settled_top(&mut self, cells: &mut [LaneCell], ranks: &impl RankOf) -> Option<u32> {
        if self.heap.is_empty() && self.gone == 0 && self.len > 0 {
            // By far the most: those whose ranks grew go from the run's front to its back.
            let last = self.ring[self.place(self.len - 1)];
            let mut back = cells[last as usize].rank;
            while let Some(slot) = self.ring.get(self.head).copied() {
                let cell = &mut cells[slot as usize];
                let rank = ranks.rank_of(slot, cell.rank);
                if rank <= cell.rank {
                    return Some(slot);
                }
                if rank <= back {
                    break;
                }
                back = rank;
                cell.rank = rank;
                // In a full ring the front's place is the one behind the last.
                if self.len < self.ring.len() {
                    let place = self.place(self.len);
                    self.ring[place] = slot;
                    cell.set_position(IN_RUN | place as u32);
                }
                self.head = self.place(1);
            }
        }
        self.settled_before_busy(cells, ranks)
    }

    /// The same where those at the run's back are busier than the ones that move there, or some stand in the heap.
    #[inline(never)]
    fn settled_before_busy(&mut self, cells: &mut [LaneCell], ranks: &impl RankOf) -> Option<u32> {
        while self.gone == 0 && self.len > 0 {
            let slot = self.ring[self.head];
            let cell = &mut cells[slot as usize];
            let rank = ranks.rank_of(slot, cell.rank);
            if rank <= cell.rank {
                if self.heap.first().is_none_or(|least| order(slot, cells) < order(*least, cells)) {
                    return Some(slot);
                }
                break;
            }
            cell.rank = rank;
            self.head = self.place(1);
            self.len -= 1;
            self.push(slot, cells);
        }
        self.sort_top(cells, ranks)
    }

    /// The same wherever they stand.
    #[inline(never)]
    pub(super) fn sort_top(&mut self, cells: &mut [LaneCell], ranks: &impl RankOf) -> Option<u32> {
        loop {
            let slot = self.top(cells)?;
            let cell = &mut cells[slot as usize];
            let rank = ranks.rank_of(slot, cell.rank);
            if rank <= cell.rank {
                return Some(slot);
            }
            cell.rank = rank;
            let at = cell.position();
            self.reorder(slot, at, cells);
        }
    }

    /// Adds all its slots to a list, in no order.
    #[cfg(test)]
    fn list(&self, slots: &mut Vec<u32>) {
        let whole = self.head + self.len;
        let wrapped = whole.saturating_sub(self.ring.len());
        slots.extend_from_slice(&self.ring[self.head.min(self.ring.len())..whole - wrapped]);
        slots.extend_from_slice(&self.ring[..wrapped]);
        if self.gone > 0 {
            slots.retain(|slot| *slot != GONE);
        }
        slots.extend_from_slice(&self.heap);
    }

    pub(super) fn heap_bytes(&self) -> usize {
        (self.ring.capacity() + self.heap.capacity()) * size_of::<u32>()
    }

    pub(super) fn reserve(&mut self, keys: usize) {
        if keys > self.ring.len() {
            self.ring.reserve_exact(keys - self.ring.len());
        }
    }

    /// The ring's place of the run's `n`-th.
    #[inline]
    fn place(&self, n: usize) -> usize {
        let place = self.head + n;
        if place < self.ring.len() { place } else { place - self.ring.len() }
    }

    /// Puts a slot in; its cell holds its rank.
    #[inline]
    pub(super) fn push(&mut self, slot: u32, cells: &mut [LaneCell]) {
        if self.len > 0 && order(slot, cells) < order(self.ring[self.place(self.len - 1)], cells) {
            self.push_before(slot, cells);
            return;
        }
        if self.len == self.ring.len() {
            self.grow(cells);
        }
        self.len += 1;
        self.set(self.len - 1, slot, cells);
    }

    /// The same of one that stands before the run's last: most do so before few, which are busy. It pushes those back,
    /// up to a hole among them.
    #[inline(never)]
    fn push_before(&mut self, slot: u32, cells: &mut [LaneCell]) {
        let Some(to) = self.place_before(self.len, order(slot, cells), cells) else {
            self.heap.push(slot);
            self.sift_up(self.heap.len() - 1, cells);
            return;
        };
        if self.len == self.ring.len() {
            // Places are others then.
            self.grow(cells);
            return self.push_before(slot, cells);
        }
        let mut moved = slot;
        for n in to..self.len {
            let next = self.ring[self.place(n)];
            self.set(n, moved, cells);
            moved = next;
            if moved == GONE {
                self.gone -= 1;
                return;
            }
        }
        self.len += 1;
        self.set(self.len - 1, moved, cells);
    }

    /// Which place of the run, counted from its front, is that of this order, if it is near before the `end`-th.
    #[inline]
    fn place_before(&self, end: usize, own: (u64, u32), cells: &[LaneCell]) -> Option<usize> {
        let stands_behind = |before: u32| before != GONE && order(before, cells) <= own;
        let nearest = end.saturating_sub(NEAR);
        match (nearest..end).rev().find(|n| stands_behind(self.ring[self.place(*n)])) {
            Some(behind) => Some(behind + 1),
            None if nearest == 0 => Some(0),
            None => None,
        }
    }

    /// Takes the slot at this position out. Its own rank does not matter.
    #[inline]
    pub(super) fn remove(&mut self, at: u32, cells: &mut [LaneCell]) {
        let place = (at % IN_RUN) as usize;
        if at & IN_RUN == 0 {
            self.remove_from_heap(place, cells);
        } else if place == self.head && self.gone == 0 {
            self.head = self.place(1);
            self.len -= 1;
        } else {
            self.ring[place] = GONE;
            self.gone += 1;
            self.trim(cells);
        }
    }

    /// Restores the order after the rank of the slot at this position changed.
    #[inline]
    pub(super) fn reorder(&mut self, slot: u32, at: u32, cells: &mut [LaneCell]) {
        if !self.move_up(slot, at, cells) {
            self.remove(at, cells);
            self.push(slot, cells);
        }
    }

    /// Moves a slot whose rank got better up in the run, where its place is near: most requests end about in the order
    /// in which they began. Whether it was.
    fn move_up(&mut self, slot: u32, at: u32, cells: &mut [LaneCell]) -> bool {
        if at & IN_RUN == 0 {
            return false;
        }
        let place = (at % IN_RUN) as usize;
        let from = if place < self.head { place + self.ring.len() - self.head } else { place - self.head };
        let own = order(slot, cells);
        if from + 1 < self.len {
            let next = self.ring[self.place(from + 1)];
            if next == GONE || order(next, cells) < own {
                return false;
            }
        }
        let Some(to) = self.place_before(from, own, cells) else { return false };
        for n in (to..from).rev() {
            self.set(n + 1, self.ring[self.place(n)], cells);
        }
        self.set(to, slot, cells);
        // A hole may have come to the end.
        self.trim(cells);
        true
    }

    /// Puts a slot, or a hole, at the run's `n`-th place.
    #[inline]
    fn set(&mut self, n: usize, slot: u32, cells: &mut [LaneCell]) {
        let place = self.place(n);
        self.ring[place] = slot;
        if slot != GONE {
            cells[slot as usize].set_position(IN_RUN | place as u32);
        }
    }

    /// The run begins and ends with a key, and most of its places hold one.
    fn trim(&mut self, cells: &mut [LaneCell]) {
        while self.len > 0 && self.ring[self.head] == GONE {
            self.head = self.place(1);
            self.len -= 1;
            self.gone -= 1;
        }
        while self.len > 0 && self.ring[self.place(self.len - 1)] == GONE {
            self.len -= 1;
            self.gone -= 1;
        }
        if self.gone > 16 && self.gone > self.len / 2 {
            self.lay(self.ring.len(), cells);
        }
    }

    /// Makes room for another: places that are gone, or more of them.
    #[cold]
    fn grow(&mut self, cells: &mut [LaneCell]) {
        let exact = self.ring.capacity();
        let wanted = if self.gone > self.len / 8 { self.ring.len() } else { (self.ring.len() * 2).max(4) };
        self.lay(if exact > self.ring.len() { exact } else { wanted }, cells);
    }

    /// Lays the run out anew in so many places.
    fn lay(&mut self, places: usize, cells: &mut [LaneCell]) {
        let run: Vec<u32> = (0..self.len).map(|n| self.ring[self.place(n)]).filter(|slot| *slot != GONE).collect();
        self.ring.resize(places, GONE);
        self.ring[..run.len()].copy_from_slice(&run);
        for (place, slot) in (0u32..).zip(&run) {
            cells[*slot as usize].set_position(IN_RUN | place);
        }
        (self.head, self.len, self.gone) = (0, run.len(), 0);
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
        let places: Vec<usize> = (0..ready.len).map(|n| ready.place(n)).collect();
        let run: Vec<usize> = places.iter().copied().filter(|place| ready.ring[*place] != GONE).collect();
        let cell = |slot: u32| cells[slot as usize];
        run.iter().all(|place| cell(ready.ring[*place]).position() == IN_RUN | *place as u32)
            && ready.heap.iter().zip(0..).all(|(slot, at)| cell(*slot).position() == at)
            && run.is_sorted_by_key(|place| order(ready.ring[*place], cells))
            && places.len() - run.len() == ready.gone
            && (run.first(), run.last()) == (places.first(), places.last())
    }

    #[test]
    fn none_goes_to_the_heap_because_few_are_busy_for_long() {
        const BUSY: u64 = 1 << 36;
        let mut cells = vec![LaneCell::default(); SLOTS as usize];
        let mut ready = Ready::default();
        for slot in 0..SLOTS {
            cells[slot as usize].rank = u64::from(slot);
            ready.push(slot, &mut cells);
        }
        let mut now: Vec<u64> = (0..u64::from(SLOTS)).collect();
        for start in 100..1_000 {
            let top = ready.settled_top(&mut cells, &|slot, _| now[slot as usize]).expect("a slot");
            // The first few never end; all others at once.
            let busy = if start < 99 + NEAR as u64 { BUSY } else { 0 };
            assert_eq!(Some(now[top as usize]), now.iter().min().copied());
            now[top as usize] = busy + start;
            assert!(ready.heap.is_empty() && sound(&ready, &cells), "{start}: {ready:?}");
        }
    }

    proptest! {
        #[test]
        fn comes_out_in_rank_order_after_any_schedule(
            room in 0..100usize,
            ops in prop::collection::vec((0..SLOTS, 0u64..100, 0u8..6), 1..400),
        ) {
            let mut cells = vec![LaneCell::default(); SLOTS as usize];
            let mut inside = vec![false; SLOTS as usize];
            let mut ready = Ready::default();
            ready.reserve(room);
            for (step, (slot, rank, op)) in ops.into_iter().enumerate() {
                let index = slot as usize;
                // As most ranks are: above all others.
                let rank = if matches!(op, 3 | 4) { 100 + step as u64 } else { rank };
                // Now and then some at the front have grown.
                if op == 5 {
                    let grown: Vec<u64> = cells.iter().map(|cell| cell.rank + if cell.rank < rank { 100 + step as u64 } else { 0 }).collect();
                    let top = ready.settled_top(&mut cells, &|slot, old| if old < rank { grown[slot as usize].max(old) } else { old });
                    prop_assert_eq!(top, ready.top(&cells));
                    prop_assert!(top.is_none_or(|top| cells[top as usize].rank >= rank));
                }
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
                let mut slots = Vec::new();
                ready.list(&mut slots);
                slots.sort_unstable();
                prop_assert!(slots.iter().copied().eq((0..SLOTS).filter(|slot| inside[*slot as usize])));
                prop_assert!(sound(&ready, &cells), "{:?}", ready);
            }
        }
    }
}
