//! The dashboard's files under `/-/ui`. The dashboard loads nothing from other hosts.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use http::{HeaderMap, HeaderValue, header};
use rust_embed::RustEmbed;

use super::{off, routes::unless_known, sessions::token_hash};
use crate::{app::AppState, error::ApiError};

#[derive(RustEmbed)]
#[folder = "src/admin/ui"]
struct Files;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Redirects `/` to the dashboard.
pub async fn redirect(State(app): State<AppState>) -> Response {
    match token_hash(&app) {
        Some(_) => Redirect::to("/-/ui").into_response(),
        None => off().into_response(),
    }
}

pub async fn page(state: State<AppState>, headers: HeaderMap) -> Response {
    file(state, Path("index.html".to_owned()), headers).await
}

pub async fn file(State(app): State<AppState>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    if token_hash(&app).is_none() {
        return off().into_response();
    }
    let Some(file) = Files::get(&name) else {
        return ApiError::not_found("the dashboard has no such file").into_response();
    };
    let kind = match name.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        _ => "image/svg+xml",
    };
    let mut response = unless_known(&headers, &file.metadata.sha256_hash(), file.data.into_owned());
    let values = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in values {
        response.headers_mut().insert(name, HeaderValue::from_str(value).expect("visible text"));
    }
    response
}
