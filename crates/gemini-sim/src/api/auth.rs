//! Credentials: which came with a request, and whose they are.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};

use super::call::Call;
use super::query::Query;
use crate::Refusal;
use crate::refusal::ApiError;
use crate::simulator::{Simulator, State};

/// The credentials of one request, before anyone asks whether they are good.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    None,
    /// `x-goog-api-key` or `?key=`.
    ApiKey(String),
    /// `Authorization: Bearer …` or `?access_token=`.
    Bearer(String),
    /// `Authorization` of another scheme.
    Unreadable,
    /// More than one.
    Multiple,
}

impl Credentials {
    /// Two credentials are one too many even when they are the same. The
    /// provider takes `openai-organization` and `openai-project` for
    /// credentials too; `x-api-key` means nothing to it.
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

    /// The secret, whichever way it came.
    pub(super) fn secret(&self) -> &str {
        match self {
            Self::ApiKey(secret) | Self::Bearer(secret) => secret,
            Self::None | Self::Unreadable | Self::Multiple => "",
        }
    }
}

/// The project that pays for a request.
pub(super) fn authenticate(simulator: &Simulator, state: &State, call: &Call) -> Result<usize, ApiError> {
    let refuse = |refusal: &Refusal| Err(refusal.error(call.caller(simulator)));
    match (&call.credentials, call.is_openai()) {
        (Credentials::Multiple, _) => return refuse(&Refusal::MultipleCredentials),
        (Credentials::ApiKey(_), false) | (Credentials::Bearer(_), true) => {}
        (_, true) => {
            return Err(ApiError::invalid_argument("missing_bearer", "Missing or invalid Authorization header."));
        }
        (Credentials::None, false) => {
            // The URL of an upload is a credential of its own.
            let upload = call.query.get("upload_id").and_then(|id| state.uploads.project_of(id));
            return upload.map_or_else(|| refuse(&Refusal::UnregisteredCaller), Ok);
        }
        (Credentials::Bearer(_) | Credentials::Unreadable, false) => return refuse(&Refusal::BadCredentials),
    }
    let Some(key) = call.key else { return refuse(&Refusal::ApiKeyInvalid) };
    let project = simulator.accounts.keys[key].project;
    let refused = state.refused[key].as_ref().or(simulator.accounts.projects[project].refused.as_ref());
    refused.map_or(Ok(project), refuse)
}
