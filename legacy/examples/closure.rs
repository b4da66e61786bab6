//! `cargo run --example closure`: an SDK that brings its own HTTP, lent a key for each call.

mod shared;

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tower_keypool::{BoxError, Gemini, Key, KeyPool, LeasedKey, Retry, Scope, Until, Verdict, VerdictKind};

/// An SDK: it takes a key and does the rest by itself.
struct Sdk {
    http: Client<HttpConnector, Full<bytes::Bytes>>,
    base: String,
}

/// What it makes of an answer that is not good.
#[derive(Debug)]
enum Failure {
    TooMany,
    Other(BoxError),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TooMany => f.write_str("too many requests"),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

impl Sdk {
    async fn generate(&self, key: &str, prompt: &str) -> Result<String, Failure> {
        let request = self.request(key, prompt).map_err(Failure::Other)?;
        let answer = self.http.request(request).await.map_err(|error| Failure::Other(error.into()))?;
        let status = answer.status();
        let body = answer.into_body().collect().await.map_err(|error| Failure::Other(error.into()))?.to_bytes();
        match status {
            StatusCode::OK => Ok(format!("{} bytes about {prompt:?}", body.len())),
            StatusCode::TOO_MANY_REQUESTS => Err(Failure::TooMany),
            other => Err(Failure::Other(format!("status {other}").into())),
        }
    }

    fn request(&self, key: &str, prompt: &str) -> Result<Request<Full<bytes::Bytes>>, BoxError> {
        let mut request = shared::hello("gemini-2.5-flash");
        *request.uri_mut() = format!("{}{}", self.base, request.uri()).parse::<Uri>()?;
        *request.body_mut() = Full::from(format!(r#"{{"contents":[{{"parts":[{{"text":"{prompt}"}}]}}]}}"#));
        request.headers_mut().insert("x-goog-api-key", HeaderValue::from_str(key)?);
        Ok(request)
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // One request a minute for the first project, as the pool will find out.
    let upstream = shared::limited(&[("projects/1", "key-one", 1), ("projects/2", "key-two", 10)]).await?;
    let pool = KeyPool::builder(Gemini::at(&upstream.url())?)
        .key(Key::new(shared::secret("key-one")).id("one"))
        .key(Key::new(shared::secret("key-two")).id("two"))
        .build()?;
    let sdk = Arc::new(Sdk { http: Client::builder(TokioExecutor::new()).build_http(), base: upstream.url() });
    // What an answer of this SDK means: the one place that knows it.
    let judge = |answer: &Result<String, Failure>| match answer {
        Ok(_) => Verdict::SUCCESS,
        Err(Failure::TooMany) => {
            Verdict::new(VerdictKind::RateLimited).scope(Scope::OwnerLane).until(Until::For(Duration::from_secs(60)))
        }
        Err(Failure::Other(_)) => Verdict::new(VerdictKind::Transient),
    };

    // Once …
    let once = sdk.clone();
    let text = pool
        .run("gemini-2.5-flash", judge, move |key| {
            let sdk = once.clone();
            async move {
                println!("calling with key {}", key.key_id());
                sdk.generate(key.expose(), "hello").await
            }
        })
        .await?;
    println!("{text}");

    // … or as a wrapper that is called many times. The first key is soon at its limit: its 429 is nobody's trouble.
    let runner = pool.with_retry(Retry::new().max_retries(5));
    for prompt in ["one", "two", "three"] {
        let sdk = sdk.clone();
        let call = move |key: LeasedKey| {
            let sdk = sdk.clone();
            async move { sdk.generate(key.expose(), prompt).await }
        };
        println!("{}", runner.run("gemini-2.5-flash", judge, call).await?);
    }
    let refused = upstream.report().total.over_limit;
    println!("{refused} of the provider's answers was a 429");
    assert_eq!(refused, 1);
    Ok(())
}
