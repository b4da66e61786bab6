//! A request before its checks: query, credentials and JSON.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Uri};
use jiff::Timestamp;
use serde_json::error::Category;
use serde_json::{Value, json};

use super::{Endpoint, VERSIONS};
use crate::Refusal;
use crate::answer::{Format, Reply};
use crate::log::Arrival;
use crate::refusal::{ApiError, Caller, bad_request};
use crate::simulator::{Simulator, State};

/// A request.
pub(super) struct Call {
    /// `None` if no endpoint has this path.
    pub(super) endpoint: Option<&'static Endpoint>,
    pub(super) parts: Parts,
    pub(super) query: Query,
    pub(super) body: Bytes,
    /// Time of the arrival, since the simulator was built and on its wall clock.
    pub(super) now: Duration,
    pub(super) wall: Timestamp,
    pub(super) credentials: Credentials,
    pub(super) key: Option<usize>,
    pub(super) project: Option<usize>,
    /// The API version in the path.
    pub(super) version: String,
    /// The model in the path or the body, without `models/`; empty if there is none.
    pub(super) model: String,
    /// The id of a file or a cache in the path.
    pub(super) id: String,
}

impl Call {
    pub(super) fn new(
        simulator: &Simulator,
        endpoint: Option<&'static Endpoint>,
        mut params: HashMap<String, String>,
        parts: Parts,
    ) -> Self {
        let mut param = |name: &str| params.remove(name).unwrap_or_default();
        let query = Query::parse(&parts.uri);
        let credentials = Credentials::read(&parts.headers, &query);
        let key = simulator.accounts.by_secret(credentials.secret());
        let now = simulator.clock.elapsed();
        let version = param("version");
        Self {
            endpoint: endpoint.filter(|_| VERSIONS.contains(&&*version)),
            query,
            body: Bytes::new(),
            now,
            wall: simulator.clock.wall_at(now),
            key,
            project: key.map(|key| simulator.accounts.keys[key].project),
            credentials,
            version,
            model: param("model"),
            id: param("id"),
            parts,
        }
    }

    /// Sets the body, and the time at which the request reaches the quota check.
    pub(super) fn receive_body(&mut self, simulator: &Simulator, body: Bytes) {
        self.now = simulator.clock.elapsed();
        self.wall = simulator.clock.wall_at(self.now);
        if self.model.is_empty() {
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            let model = body["model"].as_str().unwrap_or_default();
            let model = model.strip_prefix("models/").unwrap_or(model);
            model.strip_prefix("google/").unwrap_or(model).clone_into(&mut self.model);
        }
        self.body = body;
    }

    pub(super) fn caller<'a>(&'a self, simulator: &'a Simulator) -> Caller<'a> {
        let accounts = &simulator.accounts;
        Caller {
            label: self.key.map_or("", |key| &accounts.keys[key].label),
            secret: self.credentials.secret(),
            project: self.project.map_or("", |project| &accounts.projects[project].number),
            model: &self.model,
            version: &self.version,
            method: self.endpoint.map_or("", |endpoint| endpoint.name),
            path: self.parts.uri.path(),
        }
    }

    /// Returns the log entry of the request, without its outcome.
    pub(super) fn arrival(&self) -> Arrival {
        Arrival {
            at: self.now,
            key: self.key,
            project: self.project,
            model: self.model.as_str().into(),
            method: self.endpoint.map_or("", |endpoint| endpoint.name),
            status: 0,
            kind: "ok",
            accepted: false,
            cost: self.endpoint.is_some_and(|endpoint| endpoint.is_charged).into(),
            tokens: 0,
        }
    }

    /// Returns the format of the response of a generating endpoint.
    pub(super) fn format(&self) -> Format {
        match self.endpoint.map(|endpoint| endpoint.name) {
            Some("streamGenerateContent") if self.query.wants_events() => Format::Events,
            Some("streamGenerateContent") => Format::List,
            _ => Format::Whole,
        }
    }

    /// Reports whether the endpoint is OpenAI-compatible. These take a Bearer key, and their errors are lists.
    pub(super) fn is_openai(&self) -> bool {
        self.endpoint.is_some() && self.parts.uri.path().contains("/openai/")
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// Returns the base of URLs in responses, as the caller sees it.
    pub(super) fn origin(&self) -> String {
        match (self.parts.uri.authority(), self.header(HOST.as_str())) {
            (Some(authority), _) => format!("{}://{authority}", self.parts.uri.scheme_str().unwrap_or("http")),
            (None, Some(host)) => format!("http://{host}"),
            (None, None) => "https://generativelanguage.googleapis.com".to_owned(),
        }
    }

    pub(super) fn error(&self, error: &ApiError) -> Reply {
        let in_list = self.format() == Format::List || self.is_openai();
        Reply::error(error, in_list)
    }

    pub(super) fn accepts_gzip(&self) -> bool {
        let accepted = self.parts.headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let mut codings = accepted.flat_map(|value| value.split(',')).map(|coding| coding.replace(' ', ""));
        codings.any(|coding| coding.starts_with("gzip") && !coding.ends_with(";q=0"))
    }
}

/// The credentials of a request, before they are checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    None,
    /// `x-goog-api-key` or `?key=`.
    ApiKey(String),
    /// `Authorization: Bearer …` or `?access_token=`.
    Bearer(String),
    /// `Authorization` with another scheme.
    Unreadable,
    /// More than one.
    Multiple,
}

impl Credentials {
    /// Reads the credentials. Two are an error, even if they are equal. The provider treats `openai-organization` and
    /// `openai-project` as credentials, too; it ignores `x-api-key`.
    pub(super) fn read(headers: &HeaderMap, query: &Query) -> Self {
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let mut found: Vec<_> = headers.get_all("x-goog-api-key").iter().map(text).map(Self::ApiKey).collect();
        found.extend(query.all("key").map(|key| Self::ApiKey(key.to_owned())));
        for value in headers.get_all(AUTHORIZATION).iter().map(text) {
            found.push(match value.split_once(' ') {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Self::Bearer(token.trim().to_owned()),
                _ => Self::Unreadable,
            });
        }
        let tokens = query.all("access_token").chain(query.all("oauth_token"));
        found.extend(tokens.map(|token| Self::Bearer(token.to_owned())));
        let has_more = ["openai-organization", "openai-project"].iter().any(|name| headers.contains_key(*name));
        match (found.len(), has_more) {
            (0, _) => Self::None,
            (1, false) => found.remove(0),
            _ => Self::Multiple,
        }
    }

    /// Returns the secret, or an empty string if there is not exactly one.
    pub(super) fn secret(&self) -> &str {
        match self {
            Self::ApiKey(secret) | Self::Bearer(secret) => secret,
            Self::None | Self::Unreadable | Self::Multiple => "",
        }
    }
}

/// Returns the project whose quota a request uses.
pub(super) fn authenticate(simulator: &Simulator, state: &State, call: &Call) -> Result<usize, ApiError> {
    let refuse = |refusal: &Refusal| Err(refusal.error(call.caller(simulator)));
    match (&call.credentials, call.is_openai()) {
        (Credentials::Multiple, _) => return refuse(&Refusal::MultipleCredentials),
        (Credentials::ApiKey(_), false) | (Credentials::Bearer(_), true) => {}
        (_, true) => {
            return Err(ApiError::invalid_argument("missing_bearer", "Missing or invalid Authorization header."));
        }
        (Credentials::None, false) => {
            // The URL of an upload is a credential, too.
            let upload = call.query.get("upload_id").and_then(|id| state.uploads.project_of(id));
            return upload.map_or_else(|| refuse(&Refusal::UnregisteredCaller), Ok);
        }
        (Credentials::Bearer(_) | Credentials::Unreadable, false) => return refuse(&Refusal::BadCredentials),
    }
    let Some(key) = call.key else { return refuse(&Refusal::ApiKeyInvalid) };
    let project = simulator.accounts.keys[key].project;
    state.refused[key].as_ref().map_or(Ok(project), refuse)
}

/// Query parameters of every method.
const STANDARD: &str = "key access_token oauth_token alt $alt prettyPrint $prettyPrint fields $fields quotaUser $.xgafv \
                        callback uploadType upload_protocol $httpHeaders";

/// Query parameters as pairs of name and value, in their order.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(uri: &Uri) -> Self {
        axum::extract::Query::try_from_uri(uri).map(|query| Self(query.0)).unwrap_or_default()
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// Reports whether the caller requests events (`alt=sse`).
    pub(super) fn wants_events(&self) -> bool {
        self.get("alt").or_else(|| self.get("$alt")) == Some("sse")
    }

    /// Refuses parameters that are neither standard nor known to this method.
    pub(super) fn check(&self, known: &[&str]) -> Result<(), ApiError> {
        let unknown = self.0.iter().map(|(name, _)| name.as_str()).find(|name| {
            let snake = *name == "page_size" || *name == "page_token";
            !(STANDARD.split_whitespace().any(|standard| standard == *name)
                || known.contains(name)
                || snake && known.contains(&"pageSize"))
        });
        if let Some(name) = unknown {
            return Err(unknown_parameter(name));
        }
        let form = self.get("alt").or_else(|| self.get("$alt"));
        // Google's generated clients send `json;enum-encoding=int`, and accept enum names as well.
        let is_known = |form: &str| matches!(form.split(';').next(), Some("" | "json" | "sse" | "media" | "proto"));
        match form.filter(|form| !is_known(form)) {
            None => Ok(()),
            Some(form) => {
                let message = format!("Invalid value \"{form}\" for query parameter 'alt'");
                Err(ApiError::malformed(message))
            }
        }
    }
}

/// Returns the 400 for an unknown query (or form) parameter.
pub(super) fn unknown_parameter(name: &str) -> ApiError {
    let quoted = name.replace('"', "\\\"");
    let why = format!(
        "Invalid JSON payload received. Unknown name \"{quoted}\": Cannot bind query parameter. Field '{quoted}' could \
         not be found in request message."
    );
    bad_request(&[(String::new(), why)])
}

/// Reads a JSON body. An empty body is an empty message. A form, which is the content type of curl's `-d`, is treated
/// as query parameters.
pub(super) fn read_json(call: &Call) -> Result<Value, ApiError> {
    let body = &*call.body;
    let content_type = call.parts.headers.get(CONTENT_TYPE).map_or("", |value| value.to_str().unwrap_or("?"));
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    match essence.to_ascii_lowercase().as_str() {
        // Node sends strings without a content type as `text/plain`; `@google/generative-ai` sends caches this way.
        "" | "application/json" | "text/plain" => {}
        "application/x-www-form-urlencoded" => {
            let text = String::from_utf8_lossy(body);
            let name = text.split(['=', '&']).next().unwrap_or_default();
            return Err(unknown_parameter(name));
        }
        // The real message is not documented.
        _ => {
            return Err(ApiError::invalid_argument(
                "content_type",
                format!("Content type \"{essence}\" is not supported. Use application/json."),
            ));
        }
    }
    if body.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(body).map_err(|error| syntax_error(&error, body))
}

fn syntax_error(error: &serde_json::Error, body: &[u8]) -> ApiError {
    const AROUND: usize = 20;
    let what = match error.classify() {
        Category::Eof => "Unexpected end of string. Expected a value.",
        _ if error.to_string().starts_with("recursion limit") => "Message too deep.",
        _ if error.to_string().starts_with("key must be") => "Expected an object key or }.",
        _ => "Unexpected token.",
    };
    // The text around the error on its line, and a mark below it.
    let text = String::from_utf8_lossy(body);
    let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
    let from = error.column().saturating_sub(AROUND);
    let (shown, column): (String, _) = (line.chars().skip(from).take(2 * AROUND).collect(), error.column() - from);
    let why = format!("Invalid JSON payload received. {what}\n{shown}\n{:>column$}", "^");
    bad_request(&[(String::new(), why)])
}
