//! Google's Gemini API.

use std::{borrow::Cow, time::Duration};

use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use memchr::{memchr, memrchr, memrchr2};
use percent_encoding::percent_decode_str;
use serde_json::json;

use super::{
    Base, ModelIn, Provider, RequestInfo, SetModel,
    base::{after_version, begins_with},
    credentials::{X_GOOG_API_KEY, put_in_header},
    target::{encoded, set_path},
};
use crate::{Error, ErrorKind, key::Tier, limit::Limits, secret::Secret, time::whole_seconds};

/// The time zone of Google's daily quotas.
pub(super) const ZONE: &str = "America/Los_Angeles";

/// Google's Gemini API: the native paths of all versions, uploads, the Live API, and the OpenAI-compatible paths under
/// `/v1beta/openai`.
///
/// The key is sent as `x-goog-api-key`, and as `Authorization: Bearer` on the OpenAI-compatible paths, which accept
/// nothing else. It is treated as an opaque string, so `AIza…`, `AQ.…` and future formats work.
///
/// ```
/// use http::Request;
/// use tower_keypool::{Gemini, Provider, Secret, provider::ModelIn};
///
/// let gemini = Gemini::new();
/// let request = Request::post("/v1beta/models/gemini-2.5-flash:generateContent?alt=sse&key=of-the-caller");
/// let (mut head, ()) = request.body(())?.into_parts();
/// assert_eq!(gemini.inspect(&head).model, ModelIn::Head("gemini-2.5-flash".into()));
///
/// gemini.base().apply(&mut head)?;
/// gemini.authorize(&mut head, &Secret::new("AIza-not-a-real-key-000")?)?;
/// let there = "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent?alt=sse";
/// assert_eq!(head.uri, there);
/// assert_eq!(head.headers["x-goog-api-key"], "AIza-not-a-real-key-000");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Gemini {
    base: Base,
}

impl Gemini {
    /// Creates a provider for the API at `https://generativelanguage.googleapis.com`.
    pub fn new() -> Self {
        Self { base: "https://generativelanguage.googleapis.com".parse().expect("the constant is a valid base URL") }
    }

    /// Creates a provider for the API at another URL: a simulator, a proxy, a regional host.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if `url` is not a base URL; see [`Base`].
    pub fn at(url: &str) -> Result<Self, Error> {
        Ok(Self { base: url.parse()? })
    }

    /// Returns the path after the base's path and the version: `/openai/files` of `/v1beta/openai/files`.
    fn resource<'a>(&self, path: &'a str) -> &'a str {
        let path = if begins_with(path, self.base.path()) { &path[self.base.path().len()..] } else { path };
        after_version(path).unwrap_or(path)
    }
}

impl Default for Gemini {
    fn default() -> Self {
        Self::new()
    }
}

impl Provider for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn base(&self) -> &Base {
        &self.base
    }

    fn authorize(&self, head: &mut Parts, key: &Secret) -> Result<(), Error> {
        if begins_with(self.resource(head.uri.path()), "/openai") {
            let bearer = HeaderValue::try_from(format!("Bearer {}", key.expose()));
            let mut bearer =
                bearer.map_err(|_| Error::new(ErrorKind::InvalidKey, "the key cannot be a header value"))?;
            bearer.set_sensitive(true);
            put_in_header(head, header::AUTHORIZATION, &bearer)
        } else {
            key.put_in_header(head, X_GOOG_API_KEY)
        }
    }

    fn inspect<'a>(&self, head: &'a Parts) -> RequestInfo<'a> {
        let path = head.uri.path();
        if let Some(call) = ModelCall::parse(path) {
            return of_verb(call.verb, call.model());
        }
        if path.contains('%') {
            let decoded = percent_decode_str(path).decode_utf8_lossy();
            if let Some(call) = ModelCall::parse(&decoded) {
                return of_verb(call.verb, Cow::Owned(call.model().into_owned()));
            }
        }
        let is_upload = path.contains("/upload/");
        if head.method != Method::POST {
            // Lists, reads, deletes and polls are not counted. Opening a WebSocket counts as a request.
            return RequestInfo {
                uncounted: !path.contains("/ws/"),
                not_idempotent: is_upload,
                ..RequestInfo::default()
            };
        }
        let resource = self.resource(path).trim_end_matches('/');
        let in_body = RequestInfo::new(ModelIn::Body);
        match resource {
            "/interactions" => in_body,
            "/cachedContents" => RequestInfo { not_idempotent: true, ..in_body },
            _ if is_upload => RequestInfo { uncounted: true, not_idempotent: true, ..RequestInfo::default() },
            _ => match resource.strip_prefix("/openai/") {
                Some("embeddings") => RequestInfo { cost_of_items: Some("input"), ..in_body },
                Some("videos") => RequestInfo { not_idempotent: true, ..in_body },
                Some(rest) if !rest.starts_with("files") && !rest.starts_with("batches") => in_body,
                // It creates a file, a batch, a store or a similar resource, unless it cancels one.
                _ => RequestInfo {
                    uncounted: true,
                    not_idempotent: !resource.ends_with("cancel"),
                    ..RequestInfo::default()
                },
            },
        }
    }

    fn set_model(&self, head: &mut Parts, model: &str) -> SetModel {
        let Some(call) = ModelCall::parse(head.uri.path()) else {
            // A cache can be used only with its own model.
            let is_cache = self.resource(head.uri.path()).trim_end_matches('/') == "/cachedContents";
            return if !is_cache && self.inspect(head).model == ModelIn::Body {
                SetModel::InBody
            } else {
                SetModel::No
            };
        };
        let bare = self.quota_model(model);
        let (collection, name) = match bare.split_once('/') {
            Some((collection, name)) if COLLECTIONS.contains(&collection) => (collection, name),
            _ => ("models", bare),
        };
        if name.is_empty() {
            return SetModel::No;
        }
        let path = format!("{}{collection}/{}:{}", call.before, encoded(name), call.verb);
        if set_path(&mut head.uri, path).is_ok() { SetModel::Done } else { SetModel::No }
    }

    fn quota_model<'a>(&self, model: &'a str) -> &'a str {
        let bare = model.strip_prefix("models/").unwrap_or(model);
        // Clients of the OpenAI-compatible paths use these prefixes.
        bare.strip_prefix("google/").or_else(|| bare.strip_prefix("gemini/")).unwrap_or(bare)
    }

    fn zone(&self) -> &'static str {
        ZONE
    }

    fn assumed_limits(&self, model: &str, tier: Tier) -> Option<Limits> {
        assumed(self.quota_model(model), tier)
    }

    fn error_body(&self, status: StatusCode, message: &str, retry_after: Option<Duration>) -> String {
        let mut error = json!({ "code": status.as_u16(), "message": message, "status": status_name(status) });
        if let Some(delay) = retry_after {
            let seconds = whole_seconds(delay);
            let kind = "type.googleapis.com/google.rpc.RetryInfo";
            error["details"] = json!([{ "@type": kind, "retryDelay": format!("{seconds}s") }]);
        }
        json!({ "error": error }).to_string()
    }
}

/// Path segments of collections of models.
const COLLECTIONS: [&str; 3] = ["models", "tunedModels", "dynamic"];

/// A path that calls a model: `…/models/{m}:{verb}`.
struct ModelCall<'a> {
    /// The path up to the collection.
    before: &'a str,
    /// The collection and the model.
    name: &'a str,
    verb: &'a str,
}

impl<'a> ModelCall<'a> {
    /// Parses a path, whose colon may be percent-encoded.
    fn parse(path: &'a str) -> Option<Self> {
        let path = path.trim_end_matches('/');
        let bytes = path.as_bytes();
        let slash_before = |end: usize| memrchr(b'/', &bytes[..end]);
        let mut colon = memrchr2(b':', b'/', bytes)?;
        let mut verb = colon + 1;
        if bytes[colon] == b'/' {
            colon = bytes.windows(3).rposition(|bytes| bytes.eq_ignore_ascii_case(b"%3a")).filter(|at| *at > colon)?;
            verb = colon + 3;
        }
        let last = slash_before(colon)?;
        let start = slash_before(last)? + 1;
        let is_model = last + 1 < colon && verb < path.len() && COLLECTIONS.contains(&&path[start..last]);
        is_model.then(|| Self { before: &path[..start], name: &path[start..colon], verb: &path[verb..] })
    }

    /// Returns the name of the model without `models/`. The names of other collections are kept as prefixes.
    fn model(&self) -> Cow<'a, str> {
        let bare = |name: &'a str| name.strip_prefix("models/").unwrap_or(name);
        if memchr(b'%', self.name.as_bytes()).is_none() {
            return Cow::Borrowed(bare(self.name));
        }
        let decoded = percent_decode_str(bare(self.name)).decode_utf8_lossy();
        let decoded = decoded.trim();
        Cow::Owned(decoded.strip_prefix("models/").unwrap_or(decoded).to_owned())
    }
}

/// Returns the properties of a request with this verb.
fn of_verb<'a>(verb: &str, model: Cow<'a, str>) -> RequestInfo<'a> {
    let info = RequestInfo::new(ModelIn::Head(model));
    match verb {
        "batchEmbedContents" => RequestInfo { cost_of_items: Some("requests"), ..info },
        // Token counting and batches have quotas of their own.
        "countTokens" => RequestInfo { uncounted: true, ..info },
        "batchGenerateContent" | "asyncBatchEmbedContent" => {
            RequestInfo { uncounted: true, not_idempotent: true, ..info }
        }
        "predictLongRunning" => RequestInfo { not_idempotent: true, ..info },
        _ => info,
    }
}

/// Rows of (prefix of the model's name, tier, requests a minute, input tokens a minute). The longest matching prefix
/// applies.
///
/// The figures are from ai.google.dev/gemini-api/docs/rate-limits, as last published for each model (2025-09), updated
/// with limits that 429 responses have named since. Daily limits are left out: nothing would correct a figure that is
/// too low before midnight.
const ASSUMED: &[(&str, Tier, u64, u64)] = &[
    ("gemini-2.0-flash", Tier::Free, 15, 1_000_000),
    ("gemini-2.0-flash", Tier::Paid, 2_000, 4_000_000),
    ("gemini-2.0-flash-lite", Tier::Free, 30, 1_000_000),
    ("gemini-2.0-flash-lite", Tier::Paid, 4_000, 4_000_000),
    ("gemini-2.5-flash", Tier::Free, 10, 250_000),
    ("gemini-2.5-flash", Tier::Paid, 1_000, 1_000_000),
    ("gemini-2.5-flash-lite", Tier::Free, 15, 250_000),
    ("gemini-2.5-flash-lite", Tier::Paid, 4_000, 4_000_000),
    ("gemini-2.5-pro", Tier::Free, 5, 250_000),
    ("gemini-2.5-pro", Tier::Paid, 150, 2_000_000),
    ("gemini-embedding", Tier::Free, 100, 30_000),
    ("gemini-embedding", Tier::Paid, 3_000, 1_000_000),
    ("gemma-3", Tier::Free, 30, 15_000),
];

fn assumed(model: &str, tier: Tier) -> Option<Limits> {
    let fits = |name: &str| model.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    let rows = ASSUMED.iter().filter(|(name, of, ..)| *of == tier && fits(name));
    let (.., requests, tokens) = rows.max_by_key(|(name, ..)| name.len())?;
    // Variants for images, sound and speech have their own limits.
    if ["image", "tts", "audio", "live"].iter().any(|kind| model.contains(kind)) {
        return None;
    }
    Some(Limits::new().per_minute(*requests).tokens_per_minute(*tokens))
}

/// Returns Google's name of a status.
fn status_name(status: StatusCode) -> &'static str {
    match status.as_u16() {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        501 => "UNIMPLEMENTED",
        502 | 503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        400..=498 => "INVALID_ARGUMENT",
        _ => "INTERNAL",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_gives_the_assumed_limits_and_variants_have_none() {
        let requests = |model, tier| {
            let limits = Gemini::new().assumed_limits(model, tier)?;
            limits.iter().map(|limit| limit.amount).min()
        };
        assert_eq!(requests("gemini-2.5-flash", Tier::Free), Some(10));
        assert_eq!(requests("models/gemini-2.5-flash-lite-preview-09-2025", Tier::Free), Some(15));
        assert_eq!(requests("gemini-2.5-pro", Tier::Paid), Some(150));
        for model in ["gemini-2.5-flash-preview-tts", "gemini-2.5-flash-image", "gemini-2.5-flashy", "gpt-4o"] {
            assert_eq!(requests(model, Tier::Free), None, "{model}");
        }
        assert_eq!(requests("gemini-2.5-pro", Tier::Unknown), None);
    }

    #[test]
    fn error_body_has_googles_format_and_whole_seconds() {
        let body = |retry_after| {
            let body = Gemini::new().error_body(StatusCode::SERVICE_UNAVAILABLE, "no \"key\"", retry_after);
            serde_json::from_str::<serde_json::Value>(&body).unwrap()["error"].clone()
        };
        assert_eq!(body(None), json!({ "code": 503, "message": "no \"key\"", "status": "UNAVAILABLE" }));
        assert_eq!(body(Some(Duration::from_millis(1_200)))["details"][0]["retryDelay"], "2s");
    }
}
