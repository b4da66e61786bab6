//! Any API with keys, judged by its status codes.

mod rules;
mod said;

use std::{borrow::Cow, fmt};

use http::{HeaderName, request::Parts};
use percent_encoding::{percent_decode_str, utf8_percent_encode};

use super::{
    Answer, Asks, Base, InvalidBase, ModelIn, Provider, Retarget, UsageFormat,
    aws::AWS,
    by_status::{BY_STATUS, EDGE, REDIRECTS},
    credentials,
    envelope::Envelope,
    gemini, google_rpc,
    rule::decide,
    target::{segment, set_path_and_query, set_query},
};
use crate::{
    key::{InvalidSecret, Secret, UNRESERVED},
    verdict::{Verdict, VerdictKind},
};

/// Any API that takes a key in a header or in the query, judged by its status codes and `Retry-After` (or what its body says of
/// that: `retry_after`), and where it refuses a key by what it says of a used-up quota (`quota_exceeded`, `insufficient_credits`). What
/// Google's other APIs say of keys and quotas is judged as [`Gemini`](crate::Gemini) judges it.
///
/// ```
/// use http::Request;
/// use tower_keypool::{ApiKeyHeader, Provider};
///
/// let weather = ApiKeyHeader::query("appid", "https://api.weather.example/v3")?.named("weather").zone("Europe/Berlin");
/// let (mut head, ()) = Request::get("/v3/now?city=Ulm&appid=of-the-caller").body(())?.into_parts();
/// weather.strip(&mut head);
/// weather.inject(&mut head, &weather.prepare("a+b")?)?;
/// assert_eq!(head.uri, "/v3/now?city=Ulm&appid=a%2Bb");
///
/// let search = ApiKeyHeader::header("x-subscription-token", "https://search.example")?;
/// let (mut head, ()) = Request::get("/web?q=keys").body(())?.into_parts();
/// search.inject(&mut head, &search.prepare("abc")?)?;
/// assert_eq!(head.headers["x-subscription-token"], "abc");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ApiKeyHeader {
    base: Base,
    place: Place,
    scheme: &'static str,
    name: Cow<'static, str>,
    model: ModelAt,
    /// Where it is not what its host has.
    zone: Option<Cow<'static, str>>,
    usage: UsageFormat,
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
    /// In the path's segment behind this one, up to a colon.
    Behind(String),
}

/// An [`ApiKeyHeader`] that cannot be: no header or parameter has such a name, or there is no such base.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidApiKeyHeader {
    /// This is no name of a header or query parameter.
    Name(String),
    /// What is wrong with the base.
    Base(InvalidBase),
}

impl ApiKeyHeader {
    /// An API at `base` that takes its key in this header.
    ///
    /// # Errors
    /// [`InvalidApiKeyHeader`] when `name` is no header's name, or `base` no `http(s)://host[:port][/path]`.
    pub fn header(name: &str, base: &str) -> Result<Self, InvalidApiKeyHeader> {
        let header = HeaderName::try_from(name).map_err(|_| InvalidApiKeyHeader::Name(name.to_owned()))?;
        Self::with(Place::Header(header), base)
    }

    /// An API at `base` that takes its key in this query parameter. Keys in a query are seen by whoever logs URLs: use
    /// a header where the API takes one.
    ///
    /// # Errors
    /// [`InvalidApiKeyHeader`] when `name` is not made of letters, digits and `-._~$`, or `base` no
    /// `http(s)://host[:port][/path]`.
    pub fn query(name: &str, base: &str) -> Result<Self, InvalidApiKeyHeader> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~$".contains(&byte);
        if name.is_empty() || !name.bytes().all(fits) {
            return Err(InvalidApiKeyHeader::Name(name.to_owned()));
        }
        Self::with(Place::Query(name.to_owned()), base)
    }

    fn with(place: Place, base: &str) -> Result<Self, InvalidApiKeyHeader> {
        Ok(Self {
            base: Base::parse(base).map_err(InvalidApiKeyHeader::Base)?,
            place,
            scheme: "",
            name: Cow::Borrowed("api"),
            model: ModelAt::Nowhere,
            zone: None,
            usage: UsageFormat::None,
        })
    }

    /// What stands in front of the key in its header, such as `"Token "`. Without a meaning in a query.
    #[must_use]
    pub fn scheme(mut self, scheme: &'static str) -> Self {
        self.scheme = scheme;
        self
    }

    /// The name for logs and metrics; `api` unless set.
    #[must_use]
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// The model, or whatever limits are counted by, stands in the body's top-level `"model"` string.
    #[must_use]
    pub fn model_in_body(mut self) -> Self {
        self.model = ModelAt::Body;
        self
    }

    /// The model, or whatever limits are counted by, stands in the path behind this segment: `models` for
    /// `/models/{model}/…` and `/models/{model}:verb`.
    #[must_use]
    pub fn model_behind(mut self, segment: impl Into<String>) -> Self {
        self.model = ModelAt::Behind(segment.into());
        self
    }

    /// The IANA zone in which days end; unless set that of Google's quotas at its hosts (`America/Los_Angeles`), else `UTC`.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<Cow<'static, str>>) -> Self {
        self.zone = Some(zone.into());
        self
    }

    /// How usage stands in answers; not at all unless set.
    #[must_use]
    pub fn usage(mut self, usage: UsageFormat) -> Self {
        self.usage = usage;
        self
    }

    /// Where the model's name stands in a path.
    fn span(&self, path: &str) -> Option<std::ops::Range<usize>> {
        let ModelAt::Behind(segment) = &self.model else { return None };
        let mut start = 0;
        let mut found = false;
        for part in path.split('/') {
            if found {
                let length = part.find(':').unwrap_or(part.len());
                return (length > 0).then_some(start..start + length);
            }
            found = part == segment;
            start += part.len() + 1;
        }
        None
    }
}

/// What another of Google's APIs says of a key or its quota. Whether such an API is switched on for a key, or holds what is
/// looked for, says nothing here: one host may have many of them.
fn google(envelope: &Envelope<'_>, answer: &Answer<'_>) -> Option<Verdict> {
    if !google_rpc::is_its(envelope) && !google_rpc::is_its_older(envelope) {
        return None;
    }
    let verdict = gemini::judge_opened(envelope, answer);
    let is_told = match verdict.kind() {
        VerdictKind::RateLimited | VerdictKind::QuotaExhausted => true,
        VerdictKind::InvalidKey => verdict.confirm_after_of().is_some(),
        VerdictKind::Suspended => verdict.code_of() == "CONSUMER_SUSPENDED",
        _ => false,
    };
    is_told.then_some(verdict)
}

impl Provider for ApiKeyHeader {
    fn name(&self) -> &str {
        &self.name
    }

    fn base(&self) -> &Base {
        &self.base
    }

    fn prepare(&self, key: &str) -> Result<Secret, InvalidSecret> {
        match self.place {
            Place::Header(_) => Secret::with_scheme(self.scheme, key),
            Place::Query(_) => Secret::new(key),
        }
    }

    fn strip(&self, head: &mut Parts) {
        let name = match &self.place {
            Place::Header(name) => name.as_str(),
            Place::Query(name) => name,
        };
        credentials::strip(head, Some(name));
    }

    fn inject(&self, head: &mut Parts, key: &Secret) -> Result<(), Cow<'static, str>> {
        match &self.place {
            Place::Header(name) => {
                head.headers.insert(name, key.header_value().clone());
            }
            Place::Query(name) => {
                let key = utf8_percent_encode(key.expose(), UNRESERVED);
                let query = match head.uri.query() {
                    Some(query) if !query.is_empty() => format!("{query}&{name}={key}"),
                    _ => format!("{name}={key}"),
                };
                set_query(&mut head.uri, &query);
            }
        }
        Ok(())
    }

    fn asks<'a>(&self, head: &'a Parts) -> Asks<'a> {
        let model = match self.model {
            ModelAt::Nowhere => ModelIn::Nowhere,
            ModelAt::Body => ModelIn::Body,
            ModelAt::Behind(_) => self.span(head.uri.path()).map_or(ModelIn::Nowhere, |span| {
                ModelIn::Head(percent_decode_str(&head.uri.path()[span]).decode_utf8_lossy())
            }),
        };
        Asks::of(model)
    }

    fn retarget(&self, head: &mut Parts, model: &str) -> Retarget {
        if matches!(self.model, ModelAt::Body) {
            return Retarget::InBody;
        }
        let Some(span) = self.span(head.uri.path()).filter(|_| !model.is_empty()) else { return Retarget::No };
        let whole = head.uri.path_and_query().map_or("/", |whole| whole.as_str());
        let target = format!("{}{}{}", &whole[..span.start], segment(model), &whole[span.end..]);
        if set_path_and_query(&mut head.uri, target) { Retarget::Done } else { Retarget::No }
    }

    fn judge(&self, answer: &Answer<'_>) -> Verdict {
        if answer.status.is_success() || answer.status.is_informational() {
            return Verdict::SUCCESS.status(answer.status);
        }
        let envelope = Envelope::open(answer.body);
        if let Some(verdict) = google(&envelope, answer) {
            return verdict;
        }
        decide(&[REDIRECTS, EDGE, AWS, rules::RULES, BY_STATUS], said::read(&envelope, answer), answer)
    }

    fn usage(&self) -> UsageFormat {
        self.usage
    }

    fn zone(&self) -> &str {
        let usual = if self.base.authority().host().ends_with(".googleapis.com") { gemini::ZONE } else { "UTC" };
        self.zone.as_deref().unwrap_or(usual)
    }
}

impl fmt::Display for InvalidApiKeyHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "no header or query parameter can be named {name:?}"),
            Self::Base(base) => base.fmt(f),
        }
    }
}

impl std::error::Error for InvalidApiKeyHeader {}

#[cfg(test)]
mod tests;
