//! Anthropic's API.

pub(super) mod credit;
pub(super) mod rules;
mod said;

use std::{borrow::Cow, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use serde_json::json;

use super::{
    Answer, Asks, Base, InvalidBase, ModelIn, Provider, Retarget, UsageFormat,
    aws::{self, AWS},
    by_status::{BY_STATUS, EDGE, FORMS, PAGES, REDIRECTS},
    credentials::{self, X_API_KEY},
    envelope::Envelope,
    gemini, google_rpc,
    openai::{
        accounts::ACCOUNTS,
        asked::{ASKED, LEFT},
        limits::{LIMITS, RATES},
        money::MONEY,
        rules::RULES as OTHERS,
    },
    rule::{Rule, decide},
};
use crate::{
    key::{InvalidSecret, Secret},
    time::Clock,
    verdict::{QuotaNews, Verdict},
};

const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
/// The version that every account has; a caller that knows a newer one names it.
const OLDEST: HeaderValue = HeaderValue::from_static("2023-06-01");

/// Anthropic's API.
///
/// The key travels as `x-api-key`, or as `Authorization: Bearer` where [`bearer`](Anthropic::bearer) is chosen. The
/// caller's `anthropic-version` is kept; where there is none, `2023-06-01` is added.
///
/// ```
/// use http::Request;
/// use tower_keypool::{Anthropic, ModelIn, Provider};
///
/// let anthropic = Anthropic::new();
/// let (mut head, ()) = Request::post("/v1/messages").body(())?.into_parts();
/// assert_eq!(anthropic.asks(&head).model, ModelIn::Body);
/// anthropic.inject(&mut head, &anthropic.prepare("sk-ant-not-a-real-key")?)?;
/// assert_eq!(head.headers["x-api-key"], "sk-ant-not-a-real-key");
/// assert_eq!(head.headers["anthropic-version"], "2023-06-01");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Anthropic {
    base: Base,
    bearer: bool,
}

/// The tables by which an error is judged that came with a good status.
const GOOD: &[&[Rule]] =
    &[FORMS, credit::CREDIT, rules::RULES, OTHERS, ACCOUNTS, MONEY, ASKED, LIMITS, rules::LEFT, RATES, BY_STATUS];

impl Anthropic {
    /// The API at `https://api.anthropic.com`.
    pub fn new() -> Self {
        Self { base: Base::parse("https://api.anthropic.com").expect("a constant that is tested"), bearer: false }
    }

    /// The API somewhere else.
    ///
    /// # Errors
    /// [`InvalidBase`] when `url` is no `http(s)://host[:port][/path]`.
    pub fn at(url: &str) -> Result<Self, InvalidBase> {
        Ok(Self { base: Base::parse(url)?, bearer: false })
    }

    /// Sends keys as `Authorization: Bearer` instead of `x-api-key`.
    #[must_use]
    pub fn bearer(mut self) -> Self {
        self.bearer = true;
        self
    }
}

impl Default for Anthropic {
    fn default() -> Self {
        Self::new()
    }
}

impl Provider for Anthropic {
    fn name(&self) -> &'static str {
        "anthropic"
    }

    fn base(&self) -> &Base {
        &self.base
    }

    fn prepare(&self, key: &str) -> Result<Secret, InvalidSecret> {
        if self.bearer { Secret::with_scheme("Bearer ", key) } else { Secret::new(key) }
    }

    fn strip(&self, head: &mut Parts) {
        credentials::strip(head, None);
    }

    fn inject(&self, head: &mut Parts, key: &Secret) -> Result<(), Cow<'static, str>> {
        let name = if self.bearer { header::AUTHORIZATION } else { X_API_KEY };
        head.headers.insert(name, key.header_value().clone());
        head.headers.entry(VERSION).or_insert(OLDEST);
        Ok(())
    }

    fn asks<'a>(&self, head: &'a Parts) -> Asks<'a> {
        let path = head.uri.path().trim_end_matches('/');
        let ask = |model, free| Asks { model, free, ..Asks::default() };
        match head.method {
            Method::POST if path.ends_with("/messages") || path.ends_with("/complete") => ask(ModelIn::Body, false),
            // Counted against a quota of its own.
            Method::POST if path.ends_with("/count_tokens") => ask(ModelIn::Body, true),
            Method::POST if ["/messages/batches", "/files", "/skills"].iter().any(|made| path.ends_with(made)) => {
                ask(ModelIn::Nowhere, true).once()
            }
            _ => ask(ModelIn::Nowhere, true),
        }
    }

    fn retarget(&self, head: &mut Parts, _model: &str) -> Retarget {
        if self.asks(head).model == ModelIn::Body { Retarget::InBody } else { Retarget::No }
    }

    fn judge(&self, answer: &Answer<'_>) -> Verdict {
        if answer.status.is_success() || answer.status.is_informational() {
            return match Envelope::open_good(answer.body, answer.event) {
                Some(envelope) => decide(GOOD, said::read(&envelope, answer), answer),
                None => Verdict::SUCCESS.status(answer.status),
            };
        }
        let limited = answer.status == StatusCode::TOO_MANY_REQUESTS;
        let envelope = if limited { Envelope::open_limit(answer.body) } else { Envelope::open(answer.body) };
        // Vertex, which has its models as well.
        if google_rpc::is_its(&envelope) {
            return gemini::judge_opened(&envelope, answer);
        }
        let mut said = said::read(&envelope, answer);
        aws::say(&mut said, &envelope, answer);
        // Others speak its language with words of their own (Zhipu's numbers): what these mean stands in one place.
        decide(
            &[
                REDIRECTS,
                EDGE,
                AWS,
                PAGES,
                FORMS,
                credit::CREDIT,
                rules::RULES,
                OTHERS,
                ACCOUNTS,
                MONEY,
                ASKED,
                LIMITS,
                rules::LEFT,
                RATES,
                LEFT,
                BY_STATUS,
            ],
            said,
            answer,
        )
    }

    /// Gateways that speak its language do.
    fn errs_with_success(&self) -> bool {
        true
    }

    fn rate_headers(&self, headers: &HeaderMap, clock: &Clock) -> Option<QuotaNews> {
        let remaining = said::rates(headers, || clock.wall());
        (!remaining.is_empty()).then(|| QuotaNews { remaining, ..QuotaNews::default() })
    }

    fn usage(&self) -> UsageFormat {
        UsageFormat::Anthropic
    }

    fn error_body(&self, status: StatusCode, message: &str, _retry_after: Option<Duration>) -> String {
        let kind = match status.as_u16() {
            401 => "authentication_error",
            402 => "billing_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 | 529 => "overloaded_error",
            504 => "timeout_error",
            400..=499 => "invalid_request_error",
            _ => "api_error",
        };
        json!({ "type": "error", "error": { "type": kind, "message": message } }).to_string()
    }
}

#[cfg(test)]
mod tests;
