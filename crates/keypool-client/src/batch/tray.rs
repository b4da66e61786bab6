//! What lies on the desk: tasks that are ready, that pause, and that wait for their model or for the way to the provider.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use tower_keypool::{Exhausted, KeyId};

use super::{
    away::Away,
    desk::Stop,
    drought::Droughts,
    limited::Limited,
    owned::{MOST_LOOKED_AT, Owned},
    pile::{Later, Pile},
    work::Work,
};

/// Tasks that pause, or that no key may carry for now, are held up to so many bytes; then nothing more is read.
const MOST_HELD: usize = 32 << 20;
/// So many pause after a fault of the model at the most: it may have one for all.
const MOST_PAUSING: usize = 1_000;
/// Nobody relies on a forecast for longer: rests are lifted by hand, too.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Tasks of a model that no key may carry for a while. They have one clock: when it strikes one of them is tried, and the
/// others follow once that one was answered.
#[derive(Debug)]
pub(super) struct Parked {
    /// When one is tried, since the run began.
    until: Duration,
    /// The one that is.
    scout: Option<u64>,
    /// As it was said then, since the run began.
    why: Exhausted,
    at: Duration,
    /// When a key may serve, since the run began; `None`: not by itself.
    pub(super) back: Option<Duration>,
    tasks: Pile,
}

impl Parked {
    /// Why, as it is now.
    pub(super) fn why(&self, now: Duration) -> Exhausted {
        self.why.clone().after(now.saturating_sub(self.at))
    }

    /// Which one a worker, or a slot of this key, would try.
    fn scout_for(&self, owned: &Owned, key: Option<&KeyId>) -> Option<usize> {
        let whose = |work: &Work| owned.may_go(work, key) && fits(work, key);
        let at = self.tasks.iter().take(64).position(|work| whose(work));
        // One that was tried with this key is better than none.
        at.or_else(|| self.tasks.front().filter(|work| work.names.is_none()).map(|_| 0))
    }
}

#[derive(Debug, Default)]
pub(super) struct Tray {
    /// Of no model that is out.
    ready: VecDeque<Box<Work>>,
    /// Of those: what not everybody may carry, which somebody looked at who may not.
    named: Pile,
    pub(super) owned: Owned,
    /// More come once half of them are taken: not each for itself.
    full: bool,
    /// Those that pause.
    later: Later,
    pub(super) parked: BTreeMap<Arc<str>, Parked>,
    pub(super) droughts: Droughts,
    pub(super) limited: Limited,
    /// Where the provider cannot be reached.
    pub(super) away: Option<Away>,
    /// No more will come.
    pub(super) ended: bool,
    /// Taken and not done.
    pub(super) out: usize,
    /// Keys whose slots work and do not rest, and how many slots of each.
    pub(super) present: BTreeMap<KeyId, usize>,
    /// Why nothing more is taken, as it was said then, since the run began.
    pub(super) stop: Option<(Stop, Duration)>,
}

impl Tray {
    pub(super) fn new(owned: Owned) -> Self {
        Self { owned, ..Self::default() }
    }

    /// Whether one more may come.
    pub(super) fn has_room(&mut self, capacity: usize) -> bool {
        let still = self.full && self.ready.len() > capacity / 2;
        self.full = still || self.ready.len() >= capacity;
        !self.full && !self.holds_much()
    }

    /// Whether there is room again since the last one was taken.
    pub(super) fn is_roomy(&mut self, capacity: usize) -> bool {
        let roomy = !self.full || self.ready.len() <= capacity / 2;
        self.full &= !roomy;
        roomy
    }

    fn held(&self) -> usize {
        let parked: usize = self.parked.values().map(|parked| parked.tasks.len()).sum();
        parked + self.later.len() + self.named.len()
    }

    /// Whether so many wait aside that no more are read.
    pub(super) fn holds_much(&self) -> bool {
        let parked: usize = self.parked.values().map(|parked| parked.tasks.room()).sum();
        self.later.len() >= MOST_PAUSING || parked + self.later.room() + self.named.room() >= MOST_HELD
    }

    /// Those that nobody has taken.
    pub(super) fn waiting(&self) -> usize {
        self.ready.len() + self.held()
    }

    pub(super) fn is_done(&self) -> bool {
        self.ended && self.out == 0 && self.waiting() == 0
    }

    /// Behind all others, or before them.
    pub(super) fn put(&mut self, work: Box<Work>, first: bool) {
        self.owned.is_back(&work);
        match self.parked.get_mut(&self.owned.lane(&work)) {
            Some(parked) => parked.tasks.put(work, first),
            None if first => self.ready.push_front(work),
            None => self.ready.push_back(work),
        }
    }

    /// Not before then.
    pub(super) fn put_later(&mut self, work: Box<Work>, at: Duration) {
        self.owned.is_back(&work);
        self.later.put(work, at);
    }

    pub(super) fn has_named(&self) -> bool {
        !self.named.is_empty()
    }

    pub(super) fn has_pausing(&self) -> bool {
        !self.later.is_empty()
    }

    /// No key may carry its model, `next`: until when, where any comes back. All of that model's wait together. Whether that
    /// is news for whoever sleeps.
    pub(super) fn park(&mut self, work: Box<Work>, why: Exhausted, next: Option<Duration>, now: Duration) -> bool {
        let pause = next.unwrap_or(LOOK_AGAIN).clamp(Duration::from_millis(10), LOOK_AGAIN);
        self.owned.is_back(&work);
        let (until, back, model) = (now + pause, next.map(|next| now + next), self.owned.lane(&work));
        let news = self.forget_scout(work.index, now) | !self.parked.contains_key(&model);
        if let Some(parked) = self.parked.get_mut(&model) {
            (parked.until, parked.why, parked.at, parked.back) = (until, why, now, back);
        } else {
            // What is ready of it waits as well.
            let mut tasks = Pile::default();
            self.named.part(&mut tasks, |named| self.owned.lane(named) == model);
            for ready in std::mem::take(&mut self.ready) {
                if self.owned.lane(&ready) == model { tasks.put(ready, false) } else { self.ready.push_back(ready) }
            }
            self.parked.insert(model, Parked { until, scout: None, why, at: now, back, tasks });
        }
        self.put(work, true);
        news
    }

    /// All clocks strike.
    pub(super) fn strike(&mut self, now: Duration) {
        self.parked.values_mut().for_each(|parked| parked.until = parked.until.min(now));
    }

    /// A request of this model was answered: its tasks go on. Whether any waited.
    pub(super) fn open(&mut self, model: &str) -> bool {
        let Some(parked) = self.parked.remove(model) else { return false };
        for work in parked.tasks.into_tasks().into_iter().rev() {
            self.ready.push_front(work);
        }
        true
    }

    /// This task was answered: those that it was tried for go on, also where it is known now whose they are. Whether any waited.
    pub(super) fn open_of(&mut self, work: &Work) -> bool {
        let tried = self.parked.iter().find(|(_, parked)| parked.scout == Some(work.index)).map(|(lane, _)| lane);
        let lanes = [tried.cloned(), Some(Arc::clone(&work.model)), Some(self.owned.lane(work))];
        lanes.into_iter().flatten().fold(false, |opened, lane| {
            self.droughts.ends(&lane);
            self.open(&lane) || opened
        })
    }

    /// This task goes to try nothing any more: another may. Whether it did.
    pub(super) fn forget_scout(&mut self, index: u64, now: Duration) -> bool {
        let of_way = self.away.as_mut().is_some_and(|away| away.forget_scout(index));
        let Some((model, parked)) = self.parked.iter_mut().find(|(_, parked)| parked.scout == Some(index)) else {
            return of_way;
        };
        (parked.scout, parked.until) = (None, now);
        if parked.tasks.is_empty() {
            let model = Arc::clone(model);
            self.parked.remove(&model);
        }
        true
    }

    /// The next one for a worker, or for a slot of this key.
    pub(super) fn pop(&mut self, key: Option<&KeyId>, now: Duration) -> Option<Box<Work>> {
        while let Some(work) = self.later.due(now) {
            // Where keys turned it away that others may be served by, these show whether it is the task.
            let first = work.unheld == 0;
            self.put(work, first);
        }
        if self.away.as_ref().is_some_and(|away| away.holds(now)) {
            return None;
        }
        let work = self.pop_scout(key, now).or_else(|| self.pop_ready(key))?;
        if let Some(away) = &mut self.away {
            away.goes(work.index);
        }
        self.owned.goes(&work);
        Some(work)
    }

    /// One of a model whose clock strikes.
    fn pop_scout(&mut self, key: Option<&KeyId>, now: Duration) -> Option<Box<Work>> {
        let due = |parked: &&mut Parked| parked.scout.is_none() && parked.until <= now && !parked.tasks.is_empty();
        let owned = &self.owned;
        let (parked, at) = self.parked.values_mut().filter(due).find_map(|parked| {
            let at = parked.scout_for(owned, key)?;
            Some((parked, at))
        })?;
        let work = parked.tasks.remove(at)?;
        parked.scout = Some(work.index);
        Some(work)
    }

    fn pop_ready(&mut self, key: Option<&KeyId>) -> Option<Box<Work>> {
        let named = self.named.iter().take(MOST_LOOKED_AT).position(|work| self.owned.may_go(work, key));
        if let Some(at) = named {
            return self.named.remove(at);
        }
        let (mut at, mut looked) = (None, 0);
        while let Some(work) = self.ready.get(looked).filter(|_| looked < 64 && at.is_none()) {
            if self.owned.may_go(work, key) {
                at = fits(work, key).then_some(looked);
                looked += 1;
            } else {
                let Some(work) = self.ready.remove(looked) else { break };
                self.named.put(work, false);
            }
        }
        // A key that was tried is better than none, where nothing else can come, and no slot of another key will.
        let at = at.or_else(|| {
            let stuck = self.ended || self.full;
            let nobody_else =
                |work: &Work| work.names.is_none() && self.present.keys().all(|key| work.tried.contains(key));
            stuck.then(|| self.ready.iter().take(64).position(|work| nobody_else(work))).flatten()
        });
        self.ready.remove(at?)
    }

    /// How long until something may be taken by a worker, or by a slot of this key; `None`: only something that happens brings it.
    pub(super) fn next(&self, key: Option<&KeyId>, now: Duration) -> Option<Duration> {
        if let Some(away) = self.away.as_ref().filter(|away| away.holds(now)) {
            return away.strikes_in(now);
        }
        let later = self.later.next();
        let waits = |parked: &&Parked| parked.scout.is_none() && parked.scout_for(&self.owned, key).is_some();
        let parked = self.parked.values().filter(waits).map(|parked| parked.until).min();
        let at = later.into_iter().chain(parked).min()?;
        Some(at.saturating_sub(now).max(Duration::from_millis(1)))
    }

    /// Whether nothing can be done for longer than may be waited, and why.
    pub(super) fn is_out(&self, most: Option<Duration>, now: impl FnOnce() -> Duration) -> Option<(Stop, Duration)> {
        // What is under way, or stands in the pool's line, may be of another model, and may give its place back.
        if self.parked.is_empty() || self.out > 0 {
            return None;
        }
        let all_read = self.ended || self.holds_much();
        if !(all_read && self.ready.is_empty() && self.named.is_empty() && self.later.is_empty()) {
            return None;
        }
        let now = now();
        let too_long = |model: &str, parked: &Parked| match (parked.back, most) {
            (Some(back), Some(most)) => back > self.droughts.bears_until(model, most, now),
            (Some(_), None) => false,
            (None, _) => true,
        };
        if !self.parked.iter().all(|(model, parked)| too_long(model, parked)) {
            return None;
        }
        let soonest = self.parked.values().min_by_key(|parked| parked.back.unwrap_or(Duration::MAX))?;
        let why = soonest.why(now);
        Some((if soonest.back.is_none() { Stop::NoKey(why) } else { Stop::OutOfQuota(why) }, now))
    }
}

fn fits(work: &Work, key: Option<&KeyId>) -> bool {
    // One that refers to something goes to whoever has that.
    work.names.is_some() || key.is_none_or(|key| !work.tried.contains(key))
}
