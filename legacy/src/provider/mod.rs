//! Providers: the one place that knows an API.

mod anthropic;
mod api_key_header;
mod aws;
mod base;
mod by_status;
mod complaint;
mod credentials;
mod envelope;
mod error_words;
mod gemini;
mod google_quota;
mod google_rpc;
mod google_status;
mod long_quota;
mod openai;
mod rate_field;
mod rate_headers;
mod rule;
mod target;
mod wording;

use std::borrow::Cow;

use http::{HeaderMap, StatusCode, request};

pub use anthropic::Anthropic;
pub use api_key_header::{ApiKeyHeader, InvalidApiKeyHeader};
pub use base::{Base, InvalidBase};
pub use credentials::Seen;
pub(crate) use credentials::{hyphened, mark, strip_trailers};
pub(crate) use envelope::{may_be_an_outcome, may_have_failed};
pub use gemini::Gemini;
pub use openai::OpenAi;

use crate::{
    key::{InvalidSecret, Secret},
    limit::Limits,
    time::Clock,
    verdict::Verdict,
};

/// Knows an API: where it lives, where the key goes, what a request asks for and what an answer means.
///
/// Object safe; a pool holds one. [`Gemini`], [`OpenAi`], [`Anthropic`] and [`ApiKeyHeader`] ship with the crate. One of
/// your own may ask one of these for what it does not care to know itself: `examples/own_provider.rs` shows how.
pub trait Provider: Send + Sync + 'static {
    /// A short name for logs and metrics: `gemini`.
    fn name(&self) -> &str;

    /// Where it lives. A key is sent there and nowhere else.
    fn base(&self) -> &Base;

    /// Prepares a key for the header it travels in (`Bearer …` included).
    ///
    /// # Errors
    /// When the key cannot be sent.
    fn prepare(&self, key: &str) -> Result<Secret, InvalidSecret>;

    /// Removes every credential of the caller from the request's head: headers, query, cookies.
    fn strip(&self, head: &mut request::Parts);

    /// Puts the key in. Called after [`strip`](Provider::strip), so that exactly one credential leaves.
    ///
    /// # Errors
    /// A short reason when this head cannot carry a key.
    fn inject(&self, head: &mut request::Parts, key: &Secret) -> Result<(), Cow<'static, str>>;

    /// [`strip`](Provider::strip) and [`inject`](Provider::inject) in one: what the layers call. Only worth writing where
    /// one pass can do both.
    ///
    /// # Errors
    /// A short reason when this head cannot carry a key.
    fn rekey(&self, head: &mut request::Parts, key: &Secret) -> Result<(), Cow<'static, str>> {
        self.strip(head);
        self.inject(head, key)
    }

    /// [`rekey`](Provider::rekey) of a head all of whose headers were [`Seen`]. Only worth writing where that spares a look at
    /// them.
    ///
    /// # Errors
    /// A short reason when this head cannot carry a key.
    fn rekey_seen(&self, head: &mut request::Parts, key: &Secret, _seen: Seen) -> Result<(), Cow<'static, str>> {
        self.rekey(head, key)
    }

    /// What a request asks for, as far as its head tells.
    fn asks<'a>(&self, head: &'a request::Parts) -> Asks<'a>;

    /// The lane that a model's name stands for, where several names stand for one: `models/x` is `x`. Also for names
    /// found in a body.
    fn lane<'a>(&self, model: &'a str) -> &'a str {
        model
    }

    /// Whether models' names that differ in the case of their letters alone stand for one lane.
    fn ignores_case(&self) -> bool {
        false
    }

    /// Whether this model of a list can do what is asked of the `asked` one, as far as their names tell: where it is no use, no
    /// request steps down to it.
    fn stands_in(&self, _model: &str, _asked: &str) -> bool {
        true
    }

    /// Asks for another model: rewrites the head where the model stands there.
    fn retarget(&self, head: &mut request::Parts, model: &str) -> Retarget;

    /// The same of a model in the place of another name for it, which is no model itself: also where a request must not go
    /// to another model (vectors, a cache).
    fn resolve(&self, head: &mut request::Parts, model: &str) -> Retarget {
        self.retarget(head, model)
    }

    /// What an answer means.
    fn judge(&self, answer: &Answer<'_>) -> Verdict;

    /// A word without which no good answer speaks against its key. A small answer that holds it is given to
    /// [`judge`](Provider::judge) as a whole once it has passed; `None` where good answers are good.
    fn alarm(&self) -> Option<&'static str> {
        None
    }

    /// Whether an answer of a good status that is no stream may be nothing but an error: `{"error": …}`. Its first bytes are
    /// then looked at before it is handed up. Where this says no, the first such answer goes up, and is held against
    /// whomever it blames; from then on the pool looks.
    fn errs_with_success(&self) -> bool {
        false
    }

    /// What every answer's headers tell of quotas, good answers included. `None` unless the provider sends such headers.
    /// `clock`: the pool's, for times of day in an answer without a `Date`.
    fn rate_headers(&self, _headers: &HeaderMap, _clock: &Clock) -> Option<crate::verdict::QuotaNews> {
        None
    }

    /// How usage stands in an answer's body.
    fn usage(&self) -> UsageFormat {
        UsageFormat::None
    }

    /// The IANA zone in which this provider's days end.
    #[expect(clippy::unnecessary_literal_bound, reason = "an implementation may own its zone")]
    fn zone(&self) -> &str {
        "UTC"
    }

    /// Limits that are known for a model and tier where nobody configured or learned any. Asked for each owner when its
    /// limits for a model are put together, while the pool is locked.
    fn known_limits(&self, _model: &str, _tier: &crate::key::Tier) -> Option<Limits> {
        None
    }

    /// The body of an answer that this side makes itself, in the provider's shape, so that its clients understand it.
    fn error_body(&self, status: StatusCode, message: &str, retry_after: Option<std::time::Duration>) -> String {
        let _ = retry_after;
        serde_json::json!({ "error": { "code": status.as_u16(), "message": message } }).to_string()
    }
}

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Asks<'a> {
    /// Where the model is named.
    pub model: ModelIn<'a>,
    /// How many requests it costs.
    pub cost: Cost,
    /// Whether it is counted against a model's quota at all: a list of models is not.
    pub free: bool,
    /// Whether it makes something that should not be made twice: such a request is not sent again where nobody knows whether
    /// it was done ([`Demand::once`](crate::Demand::once)).
    pub once: bool,
}

impl<'a> Asks<'a> {
    /// One request of the model that is named there.
    pub fn of(model: ModelIn<'a>) -> Self {
        Self { model, ..Self::default() }
    }

    /// How many requests it costs.
    #[must_use]
    pub fn cost(mut self, cost: Cost) -> Self {
        self.cost = cost;
        self
    }

    /// It is not counted against a model's quota.
    #[must_use]
    pub fn free(mut self) -> Self {
        self.free = true;
        self
    }

    /// It makes something that should not be made twice.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }
}

/// Where a request names its model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelIn<'a> {
    /// In the head: here it is, as it stands there where that is its name.
    Head(Cow<'a, str>),
    /// In the body's top-level `"model"` string.
    Body,
    /// Nowhere.
    #[default]
    Nowhere,
}

/// How many requests a call costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cost {
    /// One.
    #[default]
    One,
    /// As many as the body's top-level array of this name has items (at least one).
    ItemsOf(&'static str),
}

/// Whether another model was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retarget {
    /// The head now asks for it.
    Done,
    /// The model stands in the body's top-level `"model"` string, whose bytes are to be spliced.
    InBody,
    /// The same, with this in front of its name.
    InBodyBehind(&'static str),
    /// This request has no model to change.
    No,
}

/// How usage stands in an answer's body. Where it stands several times, the last one that is not `null` holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UsageFormat {
    /// It does not.
    #[default]
    None,
    /// `"usageMetadata": {"promptTokenCount": …, "candidatesTokenCount": …, "thoughtsTokenCount": …}`
    Gemini,
    /// `"usage": {"prompt_tokens": …, "completion_tokens": …}` (also `input_tokens`, `output_tokens`)
    OpenAi,
    /// `"usage": {"input_tokens": …, "output_tokens": …}`; later values replace earlier ones field by field.
    Anthropic,
}

/// An answer to judge: its head, and as much of its body as was looked at.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Answer<'a> {
    /// The status of the answer.
    pub status: StatusCode,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The body, inflated, at most 64 KiB; empty where it could not be read. May be cut short.
    pub body: &'a [u8],
    /// The body is one event of a stream whose status was good.
    pub event: bool,
    /// What the request named as its model, where that is known: a name that the provider echoes is not its own word.
    pub asked: Option<&'a str>,
    /// The clock's wall time, for dates in headers.
    pub now: std::time::SystemTime,
    /// Where the request named its model.
    pub(crate) named_in: NamedIn,
}

/// Where a request named its model: what answers mean that speak of a path, and not of whoever asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum NamedIn {
    /// In its path, or nobody knows.
    #[default]
    Head,
    /// In its body.
    Body,
    /// Nowhere.
    Nowhere,
}

impl NamedIn {
    pub(crate) fn of(model: &ModelIn<'_>) -> Self {
        match model {
            ModelIn::Head(_) => Self::Head,
            ModelIn::Body => Self::Body,
            ModelIn::Nowhere => Self::Nowhere,
        }
    }
}

impl<'a> Answer<'a> {
    /// An answer with this head and body.
    pub fn new(status: StatusCode, headers: &'a HeaderMap, body: &'a [u8], now: std::time::SystemTime) -> Self {
        Self { status, headers, body, event: false, asked: None, now, named_in: NamedIn::Head }
    }

    /// One event of a stream whose status was good: an error object is looked for inside it.
    #[must_use]
    pub fn event(mut self) -> Self {
        self.event = true;
        self
    }

    /// An answer to a request for this model.
    #[must_use]
    pub fn asked(mut self, model: Option<&'a str>) -> Self {
        self.asked = model;
        self
    }
}

#[cfg(test)]
mod tests;
