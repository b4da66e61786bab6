//! Resumable uploads to Gemini. The upload address that Google returns is itself a secret: clients send no token to it.

use std::sync::Arc;

use http::{HeaderValue, Uri, request::Parts, response};
use sha2::{Digest, Sha256};
use tower_keypool::Attempts;

use super::{
    pools::ProviderPool,
    route::{Endpoint, PathTarget, Route},
};
use crate::{app::AppState, error::ApiError, tenants::Tenant};

/// How long Google keeps an upload session, in milliseconds.
const SESSION_MS: i64 = 7 * 24 * 3_600_000;

/// Returns the tenant that started the upload which a request continues; `None` if it continues none.
///
/// # Errors
/// 503 if the upload cannot be looked up.
pub async fn owner(app: &AppState, route: &Route, head: &Parts) -> Result<Option<Arc<Tenant>>, ApiError> {
    let id = head.uri.query().and_then(upload_id).filter(|_| route.endpoint == Endpoint::Upload);
    let Some(id) = id else { return Ok(None) };
    let session = app.resources.find(&name(id)).await?;
    Ok(session.and_then(|session| app.tenants.named(session.tenant.as_deref())))
}

/// Returns the name of an upload in the resource table. It holds a hash, since the upload's id is a secret.
pub fn name(upload_id: &str) -> String {
    hashed("uploads", upload_id)
}

/// Returns the name in the resource table for something whose own name is a secret.
pub fn hashed(collection: &str, secret: &str) -> String {
    use base64::Engine as _;
    let hash = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(secret));
    format!("{collection}/{hash}")
}

/// Returns the id of an upload from the query of its address.
pub fn upload_id(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("upload_id="))
}

/// The URL at which a client reaches this gateway.
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
            || app.loaded.load().config.gateway.tls_cert_file.is_some(),
            |scheme| scheme.eq_ignore_ascii_case("https"),
        );
        let scheme = if is_tls { "https" } else { "http" };
        let prefix = match &route.target {
            PathTarget::Named(name) => format!("/to/{name}"),
            PathTarget::OfDialect => "/gemini".to_owned(),
            PathTarget::ByModel => String::new(),
        };
        Some(Self(format!("{scheme}://{host}{prefix}")))
    }
}

/// Replaces the address of a started upload by one of this gateway, and records the upload's project and tenant.
///
/// # Errors
/// 503 if the upload cannot be recorded.
pub async fn rewrite_address(
    app: &AppState,
    provider: &ProviderPool,
    ours: &Address,
    head: &mut response::Parts,
    tenant: &Tenant,
) -> Result<(), ApiError> {
    for name in ["x-goog-upload-url", "x-goog-upload-control-url", "location"] {
        // An address that cannot be rewritten is dropped: the client would send its token there.
        let Some(theirs) = head.headers.remove(name) else { continue };
        let Some(theirs) = theirs.to_str().ok().and_then(|value| value.parse::<Uri>().ok()) else { continue };
        let Some(id) = theirs.query().and_then(upload_id) else { continue };
        let project =
            head.extensions.get::<Attempts>().and_then(|attempts| Some(attempts.last()?.project().to_owned()));
        let expires = jiff::Timestamp::now().as_millisecond() + SESSION_MS;
        app.resources.learn(&self::name(id), &project.unwrap_or_default(), tenant, Some(expires)).await?;
        let path = theirs.path_and_query().map_or("/", |path| path.as_str());
        let path = path.strip_prefix(provider.pool.provider().base().path()).unwrap_or(path);
        if let Ok(address) = HeaderValue::try_from(format!("{}{path}", ours.0)) {
            head.headers.insert(name, address);
        }
    }
    Ok(())
}

/// Reports whether a request sends a part of an upload. Parts can be of any size, so they are not collected.
pub fn is_part(route: &Route, head: &Parts) -> bool {
    route.endpoint == Endpoint::Upload && head.uri.query().and_then(upload_id).is_some()
}
