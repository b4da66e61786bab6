use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use tower::{BoxError, Layer, ServiceExt, service_fn};

use crate::{
    CollectedBody, Error, ErrorClass, Failure, Gemini, Key, KeyPool, KeyRequest, ModelFallbackLayer, OpenAi, Outcome,
    ReplayBody, ReplayLayer, Scope, TryClone,
    pool::{Attempt, Attempts, Unavailable},
};

type Answer = Result<Response<()>, Error>;

fn gemini() -> KeyPool {
    KeyPool::builder(Gemini::new()).key(Key::new("AIza-not-a-real-key-001")).build().unwrap()
}

fn openai() -> KeyPool {
    KeyPool::builder(OpenAi::new()).key(Key::new("sk-not-a-real-key-001")).build().unwrap()
}

/// What was sent: path, `content-length` and body.
type Sent = Arc<Mutex<Vec<String>>>;

/// The answer to a request, its attempt added to those before it, as the rotation does.
fn attempted<B>(request: &mut Request<B>, failure: Option<Failure>) -> Answer {
    let mut attempts = request.extensions_mut().remove::<Attempts>().unwrap_or_default();
    let status = if failure.is_some() { StatusCode::NOT_FOUND } else { StatusCode::OK };
    attempts.push(Attempt {
        key: "a".into(),
        project: "p".into(),
        model: None,
        outcome: failure.map_or(Outcome::Success, Outcome::from),
        elapsed: Duration::ZERO,
        secret: None,
    });
    Ok(Response::builder().status(status).extension(attempts).body(()).unwrap())
}

/// Sends one request through the layer to a service that answers by this function of the path and body.
async fn send<B>(layer: ModelFallbackLayer, request: Request<B>, answer: impl Fn(&str) -> Option<Failure>) -> (Answer, Vec<String>)
where
    B: TryClone + http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Debug,
{
    let sent = Sent::default();
    let result = {
        let (sent, answer) = (&sent, &answer);
        layer
            .layer(service_fn(async move |mut request: Request<B>| {
                let length = request.headers().get("content-length").map_or("", |length| length.to_str().unwrap());
                let mut told = format!("{} {length} ", request.uri().path());
                let explicit = request.extensions().get::<KeyRequest>().and_then(KeyRequest::model_name);
                told.push_str(explicit.unwrap_or_default());
                let (head, body) = request.into_parts();
                told.push_str(std::str::from_utf8(&body.collect().await.unwrap().to_bytes()).unwrap());
                request = Request::from_parts(head, ()).map(|()| unreachable!());
                let failure = answer(&told);
                sent.lock().unwrap().push(told);
                attempted(&mut request, failure)
            }))
            .oneshot(request)
            .await
    };
    (result, Arc::into_inner(sent).unwrap().into_inner().unwrap())
}
