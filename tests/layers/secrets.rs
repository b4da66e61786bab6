//! No error shows a key, whoever quoted it.

use std::{borrow::Cow, error::Error as StdError, io};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_keypool::{
    Answer, ApiKeyHeader, Asks, Base, BoxError, CooldownLayer, Error, InvalidSecret, Key, KeyPool, KeyPoolLayer,
    KeyRotationLayer, Provider, ReplayBody, Retarget, Retry, Secret, Verdict,
};

use crate::support::{Body, ask};

const KEY: &str = "not-a-key-SECRET+/=77";

/// All that an error says of itself and its sources.
fn told(error: &Error) -> String {
    let mut told = vec![format!("{error} {error:?} {error:#?}")];
    let mut next = error.source();
    while let Some(source) = next {
        told.push(format!("{source} {source:?}"));
        next = source.source();
    }
    told.join(" <- ")
}

fn pool(provider: impl Provider + 'static) -> KeyPool {
    KeyPool::builder(provider).key(Key::new(KEY).id("a")).retry(Retry::new().max_retries(0)).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_client_that_quotes_the_address_shows_no_key() {
    let pool = pool(ApiKeyHeader::query("key", "https://a.example").unwrap());
    let quoting = |head: &Request<()>| {
        let told = format!("could not send {} {:?} with {KEY}", head.uri(), head.uri());
        Box::new(io::Error::other(io::Error::other(told))) as BoxError
    };
    let layer = KeyPoolLayer::new(&pool);
    let client = service_fn(move |request: Request<ReplayBody<Body>>| async move {
        Err::<Response<Body>, _>(quoting(&request.map(drop)))
    });
    let whole = layer.layer(client).oneshot(ask()).await.map(drop).unwrap_err();
    let stack = ServiceBuilder::new().layer(KeyRotationLayer::new(&pool)).layer(CooldownLayer::new(&pool));
    let client =
        service_fn(move |request: Request<Body>| async move { Err::<Response<Body>, _>(quoting(&request.map(drop))) });
    let pieces = stack.service(client).oneshot(ask()).await.map(drop).unwrap_err();
    let alone = ServiceBuilder::new().layer(KeyRotationLayer::new(&pool)).service(service_fn(
        move |request: Request<Body>| async move { Err::<Response<Body>, _>(quoting(&request.map(drop))) },
    ));
    let alone = alone.oneshot(ask()).await.map(drop).unwrap_err();
    for error in [whole, pieces, alone] {
        let told = told(&error);
        assert!(!told.contains("SECRET"), "{told}");
        assert!(told.contains("could not send https://a.example/"), "the rest is there: {told}");
        assert!(error.is_upstream() && error.served_by().is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_shows_no_key_stays_what_it_is() {
    let pool = pool(ApiKeyHeader::query("key", "https://a.example").unwrap());
    let client = service_fn(|_: Request<Body>| async {
        Err::<Response<Body>, _>(io::Error::from(io::ErrorKind::ConnectionRefused))
    });
    let stack = ServiceBuilder::new().layer(KeyRotationLayer::new(&pool)).layer(CooldownLayer::new(&pool));
    let error = stack.service(client).oneshot(ask()).await.map(drop).unwrap_err();
    assert_eq!(error.source().unwrap().downcast_ref::<io::Error>().unwrap().kind(), io::ErrorKind::ConnectionRefused);
}

/// Says why a key does not fit, and which.
struct Quoting(Base);

impl Provider for Quoting {
    fn name(&self) -> &'static str {
        "quoting"
    }

    fn base(&self) -> &Base {
        &self.0
    }

    fn prepare(&self, key: &str) -> Result<Secret, InvalidSecret> {
        Secret::new(key)
    }

    fn strip(&self, _: &mut Parts) {}

    fn inject(&self, _: &mut Parts, key: &Secret) -> Result<(), Cow<'static, str>> {
        Err(format!("{} does not go there", key.expose()).into())
    }

    fn asks<'a>(&self, _: &'a Parts) -> Asks<'a> {
        Asks::default()
    }

    fn retarget(&self, _: &mut Parts, _: &str) -> Retarget {
        Retarget::No
    }

    fn judge(&self, _: &Answer<'_>) -> Verdict {
        Verdict::SUCCESS
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_quotes_the_key_shows_none() {
    let pool = pool(Quoting(Base::parse("http://api.example").unwrap()));
    let client = service_fn(|_: Request<Body>| async { Ok::<_, BoxError>(Response::new(Full::<Bytes>::default())) });
    let stack = ServiceBuilder::new().layer(KeyRotationLayer::new(&pool)).layer(CooldownLayer::new(&pool));
    let error = stack.service(client).oneshot(ask()).await.map(drop).unwrap_err();
    assert_eq!(error.to_string(), format!("not sent: {} does not go there", "*".repeat(KEY.len())));
    let body = error.to_response().into_body().collect().await.unwrap().to_bytes();
    assert!(!String::from_utf8_lossy(&body).contains("SECRET"));
}
