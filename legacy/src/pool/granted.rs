//! What the layers below hold of a lease: everything but its end.

use std::{borrow::Cow, fmt, sync::Arc};

use super::{KeyPool, Particulars, Seat, ServedBy, Usage, exits::USUAL, trace};
use crate::{
    error::Error,
    key::{Exit, KeyId, Secret},
    limit::same_moment,
    provider::NamedIn,
    time::Tick,
    verdict::Verdict,
};

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
    /// Hands on what the answer meant, without the keys that its words hold.
    #[inline]
    pub(super) fn say(&self, verdict: &Verdict, to_pool: impl FnOnce(&KeyPool, Seat, &Verdict)) {
        if verdict.has_own_words() {
            self.say_worded(verdict, to_pool);
        } else {
            to_pool(&self.pool, self.seat, verdict);
            trace::judged(self, verdict);
        }
    }

    /// Apart, since most verdicts have no words of their own, and room for another one costs.
    #[cold]
    #[inline(never)]
    fn say_worded(&self, verdict: &Verdict, to_pool: impl FnOnce(&KeyPool, Seat, &Verdict)) {
        let cleared = self.pool.cleared(verdict);
        let verdict = cleared.as_ref().unwrap_or(verdict);
        to_pool(&self.pool, self.seat, verdict);
        trace::judged(self, verdict);
    }

    /// The model as it may be told: whoever chose it may have sent a key.
    pub(super) fn told_model(&self) -> Option<Cow<'_, str>> {
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
        self.say(verdict, KeyPool::judge);
    }

    /// Says what the answer cost.
    pub fn usage(&self, usage: Usage) {
        if let Some(meter) = &self.particulars.meter {
            meter.read(usage);
        }
        self.pool.usage(self.seat, usage);
    }

    /// Says that the request goes out now: limits count from here. The last call before the answer holds. False: it must
    /// not, see [`Lease::started`](super::Lease::started).
    pub fn started(&self) -> bool {
        self.pool.started(self.seat)
    }

    /// A pause that was made with it in hand is over.
    pub(crate) fn paused(&self) {
        if let Some(meter) = &self.particulars.meter {
            meter.paused(self.pool.clock().tick());
        }
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
        let told = self.said != Tick::NEVER && same_moment(self.said, self.pool.clock().tick());
        if !told {
            let now = self.pool.clock().now_anew();
            self.said = if self.pool.started_at(self.seat, now) { now.tick } else { Tick::NEVER };
        }
        self.said != Tick::NEVER
    }
}
