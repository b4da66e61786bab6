//! Quotas: exact minutes, Pacific days, tokens, and the content of a 429.

use std::time::Duration;

use gemini_sim::{GeminiSim, Limits, Project, tokens_of_text};
use http::StatusCode;
use jiff::SignedDuration;

use crate::client::{MODEL, advance, ask, body, generate, prompt, send};

const OK: StatusCode = StatusCode::OK;
const FULL: StatusCode = StatusCode::TOO_MANY_REQUESTS;

fn project(limits: Limits) -> Project {
    Project::new("projects/1").limits(limits).key("a").key("b")
}

fn sim(limits: Limits) -> GeminiSim {
    GeminiSim::builder().project(project(limits)).build()
}

#[tokio::test(start_paused = true)]
async fn minute_is_a_sliding_window_of_the_project() {
    let sim = sim(Limits::none().rpm(2));
    assert_eq!(ask(&sim, "a").await.status, OK);
    advance(30.0).await;
    assert_eq!(ask(&sim, "b").await.status, OK);
    let refused = ask(&sim, "a").await;
    assert_eq!(refused.status, FULL);
    let message = refused.message();
    assert!(message.ends_with("\nPlease retry in 30s."), "{message}");
    advance(29.999).await;
    assert_eq!(ask(&sim, "b").await.status, FULL);
    advance(0.001).await;
    assert_eq!(ask(&sim, "b").await.status, OK);
    assert_eq!(ask(&sim, "b").await.status, FULL);
    let report = sim.report();
    assert_eq!(report.total.accepted, 3);
    assert_eq!(report.key("key-0").unwrap().over_limit, 1);
    assert_eq!(report.project("projects/1").unwrap().over_limit, 3);
}

#[tokio::test(start_paused = true)]
async fn limits_are_separate_for_each_model_and_project() {
    let other = Project::new("projects/2").limits(Limits::none().rpm(1)).key("c");
    let sim = GeminiSim::builder()
        .project(project(Limits::none().rpm(1)).limit("gemini-2.5-pro", Limits::none().rpm(2)))
        .project(other)
        .build();
    let ask_for = |model: &str, key: &str| {
        let request = generate(model).header("x-goog-api-key", key);
        send(&sim, request.body(body(&prompt("hello"))).unwrap())
    };
    assert_eq!(ask_for(MODEL, "a").await.status, OK);
    assert_eq!(ask_for(MODEL, "b").await.status, FULL);
    assert_eq!(ask_for(MODEL, "c").await.status, OK);
    assert_eq!(ask_for("gemini-2.5-pro", "a").await.status, OK);
    assert_eq!(ask_for("gemini-2.5-pro", "a").await.status, OK);
    assert_eq!(ask_for("gemini-2.5-pro", "a").await.status, FULL);
}

#[tokio::test(start_paused = true)]
async fn refused_requests_are_not_charged() {
    let sim = sim(Limits::none().rpm(2).tpm(10));
    let ask_with = |text: &str| {
        let request = generate(MODEL).header("x-goog-api-key", "a");
        send(&sim, request.body(body(&prompt(text))).unwrap())
    };
    assert_eq!(ask_with(&"x".repeat(36)).await.status, OK);
    // Nine of ten tokens are used; two more would exceed the limit.
    let refused = ask_with("12345678").await;
    assert_eq!(refused.status, FULL);
    assert!(refused.message().contains("input_token_count, limit: 10"));
    assert_eq!(ask_with("1234").await.status, OK);
    let refused = ask_with("12345678").await;
    assert!(refused.message().contains("token_count"), "both limits are full and named");
    assert!(refused.message().contains("free_tier_requests, limit: 2"));
    assert_eq!(sim.report().total.tokens, 10);
}

#[tokio::test(start_paused = true)]
async fn day_ends_at_midnight_in_los_angeles() {
    // The end of a day in winter and in summer, and the ends of the days with 23 and with 25 hours.
    for midnight in ["2026-01-15T08:00:00Z", "2026-07-15T07:00:00Z", "2026-03-09T07:00:00Z", "2026-11-02T08:00:00Z"] {
        let midnight: jiff::Timestamp = midnight.parse().unwrap();
        let sim = GeminiSim::builder()
            .project(project(Limits::none().rpd(1)))
            .wall(midnight - SignedDuration::from_secs(61))
            .build();
        assert_eq!(ask(&sim, "a").await.status, OK);
        advance(60.0).await;
        assert_eq!(ask(&sim, "a").await.status, FULL, "{midnight}");
        advance(1.0).await;
        assert_eq!(ask(&sim, "a").await.status, OK, "{midnight}");
        assert_eq!(ask(&sim, "a").await.status, FULL, "{midnight}");
    }
}

#[tokio::test(start_paused = true)]
async fn exhausted_day_names_a_short_delay_only_on_the_free_tier() {
    let wait = |tier| async move {
        let sim = GeminiSim::builder()
            .project(project(Limits::none().rpd(0).rpm(5).rpd(1)).tier(tier))
            .wall("2026-11-20T20:00:00Z".parse().unwrap())
            .build();
        ask(&sim, "a").await;
        let error = ask(&sim, "a").await.json();
        let delay = error["error"]["details"][2]["retryDelay"].clone();
        let delay = delay.as_str().unwrap().trim_end_matches('s').to_owned();
        delay.parse::<u64>().unwrap()
    };
    assert!(wait(gemini_sim::Tier::Free).await < 60);
    assert_eq!(wait(gemini_sim::Tier::Tier1).await, 12 * 3_600);
}

#[tokio::test(start_paused = true)]
async fn too_long_prompt_is_charged() {
    let small = gemini_sim::Model::generative(MODEL).input_limit(10);
    let sim = GeminiSim::builder().project(project(Limits::none().rpm(1))).model(small).build();
    let request = generate(MODEL).header("x-goog-api-key", "a");
    let long = prompt(&"x".repeat(44));
    let refused = send(&sim, request.body(body(&long)).unwrap()).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
    assert!(refused.message().ends_with("exceeds the maximum number of tokens allowed 10."), "{}", refused.text());
    assert_eq!(ask(&sim, "a").await.status, FULL);
}

#[tokio::test(start_paused = true)]
async fn path_jitter_stays_within_its_bound() {
    let bound = Duration::from_millis(200);
    let sim = GeminiSim::builder().project(project(Limits::none())).path_jitter(bound).build();
    let mut sent = Vec::new();
    for _ in 0..50 {
        sent.push(sim.elapsed());
        ask(&sim, "a").await;
        advance(1.0).await;
    }
    let log = sim.log();
    let ways: Vec<_> = log.iter().zip(&sent).map(|(a, sent)| a.at.checked_sub(*sent).unwrap()).collect();
    // tokio's timer has a resolution of one millisecond.
    assert!(ways.iter().all(|way| *way <= bound + Duration::from_millis(1)));
    let (least, most) = (ways.iter().min().unwrap(), ways.iter().max().unwrap());
    assert!(*most > *least + bound / 2, "{least:?} to {most:?}");
}

#[tokio::test(start_paused = true)]
async fn log_shows_requests_over_a_limit() {
    let sim = sim(Limits::none().rpm(3));
    for _ in 0..8 {
        ask(&sim, "a").await;
        advance(10.0).await;
    }
    let (log, minute) = (sim.log(), Duration::from_secs(60));
    assert_eq!(log.most_in_any(minute, |a| a.project == Some(0)), 6, "requests sent");
    assert_eq!(log.most_in_any(minute, |a| a.accepted), 3, "requests accepted");
    let tokens = 3 * tokens_of_text("hello");
    assert_eq!(log.most_tokens_in_any(minute, |a| a.accepted), tokens);
    assert_eq!(log.dropped(), 0);
}
