//! One request, read but not yet judged.

use std::time::Duration;

use http::header::ACCEPT_ENCODING;
use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, Method, Uri};
use jiff::Timestamp;

use crate::auth::Credentials;
use crate::query::Query;
use crate::refusal::{Scene, Wrapping};
use crate::route::{Call, Route};
use crate::world::World;

pub(crate) struct Visit<'a> {
    pub(crate) now: Duration,
    pub(crate) wall: Timestamp,
    pub(crate) http_method: &'a Method,
    uri: &'a Uri,
    pub(crate) path: &'a str,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) query: Query,
    pub(crate) body: &'a [u8],
    pub(crate) route: Option<Route>,
    pub(crate) credentials: Credentials,
    pub(crate) key: Option<usize>,
    pub(crate) project: Option<usize>,
    /// From the path, or from the body where an endpoint keeps it there;
    /// without `models/`.
    pub(crate) model: String,
}

impl<'a> Visit<'a> {
    pub(crate) fn read(world: &World, parts: &'a Parts, body: &'a [u8], now: Duration, wall: Timestamp) -> Self {
        let path = parts.uri.path();
        let query = Query::parse(parts.uri.query());
        let route = Route::parse(&parts.method, path, &query);
        let credentials = Credentials::read(&parts.headers, &query);
        let key = world.find_key(credentials.secret());
        let model = match &route {
            Some(Route { model: Some(model), .. }) => model.clone(),
            Some(Route { call: Call::Chat | Call::ChatEmbeddings | Call::CreateCache, .. }) => model_in(body),
            _ => String::new(),
        };
        Self {
            now,
            wall,
            http_method: &parts.method,
            uri: &parts.uri,
            path,
            headers: &parts.headers,
            query,
            body,
            route,
            credentials,
            key,
            project: key.map(|key| world.keys[key].project),
            model,
        }
    }

    pub(crate) fn secret(&self) -> &str {
        self.credentials.secret()
    }

    pub(crate) fn project_number<'w>(&self, world: &'w World) -> &'w str {
        self.project.map_or("", |project| world.projects[project].number.as_str())
    }

    pub(crate) fn scene<'s>(&'s self, world: &'s World) -> Scene<'s> {
        Scene {
            key: self.secret(),
            project: self.project_number(world),
            model: &self.model,
            version: self.route.as_ref().map_or("v1beta", |route| &route.version),
            method: self.method(),
        }
    }

    pub(crate) fn method(&self) -> &'static str {
        self.route.as_ref().map_or("", Route::method)
    }

    /// How errors come here.
    pub(crate) fn wrapping(&self) -> Wrapping {
        self.route.as_ref().map_or(Wrapping::Bare, Route::wrapping)
    }

    /// Whether this call is charged against requests and tokens.
    pub(crate) fn is_charged(&self) -> bool {
        let call = self.route.as_ref().map(|route| &route.call);
        matches!(
            call,
            Some(
                Call::Generate(_) | Call::Embed | Call::BatchEmbed | Call::Predict | Call::Chat | Call::ChatEmbeddings
            )
        )
    }

    /// Where the caller thinks this is: the base of URLs in answers.
    pub(crate) fn origin(&self) -> String {
        let host = self.headers.get(HOST).and_then(|host| host.to_str().ok());
        match (self.uri.authority(), host) {
            (Some(authority), _) => {
                let scheme = self.uri.scheme_str().unwrap_or("http");
                format!("{scheme}://{authority}")
            }
            (None, Some(host)) => format!("http://{host}"),
            (None, None) => "https://generativelanguage.googleapis.com".to_owned(),
        }
    }

    pub(crate) fn accepts_gzip(&self) -> bool {
        let accepted = self.headers.get_all(ACCEPT_ENCODING).iter();
        let mut codings = accepted.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
        codings.any(|coding| {
            let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
            let zero = weight.trim().strip_prefix("q=");
            let zero = zero.and_then(|q| q.parse::<f32>().ok()) == Some(0.0);
            name.trim().eq_ignore_ascii_case("gzip") && !zero
        })
    }
}

fn model_in(body: &[u8]) -> String {
    let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let model = body["model"].as_str().unwrap_or_default();
    let model = model.strip_prefix("models/").unwrap_or(model);
    model.strip_prefix("google/").unwrap_or(model).to_owned()
}
