//! A provider, a pool and answers to test with.

use std::{
    borrow::Cow,
    error::Error as StdError,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, request::Parts};
use http_body_util::Full;
use tower_keypool::{
    Answer, Asks, Base, Clock, InvalidSecret, Key, KeyPool, KeyPoolBuilder, ModelIn, Provider, Retarget, Scope, Secret,
    Until, Verdict, VerdictKind,
};

pub type Body = Full<Bytes>;
pub type Mock = tower_test::mock::Mock<Request<Body>, Response<Body>>;
pub type Handle = tower_test::mock::Handle<Request<Body>, Response<Body>>;
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// An API at `http://api.example` whose models stand in the path, `/models/<model>`, and whose key is `x-key`.
///
/// A bad answer says in its body what is wrong: `rate`, `invalid`, `owner`, `model`, `overloaded`, `slow down` …
pub struct Plain(Base);

impl Plain {
    pub fn new() -> Self {
        Self::at("http://api.example")
    }

    pub fn at(base: &str) -> Self {
        Self(Base::parse(base).unwrap())
    }
}

impl Provider for Plain {
    fn name(&self) -> &'static str {
        "plain"
    }

    fn base(&self) -> &Base {
        &self.0
    }

    fn prepare(&self, key: &str) -> Result<Secret, InvalidSecret> {
        Secret::new(key)
    }

    fn strip(&self, head: &mut Parts) {
        head.headers.remove("x-key");
        head.headers.remove("authorization");
    }

    fn inject(&self, head: &mut Parts, key: &Secret) -> Result<(), Cow<'static, str>> {
        if head.uri.path() == "/unkeyable" {
            return Err("no key goes there".into());
        }
        head.headers.insert("x-key", key.header_value().clone());
        Ok(())
    }

    fn asks(&self, head: &Parts) -> Asks {
        let mut asks = Asks::default();
        if let Some(model) = head.uri.path().strip_prefix("/models/") {
            asks.model = ModelIn::Head(model.to_owned());
        }
        asks
    }

    fn retarget(&self, head: &mut Parts, model: &str) -> Retarget {
        if !head.uri.path().starts_with("/models/") {
            return Retarget::No;
        }
        let mut parts = std::mem::take(&mut head.uri).into_parts();
        parts.path_and_query = Some(format!("/models/{model}").parse().unwrap());
        head.uri = http::Uri::from_parts(parts).unwrap();
        Retarget::Done
    }

    fn judge(&self, answer: &Answer<'_>) -> Verdict {
        use VerdictKind as K;
        let verdict = match std::str::from_utf8(answer.body).unwrap_or_default() {
            "rate" => Verdict::new(K::RateLimited).until(Until::For(Duration::from_secs(40))),
            "rate briefly" => Verdict::new(K::RateLimited).until(Until::For(Duration::from_secs(2))),
            "invalid" => Verdict::new(K::InvalidKey),
            "owner" => Verdict::new(K::WrongOwner),
            "model" => Verdict::new(K::ModelUnavailable).scope(Scope::Caller),
            "overloaded" => Verdict::new(K::Overloaded).scope(Scope::Caller),
            "slow down" => {
                Verdict::new(K::Overloaded).scope(Scope::Caller).until(Until::For(Duration::from_secs(20)))
            }
            "once more" => Verdict::new(K::Transient).retry_cap(1),
            "fault" => Verdict::new(K::Transient),
            _ if answer.status.is_success() => Verdict::SUCCESS,
            _ => Verdict::new(K::CallerFault),
        };
        verdict.status(answer.status)
    }
}

/// A pool of keys `one`, `two`, … whose secrets are `secret-one`, ….
pub fn pool(ids: &[&str]) -> KeyPool {
    builder(ids).build().unwrap()
}

pub fn builder(ids: &[&str]) -> KeyPoolBuilder {
    let keys = ids.iter().map(|id| Key::new(format!("secret-{id}")).id(*id));
    KeyPool::builder(Plain::new()).keys(keys).clock(Clock::tokio_from(std::time::SystemTime::UNIX_EPOCH))
}

/// A pool with one key that carries one request at a time.
pub fn narrow_pool() -> KeyPool {
    KeyPool::builder(Plain::new())
        .key(Key::new("secret-one").id("one").max_concurrent(1))
        .clock(Clock::tokio_from(std::time::SystemTime::UNIX_EPOCH))
        .build()
        .unwrap()
}

pub fn request(path: &str) -> Request<Body> {
    Request::post(path).body(Full::from("hello")).unwrap()
}

pub fn ask() -> Request<Body> {
    request("/models/m")
}

pub fn ok() -> Response<Body> {
    Response::new(Full::from("fine"))
}

pub fn bad(status: u16, what: &'static str) -> Response<Body> {
    let mut response = Response::new(Full::from(what));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// Which key a request carries.
pub fn key_of<B>(request: &Request<B>) -> String {
    let keys: Vec<&HeaderValue> = request.headers().get_all("x-key").iter().collect();
    assert_eq!(keys.len(), 1, "exactly one credential leaves");
    keys[0].to_str().unwrap().trim_start_matches("secret-").to_owned()
}

/// How many leases this pool of one-at-a-time keys can still give: takes them all, then gives them back.
pub fn free_slots(pool: &KeyPool) -> usize {
    let mut leases = Vec::new();
    while let Ok(lease) = pool.try_acquire("slots") {
        leases.push(lease);
    }
    leases.len()
}

/// Polls once, on nobody's behalf.
pub fn poll_once<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Refuses the connection.
pub fn refused() -> std::io::Error {
    std::io::Error::from(std::io::ErrorKind::ConnectionRefused)
}

/// Drives a future that must be ready at once.
pub fn now<F: Future>(future: F) -> F::Output {
    match poll_once(pin!(future)) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("not ready at once"),
    }
}
