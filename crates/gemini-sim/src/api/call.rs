//! One request, read but not yet judged.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, HOST};
use http::request::Parts;
use jiff::Timestamp;
use serde_json::Value;

use super::auth::Credentials;
use super::query::Query;
use super::{Endpoint, VERSIONS};
use crate::answer::{Format, Reply};
use crate::log::Arrival;
use crate::refusal::{ApiError, Caller};
use crate::simulator::Simulator;

/// One request.
pub(super) struct Call {
    /// None where no endpoint has this path.
    pub(super) endpoint: Option<&'static Endpoint>,
    pub(super) parts: Parts,
    pub(super) query: Query,
    pub(super) body: Bytes,
    /// When it arrived, since the simulator was built and on its wall clock.
    pub(super) now: Duration,
    pub(super) wall: Timestamp,
    pub(super) credentials: Credentials,
    pub(super) key: Option<usize>,
    pub(super) project: Option<usize>,
    /// From the path.
    pub(super) version: String,
    /// From the path or the body, without `models/`; empty where there is none.
    pub(super) model: String,
    /// Of a file or a cache, from the path.
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
        let query = Query::parse(parts.uri.query());
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

    /// The body is there, and the request has come as far as the quota check.
    pub(super) fn arrive(&mut self, simulator: &Simulator, body: Bytes) {
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
            key: self.key,
            label: self.key.map_or("", |key| &accounts.keys[key].label),
            secret: self.credentials.secret(),
            project: self.project.map_or("", |project| &accounts.projects[project].number),
            model: &self.model,
            version: &self.version,
            method: self.endpoint.map_or("", |endpoint| endpoint.name),
            path: self.parts.uri.path(),
        }
    }

    /// What is logged before anything is known of the outcome.
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

    /// How the answer of a generating endpoint is written.
    pub(super) fn format(&self) -> Format {
        match self.endpoint.map(|endpoint| endpoint.name) {
            Some("streamGenerateContent") if self.query.wants_events() => Format::Events,
            Some("streamGenerateContent") => Format::List,
            _ => Format::Whole,
        }
    }

    /// OpenAI-compatible endpoints take a Bearer key, and their errors are lists.
    pub(super) fn is_openai(&self) -> bool {
        self.endpoint.is_some() && self.parts.uri.path().contains("/openai/")
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name)?.to_str().ok().map(str::trim)
    }

    /// The base of URLs in answers, as the caller sees it.
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
        let accepted = self.parts.headers.get_all(ACCEPT_ENCODING).iter();
        let mut codings = accepted.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        codings.any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
            name.trim().eq_ignore_ascii_case("gzip") && weight != Some(0.0)
        })
    }
}
