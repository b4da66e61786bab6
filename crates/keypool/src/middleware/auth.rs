//! Whose request it is.

use std::sync::Arc;

use http::{HeaderValue, StatusCode, header, request::Parts};

use crate::{
    app::AppState,
    error::{ApiError, Dialect},
    proxy::{route::Route, uploads},
    tenants::Tenant,
};

/// The [`Route`] and the [`Tenant`] of a request.
///
/// # Errors
/// For a path of no API, and for whoever has no token; each with the dialect that it is to be told in.
pub async fn authenticate(app: &AppState, head: &Parts) -> Result<(Route, Arc<Tenant>), (Dialect, ApiError)> {
    let route = Route::of(head)?;
    let dialect = route.dialect;
    let tenant = match tokens(head).find_map(|token| app.tenants.find(&token)) {
        Some(tenant) => Some(tenant),
        // The address of an upload is a secret of its own; clients send no token there.
        None => uploads::owner(app, &route, head).await.map_err(|error| (dialect, error))?,
    };
    let tenant = tenant.ok_or_else(|| (dialect, unauthorized()))?;
    Ok((route, tenant))
}

fn unauthorized() -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "the token is not one of this gateway's: send it as x-goog-api-key, x-api-key, Authorization: Bearer or ?key=",
    )
}

/// Every token that a request carries.
fn tokens(head: &Parts) -> impl Iterator<Item = String> {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::trim).map(str::to_owned);
    let plain =
        ["x-goog-api-key", "x-api-key", "api-key"].into_iter().filter_map(move |name| text(head.headers.get(name)?));
    let bearer = head.headers.get(header::AUTHORIZATION).and_then(|value| {
        let value = value.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    let pairs = head.uri.query().into_iter().flat_map(|query| query.split('&'));
    let query = pairs.filter_map(|pair| {
        let value = pair.strip_prefix("key=")?;
        Some(percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned())
    });
    plain.chain(bearer).chain(query)
}

/// The dialect in which a request that failed early is answered.
pub fn dialect(head: &Parts) -> Dialect {
    match Route::of(head) {
        Ok(route) => route.dialect,
        Err((dialect, _)) => dialect,
    }
}
