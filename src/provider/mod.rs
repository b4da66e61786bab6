//! Providers: where an API lives, where its key goes, what a request asks for.
//!
//! What its errors mean is data: see [`Provider::rules`].

mod anthropic;
mod api_key_header;
mod base;
mod credentials;
mod gemini;
mod openai;
mod target;

use std::{borrow::Cow, time::Duration};

use http::{HeaderMap, StatusCode, request};

pub use anthropic::Anthropic;
pub use api_key_header::ApiKeyHeader;
pub use base::Base;
pub use gemini::Gemini;
pub use openai::OpenAi;

use crate::{
    Error,
    classify::{QuotaViolation, Rule},
    key::Tier,
    limit::Limits,
    secret::Secret,
};

/// Knows an API. A pool holds one.
///
/// [`Gemini`], [`OpenAi`], [`Anthropic`] and
/// [`ApiKeyHeader`] ship with the crate. Five methods are required.
///
/// An API of your own: the key goes in `x-acme-key`, the model is in the path.
///
/// ```
/// use http::{HeaderName, Request, request};
/// use tower_keypool::{
///     Base, Error, Provider, Secret,
///     provider::{ModelIn, RequestInfo, SetModel},
/// };
///
/// const X_ACME_KEY: HeaderName = HeaderName::from_static("x-acme-key");
///
/// struct Acme {
///     base: Base,
/// }
///
/// impl Provider for Acme {
///     fn name(&self) -> &str {
///         "acme"
///     }
///
///     fn base(&self) -> &Base {
///         &self.base
///     }
///
///     fn authorize(&self, head: &mut request::Parts, key: &Secret) -> Result<(), Error> {
///         key.put_in_header(head, X_ACME_KEY)
///     }
///
///     fn inspect<'a>(&self, head: &'a request::Parts) -> RequestInfo<'a> {
///         match head.uri.path().strip_prefix("/engines/") {
///             Some(engine) => RequestInfo::new(ModelIn::Head(engine.into())),
///             None => RequestInfo::new(ModelIn::Nowhere).uncounted(),
///         }
///     }
///
///     fn set_model(&self, head: &mut request::Parts, model: &str) -> SetModel {
///         match format!("/engines/{model}").parse() {
///             Ok(uri) if head.uri.path().starts_with("/engines/") => head.uri = uri,
///             _ => return SetModel::No,
///         }
///         SetModel::Done
///     }
/// }
///
/// let acme = Acme { base: "https://api.acme.example".parse()? };
/// let (mut head, ()) = Request::post("/engines/small?key=of-the-caller").body(())?.into_parts();
/// assert_eq!(acme.inspect(&head).model, ModelIn::Head("small".into()));
/// assert_eq!(acme.set_model(&mut head, "large"), SetModel::Done);
/// acme.base().apply(&mut head)?;
/// acme.authorize(&mut head, &Secret::new("acme-not-a-real-key")?)?;
/// assert_eq!(head.uri, "https://api.acme.example/engines/large");
/// assert_eq!(head.headers["x-acme-key"], "acme-not-a-real-key");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Provider: Send + Sync + 'static {
    /// A short name for logs, metrics and rules, such as `gemini`.
    fn name(&self) -> &str;

    /// Where the API lives. A key is sent there and nowhere else.
    fn base(&self) -> &Base;

    /// Puts the key in the head of a request, in place of every credential of the caller: [`Secret::put_in_header`] and
    /// [`Secret::put_in_query`] do that. [`Base::apply`] ran before.
    ///
    /// # Errors
    /// [`Error::request`] if this head cannot carry a key.
    fn authorize(&self, head: &mut request::Parts, key: &Secret) -> Result<(), Error>;

    /// What a request asks for, as far as its head shows. The base's path may stand before the request's or not.
    fn inspect<'a>(&self, head: &'a request::Parts) -> RequestInfo<'a>;

    /// Asks for another model: rewrites the head where the model stands there. The name is what a caller writes.
    fn set_model(&self, head: &mut request::Parts, model: &str) -> SetModel;

    /// What stands before the key in [`Secret::header_value`], such as `"Bearer "`.
    #[expect(clippy::unnecessary_literal_bound, reason = "an implementation may own its scheme")]
    fn scheme(&self) -> &str {
        ""
    }

    /// The name under which the quota of a model is counted: `models/x` is `x`.
    fn quota_model<'a>(&self, model: &'a str) -> &'a str {
        model
    }

    /// Rows of the classification table that hold for this provider, before the rows that hold for all.
    fn rules(&self) -> &[Rule] {
        &[]
    }

    /// Limits that the headers of an answer tell; good answers have them, too. The limits are learned.
    fn limits_in_headers(&self, _headers: &HeaderMap) -> Vec<QuotaViolation> {
        Vec::new()
    }

    /// How the used tokens stand in an answer.
    fn usage_format(&self) -> UsageFormat {
        UsageFormat::None
    }

    /// The IANA zone in which the provider's days end.
    #[expect(clippy::unnecessary_literal_bound, reason = "an implementation may own its zone")]
    fn zone(&self) -> &str {
        "UTC"
    }

    /// Limits that are usual for a model and tier. They only order keys and never refuse a request.
    fn assumed_limits(&self, _model: &str, _tier: Tier) -> Option<Limits> {
        None
    }

    /// The body of an error that this library answers itself, in the provider's shape.
    fn error_body(&self, status: StatusCode, message: &str, retry_after: Option<Duration>) -> String {
        let _ = retry_after;
        serde_json::json!({ "error": { "code": status.as_u16(), "message": message } }).to_string()
    }
}

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestInfo<'a> {
    /// Where the model is named.
    pub model: ModelIn<'a>,
    /// The top-level array of the body whose items each cost a request, such as `requests` of a batch embedding.
    pub cost_of_items: Option<&'static str>,
    /// It is counted against no model's quota: a list of models.
    pub uncounted: bool,
    /// It makes something that stays (a batch, a file, a video) and is not sent again if nobody knows whether it was made.
    pub once: bool,
}

impl<'a> RequestInfo<'a> {
    /// One request that counts against the quota of its model.
    pub fn new(model: ModelIn<'a>) -> Self {
        Self { model, ..Self::default() }
    }

    /// It counts against no quota.
    #[must_use]
    pub fn uncounted(mut self) -> Self {
        self.uncounted = true;
        self
    }

    /// It makes something that stays.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.once = true;
        self
    }

    /// It costs a request for each item of this array of the body.
    #[must_use]
    pub fn cost_of_items(mut self, array: &'static str) -> Self {
        self.cost_of_items = Some(array);
        self
    }
}

/// Where a request names its model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelIn<'a> {
    /// In the head, by this name.
    Head(Cow<'a, str>),
    /// In the top-level `"model"` string of the body.
    Body,
    /// Nowhere.
    #[default]
    Nowhere,
}

/// Whether another model is asked for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetModel {
    /// The head now asks for it.
    Done,
    /// The model stands in the top-level `"model"` string of the body, which must be rewritten.
    InBody,
    /// This request has no model to change.
    No,
}

/// How the used tokens stand in an answer's body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum UsageFormat {
    /// They do not.
    #[default]
    None,
    /// A top-level `usageMetadata`; in a stream each one is cumulative. On the OpenAI-compatible paths a top-level `usage`, as
    /// [`OpenAi`](Self::OpenAi).
    Gemini,
    /// A top-level `usage` with `prompt_tokens` and `completion_tokens` (or `input_tokens`, `output_tokens`), also in
    /// `response` of an event.
    OpenAi,
    /// `usage` at the top level, in `message` of `message_start` and in `message_delta`.
    Anthropic,
}
