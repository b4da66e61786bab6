//! What renewals say along the way: whether commands changed keys, so that nobody need ask for that alone.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use crate::time::Tick;

/// What was heard longer ago says nothing any more: two renewals have failed since.
const FRESH: Duration = Duration::from_secs(3);

/// The number of the last change of keys, and when the call was sent that told it.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<Option<(u64, Tick)>>);

impl Heard {
    pub(super) fn hear(&self, revision: u64, sent: Tick) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((revision, sent));
    }

    pub(super) fn revision(&self, now: Tick) -> Option<u64> {
        let heard = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.filter(|(_, sent)| now.since(*sent) < FRESH).map(|(revision, _)| revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_heard_long_ago_says_nothing() {
        let heard = Heard::default();
        let at = |seconds| Tick::ZERO.plus(Duration::from_secs(seconds));
        assert_eq!(heard.revision(at(1)), None);
        heard.hear(7, at(10));
        assert_eq!(heard.revision(at(12)), Some(7));
        assert_eq!(heard.revision(at(13)), None);
    }
}
