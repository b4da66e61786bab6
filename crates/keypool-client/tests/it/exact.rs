//! Numbers that no machine has, and numbers in a form of their own: they come out as they went in.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use gemini_sim::{AnswerText, GeminiSim};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use keypool_client::{
    Client,
    batch::{Batch, Output, OutputOptions, Task, TaskResult},
};
use serde_json::json;
use tower_keypool::{BoxError, Clock, KeyPool, Models, OpenAi, ReplayBody};

use crate::{provider, stage};

const NUMBERS: [&str; 6] = ["12345678901234567890123", "1.10", "1e400", "-0", "[0.10000000000000000555]", "1E5"];

async fn only(batch: Batch, task: Task) -> TaskResult {
    batch.run([task]).next().await.expect("a result")
}

#[tokio::test(start_paused = true)]
async fn a_tasks_own_fields_keep_every_digit() {
    for number in NUMBERS {
        let task =
            Task::from_json(&format!("{{ \"prompt\": \"x\", \"deep\": {{ \"n\": {number} }}, \"n\": {number} }}"));
        let task = task.unwrap_or_else(|error| panic!("{number} is refused: {error}"));
        let (_sim, client) = stage::paused(GeminiSim::builder(), 1, |pool| pool);
        let line = serde_json::to_string(&only(Batch::new(client), task).await).unwrap();
        assert!(line.contains(&format!("\"task\":{{\"deep\":{{\"n\":{number}}},\"n\":{number}}}")), "{number}: {line}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_is_what_it_was() {
    for id in ["-5", "1.50", "1e400", "12345678901234567890123", "-0", "0", "17", "\"017\"", "\"-5\"", "\"\""] {
        let task = Task::from_json(&format!("{{\"id\": {id}, \"prompt\": \"x\"}}")).unwrap();
        let (_sim, client) = stage::paused(GeminiSim::builder(), 1, |pool| pool);
        let line = serde_json::to_string(&only(Batch::new(client), task).await).unwrap();
        assert!(line.starts_with(&format!("{{\"id\":{id},")), "{id}: {line}");
    }
    for wrong in ["true", "[1]", "{\"a\":1}"] {
        let error = Task::from_json(&format!("{{\"id\": {wrong}, \"prompt\": \"x\"}}")).unwrap_err();
        assert_eq!(error.to_string(), "its id is neither a text nor a number");
    }
}

/// A run that is taken up again knows its tasks by the ids that stand in the output.
#[tokio::test(start_paused = true)]
async fn an_id_that_is_no_whole_number_is_known_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let ids = ["-5", "1.50", "1.5", "1e400", "-0", "\"a\""];
    for arrivals in [ids.len() as u64, 0] {
        let tasks = ids.map(|id| Task::from_json(&format!("{{\"id\": {id}, \"prompt\": \"x\"}}")).unwrap());
        let (sim, client) = stage::paused(GeminiSim::builder(), 1, |pool| pool);
        let output = Output::open(&path, &OutputOptions::default()).unwrap();
        Batch::new(client).output(output).run(tasks).finish().await;
        assert_eq!(sim.report().total.arrivals, arrivals);
    }
    let written = std::fs::read_to_string(&path).unwrap();
    for id in ids {
        assert_eq!(written.matches(&format!("{{\"id\":{id},")).count(), 1, "{id}: {written}");
    }
}

#[tokio::test(start_paused = true)]
async fn json_that_was_repaired_keeps_every_digit() {
    for number in NUMBERS {
        for text in [
            format!("{{'n': {number},}}"),
            format!("Sure!\n```json\n{{\"n\": {number}, // so many\n}}\n```"),
            format!("{{\"n\": {number}"),
            // These were not broken.
            format!("{{\"n\": {number}}}"),
            format!("It is {{\"n\": {number}}}."),
        ] {
            let builder = GeminiSim::builder().answer(AnswerText::Fixed(text.clone()));
            let (_sim, client) = stage::paused(builder, 1, |pool| pool);
            // A whole request, which does not ask the simulator for JSON: that would get it.
            let task = Task::from_json(r#"{"contents": [{"parts": [{"text": "hello"}]}]}"#).unwrap();
            let line = serde_json::to_string(&only(Batch::new(client).parse_json(), task).await).unwrap();
            assert!(line.contains(&format!("\"json\":{{\"n\":{number}}}")), "{text}: {line}");
        }
    }
}

/// What was sent.
type Sent = Arc<Mutex<Vec<String>>>;

/// A client over a provider that always answers with this.
fn client(pool: &KeyPool, models: Models, answer: &'static str) -> (Client, Sent) {
    let sent = Sent::default();
    let kept = Arc::clone(&sent);
    let transport = tower::service_fn(move |request: Request<ReplayBody<Full<Bytes>>>| {
        let kept = Arc::clone(&kept);
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            kept.lock().unwrap().push(String::from_utf8(body.to_vec()).unwrap());
            let answer = Full::<Bytes>::from(answer);
            Ok::<_, BoxError>(Response::builder().header("content-type", "application/json").body(answer).unwrap())
        }
    });
    (Client::builder(pool).transport(transport).fallback(models).build(), sent)
}

#[tokio::test(start_paused = true)]
async fn a_whole_request_goes_out_and_calls_come_back_as_they_were() {
    const ANSWER: &str = r#"{"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {"n": 12345678901234567890123}}}]}}]}"#;
    let pool = provider::pool(provider::keys(1)).build().unwrap();
    let (client, sent) = client(&pool, Models::new(), ANSWER);
    let returned = "{\"functionResponse\":{\"name\":\"f\",\"response\":{\"n\":12345678901234567890123,\"x\":1e400}}}";
    let task = format!(
        "{{\"contents\": [{{\"parts\": [{returned}]}}], \"generationConfig\": {{\"topP\": 0.90}}, \"note\": 1.10}}"
    );
    let batch = Batch::new(client).system("be brief");
    let line = serde_json::to_string(&only(batch, Task::from_json(&task).unwrap()).await).unwrap();
    assert!(line.contains("\"args\":{\"n\":12345678901234567890123}") && line.contains("\"note\":1.10"), "{line}");
    let sent = sent.lock().unwrap();
    assert!(sent[0].contains(returned) && sent[0].contains("\"topP\":0.90"), "{sent:?}");
    assert!(sent[0].contains("\"temperature\":1.0") && sent[0].contains("be brief"), "{sent:?}");
}

#[tokio::test(start_paused = true)]
async fn another_model_gets_the_same_digits() {
    const ANSWER: &str = r#"{"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]}"#;
    let wall = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_781_550_000);
    let pool = KeyPool::builder(OpenAi::at("http://provider.invalid/v1").unwrap()).keys(provider::keys(1));
    let pool =
        pool.limits("best", tower_keypool::Limits::new().per_day(0)).clock(Clock::tokio_from(wall)).build().unwrap();
    let (client, sent) = client(&pool, Models::new().for_all(["best", "second"]), ANSWER);
    let request = json!({ "model": "best" }).to_string();
    let task = request.replace('}', ", \"messages\": [{\"role\": \"user\", \"content\": \"x\", \"n\": 1e400}]}");
    let batch = Batch::new(client).model("best").system("be brief");
    let result = only(batch, Task::from_json(&task).unwrap()).await;
    let sent = sent.lock().unwrap();
    assert!(result.success && sent[0].contains("\"n\":1e400") && sent[0].contains("be brief"), "{result:?} {sent:?}");
    assert!(sent[0].contains("\"model\":\"second\""), "{sent:?}");
}
