//! Scripts: which requests a fault applies to, and its effect.

use std::io::Read as _;
use std::time::Duration;

use gemini_sim::{Builder, Canned, Fault, GeminiSim, Key, Latency, Project, Refusal, Rule, SimError};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};

use crate::client::{Answer, MODEL, advance, ask, body, generate, head, post, prompt, send, try_send};

fn builder() -> Builder {
    let key = |name: &str| Key::new(name).label(name);
    GeminiSim::builder().project(Project::new("1").key(key("a")).key(key("b"))).project(Project::new("2").key(key("c")))
}

fn stream(key: &str) -> Request<Full<bytes::Bytes>> {
    post(&format!("/v1beta/models/{MODEL}:streamGenerateContent?alt=sse"))
        .header("x-goog-api-key", key)
        .body(body(&prompt("x")))
        .unwrap()
}

fn plain(key: &str) -> Request<Full<bytes::Bytes>> {
    generate(MODEL).header("x-goog-api-key", key).body(body(&prompt("x"))).unwrap()
}

async fn statuses(sim: &GeminiSim, keys: &str) -> Vec<u16> {
    let mut found = Vec::new();
    for key in keys.chars() {
        found.push(ask(sim, &key.to_string()).await.status.as_u16());
    }
    found
}

#[tokio::test]
async fn rules_match_by_key_project_model_path_and_number() {
    let rule = || Rule::new(Fault::Refuse(Refusal::Overloaded));
    let table = [
        (rule(), [503, 503, 503, 503]),
        (rule().key("b"), [200, 503, 200, 503]),
        (rule().key("a"), [503, 200, 200, 200]),
        (rule().key("c"), [200, 200, 503, 200]),
        (rule().project("projects/2"), [200, 200, 503, 200]),
        (rule().model("other"), [200, 200, 200, 200]),
        (rule().path(":generate"), [503, 503, 503, 503]),
        (rule().path(":stream"), [200, 200, 200, 200]),
        (rule().nth(2), [200, 503, 200, 200]),
        (rule().skip(1).times(2), [200, 503, 503, 200]),
        (rule().project("1").skip(1), [200, 503, 200, 503]),
        (rule().probability(0.0), [200, 200, 200, 200]),
    ];
    for (rule, expected) in table {
        let shown = format!("{rule:?}");
        let sim = builder().script([rule]).build();
        assert_eq!(statuses(&sim, "abcb").await, expected, "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn rules_apply_in_their_time_range() {
    let sim = builder()
        .script([Rule::new(Fault::Refuse(Refusal::ConsumerSuspended))
            .from(Duration::from_secs(10))
            .until(Duration::from_secs(20))])
        .build();
    assert_eq!(statuses(&sim, "a").await, [200]);
    advance(10.0).await;
    assert_eq!(statuses(&sim, "a").await, [403]);
    advance(10.0).await;
    assert_eq!(statuses(&sim, "a").await, [200]);
    sim.script([Fault::Refuse(Refusal::Exhausted)]);
    assert_eq!(statuses(&sim, "ab").await, [429, 429]);
    sim.clear_script();
    assert_eq!(statuses(&sim, "a").await, [200]);
    assert_eq!(sim.report().total.over_limit, 0, "a scripted refusal is not over a limit");
}

#[tokio::test]
async fn probability_is_respected() {
    let rule = Rule::new(Fault::Refuse(Refusal::Internal)).probability(0.2);
    let sim = builder().script([rule]).seed(3).build();
    for _ in 0..1_000 {
        ask(&sim, "a").await;
    }
    let failed = sim.report().total.rejected_as("internal");
    assert!((150..250).contains(&failed), "{failed}");
}

#[tokio::test]
async fn model_failures_are_charged_and_refusals_are_not() {
    let charged = |fault: Fault| async {
        let sim = builder().script([fault]).build();
        let _ = try_send(&sim, plain("a")).await;
        sim.report().total.charged
    };
    assert_eq!(charged(Fault::Refuse(Refusal::Overloaded)).await, 1);
    assert_eq!(charged(Fault::ResetBeforeHead).await, 1);
    assert_eq!(charged(Fault::Canned(Canned::new(200))).await, 0);
    assert_eq!(charged(Fault::Refuse(Refusal::ApiKeyInvalid)).await, 0);
    assert_eq!(charged(Fault::Refuse(Refusal::AddressBlocked)).await, 0);
    assert_eq!(charged(Fault::Refuse(Refusal::Exhausted)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn connection_is_reset_before_and_after_the_first_byte() {
    let sim = builder().script([Rule::new(Fault::ResetBeforeHead).nth(1)]).build();
    assert_eq!(try_send(&sim, plain("a")).await.unwrap_err(), SimError::Reset);
    assert_eq!(sim.log().iter().next().unwrap().status, 0);

    sim.script([Rule::new(Fault::ResetAfter(10)).nth(1)]);
    let response = head(&sim, plain("a")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first.len(), 10);
    assert_eq!(body.frame().await.unwrap().unwrap_err(), SimError::Reset);
    assert!(body.frame().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn latency_applies_before_the_head_and_between_chunks() {
    let ms = Duration::from_millis;
    let sim = builder()
        .latency(ms(100))
        .chunk_latency(ms(10))
        .script([Rule::new(Fault::HeadLatency(Latency::Fixed(ms(50)))).key("a")])
        .build();
    let begin = sim.elapsed();
    let response = head(&sim, stream("a")).await.unwrap();
    assert_eq!(sim.elapsed(), begin + ms(150));
    response.into_body().collect().await.unwrap();
    assert_eq!(sim.elapsed(), begin + ms(190), "five chunks, four gaps");
    let begin = sim.elapsed();
    send(&sim, stream("b")).await;
    assert_eq!(sim.elapsed(), begin + ms(140));
}

#[tokio::test(start_paused = true)]
async fn hanging_and_stalled_responses_never_end() {
    let sim = builder().script([Rule::new(Fault::Hang).key("a")]).build();
    let minute = Duration::from_secs(60);
    assert!(tokio::time::timeout(minute, head(&sim, plain("a"))).await.is_err());
    sim.script([Rule::new(Fault::StallAfter(5)).key("b")]);
    let mut body = head(&sim, plain("b")).await.unwrap().into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap().len(), 5);
    assert!(tokio::time::timeout(minute, body.frame()).await.is_err());
}

#[tokio::test]
async fn errors_are_sent_within_a_200_stream() {
    let fails = |fault: Fault| async move {
        let sim = builder().script([fault]).build();
        let answer = send(&sim, stream("a")).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.headers["content-type"], "text/event-stream");
        answer.text().to_owned()
    };
    let first = fails(Fault::ErrorEventAfter(0, Refusal::Overloaded)).await;
    assert!(first.starts_with("data: {\"error\":{\"code\":503,"), "{first}");
    assert_eq!(first.matches("data:").count(), 1);
    let later = fails(Fault::ErrorEventAfter(2, Refusal::Internal)).await;
    assert_eq!(later.matches("data: {\"candidates\"").count(), 2);
    assert!(later.contains("\r\n\r\ndata: {\"error\":{\"code\":500,"), "{later}");
    let raw = fails(Fault::RawErrorAfter(1, Refusal::HighDemand)).await;
    let (event, tail) = raw.split_once("\r\n\r\n").unwrap();
    assert!(event.starts_with("data: "));
    let tail: serde_json::Value = serde_json::from_str(tail).expect("a bare object");
    assert_eq!(tail["error"]["status"], "UNAVAILABLE");
}

#[tokio::test]
async fn error_in_a_streamed_list_closes_the_list() {
    // If the error comes after all chunks, it replaces the last one, so that it closes the list.
    for (after, kept) in [(0, 0), (2, 2), (5, 4), (99, 4)] {
        let sim = builder().script([Fault::ErrorEventAfter(after, Refusal::Internal)]).build();
        let request = post(&format!("/v1beta/models/{MODEL}:streamGenerateContent"));
        let request = request.header("x-goog-api-key", "a").body(body(&prompt("x"))).unwrap();
        let list = send(&sim, request).await.json();
        assert_eq!(list.as_array().unwrap().len(), kept + 1);
        assert_eq!(list[kept]["error"]["code"], 500);
    }
}

#[tokio::test]
async fn scripts_can_echo_the_key() {
    let pad = "x".repeat(65_530);
    let sim = builder()
        .script([
            Rule::new(Fault::Canned(
                Canned::new(302).header("location", "https://elsewhere.test/?key={key}").body(format!("{pad}{{key}}!")),
            ))
            .key("a"),
            Rule::new(Fault::AnswerText("your key is {key}".into())).key("b"),
        ])
        .build();
    let canned = ask(&sim, "a").await;
    assert_eq!(canned.status, StatusCode::FOUND);
    assert_eq!(canned.headers["location"], "https://elsewhere.test/?key=a");
    assert_eq!(&canned.body[65_530..], b"a!");
    let answer = ask(&sim, "b").await;
    assert!(answer.text().contains("your key is b"));
}

fn inflate(answer: &Answer) -> String {
    let mut text = String::new();
    let mut decoder = flate2::read::GzDecoder::new(&answer.body[..]);
    decoder.read_to_string(&mut text).expect("gzip");
    text
}

#[tokio::test]
async fn truncated_body_ends_early() {
    let sim = builder().script([Rule::new(Fault::Truncate(30)).key("b")]).build();
    let cut = ask(&sim, "b").await;
    assert_eq!(cut.body.len(), 30);
    assert!(serde_json::from_slice::<serde_json::Value>(&cut.body).is_err());
}

#[tokio::test]
async fn gzip_is_used_only_if_accepted() {
    let sim = builder().build();
    let with = |coding: &str| {
        let mut request = stream("a");
        request.headers_mut().insert("accept-encoding", coding.parse().unwrap());
        send(&sim, request)
    };
    let zipped = with("br, gzip;q=0.5").await;
    assert_eq!(zipped.headers["content-encoding"], "gzip");
    assert_eq!(inflate(&zipped).matches("data: ").count(), 5);
    for coding in ["identity", "gzip;q=0", "br"] {
        assert!(!with(coding).await.headers.contains_key("content-encoding"), "{coding}");
    }
}

#[tokio::test]
async fn gzip_is_flushed_after_each_event() {
    let sim = builder().build();
    let mut request = stream("a");
    request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
    let mut body = head(&sim, request).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let mut decoder = flate2::read::GzDecoder::new(&first[..]);
    let mut text = vec![0; 6];
    decoder.read_exact(&mut text).unwrap();
    assert_eq!(text, b"data: ");
}
