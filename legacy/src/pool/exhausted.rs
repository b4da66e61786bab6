//! Why no key may carry a request, counted by reason.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc, time::Duration};

use serde::Serialize;

use super::OutReason;
use crate::{key::Exit, time::whole_seconds};

/// How long a request waits for the store that would wait for nothing else: two writes and what they take.
pub(super) const PATIENCE: Duration = Duration::from_millis(300);
/// And for the board that lends owners, while it answers.
pub(super) const LENDING: Duration = Duration::from_secs(1);

/// When to come again where the end of a request under way brings a key, and nobody knows when that is.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// No key may carry the request: how many are out for which reason, and when the earliest may.
///
/// ```text
/// all API keys have reached their rate limits for gemini-2.5-flash: 8 at requests/minute, 1 at requests/day,
/// 1 disabled (suspended); next in 12 s
/// ```
#[derive(Clone, Debug, Default, Serialize)]
pub struct Exhausted {
    pub(crate) model: Option<Arc<str>>,
    pub(crate) keys: usize,
    #[serde(serialize_with = "as_list")]
    pub(crate) reasons: BTreeMap<OutReason, usize>,
    /// The exits that rest, and for how long; the usual one has no name.
    #[serde(serialize_with = "as_exits", skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) exits: BTreeMap<Option<Exit>, Option<Duration>>,
    pub(crate) next_in: Option<Duration>,
    /// When the earliest of those may serve that are busy besides, or kept for whoever stands in front, should both be
    /// over by then.
    #[serde(skip)]
    pub(crate) may_in: Option<Duration>,
    /// Of those in front it is known when they are served: nothing that is under way ends before.
    #[serde(skip)]
    pub(crate) queue_timed: bool,
    /// Other processes gave nothing when they were asked last.
    #[serde(skip)]
    pub(crate) dry: bool,
    /// What other processes may have is known to be full, in all of them together.
    #[serde(skip)]
    pub(crate) all_full: bool,
    /// For how long they have given nothing, asked again and again.
    #[serde(skip)]
    pub(crate) dry_for: Duration,
    /// Another model, listed below the one that was asked for, of which a key may serve before; then that is the time.
    #[serde(skip)]
    pub(crate) sooner: Option<Arc<str>>,
    /// The store that processes share forgot what it knew, a moment ago.
    #[serde(skip)]
    pub(crate) forgot: bool,
    /// For how long that store lends nothing still: it is new, or lost what it knew, and hears first who has what.
    #[serde(skip)]
    pub(crate) recovers_in: Option<Duration>,
    /// What the tokens of the prompt were guessed at, and the most that any key may carry: so much goes out where nothing else did.
    #[serde(skip)]
    pub(crate) guessed: Option<(u64, u64)>,
    /// It would have waited, and found no room.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) no_room: bool,
}

impl Exhausted {
    /// The model it was asked for.
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// How many keys the pool holds.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// How many keys are out for which reason.
    pub fn reasons(&self) -> impl Iterator<Item = (OutReason, usize)> + '_ {
        self.reasons.iter().map(|(reason, count)| (*reason, *count))
    }

    /// The exits that rest, by name (`None`: the usual way), and for how long still; `None`: without end.
    pub fn exits(&self) -> impl Iterator<Item = (Option<&str>, Option<Duration>)> + '_ {
        self.exits.iter().map(|(exit, rest)| (exit.as_ref().map(Exit::name), *rest))
    }

    /// When the earliest key may serve, from now; `None` where no time will bring one back. Where a fallback list has
    /// [another model](Self::sooner_model) that is back sooner, the time is that model's.
    pub fn next_in(&self) -> Option<Duration> {
        self.next_in
    }

    /// The model of a fallback list that [`next_in`](Self::next_in) is of, where it is not the one that was asked for.
    pub fn sooner_model(&self) -> Option<&str> {
        self.sooner.as_deref()
    }

    /// The earliest time at which a key may serve, without a promise. It is [`next_in`](Self::next_in), or sooner where a key is kept
    /// for whoever stands in front, or is busy besides. `None` where no time is known, or none will bring one back.
    pub fn may_serve_in(&self) -> Option<Duration> {
        self.next_in.into_iter().chain(self.may_in).min()
    }

    /// What the sentence says: that a key may serve sooner than one is sure to, behind others, counts where nothing brings one
    /// at any time.
    pub(crate) fn told_in(&self) -> Option<Duration> {
        if self.next_in.is_some() && self.may_end_any_time() { self.next_in } else { self.may_serve_in() }
    }

    /// When to come again: mostly then. A key that is [not lent](OutReason::HeldElsewhere) is, mostly, a moment after others
    /// were asked for it, where they are not known to be full: whoever comes again does so as long after as they have given
    /// nothing, so that a time without end is not asked about each second. Behind requests that are under way a second, since
    /// who came at once would come again and again.
    pub(crate) fn again_in(&self) -> Option<Duration> {
        let again = match self.told_in() {
            Some(told) => Some(self.asked_in().map_or(told, |asked| asked.min(told))),
            None => self.lends_in(),
        };
        let is_sure = self.next_in.is_some_and(|next| !next.is_zero());
        if self.is_any_under_way() && !is_sure { Some(again.unwrap_or_default().max(UNDER_WAY)) } else { again }
    }

    /// Whether anybody knows when to come again.
    pub(crate) fn is_told(&self) -> bool {
        self.told_in().or_else(|| self.lends_in()).is_some()
    }

    /// Whether the request would have waited, and those who wait already left no room in the
    /// [`WaitingRoom`](crate::WaitingRoom): other callers may be served meanwhile.
    pub fn found_no_room(&self) -> bool {
        self.no_room
    }

    /// When to ask again where nothing is known to bring a key but that one is [lent](OutReason::HeldElsewhere): a moment
    /// later, mostly; as long as others have given none by now; and not before a store that is new, or lost what it knew, lends
    /// anything at all. `None` where a request under way may bring one at any time, too.
    pub fn lends_in(&self) -> Option<Duration> {
        if self.is_any_under_way() { None } else { self.asked_in() }
    }

    fn asked_in(&self) -> Option<Duration> {
        let lends = self.reasons.contains_key(&OutReason::HeldElsewhere) && !self.all_full;
        lends.then(|| self.dry_for.max(LENDING).max(self.recovers_in.unwrap_or_default()))
    }

    /// The same where the store may have one at once: whoever asks it waits for that, however little time there is.
    pub(crate) fn may_be_lent_in(&self) -> Option<Duration> {
        let at_the_store =
            [OutReason::Unwritten, OutReason::HeldElsewhere].iter().any(|it| self.reasons.contains_key(it));
        if at_the_store { Some(Duration::ZERO) } else { self.may_serve_in() }
    }

    /// The same for whoever knows better: no key serves before then.
    #[must_use]
    pub fn not_before(mut self, next: Duration) -> Self {
        self.next_in = Some(self.next_in.unwrap_or_default().max(next));
        self.may_in = None;
        self
    }

    /// All keys rest for so long besides, for this reason: that is what there is to say where it lasts longest, but not of
    /// what comes back by nothing.
    pub(super) fn rests_besides(&mut self, rests: Duration, reason: OutReason) {
        let comes_back = self.next_in.or(self.may_in).is_some() || self.may_end_any_time();
        if comes_back && self.next_in.is_none_or(|next| next <= rests) {
            self.reasons = BTreeMap::from([(reason, self.keys)]);
            (self.next_in, self.may_in, self.all_full) = (Some(rests), None, false);
        }
    }

    /// As another model a key may serve after so long, if that is sooner.
    pub(crate) fn sooner_as(&mut self, model: Arc<str>, after: Duration) {
        if self.next_in.or(self.may_in).is_none_or(|next| after < next) {
            (self.next_in, self.may_in, self.sooner) = (Some(after), None, Some(model));
        }
    }

    /// The same a while later: so much of every wait is over.
    #[must_use]
    pub fn after(mut self, passed: Duration) -> Self {
        let waits = [&mut self.next_in, &mut self.may_in].into_iter().chain(self.exits.values_mut());
        waits.flatten().for_each(|wait| *wait = wait.saturating_sub(passed));
        self
    }

    /// The same for whoever knows that nobody has the keys that are [not lent](OutReason::HeldElsewhere): what they are out
    /// for, and until when.
    #[must_use]
    pub fn unlent_for(mut self, reason: OutReason, next: Duration) -> Self {
        if let Some(keys) = self.reasons.remove(&OutReason::HeldElsewhere) {
            *self.reasons.entry(reason).or_default() += keys;
        }
        self.not_before(next)
    }

    /// Whether a key may come free at any time: when a request under way ends.
    pub fn may_end_any_time(&self) -> bool {
        self.comes_when().is_some()
    }

    /// Whether the end of a request that is under way may bring a key.
    fn is_any_under_way(&self) -> bool {
        self.reasons.contains_key(&OutReason::Busy)
            || self.reasons.contains_key(&OutReason::Queued) && !self.queue_timed
    }

    /// What brings a key at a time that nobody knows.
    fn comes_when(&self) -> Option<&'static str> {
        let any = |reason| self.reasons.contains_key(&reason);
        if self.is_any_under_way() {
            Some("a request under way ends")
        } else if any(OutReason::HeldElsewhere) && !self.all_full {
            Some("one is lent to this process")
        } else {
            any(OutReason::StoreUnreachable).then_some("the store answers")
        }
    }

    /// Whether some key is well and only at a limit, whose end is known.
    pub(crate) fn waits_for_a_limit(&self) -> bool {
        use OutReason::{Full, Interval, QuotaExhausted, RateLimited};
        let at_limit = |reason: &OutReason| matches!(reason, Full(..) | RateLimited | QuotaExhausted | Interval);
        self.next_in.is_some() && self.reasons.keys().any(at_limit)
    }

    /// Whether every key that is not disabled is out of this model for good: nothing to wait for.
    pub(crate) fn is_without_the_model(&self) -> bool {
        use OutReason::ModelUnavailable;
        let for_good = |reason: &OutReason| *reason == ModelUnavailable || reason.is_disabled();
        self.next_in.is_none() && self.reasons.contains_key(&ModelUnavailable) && self.reasons.keys().all(for_good)
    }

    /// Whether a key may come free within `wait`: at a known time, or at any time.
    pub(crate) fn may_end_within(&self, wait: Duration) -> bool {
        // For the store whoever has no time waits as well.
        let asks = |reason| self.reasons.contains_key(&reason);
        let wait = if asks(OutReason::Unwritten) { wait.max(PATIENCE) } else { wait };
        let lends = !self.dry && !self.all_full && self.recovers_in.is_none_or(|left| left < LENDING);
        let wait = if asks(OutReason::HeldElsewhere) && lends { wait.max(LENDING) } else { wait };
        let in_time = |at: Option<Duration>| at.is_some_and(|at| at <= wait);
        let between = self.reasons.contains_key(&OutReason::Interval);
        !wait.is_zero() && (in_time(self.next_in) || in_time(self.may_in) || between || self.may_end_any_time())
    }
}

/// For programs that keep it, or hand it on, as an error of its own.
impl std::error::Error for Exhausted {}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Whatever the caller wrote, it stays on one line.
        let model = self.model.as_deref().map(plain);
        let model = model.as_deref().unwrap_or("requests without a model");
        if self.keys == 0 {
            return write!(f, "the pool holds no API key for {model}");
        }
        if self.reasons.keys().all(|reason| reason.is_disabled()) {
            write!(f, "no API key may serve {model}: ")?;
        } else if self.reasons.keys().all(|reason| reason.is_limit()) {
            write!(f, "all API keys have reached their rate limits for {model}: ")?;
        } else if self.reasons.keys().any(|reason| reason.is_limit()) {
            write!(f, "all API keys have reached their rate limits or are out for {model}: ")?;
        } else {
            write!(f, "no API key may serve {model}: ")?;
        }
        for (n, (reason, count)) in self.reasons.iter().enumerate() {
            write!(f, "{}{count} {reason}", if n == 0 { "" } else { ", " })?;
            if let Some(left) = self.recovers_in.filter(|_| *reason == OutReason::HeldElsewhere) {
                let left = whole_seconds(left);
                write!(f, " (the store is new, or lost what it knew: it lends again in {left} s)")?;
            } else if self.forgot && *reason == OutReason::HeldElsewhere {
                f.write_str(" (the store lost what it knew: what nobody tells it counts as used for a minute)")?;
            } else if self.all_full && *reason == OutReason::HeldElsewhere {
                f.write_str(" (full, as those who had them told)")?;
            }
        }
        if let Some((tokens, most)) = self.guessed {
            write!(
                f,
                "; the prompt is guessed at {tokens} tokens, and no key has more than {most}: it goes out where nothing else did"
            )?;
        }
        for (exit, rest) in &self.exits {
            let Some(exit) = exit else { continue };
            match rest {
                Some(rest) => write!(f, ", exit {exit} rests for {} s", whole_seconds(*rest))?,
                None => write!(f, ", exit {exit} rests")?,
            }
        }
        let any_time = self.comes_when();
        if let Some(when) = any_time {
            write!(f, "; next when {when}")?;
        }
        let any_time = any_time.is_some();
        // It is busy besides, or kept for others: it may as well be later.
        let sooner = self.may_in.filter(|may| self.next_in.is_none_or(|next| *may < next));
        match (self.next_in, sooner) {
            (Some(next), _) if any_time => write!(f, ", or in {} s", whole_seconds(next)),
            (None, _) if any_time => Ok(()),
            (_, Some(may)) => write!(f, "; next in {} s at the earliest", whole_seconds(may)),
            (Some(next), None) if next < Duration::from_secs(1) => {
                write!(f, "; next in {} ms", next.as_millis().max(1))
            }
            (Some(next), None) => write!(f, "; next in {} s", whole_seconds(next)),
            (None, None) => f.write_str("; none comes back by itself"),
        }?;
        if self.no_room {
            f.write_str(", and as many wait already as may")?;
        }
        match &self.sooner {
            Some(model) => write!(f, " (as {})", plain(model)),
            None => Ok(()),
        }
    }
}

/// A name without control characters.
fn plain(name: &str) -> Cow<'_, str> {
    if name.contains(char::is_control) { name.escape_debug().to_string().into() } else { name.into() }
}

/// JSON has no map keyed by an enum with fields: `[{"reason": "at requests/minute", "keys": 8}]`.
fn as_list<S: serde::Serializer>(reasons: &BTreeMap<OutReason, usize>, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Row {
        reason: String,
        keys: usize,
    }
    serializer.collect_seq(reasons.iter().map(|(reason, keys)| Row { reason: reason.to_string(), keys: *keys }))
}

/// The same of exits: `[{"exit": "tokyo", "rests_for": 600.0}]`, in seconds.
fn as_exits<S: serde::Serializer>(
    exits: &BTreeMap<Option<Exit>, Option<Duration>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Row {
        exit: Option<String>,
        rests_for: Option<f64>,
    }
    let row = |(exit, rest): (&'_ Option<Exit>, &'_ Option<Duration>)| {
        (exit.as_ref().map(|exit| exit.name().to_owned()), rest.map(|rest| rest.as_secs_f64()))
    };
    serializer.collect_seq(exits.iter().map(row).map(|(exit, rests_for)| Row { exit, rests_for }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soonest_is_said_whoever_it_is() {
        let seconds = |s| Some(Duration::from_secs(s));
        let said = |next, may| {
            let reasons = [(OutReason::Resting, 2)].into_iter().collect();
            Exhausted { keys: 2, reasons, next_in: next, may_in: may, ..Exhausted::default() }.to_string()
        };
        let ends = |next, may, end: &str| assert!(said(next, may).ends_with(end), "{}", said(next, may));
        ends(seconds(43_767), seconds(52), "; next in 52 s at the earliest");
        ends(seconds(52), seconds(43_767), "; next in 52 s");
        ends(seconds(52), None, "; next in 52 s");
        ends(None, seconds(52), "; next in 52 s at the earliest");
    }

    #[test]
    fn what_brings_a_key_back_is_said_as_it_is() {
        let said = |reasons: &[OutReason]| {
            let reasons = reasons.iter().map(|reason| (*reason, 2)).collect();
            Exhausted { keys: 4, reasons, ..Exhausted::default() }.to_string()
        };
        let (held, store) = (OutReason::HeldElsewhere, OutReason::StoreUnreachable);
        let none = "no API key may serve requests without a model: 2 ";
        // It may be that no other process has it: the store did not say so yet.
        assert_eq!(said(&[held]), format!("{none}not lent to this process; next when one is lent to this process"));
        assert_eq!(said(&[store]), format!("{none}not to be used (store unreachable); next when the store answers"));
        let forgot =
            Exhausted { keys: 4, reasons: [(held, 2)].into_iter().collect(), forgot: true, ..Exhausted::default() };
        assert!(forgot.to_string().contains("not lent to this process (the store lost what it knew"), "{forgot}");
        assert!(said(&[OutReason::Busy, held]).ends_with("; next when a request under way ends"));
    }
}
