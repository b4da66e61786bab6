//! When requests began for owners whose limits nobody knows yet: an answer that names a limit says that its window is full,
//! and of that no more than others used has to be guessed.

use std::{collections::VecDeque, time::Duration};

use super::seats::SeatCell;
use crate::time::Tick;

/// A lane's latest of them, as they ended: those under way are found among the leases.
#[derive(Default)]
pub(super) struct Unlimited(VecDeque<Begun>);

/// Whose, when, and for how many it counts.
type Begun = (u32, Tick, u32);

/// So many: of more than these, earlier ones are taken to have begun when these did.
const MOST: usize = 2_048;
/// Longer ago nothing that is limited by the minute counts.
const LONG: Duration = Duration::from_secs(120);

impl Unlimited {
    /// A lease ends that counts in no window.
    #[inline(never)]
    pub(super) fn ended(&mut self, cell: Option<&SeatCell>, now: Tick) {
        let Some(cell) = cell.filter(|cell| cell.stamp.is_some() && !cell.free && !cell.refunded) else { return };
        let requests = cell.need.requests;
        self.put(cell.owner, [(cell.began.tick, requests)], now);
    }

    /// These of this owner count in no window, either.
    pub(super) fn put(&mut self, owner: u32, began: impl IntoIterator<Item = (Tick, u32)>, now: Tick) {
        for (began, requests) in began {
            while self.0.front().is_some_and(|(_, first, _)| self.0.len() >= MOST || now.since(*first) > LONG) {
                self.0.pop_front();
            }
            self.0.push_back((owner, began, requests));
        }
    }

    /// When those of this owner began: they count in a log from now on.
    pub(super) fn take(&mut self, owner: u32) -> Vec<(Tick, u32)> {
        let own = self.0.iter().filter(|(of, ..)| *of == owner);
        let taken: Vec<_> = own.map(|(_, began, requests)| (*began, *requests)).collect();
        // Of many owners most have none.
        if !taken.is_empty() {
            self.0.retain(|(of, ..)| *of != owner);
        }
        taken
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Begun>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_remembered_for_a_while() {
        let mut ended = Unlimited::default();
        let at = |ms| Tick::ZERO.plus(Duration::from_millis(ms));
        for ms in 0..3_000 {
            ended.put(u32::from(ms % 2 == 0), [(at(ms), 1)], at(ms));
        }
        assert_eq!((ended.0.len(), ended.0[0].1), (MOST, at(3_000 - MOST as u64)));
        assert_eq!(ended.take(0).len(), MOST / 2);
        assert_eq!(ended.take(0).len(), 0);
        ended.put(3, [(at(122_500), 2)], at(122_500));
        assert_eq!(ended.take(1).first(), Some(&(at(2_500), 1)));
        assert_eq!(ended.take(3), [(at(122_500), 2)]);
    }
}
