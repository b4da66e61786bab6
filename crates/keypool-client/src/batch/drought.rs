//! Models that no key carries a request of: since when, and what was said of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tower_keypool::KeyId;

use super::{desk::Desk, work::Work};

/// So many tasks in a row are told that there is no such model, in words that name no cause, until the others are believed
/// to be told the same.
const TOLD: u8 = 3;

/// So many tasks that keys turned away, one after the other and none carried meanwhile, speak of the keys: each is asked for
/// itself from then on, and rests for what it says.
const IN_VAIN: usize = 10;

/// A key that turned so many tasks away without a cause is believed to do so with all, as long as nobody was ever served; and so
/// many have to be told altogether: one or two may be odd.
const OF_EACH: usize = 2;
const OF_ALL: usize = 3;

/// What is known of one model since a key carried a request of it last. Times are since the run began.
#[derive(Debug, Default)]
struct Drought {
    /// When somebody had to wait for the first time.
    since: Option<Duration>,
    /// Requests under way: an answer may come yet.
    flying: usize,
    /// Tasks that were told that there is no such model.
    told: u8,
    /// Whether any was told that it is not for a key's tier: that key may have it another day.
    of_tier: bool,
    /// When all keys were found to be refused, and when one that was tried later was so again.
    held: Option<Duration>,
    held_on: Option<Duration>,
    /// Tasks that keys turned away without a cause and without a rest, as those do that may mean the task; each once.
    in_vain: Vec<u64>,
    /// Which tasks each key turned away without a cause, a few of each.
    by: BTreeMap<KeyId, Vec<u64>>,
    /// Whether any request came to its end since the run began, and whether any was carried.
    landed: bool,
    carried: bool,
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
        drought.landed = true;
    }

    /// Somebody waits.
    pub(super) fn waits(&mut self, model: &Arc<str>, now: Duration) {
        self.of(model).since.get_or_insert(now);
    }

    /// A key carried one.
    pub(super) fn ends(&mut self, model: &str) {
        if let Some(drought) = self.0.get_mut(model) {
            let (flying, landed) = (drought.flying, drought.landed);
            *drought = Drought { flying, landed, carried: true, ..Drought::default() };
        }
    }

    /// Whether each key is to speak for itself: no request has come to its end since the run began, some turned tasks away and none
    /// carried any, or many were turned away in a row.
    pub(super) fn is_of_keys(&self, model: &str) -> bool {
        let is_of_keys = |drought: &Drought| {
            !drought.landed || drought.in_vain.len() >= IN_VAIN || (!drought.carried && !drought.by.is_empty())
        };
        self.0.get(model).is_none_or(is_of_keys)
    }

    /// A task was turned away for what may be its own fault.
    pub(super) fn in_vain(&mut self, model: &Arc<str>, task: u64) {
        let held = &mut self.of(model).in_vain;
        if held.len() < IN_VAIN && !held.contains(&task) {
            held.push(task);
        }
    }

    /// A key turned a task away without a cause that names nothing of anybody's.
    pub(super) fn turned_away(&mut self, model: &Arc<str>, key: &KeyId, task: u64) {
        let told = self.of(model).by.entry(key.clone()).or_default();
        if told.len() < OF_ALL && !told.contains(&task) {
            told.push(task);
        }
    }

    /// Whether so many keys turned several tasks away like that, and carried none.
    pub(super) fn is_turned_away_by(&self, model: &str, keys: usize) -> bool {
        let Some(drought) = self.0.get(model).filter(|drought| !drought.carried) else { return false };
        let tasks: BTreeSet<u64> = drought.by.values().flatten().copied().collect();
        let each = drought.by.values().filter(|told| told.len() >= OF_EACH).count();
        each >= keys && tasks.len() >= OF_ALL
    }

    /// Whether any was carried since then.
    pub(super) fn was_carried(&self, model: &str) -> bool {
        self.0.get(model).is_some_and(|drought| drought.carried)
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

    /// A task was told that the model is not for a key's tier.
    pub(super) fn told_of_tier(&mut self, model: &Arc<str>) {
        self.of(model).of_tier = true;
    }

    /// Whether any was.
    pub(super) fn is_of_tier(&self, model: &str) -> bool {
        self.0.get(model).is_some_and(|drought| drought.of_tier)
    }

    /// Whether others are believed to be told that as well.
    pub(super) fn is_without(&self, model: &str) -> bool {
        self.0.get(model).is_some_and(|drought| drought.told >= TOLD)
    }

    /// A key turned a request away.
    pub(super) fn refused(&mut self, model: &Arc<str>, now: Duration) {
        self.waits(model, now);
        let drought = self.of(model);
        drought.held_on = drought.held.and(Some(now));
    }

    /// All keys are refused; whether they were before, and one that was tried longer after that than a `round` was so again:
    /// what was under way when the others failed is still the first.
    pub(super) fn held(&mut self, model: &Arc<str>, round: Duration, now: Duration) -> bool {
        let drought = self.of(model);
        let held = *drought.held.get_or_insert(now);
        drought.held_on.is_some_and(|again| again > held + round)
    }
}

impl Desk {
    /// A request of this model goes; whether its key is to speak for itself: nobody knows anything of the keys yet, or all of
    /// them refused many tasks.
    pub(crate) fn goes(&self, model: &Arc<str>) -> bool {
        let mut tray = self.lock();
        tray.droughts.goes(model);
        tray.droughts.is_of_keys(model)
    }

    /// A task was turned away by keys that do not rest for it; its first time, since others may have been carried meanwhile.
    pub(crate) fn turned_away_in_vain(&self, work: &Work) {
        self.lock().droughts.in_vain(&work.model, work.index);
    }

    /// A key turned a task away without a cause.
    pub(crate) fn turned_away_by(&self, work: &Work, key: &KeyId) {
        self.lock().droughts.turned_away(&work.model, key, work.index);
    }

    /// Whether so many keys turned several tasks of this model away like that, and carried none.
    pub(crate) fn is_turned_away_by(&self, model: &str, keys: usize) -> bool {
        self.lock().droughts.is_turned_away_by(model, keys)
    }

    /// Whether any of this model was carried since then.
    pub(crate) fn was_carried(&self, model: &str) -> bool {
        self.lock().droughts.was_carried(model)
    }

    /// It came to its end, whatever came of it.
    pub(crate) fn landed(&self, model: &Arc<str>) {
        self.lock().droughts.landed(model);
    }

    /// A task was told that there is no such model; `named`: and why.
    pub(crate) fn told_of_no_model(&self, model: &Arc<str>, named: bool) {
        self.lock().droughts.told(model, named);
    }

    /// A task was told that its model is not for a key's tier.
    pub(crate) fn told_of_tier(&self, model: &Arc<str>) {
        self.lock().droughts.told_of_tier(model);
    }

    /// Whether this one, or so many others, none being carried, were told that there is no such model that it would be told
    /// the same: where a key may have it another day that is waited for.
    pub(crate) fn is_without(&self, work: &Work) -> bool {
        let tray = self.lock();
        (work.without_model || tray.droughts.is_without(&work.model)) && !tray.droughts.is_of_tier(&work.model)
    }

    /// How long may still be waited for a key for this model; `None`: for as long as it takes.
    pub(crate) fn left_of_wait(&self, model: &str) -> Option<Duration> {
        let (most, now) = (self.max_wait?, self.elapsed());
        Some(self.lock().droughts.bears_until(model, most, now).saturating_sub(now))
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
        assert!(!droughts.held(&model, S(30), S(1)));
        droughts.refused(&model, S(2));
        assert!(!droughts.held(&model, S(30), S(60)), "that was under way");
        droughts.refused(&model, S(62));
        assert!(droughts.held(&model, S(30), S(62)) && !droughts.held(&model, S(90), S(62)));
    }
}
