//! Routes: the dialect, the endpoint and, if the path names one, the provider of a request.

use std::borrow::Cow;

use http::{Method, request::Parts};
use percent_encoding::percent_decode_str;

use super::query;
use crate::{dialect::Dialect, error::ApiError};

/// The route of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub dialect: Dialect,
    pub endpoint: Endpoint,
    pub target: PathTarget,
    /// The path for the provider, without the gateway's own prefix.
    pub path: String,
}

/// The provider that a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathTarget {
    /// No provider: the model decides.
    ByModel,
    /// The first provider of this dialect, if there is one: `/openai/…`.
    OfDialect,
    /// The provider with this name: `/to/NAME/…`.
    Named(String),
}

/// An endpoint. [`Other`](Self::Other) endpoints are forwarded to a provider of their dialect without translation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Chat,
    Responses,
    Messages,
    CountTokens,
    Embeddings,
    Images,
    Speech,
    Transcription,
    Translation,
    /// The list of models, or one of them.
    Models(Option<String>),
    /// Start, continuation or end of a file upload to Gemini.
    Upload,
    /// Gemini's Live API.
    Live,
    /// Any other path of an API.
    Other,
}

/// Endpoints of OpenAI and Anthropic, by their path after the version.
const ENDPOINTS: [(&str, Dialect, Endpoint); 11] = [
    ("/chat/completions", Dialect::OpenAi, Endpoint::Chat),
    ("/responses", Dialect::OpenAi, Endpoint::Responses),
    ("/embeddings", Dialect::OpenAi, Endpoint::Embeddings),
    ("/images/generations", Dialect::OpenAi, Endpoint::Images),
    ("/images/edits", Dialect::OpenAi, Endpoint::Images),
    ("/audio/speech", Dialect::OpenAi, Endpoint::Speech),
    ("/audio/transcriptions", Dialect::OpenAi, Endpoint::Transcription),
    ("/audio/translations", Dialect::OpenAi, Endpoint::Translation),
    ("/completions", Dialect::OpenAi, Endpoint::Other),
    ("/messages", Dialect::Anthropic, Endpoint::Messages),
    ("/messages/count_tokens", Dialect::Anthropic, Endpoint::CountTokens),
];

/// Path prefixes after the version that only OpenAI or Anthropic have.
const FAMILIES: [(&str, Dialect); 11] = [
    ("/responses", Dialect::OpenAi),
    ("/chat", Dialect::OpenAi),
    ("/images", Dialect::OpenAi),
    ("/audio", Dialect::OpenAi),
    ("/moderations", Dialect::OpenAi),
    ("/vector_stores", Dialect::OpenAi),
    ("/assistants", Dialect::OpenAi),
    ("/threads", Dialect::OpenAi),
    ("/fine_tuning", Dialect::OpenAi),
    ("/conversations", Dialect::OpenAi),
    ("/messages", Dialect::Anthropic),
];

/// The parts of a request that decide its route.
struct RouteInput<'a> {
    method: &'a Method,
    target: PathTarget,
    /// The dialect of the gateway's own prefix, such as `/openai/`.
    forced: Option<Dialect>,
    by_credential: Option<Dialect>,
    /// The path for the provider.
    path: &'a str,
    version: Option<&'a str>,
    /// The path after the version.
    rest: &'a str,
}

impl Route {
    /// Determines the route from the head of a request. `named` returns the dialect of a provider that the path names.
    ///
    /// # Errors
    /// 404 for a path that belongs to no API. Such a request uses no key.
    pub fn of(head: &Parts, named: impl Fn(&str) -> Option<Dialect>) -> Result<Self, (Dialect, ApiError)> {
        let path = collapsed(head.uri.path());
        let path = if path.contains('%') { with_plain_characters(&path).into() } else { path };
        let input = RouteInput::of(head, &path, named);
        fixed_path(&input)
            .or_else(|| known_endpoint(&input))
            .or_else(|| of_gemini_alone(&input))
            .or_else(|| by_version(&input))
            .ok_or_else(|| {
                let message = format!(
                    "{} is not an API path: API paths start with /v1, /v1beta, /upload/, /download/ or /ws/, such as \
                     /v1beta/models/MODEL:generateContent, /v1/chat/completions or /v1/messages",
                    input.path
                );
                (input.forced.or(input.by_credential).unwrap_or(Dialect::Gemini), ApiError::not_found(message))
            })
    }
}

impl<'a> RouteInput<'a> {
    fn of(head: &'a Parts, path: &'a str, named: impl Fn(&str) -> Option<Dialect>) -> Self {
        let (target, forced, path) = prefix(path).unwrap_or((PathTarget::ByModel, None, path));
        // Clients of Gemini whose base URL ends in a version put it before these paths. Other providers have such paths.
        let (version, rest) = versions(path);
        let is_gemini = matches!(forced, None | Some(Dialect::Gemini)) && !matches!(target, PathTarget::Named(_))
            || version.is_some_and(is_beta);
        let path = Some(rest)
            .filter(|rest| is_gemini && ["/upload/", "/download/", "/ws/"].iter().any(|start| rest.starts_with(start)))
            .unwrap_or(path);
        let (version, rest) = versions(path);
        let rest = if rest.len() > 1 { rest.trim_end_matches('/') } else { rest };
        let named = if let PathTarget::Named(name) = &target { named(name) } else { None };
        // Only Gemini's API has clients of other dialects: the credential decides nothing about other APIs.
        let by_credential = named.filter(|dialect| *dialect != Dialect::Gemini).or_else(|| dialect_of_credential(head));
        Self { method: &head.method, target, forced, by_credential, path, version, rest }
    }

    fn route(&self, dialect: Dialect, endpoint: Endpoint) -> Route {
        Route { dialect, endpoint, target: self.target.clone(), path: self.path.to_owned() }
    }

    fn is_beta(&self) -> bool {
        self.version.is_some_and(is_beta)
    }

    /// Reports whether this is Google's own endpoint for OpenAI clients, or would be in another version.
    fn is_for_openai(&self) -> bool {
        self.rest.starts_with("/openai/") && self.version.is_some()
    }
}

/// Reports whether only Gemini has this version.
fn is_beta(version: &str) -> bool {
    version.starts_with("v1beta") || version.starts_with("v1alpha")
}

/// 1. Paths of Gemini that have no version.
fn fixed_path(input: &RouteInput<'_>) -> Option<Route> {
    let paths = [("/upload/", Endpoint::Upload), ("/ws/", Endpoint::Live), ("/download/", Endpoint::Other)];
    let (_, endpoint) = paths.into_iter().find(|(start, _)| input.path.starts_with(start))?;
    Some(input.route(Dialect::Gemini, endpoint))
}

/// 2. Endpoints of OpenAI and Anthropic, and other paths that only one of them has.
fn known_endpoint(input: &RouteInput<'_>) -> Option<Route> {
    let known = ENDPOINTS.iter().find(|(known, ..)| *known == input.rest).filter(|_| !input.is_beta());
    if let Some((_, dialect, endpoint)) = known {
        match input.forced {
            // Gemini has no such endpoint: the model chooses the provider, and the request is translated.
            Some(Dialect::Gemini) => {
                return Some(Route { target: PathTarget::ByModel, ..input.route(*dialect, endpoint.clone()) });
            }
            Some(other) if other != *dialect => {}
            _ => return Some(input.route(*dialect, endpoint.clone())),
        }
    }
    let is_in =
        |family: &str| input.rest.strip_prefix(family).is_some_and(|end| end.is_empty() || end.starts_with('/'));
    let (_, dialect) = FAMILIES.iter().find(|(family, _)| is_in(family)).filter(|_| input.version.is_some())?;
    Some(input.route(input.forced.unwrap_or(*dialect), Endpoint::Other))
}

/// 3. Other paths that only Gemini has: its endpoint for OpenAI clients, and calls such as `/models/MODEL:METHOD`.
fn of_gemini_alone(input: &RouteInput<'_>) -> Option<Route> {
    if input.is_for_openai() && input.is_beta() {
        return Some(input.route(Dialect::Gemini, Endpoint::Other));
    }
    // The names of other providers' models contain colons, too.
    let may_be_gemini = input.method == Method::POST && matches!(input.forced, None | Some(Dialect::Gemini));
    let last = input.rest.strip_prefix("/models/").filter(|_| may_be_gemini)?.rsplit('/').next();
    last.filter(|last| last.contains(':')).map(|_| {
        let version = if input.version.is_none() { "/v1beta" } else { "" };
        let path = format!("{version}{}", input.path.trim_end_matches('/'));
        Route { path, ..input.route(Dialect::Gemini, Endpoint::Other) }
    })
}

/// 4. Paths that several dialects have: the prefix decides, then the version, then the credential.
fn by_version(input: &RouteInput<'_>) -> Option<Route> {
    let RouteInput { version, rest, forced, .. } = *input;
    let default = if version == Some("v1") { Dialect::OpenAi } else { Dialect::Gemini };
    let dialect = forced.or(input.is_beta().then_some(Dialect::Gemini)).or(input.by_credential).unwrap_or(default);
    if matches!(*input.method, Method::GET | Method::HEAD) {
        let model = rest.strip_prefix("/models/").filter(|model| !model.contains('/'));
        if rest == "/models" || model.is_some() {
            return Some(input.route(dialect, Endpoint::Models(model.map(|model| decoded(model).into_owned()))));
        }
    }
    // Google's endpoint for OpenAI clients exists in the v1beta and v1alpha versions only.
    let is_named = matches!(input.target, PathTarget::Named(_));
    let is_missing = input.is_for_openai() && !is_named;
    // Google's /batch takes a list of whole requests, which would not be checked.
    let is_batch = dialect == Dialect::Gemini && (rest == "/batch" || rest.starts_with("/batch/"));
    let has_no_api = forced.is_none() && input.target == PathTarget::ByModel;
    let is_unknown = version.is_none() && (has_no_api || rest.len() <= 1 || is_batch);
    (!is_missing && !is_unknown).then(|| input.route(dialect, Endpoint::Other))
}

/// Decodes the percent-encoding of a part of a URL.
pub fn decoded(text: &str) -> Cow<'_, str> {
    // Most texts have none, and the library would check every byte.
    if text.contains('%') { percent_decode_str(text).decode_utf8_lossy() } else { text.into() }
}

/// Decodes the characters of a path that never need an encoding, such as the colon before a method name. Servers treat
/// both forms alike, so both must lead to the same limits.
fn with_plain_characters(path: &str) -> String {
    let (mut plain, mut rest) = (String::with_capacity(path.len()), path);
    while let Some(at) = rest.find('%') {
        let code = rest.get(at + 1..at + 3).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let letter = code.filter(|byte| byte.is_ascii_alphanumeric() || b"-._~:".contains(byte));
        plain.push_str(&rest[..at]);
        plain.push(letter.map_or('%', char::from));
        rest = &rest[at + if letter.is_some() { 3 } else { 1 }..];
    }
    plain + rest
}

/// Replaces each run of slashes in a path by one slash.
fn collapsed(path: &str) -> Cow<'_, str> {
    if !path.contains("//") {
        return Cow::Borrowed(path);
    }
    let end = if path.ends_with('/') { "/" } else { "" };
    let segments = path.split('/').filter(|segment| !segment.is_empty());
    Cow::Owned(segments.flat_map(|segment| ["/", segment]).chain([end]).collect())
}

/// Parses the gateway's own prefix (`/to/NAME/`, `/openai/`, `/anthropic/`, `/gemini/`) and returns the path after it.
fn prefix(path: &str) -> Option<(PathTarget, Option<Dialect>, &str)> {
    if let Some(rest) = path.strip_prefix("/to/") {
        let (name, _) = rest.split_once('/')?;
        return Some((PathTarget::Named(name.to_owned()), None, &rest[name.len()..]));
    }
    let dialects = [("/openai/", Dialect::OpenAi), ("/anthropic/", Dialect::Anthropic), ("/gemini/", Dialect::Gemini)];
    let (prefix, dialect) = dialects.into_iter().find(|(prefix, _)| path.starts_with(prefix))?;
    Some((PathTarget::OfDialect, Some(dialect), &path[prefix.len() - 1..]))
}

/// Splits leading versions off a path, and returns the last version and the rest.
pub fn versions(path: &str) -> (Option<&str>, &str) {
    let (mut version, mut rest) = (None, path);
    while let Some(segment) = rest.strip_prefix('/') {
        let end = segment.find('/').unwrap_or(segment.len());
        let (first, behind) = segment.split_at(end);
        let is_version = first.strip_prefix('v').is_some_and(|number| {
            number.len() < 10
                && number.starts_with(|digit: char| digit.is_ascii_digit())
                && number.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        if !is_version {
            break;
        }
        (version, rest) = (Some(first), behind);
    }
    (version, rest)
}

/// Returns the dialect whose clients send the request's kind of credential.
fn dialect_of_credential(head: &Parts) -> Option<Dialect> {
    let has = |name| head.headers.contains_key(name);
    let has_key = || query::value(&head.uri, "key").is_some();
    if has("x-goog-api-key") || has_key() {
        Some(Dialect::Gemini)
    } else if has("anthropic-version") || has("x-api-key") {
        Some(Dialect::Anthropic)
    } else if has("authorization") || has("api-key") {
        Some(Dialect::OpenAi)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn route(request: &str, header: &str) -> Result<Route, (Dialect, ApiError)> {
        let (method, path) = request.split_once(' ').expect("a method and a path");
        let mut request = Request::builder().method(method).uri(path);
        if !header.is_empty() {
            request = request.header(header, "x");
        }
        Route::of(&request.body(()).expect("a request").into_parts().0, |_| None)
    }

    #[test]
    fn paths_lead_to_endpoints() {
        use Dialect::{Anthropic, Gemini, OpenAi};
        for (request, header, dialect, endpoint) in [
            ("POST /v1beta/models/gemini-2.5-flash:generateContent", "x-goog-api-key", Gemini, Endpoint::Other),
            ("POST /v1/models/gemini-2.5-flash:generateContent", "authorization", Gemini, Endpoint::Other),
            (
                "GET /v1/models/ft:gpt-4o:org::id",
                "authorization",
                OpenAi,
                Endpoint::Models(Some("ft:gpt-4o:org::id".into())),
            ),
            ("GET /to/openai/v1/models/ft:a::b", "", OpenAi, Endpoint::Models(Some("ft:a::b".into()))),
            ("DELETE /v1/models/ft:gpt-4o:org::id", "authorization", OpenAi, Endpoint::Other),
            ("POST /to/oa/v1/models/llama3:8b/infer", "authorization", OpenAi, Endpoint::Other),
            ("POST /openai/v1/models/llama3:8b", "", OpenAi, Endpoint::Other),
            ("POST /to/el/v1/upload/x", "authorization", OpenAi, Endpoint::Other),
            ("POST /v1/chat/completions", "authorization", OpenAi, Endpoint::Chat),
            ("POST /chat/completions", "", OpenAi, Endpoint::Chat),
            ("POST /v1/v1/chat/completions", "", OpenAi, Endpoint::Chat),
            ("POST //v1//chat/completions/", "", OpenAi, Endpoint::Chat),
            ("POST /v1beta/openai/chat/completions", "authorization", Gemini, Endpoint::Other),
            ("POST /v1/messages", "x-api-key", Anthropic, Endpoint::Messages),
            ("POST /anthropic/v1/messages?beta=true", "authorization", Anthropic, Endpoint::Messages),
            ("POST /v1/messages/count_tokens", "x-api-key", Anthropic, Endpoint::CountTokens),
            ("POST /v1/%63hat/completion%73", "authorization", OpenAi, Endpoint::Chat),
            ("GET /v1/models", "authorization", OpenAi, Endpoint::Models(None)),
            ("GET /v1/models", "anthropic-version", Anthropic, Endpoint::Models(None)),
            ("HEAD /v1/models", "authorization", OpenAi, Endpoint::Models(None)),
            ("GET /to/azure/models", "api-key", OpenAi, Endpoint::Models(None)),
            ("HEAD /v1/models/gpt-5", "authorization", OpenAi, Endpoint::Models(Some("gpt-5".to_owned()))),
            ("GET /v1beta/models", "x-goog-api-key", Gemini, Endpoint::Models(None)),
            ("GET /v1beta/models?key=k", "", Gemini, Endpoint::Models(None)),
            ("GET /gemini/v1/models", "authorization", Gemini, Endpoint::Models(None)),
            ("GET /v1/models/gpt-5", "authorization", OpenAi, Endpoint::Models(Some("gpt-5".to_owned()))),
            ("GET /v1beta/files/abc", "x-goog-api-key", Gemini, Endpoint::Other),
            ("POST /upload/v1beta/files", "x-goog-api-key", Gemini, Endpoint::Upload),
            (
                "GET /ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
                "",
                Gemini,
                Endpoint::Live,
            ),
        ] {
            let found = route(request, header).unwrap_or_else(|(_, error)| panic!("{request}: {}", error.message));
            assert_eq!((found.dialect, found.endpoint), (dialect, endpoint), "{request}");
        }
        for prefix in ["", "/gemini", "/to/google"] {
            let upload = route(&format!("POST {prefix}/v1beta/upload/v1beta/files"), "x-goog-api-key");
            let upload = upload.unwrap_or_else(|(_, error)| panic!("{prefix}: {}", error.message));
            assert_eq!((upload.endpoint, &*upload.path), (Endpoint::Upload, "/upload/v1beta/files"), "{prefix}");
        }
    }

    #[test]
    fn prefixes_choose_the_provider() {
        let named = route("POST /to/groq/v1/chat/completions", "authorization").expect("a route");
        assert_eq!(named.target, PathTarget::Named("groq".to_owned()));
        assert_eq!(named.path, "/v1/chat/completions");
        let named = route("POST /to/deepinfra/v1/openai/chat/completions", "authorization").expect("a route");
        assert_eq!((named.dialect, &*named.path), (Dialect::OpenAi, "/v1/openai/chat/completions"));
        let forced = route("POST /openai/v1/chat/completions", "").expect("a route");
        assert_eq!((forced.target, &*forced.path), (PathTarget::OfDialect, "/v1/chat/completions"));
    }

    #[test]
    fn paths_of_no_api_are_not_found() {
        for request in [
            "GET /favicon.ico",
            "GET /api/tags",
            "POST /_control/reset",
            "GET /",
            "GET /to/x",
            "POST /v1/openai/models",
        ] {
            let (_, error) = route(request, "").expect_err(request);
            assert_eq!(error.status, 404, "{request}");
        }
    }
}
