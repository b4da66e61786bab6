//! Anthropic's API.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use serde_json::json;

use super::{Base, ModelIn, Provider, RequestInfo, SetModel, credentials::X_API_KEY};
use crate::{
    Error,
    limit::{Limit, Span, Unit},
    secret::Secret,
};

const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
/// The version for requests that name none. Every account supports it.
const DEFAULT_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// Anthropic's API.
///
/// The key is sent as `x-api-key`, or as `Authorization: Bearer` after [`bearer`](Self::bearer). The caller's
/// `anthropic-version` is kept; if there is none, `2023-06-01` is added.
///
/// ```
/// use http::Request;
/// use tower_keypool::{Anthropic, Provider, Secret, provider::ModelIn};
///
/// let anthropic = Anthropic::new();
/// let (mut head, ()) = Request::post("/v1/messages").body(())?.into_parts();
/// assert_eq!(anthropic.inspect(&head).model, ModelIn::Body);
/// anthropic.authorize(&mut head, &Secret::new("sk-ant-not-a-real-key")?)?;
/// assert_eq!(head.headers["x-api-key"], "sk-ant-not-a-real-key");
/// assert_eq!(head.headers["anthropic-version"], "2023-06-01");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Anthropic {
    base: Base,
    bearer: bool,
}

impl Anthropic {
    /// Creates a provider for the API at `https://api.anthropic.com`.
    pub fn new() -> Self {
        Self { base: "https://api.anthropic.com".parse().expect("the constant is a valid base URL"), bearer: false }
    }

    /// Creates a provider for the API at another URL.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if `url` is not a base URL; see [`Base`].
    pub fn at(url: &str) -> Result<Self, Error> {
        Ok(Self { base: url.parse()?, bearer: false })
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

    fn authorize(&self, head: &mut Parts, key: &Secret) -> Result<(), Error> {
        key.put_in_header(head, if self.bearer { header::AUTHORIZATION } else { X_API_KEY })?;
        head.headers.entry(VERSION).or_insert(DEFAULT_VERSION);
        Ok(())
    }

    fn scheme(&self) -> &str {
        if self.bearer { "Bearer " } else { "" }
    }

    fn inspect<'a>(&self, head: &'a Parts) -> RequestInfo<'a> {
        let path = head.uri.path().trim_end_matches('/');
        let is_post = head.method == Method::POST;
        match path.rsplit('/').next() {
            Some("messages" | "complete" | "completions") if is_post => RequestInfo::new(ModelIn::Body),
            // Token counting has a quota of its own.
            Some("count_tokens") if is_post => RequestInfo { uncounted: true, ..RequestInfo::new(ModelIn::Body) },
            // A POST creates a batch, a file or a skill, unless it cancels one.
            last => RequestInfo {
                uncounted: true,
                not_idempotent: is_post && last != Some("cancel"),
                ..RequestInfo::default()
            },
        }
    }

    fn set_model(&self, head: &mut Parts, _model: &str) -> SetModel {
        if self.inspect(head).model == ModelIn::Body { SetModel::InBody } else { SetModel::No }
    }

    /// Removes the snapshot from a name, since all snapshots of a model share its limits: `claude-sonnet-4-20250514`
    /// and `claude-sonnet-4-latest` become `claude-sonnet-4`.
    fn quota_model<'a>(&self, model: &'a str) -> &'a str {
        match model.rsplit_once('-') {
            Some((name, "latest")) => name,
            Some((name, date)) if date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => model,
        }
    }

    /// Leaves out the limit of input tokens: tokens read from a cache do not count against it, so it would block long
    /// cached prompts without need.
    fn limits_in_headers(&self, headers: &HeaderMap) -> Vec<Limit> {
        let limit = |unit, name| {
            let amount = headers.get(name)?.to_str().ok()?.parse().ok().filter(|amount: &u64| *amount > 0)?;
            Some(Limit { unit, span: Span::MINUTE, amount })
        };
        let requests = limit(Unit::Requests, "anthropic-ratelimit-requests-limit");
        let output = limit(Unit::OutputTokens, "anthropic-ratelimit-output-tokens-limit");
        requests.into_iter().chain(output).collect()
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
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn the_callers_version_is_kept() {
        let (mut head, ()) =
            Request::post("/v1/messages").header("anthropic-version", "2026-10-21").body(()).unwrap().into_parts();
        let key = Secret::with_scheme("Bearer ", "sk-ant-x").unwrap();
        Anthropic::new().bearer().authorize(&mut head, &key).unwrap();
        assert_eq!(head.headers["anthropic-version"], "2026-10-21");
        assert_eq!(head.headers["authorization"], "Bearer sk-ant-x");
    }

    #[test]
    fn snapshots_share_a_quota() {
        let anthropic = Anthropic::new();
        for (model, quota) in [
            ("claude-sonnet-4-20250514", "claude-sonnet-4"),
            ("claude-3-7-sonnet-latest", "claude-3-7-sonnet"),
            ("claude-opus-4-1", "claude-opus-4-1"),
            ("claude", "claude"),
        ] {
            assert_eq!(anthropic.quota_model(model), quota);
        }
    }

    #[test]
    fn limits_of_requests_and_output_tokens_are_learned() {
        let headers: HeaderMap = [
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-input-tokens-limit", "30000"),
            ("anthropic-ratelimit-output-tokens-limit", "8000"),
        ]
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect();
        let expected = [(Unit::Requests, 50), (Unit::OutputTokens, 8_000)];
        let expected = expected.map(|(unit, amount)| Limit { unit, span: Span::MINUTE, amount });
        assert_eq!(Anthropic::new().limits_in_headers(&headers), expected);
    }

    #[test]
    fn error_body_has_anthropics_format() {
        let body = Anthropic::new().error_body(StatusCode::SERVICE_UNAVAILABLE, "out", None);
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(body, json!({ "type": "error", "error": { "type": "overloaded_error", "message": "out" } }));
    }
}
