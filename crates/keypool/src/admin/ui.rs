//! The dashboard's files under `/-/ui`. The dashboard loads nothing from other hosts.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Redirect, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rust_embed::RustEmbed;

use super::{AdminError, sessions::token_hash};
use crate::app::AppState;

#[derive(RustEmbed)]
#[folder = "src/admin/ui"]
struct Files;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Redirects `/` to the dashboard.
pub async fn redirect(State(app): State<AppState>) -> Response {
    match token_hash(&app) {
        Some(_) => Redirect::to("/-/ui").into_response(),
        None => AdminError::off().into_response(),
    }
}

pub async fn page(state: State<AppState>, headers: HeaderMap) -> Response {
    file(state, Path("index.html".to_owned()), headers).await
}

pub async fn file(State(app): State<AppState>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    if token_hash(&app).is_none() {
        return AdminError::off().into_response();
    }
    let Some(file) = Files::get(&name) else {
        return AdminError::not_found("the dashboard has no such file").into_response();
    };
    let tag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(&file.metadata.sha256_hash()[..12]));
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let kind = match name.rsplit_once('.').map(|(_, end)| end) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        _ => "image/svg+xml",
    };
    let mut response =
        if known { StatusCode::NOT_MODIFIED.into_response() } else { file.data.into_owned().into_response() };
    let values = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::ETAG, &tag),
    ];
    for (name, value) in values {
        response.headers_mut().insert(name, HeaderValue::from_str(value).expect("visible text"));
    }
    response
}
