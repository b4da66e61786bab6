//! A lease: the right to send one request with one key.

use std::{
    borrow::Cow,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use super::{Demand, KeyPool, Particulars, ServedBy, exits::USUAL, trace};
use crate::{
    error::Error,
    key::{Exit, KeyId, Secret},
    limit::same_moment,
    provider::NamedIn,
    time::Tick,
    verdict::Verdict,
};

/// What an answer says it cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input_tokens: Option<u64>,
    /// Tokens of the answer, thoughts included.
    pub output_tokens: Option<u64>,
    /// Tokens of the prompt that came from a cache.
    pub cached_tokens: Option<u64>,
}

impl Usage {
    /// The same with what `later` knows put over it.
    #[must_use]
    pub fn updated(self, later: Self) -> Self {
        Self {
            input_tokens: later.input_tokens.or(self.input_tokens),
            output_tokens: later.output_tokens.or(self.output_tokens),
            cached_tokens: later.cached_tokens.or(self.cached_tokens),
        }
    }
}

/// A granted key: the right to send one request. Not `Clone`.
///
/// It may be [judged](Lease::judge) (rests begin at once), and it ends exactly once: when it is
/// [settled](Lease::settle) or dropped. Dropped unjudged, it counts its start and says nothing about the key.
///
/// ```
/// use tower_keypool::{Gemini, Key, KeyPool, Verdict};
///
/// let pool = KeyPool::builder(Gemini::new()).key(Key::new("AIza-not-a-real-key-000").id("first")).build()?;
/// let lease = pool.try_acquire("gemini-2.5-flash")?;
/// assert_eq!(lease.key_id().to_string(), "first");
/// // … send the request with lease.expose() …
/// lease.settle(&Verdict::SUCCESS);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a lease that is dropped at once holds nothing"]
pub struct Lease {
    /// Nothing once it has ended, or a [`Slot`] has taken it over.
    held: Option<Granted>,
}

/// What a lease holds in the pool, without its key: ends the lease when it is dropped. As long as nothing but the end is
/// missing, this is all that has to be carried along.
pub(crate) struct Slot {
    pool: KeyPool,
    seat: Seat,
}

/// A lease's seat in the pool: an index and the generation that tells an old lease from a new one in the same seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// Whoever lets go of a lease takes it whole.
const HELD: &str = "held as long as there is a lease";

impl Lease {
    #[inline]
    pub(crate) fn new(granted: Granted) -> Self {
        Self { held: Some(granted) }
    }

    /// Parts it, where it stands: what is told of its answer, and the slot, which is all that still ends it.
    #[inline]
    pub(crate) fn part(&mut self) -> (Granted, Slot) {
        let granted = self.let_go();
        let slot = Slot { pool: granted.pool.clone(), seat: granted.seat };
        (granted, slot)
    }

    /// Lets go of everything but the slot.
    #[inline]
    pub(crate) fn into_slot(mut self) -> Slot {
        let Granted { pool, seat, .. } = self.let_go();
        Slot { pool, seat }
    }

    /// It ends no more when it is dropped.
    #[inline]
    fn let_go(&mut self) -> Granted {
        self.held.take().expect(HELD)
    }

    /// The same for a request of which more is known than when it was taken.
    pub(crate) fn of_request(mut self, demand: &Demand) -> Self {
        if let Some(held) = &mut self.held {
            held.names_nothing |= demand.names_nothing;
        }
        self
    }

    /// The key's name: the only form that is logged.
    pub fn key_id(&self) -> &KeyId {
        &self.granted().key
    }

    /// The exit that the request is to go out by; `None`: the usual way.
    pub fn exit(&self) -> Option<Exit> {
        self.granted().exit()
    }

    /// The secret itself, for the request alone.
    pub fn expose(&self) -> &str {
        self.granted().secret.expose()
    }

    /// The secret, in the form that the provider's header carries.
    pub fn secret(&self) -> &Secret {
        &self.granted().secret
    }

    /// The model whose lane it was granted in.
    pub fn model(&self) -> Option<&str> {
        self.granted().model.as_deref()
    }

    /// Says that the request goes out now: limits count from here. Of a pool that
    /// [shares](crate::KeyPoolBuilder::open_shared) its keys, false: it must not, since its key is another process's by
    /// now.
    pub fn started(&self) -> bool {
        self.granted().started()
    }

    /// Says what the answer meant. Rests begin at once; judging again is allowed and the worst holds. Keys of the pool
    /// in its code and advice are overwritten.
    pub fn judge(&self, verdict: &Verdict) {
        self.granted().judge(verdict);
    }

    /// Says what the answer meant, and ends: what [`judge`](Self::judge) and a drop at once do, for whoever is done
    /// with the answer. The pool is locked once instead of twice.
    pub fn settle(mut self, verdict: &Verdict) {
        let granted = self.granted();
        if verdict.has_own_words() {
            granted.settle_worded(verdict);
        } else {
            granted.settle(verdict);
        }
        // Where it stands: moved out, all of it would be copied.
        self.held = None;
    }

    /// Says what the answer cost; corrects what was reserved.
    pub fn usage(&self, usage: Usage) {
        self.granted().usage(usage);
    }

    /// A handle for whoever judges the answer elsewhere. It holds no slot and does nothing once the lease has ended.
    #[inline]
    pub fn granted(&self) -> &Granted {
        self.held.as_ref().expect(HELD)
    }
}

impl Drop for Lease {
    #[inline]
    fn drop(&mut self) {
        if let Some(granted) = &self.held {
            granted.pool.end(granted.seat);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.pool.end(self.seat);
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("key", &self.granted().key)
            .field("model", &self.granted().told_model())
            .finish_non_exhaustive()
    }
}

/// What [`KeyRotationLayer`](crate::KeyRotationLayer) tells [`CooldownLayer`](crate::CooldownLayer): which lease the
/// request goes out with. A clone holds no slot, and does nothing once the lease has ended.
#[derive(Clone)]
pub struct Granted {
    pub(crate) pool: KeyPool,
    pub(crate) seat: Seat,
    /// The request's place in line.
    pub(crate) ticket: u64,
    pub(crate) key: KeyId,
    pub(crate) secret: Secret,
    pub(crate) model: Option<Arc<str>>,
    pub(crate) particulars: Particulars,
    /// Where the request names its model.
    pub(crate) named_in: NamedIn,
    /// And whether that it names nothing else is known.
    pub(crate) names_nothing: bool,
}

impl Granted {
    #[inline]
    fn settle(&self, verdict: &Verdict) {
        self.pool.settle(self.seat, verdict);
        trace::judged(self, verdict);
    }

    /// The same of one whose words may hold a key; apart, since most have none.
    #[cold]
    #[inline(never)]
    fn settle_worded(&self, verdict: &Verdict) {
        let cleared = self.pool.cleared(verdict);
        self.settle(cleared.as_ref().unwrap_or(verdict));
    }

    /// The model as it may be told: whoever chose it may have sent a key.
    fn told_model(&self) -> Option<Cow<'_, str>> {
        self.model.as_deref().map(|model| self.pool.masked(model))
    }

    /// The key's name.
    pub fn key_id(&self) -> &KeyId {
        &self.key
    }

    /// The exit that the request is to go out by; `None`: the usual way. Asks the pool where there is one.
    #[inline]
    pub fn exit(&self) -> Option<Exit> {
        match self.secret.exit() {
            USUAL => None,
            exit => self.pool.exit_numbered(exit),
        }
    }

    /// Says what the answer meant; rests begin at once.
    pub fn judge(&self, verdict: &Verdict) {
        let cleared = self.pool.cleared(verdict);
        let verdict = cleared.as_ref().unwrap_or(verdict);
        self.pool.judge(self.seat, verdict);
        trace::judged(self, verdict);
    }

    /// Says what the answer cost.
    pub fn usage(&self, usage: Usage) {
        if let Some(meter) = &self.particulars.meter {
            meter.read(usage);
        }
        self.pool.usage(self.seat, usage);
    }

    /// Says that the request goes out now: limits count from here. The last call before the answer holds. False: it must
    /// not, see [`Lease::started`].
    pub fn started(&self) -> bool {
        self.pool.started(self.seat)
    }

    /// What is said of a request that must not go out.
    pub(crate) fn void(&self) -> Error {
        self.pool.void(self.model.clone())
    }

    /// For whoever only says when the request goes out.
    pub(crate) fn start(&self) -> Start {
        Start { pool: self.pool.clone(), seat: self.seat, said: Tick::NEVER }
    }

    /// Who served, for the answer or the error.
    pub(crate) fn served_by(&self, verdict: Verdict) -> ServedBy {
        if let Some(meter) = &self.particulars.meter {
            meter.judged(self, &verdict);
        }
        ServedBy {
            key: Some(self.key.clone()),
            requested: self.particulars.requested.clone().or_else(|| self.model.clone()),
            used: self.model.clone(),
            verdict,
            earlier: self.particulars.earlier.clone(),
            keep: None,
            seq: self.ticket,
            seat: Some(self.seat),
        }
    }
}

impl fmt::Debug for Granted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Granted").field("key", &self.key).field("model", &self.told_model()).finish_non_exhaustive()
    }
}

/// Says when a request goes out.
pub(crate) struct Start {
    pool: KeyPool,
    seat: Seat,
    /// When the pool was told last, and had nothing against it; else never.
    said: Tick,
}

impl Start {
    /// It goes out now. Connections say so several times within microseconds, which are one moment to every limit: the
    /// pool is told once.
    pub(crate) fn started(&mut self) -> bool {
        let now = self.pool.clock().now();
        let told = self.said != Tick::NEVER && same_moment(self.said, now.tick);
        if !told {
            self.said = if self.pool.started_at(self.seat, now) { now.tick } else { Tick::NEVER };
        }
        self.said != Tick::NEVER
    }
}

/// A lease that whoever runs an upgraded connection may take over, once.
#[derive(Clone)]
pub(crate) struct Kept(Arc<Mutex<Option<Lease>>>);

impl Kept {
    pub(crate) fn new(lease: Lease) -> Self {
        Self(Arc::new(Mutex::new(Some(lease))))
    }

    pub(crate) fn take(&self) -> Option<Lease> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}

/// The lease that the retry policy took for the next attempt, to be taken once by the layer below.
#[derive(Default)]
pub(crate) struct Prepared {
    lease: Mutex<Option<Lease>>,
    /// Until when the request may wait for another, should somebody else need this one sooner.
    until: Tick,
    given_back: AtomicBool,
}

impl Prepared {
    pub(crate) fn or_until(until: Tick) -> Self {
        Self { until, ..Self::default() }
    }

    pub(crate) fn put(&self, lease: Lease) {
        *self.lock() = Some(lease);
    }

    pub(crate) fn take(&self) -> Option<Lease> {
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Lease>> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the lease back where somebody waits for a key. Whether it is here no more.
    pub(crate) fn yield_to_waiters(&self) -> bool {
        let mut held = self.lock();
        let Some(lease) = &*held else { return true };
        if lease.granted().pool.state().waiters.is_empty() {
            return false;
        }
        let lease = held.take();
        self.given_back.store(true, Ordering::Relaxed);
        drop(held);
        drop(lease);
        true
    }

    /// How long the request may wait for another lease, where this one was given back.
    pub(crate) fn wait_again(&self, now: Tick) -> Option<Duration> {
        self.given_back.load(Ordering::Relaxed).then(|| self.until.since(now))
    }
}
