//! The content of results, and which of them are successes.

use gemini_sim::{Canned, Fault, Finish, GeminiSim, Rule};
use keypool_batch::{Batch, Input, PromptOptions, RunOutcome, Task};
use serde_json::{Value, json};

use crate::{MODEL, paused, results_of, tasks};

fn candidate(text: &str, reason: &str) -> Rule {
    let body = json!({
        "candidates": [{ "content": { "role": "model", "parts": [{ "text": text }] }, "finishReason": reason }],
        "usageMetadata": { "promptTokenCount": 3, "candidatesTokenCount": 5, "thoughtsTokenCount": 2 },
        "modelVersion": "gemini-2.5-flash",
    });
    Rule::new(Fault::Canned(Canned::new(200).json(&body)))
}

#[tokio::test(start_paused = true)]
async fn result_has_all_fields() {
    let (_sim, client) = paused(GeminiSim::builder().script([candidate("Rhine", "STOP")]), 1);
    let task = Task::new("Name a river.").id("river").field("topic", json!({ "n": 1 }));
    let (summary, results) = results_of(Batch::new(&client, MODEL), Input::tasks([task])).await;
    let mut result = results[0].clone();
    assert!(result["hash"].as_str().is_some_and(|hash| hash.len() == 16));
    assert!(result["seconds"].is_number());
    let fields = result.as_object_mut().unwrap();
    fields.remove("hash");
    fields.remove("seconds");
    assert_eq!(
        result,
        json!({
            "id": "river", "index": 0, "success": true, "text": "Rhine", "key_id": "k0", "model": MODEL, "attempts": 1,
            "key_faults": 0, "usage": { "input_tokens": 3, "output_tokens": 7 }, "finish_reason": "STOP",
            "task": { "topic": { "n": 1 } },
        })
    );
    assert_eq!((summary.ok, summary.requests, summary.input_tokens, summary.output_tokens), (1, 1, 3, 7));
    assert_eq!(summary.outcome, RunOutcome::Finished);
}

#[tokio::test(start_paused = true)]
async fn result_is_one_line_whatever_the_fields_of_a_task() {
    let value = serde_json::value::RawValue::from_string("{\n \"n\": 1\n}".to_owned()).unwrap();
    let task = Task::new("Name a river.").field("own", value);
    let (_sim, client) = paused(GeminiSim::builder(), 1);
    let (_, results) = results_of(Batch::new(&client, MODEL), Input::tasks([task])).await;
    assert_eq!(results[0]["task"], json!({ "own": { "n": 1 } }));
}

#[tokio::test(start_paused = true)]
async fn truncated_response_is_a_failure_with_its_text() {
    let (sim, client) = paused(GeminiSim::builder().script([candidate("The Rhine is", "MAX_TOKENS")]), 1);
    let (summary, results) = results_of(Batch::new(&client, MODEL), tasks(1)).await;
    let result = &results[0];
    assert_eq!((&result["success"], &result["text"]), (&json!(false), &json!("The Rhine is")), "{result}");
    assert_eq!(result["error"]["kind"], "max_tokens");
    assert!(result["error"]["message"].as_str().unwrap().contains("max_output_tokens"), "{result}");
    assert_eq!((summary.failed, sim.report().total.arrivals), (1, 1), "a truncated response is not retried");
}

#[tokio::test(start_paused = true)]
async fn truncated_json_is_not_repaired() {
    let (_sim, client) = paused(GeminiSim::builder().script([candidate(r#"{"a": [1, 2"#, "MAX_TOKENS")]), 1);
    let schema = json!({ "type": "object", "required": ["a"] });
    for batch in [Batch::new(&client, MODEL).parse_json(), Batch::new(&client, MODEL).json_schema(schema).unwrap()] {
        let (_, results) = results_of(batch, tasks(1)).await;
        assert_eq!((&results[0]["success"], &results[0]["error"]["kind"]), (&json!(false), &json!("max_tokens")));
        assert_eq!((&results[0]["text"], results[0].get("json")), (&json!(r#"{"a": [1, 2"#), None));
    }
}

#[tokio::test(start_paused = true)]
async fn later_run_retries_truncated_responses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let (_sim, client) = paused(GeminiSim::builder().script([candidate("The", "MAX_TOKENS").times(1)]), 1);
    let all = crate::run_to(&client, tasks(1), &path, keypool_batch::OutputOptions::default()).await;
    assert_eq!(all.failed, 1);
    let retry = keypool_batch::OutputOptions { retry_failed: true, ..Default::default() };
    let all = crate::run_to(&client, tasks(1), &path, retry).await;
    assert_eq!((all.ok, all.skipped), (1, 0), "the last line counts");
    let all = crate::run_to(&client, tasks(1), &path, retry).await;
    assert_eq!((all.ok, all.skipped, all.skipped_failed), (0, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn blocked_and_empty_responses_are_retried_and_then_fail() {
    for (finish, kind, reason) in [
        (Finish::Reason("SAFETY".to_owned()), "blocked", "SAFETY"),
        (Finish::PromptBlocked("PROHIBITED_CONTENT".to_owned()), "blocked", "PROHIBITED_CONTENT"),
        (Finish::Empty, "empty", "STOP"),
        (Finish::Reason("MALFORMED_FUNCTION_CALL".to_owned()), "unfinished", "MALFORMED_FUNCTION_CALL"),
        // A text may repeat the key.
        (Finish::Reason(crate::secret(0)), "unfinished", "an unknown reason"),
        (Finish::PromptBlocked(crate::secret(0)), "blocked", "an unknown reason"),
    ] {
        let (sim, client) = paused(GeminiSim::builder().script([Rule::new(Fault::Finish(finish))]), 1);
        let (_, results) = results_of(Batch::new(&client, MODEL).max_retries(2), tasks(1)).await;
        let result = &results[0];
        assert_eq!((&result["success"], &result["error"]["kind"]), (&json!(false), &json!(kind)), "{result}");
        assert_eq!((&result["finish_reason"], &result["attempts"]), (&json!(reason), &json!(3)), "{result}");
        assert_eq!(sim.report().total.arrivals, 3, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn json_is_found_and_validated_and_keeps_its_digits() {
    let text = "Sure:\n```json\n{\"price\": 1.10, \"id\": 12345678901234567890123}\n```";
    let (_sim, client) = paused(GeminiSim::builder().script([candidate(text, "STOP")]), 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let output = keypool_batch::Output::file(&path, &keypool_batch::OutputOptions::default()).unwrap();
    Batch::new(&client, MODEL).parse_json().run(tasks(1), output).await.unwrap();
    let line = std::fs::read_to_string(&path).unwrap();
    assert!(line.contains(r#""json":{"price":1.10,"id":12345678901234567890123}"#), "{line}");

    let schema = json!({ "type": "object", "properties": { "price": { "type": "string" } } });
    let batch = Batch::new(&client, MODEL).max_retries(1).json_schema(schema).unwrap();
    let (_, results) = results_of(batch, tasks(1)).await;
    assert_eq!(results[0]["error"]["kind"], "schema");
    // The message does not repeat the answer, which may be long and private.
    assert_eq!(results[0]["error"]["message"], "/price: value is not of type \"string\"");
    assert_eq!((&results[0]["attempts"], &results[0]["text"]), (&json!(2), &json!(text)), "the received text is kept");
}

#[tokio::test(start_paused = true)]
async fn json_output_is_requested_from_the_provider() {
    let (sim, client) = paused(GeminiSim::builder(), 1);
    let batch = Batch::new(&client, MODEL).max_retries(0).json_schema(json!({ "type": "object" })).unwrap();
    results_of(batch, tasks(1)).await;
    // The simulator refuses a request whose schema it cannot read.
    assert_eq!(sim.report().total.accepted, 1, "{}", sim.report().to_json());
    assert!(Batch::new(&client, MODEL).json_schema(json!({ "type": 7 })).is_err());
}

#[tokio::test(start_paused = true)]
async fn invalid_numbers_are_errors() {
    for bad in [f64::NAN, f64::INFINITY, -1.0] {
        let (_sim, client) = paused(GeminiSim::builder(), 1);
        let batch = Batch::new(&client, MODEL).options(PromptOptions::new().temperature(bad));
        assert!(batch.run(tasks(1), keypool_batch::Output::writer(std::io::sink())).await.is_err(), "{bad}");
        assert!(client.send(&keypool_batch::Prompt::text("x").model(MODEL).temperature(bad)).await.is_err(), "{bad}");
    }
    let (_sim, client) = paused(GeminiSim::builder(), 1);
    let sink = || keypool_batch::Output::writer(std::io::sink());
    let year = std::time::Duration::from_secs(400 * 86_400);
    for batch in [
        Batch::new(&client, MODEL).workers(0),
        Batch::new(&client, MODEL).slots(0, std::time::Duration::ZERO),
        Batch::new(&client, MODEL).slots(1, year),
        Batch::new(&client, MODEL).options(PromptOptions::new().max_output_tokens(0)),
    ] {
        assert!(batch.run(tasks(1), sink()).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn function_calls_are_kept() {
    let call = json!({ "functionCall": { "name": "read", "args": { "path": "a" } } });
    let body = json!({ "candidates": [{ "content": { "parts": [call] }, "finishReason": "STOP" }] });
    let rule = Rule::new(Fault::Canned(Canned::new(200).json(&body)));
    let (_sim, client) = paused(GeminiSim::builder().script([rule]), 1);
    let (_, results) = results_of(Batch::new(&client, MODEL), tasks(1)).await;
    assert_eq!((&results[0]["success"], &results[0]["parts"]), (&json!(true), &Value::from(vec![call])));
}
