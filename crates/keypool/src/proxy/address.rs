//! The address of this gateway in responses. Clients send their token to the URLs in a response, so a URL of the provider
//! is replaced by one of the gateway.

use http::{HeaderValue, Uri, header, request::Parts, response};
use serde_json::Value;

use super::{
    pools::ProviderPool,
    route::{PathTarget, Route, versions},
};
use crate::{app::AppState, dialect::Dialect};

/// The URL at which a client reaches this gateway, with the prefix of the route: `/to/NAME`, `/openai` or the like.
pub struct Address(String);

impl Address {
    /// Returns the URL that the client used. A proxy in front may have terminated TLS and changed the host; its
    /// `X-Forwarded-*` headers are used if present.
    pub fn of(app: &AppState, route: &Route, head: &Parts) -> Option<Self> {
        let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        // Each proxy appends a value; the first is the client's.
        let first = |name| text(name)?.split(',').next().map(str::trim).filter(|first| !first.is_empty());
        let host = first("x-forwarded-host").or_else(|| head.uri.authority().map(http::uri::Authority::as_str));
        let host = host.or_else(|| text("host"))?;
        let is_tls = first("x-forwarded-proto").map_or_else(
            || app.started.config.gateway.tls_cert_file.is_some(),
            |scheme| scheme.eq_ignore_ascii_case("https"),
        );
        let scheme = if is_tls { "https" } else { "http" };
        Some(Self(match (&route.target, route.dialect) {
            (PathTarget::ByModel, _) => format!("{scheme}://{host}"),
            (PathTarget::Named(name), _) => format!("{scheme}://{host}/to/{name}"),
            (PathTarget::OfDialect, Dialect::Gemini) => format!("{scheme}://{host}/gemini"),
            (PathTarget::OfDialect, Dialect::OpenAi) => format!("{scheme}://{host}/openai"),
            (PathTarget::OfDialect, Dialect::Anthropic) => format!("{scheme}://{host}/anthropic"),
        }))
    }

    /// Returns the URL at this gateway for a URL of the provider.
    pub fn instead_of(&self, provider: &ProviderPool, theirs: &Uri) -> String {
        let path = theirs.path_and_query().map_or("/", |path| path.as_str());
        // The version at the end of a base stays in the path.
        let base = provider.pool.provider().base().path();
        let base =
            base.rfind('/').map_or(base, |at| if versions(&base[at..]).1.is_empty() { &base[..at] } else { base });
        format!("{}{}", self.0, path.strip_prefix(base).unwrap_or(path))
    }

    /// Replaces the `Location` of a redirect to the provider's own host. Redirects to other hosts, such as those of
    /// storage services, do not change.
    pub fn replace_location(&self, provider: &ProviderPool, head: &mut response::Parts) {
        let location = head.headers.get(header::LOCATION).filter(|_| head.status.is_redirection());
        let Some(theirs) = location.and_then(|location| location.to_str().ok()?.parse::<Uri>().ok()) else { return };
        let own = provider.pool.provider().base().authority().as_str();
        if theirs.authority().is_none_or(|authority| authority.as_str().eq_ignore_ascii_case(own))
            && !theirs.path().starts_with("//")
            && let Ok(address) = HeaderValue::try_from(self.instead_of(provider, &theirs))
        {
            head.headers.insert(header::LOCATION, address);
        }
    }

    /// Replaces the URL of the results of Anthropic's batch, and reports whether the object has one.
    pub fn replace_results_url(&self, provider: &ProviderPool, batch: &mut Value) -> bool {
        let Some(url) = batch.get_mut("results_url").filter(|_| provider.dialect == Dialect::Anthropic) else {
            return false;
        };
        let Some(theirs) = url.as_str().and_then(|url| url.parse::<Uri>().ok()) else { return false };
        *url = self.instead_of(provider, &theirs).into();
        true
    }
}
