//! Code that the examples share: a simulator of the API on loopback, and requests.

// Each example uses only some of the functions.
#![allow(dead_code)]

use bytes::Bytes;
use gemini_sim::{GeminiSim, Limits, Project};
use http::{Request, header};
use http_body_util::Full;

/// Returns a key that the simulator and the pool both use.
pub(crate) fn secret(name: &str) -> String {
    format!("AIzaSy-not-a-real-key-{name:-<20}")
}

/// Starts a simulator with these projects and their keys. Each project may send ten requests a minute.
pub(crate) async fn simulator(projects: &[(&str, &[&str])]) -> std::io::Result<GeminiSim> {
    let mut sim = GeminiSim::builder();
    for (name, keys) in projects {
        let project = Project::new(*name).limits(Limits::none().rpm(10));
        sim = sim.project(keys.iter().fold(project, |project, key| project.key(secret(key).as_str())));
    }
    sim.start().await
}

/// Starts a simulator with these projects: name, key, requests a minute.
pub(crate) async fn limited(projects: &[(&str, &str, u64)]) -> std::io::Result<GeminiSim> {
    let mut sim = GeminiSim::builder();
    for (name, key, rpm) in projects {
        sim = sim.project(Project::new(*name).limits(Limits::none().rpm(*rpm)).key(secret(key).as_str()));
    }
    sim.start().await
}

/// Returns a request that sends "Hello" to this model.
pub(crate) fn hello(model: &str) -> Request<Full<Bytes>> {
    Request::post(format!("/v1beta/models/{model}:generateContent"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(r#"{"contents":[{"parts":[{"text":"Hello"}]}]}"#))
        .expect("a request")
}

/// Returns the same request in OpenAI's format.
pub(crate) fn chat(model: &str) -> Request<Full<Bytes>> {
    Request::post("/chat/completions")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hello"}}]}}"#)))
        .expect("a request")
}
