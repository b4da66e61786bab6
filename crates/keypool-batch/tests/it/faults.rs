//! Faults of tasks, callers and the provider, and the error log.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use gemini_sim::{Canned, Fault, GeminiSim, Refusal, Rule};
use keypool_batch::{Batch, Client, ErrorLog, Input, InputFormat, Output, OutputOptions, RunOutcome};
use serde_json::json;

use crate::{MODEL, lines, paused, results_of, tasks};

/// A log that the test can read.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Lines {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn temporary_fault_is_retried_and_lasting_fault_fails() {
    for (refusal, times, ok) in [(Refusal::Overloaded, 3, true), (Refusal::Internal, 4, false)] {
        let rule = Rule::new(Fault::Refuse(refusal)).times(times);
        let (sim, client) = paused(GeminiSim::builder().script([rule]), 1);
        let (summary, results) = results_of(Batch::new(&client, MODEL), tasks(1)).await;
        assert_eq!(summary.ok, u64::from(ok), "{summary}");
        assert_eq!(sim.report().total.arrivals, 4);
        assert!(sim.elapsed() > Duration::from_millis(1_500), "retries back off: {:?}", sim.elapsed());
        if !ok {
            assert_eq!((&results[0]["error"]["kind"], &results[0]["attempts"]), (&json!("model_error"), &json!(4)));
            assert_eq!(results[0]["error"]["code"], "INTERNAL");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn run_waits_while_the_provider_refuses_the_address() {
    let body =
        json!({"error": {"code": 400, "status": "FAILED_PRECONDITION", "message": "User location is not supported."}});
    let rule = Rule::new(Fault::Canned(Canned::new(400).json(&body))).times(6);
    let (sim, client) = paused(GeminiSim::builder().script([rule]), 3);
    let (summary, results) = results_of(Batch::new(&client, MODEL), tasks(1)).await;
    assert_eq!((summary.ok, summary.failed), (1, 0), "{results:?}");
    assert_eq!(sim.report().total.arrivals, 7);
}

#[tokio::test(start_paused = true)]
async fn invalid_request_is_not_retried() {
    let rule = || [Rule::new(Fault::Refuse(Refusal::InvalidArgument)).times(1)];
    let (sim, client) = paused(GeminiSim::builder().script(rule()), 1);
    let (_, results) = results_of(Batch::new(&client, MODEL), tasks(1)).await;
    assert_eq!((&results[0]["error"]["kind"], sim.report().total.arrivals), (&json!("invalid"), 1));
    assert_eq!(results[0]["error"]["code"], "INVALID_ARGUMENT");
    let (_sim, client) = paused(GeminiSim::builder().script(rule()), 1);
    let (summary, _) = results_of(Batch::new(&client, MODEL).retry_invalid(), tasks(1)).await;
    assert_eq!(summary.ok, 1, "retry_invalid retries them");
}

#[tokio::test(start_paused = true)]
async fn unknown_model_fails_its_task() {
    let input = "{\"prompt\": \"a\", \"model\": \"no-such-model\"}\n{\"prompt\": \"b\", \"model\": \"a b?\"}\n\"c\"\n";
    let (_sim, client) = paused(GeminiSim::builder(), 4);
    let input = Input::read(input.as_bytes(), InputFormat::JsonLines).unwrap();
    let (summary, results) = results_of(Batch::new(&client, MODEL), input).await;
    assert_eq!((summary.ok, summary.failed), (1, 2), "{results:?}");
    assert_eq!(results[0]["error"]["kind"], "model_unavailable", "{}", results[0]);
    assert_eq!(results[0]["model"], "no-such-model");
}

#[tokio::test(start_paused = true)]
async fn missing_response_is_a_timeout_and_truncated_response_is_closed() {
    for (fault, kind) in [
        (Fault::Hang, "timeout"),
        (Fault::StallAfter(20), "timeout"),
        (Fault::ResetAfter(20), "closed"),
        (Fault::ResetBeforeHead, "closed"),
        (Fault::Canned(Canned::new(200).body("<html>")), "unreadable"),
        (Fault::Canned(Canned::new(200).body("[]")), "unreadable"),
    ] {
        let sim = crate::keyed(GeminiSim::builder().script([Rule::new(fault)]), 2, gemini_sim::Limits::none()).build();
        let pool = crate::pool("http://gemini-sim.invalid", 2).build().unwrap();
        let client = Client::builder(&pool).timeout(Duration::from_secs(30)).service(sim.service());
        let log = Lines::default();
        let batch = Batch::new(&client, MODEL).max_retries(1).error_log(ErrorLog::writer(log.clone()));
        let (_, results) = results_of(batch, tasks(1)).await;
        assert_eq!(results[0]["error"]["kind"], kind, "{}", results[0]);
        assert_eq!(results[0]["attempts"], 2, "{}", results[0]);
        assert_eq!(log.text().matches(&format!(": {kind}: ")).count(), 2, "{}", log.text());
    }
}

#[tokio::test(start_paused = true)]
async fn each_fault_is_a_line_in_the_error_log() {
    let log = Lines::default();
    let script = [
        Rule::new(Fault::Refuse(Refusal::Overloaded)).nth(1),
        Rule::new(Fault::Finish(gemini_sim::Finish::Empty)).nth(2),
        Rule::new(Fault::Canned(
            Canned::new(429).header("retry-after", "60").json(&json!({"error": {"status": "RESOURCE_EXHAUSTED"}})),
        ))
        .nth(3),
    ];
    let (_sim, client) = paused(GeminiSim::builder().script(script), 1);
    let batch = Batch::new(&client, MODEL).error_log(ErrorLog::writer(log.clone()));
    let (summary, _) = results_of(batch, tasks(1)).await;
    assert!(!summary.error_log_failed && summary.ok == 1, "{summary}");
    let text = log.text();
    let messages: Vec<&str> = text.lines().map(|line| line.split_once(" ERROR key k0 task 0: ").unwrap().1).collect();
    assert_eq!(
        messages,
        ["503 UNAVAILABLE", "empty: the answer is empty", "429 RESOURCE_EXHAUSTED (retry in 60s)"],
        "{text}"
    );
    assert!(text.lines().all(|line| line.starts_with("2026-11-20 ")), "{text}");
}

#[tokio::test(start_paused = true)]
async fn tasks_that_are_not_sent_are_lines_in_the_error_log() {
    let log = Lines::default();
    let input = "{}\n{\"prompt\": \"a\", \"model\": \"\"}\n{\"prompt\": \"b\", \"model\": \"gemini-2.5-pro\"}\n";
    let input = Input::read(input.as_bytes(), InputFormat::JsonLines).unwrap();
    let (_sim, client) = paused(GeminiSim::builder(), 1);
    let batch = Batch::new(&client, "").error_log(ErrorLog::writer(log.clone()));
    let (summary, results) = results_of(batch, input).await;
    assert_eq!((summary.ok, summary.failed), (1, 2), "{summary}");
    assert_eq!(results[1]["error"]["message"], "no model is set");
    let text = log.text();
    let mut messages: Vec<&str> = text.lines().map(|line| line.split_once(" ERROR task ").unwrap().1).collect();
    messages.sort_unstable();
    let input = "line 1: input: line 1: the task has none of `prompt`, `request`, `contents` and `messages`";
    assert_eq!(messages, ["1: invalid: no model is set", input], "{text}");
}

#[tokio::test(start_paused = true)]
async fn text_of_a_task_forges_no_line_of_the_error_log() {
    let log = Lines::default();
    let script = [Rule::new(Fault::Refuse(Refusal::Overloaded)).nth(1)];
    let (_sim, client) = paused(GeminiSim::builder().script(script), 1);
    let task = keypool_batch::Task::new("a").id("x\n2026-01-01 ERROR key k9\r\u{1b}[2J");
    let batch = Batch::new(&client, MODEL).error_log(ErrorLog::writer(log.clone()));
    results_of(batch, Input::tasks([task])).await;
    assert!(log.text().ends_with("task x 2026-01-01 ERROR key k9  [2J: 503 UNAVAILABLE\n"), "{:?}", log.text());
    assert_eq!(log.text().lines().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn run_ends_at_a_task_without_a_model_and_a_later_run_does_it() {
    let (_sim, client) = paused(GeminiSim::builder(), 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    for (model, done) in [("", 1), (MODEL, 2)] {
        let input = "{\"prompt\": \"a\", \"model\": \"gemini-2.5-pro\"}\n\"b\"\n\"c\"\n";
        let input = Input::read(input.as_bytes(), InputFormat::JsonLines).unwrap();
        let output = Output::file(&path, &OutputOptions::default()).unwrap();
        let summary = Batch::new(&client, model).run(input, output).await.unwrap();
        assert_eq!((summary.ok, summary.failed), (done, 0), "{summary}");
        let error = summary.input_error.unwrap_or_default();
        assert_eq!(error, if model.is_empty() { "line 2: the task has no model: use --model" } else { "" });
    }
    assert_eq!(lines(&path).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn unwritable_error_log_is_reported_and_the_run_continues() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (_sim, client) =
        paused(GeminiSim::builder().script([Rule::new(Fault::Refuse(Refusal::Overloaded)).times(1)]), 1);
    let (summary, _) = results_of(Batch::new(&client, MODEL).error_log(ErrorLog::writer(Full)), tasks(3)).await;
    assert!(summary.error_log_failed && summary.ok == 3, "{summary}");
}

#[tokio::test(start_paused = true)]
async fn run_to_a_wrong_address_ends_early() {
    for status in [200, 307, 404, 501] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let run = async |script: Option<Rule>| {
            let (sim, client) = paused(GeminiSim::builder().script(script), 4);
            let output = Output::file(&path, &OutputOptions::default()).unwrap();
            let batch = Batch::new(&client, MODEL).workers(4).max_retries(if status == 404 { 3 } else { 0 });
            (batch.run(tasks(1_000), output).await.unwrap(), sim.report().total.arrivals)
        };
        let page = Canned::new(status).header("content-type", "text/html").body("<html>");
        let (summary, arrivals) = run(Some(Rule::new(Fault::Canned(page)))).await;
        let RunOutcome::Refused { message } = &summary.outcome else { panic!("{status}: {summary}") };
        assert!(message.contains("the provider's address?"), "{message}");
        assert!(summary.failed < 20 && summary.left > 200 && arrivals < 20, "{summary}");
        assert_eq!(run(None).await.0.ok, 1_000, "{status}: the next run tries the failed tasks again");
    }

    let script = [Rule::new(Fault::Canned(Canned::new(200).body("<html>"))).skip(1)];
    let (_sim, client) = paused(GeminiSim::builder().script(script), 4);
    let (summary, _) = results_of(Batch::new(&client, MODEL).workers(1).max_retries(0), tasks(20)).await;
    assert_eq!((summary.ok, summary.failed), (1, 19), "after a success each failed task fails alone: {summary}");
}

/// A run ends whatever the response is, and does not send requests without pauses.
#[tokio::test(start_paused = true)]
async fn run_ends_after_few_requests_for_any_response() {
    let google = |status: &str| json!({ "error": { "status": status, "message": "no" } }).to_string();
    let statuses =
        [201, 204, 300, 301, 304, 400, 401, 402, 403, 404, 407, 408, 409, 413, 418, 422, 429, 451, 499, 500, 503, 529];
    for status in statuses {
        for body in [String::new(), "<html>".to_owned(), google("RESOURCE_EXHAUSTED"), google("PERMISSION_DENIED")] {
            for (keys, slots) in [(1, false), (4, false), (4, true)] {
                let canned = Canned::new(status).body(body.clone());
                let (sim, client) = paused(GeminiSim::builder().script([Rule::new(Fault::Canned(canned))]), keys);
                let mut batch = Batch::new(&client, MODEL).max_wait(Duration::from_secs(600));
                if slots {
                    batch = batch.slots(1, Duration::from_secs(1));
                }
                let summary = batch.run(tasks(3), keypool_batch::Output::writer(std::io::sink())).await.unwrap();
                let arrivals = sim.report().total.arrivals;
                assert_eq!(summary.ok, 0, "{status} {body}: {summary}");
                assert!(arrivals <= 400, "{status} {body}, {keys} keys: {arrivals} requests; {summary}");
                assert!(sim.elapsed() < Duration::from_secs(3 * 3_600), "{status}: {:?}", sim.elapsed());
            }
        }
    }
}
