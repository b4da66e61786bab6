//! What a verdict does to the rest of its scope: how long it rests it, and whether a rest begins, is prolonged or goes on as it
//! is.

use std::borrow::Cow;

use super::{
    doubt::{is_unexplained_403, may_be_the_requests},
    incident::Incident,
    rest::{End, Probe, Rest, lasts_until},
    trickle::Trickle,
    unnamed::is_unnamed_limit,
};
use crate::{
    time::{Now, Tick},
    verdict::Verdict,
};

/// How long a verdict rests its scope.
#[derive(Clone, Copy)]
pub(super) enum Term {
    Until(End),
    /// Until this request, a probe, confirms or refutes it. Should none come, it is over at `end`.
    ToConfirm {
        end: End,
        by: Probe,
    },
    /// For good, unless a probe succeeds, where there is one.
    ForGood(Option<Probe>),
}

impl Term {
    pub(super) fn end(self) -> End {
        match self {
            Self::Until(end) | Self::ToConfirm { end, .. } => end,
            Self::ForGood(_) => End::Never,
        }
    }

    pub(super) fn probe(self) -> Option<Probe> {
        match self {
            Self::Until(_) => None,
            Self::ToConfirm { by, .. } => Some(by),
            Self::ForGood(probe) => probe,
        }
    }

    pub(super) fn is_for_good(self) -> bool {
        matches!(self, Self::ForGood(_))
    }

    pub(super) fn to_confirm(self) -> Option<Probe> {
        if let Self::ToConfirm { by, .. } = self { Some(by) } else { None }
    }
}

/// What a verdict does to the rest of its scope.
pub(super) struct Penalty<'a> {
    pub(super) verdict: &'a Verdict,
    pub(super) term: Term,
    /// The end of the term, or of the guard's hold.
    pub(super) end: End,
    /// It is for good, but the guard holds it: the fault may be ours.
    pub(super) held: bool,
    /// The request alone is larger than the limit that refused it.
    pub(super) overfull: bool,
    pub(super) trickle: Option<Trickle>,
}

impl Penalty<'_> {
    /// Whether evidence may still give it back: it may be the request's fault.
    pub(super) fn is_doubtful(&self) -> bool {
        self.overfull || may_be_the_requests(self.verdict)
    }

    /// Until when it lasts, as far as anybody knows.
    fn lasts_until(&self, now: Now) -> Tick {
        lasts_until(self.end, self.term.to_confirm(), now)
    }

    /// What is for good was confirmed.
    fn asks_to_confirm(&self) -> bool {
        self.verdict.confirm_after_of().is_some() && !self.term.is_for_good()
    }
}

/// What becomes of the rest that a scope has, or had.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Change {
    /// It was over: a new one begins.
    Begins,
    /// It goes on, for longer and for the new verdict's reason.
    Prolonged,
    /// It goes on for as long as it would have, and for its old reason.
    Kept,
}

/// The rest is from now on for this verdict's reason.
pub(super) fn describe(rest: &mut Rest, verdict: &Verdict) {
    rest.kind = verdict.fault();
    rest.code = Cow::Owned(verdict.code_of().to_owned());
    rest.advice = Cow::Owned(verdict.advice_of().to_owned());
}

impl Rest {
    /// Counts a fresh incident, which the request with this ticket met. `ramp` is its key's.
    pub(super) fn count(&mut self, incident: &Incident, ticket: u64, penalty: &Penalty<'_>, ramp: u8) {
        self.before = penalty.is_doubtful().then(|| self.standing(ramp));
        self.step = incident.step;
        self.strikes = incident.strikes;
        self.incident = ticket;
    }

    pub(super) fn change_by(&self, incident: &Incident, penalty: &Penalty<'_>, now: Now) -> Change {
        if !incident.active {
            Change::Begins
        } else if penalty.lasts_until(now) > self.lasts_until(now) {
            Change::Prolonged
        } else {
            Change::Kept
        }
    }

    /// Whether what it is from now on is told: it begins, or is prolonged for another kind of fault, or for good.
    pub(super) fn is_news(&self, change: Change, penalty: &Penalty<'_>) -> bool {
        let is_other = self.kind != penalty.verdict.fault() || (penalty.end == End::Never) != (self.end == End::Never);
        match change {
            Change::Begins => true,
            Change::Prolonged => is_other,
            Change::Kept => false,
        }
    }

    pub(super) fn apply(&mut self, change: Change, penalty: &Penalty<'_>, now: Now) {
        match change {
            Change::Begins => self.begin(penalty, now),
            Change::Prolonged => self.prolong(penalty),
            Change::Kept => self.keep(penalty),
        }
        self.held |= penalty.held;
    }

    fn begin(&mut self, penalty: &Penalty<'_>, now: Now) {
        self.since = now.tick;
        self.confirming = penalty.asks_to_confirm();
        self.returned = false;
        self.held = false;
        self.told &= penalty.held;
        // Where the fault may be in the one request alone, others find out soon.
        let may_be_the_requests = is_unexplained_403(penalty.verdict) || penalty.overfull;
        self.probe = if may_be_the_requests { Some(self.soon(now)) } else { penalty.term.probe() };
        self.last_for(penalty);
    }

    fn prolong(&mut self, penalty: &Penalty<'_>) {
        if self.end == End::Never || self.held || self.is_still_doubted(penalty) {
            self.keep(penalty);
        } else {
            // A probe that was due soon was so for a reason that holds no more. The request that is out as the probe, where
            // there is one, becomes the new one.
            let out = self.probe.is_some_and(|probe| probe.out);
            self.confirming |= penalty.asks_to_confirm();
            self.probe = penalty.term.probe().map(|probe| Probe { out, ..probe });
        }
        self.last_for(penalty);
    }

    /// Its probe keeps its time and interval: what else comes in does not bring it forward.
    fn keep(&mut self, penalty: &Penalty<'_>) {
        // One without end was confirmed.
        self.confirming |= penalty.asks_to_confirm() && self.end != End::Never;
        let probe = if penalty.term.to_confirm().is_some() { None } else { penalty.term.probe() };
        self.probe = self.probe.or(probe);
    }

    /// Whether this may be the fault of single requests, like what it rests for, so that its probe is due soon as before.
    fn is_still_doubted(&self, penalty: &Penalty<'_>) -> bool {
        let of_a_limit = is_unnamed_limit(penalty.verdict) || penalty.overfull;
        is_unexplained_403(penalty.verdict) || of_a_limit && self.kind == penalty.verdict.fault()
    }

    fn last_for(&mut self, penalty: &Penalty<'_>) {
        self.end = penalty.end;
        self.trickle = penalty.trickle;
        describe(self, penalty.verdict);
    }
}
