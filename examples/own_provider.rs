//! `cargo run --example own_provider`: a provider for another API, a speech service with its own error format.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, request};
use http_body_util::{BodyExt, Full};
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_keypool::{
    ApiKeyHeader, Attempts, Base, BoxError, Error, ErrorClass, Key, KeyPool, KeyPoolLayer, Provider, ReplayBody, Rule,
    Scope, Secret,
    provider::{ModelIn, RequestInfo, SetModel},
};

/// A speech service: `POST /v1/listen?model=nova-2`, with errors such as `{"err_code": "ASR_PAYMENT_REQUIRED"}`.
struct Speech {
    /// Puts the key into its header.
    api: ApiKeyHeader,
    rules: Vec<Rule>,
}

impl Provider for Speech {
    fn name(&self) -> &'static str {
        "speech"
    }

    fn base(&self) -> &Base {
        self.api.base()
    }

    fn authorize(&self, head: &mut request::Parts, key: &Secret) -> Result<(), Error> {
        self.api.authorize(head, key)
    }

    fn inspect<'a>(&self, head: &'a request::Parts) -> RequestInfo<'a> {
        let model = head.uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("model="));
        RequestInfo::new(model.map_or(ModelIn::Nowhere, |model| ModelIn::Head(model.into())))
    }

    fn set_model(&self, _head: &mut request::Parts, _model: &str) -> SetModel {
        SetModel::No
    }

    fn rules(&self) -> &[Rule] {
        &self.rules
    }
}

/// Simulates the service. The first key has no money left.
async fn service(request: Request<ReplayBody<Full<Bytes>>>) -> Result<Response<Full<Bytes>>, BoxError> {
    let poor = request.headers().get("x-speech-key").is_some_and(|key| key == "first-speech-key");
    let mut response = Response::new(Full::from(format!("heard {}", request.uri())));
    if poor {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        *response.body_mut() = r#"{"err_code":"ASR_PAYMENT_REQUIRED"}"#.into();
    }
    Ok(response)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let no_money = Rule::new(ErrorClass::Billing)
        .status(400)
        .code("ASR_PAYMENT_REQUIRED")
        .scope(Scope::Project)
        .cooldown(Duration::from_secs(3_600));
    let speech = Speech { api: ApiKeyHeader::header("x-speech-key", "https://speech.example")?, rules: vec![no_money] };
    let pool = KeyPool::builder(speech)
        .key(Key::new("first-speech-key").named("first"))
        .key(Key::new("second-speech-key").named("second"))
        .build()?;
    let client = ServiceBuilder::new().layer(KeyPoolLayer::new(&pool)).service(service_fn(service));

    let request = Request::post("/v1/listen?model=nova-2").body(Full::<Bytes>::from("a few words"))?;
    let response = client.oneshot(request).await?;
    let attempts = response.extensions().get::<Attempts>().cloned().unwrap_or_default();
    println!("{attempts}");
    let classes: Vec<_> = attempts.iter().map(tower_keypool::pool::Attempt::class).collect();
    assert_eq!(classes, [Some(ErrorClass::Billing), None]);
    println!("{}", String::from_utf8_lossy(&response.into_body().collect().await?.to_bytes()));
    Ok(())
}
