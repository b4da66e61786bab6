//! The way in: who asks, for what, and with which body.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::json;

use super::{
    Admin, OFF,
    access::{THROTTLED, Who, token_in},
    answer::{Answer, Fault, fine},
    audit::DONE,
    change::Done,
    is_under,
    object::Object,
    route::{self, Found, Route, What},
};
use crate::{gateway::Arriving, ui};

/// A body is no longer than this; a key file may be longer.
const LONGEST: usize = 64 << 10;
const LONGEST_FILE: usize = 10 << 20;

/// A request that was let in.
pub(super) struct Asked {
    pub(super) route: &'static Route,
    pub(super) id: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) who: Who,
    pub(super) from: IpAddr,
    pub(super) secured: bool,
    pub(super) body: Bytes,
}

impl Asked {
    pub(super) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(named, _)| named == name).map(|(_, value)| &**value)
    }

    pub(super) fn number(&self, name: &'static str, unless: usize) -> Result<usize, Fault> {
        let Some(text) = self.query(name) else { return Ok(unless) };
        text.parse().map_err(|_| Fault::wrong(format!("{name}: expected a number")))
    }
}

impl Admin {
    pub(super) async fn let_in(
        &self,
        request: Request<Arriving>,
        host: &str,
        from: IpAddr,
        secured: bool,
    ) -> Result<Answer, Fault> {
        if !self.access.is_on() {
            return Err(Fault::new(StatusCode::NOT_FOUND, "admin_off", OFF));
        }
        let (mut parts, body) = request.into_parts();
        // Over HTTP/2 it stands elsewhere.
        if let Ok(host) = HeaderValue::from_str(host) {
            parts.headers.entry(header::HOST).or_insert(host);
        }
        if parts.uri.path() == "/" {
            return Ok(ui::lead().map(BodyExt::boxed_unsync));
        }
        if is_under(ui::ROOT, parts.uri.path()) {
            return Ok(ui::answer(&parts.method, parts.uri.path(), &parts.headers).map(BodyExt::boxed_unsync));
        }
        let found = route::find(&parts.method, parts.uri.path());
        if let Found::Route(route, _) = &found
            && route.what == What::Login
        {
            return self.log_in(&parts.headers, body, from, secured).await;
        }
        let who = self.access.who(&parts.headers, from).inspect_err(|fault| {
            if token_in(&parts.headers).is_some() {
                self.note_wrong(from, fault);
            }
        })?;
        let (route, id) = match found {
            Found::Route(route, id) => (route, id),
            Found::Not(allowed) => {
                let fault = Fault::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "not by this method");
                return Err(match HeaderValue::try_from(allowed) {
                    Ok(allowed) => fault.with(header::ALLOW, allowed),
                    Err(_) => fault,
                });
            }
            Found::Nowhere => return Err(Fault::not_found("there is no such path: see /-/admin/openapi.json")),
        };
        if route.method != Method::GET && who == Who::Session && !is_from(&parts, host) {
            // A browser sends the cookie whoever asks.
            let why = "with a cookie a change must come from the page of this very gateway: its Origin is missing";
            return Err(Fault::new(StatusCode::FORBIDDEN, "foreign_origin", why));
        }
        let most = if route.what == What::Import { LONGEST_FILE } else { LONGEST };
        let body = read(body, most).await?;
        let query = parts.uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
        let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
        let query = query.map(|(name, value)| (decoded(name), decoded(value))).collect();
        let asked = Asked { route, id, query, headers: parts.headers, who, from, secured, body };
        if route.method == Method::GET { self.tell(&asked).await } else { self.change_by(&asked).await }
    }

    async fn log_in(&self, headers: &HeaderMap, body: Arriving, from: IpAddr, secured: bool) -> Result<Answer, Fault> {
        #[derive(Deserialize)]
        struct Login {
            token: String,
        }
        let body = read(body, LONGEST).await?;
        let Object(login): Object<Login> =
            serde_json::from_slice(&body).map_err(|_| Fault::wrong("expected {\"token\": \"…\"}"))?;
        let tried = self.access.try_token(login.token.trim().as_bytes(), from);
        tried.inspect_err(|fault| self.note_wrong(from, fault))?;
        self.audit.note(Who::Token, from, "login", (None, None), DONE);
        let cookie = self.access.begin(headers, secured)?;
        let mut answer = fine(&json!({ "ok": true }));
        answer.headers_mut().insert(header::SET_COOKIE, cookie);
        Ok(answer)
    }

    /// Somebody brought a wrong token.
    fn note_wrong(&self, from: IpAddr, fault: &Fault) {
        // A flood of them is no news.
        if fault.code != THROTTLED {
            self.audit.note_failed(from, fault.code);
        }
    }

    pub(super) fn log_out(&self, asked: &Asked) -> Done {
        let mut answer = fine(&json!({ "ok": true }));
        if let Some(cookie) = self.access.end(&asked.headers, asked.secured) {
            answer.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        Done { answer, key: None }
    }
}

/// Whether a page of this very host asks.
fn is_from(parts: &Parts, host: &str) -> bool {
    let mut origins = parts.headers.get_all(header::ORIGIN).iter();
    let (Some(origin), None) = (origins.next(), origins.next()) else { return false };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    authority.is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

async fn read(body: Arriving, most: usize) -> Result<Bytes, Fault> {
    match tokio::time::timeout(std::time::Duration::from_secs(30), Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            let why = format!("the body is longer than {most} bytes");
            Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", why))
        }
        _ => Err(Fault::wrong("the body broke off")),
    }
}
