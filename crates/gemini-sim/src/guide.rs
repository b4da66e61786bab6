//! # Testing your own service with gemini-sim under paused time
//!
//! Code that waits for quotas is slow to test against a clock on the wall: a
//! minute's window takes a minute. The service takes its time from
//! tokio, and tokio's clock can stand still: with
//! `#[tokio::test(start_paused = true)]` every sleep is skipped to its end as
//! soon as nothing else can run, and a day of waiting takes milliseconds. The
//! simulator's windows, latencies and expiries follow, and so does its wall
//! clock, from the start that [`Builder::wall`](crate::Builder::wall) gives it.
//!
//! (Over real sockets time cannot be paused: the kernel does not know that it
//! should hurry. Use HTTP for what only a socket can show: resets,
//! lengths, HTTP versions, clients in other languages.)
//!
//! ## A client that waits
//!
//! Make your service generic over the one below it, as tower services are, and
//! put [`GeminiSim::service`](crate::GeminiSim::service) where the HTTP client
//! would be. Here is a small client that sleeps as long as a 429 asks for, and
//! its test: 25 requests at ten a minute must take two minutes, and must never
//! once be refused after the first 429 has told it the delay.
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
//! // The code under test: any service that answers HTTP will do below it.
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
//! assert_eq!(refused, 2, "one refusal a full window");
//! assert!(sim.elapsed() >= Duration::from_secs(120));
//!
//! // The oracle: what was accepted in any 60 seconds, whatever their start.
//! let log = sim.log();
//! let minute = Duration::from_secs(60);
//! assert_eq!(log.most_in_any(minute, |arrival| arrival.accepted), 10);
//! // And the charge sheet: what was sent over a limit, by key.
//! assert_eq!(sim.report().key("key-0").unwrap().over_limit, 2);
//! # }
//! ```
//!
//! ## Things that go wrong
//!
//! A [`Rule`](crate::Rule) is a [`Fault`](crate::Fault) and the requests it is
//! for. Rules can be there from the start ([`Builder::script`](crate::Builder::script)),
//! join later ([`GeminiSim::script`](crate::GeminiSim::script)), have a time
//! (`from`, `until`), a count (`skip`, `times`, `nth`) and a probability.
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
//!         // One request in ten finds the model overloaded.
//!         Rule::new(Fault::Refuse(Refusal::Overloaded)).probability(0.1),
//!         // The fifth stream breaks with an error in the middle.
//!         Rule::new(Fault::RawErrorAfter(2, Refusal::HighDemand)).path(":stream").nth(5),
//!         // Heads take a while.
//!         Rule::new(Fault::HeadLatency(Latency::Uniform(Duration::ZERO, Duration::from_millis(300)))),
//!         // And once the provider sends someone elsewhere.
//!         Rule::new(Fault::Canned(Canned::new(302).header("location", "/elsewhere"))).nth(40),
//!     ])
//!     .build();
//! # let _ = sim;
//! ```
//!
//! ## Judging a rate limiter
//!
//! Requests take time from their sender to the quota check.
//! [`Builder::path_jitter`](crate::Builder::path_jitter) gives each a random
//! part of a bound, so that two sent a minute apart may arrive less than a
//! minute apart: a limiter without a margin is convicted by
//! [`Tally::over_limit`](crate::Tally::over_limit). Days are tested by starting
//! the wall clock shortly before midnight in Los Angeles.
