//! What all parts of a run share: the desk, the counts, and what is told of faults.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tower_keypool::{Demand, Exhausted, KeyId, KeyView, OutReason, Snapshot, Tick};

use super::{
    Id, Resting, Statistics, TaskResult,
    attempt::Bad,
    builder::Options,
    busy::Busy,
    desk::{Desk, Stop},
    dialect::Dialect,
    faults::Told,
    input::InputError,
    part::{self, Part},
    statistics::{Tally, Unreachable, time},
};
use crate::client::Client;

/// What all parts of a run share.
pub(crate) struct Shared {
    pub(crate) client: Client,
    pub(crate) dialect: Dialect,
    pub(crate) options: Options,
    pub(crate) desk: Desk,
    tally: Mutex<Tally>,
    active: Busy,
    /// What it has of the keys.
    part: Part,
    paused: AtomicUsize,
    /// When the last request began, in nanoseconds since the run did.
    begun_last: AtomicU64,
    by_slot: Mutex<Vec<u64>>,
    /// Keys that cost nothing.
    free: Mutex<HashSet<KeyId>>,
    /// All keys, and which come first.
    keys: Mutex<Arc<[(KeyId, u16)]>>,
    /// What whoever listens to faults has to be told, and was.
    pub(super) told: Mutex<Option<Told>>,
    synced: Mutex<Duration>,
    pub(super) failure: Mutex<Option<String>>,
    pub(super) refused: Mutex<Vec<InputError>>,
}

/// The longest pause before another attempt of a task.
const LONGEST: Duration = Duration::from_secs(30);
/// How long nothing may answer at the provider's address.
const NETWORK_PATIENCE: Duration = Duration::from_secs(3_600);

impl Shared {
    pub(crate) fn new(client: Client, options: Options, workers: usize) -> Self {
        let pool = client.pool().clone();
        let keys = pool.snapshot().keys;
        let free = Mutex::new(free(&keys));
        let others = Mutex::new(by_priority(&keys));
        let told = options.on_fault.is_some().then(|| Told::of(&pool));
        let holdings = client.holdings().clone();
        let mut tally = Tally::default();
        tally.statistics.tasks = options.tasks.unwrap_or_default();
        Self {
            dialect: Dialect::of(&pool),
            desk: Desk::new(pool.clock().clone(), (workers * 2).clamp(32, 1024), options.max_wait, Some(holdings)),
            client,
            options,
            tally: Mutex::new(tally),
            active: Busy::default(),
            part: Part::default(),
            paused: AtomicUsize::new(0),
            begun_last: AtomicU64::new(0),
            by_slot: Mutex::default(),
            free,
            keys: others,
            told: Mutex::new(told),
            synced: Mutex::default(),
            failure: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    pub(crate) fn tally(&self, change: impl FnOnce(&mut Tally)) {
        change(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// Whether what is asked with this key costs nothing.
    pub(super) fn is_free(&self, key: &KeyId) -> bool {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).contains(key)
    }

    /// Keys of the pool were changed.
    pub(super) fn look_again(&self) {
        let keys = self.client.pool().snapshot().keys;
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) = free(&keys);
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = by_priority(&keys);
        self.desk.look_again();
    }

    /// All keys, and which come first.
    pub(super) fn keys(&self) -> Arc<[(KeyId, u16)]> {
        Arc::clone(&self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// So many work from now on; of slots, so many there ever were.
    pub(super) fn seat(&self, workers: usize, slots: Option<usize>) {
        self.tally(|tally| tally.statistics.slots = workers);
        if let Some(slots) = slots {
            self.by_slot.lock().unwrap_or_else(PoisonError::into_inner).resize(slots, 0);
        }
    }

    pub(crate) fn counted_before(&self) -> bool {
        self.options.tasks.is_some()
    }

    /// A result is in the output.
    pub(crate) fn count(&self, result: &TaskResult) {
        self.tally(|tally| tally.count(result));
    }

    /// Something in the input is no task. What is to be written of it; nothing where the input ends with it.
    pub(crate) fn refuse(&self, error: InputError, id: Option<Id>, index: u64) -> Option<Box<TaskResult>> {
        let result = if error.fatal {
            self.desk.stop(Stop::Failed(format!("the input: {error}").into()));
            None
        } else {
            Some(Box::new(TaskResult::no_task(&error, id, index, Arc::clone(&self.options.defaults.model))))
        };
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < 1_000 {
            refused.push(error);
        }
        result
    }

    /// A request is under way as long as what is given back lives.
    pub(crate) fn under_way(&self, worker: usize) -> UnderWay<'_> {
        if self.options.slots.is_some()
            && let Some(count) = self.by_slot.lock().unwrap_or_else(PoisonError::into_inner).get_mut(worker)
        {
            *count += 1;
        }
        self.active.begins(|| self.desk.elapsed());
        UnderWay(self)
    }

    /// A request begins now.
    pub(super) fn begins(&self, now: Tick) {
        let since = u64::try_from(now.since(self.desk.begun).as_nanos()).unwrap_or(u64::MAX);
        self.begun_last.store(since, Relaxed);
    }

    /// Since the last one began.
    pub(super) fn quiet(&self) -> Duration {
        self.desk.elapsed().saturating_sub(Duration::from_nanos(self.begun_last.load(Relaxed)))
    }

    /// A slot rests with its key; unless that is gone.
    pub(crate) fn resting(&self, key: &KeyId) -> Option<Counted<'_>> {
        let here = self.keys().iter().any(|(held, _)| held == key);
        here.then(|| Counted::new(&self.paused))
    }

    /// Why nobody may carry the model of tasks that name none, nor one in its place, for some seconds or until another process
    /// gives a key up; and how many keys such have. The pool tells whoever waits in its line of others that stand there; here
    /// they are all this run's.
    pub(super) fn all_wait(&self) -> Option<(Resting, usize)> {
        let chain = self.client.models_in_place().chain(&self.options.defaults.model);
        let all: Option<Vec<_>> = chain.iter().map(|model| self.waits_for(model)).collect();
        all?.into_iter().min_by(|(a, _), (b, _)| {
            let time = |resting: &Resting| resting.seconds.unwrap_or(f64::INFINITY);
            time(a).total_cmp(&time(b))
        })
    }

    /// The same of one model.
    fn waits_for(&self, model: &Arc<str>) -> Option<(Resting, usize)> {
        let pool = self.client.pool();
        let out = pool.outlook(Demand::new(Arc::clone(model))).filter(|out| out.keys() > 0)?;
        let seconds =
            |next: Option<Duration>| next.filter(|next| *next >= Duration::from_secs(1)).map(|next| next.as_secs_f64());
        if !out.may_end_any_time() {
            return seconds(out.may_serve_in())
                .map(|s| (Resting { model: Arc::clone(model), why: out.to_string(), seconds: Some(s) }, 0));
        }
        let snapshot = pool.snapshot();
        let (mut reasons, mut first) = (BTreeMap::<&str, usize>::new(), None::<Duration>);
        for key in &snapshot.keys {
            let lane = key.lanes.iter().find(|lane| lane.model.as_ref() == Some(model))?;
            *reasons.entry(lane.out.as_deref()?).or_default() += 1;
            first = first.into_iter().chain(lane.ready_in).min();
        }
        let lent = reasons.get(&*OutReason::HeldElsewhere.to_string()).copied().unwrap_or_default();
        let first = match first {
            None if lent > 0 => None,
            first => Some(seconds(first)?),
        };
        let reasons: Vec<String> = reasons.iter().map(|(reason, keys)| format!("{keys} {reason}")).collect();
        let until = match (lent, first) {
            (0, _) => "",
            (_, None) => "; until another process gives one up",
            (_, Some(_)) => "; or until another process gives one up",
        };
        let why = format!("no API key may serve {model} for now: {}{until}", reasons.join(", "));
        Some((Resting { model: Arc::clone(model), why, seconds: first }, lent))
    }

    /// A request did not arrive. False: none has for too long.
    pub(crate) fn unreached(&self, bad: &Bad) -> bool {
        let bears = self.desk.unreached(bad.message.as_str().into(), bad.holds_all(), self.patience());
        // Or answers may come yet.
        bears || self.active.now() > 0
    }

    /// How long nothing may answer.
    fn patience(&self) -> Duration {
        self.options.max_wait.unwrap_or(NETWORK_PATIENCE).clamp(Duration::from_secs(10), NETWORK_PATIENCE)
    }

    /// What is said at the end of it.
    pub(crate) fn never_reached(&self, bad: &Bad) -> String {
        let long = self.desk.away().map(|(_, _, lasted)| format!(", for {}", time(lasted))).unwrap_or_default();
        format!("{}{long}: check the network, the upstream URL and its name", bad.message)
    }

    /// The pause before a task is sent again after the n-th fault of the model.
    #[expect(clippy::unused_self, reason = "a setting some day")]
    pub(crate) fn backoff(&self, n: u32) -> Duration {
        let most = Duration::from_secs(1) * 2_u32.pow(n.saturating_sub(1).min(5));
        most.min(LONGEST).mul_f64(fastrand::f64())
    }

    /// Whether something is due that is done so often.
    pub(crate) fn due(&self, every: Duration) -> bool {
        let now = self.desk.elapsed();
        let mut last = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        let due = now.saturating_sub(*last) >= every;
        if due {
            *last = now;
        }
        due
    }

    /// The output cannot be kept.
    pub(crate) fn fail(&self, what: String) {
        self.desk.stop(Stop::Failed(what.as_str().into()));
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
    }

    /// What part of the keys it had so far; `None`: next to nothing. Whoever has nothing more to do, or all workers busy, wants
    /// no more of them.
    pub(super) fn part(&self, all: &Statistics, snapshot: &Snapshot) -> Option<f64> {
        let wants = all.queued > 0 && all.active < all.slots;
        let part = if wants { part::of_keys(snapshot, &self.options.defaults.model) } else { 1.0 };
        // What the keys allow, or what is answered where that is less.
        let possible = all.possible_per_second.map(|most| self.pace(all).map_or(most, |pace| most.min(pace)));
        if all.ok == 0 { Some(1.0) } else { self.part.look(self.desk.elapsed(), part, all.ok, possible) }
    }

    /// Good answers a second while any request was under way; `None` while those are few.
    pub(super) fn pace(&self, all: &Statistics) -> Option<f64> {
        let busy = self.active.lasted(self.desk.elapsed()).as_secs_f64();
        (all.seconds > 10.0 && all.ok > 10).then(|| all.ok as f64 / busy.max(1e-3))
    }

    pub(super) fn statistics(&self) -> Statistics {
        let mut all = Statistics::default();
        self.tally(|tally| all = tally.statistics.clone());
        let elapsed = self.desk.elapsed();
        all.seconds = elapsed.as_secs_f64();
        all.active = self.active.now();
        all.paused = self.paused.load(Relaxed);
        all.queued = self.desk.waiting().1;
        if self.counted_before() {
            all.queued = (all.left() as usize).saturating_sub(all.active);
        }
        all.by_slot.clone_from(&self.by_slot.lock().unwrap_or_else(PoisonError::into_inner));
        all.per_second = all.ok as f64 / elapsed.as_secs_f64().max(1e-3);
        let full =
            if self.desk.reads_no_more() { "; so many tasks wait for it that no more are read until then" } else { "" };
        let resting = |(model, why, back): (_, Exhausted, Option<Duration>)| Resting {
            model,
            why: format!("{why}{full}"),
            seconds: back.map(|back| back.as_secs_f64()),
        };
        all.resting = self.desk.parked().into_iter().map(resting).collect();
        let away =
            |(why, next, _): (Arc<str>, Duration, _)| Unreachable { why: why.to_string(), seconds: next.as_secs_f64() };
        all.unreachable = self.desk.away().map(away);
        all
    }
}

fn by_priority(keys: &[KeyView]) -> Arc<[(KeyId, u16)]> {
    keys.iter().map(|key| (key.id.clone(), key.priority)).collect()
}

/// Those of the free tier.
fn free(keys: &[KeyView]) -> HashSet<KeyId> {
    let free = keys.iter().filter(|key| key.tier.as_ref().is_some_and(|tier| tier.name() == "free"));
    free.map(|key| key.id.clone()).collect()
}

/// One more, as long as it lives.
pub(crate) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A request is under way, as long as it lives.
pub(crate) struct UnderWay<'a>(&'a Shared);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.active.ends(|| self.0.desk.elapsed());
    }
}
