//! What a batch tells of its way: whom it waits for, what went wrong line by line, and how it went.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use gemini_sim::{Fault, Finish, GeminiSim, Limits, Refusal, Rule};
use serde_json::{Value, json};

use crate::batch::{Stage, secret};

/// Digits become `0`, many of them too.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    for character in line.chars() {
        let character = if character.is_ascii_digit() { '0' } else { character };
        if !(character == '0' && shape.ends_with('0')) {
            shape.push(character);
        }
    }
    shape
}

#[tokio::test(flavor = "multi_thread")]
async fn the_error_log_has_a_line_as_people_know_it() {
    let stage = Stage::new(GeminiSim::builder(), 3, Limits::none()).await.tasks(12);
    stage.sim.script(vec![Rule::new(Fault::Refuse(Refusal::Exhausted)).key(0).times(1)]);
    assert!(stage.sim.refuse_key(1, Some(Refusal::ConsumerSuspended)));
    let args = ["tasks.txt", "-o", "a.jsonl", "--error-log", "e.log", "--workers-per-key", "4"];
    let args = [&args[..], &["--rate-limit-per-slot", "0"]].concat();
    let ended = stage.run(&args).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let log = std::fs::read_to_string(stage.path("e.log")).unwrap();
    let shapes: Vec<String> = log.lines().map(shape).collect();
    for line in [
        "0-0-0 0:0:0 ERROR Slot 0 key k0 task 0: 0 RESOURCE_EXHAUSTED (retry in 0s)",
        "0-0-0 0:0:0 ERROR Slot 0 key k0 task 0: 0 CONSUMER_SUSPENDED (permanent)",
    ] {
        assert!(shapes.iter().any(|shape| shape == line), "{line}: {log}");
    }
    let limited = log.lines().find(|line| line.contains("RESOURCE_EXHAUSTED")).unwrap();
    assert!(limited.contains(" key k0 ") && limited.contains(": 429 "), "{limited}");
    let (date, rest) = limited.split_at("2026-01-15 10:30:45".len());
    assert!(rest.starts_with(" ERROR Slot ") && date.is_ascii(), "{limited}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_says_until_when_and_why() {
    let stage = Stage::new(GeminiSim::builder(), 1, Limits::none()).await.tasks(3);
    std::fs::write(stage.path("keys.txt"), format!("{} rpm=1\n", secret(0))).unwrap();
    let mut command = stage.command(&["tasks.txt", "-o", "a.jsonl", "--monitor-interval", "0.1"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let told = tokio::task::spawn_blocking(move || {
        let mut before = Vec::new();
        for line in lines.map_while(Result::ok) {
            if line.starts_with("waits ") {
                return Ok(line);
            }
            // Seconds of lines: nobody says it.
            before.push(line);
            if before.len() > 40 {
                break;
            }
        }
        Err(before)
    });
    let told = told.await.unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let line = told.unwrap_or_else(|before| panic!("{before:#?}"));
    assert!(
        line.contains(" s: all API keys have reached their rate limits for gemini-2.5-flash: 1 at requests/minute"),
        "{line}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_summary_tells_by_slot_key_model_and_error_in_words_and_as_json() {
    let stage = Stage::new(GeminiSim::builder(), 2, Limits::none()).await;
    std::fs::write(stage.path("keys.txt"), format!("{} id=k0 rpm=600\n{} id=k1 rpm=600\n", secret(0), secret(1)))
        .unwrap();
    let tasks = ["\"one\"", "{\"id\":\"b\",\"prompt\":\"two\",\"model\":\"gemini-2.5-pro\"}", "\"three\"", "\"four\""];
    std::fs::write(stage.path("t.jsonl"), tasks.join("\n")).unwrap();
    stage.sim.script(vec![Rule::new(Fault::Finish(Finish::Reason("SAFETY".into()))).times(1)]);
    let slots = ["--workers-per-key", "2", "--rate-limit-per-slot", "0.1", "--max-retries", "0"];
    let args = [&["t.jsonl", "-o", "a.jsonl", "--summary", "s.json"][..], &slots].concat();
    let ended = stage.run(&args).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    let told: Value = serde_json::from_str(&std::fs::read_to_string(stage.path("s.json")).unwrap()).unwrap();
    assert_eq!((&told["ended"], &told["ok"], &told["failed"]), (&json!("done"), &json!(3), &json!(1)), "{told:#}");
    assert_eq!(told["errors"], json!({ "blocked": 1 }));
    assert_eq!((&told["models"]["gemini-2.5-flash"], &told["models"]["gemini-2.5-pro"]), (&json!(3), &json!(1)));
    let sum = |of: &Value| match of {
        Value::Array(counts) => counts.iter().filter_map(Value::as_u64).sum::<u64>(),
        of => of.as_object().unwrap().values().filter_map(Value::as_u64).sum(),
    };
    assert_eq!((sum(&told["by_slot"]), told["by_slot"].as_array().unwrap().len(), sum(&told["keys"])), (4, 4, 4));
    // 2 × 600 a minute of each of two models, and four slots at ten a second.
    assert_eq!(told["possible_per_second"].as_f64(), Some(40.0));
    assert!(told["per_second"].as_f64() > Some(0.0));
    assert_eq!(told["estimated_by"], "list prices of 2025-07, not verified");
    for words in [
        "3 ok, 1 failed, 0 done before, 0 left",
        " a second of 40.00 possible",
        "\nerrors: blocked 1\n",
        "\nkeys: k0 2, k1 2\n",
        "\nmodels: gemini-2.5-flash 3, gemini-2.5-pro 1\n",
        "\nrequests by slot: 1 1 1 1\n",
    ] {
        assert!(ended.err.contains(words), "{words:?} is missing: {ended:?}");
    }
    // Another prompt under the same id is noticed.
    std::fs::write(stage.path("t.jsonl"), tasks.join("\n").replace("two", "too")).unwrap();
    let ended = stage.run(&[&args[..], &["--retry-failed"]].concat()).await;
    assert!(ended.code == 0 && ended.err.contains("changed since an earlier run, under the same id: 1"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_down_names_the_model_that_failed_and_the_next() {
    const PRO: &str = "gemini-2.5-pro";
    for (refusal, line) in [
        (Refusal::ModelNotFound, "0 MODEL_NOT_FOUND (gemini-0.0-pro failed, next gemini-0.0-flash)"),
        (Refusal::Exhausted, "0 RESOURCE_EXHAUSTED (retry in 0s; gemini-0.0-pro failed, next gemini-0.0-flash)"),
    ] {
        let stage = Stage::new(GeminiSim::builder(), 1, Limits::none()).await.tasks(12);
        stage.sim.script(Rule::new(Fault::Refuse(refusal.clone())).model(PRO));
        let args = ["tasks.txt", "--model", PRO, "--fallback", "gemini-2.5-pro,gemini-2.5-flash", "--concurrency", "1"];
        let ended = stage.run(&[&args[..], &["-o", "a.jsonl", "--error-log", "e.log"]].concat()).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(stage.results("a.jsonl").iter().all(|result| result["model"] == "gemini-2.5-flash"));
        let log = std::fs::read_to_string(stage.path("e.log")).unwrap();
        let shapes: Vec<String> = log.lines().map(shape).collect();
        let line = format!("0-0-0 0:0:0 ERROR Slot 0 key k0 task 0: {line}");
        assert!(shapes.contains(&line), "{refusal:?}: {line}: {log}");
        // Those that need not ask any more are told of once for all tasks.
        let unasked: Vec<_> = shapes.iter().filter(|shape| shape.contains(": no_key (")).collect();
        assert!(unasked.len() <= 1, "{log}");
        let none =
            "0-0-0 0:0:0 ERROR Slot 0 task 0: no_key (retry in 0s; gemini-0.0-pro failed, next gemini-0.0-flash)";
        assert!(unasked.iter().all(|shape| *shape == none), "{log}");
        assert!(refusal != Refusal::Exhausted || unasked.len() == 1, "{log}");

        let ended = stage
            .run(&[&args[..], &["-o", "b.jsonl", "--error-log", "e.json", "--error-log-format", "json"]].concat())
            .await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let told = stage.results("e.json");
        let step = |line: &Value| line["model"] == PRO && line["next_model"] == "gemini-2.5-flash";
        assert!(!told.is_empty() && told.iter().all(step), "{told:?}");
    }
}
