//! When requests began for owners whose limits nobody knows yet: an answer that names a limit says that its window is full,
//! and of that no more than others used has to be guessed.

use std::{collections::VecDeque, time::Duration};

use crate::time::Tick;

/// A lane's latest of them, as they ended: those under way are found among the leases.
#[derive(Default)]
pub(super) struct Unlimited(VecDeque<(u32, Tick)>);

/// So many: of more than these, earlier ones are taken to have begun when these did.
const MOST: usize = 2_048;
/// Longer ago nothing that is limited by the minute counts.
const LONG: Duration = Duration::from_secs(120);

impl Unlimited {
    /// A request of this owner, which began then, has ended.
    pub(super) fn ended(&mut self, owner: u32, began: Tick, now: Tick) {
        while self.0.front().is_some_and(|(_, first)| self.0.len() >= MOST || now.since(*first) > LONG) {
            self.0.pop_front();
        }
        self.0.push_back((owner, began));
    }

    /// When those of this owner began: they count in a log from now on.
    pub(super) fn take(&mut self, owner: u32) -> Vec<Tick> {
        let taken = self.0.iter().filter(|(of, _)| *of == owner).map(|(_, began)| *began).collect();
        self.0.retain(|(of, _)| *of != owner);
        taken
    }

    /// Those of this owner are the other's.
    pub(super) fn join(&mut self, owner: u32, into: u32) {
        self.0.iter_mut().filter(|(of, _)| *of == owner).for_each(|(of, _)| *of = into);
    }

    /// Those of another lane are of this one, too.
    pub(super) fn append(&mut self, other: Self) {
        self.0.extend(other.0);
        self.0.drain(..self.0.len().saturating_sub(MOST));
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.0.capacity() * size_of::<(u32, Tick)>()
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
            ended.ended(u32::from(ms % 2 == 0), at(ms), at(ms));
        }
        assert_eq!((ended.0.len(), ended.0[0].1), (MOST, at(3_000 - MOST as u64)));
        ended.join(0, 7);
        assert_eq!(ended.take(7).len(), MOST / 2);
        assert_eq!(ended.take(7).len(), 0);
        ended.ended(3, at(122_500), at(122_500));
        assert_eq!(ended.take(1).first(), Some(&at(2_500)));
    }
}
