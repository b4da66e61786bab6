//! What every example needs beside its one idea: a simulator of the API on loopback, and a request.

// Each example uses a part of it.
#![allow(dead_code)]

use bytes::Bytes;
use gemini_sim::{GeminiSim, Limits, Project};
use http::{Request, header};
use http_body_util::Full;

/// A key as the simulator and the pool both know it.
pub(crate) fn secret(name: &str) -> String {
    format!("AIzaSy-not-a-real-key-{name:-<20}")
}

/// A simulator with these projects and their keys, ten requests a minute each.
pub(crate) async fn simulator(projects: &[(&str, &[&str])]) -> std::io::Result<GeminiSim> {
    let mut sim = GeminiSim::builder();
    for (name, keys) in projects {
        let project = Project::new(*name).limits(Limits::none().rpm(10));
        sim = sim.project(keys.iter().fold(project, |project, key| project.key(secret(key).as_str())));
    }
    sim.start().await
}

/// A simulator with these projects: name, key, requests a minute.
pub(crate) async fn limited(projects: &[(&str, &str, u64)]) -> std::io::Result<GeminiSim> {
    let mut sim = GeminiSim::builder();
    for (name, key, rpm) in projects {
        sim = sim.project(Project::new(*name).limits(Limits::none().rpm(*rpm)).key(secret(key).as_str()));
    }
    sim.start().await
}

/// "Hello", to this model.
pub(crate) fn hello(model: &str) -> Request<Full<Bytes>> {
    Request::post(format!("/v1beta/models/{model}:generateContent"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(r#"{"contents":[{"parts":[{"text":"Hello"}]}]}"#))
        .expect("a request")
}

/// The same in OpenAI's language.
pub(crate) fn chat(model: &str) -> Request<Full<Bytes>> {
    Request::post("/chat/completions")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hello"}}]}}"#)))
        .expect("a request")
}
