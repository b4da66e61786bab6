//! Authentication: the route and the tenant of a request.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, StatusCode, header, request::Parts};

use crate::{
    app::AppState,
    error::{ApiError, Dialect},
    proxy::{
        route::{Route, decoded},
        uploads,
    },
    tenants::Tenant,
};

/// Returns the [`Route`] and the [`Tenant`] of a request, and removes other copies of the tenant's token from its head.
///
/// # Errors
/// 404 for a path of no API, 401 without a valid token, and 503 if the owner of an upload cannot be looked up; each
/// with the dialect of the response.
pub async fn authenticate(app: &AppState, head: &mut Parts) -> Result<(Route, Arc<Tenant>), (Dialect, ApiError)> {
    let route = Route::of(head)?;
    let dialect = route.dialect;
    let found = tokens(head).find_map(|token| Some((app.tenants.find(&token)?, token)));
    let tenant = match found {
        Some((tenant, token)) => {
            remove_copies(head, &token);
            Some(tenant)
        }
        // Clients send no token with the parts of an upload: its address is the secret.
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

/// Returns all tokens of a request: in its headers, then in its query.
fn tokens(head: &Parts) -> impl Iterator<Item = String> {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::trim).map(str::to_owned);
    let plain =
        ["x-goog-api-key", "x-api-key", "api-key"].into_iter().filter_map(move |name| text(head.headers.get(name)?));
    let authorization = head.headers.get_all(header::AUTHORIZATION).iter().filter_map(text).filter_map(|value| {
        match value.split_once(' ') {
            None => Some(value),
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim().to_owned()),
            Some((scheme, login)) if scheme.eq_ignore_ascii_case("basic") => {
                let login = String::from_utf8(STANDARD.decode(login.trim()).ok()?).ok()?;
                let (user, password) = login.split_once(':')?;
                Some(if password.is_empty() { user } else { password }.to_owned())
            }
            Some(_) => None,
        }
    });
    let pairs = head.uri.query().into_iter().flat_map(|query| query.split('&'));
    let query = pairs.filter_map(|pair| {
        let value = pair.strip_prefix("key=")?;
        Some(decoded(value).into_owned())
    });
    plain.chain(authorization).chain(query)
}

/// Removes the token from headers and query parameters that are not for tokens, so that it does not reach a provider.
fn remove_copies(head: &mut Parts, token: &str) {
    let has_token = |value: &[u8]| memchr::memmem::find(value, token.as_bytes()).is_some();
    let is_copy = |(name, value): (&HeaderName, &HeaderValue)| {
        let is_for_tokens = matches!(name.as_str(), "x-goog-api-key" | "x-api-key" | "api-key" | "authorization");
        (!is_for_tokens && has_token(value.as_bytes())).then(|| name.clone())
    };
    for name in head.headers.iter().filter_map(is_copy).collect::<Vec<_>>() {
        head.headers.remove(name);
    }
    let is_copy = |pair: &str| !pair.starts_with("key=") && has_token(decoded(pair).as_bytes());
    if head.uri.query().is_some_and(|query| query.split('&').any(is_copy)) {
        let query = head.uri.query().unwrap_or_default().split('&').filter(|pair| !is_copy(pair));
        let target = format!("{}?{}", head.uri.path(), query.collect::<Vec<_>>().join("&"));
        let mut uri = std::mem::take(&mut head.uri).into_parts();
        uri.path_and_query = target.parse().ok();
        head.uri = uri.try_into().unwrap_or_default();
    }
}

/// Returns the dialect of an error response to a request that is not routed yet.
pub fn dialect(head: &Parts) -> Dialect {
    match Route::of(head) {
        Ok(route) => route.dialect,
        Err((dialect, _)) => dialect,
    }
}
