//! Which provider a request goes to where several stand side by side: by the path that names one, by the dialect of a path
//! or credential, by the model in a path. What only a body says is chosen by whoever reads it ([`super::translate`]).

use http::{HeaderMap, Uri};
use percent_encoding::percent_decode_str;

use super::{
    providers::{Beside, Others},
    task::{Task, task},
    way::{Dialects, Way, behind, by_credential, forced, unforced, unprefixed},
};
use crate::gateway::dialect::Dialect;

/// Where a request goes.
pub(in crate::gateway) struct Chosen<S> {
    /// In which dialect it is asked and answered.
    pub(in crate::gateway) dialect: Dialect,
    pub(in crate::gateway) way: Way,
    /// The provider beside the gateway's own that it goes to, or those of its models that nobody names; `None`: the
    /// gateway's own.
    pub(in crate::gateway) home: Option<Beside<S>>,
    /// The path named it: what the body says changes nothing.
    pub(in crate::gateway) named: bool,
}

impl<S: Clone> Others<S> {
    /// Chooses; the head goes on under the path that its provider knows.
    pub(in crate::gateway) fn choose(
        &self,
        dialects: Dialects,
        (headers, uri): (&HeaderMap, &mut Uri),
        dialect: Dialect,
        way: Way,
    ) -> Chosen<S> {
        let own = |dialect, way| Chosen { dialect, way, home: None, named: false };
        if self.is_empty() {
            return own(dialect, way);
        }
        if let Some(other) = self.take(uri) {
            // Whoever names a provider speaks its dialect.
            return Chosen { dialect: other.dialect, way: Way::Through, home: Some(other), named: true };
        }
        let path = uri.path();
        if dialects.provider == Dialect::Gemini && path.starts_with("/v1beta/models") {
            let home = model_in(path).and_then(|model| self.with_model(Dialect::Gemini, &model));
            return Chosen { home, ..own(dialect, way) };
        }
        let (asked, rest) = match forced(path) {
            Some((asked, rest)) => (asked, Some(behind(rest, "/v1").unwrap_or(rest).to_owned())),
            None => (spoken(dialects.provider, (headers, uri)), behind(path, "/v1").map(str::to_owned)),
        };
        let is_forced = forced(path).is_some();
        let provider = dialects.provider;
        let speaks = self.first(asked);
        if asked == Dialect::Gemini {
            let named = model_in(path).and_then(|model| self.with_model(asked, &model));
            let Some(other) = named.or_else(|| speaks.filter(|_| provider != Dialect::Gemini)) else {
                return own(dialect, way);
            };
            if let Some(target) = unprefixed(uri) {
                *uri = target.into();
            }
            return Chosen { dialect: asked, way: Way::Through, home: Some(other), named: false };
        }
        let Some(rest) = rest else { return own(dialect, way) };
        if let Some(task) = task(asked, &rest) {
            // The gateway's own takes what nobody names, but where the path names a dialect that another has.
            let home = match provider {
                Dialect::Gemini if is_forced => speaks,
                Dialect::Gemini => None,
                provider if provider == asked => None,
                _ => match speaks.or_else(|| self.first(Dialect::Gemini)) {
                    None => return own(dialect, way),
                    home => home,
                },
            };
            return Chosen { dialect: asked, way: Way::Translated(asked, task), home, named: false };
        }
        match (speaks, &way) {
            (Some(other), Way::Nowhere(_) | Way::Mistaken(_)) => as_it_is(uri, &rest, other),
            (Some(other), _) if provider != asked && (is_forced || provider != Dialect::Gemini) => {
                as_it_is(uri, &rest, other)
            }
            _ => own(dialect, way),
        }
    }
}

/// The dialect of a path that names none. Where the gateway's own provider is not Gemini, a request is for Gemini only
/// if it says so.
fn spoken(provider: Dialect, head: (&HeaderMap, &Uri)) -> Dialect {
    let (headers, uri) = head;
    let path = uri.path();
    let native = headers.contains_key("x-goog-api-key")
        || ["/v1beta", "/upload/", "/v1alpha"].iter().any(|front| path.starts_with(front));
    let spoken = match behind(path, "/v1") {
        Some(rest) => unforced(rest, head),
        None => by_credential(head, false),
    };
    if provider != Dialect::Gemini && spoken == Dialect::Gemini && !native { provider } else { spoken }
}

/// To a provider, whatever it is about.
fn as_it_is<S>(uri: &mut Uri, rest: &str, other: Beside<S>) -> Chosen<S> {
    let target = match uri.query() {
        Some(query) => format!("/v1{rest}?{query}"),
        None => format!("/v1{rest}"),
    };
    if let Ok(target) = target.parse() {
        *uri = target;
    }
    Chosen { dialect: other.dialect, way: Way::Through, home: Some(other), named: false }
}

/// The model that a native path names: `/v1beta/models/NAME:verb`.
fn model_in(path: &str) -> Option<String> {
    let rest = path.strip_prefix("/gemini").unwrap_or(path);
    let rest = rest.strip_prefix("/v1beta").or_else(|| rest.strip_prefix("/v1"))?.strip_prefix("/models/")?;
    let name = percent_decode_str(rest).decode_utf8().ok()?;
    Some(name.split(':').next().unwrap_or_default().to_owned()).filter(|name| !name.is_empty())
}

/// What is done for tenants at a provider beside the gateway's own: calls that name a model and leave nothing behind. What
/// else is made there is nobody's, so that it is for whoever has the one token.
pub(in crate::gateway) fn for_tenants(dialect: Dialect, path: &str) -> Option<Task> {
    if dialect == Dialect::Gemini {
        return None;
    }
    task(dialect, behind(path, "/v1").unwrap_or(path))
}
