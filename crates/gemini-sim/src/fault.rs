//! What can go wrong, and for which requests.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::refusal::Caller;
use crate::{Latency, Refusal};

/// Something that a script does to the requests it matches.
///
/// Where a text may contain `{key}`, the caller's own key is put in its place,
/// as careless servers do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// The real refusal. Refusals of the key, the quota and the address come
    /// before the quota is charged, failures of the model after it.
    Refuse(Refusal),
    /// An answer made by hand; comes before everything and charges nothing.
    Canned(Canned),
    /// The connection is reset before a head; the quota has been charged.
    ResetBeforeHead,
    /// The connection is reset after this many bytes of the body (at least
    /// one, when there are any).
    ResetAfter(usize),
    /// No head ever comes.
    Hang,
    /// The body stops after this many bytes and the connection stays.
    StallAfter(usize),
    /// Time before the head, in addition to the simulator's own.
    HeadLatency(Latency),
    /// The body ends after this many bytes, as if that were all.
    Truncate(usize),
    /// A stream with an error event after this many chunks (0: as the first), then its end.
    ErrorEventAfter(usize, Refusal),
    /// A stream with an error object without `data:` after this many chunks,
    /// then its end.
    RawErrorAfter(usize, Refusal),
    /// The answer ends for another reason than `STOP`.
    Finish(Finish),
    /// The answer's text. May contain `{key}`.
    AnswerText(String),
}

/// A 200 whose answer is not the one hoped for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finish {
    /// A candidate without content and with this `finishReason`: `SAFETY`,
    /// `RECITATION`, `BLOCKLIST`, `PUP_LIMITED_DISABLED`, …
    Reason(String),
    /// All tokens were spent on thoughts: `MAX_TOKENS` and an empty content.
    OnlyThoughts,
    /// No candidates, and this `blockReason`: `PROHIBITED_CONTENT`, ….
    PromptBlocked(String),
    /// `STOP` and an empty text.
    Empty,
}

/// An answer made by hand.
///
/// ```
/// use gemini_sim::Canned;
/// let moved = Canned::new(302).header("location", "https://example.com/?key={key}");
/// let padded = Canned::new(500).body(format!("{}{{key}}", "x".repeat(65_530)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canned {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Canned {
    /// An empty answer with this status. An impossible one becomes 500.
    pub fn new(status: u16) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// Adds a header; names and values that HTTP cannot carry are left out.
    /// The value may contain `{key}`.
    #[must_use]
    pub fn header(mut self, name: impl TryInto<HeaderName>, value: impl TryInto<HeaderValue>) -> Self {
        if let (Ok(name), Ok(value)) = (name.try_into(), value.try_into()) {
            self.headers.append(name, value);
        }
        self
    }

    /// The whole body. May contain `{key}`.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// A JSON body, with its content type.
    #[must_use]
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.header("content-type", "application/json; charset=UTF-8").body(body.to_string())
    }
}

/// The faults of all rules that match one request.
#[derive(Debug, Default)]
pub(crate) struct Faults(pub(crate) Vec<Fault>);

impl Faults {
    /// The first fault that takes the answer's place: before the quota is charged, or in the model's place after it.
    pub(crate) fn instead(&self, charged: bool) -> Option<&Fault> {
        self.0.iter().find(|fault| match fault {
            Fault::Refuse(refusal) => refusal.comes_after_quota() == charged,
            Fault::Canned(_) => !charged,
            Fault::ResetBeforeHead | Fault::Hang => charged,
            _ => false,
        })
    }

    /// Of several texts the last counts.
    pub(crate) fn answer_text(&self) -> Option<&str> {
        self.0.iter().rev().find_map(|fault| if let Fault::AnswerText(text) = fault { Some(&**text) } else { None })
    }

    pub(crate) fn finish(&self) -> Option<&Finish> {
        self.0.iter().rev().find_map(|fault| if let Fault::Finish(finish) = fault { Some(finish) } else { None })
    }

    pub(crate) fn head_latency(&self, rng: &mut Rng) -> Duration {
        let latencies =
            self.0.iter().filter_map(|fault| if let Fault::HeadLatency(it) = fault { Some(it) } else { None });
        latencies.map(|latency| latency.draw(rng)).sum()
    }
}

/// A fault and the requests that it meets: all, until it is narrowed.
///
/// All rules that match a request act on it together; of several that answer
/// in the provider's place the first wins. Conditions are tested in a fixed
/// order: key, project, model and path, then the time, then the count
/// ([`skip`](Self::skip), [`times`](Self::times)),
/// then the [`probability`](Self::probability).
///
/// ```
/// use std::time::Duration;
/// use gemini_sim::{Fault, Refusal, Rule};
/// // Key 2 is suspended from the 30th second on.
/// let suspended = Rule::new(Fault::Refuse(Refusal::ConsumerSuspended))
///     .key("key-2")
///     .from(Duration::from_secs(30));
/// // One request in twenty meets an overloaded model.
/// let overloaded = Rule::new(Fault::Refuse(Refusal::Overloaded)).probability(0.05);
/// // The third request for this model is reset.
/// let reset = Rule::new(Fault::ResetBeforeHead).model("gemini-2.5-flash").skip(2).times(1);
/// ```
#[derive(Clone, Debug)]
pub struct Rule {
    pub(crate) fault: Fault,
    key: Option<String>,
    project: Option<String>,
    model: Option<String>,
    path: Option<String>,
    from: Duration,
    until: Option<Duration>,
    skip: u64,
    times: Option<u64>,
    probability: f64,
}

impl Rule {
    /// A fault for every request.
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            key: None,
            project: None,
            model: None,
            path: None,
            from: Duration::ZERO,
            until: None,
            skip: 0,
            times: None,
            probability: 1.0,
        }
    }

    /// Only requests with the key of this label.
    #[must_use]
    pub fn key(mut self, label: impl Into<String>) -> Self {
        self.key = Some(label.into());
        self
    }

    /// Only requests with keys of this project.
    #[must_use]
    pub fn project(mut self, name: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        self.project = Some(name.strip_prefix("projects/").unwrap_or(name).to_owned());
        self
    }

    /// Only requests for this model.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.model = Some(name.into());
        self
    }

    /// Only requests whose path contains this.
    #[must_use]
    pub fn path(mut self, part: impl Into<String>) -> Self {
        self.path = Some(part.into());
        self
    }

    /// Only from this time after the simulator was built.
    #[must_use]
    pub fn from(mut self, elapsed: Duration) -> Self {
        self.from = elapsed;
        self
    }

    /// Only before this time after the simulator was built.
    #[must_use]
    pub fn until(mut self, elapsed: Duration) -> Self {
        self.until = Some(elapsed);
        self
    }

    /// Not the first `n` that match.
    #[must_use]
    pub fn skip(mut self, n: u64) -> Self {
        self.skip = n;
        self
    }

    /// At most `n` of those that match (behind those skipped).
    #[must_use]
    pub fn times(mut self, n: u64) -> Self {
        self.times = Some(n);
        self
    }

    /// Only the n-th that matches (from 1): `skip(n - 1).times(1)`.
    #[must_use]
    pub fn nth(self, n: u64) -> Self {
        self.skip(n.saturating_sub(1)).times(1)
    }

    /// Each that matches with this probability, 0 to 1, by the simulator's
    /// seed.
    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.probability = probability;
        self
    }

    fn concerns(&self, at: Duration, caller: Caller<'_>) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&self.key, caller.label)
            && is(&self.project, caller.project)
            && is(&self.model, caller.model)
            && self.path.as_ref().is_none_or(|part| caller.path.contains(part))
            && self.from <= at
            && self.until.is_none_or(|until| at < until)
    }
}

impl From<Fault> for Rule {
    fn from(fault: Fault) -> Self {
        Self::new(fault)
    }
}

/// The rules in force, with what each has seen.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    active: Vec<ActiveRule>,
    added: u64,
}

#[derive(Debug)]
struct ActiveRule {
    rule: Rule,
    seen: u64,
    rng: Rng,
}

impl Rules {
    pub(crate) fn add(&mut self, rules: impl IntoIterator<Item = Rule>, seed: u64) {
        for rule in rules {
            self.added += 1;
            // Each rule has its own generator, so that one does not change what another draws.
            let rng = Rng::with_seed(seed ^ self.added.wrapping_mul(0x9E37_79B9_7F4A_7C15));
            self.active.push(ActiveRule { rule, seen: 0, rng });
        }
    }

    pub(crate) fn clear(&mut self) {
        self.active.clear();
    }

    /// Everything that happens to this request.
    pub(crate) fn faults(&mut self, at: Duration, caller: Caller<'_>) -> Faults {
        let matching = self.active.iter_mut().filter_map(|active| {
            let matches = active.matches(at, caller);
            matches.then(|| active.rule.fault.clone())
        });
        Faults(matching.collect())
    }
}

impl ActiveRule {
    fn matches(&mut self, at: Duration, caller: Caller<'_>) -> bool {
        let rule = &self.rule;
        if !rule.concerns(at, caller) {
            return false;
        }
        let number = self.seen;
        self.seen += 1;
        let Some(number) = number.checked_sub(rule.skip) else { return false };
        rule.times.is_none_or(|times| number < times) && (rule.probability >= 1.0 || self.rng.f64() < rule.probability)
    }
}
