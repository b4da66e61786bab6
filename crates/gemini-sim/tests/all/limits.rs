//! Quotas: exact minutes, Pacific days, tokens, and what a 429 says.

use gemini_sim::{GeminiSim, Limits, Project};
use http::StatusCode;

use crate::client::{MODEL, advance, ask, body, generate, prompt, send_http};

fn sim(limits: Limits) -> GeminiSim {
    let project = Project::new("projects/1").limits(limits).key("a").key("b");
    GeminiSim::builder().project(project).build()
}

#[tokio::test(start_paused = true)]
async fn a_minute_slides_and_belongs_to_the_project() {
    let sim = sim(Limits::none().rpm(2));
    assert_eq!(ask(&sim, "a").await.status, StatusCode::OK);
    advance(30.0).await;
    assert_eq!(ask(&sim, "b").await.status, StatusCode::OK);
    let refused = ask(&sim, "a").await;
    assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(
        refused.message().ends_with("\nPlease retry in 30s."),
        "{}",
        refused.text()
    );
    advance(29.999).await;
    assert_eq!(ask(&sim, "b").await.status, StatusCode::TOO_MANY_REQUESTS);
    advance(0.001).await;
    assert_eq!(ask(&sim, "b").await.status, StatusCode::OK);
    assert_eq!(ask(&sim, "b").await.status, StatusCode::TOO_MANY_REQUESTS);
    let report = sim.report();
    assert_eq!(report.total.accepted, 3);
    assert_eq!(report.key("key-0").unwrap().over_limit, 1);
    assert_eq!(report.project("projects/1").unwrap().over_limit, 3);
}

#[tokio::test]
async fn the_same_over_http() {
    let project = Project::new("1").limits(Limits::none().rpm(1)).key("a");
    let sim = GeminiSim::builder().project(project).start().await.unwrap();
    let ask = || {
        let request = generate(MODEL).header("x-goog-api-key", "a");
        send_http(&sim, request.body(body(&prompt("hello"))).unwrap())
    };
    let first = ask().await.unwrap();
    assert_eq!(first.status, StatusCode::OK, "{}", first.text());
    assert_eq!(ask().await.unwrap().status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(sim.shutdown().await.report().total.arrivals, 2);
}
