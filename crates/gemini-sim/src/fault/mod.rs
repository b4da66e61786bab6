//! What can go wrong, and when.

mod rule;

use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;

use crate::{Latency, Refusal};

pub(crate) use rule::Rules;
pub use rule::{KeyMatch, Rule, Script};

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
    /// A header more (or another value). May contain `{key}`.
    Header(String, String),
    /// A storm: 429 without details to everyone matched, nothing charged.
    Storm,
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
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) chunks: Vec<Bytes>,
    pub(crate) streamed: bool,
}

impl Canned {
    /// An empty answer with this status. An impossible one becomes 500.
    pub fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), chunks: Vec::new(), streamed: false }
    }

    /// Adds a header; names and values that HTTP cannot carry are left out.
    /// The value may contain `{key}`.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The whole body. May contain `{key}`.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.chunks = vec![body.into()];
        self.streamed = false;
        self
    }

    /// A body of several chunks of a stream. Each may contain `{key}`; a
    /// `{key}` torn over two chunks is not found.
    #[must_use]
    pub fn chunks<T: Into<Bytes>>(mut self, chunks: impl IntoIterator<Item = T>) -> Self {
        self.chunks = chunks.into_iter().map(Into::into).collect();
        self.streamed = true;
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
            Fault::Canned(_) | Fault::Storm => !charged,
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
        let latencies = self.0.iter().map(|fault| if let Fault::HeadLatency(it) = fault { *it } else { Latency::None });
        latencies.map(|latency| latency.draw(rng)).sum()
    }
}
