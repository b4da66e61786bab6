//! Models that no key carries a request of: since when, and what was said of it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// So many tasks in a row are told that there is no such model, in words that name no cause, until the others are believed
/// to be told the same.
const TOLD: u8 = 3;

/// Keys that are held are tried again after longer than this.
const ROUND: Duration = Duration::from_secs(30);

/// What is known of one model since a key carried a request of it last. Times are since the run began.
#[derive(Debug, Default)]
struct Drought {
    /// When somebody had to wait for the first time.
    since: Option<Duration>,
    /// Requests under way: an answer may come yet.
    flying: usize,
    /// Tasks that were told that there is no such model.
    told: u8,
    /// When all keys were found to be refused, and whether one that was tried later was so again.
    held: Option<Duration>,
    held_on: bool,
}

#[derive(Debug, Default)]
pub(super) struct Droughts(BTreeMap<Arc<str>, Drought>);

impl Droughts {
    fn of(&mut self, model: &Arc<str>) -> &mut Drought {
        self.0.entry(Arc::clone(model)).or_default()
    }

    /// A request goes.
    pub(super) fn goes(&mut self, model: &Arc<str>) {
        self.of(model).flying += 1;
    }

    /// It came to its end.
    pub(super) fn landed(&mut self, model: &Arc<str>) {
        let drought = self.of(model);
        drought.flying = drought.flying.saturating_sub(1);
    }

    /// Somebody waits.
    pub(super) fn waits(&mut self, model: &Arc<str>, now: Duration) {
        self.of(model).since.get_or_insert(now);
    }

    /// A key carried one.
    pub(super) fn ends(&mut self, model: &str) {
        if let Some(drought) = self.0.get_mut(model) {
            *drought = Drought { flying: drought.flying, ..Drought::default() };
        }
    }

    /// Until when may be waited that may be waited for so long, as things stand.
    pub(super) fn bears_until(&self, model: &str, most: Duration, now: Duration) -> Duration {
        let measured = self.0.get(model).filter(|drought| drought.flying == 0);
        measured.and_then(|drought| drought.since).unwrap_or(now).saturating_add(most)
    }

    /// A task was told that there is no such model.
    pub(super) fn told(&mut self, model: &Arc<str>, named: bool) {
        let drought = self.of(model);
        drought.told = drought.told.saturating_add(if named { TOLD } else { 1 });
    }

    /// Whether others are believed to be told that as well.
    pub(super) fn is_without(&self, model: &str) -> bool {
        self.0.get(model).is_some_and(|drought| drought.told >= TOLD)
    }

    /// A key turned a request away.
    pub(super) fn refused(&mut self, model: &Arc<str>, now: Duration) {
        self.waits(model, now);
        let drought = self.of(model);
        // What was under way when the others failed is still the first round.
        drought.held_on |= drought.held.is_some_and(|held| now > held + ROUND);
    }

    /// All keys are refused; whether they were before, and the one that was tried since was so again.
    pub(super) fn held(&mut self, model: &Arc<str>, now: Duration) -> bool {
        let drought = self.of(model);
        drought.held.get_or_insert(now);
        drought.held_on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: fn(u64) -> Duration = Duration::from_secs;

    #[test]
    fn a_wait_is_measured_from_the_first_on_and_not_while_an_answer_may_come() {
        let (mut droughts, model) = (Droughts::default(), Arc::from("m"));
        assert_eq!(droughts.bears_until("m", S(90), S(5)), S(95));
        droughts.waits(&model, S(10));
        droughts.refused(&model, S(30));
        assert_eq!(droughts.bears_until("m", S(90), S(40)), S(100));
        droughts.goes(&model);
        assert_eq!(droughts.bears_until("m", S(90), S(40)), S(130));
        droughts.landed(&model);
        assert_eq!(droughts.bears_until("m", S(90), S(40)), S(100));
        droughts.ends("m");
        assert_eq!(droughts.bears_until("m", S(90), S(40)), S(130));
    }

    #[test]
    fn three_or_one_who_knows_why_speak_for_all() {
        let (mut droughts, model) = (Droughts::default(), Arc::from("m"));
        droughts.told(&model, false);
        droughts.told(&model, false);
        assert!(!droughts.is_without("m"));
        droughts.ends("m");
        droughts.told(&model, false);
        assert!(!droughts.is_without("m"), "somebody was carried in between");
        droughts.told(&model, true);
        assert!(droughts.is_without("m"));
    }

    #[test]
    fn who_is_held_is_given_up_once_a_later_try_failed() {
        let (mut droughts, model) = (Droughts::default(), Arc::from("m"));
        assert!(!droughts.held(&model, S(1)));
        droughts.refused(&model, S(2));
        assert!(!droughts.held(&model, S(60)), "that was under way");
        droughts.refused(&model, S(62));
        assert!(droughts.held(&model, S(62)));
    }
}
