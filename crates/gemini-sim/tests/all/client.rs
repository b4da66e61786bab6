//! A small client, in process and over HTTP.

use std::time::Duration;

use bytes::Bytes;
use gemini_sim::{GeminiSim, SimBody, SimError};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tower::ServiceExt;

pub(crate) const MODEL: &str = "gemini-2.5-flash";

/// Starts a generate request without a credential.
pub(crate) fn generate(model: &str) -> http::request::Builder {
    post(&format!("/v1beta/models/{model}:generateContent"))
}

pub(crate) fn post(path: &str) -> http::request::Builder {
    Request::post(path).header("content-type", "application/json")
}

pub(crate) fn prompt(text: &str) -> Value {
    json!({ "contents": [{ "role": "user", "parts": [{ "text": text }] }] })
}

pub(crate) fn body(value: &Value) -> Full<Bytes> {
    Full::new(value.to_string().into())
}

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }

    /// Returns the message of the error, which may be wrapped in a list.
    pub(crate) fn message(&self) -> String {
        let json = self.json();
        let error = json.get(0).unwrap_or(&json);
        error["error"]["message"].as_str().expect("a message").to_owned()
    }
}

pub(crate) async fn read<B>(response: Response<B>) -> Result<Answer, B::Error>
where
    B: http_body::Body,
{
    let (parts, body) = response.into_parts();
    Ok(Answer { status: parts.status, headers: parts.headers, body: body.collect().await?.to_bytes() })
}

/// Sends a request in process.
pub(crate) async fn send(sim: &GeminiSim, request: Request<Full<Bytes>>) -> Answer {
    try_send(sim, request).await.expect("a response")
}

pub(crate) async fn try_send(sim: &GeminiSim, request: Request<Full<Bytes>>) -> Result<Answer, SimError> {
    read(head(sim, request).await?).await
}

pub(crate) async fn head(sim: &GeminiSim, request: Request<Full<Bytes>>) -> Result<Response<SimBody>, SimError> {
    sim.service().oneshot(request).await
}

/// Generates in process with a key.
pub(crate) async fn ask(sim: &GeminiSim, key: &str) -> Answer {
    let request = generate(MODEL).header("x-goog-api-key", key);
    send(sim, request.body(body(&prompt("hello"))).unwrap()).await
}

pub(crate) async fn advance(seconds: f64) {
    tokio::time::advance(Duration::from_secs_f64(seconds)).await;
}
