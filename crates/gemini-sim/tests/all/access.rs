//! Which credentials are accepted, and the responses to the others.

use gemini_sim::{Fault, GeminiSim, Key, Limits, Project, Refusal, Rule};
use http::StatusCode;

use crate::client::{Answer, MODEL, ask, body, generate, post, prompt, send};

fn sim() -> GeminiSim {
    GeminiSim::builder().project(Project::new("projects/77").limits(Limits::none().rpm(1)).key("k")).build()
}

async fn with(sim: &GeminiSim, headers: &[(&str, &str)], query: &str) -> Answer {
    let mut request = post(&format!("/v1beta/models/{MODEL}:generateContent{query}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(sim, request.body(body(&prompt("x"))).unwrap()).await
}

#[tokio::test]
async fn key_is_accepted_in_a_header_or_in_the_query() {
    assert_eq!(with(&sim(), &[("x-goog-api-key", "k")], "").await.status, StatusCode::OK);
    assert_eq!(with(&sim(), &[], "?key=k").await.status, StatusCode::OK);
}

#[tokio::test]
async fn other_credentials_are_refused() {
    let sim = sim();
    let bearer = ("authorization", "Bearer k");
    let header = ("x-goog-api-key", "k");
    let none = with(&sim, &[], "").await;
    assert_eq!(none.status, StatusCode::FORBIDDEN);
    assert!(none.message().contains("unregistered callers"));
    assert_eq!(with(&sim, &[("x-api-key", "k")], "").await.status, StatusCode::FORBIDDEN);
    let native_bearer = with(&sim, &[bearer], "").await;
    assert_eq!(native_bearer.status, StatusCode::UNAUTHORIZED);
    for twice in [
        with(&sim, &[header, bearer], "").await,
        with(&sim, &[header], "?key=k").await,
        with(&sim, &[header, header], "").await,
        with(&sim, &[header, ("openai-project", "p")], "").await,
        with(&sim, &[header], "?access_token=t").await,
    ] {
        assert_eq!(twice.status, StatusCode::BAD_REQUEST);
        assert!(twice.message().starts_with("Multiple authentication credentials"));
    }
    let unknown = with(&sim, &[("x-goog-api-key", "nobody's")], "").await;
    assert_eq!(unknown.json()["error"]["details"][0]["reason"], "API_KEY_INVALID");
    assert_eq!(sim.report().total.accepted, 0, "refused requests are not charged");
    assert_eq!(with(&sim, &[header], "").await.status, StatusCode::OK);
}

#[tokio::test]
async fn refused_key_is_reported_before_its_quota() {
    let sim = sim();
    assert_eq!(ask(&sim, "k").await.status, StatusCode::OK);
    assert_eq!(ask(&sim, "k").await.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(sim.refuse_key("key-0", Some(Refusal::ConsumerSuspended)));
    let refused = ask(&sim, "k").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let error = refused.json();
    let metadata = &error["error"]["details"][0]["metadata"];
    assert_eq!(metadata["consumer"], "projects/77");
    assert_eq!(metadata["containerInfo"], "api_key:k", "the real API shows the key");
    assert!(sim.refuse_key("key-0", None));
    assert_eq!(ask(&sim, "k").await.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(!sim.refuse_key("nobody", None));
}

#[tokio::test]
async fn keys_and_projects_can_be_refused_from_the_start() {
    let sim = GeminiSim::builder()
        .project(Project::new("1").key("good").key(Key::new("bad").refused(Refusal::KeyLeaked)))
        .project(Project::new("2").key("poor"))
        .script([Rule::new(Fault::Refuse(Refusal::PrepayDepleted)).project("2")])
        .build();
    assert_eq!(ask(&sim, "good").await.status, StatusCode::OK);
    assert_eq!(ask(&sim, "bad").await.status, StatusCode::FORBIDDEN);
    assert_eq!(ask(&sim, "poor").await.status, StatusCode::TOO_MANY_REQUESTS);
    let report = sim.report();
    assert_eq!(report.key("key-1").unwrap().rejected_as("key_leaked"), 1);
    assert_eq!(report.project("2").unwrap().rejected_as("prepay_depleted"), 1);
    assert_eq!(report.total.arrivals, 3);
}

#[tokio::test]
async fn reports_show_no_secret() {
    let secret = "AIzaSy-very-secret";
    let sim = GeminiSim::builder().key(secret).build();
    let request = generate(MODEL).header("x-goog-api-key", secret);
    send(&sim, request.body(body(&prompt("x"))).unwrap()).await;
    let shown = format!(
        "{:?} {:?} {} {sim:?} {:?} {:?}",
        sim.service(),
        sim.report(),
        sim.report().to_json(),
        sim.log(),
        Project::new("1").key(secret),
    );
    assert!(!shown.contains(secret), "{shown}");
    assert!(shown.contains("key-0"));
}
