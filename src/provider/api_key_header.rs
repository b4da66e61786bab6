//! A provider for any API that takes a key in a header or in the query.

use std::borrow::Cow;

use http::{HeaderName, header, request::Parts};

use super::{Base, ModelIn, Provider, RequestInfo, SetModel};
use crate::{Error, classify::Rule, secret::Secret};

/// Any API that takes a key in a header or in the query. Its errors are classified by the rules given with
/// [`rules`](Self::rules) and by the rules for all providers.
///
/// Every request is retried after a fault of the provider, POST requests too, because this provider does not know which
/// ones create something. Mark a request that must not be sent twice with
/// [`KeyRequest::not_idempotent`](crate::KeyRequest::not_idempotent).
///
/// ```
/// use http::Request;
/// use tower_keypool::{ApiKeyHeader, ErrorClass, Provider, Rule, Secret};
///
/// let weather = ApiKeyHeader::query("appid", "https://api.weather.example/v3")?
///     .named("weather")
///     .zone("Europe/Berlin")
///     .rules([Rule::new(ErrorClass::DailyQuota).status(429).message("calls per day")]);
/// let (mut head, ()) = Request::get("/v3/now?city=Ulm&appid=of-the-caller").body(())?.into_parts();
/// weather.base().apply(&mut head)?;
/// weather.authorize(&mut head, &Secret::new("a+b")?)?;
/// assert_eq!(head.uri, "https://api.weather.example/v3/now?city=Ulm&appid=a%2Bb");
///
/// let search = ApiKeyHeader::header("x-subscription-token", "https://search.example")?;
/// let (mut head, ()) = Request::get("/web?q=keys").body(())?.into_parts();
/// search.authorize(&mut head, &Secret::new("abc")?)?;
/// assert_eq!(head.headers["x-subscription-token"], "abc");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ApiKeyHeader {
    base: Base,
    place: Place,
    scheme: Cow<'static, str>,
    name: Cow<'static, str>,
    model_in_body: bool,
    zone: Cow<'static, str>,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
enum Place {
    Header(HeaderName),
    Query(String),
}

impl ApiKeyHeader {
    /// Creates a provider for an API at `url` that takes its key in this header.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if `name` is not a header name or `url` is not a base URL.
    pub fn header(name: &str, url: &str) -> Result<Self, Error> {
        let name = name.parse().map_err(|_| Error::config(format!("{name:?} is not a header name")))?;
        Self::with(Place::Header(name), url)
    }

    /// Creates a provider for an API at `url` that takes its key as `Authorization: Bearer`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if `url` is not a base URL.
    pub fn bearer(url: &str) -> Result<Self, Error> {
        Ok(Self::with(Place::Header(header::AUTHORIZATION), url)?.scheme("Bearer "))
    }

    /// Creates a provider for an API at `url` that takes its key in this query parameter. Such a key appears wherever
    /// URLs are logged, so use a header if the API supports one.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the name is not made of letters, digits and `-._~`, or `url`
    /// is not a base URL.
    pub fn query(name: &str, url: &str) -> Result<Self, Error> {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) {
            return Err(Error::config(format!("{name:?} is not a valid name for a query parameter")));
        }
        Self::with(Place::Query(name.to_owned()), url)
    }

    fn with(place: Place, url: &str) -> Result<Self, Error> {
        Ok(Self {
            base: url.parse()?,
            place,
            scheme: Cow::Borrowed(""),
            name: Cow::Borrowed("api"),
            model_in_body: false,
            zone: Cow::Borrowed("UTC"),
            rules: Vec::new(),
        })
    }

    /// Sets the prefix of the key in its header, such as `"Token "`, including the space: it is put directly before the
    /// key. Empty by default. It does not apply to a query parameter.
    #[must_use]
    pub fn scheme(mut self, scheme: impl Into<Cow<'static, str>>) -> Self {
        self.scheme = scheme.into();
        self
    }

    /// Sets the name for logs, metrics and rules; `api` by default.
    #[must_use]
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Reads the model, or another name by which limits are counted, from the top-level `"model"` string of the body.
    #[must_use]
    pub fn model_in_body(mut self) -> Self {
        self.model_in_body = true;
        self
    }

    /// Sets the IANA time zone of daily limits; `UTC` by default.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<Cow<'static, str>>) -> Self {
        self.zone = zone.into();
        self
    }

    /// Adds rules for this API's errors, which are tried before the rules for all providers. The first matching rule
    /// applies.
    #[must_use]
    pub fn rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.rules.extend(rules);
        self
    }
}

impl Provider for ApiKeyHeader {
    fn name(&self) -> &str {
        &self.name
    }

    fn base(&self) -> &Base {
        &self.base
    }

    fn authorize(&self, head: &mut Parts, key: &Secret) -> Result<(), Error> {
        match &self.place {
            Place::Header(name) => key.put_in_header(head, name.clone()),
            Place::Query(name) => key.put_in_query(head, name),
        }
    }

    fn scheme(&self) -> &str {
        match self.place {
            Place::Header(_) => &self.scheme,
            Place::Query(_) => "",
        }
    }

    fn inspect<'a>(&self, _head: &'a Parts) -> RequestInfo<'a> {
        RequestInfo::new(if self.model_in_body { ModelIn::Body } else { ModelIn::Nowhere })
    }

    fn set_model(&self, _head: &mut Parts, _model: &str) -> SetModel {
        if self.model_in_body { SetModel::InBody } else { SetModel::No }
    }

    fn rules(&self) -> &[Rule] {
        &self.rules
    }

    fn zone(&self) -> &str {
        &self.zone
    }
}
