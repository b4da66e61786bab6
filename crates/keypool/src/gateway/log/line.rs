//! A request's id, and the line of the log that tells of it.

use std::{borrow::Cow, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use tower_keypool::{KeyPool, Meter, ServedBy, Tick};

use super::{
    given_up,
    trail::{Afterwards, Following},
};
use crate::{
    gateway::{
        admit::tenant::Tenant,
        answer::{
            exhausted::model_of,
            head::{self, ID, THEIR_ID},
        },
        dialect::Dialect,
    },
    status::{RequestId, Traffic},
};

/// The target of the lines that tell of requests.
pub const REQUESTS: &str = "keypool::requests";

/// Under which id its trace is to be had.
const TRACE: HeaderName = HeaderName::from_static("x-keypool-trace-id");
/// What the provider calls it.
const THEIRS: HeaderName = HeaderName::from_static("x-upstream-request-id");
/// An id of a caller's own may be this long.
const LONGEST: usize = 128;

/// A request on its way to an answer's head.
#[derive(Debug)]
pub(in crate::gateway) struct RequestLine {
    /// `None` once it is told.
    id: Option<HeaderValue>,
    /// The same in less room, until somebody wants it.
    called: Option<RequestId>,
    /// Whose it is, once that is known.
    tenant: Option<Arc<Tenant>>,
    began: Tick,
    /// Answers say who served.
    names: bool,
    /// Of the gateway itself.
    page: bool,
    /// One of Anthropic's clients sent it.
    anthropics: bool,
    /// Where they are told. Without the query: a token may stand there.
    path: Option<Box<(Method, String)>>,
    /// It is told once a socket is in use.
    later: bool,
    /// What becomes of it is remembered.
    trail: Option<Box<Following>>,
}

/// The line of a socket, which is told once it is known what it is for and who serves it.
#[derive(Debug)]
pub(in crate::gateway) struct SocketLine {
    id: HeaderValue,
    tenant: Option<Arc<Tenant>>,
    began: Tick,
    path: Option<Box<(Method, String)>>,
    traffic: Arc<Traffic>,
    afterwards: Option<Afterwards>,
}

impl SocketLine {
    /// Who is told what is tried for it, where that is remembered.
    pub(in crate::gateway) fn meter(&self) -> Option<&Arc<Meter>> {
        self.afterwards.as_ref().map(Afterwards::meter)
    }

    /// Tells it: for which model, by whom it is served, and the code that it was closed with where it is not.
    pub(in crate::gateway) fn tell(self, model: Option<&str>, served: Option<&ServedBy>, closed: Option<u16>) {
        if let Some(afterwards) = self.afterwards {
            afterwards.tell(&self.id);
        }
        let (method, path) = self.path.as_deref().map(|(method, path)| (method.as_str(), path.as_str())).unzip();
        tracing::info!(
            target: REQUESTS,
            request = text(&self.id),
            tenant = self.tenant.as_ref().map(|tenant| &**tenant.name()),
            key = served.and_then(ServedBy::key).map(tracing::field::display),
            model = served.and_then(ServedBy::used_model).or(model),
            status = StatusCode::SWITCHING_PROTOCOLS.as_u16(),
            closed,
            attempts = served.map_or(0, ServedBy::attempts),
            ttfb_ms = self.traffic.now().since(self.began).as_millis() as u64,
            method,
            path,
        );
    }
}

impl RequestLine {
    /// `pool`: what a caller wrote is told without its keys.
    pub(in crate::gateway) fn begin<B>(
        request: &Request<B>,
        names: bool,
        traffic: &Traffic,
        pool: Option<&KeyPool>,
    ) -> Self {
        let path = tracing::enabled!(target: REQUESTS, tracing::Level::DEBUG)
            .then(|| Box::new((request.method().clone(), path_of(request.uri().path(), pool))));
        let theirs = given(request.headers(), pool).map(|id| RequestId::Theirs(Box::new(id.clone())));
        let called = theirs.unwrap_or_else(RequestId::new);
        let (began, tenant, trail) = (traffic.now(), None, None);
        let (id, called) = (called.header(), Some(called));
        Self { id, called, tenant, began, names, page: false, anthropics: false, path, later: false, trail }
    }

    /// What the request is called, for whoever tells of its answer's end.
    pub(in crate::gateway) fn called(&mut self) -> Option<RequestId> {
        self.called.take()
    }

    /// When it came.
    pub(in crate::gateway) fn began(&self) -> Tick {
        self.began
    }

    /// What becomes of it is remembered.
    pub(in crate::gateway) fn followed(&mut self, trail: Following) {
        self.trail = Some(Box::new(trail));
    }

    /// Who is told what happens to it, where that is remembered.
    pub(in crate::gateway) fn meter(&self) -> Option<&Arc<Meter>> {
        self.trail.as_deref().map(Following::meter)
    }

    /// Whose client sent it.
    pub(in crate::gateway) fn speaks(&mut self, dialect: Dialect) {
        self.anthropics = dialect == Dialect::Anthropic;
    }

    /// It was let in.
    pub(in crate::gateway) fn of_tenant(&mut self, tenant: &Arc<Tenant>) {
        self.tenant = Some(Arc::clone(tenant));
    }

    /// It asks the gateway for a page of its own, which probes do all the time: told only where everything is.
    pub(in crate::gateway) fn of_page(mut self) -> Self {
        self.page = true;
        self
    }

    /// Should it open a socket, this tells of it in its place.
    pub(in crate::gateway) fn of_socket(&mut self, traffic: &Arc<Traffic>) -> Option<SocketLine> {
        let id = self.id.clone()?;
        self.later = true;
        let (tenant, path, traffic) = (self.tenant.clone(), self.path.clone(), Arc::clone(traffic));
        let afterwards = self.trail.as_deref().map(Following::afterwards);
        Some(SocketLine { id, tenant, began: self.began, path, traffic, afterwards })
    }

    /// The head of the answer is there: it gets the id, and is told.
    pub(in crate::gateway) fn end<B>(mut self, response: &mut Response<B>, traffic: &Traffic) {
        let Some(id) = self.id.take() else { return };
        let surveyed = self.is_surveyed();
        self.tell(&id, response, traffic);
        self.sign(id, surveyed, response);
    }

    /// The head goes out before there is an answer: it gets the id, and what comes of it is [told](Self::heard) later.
    pub(in crate::gateway) fn ahead<B>(self, response: &mut Response<B>) -> Self {
        if let Some(id) = self.id.clone() {
            self.sign(id, self.is_surveyed(), response);
        }
        self
    }

    /// The answer is there, or why there is none, whose head went out before: as that would have been.
    pub(in crate::gateway) fn heard(mut self, head: &Response<()>, traffic: &Traffic) {
        if let Some(id) = self.id.take() {
            self.tell(&id, head, traffic);
        }
    }

    fn is_surveyed(&self) -> bool {
        self.trail.as_ref().is_some_and(|trail| trail.surveyed)
    }

    fn tell<B>(&mut self, id: &HeaderValue, response: &Response<B>, traffic: &Traffic) {
        let served = response.extensions().get::<ServedBy>();
        let later = self.later && served.is_none() && response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if !later && (!self.page || self.path.is_some()) && self.has_a_line(response.status(), traffic) {
            let (method, path) = self.path.as_deref().map(|(method, path)| (method.as_str(), path.as_str())).unzip();
            let line = |key: Option<&str>| {
                tracing::info!(
                    target: REQUESTS,
                    request = text(id),
                    tenant = self.tenant.as_ref().map(|tenant| &**tenant.name()),
                    key,
                    model = model_of(response),
                    status = response.status().as_u16(),
                    attempts = served.map_or(0, ServedBy::attempts),
                    ttfb_ms = traffic.now().since(self.began).as_millis() as u64,
                    cause = served.and_then(|served| served.verdict().cause_of()),
                    method,
                    path,
                );
            };
            match served.and_then(ServedBy::key) {
                Some(key) => key.with_text(|key| line(Some(key))),
                None => line(None),
            }
        }
        if let Some(trail) = self.trail.take() {
            trail.end(id, self.tenant.take().map(|tenant| Arc::clone(tenant.name())), response, served);
        }
    }

    /// Of whoever is refused before it is known who he is there may be a flood.
    fn has_a_line(&self, status: StatusCode, traffic: &Traffic) -> bool {
        self.page || self.tenant.is_some() || !status.is_client_error() || {
            traffic.strangers().have_a_line(status, tell_others)
        }
    }

    fn sign<B>(&self, id: HeaderValue, surveyed: bool, response: &mut Response<B>) {
        if surveyed {
            response.headers_mut().insert(TRACE, id.clone());
        }
        if !self.names {
            head::unname(response.headers_mut());
        }
        if self.anthropics && !response.headers().contains_key(THEIR_ID) {
            response.headers_mut().insert(THEIR_ID, id.clone());
        }
        if let Some(theirs) = response.headers_mut().insert(ID, id) {
            response.headers_mut().insert(THEIRS, theirs);
        }
    }
}

impl RequestLine {
    /// Nobody waits for the answer any more: the client left, or the gateway gave it up and answered this instead.
    fn unanswered(&mut self, id: HeaderValue, instead: Option<&mut Response<()>>) {
        if let Some(trail) = self.trail.take() {
            let tenant = self.tenant.as_ref().map(|tenant| Arc::clone(tenant.name()));
            match &instead {
                Some(response) => trail.end(&id, tenant, response, None),
                None => trail.left(&id, tenant),
            }
        }
        let what = match &instead {
            Some(_) => "the gateway gave up waiting for the answer, or for the rest of the request",
            None => "the client left before there was an answer",
        };
        let (method, path) = self.path.as_deref().map(|(method, path)| (method.as_str(), path.as_str())).unzip();
        tracing::info!(
            target: REQUESTS,
            request = text(&id),
            tenant = self.tenant.as_ref().map(|tenant| &**tenant.name()),
            status = instead.as_ref().map(|response| response.status().as_u16()),
            method,
            path,
            "{what}"
        );
        if let Some(response) = instead {
            self.sign(id, false, response);
        }
    }
}

impl Drop for RequestLine {
    fn drop(&mut self) {
        let Some(id) = self.id.take() else { return };
        given_up::answered(|instead| self.unanswered(id, instead));
    }
}

/// Tells of those that were refused as one was of which there is a line.
fn tell_others(status: StatusCode, others: u64) {
    tracing::info!(target: REQUESTS, status = status.as_u16(), others, "refused in the same way, a line for all of them");
}

/// A path as it may be told: where one of ours names a key, somebody may have put the key itself.
fn path_of(path: &str, pool: Option<&KeyPool>) -> String {
    match path.strip_prefix("/-/admin/keys/") {
        Some(key) => format!("/-/admin/keys/{{id}}{}", key.find('/').map_or("", |at| &key[at..])),
        None => without_keys(path, pool).into_owned(),
    }
}

/// What a caller wrote, as it may be told.
pub(super) fn without_keys<'t>(text: &'t str, pool: Option<&KeyPool>) -> Cow<'t, str> {
    pool.map_or(Cow::Borrowed(text), |pool| pool.masked(text))
}

fn text(id: &HeaderValue) -> &str {
    id.to_str().unwrap_or_default()
}

/// The caller's own id, if it is one and harmless wherever it is repeated.
fn given<'h>(headers: &'h HeaderMap, pool: Option<&KeyPool>) -> Option<&'h HeaderValue> {
    let mut ids = headers.get_all(ID).iter();
    let (id, None) = (ids.next()?, ids.next()) else { return None };
    let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let is_harmless = (1..=LONGEST).contains(&id.len()) && id.as_bytes().iter().all(harmless);
    (is_harmless && without_keys(text(id), pool) == text(id)).then_some(id)
}

#[cfg(test)]
mod tests {
    use tower_keypool::Clock;

    use super::*;

    fn id_of(ids: &[&[u8]]) -> String {
        let mut request = Request::new(());
        for id in ids {
            request.headers_mut().append(ID, HeaderValue::from_bytes(id).unwrap());
        }
        let mut response = Response::new(());
        let traffic = Traffic::new(Clock::system());
        RequestLine::begin(&request, true, &traffic, None).end(&mut response, &traffic);
        let ids: Vec<_> = response.headers().get_all(ID).iter().collect();
        assert_eq!(ids.len(), 1);
        ids[0].to_str().unwrap().to_owned()
    }

    #[test]
    fn an_id_that_is_harmless_is_kept() {
        let long = "x".repeat(128);
        for id in ["a", "1f09-AZ_z.9", &long] {
            assert_eq!(id_of(&[id.as_bytes()]), id);
        }
    }

    #[test]
    fn any_other_is_replaced_by_one_of_ours() {
        let long = "x".repeat(129);
        let bad: [&[&[u8]]; 7] =
            [&[], &[b""], &[b"a b"], &[b"<img>"], &["größe".as_bytes()], &[long.as_bytes()], &[b"a", b"b"]];
        let mut made: Vec<String> = bad.iter().map(|ids| id_of(ids)).collect();
        for id in &made {
            let (process, number) = id.split_once('-').unwrap();
            assert_eq!(process.len(), 12, "{id}");
            assert!(u64::from_str_radix(number, 16).is_ok(), "{id}");
        }
        made.sort();
        made.dedup();
        assert_eq!(made.len(), bad.len());
    }

    #[test]
    fn the_providers_own_id_is_not_lost_and_names_can_be_left_out() {
        let mut response = Response::builder()
            .header(ID, "req_1")
            .header("x-keypool-key", "k-1")
            .header("x-keypool-attempts", "1")
            .header("x-keypool-model", "m")
            .body(())
            .unwrap();
        let request = Request::get("/").header(ID, "mine").body(()).unwrap();
        let traffic = Traffic::new(Clock::system());
        RequestLine::begin(&request, false, &traffic, None).end(&mut response, &traffic);
        let mut names: Vec<_> = response.headers().keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["x-request-id", "x-upstream-request-id"]);
        assert_eq!(response.headers()[ID], "mine");
        assert_eq!(response.headers()[THEIRS], "req_1");
    }

    #[test]
    fn a_key_in_a_path_of_ours_is_not_told() {
        assert_eq!(path_of("/-/admin/keys/AIza-not-a-real-key/disable", None), "/-/admin/keys/{id}/disable");
        assert_eq!(path_of("/-/admin/keys/AIza-not-a-real-key", None), "/-/admin/keys/{id}");
        assert_eq!(path_of("/v1beta/models", None), "/v1beta/models");
    }
}
