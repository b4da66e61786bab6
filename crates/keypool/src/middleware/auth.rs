//! Authentication: the route and the tenant of a request.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue, StatusCode, header, request::Parts};

use crate::{
    app::AppState,
    dialect::Dialect,
    error::ApiError,
    middleware::access_log::Progress,
    proxy::{
        query,
        route::{PathTarget, Route, decoded},
        uploads,
    },
    tenants::Tenant,
};

/// Finds the route and the tenant of a request, and removes other copies of the tenant's token from its head.
///
/// # Errors
/// 404 for a path of no API, 401 without a valid token, and 503 if the owner of an upload cannot be looked up; each
/// with the dialect of the response.
pub async fn authenticate(app: &AppState, head: &mut Parts) -> Result<(Route, Arc<Tenant>), (Dialect, ApiError)> {
    let route = Route::of(head, |name| Some(app.pools.named(name)?.dialect))?;
    let named = if let PathTarget::Named(name) = &route.target { app.pools.named(name) } else { None };
    let dialect = route.dialect;
    let header = named.and_then(|provider| provider.settings.header());
    let known = tokens(head, header).filter_map(|token| Some((app.tenants.find(&token)?, token)));
    let found = known.min_by_key(|(tenant, _)| tenant.is_expired());
    let tenant = match found {
        Some((tenant, _)) if tenant.is_expired() => {
            return Err((dialect, ApiError::new(StatusCode::UNAUTHORIZED, "this token has expired")));
        }
        Some((tenant, token)) => {
            remove_copies(head, &token);
            Some(tenant)
        }
        // Clients send no token with the parts of an upload: its address is the secret.
        None => uploads::owner(app, &route, head).await.map_err(|error| (dialect, error))?,
    };
    let tenant = tenant.ok_or_else(|| (dialect, unauthorized()))?;
    if let Some(progress) = head.extensions.get::<Progress>() {
        progress.authenticated(&tenant);
    }
    Ok((route, tenant))
}

fn unauthorized() -> ApiError {
    ApiError::new(
        StatusCode::UNAUTHORIZED,
        "the token is not one of this gateway's: send it as x-goog-api-key, x-api-key, Authorization: Bearer or ?key=",
    )
}

/// Returns all tokens of a request: in its headers, one of which may be configured, then in its query.
fn tokens(head: &Parts, header: Option<&str>) -> impl Iterator<Item = String> {
    let text = |value: &HeaderValue| value.to_str().ok().map(str::trim).map(str::to_owned);
    let names = ["x-goog-api-key", "x-api-key", "api-key"].into_iter().chain(header);
    let plain = names.filter_map(move |name| text(head.headers.get(name)?));
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
    let keys = query::pairs(&head.uri).filter(|(name, _)| name == "key").map(|(_, value)| value.into_owned());
    plain.chain(authorization).chain(keys)
}

/// Minimum length, in bytes, of a token whose copies are removed: a shorter one may be an ordinary value.
const MIN_TOKEN: usize = 16;

/// Removes headers and query parameters that are not for tokens but whose value is the token, so that it does not reach
/// a provider.
fn remove_copies(head: &mut Parts, token: &str) {
    if token.len() < MIN_TOKEN {
        return;
    }
    let is_token = |value: &str| {
        let value = value.trim();
        let is_bearer = value.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer "));
        if is_bearer { value[7..].trim() == token } else { value == token }
    };
    let is_copy = |(name, value): (&HeaderName, &HeaderValue)| {
        let name_text = name.as_str();
        let is_needed = matches!(name_text, "x-goog-api-key" | "x-api-key" | "api-key" | "authorization" | "host")
            || ["content-", "x-forwarded-"].iter().any(|start| name_text.starts_with(start));
        (!is_needed && value.to_str().is_ok_and(is_token)).then(|| name.clone())
    };
    for name in head.headers.iter().filter_map(is_copy).collect::<Vec<_>>() {
        head.headers.remove(name);
    }
    let is_copy = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, pair));
        name != "key" && is_token(&decoded(value))
    };
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
    Route::of(head, |_| None).map_or_else(|(dialect, _)| dialect, |route| route.dialect)
}
