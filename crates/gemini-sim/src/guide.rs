//! # Testing your own service with gemini-sim under paused time
//!
//! Code that waits for quotas is slow to test in real time: a window of a minute takes a minute. The service uses
//! tokio's clock, which can be paused: with `#[tokio::test(start_paused = true)]`, every sleep ends as soon as nothing
//! else can run, and a day of waiting takes milliseconds. The simulator's windows, latencies and expiries use the same
//! clock, and so does its wall clock, which starts at [`Builder::wall`](crate::Builder::wall).
//!
//! (Time cannot be paused over real sockets. Use HTTP to test resets, content lengths, HTTP versions and clients in
//! other languages.)
//!
//! ## A client that waits
//!
//! Make your service generic over the one below it, as tower services are, and use
//! [`GeminiSim::service`](crate::GeminiSim::service) in place of the HTTP client. Here is a small client that sleeps
//! for the delay in a 429, and its test: 25 requests at ten per minute take two minutes, and only one request of each
//! full window is refused.
//!
//! ```
//! use std::time::Duration;
//!
//! use gemini_sim::{GeminiSim, Limits, Project, SimBody};
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use bytes::Bytes;
//! use tower::{Service, ServiceExt};
//!
//! // The code under test, above any HTTP service.
//! async fn generate<S>(service: &mut S, text: &str) -> u32
//! where
//!     S: Service<Request<Full<Bytes>>, Response = Response<SimBody>>,
//!     S::Error: std::fmt::Debug,
//! {
//!     let mut refused = 0;
//!     loop {
//!         let body = serde_json::json!({ "contents": [{ "parts": [{ "text": text }] }] });
//!         let request = Request::post("/v1beta/models/gemini-2.5-flash:generateContent")
//!             .header("x-goog-api-key", "AIzaSy-test")
//!             .body(Full::from(body.to_string()))
//!             .unwrap();
//!         let response = service.ready().await.unwrap().call(request).await.unwrap();
//!         if response.status() != 429 {
//!             return refused;
//!         }
//!         refused += 1;
//!         let body = response.into_body().collect().await.unwrap().to_bytes();
//!         let error: serde_json::Value = serde_json::from_slice(&body).unwrap();
//!         let delay = error["error"]["details"][2]["retryDelay"].as_str().unwrap();
//!         let delay: f64 = delay.trim_end_matches('s').parse().unwrap();
//!         // The delay is in whole seconds, rounded down.
//!         tokio::time::sleep(Duration::from_secs_f64(delay + 1.0)).await;
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! // #[tokio::test(start_paused = true)]
//! let sim = GeminiSim::builder()
//!     .project(
//!         Project::new("projects/1")
//!             .limits(Limits::none().rpm(10))
//!             .key("AIzaSy-test"),
//!     )
//!     .wall("2026-11-20T12:00:00Z".parse().unwrap())
//!     .seed(7)
//!     .build();
//! let mut service = sim.service();
//!
//! let mut refused = 0;
//! for _ in 0..25 {
//!     refused += generate(&mut service, "hello").await;
//! }
//! assert_eq!(refused, 2, "one refusal per full window");
//! assert!(sim.elapsed() >= Duration::from_secs(120));
//!
//! // The oracle: the maximum number of requests accepted within any 60 seconds.
//! let log = sim.log();
//! let minute = Duration::from_secs(60);
//! assert_eq!(log.most_in_any(minute, |arrival| arrival.accepted), 10);
//! // And the number of requests over a limit, by key.
//! assert_eq!(sim.report().key("key-0").unwrap().over_limit, 2);
//! # }
//! ```
//!
//! ## Faults
//!
//! A [`Rule`](crate::Rule) is a [`Fault`](crate::Fault) and the requests that it applies to. Rules can be set at the
//! start ([`Builder::script`](crate::Builder::script)) or added later
//! ([`GeminiSim::script`](crate::GeminiSim::script)). They can have a time (`from`, `until`), a count (`skip`, `times`,
//! `nth`) and a probability.
//!
//! ```
//! use std::time::Duration;
//! use gemini_sim::{Canned, Fault, GeminiSim, Latency, Refusal, Rule};
//!
//! let seconds = Duration::from_secs;
//! let sim = GeminiSim::builder()
//!     .key("AIzaSy-first")
//!     .key("AIzaSy-second")
//!     .script([
//!         // The second key is suspended after half a minute.
//!         Rule::new(Fault::Refuse(Refusal::ConsumerSuspended)).key("key-1").from(seconds(30)),
//!         // For one request in ten, the model is overloaded.
//!         Rule::new(Fault::Refuse(Refusal::Overloaded)).probability(0.1),
//!         // The fifth stream breaks with an error in the middle.
//!         Rule::new(Fault::RawErrorAfter(2, Refusal::HighDemand)).path(":stream").nth(5),
//!         // Response heads are delayed.
//!         Rule::new(Fault::HeadLatency(Latency::Uniform(Duration::ZERO, Duration::from_millis(300)))),
//!         // One request is redirected.
//!         Rule::new(Fault::Canned(Canned::new(302).header("location", "/elsewhere"))).nth(40),
//!     ])
//!     .build();
//! # let _ = sim;
//! ```
//!
//! ## Testing a rate limiter
//!
//! Requests take time from their sender to the quota check. [`Builder::path_jitter`](crate::Builder::path_jitter)
//! delays each request by a random part of a maximum. Two requests that are sent a minute apart may then arrive less
//! than a minute apart, and [`Tally::over_limit`](crate::Tally::over_limit) shows that a limiter has no margin. To test
//! days, start the wall clock shortly before midnight in Los Angeles.
