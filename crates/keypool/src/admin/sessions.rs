//! Access to the admin API: by its token, or by the session of a browser that logged in with the token.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Extension,
    extract::{ConnectInfo, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use serde::Deserialize;
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::{body::Body, off};
use crate::{
    app::{App, AppState},
    config::{TokenHash, hash},
    error::ApiError,
    server::{self, Peer},
};

/// Lifetime of a session.
const SESSION: Duration = Duration::from_secs(12 * 3_600);
/// Maximum number of sessions; a new one replaces the oldest.
const MAX_SESSIONS: usize = 100;
/// Maximum number of wrong tokens that an address may send per minute.
const WRONG_TOKENS: u32 = 10;
/// Maximum number of addresses whose wrong tokens are counted.
const MAX_ADDRESSES: usize = 10_000;
/// Delay of the response to a wrong token.
const DELAY: Duration = Duration::from_millis(500);

/// The sender of a request to the admin API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Administrator {
    /// A client with the admin token.
    Token,
    /// A logged-in browser, by the hash of its session secret.
    Session(TokenHash),
}

impl fmt::Display for Administrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token => f.write_str("admin token"),
            Self::Session([a, b, c, ..]) => write!(f, "session {a:02x}{b:02x}{c:02x}"),
        }
    }
}

/// The sessions of browsers, and the addresses that sent wrong tokens.
#[derive(Default)]
pub struct Sessions {
    sessions: Mutex<HashMap<TokenHash, Session>>,
    wrong: Mutex<HashMap<IpAddr, (Instant, u32)>>,
}

struct Session {
    ends: Instant,
    /// The hash of the admin token used to log in. The session ends when the token changes.
    token: TokenHash,
}

impl Sessions {
    /// Starts a session and returns the value of its cookie.
    fn begin(&self, token: TokenHash) -> String {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).expect("the system has random numbers");
        let secret = URL_SAFE_NO_PAD.encode(secret);
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        sessions.retain(|_, session| session.ends > now);
        if sessions.len() >= MAX_SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.ends).map(|(id, _)| *id);
            oldest.and_then(|oldest| sessions.remove(&oldest));
        }
        sessions.insert(hash(&secret), Session { ends: now + SESSION, token });
        secret
    }

    /// Reports whether a session is still valid.
    pub fn is_valid(&self, session: &TokenHash, token: &TokenHash) -> bool {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.get(session).is_some_and(|session| session.ends > Instant::now() && session.token == *token)
    }

    fn end(&self, session: &TokenHash) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).remove(session);
    }

    /// Reports whether an address may send another token.
    fn may_try(&self, address: IpAddr) -> bool {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.get(&address).is_none_or(|(since, count)| since.elapsed() >= MINUTE || *count < WRONG_TOKENS)
    }

    fn failed(&self, address: IpAddr) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.retain(|_, (since, _)| since.elapsed() < MINUTE);
        if wrong.len() < MAX_ADDRESSES {
            wrong.entry(address).or_insert((Instant::now(), 0)).1 += 1;
        }
    }
}

const MINUTE: Duration = Duration::from_secs(60);

/// Returns the hash of the admin token; `None` means that the admin API is off.
pub fn token_hash(app: &App) -> Option<TokenHash> {
    app.loaded.load().admin_token.as_ref().map(|token| hash(token.expose()))
}

/// Passes on requests of administrators, with the [`Administrator`] in the request's extensions. Refuses all others.
pub async fn authorize(
    State(app): State<AppState>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let (mut head, body) = request.into_parts();
    let admitted = match admit(&app, &peer, &head).await {
        Ok(administrator) => administrator,
        Err(error) => return no_store(error.into_response()),
    };
    head.extensions.insert(admitted);
    no_store(next.run(Request::from_parts(head, body)).await)
}

async fn admit(app: &App, peer: &Peer, head: &Parts) -> Result<Administrator, ApiError> {
    let Some(expected) = token_hash(app) else { return Err(off()) };
    let headers = &head.headers;
    let origin = is_own_origin(headers, &head.uri);
    if origin == Some(false) {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "the admin API refuses requests from pages of other origins"));
    }
    if let Some(token) = token(headers) {
        check(app, peer, &token, &expected).await?;
        return Ok(Administrator::Token);
    }
    let session = session(headers, peer);
    let Some(session) = session.filter(|session| app.admin.sessions.is_valid(session, &expected)) else {
        let message = "the admin token is missing: send it as x-keypool-admin or Authorization: Bearer, or log in";
        return Err(ApiError::new(StatusCode::UNAUTHORIZED, message));
    };
    if origin.is_none() && !matches!(head.method, Method::GET | Method::HEAD) {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "a change in a session needs the Origin header"));
    }
    Ok(Administrator::Session(session))
}

/// Checks a token against the admin token, with a rate limit for wrong tokens.
async fn check(app: &App, peer: &Peer, token: &str, expected: &TokenHash) -> Result<(), ApiError> {
    let address = server::network(peer.address.ip());
    if !app.admin.sessions.may_try(address) {
        let message = "this address sent too many wrong admin tokens: try again in a minute";
        return Err(ApiError::new(StatusCode::TOO_MANY_REQUESTS, message).retry_after(Some(MINUTE)));
    }
    if hash(token).ct_eq(expected).into() {
        return Ok(());
    }
    app.admin.sessions.failed(address);
    tracing::warn!(%address, "a client sent a wrong admin token");
    app.admin.events.record("admin", "wrong_token", "", format!("{address} sent a wrong admin token"));
    tokio::time::sleep(DELAY).await;
    Err(ApiError::new(StatusCode::UNAUTHORIZED, "this is not the admin token"))
}

fn token(headers: &HeaderMap) -> Option<String> {
    let text = |value: &HeaderValue| value.to_str().ok().map(|text| text.trim().to_owned());
    if let Some(token) = headers.get("x-keypool-admin") {
        return Some(text(token).unwrap_or_default());
    }
    let value = text(headers.get(header::AUTHORIZATION)?)?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// Reports whether a page of the gateway itself sent the request; `None` without an `Origin` header.
fn is_own_origin(headers: &HeaderMap, uri: &http::Uri) -> Option<bool> {
    let host = uri.authority().map(http::uri::Authority::as_str);
    let host = host.or_else(|| headers.get(header::HOST)?.to_str().ok()).unwrap_or_default();
    let origin = headers.get(header::ORIGIN)?.to_str().unwrap_or_default();
    let is_own = origin.split_once("://").is_some_and(|(_, site)| site.eq_ignore_ascii_case(host));
    Some(is_own && headers.get("sec-fetch-site").is_none_or(|site| site == "same-origin"))
}

/// The start of the session cookie's name. The port follows, since browsers share cookies between ports of a host.
pub const COOKIE: &str = "keypool-admin-";

fn cookie_name(peer: &Peer) -> String {
    format!("{COOKIE}{}", peer.local.port())
}

fn session(headers: &HeaderMap, peer: &Peer) -> Option<TokenHash> {
    let name = cookie_name(peer);
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| hash(value))
}

/// A login.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The admin token.
    token: String,
}

/// Starts a session: exchanges the admin token for a cookie
#[utoipa::path(post, path = "/-/admin/login", request_body = Login, tag = "sessions", security(()), responses(
    (status = 204, description = "The session cookie is set"),
    (status = 401, description = "The admin token is wrong"),
    (status = 429, description = "This address sent too many wrong tokens")
))]
pub async fn login(
    State(app): State<AppState>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    uri: http::Uri,
    headers: HeaderMap,
    Body(login): Body<Login>,
) -> Result<Response, ApiError> {
    let Some(expected) = token_hash(&app) else { return Err(off()) };
    if is_own_origin(&headers, &uri) == Some(false) {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "a login from a page of another origin is refused"));
    }
    check(&app, &peer, login.token.trim(), &expected).await?;
    let value = app.admin.sessions.begin(expected);
    tracing::info!(address = %peer.address.ip(), "an administrator logged in");
    Ok(with_cookie(&app, &peer, &value, SESSION))
}

/// Ends the session
#[utoipa::path(post, path = "/-/admin/logout", tag = "sessions", responses((status = 204, description = "The session has ended")))]
pub async fn logout(
    State(app): State<AppState>,
    Extension(administrator): Extension<Administrator>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Response {
    if let Administrator::Session(session) = administrator {
        app.admin.sessions.end(&session);
    }
    with_cookie(&app, &peer, "", Duration::ZERO)
}

fn with_cookie(app: &App, peer: &Peer, value: &str, age: Duration) -> Response {
    let secure = if app.started.config.gateway.tls_cert_file.is_some() { "; Secure" } else { "" };
    let name = cookie_name(peer);
    let cookie = format!("{name}={value}; HttpOnly; SameSite=Strict; Path=/-/; Max-Age={}{secure}", age.as_secs());
    let mut response = StatusCode::NO_CONTENT.into_response();
    let mut cookie = HeaderValue::try_from(cookie).expect("letters, digits and signs");
    cookie.set_sensitive(true);
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    no_store(response)
}

fn no_store(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
