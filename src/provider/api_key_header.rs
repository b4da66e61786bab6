//! Any API with keys, judged by its status codes.

use std::{borrow::Cow, fmt, time::Duration};

use http::{HeaderName, request::Parts};
use percent_encoding::{percent_decode_str, utf8_percent_encode};

use super::{
    Answer, Asks, Base, InvalidBase, ModelIn, Provider, Retarget, UsageFormat,
    aws::{self, AWS},
    by_status::{BY_STATUS, EDGE, REDIRECTS},
    complaint::{
        Complaint,
        Mark::{Is, IsLike, Waits},
    },
    credentials,
    envelope::Envelope,
    rate_headers::{self, Axis},
    rule::{HOUR, Rule, decide, probed, rule, ruling},
    target::{segment, set_path_and_query, set_query},
};
use crate::{
    key::{InvalidSecret, Secret, UNRESERVED},
    limit::Unit,
    verdict::{Elsewhere as E, Scope as S, Until as U, Verdict, VerdictKind as K},
};

/// Any API that takes a key in a header or in the query, judged by its status codes and `Retry-After`, and
/// where it refuses a key by what it says of a used-up quota (`quota_exceeded`, `insufficient_credits`).
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
    zone: Cow<'static, str>,
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
            zone: Cow::Borrowed("UTC"),
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

    /// The IANA zone in which days end; `UTC` unless set.
    #[must_use]
    pub fn zone(mut self, zone: impl Into<Cow<'static, str>>) -> Self {
        self.zone = zone.into();
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

/// What this provider knows more than a bare status: that the key is the only credential.
const RULES: &[Rule] = &[
    // Words that many have for it (ElevenLabs with a 401).
    rule(
        &[401, 402, 403],
        &[
            IsLike("quota_exceeded"),
            Is("insufficient_quota"),
            IsLike("insufficient_credit"),
            IsLike("insufficient_balance"),
        ],
        ruling(K::QuotaExhausted, S::Key, probed(HOUR), E::OtherKey).heeding(31 * 24 * HOUR),
        "This key's quota or credit is used up: wait until it begins anew, raise it, or add another account's key.",
    ),
    rule(
        &[401],
        &[],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey).confirmed_after(60),
        "The API does not accept this key: check it and replace it.",
    ),
    // Some (GitHub) refuse so whoever is over a limit.
    rule(
        &[403],
        &[Waits],
        ruling(K::RateLimited, S::KeyLane, U::Backoff, E::OtherKey).heeding(24 * HOUR),
        "This key is at a limit: lower its limits, add keys, or wait as long as stated.",
    ),
    rule(
        &[402, 403],
        &[],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey).unclear(),
        "This key may not do what was asked: check its permissions and its account.",
    ),
    rule(
        &[503],
        &[Waits],
        ruling(K::Overloaded, S::KeyLane, U::Backoff, E::AfterPause).heeding(3_600),
        "The API asks to come back later: it is tried again after that.",
    ),
];

/// When what has run out is restored, as the usual headers tell it.
fn restored(answer: &Answer<'_>) -> Option<Duration> {
    const fn axis(limit: &'static str, remaining: &'static str, reset: &'static str) -> Axis {
        Axis { unit: Unit::Requests, limit, remaining, reset }
    }
    const AXES: &[Axis] = &[
        axis("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
        axis("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),
    ];
    let of_limits = matches!(answer.status.as_u16(), 403 | 429);
    of_limits.then(|| rate_headers::restored(&rate_headers::read(AXES, answer.headers, || answer.now))).flatten()
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
        let mut said = Complaint::of(answer, Some(&envelope));
        said.tell(&envelope.text);
        let error = envelope.error();
        let detail = error.and_then(|error| error.get("detail"));
        for of in [error, detail].into_iter().flatten() {
            for word in ["code", "status", "type"].iter().filter_map(|name| of.get(name)?.as_str()) {
                said.say(word);
            }
        }
        aws::say(&mut said, &envelope, answer);
        said.wait = said.wait.or_else(|| said.wait_in_text()).or_else(|| restored(answer));
        decide(&[REDIRECTS, EDGE, AWS, RULES, BY_STATUS], said, answer)
    }

    fn usage(&self) -> UsageFormat {
        self.usage
    }

    fn zone(&self) -> &str {
        &self.zone
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
