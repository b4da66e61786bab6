//! The desk: where tasks wait until a worker takes them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::sync::{Notify, watch};
use tower_keypool::{Clock, Exhausted, KeyId, Tick};

use super::Id;

/// A task on its way.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) id: Id,
    pub(crate) index: u64,
    pub(crate) hash: u64,
    pub(crate) model: Arc<str>,
    pub(crate) path: std::borrow::Cow<'static, str>,
    pub(crate) body: Bytes,
    pub(crate) fields: Map<String, Value>,
    /// How often it was sent, and how often that was a key's fault.
    pub(crate) attempts: u32,
    pub(crate) key_faults: u32,
    /// Faults of its own.
    pub(crate) faults: u32,
    /// Keys that were tried in vain.
    pub(crate) tried: Vec<KeyId>,
}

/// Why the run ends before all is done.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    /// Somebody asked for it.
    Asked,
    /// No key within the time that may be waited.
    OutOfQuota(Exhausted),
    /// Every key is switched off.
    NoKey(Exhausted),
    /// What goes out or comes in failed.
    Failed(Arc<str>),
}

/// Tasks of a model that no key may carry for a while.
#[derive(Debug)]
struct Parked {
    until: Duration,
    why: Exhausted,
    tasks: VecDeque<Work>,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Work>,
    /// More come once half of them are taken: not each for itself.
    full: bool,
    /// Those that pause: since the run began, until when.
    later: BTreeMap<(Duration, u64), Work>,
    parked: BTreeMap<Arc<str>, Parked>,
    parked_tasks: usize,
    /// No more will come.
    ended: bool,
    /// Taken and not done.
    out: usize,
    /// Keys whose slots work and do not rest, and how many slots of each.
    present: BTreeMap<KeyId, usize>,
    stop: Option<Stop>,
}

/// Where tasks wait.
#[derive(Debug)]
pub(crate) struct Desk {
    state: Mutex<State>,
    /// Somebody may take something, or all is over.
    changed: Notify,
    /// There is room for more.
    room: Notify,
    capacity: usize,
    clock: Clock,
    begun: Tick,
    /// How long may be waited for a key.
    max_wait: Option<Duration>,
    stopping: watch::Sender<bool>,
}

/// Tasks of models that are out are held up to so many; then nothing more is read.
const MOST_PARKED: usize = 1_000;
/// Nobody relies on a forecast for longer: rests are lifted by hand, too.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

impl Desk {
    pub(crate) fn new(clock: Clock, capacity: usize, max_wait: Option<Duration>) -> Self {
        let begun = clock.tick();
        let (state, changed, room) = (Mutex::default(), Notify::new(), Notify::new());
        let stopping = watch::Sender::new(false);
        Self { state, changed, room, capacity, clock, begun, max_wait, stopping }
    }

    /// Since the run began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.tick().since(self.begun)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a task, once there is room. False: none is wanted any more.
    pub(crate) async fn add(&self, work: Work) -> bool {
        let mut work = Some(work);
        loop {
            let room = self.room.notified();
            {
                let mut state = self.lock();
                if state.stop.is_some() {
                    return false;
                }
                let still = state.full && state.ready.len() > self.capacity / 2;
                state.full = still || state.ready.len() >= self.capacity;
                if !state.full && state.parked_tasks < MOST_PARKED {
                    state.ready.extend(work.take());
                    drop(state);
                    self.changed.notify_one();
                    return true;
                }
            }
            room.await;
        }
    }

    /// No more will come.
    pub(crate) fn end(&self) {
        let mut state = self.lock();
        state.ended = true;
        state.park_ready();
        if !self.end_if_out(state) && !self.tell_if_done(self.lock()) {
            self.changed.notify_waiters();
        }
    }

    /// Nothing more is taken; what is under way ends.
    pub(crate) fn stop(&self, why: Stop) {
        self.lock().stop.get_or_insert(why);
        self.tell_stop();
    }

    fn tell_stop(&self) {
        self.stopping.send_replace(true);
        self.changed.notify_waiters();
        self.room.notify_waiters();
    }

    pub(crate) fn stopped(&self) -> Option<Stop> {
        self.lock().stop.clone()
    }

    /// Resolves when nothing more is to be taken: it was stopped, or all is done.
    pub(crate) async fn until_stopped(&self) {
        // The sender lives here.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// A slot of this key works from now on.
    pub(crate) fn enter(&self, key: &KeyId) {
        *self.lock().present.entry(key.clone()).or_default() += 1;
    }

    /// It does not, for a while or any more: what waited for it may go to others.
    pub(crate) fn leave(&self, key: &KeyId) {
        let mut state = self.lock();
        if let Some(slots) = state.present.get_mut(key) {
            *slots -= 1;
            if *slots == 0 {
                state.present.remove(key);
                drop(state);
                self.changed.notify_waiters();
            }
        }
    }

    /// The next task for a worker, best one that this key was not tried with. `None`: there will be none.
    pub(crate) async fn take(&self, key: Option<&KeyId>) -> Option<Work> {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            let next = {
                let mut state = self.lock();
                if state.stop.is_some() {
                    return None;
                }
                let now = self.elapsed();
                state.wake(now);
                if state.park_ready() {
                    self.room.notify_one();
                }
                if let Some(work) = state.pop(key) {
                    state.out += 1;
                    let roomy = !state.full || state.ready.len() <= self.capacity / 2;
                    state.full &= !roomy;
                    drop(state);
                    if roomy {
                        self.room.notify_one();
                    }
                    return Some(work);
                }
                if state.is_done() {
                    return None;
                }
                if self.end_if_out(state) {
                    return None;
                }
                self.lock().next(now)
            };
            match next {
                Some(pause) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep(pause) => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    /// A task that was taken is done.
    pub(crate) fn done(&self) {
        let mut state = self.lock();
        state.out -= 1;
        self.tell_if_done(state);
    }

    /// Where all is done, nobody need wait any more.
    fn tell_if_done(&self, state: MutexGuard<'_, State>) -> bool {
        let done = state.is_done();
        drop(state);
        if done {
            self.tell_stop();
        }
        done
    }

    /// A task that was taken is to be taken again, after a pause where there is one.
    pub(crate) fn put_back(&self, work: Work, pause: Duration) {
        let mut state = self.lock();
        state.out -= 1;
        if pause.is_zero() {
            state.ready.push_front(work);
        } else {
            let at = self.elapsed() + pause;
            state.later.insert((at, work.index), work);
        }
        drop(state);
        // Not everybody may want it.
        self.changed.notify_waiters();
    }

    /// No key may carry this model for a while: its tasks wait, and those of other models go on. Where nothing else is to
    /// be done and it takes longer than may be waited, the run ends.
    pub(crate) fn park(&self, work: Work, why: Exhausted) {
        let pause = why.next_in();
        let now = self.elapsed();
        let mut state = self.lock();
        state.out -= 1;
        let until = now + pause.unwrap_or(LOOK_AGAIN).clamp(Duration::from_millis(10), LOOK_AGAIN);
        let model = Arc::clone(&work.model);
        state.parked_tasks += 1;
        let parked =
            state.parked.entry(model).or_insert_with(|| Parked { until, why: why.clone(), tasks: VecDeque::new() });
        (parked.until, parked.why) = (until, why);
        parked.tasks.push_back(work);
        state.park_ready();
        if !self.end_if_out(state) {
            self.changed.notify_waiters();
            self.room.notify_one();
        }
    }

    /// Ends the run where nothing but tasks is left that wait for longer than may be waited. Whether it did.
    fn end_if_out(&self, mut state: MutexGuard<'_, State>) -> bool {
        let Some(stop) = state.is_out(self.max_wait).filter(|_| state.stop.is_none()) else { return false };
        state.stop = Some(stop);
        drop(state);
        self.tell_stop();
        true
    }

    /// Tasks that were taken from the input and are not done, and those among them that nobody has taken.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let state = self.lock();
        let waiting = state.ready.len() + state.later.len() + state.parked_tasks;
        (waiting + state.out, waiting)
    }

    /// Whom the run waits for: the model, why, and when it looks again.
    pub(crate) fn parked(&self) -> Vec<(Arc<str>, Exhausted)> {
        self.lock().parked.iter().map(|(model, parked)| (Arc::clone(model), parked.why.clone())).collect()
    }
}

impl State {
    /// Makes ready what waited long enough.
    fn wake(&mut self, now: Duration) {
        while let Some(entry) = self.later.first_entry()
            && entry.key().0 <= now
        {
            self.ready.push_front(entry.remove());
        }
        let due: Vec<Arc<str>> =
            self.parked.iter().filter(|(_, parked)| parked.until <= now).map(|(model, _)| Arc::clone(model)).collect();
        for model in due {
            let Some(parked) = self.parked.remove(&model) else { continue };
            self.parked_tasks -= parked.tasks.len();
            for work in parked.tasks.into_iter().rev() {
                self.ready.push_front(work);
            }
        }
    }

    fn pop(&mut self, key: Option<&KeyId>) -> Option<Work> {
        let fits = |work: &Work| key.is_none_or(|key| !work.tried.contains(key));
        let at = self.ready.iter().take(64).position(fits);
        // A key that was tried is better than none, where nothing else can come, and no slot of another key will.
        let at = at.or_else(|| {
            let stuck = self.ended || self.full;
            let nobody_else = |work: &Work| self.present.keys().all(|key| work.tried.contains(key));
            stuck.then(|| self.ready.iter().take(64).position(nobody_else)).flatten()
        });
        self.ready.remove(at?)
    }

    /// What is ready of models that are out waits with them. Whether there was any.
    fn park_ready(&mut self) -> bool {
        if self.parked.is_empty() {
            return false;
        }
        let before = self.ready.len();
        for work in std::mem::take(&mut self.ready) {
            match self.parked.get_mut(&work.model) {
                Some(parked) => parked.tasks.push_back(work),
                None => self.ready.push_back(work),
            }
        }
        self.parked_tasks += before - self.ready.len();
        before > self.ready.len()
    }

    /// Whether nothing can be done for longer than may be waited, and why.
    fn is_out(&self, most: Option<Duration>) -> Option<Stop> {
        let all_read = self.ended || self.parked_tasks >= MOST_PARKED;
        if !(all_read && self.ready.is_empty() && self.later.is_empty()) {
            return None;
        }
        let too_long = |why: &Exhausted| match (why.next_in(), most) {
            (Some(next), Some(most)) => next > most,
            (Some(_), None) => false,
            (None, _) => !why.may_end_any_time(),
        };
        if !self.parked.values().all(|parked| too_long(&parked.why)) {
            return None;
        }
        let soonest =
            self.parked.values().map(|parked| &parked.why).min_by_key(|why| why.next_in().unwrap_or(Duration::MAX))?;
        let why = soonest.clone();
        Some(if why.next_in().is_none() { Stop::NoKey(why) } else { Stop::OutOfQuota(why) })
    }

    fn is_done(&self) -> bool {
        self.ended && self.out == 0 && self.ready.is_empty() && self.later.is_empty() && self.parked_tasks == 0
    }

    /// How long until something wakes.
    fn next(&self, now: Duration) -> Option<Duration> {
        let later = self.later.first_key_value().map(|((at, _), _)| *at);
        let parked = self.parked.values().map(|parked| parked.until).min();
        let at = later.into_iter().chain(parked).min()?;
        Some(at.saturating_sub(now).max(Duration::from_millis(1)))
    }
}
