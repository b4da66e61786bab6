//! Resumable uploads to Gemini. The upload address that Google returns is itself a secret: clients send no token to it.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderValue, Uri, request::Parts, response};
use sha2::{Digest, Sha256};
use tower_keypool::Attempts;

use super::{
    address::Address,
    pools::ProviderPool,
    query,
    route::{Endpoint, Route},
};
use crate::{app::AppState, error::ApiError, tenants::Tenant};

/// How long Google keeps an upload session, in milliseconds.
const SESSION_MS: i64 = 7 * 24 * 3_600_000;

/// Returns the tenant that started the upload which a request continues; `None` if it continues none.
///
/// # Errors
/// 503 if the upload cannot be looked up.
pub async fn owner(app: &AppState, route: &Route, head: &Parts) -> Result<Option<Arc<Tenant>>, ApiError> {
    let id = upload_id(&head.uri).filter(|_| route.endpoint == Endpoint::Upload);
    let Some(id) = id else { return Ok(None) };
    let session = app.resources.find(&name(&id)).await?;
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

/// Returns the id of an upload from its address.
pub fn upload_id(address: &Uri) -> Option<Cow<'_, str>> {
    query::value(address, "upload_id")
}

/// Replaces the address of a started upload by one of this gateway, and records the upload's project and tenant.
/// `ours` is `None` if the client's URL is unknown; the address is dropped then.
///
/// # Errors
/// 503 if the upload cannot be recorded.
pub async fn rewrite_address(
    app: &AppState,
    provider: &ProviderPool,
    ours: Option<&Address>,
    head: &mut response::Parts,
    tenant: &Tenant,
) -> Result<(), ApiError> {
    for name in ["x-goog-upload-url", "x-goog-upload-control-url", "location"] {
        // An address that cannot be rewritten is dropped: the client would send its token there.
        let Some(theirs) = head.headers.remove(name) else { continue };
        let Some(theirs) = theirs.to_str().ok().and_then(|value| value.parse::<Uri>().ok()) else { continue };
        let (Some(ours), Some(id)) = (ours, upload_id(&theirs)) else { continue };
        let project =
            head.extensions.get::<Attempts>().and_then(|attempts| Some(attempts.last()?.project().to_owned()));
        let expires = jiff::Timestamp::now().as_millisecond() + SESSION_MS;
        app.resources.learn(&self::name(&id), &project.unwrap_or_default(), tenant, Some(expires)).await?;
        if let Ok(address) = HeaderValue::try_from(ours.instead_of(provider, &theirs)) {
            head.headers.insert(name, address);
        }
    }
    Ok(())
}

/// Reports whether a request sends a part of an upload. Parts can be of any size, so they are not collected.
pub fn is_part(route: &Route, head: &Parts) -> bool {
    route.endpoint == Endpoint::Upload && upload_id(&head.uri).is_some()
}
