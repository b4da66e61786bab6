//! `OpenAI`, and everyone who speaks like it.

pub(super) mod accounts;
pub(super) mod asked;
pub(super) mod limits;
pub(super) mod money;
mod path;
mod rates;
pub(super) mod rules;
pub(super) mod said;

use std::{borrow::Cow, time::Duration};

use http::{HeaderMap, StatusCode, header, request::Parts};
use serde_json::{Value, json};

use super::{
    Answer, Asks, Base, InvalidBase, Provider, Retarget, UsageFormat,
    anthropic::credit::CREDIT,
    aws::{self, AWS},
    by_status::{BY_STATUS, EDGE, FORMS, PAGES, REDIRECTS},
    credentials::{self, API_KEY},
    envelope::Envelope,
    gemini, google_rpc,
    rule::{Rule, decide},
    target::set_path_and_query,
};
use crate::{
    key::{InvalidSecret, Secret},
    time::Clock,
    verdict::{QuotaNews, Verdict},
};

/// Where Google's compatible endpoint lies.
const GOOGLE: &str = "generativelanguage.googleapis.com";

/// `OpenAI`'s API, or any other of its shape: Azure, `OpenRouter`, Groq, Mistral, `DeepSeek`, a local server.
///
/// The key travels as `Authorization: Bearer`, for Azure as `api-key`. The caller's `openai-organization` and
/// `openai-project` are taken off with its credentials, since they belong to its key.
///
/// Errors in Google's own form, as its OpenAI-compatible endpoint has them, are judged as [`Gemini`](crate::Gemini) judges them, and at
/// Google's host days end at midnight in Los Angeles.
///
/// ```
/// use http::Request;
/// use tower_keypool::{ModelIn, OpenAi, Provider};
///
/// let openai = OpenAi::new();
/// assert_eq!(openai.base().to_string(), "https://api.openai.com/v1");
///
/// let request = Request::post("/v1/chat/completions").header("authorization", "Bearer of-the-caller");
/// let (mut head, ()) = request.body(())?.into_parts();
/// assert_eq!(openai.asks(&head).model, ModelIn::Body);
/// openai.strip(&mut head);
/// openai.inject(&mut head, &openai.prepare("sk-not-a-real-key")?)?;
/// assert_eq!(head.headers["authorization"], "Bearer sk-not-a-real-key");
///
/// let azure = OpenAi::azure("https://my-resource.openai.azure.com")?;
/// let request = Request::post("/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21");
/// let (head, ()) = request.body(())?.into_parts();
/// assert_eq!(azure.asks(&head).model, ModelIn::Head("my-gpt".into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct OpenAi {
    base: Base,
    azure: bool,
}

impl OpenAi {
    /// The API at `https://api.openai.com/v1`.
    pub fn new() -> Self {
        Self { base: Base::parse("https://api.openai.com/v1").expect("a constant that is tested"), azure: false }
    }

    /// An API of this shape somewhere else, such as `https://openrouter.ai/api/v1`. Where the path holds a version, it takes
    /// the place of `/v1` in what is asked, as `OpenAI`'s own clients have it with their base URL:
    /// `https://generativelanguage.googleapis.com/v1beta/openai` is asked for `/v1beta/openai/chat/completions`.
    ///
    /// # Errors
    /// [`InvalidBase`] when `url` is no `http(s)://host[:port][/path]`.
    pub fn at(url: &str) -> Result<Self, InvalidBase> {
        Ok(Self { base: based(url)?, azure: false })
    }

    /// A resource of Azure `OpenAI`, such as `https://my-resource.openai.azure.com`: keys travel as `api-key`.
    ///
    /// # Errors
    /// [`InvalidBase`] when `url` is no `http(s)://host[:port][/path]`.
    pub fn azure(url: &str) -> Result<Self, InvalidBase> {
        Ok(Self { base: based(url)?, azure: true })
    }
}

/// The tables by which an error is judged that came with a good status.
const GOOD: &[&[Rule]] = &[
    FORMS,
    rules::RULES,
    CREDIT,
    accounts::ACCOUNTS,
    money::MONEY,
    asked::ASKED,
    limits::LIMITS,
    limits::RATES,
    BY_STATUS,
];

fn based(url: &str) -> Result<Base, InvalidBase> {
    let base = Base::parse(url)?;
    Ok(if base.holds_a_version() { base.in_place_of("/v1") } else { base })
}

impl Default for OpenAi {
    fn default() -> Self {
        Self::new()
    }
}

/// It goes there instead.
fn aimed(head: &mut Parts, target: String) -> Retarget {
    if set_path_and_query(&mut head.uri, target) { Retarget::Done } else { Retarget::No }
}

impl Provider for OpenAi {
    fn name(&self) -> &'static str {
        if self.azure { "azure" } else { "openai" }
    }

    fn base(&self) -> &Base {
        &self.base
    }

    fn prepare(&self, key: &str) -> Result<Secret, InvalidSecret> {
        if self.azure { Secret::new(key) } else { Secret::with_scheme("Bearer ", key) }
    }

    fn strip(&self, head: &mut Parts) {
        credentials::strip(head, None);
    }

    fn inject(&self, head: &mut Parts, key: &Secret) -> Result<(), Cow<'static, str>> {
        let name = if self.azure { API_KEY } else { header::AUTHORIZATION };
        head.headers.insert(name, key.header_value().clone());
        Ok(())
    }

    fn rekey(&self, head: &mut Parts, key: &Secret) -> Result<(), Cow<'static, str>> {
        let name = if self.azure { API_KEY } else { header::AUTHORIZATION };
        credentials::rekey(head, &name, key.header_value(), None);
        Ok(())
    }

    fn asks<'a>(&self, head: &'a Parts) -> Asks<'a> {
        path::asks(head, self.base.path())
    }

    fn retarget(&self, head: &mut Parts, model: &str) -> Retarget {
        if let Some(target) = path::retargeted(&head.uri, model) {
            return aimed(head, target);
        }
        // Vectors of two models cannot be compared.
        let bound = head.uri.path().trim_end_matches('/').ends_with("/embeddings");
        if !bound && self.asks(head).model == super::ModelIn::Body { Retarget::InBody } else { Retarget::No }
    }

    fn resolve(&self, head: &mut Parts, model: &str) -> Retarget {
        if let Some(target) = path::resolved(&head.uri, model) {
            return aimed(head, target);
        }
        match self.asks(head).model {
            super::ModelIn::Body => Retarget::InBody,
            // A socket's.
            super::ModelIn::Head(_) => {
                path::resolved_in_query(&head.uri, model).map_or(Retarget::No, |target| aimed(head, target))
            }
            super::ModelIn::Nowhere => Retarget::No,
        }
    }

    fn judge(&self, answer: &Answer<'_>) -> Verdict {
        if answer.status.is_success() || answer.status.is_informational() {
            return match Envelope::open_good(answer.body, answer.event) {
                Some(envelope) if google_rpc::is_its(&envelope) => gemini::judge(answer),
                Some(envelope) => decide(GOOD, said::read(&envelope, answer), answer),
                None => Verdict::SUCCESS.status(answer.status),
            };
        }
        let limited = answer.status == StatusCode::TOO_MANY_REQUESTS;
        let envelope = if limited { Envelope::open_limit(answer.body) } else { Envelope::open(answer.body) };
        if google_rpc::is_its(&envelope) {
            return gemini::judge_opened(&envelope, answer);
        }
        let mut said = said::read(&envelope, answer);
        aws::say(&mut said, &envelope, answer);
        decide(
            &[
                REDIRECTS,
                EDGE,
                AWS,
                PAGES,
                FORMS,
                rules::RULES,
                CREDIT,
                accounts::ACCOUNTS,
                money::MONEY,
                asked::ASKED,
                limits::LIMITS,
                limits::RATES,
                asked::LEFT,
                BY_STATUS,
            ],
            said,
            answer,
        )
    }

    /// `OpenRouter` does, where the model's own provider failed after the head was sent; so do gateways.
    fn errs_with_success(&self) -> bool {
        true
    }

    fn rate_headers(&self, headers: &HeaderMap, clock: &Clock) -> Option<QuotaNews> {
        let remaining = rates::of_good(headers, clock);
        (!remaining.is_empty()).then(|| QuotaNews { remaining, ..QuotaNews::default() })
    }

    fn zone(&self) -> &str {
        if self.base.authority().host() == GOOGLE { gemini::ZONE } else { "UTC" }
    }

    fn usage(&self) -> UsageFormat {
        UsageFormat::OpenAi
    }

    fn error_body(&self, status: StatusCode, message: &str, _retry_after: Option<Duration>) -> String {
        let (kind, code) = match status.as_u16() {
            401 => ("invalid_request_error", json!("invalid_api_key")),
            404 => ("invalid_request_error", json!("model_not_found")),
            429 => ("requests", json!("rate_limit_exceeded")),
            503 => ("server_error", json!("no_available_keys")),
            400..=499 => ("invalid_request_error", Value::Null),
            _ => ("server_error", Value::Null),
        };
        json!({ "error": { "message": message, "type": kind, "param": null, "code": code } }).to_string()
    }
}

#[cfg(test)]
mod tests;
