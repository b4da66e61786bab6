//! A provider for any API that takes a key in a header or in the query.

use std::{borrow::Cow, ops::Range};

use http::{HeaderName, header, request::Parts};
use percent_encoding::percent_decode_str;

use super::{
    Base, ModelIn, Provider, RequestInfo, SetModel, UsageFormat,
    target::{encoded, set_path},
};
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
    model: ModelAt,
    zone: Cow<'static, str>,
    usage: UsageFormat,
    rules: Vec<Rule>,
}

#[derive(Clone, Debug)]
enum Place {
    Header(HeaderName),
    Query(String),
}

#[derive(Clone, Debug)]
enum ModelAt {
    Nowhere,
    Body,
    /// In the path segment after this one, up to a colon.
    Behind(String),
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
            model: ModelAt::Nowhere,
            zone: Cow::Borrowed("UTC"),
            usage: UsageFormat::None,
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
        self.model = ModelAt::Body;
        self
    }

    /// Reads the model, or another name by which limits are counted, from the path after this segment: `models` for
    /// `/models/{model}/…` and `/models/{model}:verb`.
    #[must_use]
    pub fn model_behind(mut self, segment: impl Into<String>) -> Self {
        self.model = ModelAt::Behind(segment.into());
        self
    }

    /// Sets the IANA time zone of daily limits; `UTC` by default.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<Cow<'static, str>>) -> Self {
        self.zone = zone.into();
        self
    }

    /// Sets the format in which responses report the used tokens; none by default.
    #[must_use]
    pub fn usage(mut self, usage: UsageFormat) -> Self {
        self.usage = usage;
        self
    }

    /// Adds rules for this API's errors, which are tried before the rules for all providers. The first matching rule
    /// applies.
    #[must_use]
    pub fn rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Self {
        self.rules.extend(rules);
        self
    }

    /// Returns the byte range of the model in a path.
    fn span(&self, path: &str) -> Option<Range<usize>> {
        let ModelAt::Behind(segment) = &self.model else { return None };
        let start = path.match_indices('/').find_map(|(at, _)| {
            let rest = path[at + 1..].strip_prefix(segment)?.strip_prefix('/')?;
            Some(path.len() - rest.len())
        })?;
        let end = path[start..].find([':', '/']).map_or(path.len(), |at| start + at);
        (start < end).then_some(start..end)
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

    fn inspect<'a>(&self, head: &'a Parts) -> RequestInfo<'a> {
        RequestInfo::new(match self.model {
            ModelAt::Nowhere => ModelIn::Nowhere,
            ModelAt::Body => ModelIn::Body,
            ModelAt::Behind(_) => self.span(head.uri.path()).map_or(ModelIn::Nowhere, |span| {
                ModelIn::Head(percent_decode_str(&head.uri.path()[span]).decode_utf8_lossy())
            }),
        })
    }

    fn set_model(&self, head: &mut Parts, model: &str) -> SetModel {
        if matches!(self.model, ModelAt::Body) {
            return SetModel::InBody;
        }
        let path = head.uri.path();
        let Some(span) = self.span(path).filter(|_| !model.is_empty()) else { return SetModel::No };
        let path = format!("{}{}{}", &path[..span.start], encoded(model), &path[span.end..]);
        if set_path(&mut head.uri, path).is_ok() { SetModel::Done } else { SetModel::No }
    }

    fn rules(&self) -> &[Rule] {
        &self.rules
    }

    fn usage_format(&self) -> UsageFormat {
        self.usage
    }

    fn zone(&self) -> &str {
        &self.zone
    }
}
