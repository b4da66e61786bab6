//! What is moved along with every request and answer stays small: each layer moves it a few times.

use std::{
    future::{Ready, ready},
    mem::size_of_val,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower_layer::Layer;
use tower_service::Service;

use super::KeyPoolLayer;
use crate::{
    cooldown::CooldownLayer,
    error::BoxError,
    key::Key,
    pool::{Granted, KeyPool, Lease},
    provider::Gemini,
    rotation::KeyRotationLayer,
};

#[derive(Clone)]
struct Client;

type Answer = Response<Full<Bytes>>;

impl<B> Service<Request<B>> for Client {
    type Response = Answer;
    type Error = BoxError;
    type Future = Ready<Result<Answer, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(Response::default()))
    }
}

fn bytes_of<S: Service<Request<Full<Bytes>>>>(service: &mut S) -> (usize, usize) {
    let future = service.call(Request::post("/v1/models/m:generateContent").body(Full::default()).unwrap());
    (size_of_val(&future), size_of::<S::Response>())
}

#[test]
fn futures_and_bodies_are_small() {
    let pool = KeyPool::builder(Gemini::new()).key(Key::new("AIza-not-a-real-key-000")).build().unwrap();
    let client = bytes_of(&mut Client);
    let judged = bytes_of(&mut CooldownLayer::new(&pool).layer(Client));
    let keyed = bytes_of(&mut KeyRotationLayer::new(&pool).layer(CooldownLayer::new(&pool).layer(Client)));
    let whole = bytes_of(&mut KeyPoolLayer::new(&pool).layer(Client));
    let beyond = |(future, answer): (usize, usize), below: (usize, usize)| (future - below.0, answer - below.1);
    let sizes = [
        ("handles", (size_of::<Granted>(), size_of::<Lease>()), (80, 80)),
        ("cooldown", beyond(judged, client), (160, 80)),
        ("rotation", beyond(keyed, judged), (160, 16)),
        ("all", beyond(whole, keyed), (600, 0)),
    ];
    for (name, found, most) in sizes {
        assert!(found.0 <= most.0 && found.1 <= most.1, "{name}: {found:?}, not {most:?}");
    }
}
