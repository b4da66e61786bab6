//! OpenAI, and every API of its shape.

use std::{borrow::Cow, time::Duration};

use http::{HeaderMap, Method, StatusCode, header, request::Parts};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::{
    Base, ModelIn, Provider, RequestInfo, SetModel,
    base::begins_with,
    credentials::API_KEY,
    gemini,
    target::{self, encoded, set_path},
};
use crate::{
    Error,
    classify::duration,
    limit::{Limit, Span, Unit},
    secret::Secret,
};

/// OpenAI's API, or any compatible API: Azure, OpenRouter, Groq, Mistral, DeepSeek, a local server.
///
/// The key is sent as `Authorization: Bearer`, or as `api-key` to Azure. The model is in the body, or in the path of an
/// Azure deployment. Limits per minute are learned from the `x-ratelimit-*` headers.
///
/// ```
/// use http::Request;
/// use tower_keypool::{OpenAi, Provider, provider::ModelIn};
///
/// let openai = OpenAi::at("https://openrouter.ai/api/v1")?;
/// let request = Request::post("/v1/chat/completions").header("authorization", "Bearer of-the-caller");
/// let (mut head, ()) = request.body(())?.into_parts();
/// assert_eq!(openai.inspect(&head).model, ModelIn::Body);
/// openai.base().apply(&mut head)?;
/// assert_eq!(head.uri, "https://openrouter.ai/api/v1/chat/completions");
///
/// let azure = OpenAi::at("https://my-resource.openai.azure.com")?;
/// let request = Request::post("/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21");
/// let (head, ()) = request.body(())?.into_parts();
/// assert_eq!(azure.inspect(&head).model, ModelIn::Head("my-gpt".into()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct OpenAi {
    base: Base,
    name: Cow<'static, str>,
    azure: bool,
    google: bool,
}

impl OpenAi {
    /// Creates a provider for the API at `https://api.openai.com/v1`.
    pub fn new() -> Self {
        Self::with("https://api.openai.com/v1".parse().expect("the constant is a valid base URL"))
    }

    /// Creates a provider for a compatible API at another URL, such as `https://openrouter.ai/api/v1` or
    /// `https://my-resource.openai.azure.com`. Azure is detected by its host names.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if `url` is not a base URL; see [`Base`].
    pub fn at(url: &str) -> Result<Self, Error> {
        Ok(Self::with(url.parse()?))
    }

    fn with(base: Base) -> Self {
        let host = base.authority().host().to_ascii_lowercase();
        let is_of =
            |domain: &str| host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'));
        let openai = Self {
            base,
            name: Cow::Borrowed(if is_of("openrouter.ai") { "openrouter" } else { "openai" }),
            azure: false,
            google: is_of("googleapis.com"),
        };
        if AZURE.iter().any(|domain| is_of(domain)) { openai.azure() } else { openai }
    }

    /// Treats the API as Azure's although its host name does not show that: keys are sent as `api-key`.
    #[must_use]
    pub fn azure(mut self) -> Self {
        self.azure = true;
        self.named("azure")
    }

    /// Sets the name for logs, metrics and rules; by default `openai`, `azure` or `openrouter`.
    #[must_use]
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }
}

const AZURE: [&str; 3] = ["openai.azure.com", "cognitiveservices.azure.com", "services.ai.azure.com"];

impl Default for OpenAi {
    fn default() -> Self {
        Self::new()
    }
}

impl Provider for OpenAi {
    fn name(&self) -> &str {
        &self.name
    }

    fn base(&self) -> &Base {
        &self.base
    }

    fn authorize(&self, head: &mut Parts, key: &Secret) -> Result<(), Error> {
        key.put_in_header(head, if self.azure { API_KEY } else { header::AUTHORIZATION })
    }

    fn scheme(&self) -> &str {
        if self.azure { "" } else { "Bearer " }
    }

    fn inspect<'a>(&self, head: &'a Parts) -> RequestInfo<'a> {
        let path = head.uri.path();
        if let Some(deployment) = self.deployment(path) {
            return RequestInfo::new(ModelIn::Head(percent_decode_str(deployment.name).decode_utf8_lossy()));
        }
        let resource = self.resource(path);
        let (first, rest) = resource.split_once('/').unwrap_or((resource, ""));
        let is_post = head.method == Method::POST;
        if first == "realtime" && !is_post {
            return RequestInfo::new(
                model_in_query(head.uri.query())
                    .map_or(ModelIn::Nowhere, |(_, name)| ModelIn::Head(percent_decode_str(name).decode_utf8_lossy())),
            );
        }
        if !is_post || UNCOUNTED.contains(&first) || rest.ends_with("cancel") {
            let not_idempotent = is_post && !rest.ends_with("cancel");
            return RequestInfo { uncounted: true, not_idempotent, ..RequestInfo::default() };
        }
        // Audio and images are sent as forms, from which the model is not read.
        let is_form =
            head.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"multipart/"));
        RequestInfo {
            model: if is_form { ModelIn::Nowhere } else { ModelIn::Body },
            // Google counts each text as a request.
            cost_of_items: (self.google && first == "embeddings").then_some("input"),
            not_idempotent: matches!(first, "videos" | "threads"),
            uncounted: false,
        }
    }

    fn set_model(&self, head: &mut Parts, model: &str) -> SetModel {
        if model.is_empty() {
            return SetModel::No;
        }
        let set = if let Some(deployment) = self.deployment(head.uri.path()) {
            let path = format!("{}{}{}", deployment.before, encoded(model), deployment.after);
            set_path(&mut head.uri, path)
        } else {
            match (self.inspect(head).model, model_in_query(head.uri.query())) {
                (ModelIn::Body, _) => return SetModel::InBody,
                (ModelIn::Head(_), Some((pair, _))) => {
                    let pairs = head.uri.query().unwrap_or_default().split('&');
                    let model = format!("model={}", encoded(model));
                    let pairs: Vec<&str> = pairs.map(|held| if held == pair { &*model } else { held }).collect();
                    let target = format!("{}?{}", head.uri.path(), pairs.join("&"));
                    target::set(&mut head.uri, target)
                }
                _ => return SetModel::No,
            }
        };
        if set.is_ok() { SetModel::Done } else { SetModel::No }
    }

    fn limits_in_headers(&self, headers: &HeaderMap) -> Vec<Limit> {
        let limit = |unit, names: [&str; 3]| {
            let [limit, remaining, reset] = names.map(|name| headers.get(name).and_then(|value| value.to_str().ok()));
            let (amount, remaining): (u64, u64) = (limit?.parse().ok()?, remaining?.parse().ok()?);
            let span = Span::MINUTE;
            is_of_a_minute(amount, remaining, duration(reset?)?).then_some(Limit { unit, span, amount })
        };
        let requests = ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
        let tokens = ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];
        limit(Unit::Requests, requests).into_iter().chain(limit(Unit::Tokens, tokens)).collect()
    }

    fn zone(&self) -> &str {
        if self.google { gemini::ZONE } else { "UTC" }
    }

    fn error_body(&self, status: StatusCode, message: &str, _retry_after: Option<Duration>) -> String {
        let (kind, code) = match status.as_u16() {
            401 => ("invalid_request_error", json!("invalid_api_key")),
            404 if message.starts_with('/') => ("invalid_request_error", json!("unknown_url")),
            404 if message.contains("model") => ("invalid_request_error", json!("model_not_found")),
            429 => ("requests", json!("rate_limit_exceeded")),
            503 => ("server_error", json!("no_available_keys")),
            400..=499 => ("invalid_request_error", Value::Null),
            _ => ("server_error", Value::Null),
        };
        json!({ "error": { "message": message, "type": kind, "param": null, "code": code } }).to_string()
    }
}

/// First path segments of requests that do not call a model. A POST to one of them creates a resource.
const UNCOUNTED: [&str; 12] = [
    "assistants",
    "batches",
    "containers",
    "conversations",
    "dashboard",
    "evals",
    "files",
    "fine_tuning",
    "models",
    "organization",
    "uploads",
    "vector_stores",
];

impl OpenAi {
    /// Returns the path after the base's path, `openai` and the version.
    fn resource<'a>(&self, path: &'a str) -> &'a str {
        let without = |path: &'a str, start| if begins_with(path, start) { &path[start.len()..] } else { path };
        [self.base.path(), "/openai", "/v1"].into_iter().fold(path, without).trim_start_matches('/')
    }

    /// Parses Azure's `…/deployments/{name}/…`.
    fn deployment<'a>(&self, path: &'a str) -> Option<Deployment<'a>> {
        let named = self.resource(path).strip_prefix("deployments/")?;
        let start = path.len() - named.len();
        let end = start + named.find('/').filter(|length| *length > 0)?;
        Some(Deployment { before: &path[..start], name: &path[start..end], after: &path[end..] })
    }
}

struct Deployment<'a> {
    before: &'a str,
    name: &'a str,
    after: &'a str,
}

/// Returns the `model=` pair of a query, and its value.
fn model_in_query(query: Option<&str>) -> Option<(&str, &str)> {
    query?.split('&').find_map(|pair| Some((pair, pair.strip_prefix("model=")?)))
}

/// Reports whether a limit refills within a minute. OpenAI refills limits evenly, and `reset` is the time until the
/// limit is full again, so the used share gives the time to refill all of it. Limits per second or per day, as Azure,
/// Groq and others have them, are excluded.
fn is_of_a_minute(limit: u64, remaining: u64, reset: Duration) -> bool {
    let used = limit.saturating_sub(remaining);
    let whole = reset.as_secs_f64() * limit as f64 / used as f64;
    used > 0 && (54.0..66.0).contains(&whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn learned(limit: &str, remaining: &str, reset: &str) -> Option<u64> {
        let headers: HeaderMap = [
            ("x-ratelimit-limit-requests", limit),
            ("x-ratelimit-remaining-requests", remaining),
            ("x-ratelimit-reset-requests", reset),
        ]
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect();
        let learned = OpenAi::new().limits_in_headers(&headers);
        learned.first().map(|limit| {
            assert_eq!((limit.unit, limit.span), (Unit::Requests, Span::MINUTE));
            limit.amount
        })
    }

    #[test]
    fn only_limits_that_are_clearly_per_minute_are_learned() {
        assert_eq!(learned("500", "499", "120ms"), Some(500));
        assert_eq!(learned("3", "0", "1m0s"), Some(3));
        assert_eq!(learned("60", "30", "30s"), Some(60));
        for (limit, remaining, reset, why) in [
            ("14400", "14370", "3m0s", "Groq's per day"),
            ("200", "199", "7m12s", "per day"),
            ("10", "9", "100ms", "per second"),
            ("500", "500", "0s", "none used"),
            ("500", "499", "0s", "rounded"),
            ("-1", "-1", "1s", "Azure's value for unknown"),
            ("0", "0", "0s", "unknown"),
            ("10", "9", "6", "without a unit"),
            ("10", "20", "6s", "more left than the limit"),
        ] {
            assert_eq!(learned(limit, remaining, reset), None, "{why}");
        }
        assert!(OpenAi::new().limits_in_headers(&HeaderMap::new()).is_empty());
    }

    #[test]
    fn error_body_has_openais_format() {
        let body = OpenAi::new().error_body(StatusCode::SERVICE_UNAVAILABLE, "all \"out\"", None);
        let json: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(json["error"]["message"], "all \"out\"");
        assert_eq!((&json["error"]["code"], &json["error"]["param"]), (&json!("no_available_keys"), &Value::Null));
        for (message, code) in [
            ("there is no model x", json!("model_not_found")),
            ("/x is no path", json!("unknown_url")),
            ("there is no file x", Value::Null),
        ] {
            let body: Value =
                serde_json::from_str(&OpenAi::new().error_body(StatusCode::NOT_FOUND, message, None)).unwrap();
            assert_eq!(body["error"]["code"], code, "{message}");
        }
    }
}
