//! A lease: the right to send one request with one key.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Demand, Granted, KeyPool};
use crate::{
    key::{Exit, KeyId, Secret},
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
        self.granted().say(verdict, KeyPool::settle);
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

/// A lease that whoever runs an upgraded connection may take over, once.
#[derive(Clone)]
pub(crate) struct Kept(Arc<Mutex<Option<Lease>>>);

impl Kept {
    pub(crate) fn new(lease: Lease) -> Self {
        Self(Arc::new(Mutex::new(Some(lease))))
    }

    pub(crate) fn take(&self) -> Option<Lease> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kept")
    }
}
