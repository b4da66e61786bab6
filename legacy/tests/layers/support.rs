//! A provider, a pool and answers to test with.

use std::{borrow::Cow, error::Error as StdError, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, request::Parts};
use http_body_util::{BodyExt, Full};
use tower::Service;
use tower_keypool::{
    Answer, Asks, Base, Clock, Error, InvalidSecret, Key, KeyPool, KeyPoolBuilder, ModelIn, Provider, Retarget, Scope,
    Secret, Until, Verdict, VerdictKind,
};

pub(crate) type Body = Full<Bytes>;
pub(crate) type Mock = tower_test::mock::Mock<Request<Body>, Response<Body>>;
pub(crate) type Handle = tower_test::mock::Handle<Request<Body>, Response<Body>>;
pub(crate) type BoxError = Box<dyn StdError + Send + Sync>;

/// An API at `http://api.example` whose models stand in the path, `/models/<model>`, and whose key is `x-key`.
///
/// A bad answer says in its body what is wrong: `rate`, `invalid`, `owner`, `model`, `overloaded`, `slow down` …
pub(crate) struct Plain(Base);

impl Plain {
    pub(crate) fn new() -> Self {
        Self::at("http://api.example")
    }

    pub(crate) fn at(base: &str) -> Self {
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

    fn asks<'a>(&self, head: &'a Parts) -> Asks<'a> {
        let mut asks = Asks::default();
        if let Some(model) = head.uri.path().strip_prefix("/models/") {
            asks.model = ModelIn::Head(model.into());
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
            "some limit" => Verdict::new(K::RateLimited).unclear(),
            "invalid" => Verdict::new(K::InvalidKey),
            "owner" => Verdict::new(K::WrongOwner),
            "model" => Verdict::new(K::ModelUnavailable).scope(Scope::Caller),
            "overloaded" => Verdict::new(K::Overloaded).scope(Scope::Caller),
            "slow down" => Verdict::new(K::Overloaded).scope(Scope::Caller).until(Until::For(Duration::from_secs(20))),
            "come back late" => Verdict::new(K::Transient).until(Until::For(Duration::from_secs(90))),
            "once more" => Verdict::new(K::Transient).retry_cap(1),
            "fault" => Verdict::new(K::Transient),
            _ if answer.status.is_success() => Verdict::SUCCESS,
            _ => Verdict::new(K::CallerFault),
        };
        verdict.status(answer.status)
    }
}

/// A pool of keys `one`, `two`, … whose secrets are `secret-one`, ….
pub(crate) fn pool(ids: &[&str]) -> KeyPool {
    builder(ids).build().unwrap()
}

pub(crate) fn builder(ids: &[&str]) -> KeyPoolBuilder {
    let keys = ids.iter().map(|id| Key::new(format!("secret-{id}")).id(*id));
    KeyPool::builder(Plain::new()).keys(keys).clock(Clock::tokio_from(std::time::SystemTime::UNIX_EPOCH))
}

/// A pool with one key that carries one request at a time.
pub(crate) fn narrow_pool() -> KeyPool {
    KeyPool::builder(Plain::new())
        .key(Key::new("secret-one").id("one").max_concurrent(1))
        .clock(Clock::tokio_from(std::time::SystemTime::UNIX_EPOCH))
        .build()
        .unwrap()
}

pub(crate) fn request(path: &str) -> Request<Body> {
    Request::post(path).body(Full::from("hello")).unwrap()
}

pub(crate) fn ask() -> Request<Body> {
    request("/models/m")
}

pub(crate) fn ok() -> Response<Body> {
    Response::new(Full::from("fine"))
}

pub(crate) fn bad(status: u16, what: &'static str) -> Response<Body> {
    let mut response = Response::new(Full::from(what));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// Which key a request carries.
pub(crate) fn key_of<B>(request: &Request<B>) -> String {
    let keys: Vec<&HeaderValue> = request.headers().get_all("x-key").iter().collect();
    assert_eq!(keys.len(), 1, "exactly one credential leaves");
    keys[0].to_str().unwrap().trim_start_matches("secret-").to_owned()
}

/// How many leases this pool of one-at-a-time keys can still give: takes them all, then gives them back.
pub(crate) fn free_slots(pool: &KeyPool) -> usize {
    let mut leases = Vec::new();
    while let Ok(lease) = pool.try_acquire("slots") {
        leases.push(lease);
    }
    leases.len()
}

/// Refuses the connection.
pub(crate) fn refused() -> std::io::Error {
    std::io::Error::from(std::io::ErrorKind::ConnectionRefused)
}

/// A client with some body of its own.
pub(crate) trait Client:
    Service<Request<Body>, Response = Response<Self::Answer>, Error = Error, Future: Send> + Clone + Send + 'static
{
    type Answer: http_body::Body<Data = Bytes, Error: std::fmt::Debug> + std::fmt::Debug + Send;
}

impl<S, R> Client for S
where
    S: Service<Request<Body>, Response = Response<R>, Error = Error, Future: Send> + Clone + Send + 'static,
    R: http_body::Body<Data = Bytes, Error: std::fmt::Debug> + std::fmt::Debug + Send,
{
    type Answer = R;
}

/// The body of an answer.
pub(crate) async fn text(response: Response<impl http_body::Body<Data = Bytes, Error: std::fmt::Debug>>) -> String {
    let body = Box::pin(response.into_body()).collect().await.unwrap();
    String::from_utf8(body.to_bytes().to_vec()).unwrap()
}
