use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};

use super::*;
use crate::{
    Error, ErrorClass, Failure, Gemini, Key, KeyPool, KeyRequest, OpenAi, Outcome, ReplayBody, ReplayLayer, Scope,
    pool::{Attempt, Attempts, Unavailable, UnavailableReason},
    replay::CollectedBody,
};

type Body = ReplayBody<Full<Bytes>>;

fn gemini() -> KeyPool {
    KeyPool::builder(Gemini::new()).key(Key::new("AIza-not-a-real-key-001")).build().unwrap()
}

fn openai() -> KeyPool {
    KeyPool::builder(OpenAi::new()).key(Key::new("sk-not-a-real-key-001")).build().unwrap()
}

/// The requests that were sent, each as a line of text.
type Sent = Arc<Mutex<Vec<String>>>;

/// The result of a request.
enum Reply {
    Good,
    Fails(Failure),
    NoKey,
}

/// A service that reports its attempts as the inner layers do.
fn provider(
    sent: &Sent,
    reply: impl Fn(&str) -> Reply + Clone,
) -> impl Service<Request<Body>, Response = Response<String>, Error = BoxError> + Clone {
    let sent = Arc::clone(sent);
    service_fn(move |request: Request<Body>| {
        let (sent, reply) = (Arc::clone(&sent), reply.clone());
        async move {
            let (head, body) = request.into_parts();
            let explicit = head.extensions.get::<KeyRequest>().and_then(KeyRequest::model_name).unwrap_or_default();
            let length = head.headers.get("content-length").map_or("", |length| length.to_str().unwrap());
            let mut line = format!("{} {length}{explicit}", head.uri.path());
            line.push_str(std::str::from_utf8(&body.collect().await?.to_bytes())?);
            let reply = reply(&line);
            sent.lock().unwrap().push(line.clone());
            let mut attempts = Attempts::default();
            let outcome = match reply {
                Reply::Good => Outcome::Success,
                Reply::Fails(failure) => failure.into(),
                Reply::NoKey => {
                    let reasons = vec![(UnavailableReason::Limit, 1)];
                    let unavailable = Unavailable { model: None, keys: 1, reasons, retry_after: None };
                    return Err(Error::unavailable(unavailable).with_attempts(attempts).into());
                }
            };
            let project = "p".into();
            let (elapsed, secret) = (Duration::ZERO, crate::Secret::new("a")?);
            attempts.push(Attempt { key: "a".into(), project, model: None, outcome, elapsed, secret });
            Ok(Response::builder().extension(attempts).body(line).unwrap())
        }
    })
}

fn class(class: ErrorClass) -> Reply {
    Reply::Fails(Failure::new(class))
}

/// Sends one request. Returns the result and the requests that were sent for it.
async fn send(
    layer: ModelFallbackLayer,
    request: Request<&str>,
    reply: impl Fn(&str) -> Reply + Clone,
) -> (Result<Response<String>, BoxError>, Vec<String>) {
    let sent = Sent::default();
    let service = ServiceBuilder::new().layer(ReplayLayer::up_to(64)).layer(layer).service(provider(&sent, reply));
    let result = service.oneshot(request.map(|body| Full::from(body.to_owned()))).await;
    let sent = sent.lock().unwrap().clone();
    (result, sent)
}

fn generate(model: &str) -> Request<&'static str> {
    Request::post(format!("/v1beta/models/{model}:generateContent")).body("").unwrap()
}

/// The models in the paths of the requests that were sent.
fn models(sent: &[String]) -> Vec<&str> {
    sent.iter().map(|line| line.split(['/', ':']).nth(3).unwrap()).collect()
}

#[tokio::test]
async fn request_falls_back_to_the_models_after_the_one_that_it_names() {
    let layer = || ModelFallbackLayer::new(&gemini(), ["pro", "flash", "lite"]);
    let down = |line: &str| if line.contains("lite") { Reply::Good } else { class(ErrorClass::RateLimit) };
    let (response, sent) = send(layer(), generate("pro"), down).await;
    assert_eq!(models(&sent), ["pro", "flash", "lite"]);
    assert_eq!(response.unwrap().extensions().get::<Attempts>().unwrap().len(), 3);
    let (_, sent) = send(layer(), generate("flash"), down).await;
    assert_eq!(models(&sent), ["flash", "lite"]);
    for alone in ["lite", "other"] {
        let (_, sent) = send(layer(), generate(alone), |_| class(ErrorClass::RateLimit)).await;
        assert_eq!(models(&sent), [alone]);
    }
    let (_, sent) = send(layer().for_any_model(), generate("other"), |_| class(ErrorClass::RateLimit)).await;
    assert_eq!(models(&sent), ["other", "pro", "flash", "lite"]);
}

#[tokio::test]
async fn only_errors_that_concern_the_model_cause_a_fallback() {
    use ErrorClass::{
        Billing, Caller, DailyQuota, Egress, KeyRejected, ModelNotFound, NotEntitled, RateLimit, Transient, Unclear,
    };
    let layer = || ModelFallbackLayer::new(&gemini(), ["pro", "flash"]);
    for left in [RateLimit, DailyQuota, NotEntitled, ModelNotFound, Transient] {
        let (response, sent) =
            send(layer(), generate("pro"), |line| if line.contains("pro") { class(left) } else { Reply::Good }).await;
        assert_eq!(models(&sent), ["pro", "flash"], "{left:?}");
        assert!(response.unwrap().body().contains("flash"));
    }
    for kept in [Caller, KeyRejected, Billing, Unclear, Egress] {
        assert_eq!(models(&send(layer(), generate("pro"), |_| class(kept)).await.1), ["pro"], "{kept:?}");
    }
    let of_model = |_: &str| Reply::Fails(Failure::new(Unclear).with_scope(Scope::KeyModel));
    assert_eq!(models(&send(layer(), generate("pro"), of_model).await.1), ["pro", "flash"]);
    assert_eq!(models(&send(layer(), generate("pro"), |_| Reply::Good).await.1), ["pro"]);
}

#[tokio::test]
async fn result_of_the_first_model_is_returned_if_no_model_serves() {
    let layer = || ModelFallbackLayer::new(&gemini(), ["pro", "flash", "lite"]);
    let (response, sent) = send(layer(), generate("pro"), |line| {
        if line.contains("pro") { class(ErrorClass::RateLimit) } else { class(ErrorClass::ModelNotFound) }
    })
    .await;
    let response = response.unwrap();
    assert_eq!((sent.len(), response.body().contains("pro")), (3, true));
    assert_eq!(response.extensions().get::<Attempts>().unwrap().len(), 3);

    let (response, sent) =
        send(
            layer(),
            generate("pro"),
            |line| if line.contains("pro") { Reply::NoKey } else { class(ErrorClass::Transient) },
        )
        .await;
    let error = response.unwrap_err();
    let error = error.downcast_ref::<Error>().unwrap();
    assert_eq!((sent.len(), error.attempts().len()), (3, 2));
    assert_eq!(error.attempts().last().unwrap().class(), Some(ErrorClass::Transient));
    assert!(error.as_unavailable().is_some());
}

#[tokio::test]
async fn nothing_is_remembered_between_requests() {
    let sent = Sent::default();
    let mut service = ServiceBuilder::new()
        .layer(ReplayLayer::new())
        .layer(ModelFallbackLayer::new(&gemini(), ["pro", "flash"]))
        .service(provider(
            &sent,
            |line| if line.contains("pro") { class(ErrorClass::ModelNotFound) } else { Reply::Good },
        ));
    for _ in 0..2 {
        let request = generate("pro").map(Full::from);
        service.ready().await.unwrap().call(request).await.unwrap();
    }
    assert_eq!(models(&sent.lock().unwrap()), ["pro", "flash", "pro", "flash"]);
}

#[tokio::test]
async fn model_in_the_body_is_replaced() {
    let layer = || ModelFallbackLayer::new(&openai(), ["gpt-5", "gpt-5-mini"]);
    let chat = |body: &'static str| {
        Request::post("/v1/chat/completions").header("content-length", body.len()).body(body).unwrap()
    };
    let no_key = |line: &str| if line.contains("mini") { Reply::Good } else { Reply::NoKey };
    let (response, sent) = send(layer(), chat(r#"{"n": 1, "model": "gpt-5"}"#), no_key).await;
    assert_eq!(
        sent,
        [
            r#"/v1/chat/completions 26{"n": 1, "model": "gpt-5"}"#,
            r#"/v1/chat/completions 31{"n": 1, "model": "gpt-5-mini"}"#
        ]
    );
    assert!(response.is_ok());
    // A body over the replay limit streams once.
    let large = r#"{"n": 1, "model": "gpt-5", "input": "a text that is longer than the limit of the replay"}"#;
    let (response, sent) = send(layer(), chat(large), no_key).await;
    assert_eq!((response.is_err(), sent.len()), (true, 1));
}

#[tokio::test]
async fn aliases_have_their_own_lists() {
    let layer = ModelFallbackLayer::new(&gemini(), ["pro", "flash"]).alias("best", ["pro", "lite"]);
    let down = |line: &str| if line.contains("lite") { Reply::Good } else { class(ErrorClass::NotEntitled) };
    assert_eq!(models(&send(layer, generate("best"), down).await.1), ["pro", "lite"]);
}

#[tokio::test]
async fn explicit_model_is_replaced_and_a_request_marked_once_is_not_repeated() {
    let layer = || ModelFallbackLayer::new(&gemini(), ["pro", "flash"]);
    let with = |explicit: KeyRequest| {
        let mut request = generate("pro");
        request.extensions_mut().insert(explicit);
        request
    };
    let (_, sent) = send(layer(), with(KeyRequest::model("pro")), |_| class(ErrorClass::Transient)).await;
    assert_eq!(sent, ["/v1beta/models/pro:generateContent pro", "/v1beta/models/flash:generateContent flash"]);
    let (_, sent) =
        send(layer(), with(KeyRequest::model("pro").not_idempotent()), |_| class(ErrorClass::Transient)).await;
    assert_eq!(sent.len(), 1);
    let (_, sent) =
        send(layer(), with(KeyRequest::model("pro").not_idempotent()), |_| class(ErrorClass::RateLimit)).await;
    assert_eq!(sent.len(), 2);
}

#[tokio::test]
async fn body_that_depends_on_the_model_is_created_for_each_model() {
    let layer = ModelFallbackLayer::new(&gemini(), ["pro", "lite", "flash"]);
    let mut request = generate("pro").map(|_| "for pro");
    request.headers_mut().insert("content-length", 7.into());
    let body = |model: &str| (model != "lite").then(|| format!("for {model}").into());
    request.extensions_mut().insert(BodyForModel::new(body));
    let (_, sent) = send(layer, request, |line| if line.contains("pro") { Reply::NoKey } else { Reply::Good }).await;
    assert_eq!(
        sent,
        ["/v1beta/models/pro:generateContent 7for pro", "/v1beta/models/flash:generateContent 9for flash"]
    );
}

#[tokio::test]
async fn collected_body_has_the_model_that_is_sent() {
    let layer = ModelFallbackLayer::new(&openai(), ["a", "b"]);
    let seen = Sent::default();
    let service = service_fn(|request: Request<Body>| {
        let collected = request.extensions().get::<CollectedBody>().unwrap();
        seen.lock().unwrap().push(collected.model().unwrap().to_string());
        let unavailable = Unavailable { model: None, keys: 1, reasons: Vec::new(), retry_after: None };
        std::future::ready(Err::<Response<()>, Error>(Error::unavailable(unavailable)))
    });
    let service = ReplayLayer::new().layer(layer.layer(service));
    let request = Request::post("/v1/responses").body(Full::from(r#"{"model":"a"}"#)).unwrap();
    service.oneshot(request).await.unwrap_err();
    assert_eq!(*seen.lock().unwrap(), ["a", "b"]);
}
