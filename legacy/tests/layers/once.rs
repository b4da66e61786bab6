//! What makes something that stays is not sent again where it may have been made.

use std::{
    io::{self, ErrorKind},
    sync::{Arc, Mutex},
    time::Duration,
};

use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_keypool::{
    Backoff, CooldownLayer, Demand, Gemini, Key, KeyPool, KeyPoolLayer, KeyRotationLayer, ModelFallbackLayer,
    ReplayBody, Retry, RetryPolicy, Scope, Verdict, VerdictKind,
};

use crate::support::{Body, bad};

/// What comes of an attempt.
#[derive(Clone, Copy, Debug)]
enum Comes {
    Status(u16),
    Error(ErrorKind),
}
use Comes::{Error, Status};

/// Answers in order, the last one for good.
#[derive(Clone)]
struct Script(Arc<Mutex<(Vec<Comes>, usize)>>);

impl Script {
    fn new(answers: &[Comes]) -> Self {
        Self(Arc::new(Mutex::new((answers.to_vec(), 0))))
    }

    fn next(&self) -> io::Result<Response<Body>> {
        let mut script = self.0.lock().unwrap();
        script.1 += 1;
        match script.0[script.1.min(script.0.len()) - 1] {
            Status(status) => Ok(bad(status, "{}")),
            Error(kind) => Err(kind.into()),
        }
    }

    fn asked(&self) -> usize {
        self.0.lock().unwrap().1
    }
}

fn steady() -> Retry {
    Retry::new().max_retries(1).backoff(Backoff::fixed(Duration::from_secs(1)))
}

fn pool() -> KeyPool {
    let key = |id: &str| Key::new(format!("AIzaSy-not-a-real-key-{id}")).id(id).owner(id);
    KeyPool::builder(Gemini::new()).keys([key("one"), key("two")]).build().unwrap()
}

fn request(demand: Demand) -> Request<Body> {
    let mut request = Request::post("/v1beta/models/m:generateContent").body(Full::from("{}")).unwrap();
    request.extensions_mut().insert(demand);
    request
}

/// How often something is asked for, by the whole stack, and by its layers one by one.
async fn asked(answers: &[Comes], demand: Demand) -> usize {
    let (whole, by_layers) = (Script::new(answers), Script::new(answers));
    let script = whole.clone();
    let client = KeyPoolLayer::new(pool())
        .retry(steady())
        .layer(service_fn(move |_: Request<_>| std::future::ready(script.next())));
    let _ = client.oneshot(request(demand.clone())).await;
    let (script, pool) = (by_layers.clone(), pool());
    let client = ServiceBuilder::new()
        .retry(RetryPolicy::new(&pool).rule(steady()))
        .layer(KeyRotationLayer::new(&pool))
        .layer(CooldownLayer::new(&pool))
        .service(service_fn(move |_: Request<Body>| std::future::ready(script.next())));
    let _ = client.oneshot(request(demand)).await;
    assert_eq!(whole.asked(), by_layers.asked(), "{answers:?}");
    whole.asked()
}

#[tokio::test(start_paused = true)]
async fn it_goes_to_another_key_only_where_it_was_not_done() {
    let unclear = [500, 502, 503, 504].map(Status);
    for answer in unclear.into_iter().chain([ErrorKind::ConnectionReset, ErrorKind::TimedOut].map(Error)) {
        assert_eq!(asked(&[answer], Demand::new("m").once()).await, 1, "{answer:?}");
        assert!(asked(&[answer], Demand::new("m")).await > 1, "{answer:?}, of what makes nothing");
    }
    for answer in [Status(429), Status(403), Error(ErrorKind::ConnectionRefused)] {
        assert_eq!(asked(&[answer], Demand::new("m").once()).await, 2, "{answer:?}");
    }
    assert_eq!(asked(&[Status(429), Status(503)], Demand::new("m").once()).await, 2, "the second ends it");
}

/// A provider that answers, or closes, before all of it came has made nothing.
#[tokio::test(start_paused = true)]
async fn half_a_request_is_sent_again() {
    use http_body_util::{BodyExt, channel::Channel};
    for (pieces, sent) in [(1, 2), (2, 1)] {
        let (mut sender, body) = Channel::<bytes::Bytes, io::Error>::new(4);
        for _ in 0..pieces {
            sender.send_data("ab".into()).await.unwrap();
        }
        let script = Script::new(&[Error(ErrorKind::ConnectionReset)]);
        let answers = script.clone();
        let client = KeyPoolLayer::new(pool()).retry(steady()).layer(service_fn(
            move |request: Request<ReplayBody<Channel<bytes::Bytes, io::Error>>>| {
                let answers = answers.clone();
                async move {
                    let mut body = Box::pin(request.into_body());
                    for _ in 0..pieces {
                        body.frame().await.unwrap().unwrap();
                    }
                    answers.next()
                }
            },
        ));
        let request = Request::post("/v1beta/models/m:predictLongRunning").header("content-length", 4);
        let request = request.extension(Demand::new("m").once()).body(body).unwrap();
        let _ = client.oneshot(request).await;
        assert_eq!(script.asked(), sent, "{pieces} of two pieces");
        drop(sender);
    }
}

#[tokio::test(start_paused = true)]
async fn it_steps_down_to_no_other_model() {
    for (demand, models) in [(Demand::new("m"), 2), (Demand::new("m").once(), 1)] {
        let (script, pool) = (Script::new(&[Status(503)]), pool());
        let answers = script.clone();
        let client = ServiceBuilder::new()
            .layer(ModelFallbackLayer::new(&pool).for_model("m", ["n"]).on_overloaded(true))
            .retry(RetryPolicy::new(&pool).rule(steady().max_retries(0)))
            .layer(KeyRotationLayer::new(&pool))
            .layer(CooldownLayer::new(&pool))
            .service(service_fn(move |_: Request<Body>| std::future::ready(answers.next())));
        let _ = client.oneshot(request(demand)).await;
        assert_eq!(script.asked(), models);
    }
}

#[tokio::test(start_paused = true)]
async fn the_closure_form_calls_once_as_well() {
    for (kind, calls) in [(VerdictKind::Transient, 1), (VerdictKind::Overloaded, 1), (VerdictKind::RateLimited, 2)] {
        let called = Arc::new(Mutex::new(0));
        let counting = Arc::clone(&called);
        let judge = move |_: &Result<(), ()>| Verdict::new(kind).scope(Scope::Key);
        let call = move |_| {
            *counting.lock().unwrap() += 1;
            std::future::ready(Err::<(), ()>(()))
        };
        let _ = pool().with_retry(steady()).run(Demand::new("m").once(), judge, call).await;
        assert_eq!(*called.lock().unwrap(), calls, "{kind:?}");
    }
}
