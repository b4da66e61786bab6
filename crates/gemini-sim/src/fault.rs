//! Faults, and rules for the requests that they apply to.

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::refusal::Caller;
use crate::{Latency, Refusal};

/// A fault that a script applies to matching requests.
///
/// In texts that may contain `{key}`, it is replaced with the caller's own key, which some real servers expose in this
/// way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// A real refusal. Refusals of the key, the quota and the address come before the quota is charged, failures of the
    /// model after it.
    Refuse(Refusal),
    /// A custom response. It precedes all checks and charges nothing.
    Canned(Canned),
    /// The connection is reset before the head, after the quota was charged.
    ResetBeforeHead,
    /// The connection is reset after this number of body bytes (at least one, if the body is not empty).
    ResetAfter(usize),
    /// The head never arrives.
    Hang,
    /// The body stalls after this number of bytes, and the connection stays open.
    StallAfter(usize),
    /// A delay before the head, in addition to the simulator's own.
    HeadLatency(Latency),
    /// The body ends after this number of bytes, as if it were complete.
    Truncate(usize),
    /// A stream that ends with an error event after this number of chunks, which may be 0.
    ErrorEventAfter(usize, Refusal),
    /// A stream that ends with an error object without `data:` after this number of chunks.
    RawErrorAfter(usize, Refusal),
    /// The answer ends with another reason than `STOP`.
    Finish(Finish),
    /// The text of the answer. It may contain `{key}`.
    AnswerText(String),
}

/// A 200 with an unusual answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finish {
    /// A candidate without content, with this `finishReason`: `SAFETY`, `RECITATION`, `BLOCKLIST`,
    /// `PUP_LIMITED_DISABLED`, …
    Reason(String),
    /// All tokens were used for thoughts: `MAX_TOKENS` and empty content.
    OnlyThoughts,
    /// No candidates, with this `blockReason`: `PROHIBITED_CONTENT`, ….
    PromptBlocked(String),
    /// `STOP` and an empty text.
    Empty,
}

/// A custom response.
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
    /// Creates an empty response with this status. An invalid status becomes 500.
    pub fn new(status: u16) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// Adds a header. Invalid names and values are ignored. The value may contain `{key}`.
    #[must_use]
    pub fn header(mut self, name: impl TryInto<HeaderName>, value: impl TryInto<HeaderValue>) -> Self {
        if let (Ok(name), Ok(value)) = (name.try_into(), value.try_into()) {
            self.headers.append(name, value);
        }
        self
    }

    /// Sets the body, which may contain `{key}`.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a JSON body and its content type.
    #[must_use]
    pub fn json(self, body: &serde_json::Value) -> Self {
        self.header("content-type", "application/json; charset=UTF-8").body(body.to_string())
    }
}

/// The faults of all rules that match one request.
#[derive(Debug, Default)]
pub(crate) struct Faults(pub(crate) Vec<Fault>);

impl Faults {
    /// Returns the first fault that replaces the response: before the quota is charged, or after it.
    pub(crate) fn instead(&self, charged: bool) -> Option<&Fault> {
        self.0.iter().find(|fault| match fault {
            Fault::Refuse(refusal) => refusal.comes_after_quota() == charged,
            Fault::Canned(_) => !charged,
            Fault::ResetBeforeHead | Fault::Hang => charged,
            _ => false,
        })
    }

    /// Returns the text of the last fault that sets one.
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

/// A fault and the requests that it applies to: by default, all.
///
/// All rules that match a request are applied together. If several of them replace the response, the first one is used.
/// Conditions are checked in a fixed order: key, project, model and path, then the time, then the count
/// ([`skip`](Self::skip), [`times`](Self::times)), then the [`probability`](Self::probability).
///
/// ```
/// use std::time::Duration;
/// use gemini_sim::{Fault, Refusal, Rule};
/// // Key 2 is suspended from the 30th second on.
/// let suspended = Rule::new(Fault::Refuse(Refusal::ConsumerSuspended))
///     .key("key-2")
///     .from(Duration::from_secs(30));
/// // For one request in twenty, the model is overloaded.
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
    /// Creates a rule that applies a fault to every request.
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

    /// Restricts the rule to requests with the key of this label.
    #[must_use]
    pub fn key(mut self, label: impl Into<String>) -> Self {
        self.key = Some(label.into());
        self
    }

    /// Restricts the rule to requests with keys of this project.
    #[must_use]
    pub fn project(mut self, name: impl AsRef<str>) -> Self {
        let name = name.as_ref();
        self.project = Some(name.strip_prefix("projects/").unwrap_or(name).to_owned());
        self
    }

    /// Restricts the rule to requests for this model.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.model = Some(name.into());
        self
    }

    /// Restricts the rule to requests whose path contains this text.
    #[must_use]
    pub fn path(mut self, part: impl Into<String>) -> Self {
        self.path = Some(part.into());
        self
    }

    /// Sets the start of the rule, as time since the simulator was built.
    #[must_use]
    pub fn from(mut self, elapsed: Duration) -> Self {
        self.from = elapsed;
        self
    }

    /// Sets the end of the rule, as time since the simulator was built.
    #[must_use]
    pub fn until(mut self, elapsed: Duration) -> Self {
        self.until = Some(elapsed);
        self
    }

    /// Skips the first `n` matching requests.
    #[must_use]
    pub fn skip(mut self, n: u64) -> Self {
        self.skip = n;
        self
    }

    /// Restricts the rule to `n` matching requests, after the skipped ones.
    #[must_use]
    pub fn times(mut self, n: u64) -> Self {
        self.times = Some(n);
        self
    }

    /// Restricts the rule to the n-th matching request, counted from 1: `skip(n - 1).times(1)`.
    #[must_use]
    pub fn nth(self, n: u64) -> Self {
        self.skip(n.saturating_sub(1)).times(1)
    }

    /// Applies the rule to each matching request with this probability, 0 to 1. It is drawn with the simulator's seed.
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

/// The active rules, each with the number of requests it has seen.
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

    /// Returns all faults that apply to a request.
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
