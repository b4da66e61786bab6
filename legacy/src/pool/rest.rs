//! Rests: until when a scope is not to be used, and the one table that says for how long.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    given_back::{InVain, Standing},
    trickle::Trickle,
};
use crate::{
    time::{Now, Tick},
    verdict::VerdictKind,
};

/// A backoff: the first rest, doubled by each further incident up to a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestBackoff {
    /// The first incident's rest.
    pub first: Duration,
    /// The longest rest.
    pub cap: Duration,
}

/// How long each kind of verdict rests its scope where the provider does not say: the one table.
///
/// | kind | first | cap |
/// |---|---|---|
/// | rate limited, no delay named | 10 s | 10 min |
/// | quota exhausted, end unknown, or within 10 min of midnight | 60 s | 1 h |
/// | suspect key (unclear 401, 403) | 5 min | 1 h |
/// | overloaded, after `overloads` in a row | 1 s | 30 s |
/// | model unavailable, unclear | 60 s | 1 h |
/// | blocked address | 10 min | 1 h |
/// | an exit that lets nothing out | 5 s | 5 min |
/// | any other | 10 s | 10 min |
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RestTable {
    /// A 429 that names no delay.
    pub rate_limited: RestBackoff,
    /// A quota whose end is unknown, and a day's quota within 10 minutes of midnight.
    pub quota_exhausted: RestBackoff,
    /// A 401 or 403 whose cause the provider did not name.
    pub suspect: RestBackoff,
    /// No capacity for the model.
    pub overloaded: RestBackoff,
    /// The model is not to be had by this owner.
    pub model_unavailable: RestBackoff,
    /// Our address is refused.
    pub blocked: RestBackoff,
    /// An exit lets nothing out: its proxy refuses, or cannot be reached.
    pub unreachable: RestBackoff,
    /// Any other verdict that rests its scope.
    pub other: RestBackoff,
    /// Unclear 401s and 403s until a key is disabled: 3. Then one request tries it after the cap of `suspect`, ever later; after a
    /// 403, which may mean the request alone, after a second, ever later, and so while it is suspect.
    pub strikes: u8,
    /// Overloaded answers in a row, none good between, until the lane rests: 5.
    pub overloads: u8,
    /// The longest interval between two probes of a scope that rests without end: 24 h.
    pub probe_cap: Duration,
    /// The longest rest that a provider's own delay can ask for: 32 days.
    pub longest: Duration,
}

const fn backoff(first: u64, cap: u64) -> RestBackoff {
    RestBackoff { first: Duration::from_secs(first), cap: Duration::from_secs(cap) }
}

impl Default for RestTable {
    fn default() -> Self {
        Self {
            rate_limited: backoff(10, 600),
            quota_exhausted: backoff(60, 3600),
            suspect: backoff(300, 3600),
            overloaded: backoff(1, 30),
            model_unavailable: backoff(60, 3600),
            blocked: backoff(600, 3600),
            unreachable: backoff(5, 300),
            other: backoff(10, 600),
            strikes: 3,
            overloads: 5,
            probe_cap: Duration::from_secs(86_400),
            longest: Duration::from_secs(32 * 86_400),
        }
    }
}

impl RestTable {
    /// The rest of the incident number `step` (0: the first) of this kind.
    pub(super) fn backoff(&self, kind: VerdictKind, step: u8) -> Duration {
        let row = match kind {
            VerdictKind::RateLimited => self.rate_limited,
            VerdictKind::QuotaExhausted => self.quota_exhausted,
            VerdictKind::InvalidKey | VerdictKind::Suspended => self.suspect,
            VerdictKind::Overloaded => self.overloaded,
            VerdictKind::ModelUnavailable => self.model_unavailable,
            VerdictKind::Blocked => self.blocked,
            _ => self.other,
        };
        row.length(step)
    }
}

impl RestBackoff {
    /// The rest of the incident number `step` (0: the first).
    pub(super) fn length(&self, step: u8) -> Duration {
        self.first.saturating_mul(1 << u32::from(step).min(20)).min(self.cap)
    }
}

/// When a rest ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum End {
    /// At a monotonic time.
    At(Tick),
    /// At a wall-clock time, in Unix milliseconds: a midnight.
    Wall(i64),
    /// By hand, or by a probe.
    Never,
}

impl End {
    /// As a monotonic time, as the clocks stand now.
    pub(super) fn tick(self, now: Now) -> Tick {
        match self {
            Self::At(tick) => tick,
            Self::Wall(ms) => {
                let distance = Duration::from_millis(ms.abs_diff(now.wall_ms()));
                if ms >= now.wall_ms() { now.tick.plus(distance) } else { now.tick.minus(distance) }
            }
            Self::Never => Tick::NEVER,
        }
    }

    pub(super) fn is_over(self, now: Now) -> bool {
        match self {
            Self::At(tick) => tick <= now.tick,
            Self::Wall(ms) => ms <= now.wall_ms(),
            Self::Never => false,
        }
    }
}

/// The one real request that may try a scope which rests without end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) at: Tick,
    pub(super) interval: Duration,
    /// One is out.
    pub(super) out: bool,
}

impl Probe {
    /// The same probe, with no request out.
    pub(super) fn not_out(self) -> Self {
        Self { out: false, ..self }
    }
}

/// The rest of a scope, or the memory of its last one: the step stays until a success.
#[derive(Clone, Debug)]
pub(super) struct Rest {
    pub(super) end: End,
    pub(super) since: Tick,
    pub(super) kind: VerdictKind,
    pub(super) code: Cow<'static, str>,
    pub(super) advice: Cow<'static, str>,
    /// Incidents so far, less one.
    pub(super) step: u8,
    pub(super) strikes: u8,
    /// The ticket of the request that raised it; 0: nothing since the last success or lift.
    pub(super) incident: u64,
    /// How it stood before its last incident, where evidence may give that back.
    pub(super) before: Option<Standing>,
    /// What evidence gave back last, which is reinstated where the evidence is refuted.
    pub(super) given_back: Option<Standing>,
    /// Requests whose evidence gave it back, since its last success.
    pub(super) doubts: u8,
    pub(super) in_vain: InVain,
    /// Requests that started before this number are of an older generation: their answers rest nothing.
    pub(super) lifted_at: u64,
    pub(super) probe: Option<Probe>,
    /// A first failure that asked for a confirmation. Its time is the probe's: one request confirms or refutes it, and nobody
    /// else is served meanwhile; its end is when nobody tried for long.
    pub(super) confirming: bool,
    /// Would be without end, but is held until it is clear whether the fault is ours.
    pub(super) held: bool,
    /// It was without end, and told of, before it was held.
    pub(super) told: bool,
    pub(super) by_hand: bool,
    /// It was given back, which was told, or nobody heard of it.
    pub(super) returned: bool,
    /// How those go who wait for its end, where they are not to go at once.
    pub(super) trickle: Option<Trickle>,
}

/// Until when a rest of this end lasts, where `confirms` is to confirm it.
pub(super) fn lasts_until(end: End, confirms: Option<Probe>, now: Now) -> Tick {
    confirms.map_or_else(|| end.tick(now), |probe| probe.at)
}

/// The end of a rest that nobody came to confirm.
const UNCONFIRMED: Duration = Duration::from_secs(86_400);

/// Who is to confirm a rest and says nothing of it is followed by another one after this.
const AGAIN: Duration = Duration::from_secs(1);

/// A rest that is to be confirmed by one request after this pause: its end, and that request.
pub(super) fn to_confirm(pause: Duration, now: Now) -> (End, Probe) {
    let at = now.tick.plus(pause);
    (End::At(at.plus(UNCONFIRMED)), Probe { at, interval: AGAIN, out: false })
}

impl Rest {
    pub(super) fn new(now: Now) -> Self {
        Self {
            end: End::At(now.tick),
            since: now.tick,
            kind: VerdictKind::Unjudged,
            code: Cow::Borrowed(""),
            advice: Cow::Borrowed(""),
            step: 0,
            strikes: 0,
            incident: 0,
            before: None,
            given_back: None,
            doubts: 0,
            in_vain: InVain::none(now.tick),
            lifted_at: 0,
            probe: None,
            confirming: false,
            held: false,
            told: false,
            by_hand: false,
            returned: false,
            trickle: None,
        }
    }

    pub(super) fn is_active(&self, now: Now) -> bool {
        !self.end.is_over(now)
    }

    /// Whether a request may go out in spite of the rest, as its probe.
    pub(super) fn may_probe(&self, now: Now) -> bool {
        self.probe.is_some_and(|probe| !probe.out && probe.at <= now.tick)
    }

    /// Whether it lasts, and one request is to try it now.
    pub(super) fn is_to_be_probed(&self, now: Now) -> bool {
        self.is_active(now) && self.may_probe(now)
    }

    /// The probe of a rest that begins now and may be a caller's own fault: after a second, and ever later as long as none
    /// is served, over rests that follow each other, too. So it lasts no longer for others than what was refused lasted.
    pub(super) fn soon(&self, now: Now) -> Probe {
        const SOON: RestBackoff = RestBackoff { first: Duration::from_secs(1), cap: Duration::from_secs(64) };
        let last = self.probe.filter(|_| self.kind == VerdictKind::InvalidKey);
        let interval = last.map_or(SOON.length(self.step), |last| last.interval);
        Probe { at: now.tick.plus(interval), interval, out: false }
    }

    /// The next time at which it may be used again, probe included.
    pub(super) fn wakes(&self, now: Now) -> Tick {
        let end = self.end.tick(now);
        if let Some(opens) = self.closed_until(now) {
            return end.max(opens);
        }
        match self.probe {
            Some(probe) if !probe.out => end.min(probe.at),
            // It is settled as soon as that one is answered.
            Some(_) if self.confirming => end.min(now.tick.plus(AGAIN)),
            _ => end,
        }
    }

    /// Until when it lasts, as far as anybody knows: what is to be confirmed no longer than until that is tried.
    pub(super) fn lasts_until(&self, now: Now) -> Tick {
        lasts_until(self.end, self.probe.filter(|_| self.confirming), now)
    }

    /// The request that was to confirm it said something: what it said holds from here on, and others may go.
    pub(super) fn is_tried(&mut self, began: Tick) -> bool {
        let tried = self.confirming && self.probe.take_if(|probe| probe.out).is_some();
        if tried {
            self.end = End::At(began);
        }
        tried
    }
}

/// Whichever rest ends later.
pub(super) fn longer(one: Option<Box<Rest>>, other: Option<Box<Rest>>, now: Now) -> Option<Box<Rest>> {
    match (one, other) {
        (Some(one), Some(other)) if one.end.tick(now) >= other.end.tick(now) => Some(one),
        (one, other) => other.or(one),
    }
}
