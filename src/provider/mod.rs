//! Providers: the base URL of an API, the place of the key in a request, and the model that a request asks for.
//!
//! The meaning of a provider's errors is data: see [`Provider::rules`].

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

pub use crate::time::whole_seconds;

use crate::{
    Error,
    classify::Rule,
    key::Tier,
    limit::{Limit, Limits},
    secret::Secret,
};

/// The description of an API. Each pool has one provider.
///
/// [`Gemini`], [`OpenAi`], [`Anthropic`] and [`ApiKeyHeader`] ship with the crate. Five methods are required.
///
/// An example for another API, with the key in `x-acme-key` and the model in the path:
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
    /// Returns a short name for logs, metrics and rules, such as `gemini`.
    fn name(&self) -> &str;

    /// Returns the base URL of the API. Keys are sent only there.
    fn base(&self) -> &Base;

    /// Puts the key into the head of a request and removes all credentials of the caller, as [`Secret::put_in_header`]
    /// and [`Secret::put_in_query`] do. [`Base::apply`] has been called before.
    ///
    /// # Errors
    /// [`Error::request`] if this head cannot carry a key.
    fn authorize(&self, head: &mut request::Parts, key: &Secret) -> Result<(), Error>;

    /// Returns the properties of a request that its head shows. The request's path may or may not include the base's
    /// path.
    fn inspect<'a>(&self, head: &'a request::Parts) -> RequestInfo<'a>;

    /// Changes the model of a request: rewrites the head if it names the model. `model` is a name as callers write it.
    fn set_model(&self, head: &mut request::Parts, model: &str) -> SetModel;

    /// Returns the prefix of the key in [`Secret::header_value`], such as `"Bearer "`, including the space: it is put
    /// directly before the key.
    #[expect(clippy::unnecessary_literal_bound, reason = "an implementation may own its scheme")]
    fn scheme(&self) -> &str {
        ""
    }

    /// Returns the name under which the quota of a model is counted, such as `x` for `models/x`.
    fn quota_model<'a>(&self, model: &'a str) -> &'a str {
        model
    }

    /// Returns this provider's rules for errors, which are tried before the rules for all providers.
    fn rules(&self) -> &[Rule] {
        &[]
    }

    /// Returns the limits that the headers of a response report, also those of a successful response. The pool learns
    /// them.
    fn limits_in_headers(&self, _headers: &HeaderMap) -> Vec<Limit> {
        Vec::new()
    }

    /// Returns the IANA time zone of the provider's daily limits.
    #[expect(clippy::unnecessary_literal_bound, reason = "an implementation may own its zone")]
    fn zone(&self) -> &str {
        "UTC"
    }

    /// Returns the usual limits of a model and tier. They only affect the order of keys and never block a request.
    fn assumed_limits(&self, _model: &str, _tier: Tier) -> Option<Limits> {
        None
    }

    /// Returns the body of an error response that this library creates, in the provider's format. It must be JSON.
    fn error_body(&self, status: StatusCode, message: &str, retry_after: Option<Duration>) -> String {
        let _ = retry_after;
        serde_json::json!({ "error": { "code": status.as_u16(), "message": message } }).to_string()
    }
}

impl<P: Provider> From<P> for Box<dyn Provider> {
    fn from(provider: P) -> Self {
        Box::new(provider)
    }
}

/// The properties of a request that a pool needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestInfo<'a> {
    /// The place where the request names its model.
    pub model: ModelIn<'a>,
    /// The top-level array of the body whose items each count as a request, such as `requests` of a batch embedding.
    pub cost_of_items: Option<&'static str>,
    /// Whether the request counts against no model's quota, such as a list of models.
    pub uncounted: bool,
    /// Whether the request creates a resource (a batch, a file, a video). It is not retried if the first attempt may
    /// have created it.
    pub not_idempotent: bool,
}

impl<'a> RequestInfo<'a> {
    /// Creates the info of a request that counts once against the quota of its model.
    pub fn new(model: ModelIn<'a>) -> Self {
        Self { model, ..Self::default() }
    }

    /// Marks the request as not counted against any quota.
    #[must_use]
    pub fn uncounted(mut self) -> Self {
        self.uncounted = true;
        self
    }

    /// Marks the request as one that creates a resource.
    #[must_use]
    pub fn not_idempotent(mut self) -> Self {
        self.not_idempotent = true;
        self
    }

    /// Counts each item of this array of the body as a request.
    #[must_use]
    pub fn cost_of_items(mut self, array: &'static str) -> Self {
        self.cost_of_items = Some(array);
        self
    }
}

/// The place where a request names its model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelIn<'a> {
    /// The head names this model.
    Head(Cow<'a, str>),
    /// The top-level `"model"` string of the body.
    Body,
    /// The request names no model.
    #[default]
    Nowhere,
}

/// The result of [`Provider::set_model`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetModel {
    /// The head now names the model.
    Done,
    /// The caller must rewrite the top-level `"model"` string of the body.
    InBody,
    /// The model of this request cannot be changed.
    No,
}
