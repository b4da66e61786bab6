//! Runs that cannot send: limits, exhausted days, no keys, no network.

use std::time::Duration;

use gemini_sim::{Canned, Fault, GeminiSim, Limits, Refusal, Rule};
use keypool_batch::{Batch, Client, Input, Output, Prompt, Run, RunOutcome, Task};
use serde_json::json;
use tower_keypool::KeyPoolBuilder;

use crate::{MODEL, paused, paused_with, pool, results_of, tasks};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);

fn sink() -> Output {
    Output::writer(std::io::sink())
}

fn per_day(requests: u64) -> impl FnOnce(KeyPoolBuilder) -> KeyPoolBuilder {
    move |pool| pool.limits(MODEL, tower_keypool::Limits::new().per_day(requests))
}

#[tokio::test(start_paused = true)]
async fn key_faults_do_not_count_as_retries() {
    let (sim, client) = paused_with(GeminiSim::builder(), 2, Limits::none().rpm(5), |pool| pool);
    let (summary, results) = results_of(Batch::new(&client, MODEL).max_retries(0), tasks(40)).await;
    assert_eq!((summary.ok, summary.failed), (40, 0), "{summary}");
    assert!(summary.key_faults > 0, "the limits are not known in advance: {summary}");
    assert!(results.iter().all(|result| result["attempts"].as_u64() > result["key_faults"].as_u64()));
    assert_eq!(summary.requests, sim.report().total.arrivals);
}

#[tokio::test(start_paused = true)]
async fn until_exhausted_ends_when_all_daily_limits_are_used_up() {
    // The daily limit is configured, or learned from refusals.
    let given: fn(KeyPoolBuilder) -> KeyPoolBuilder = |pool| per_day(10)(pool);
    let learned: fn(KeyPoolBuilder) -> KeyPoolBuilder = |pool| pool;
    for (pool_of, slots) in [(given, false), (learned, false), (given, true), (learned, true)] {
        let (sim, client) = paused_with(GeminiSim::builder(), 3, Limits::none().rpd(10), pool_of);
        let mut batch = Batch::new(&client, MODEL).until_exhausted();
        if slots {
            batch = batch.slots(1, SECOND);
        }
        let summary = batch.run(tasks(100), sink()).await.unwrap();
        let RunOutcome::Exhausted { seconds, message } = &summary.outcome else { panic!("{summary}") };
        // Noon in UTC is four in the morning in Los Angeles.
        assert!((19 * 3_600..=20 * 3_600 + 60).contains(seconds), "{seconds}");
        assert!(message.starts_with("no key is available for gemini-2.5-flash"), "{message}");
        assert_eq!((summary.ok, summary.failed, summary.left), (30, 0, 70), "slots {slots}: {summary}");
        assert_eq!(summary.requests, sim.report().total.arrivals, "requests of unfinished tasks count, too: {summary}");
        assert!(sim.elapsed() < 120 * SECOND, "{:?}", sim.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn run_waits_for_the_next_day_and_shows_it() {
    let (sim, client) = paused_with(GeminiSim::builder(), 2, Limits::none().rpd(10), per_day(10));
    let run = Batch::new(&client, MODEL).workers(2).start(tasks(30), sink()).unwrap();
    tokio::time::sleep(HOUR).await;
    let minutes_left = || {
        let waits_for = run.progress().waits_for.unwrap();
        let (why, left) = waits_for.split_once("; try again in ").unwrap();
        assert!(why.ends_with("2 daily limit used up"), "{waits_for}");
        let (hours, minutes) = left.trim_end_matches(" min").split_once(" h ").unwrap();
        60 * hours.parse::<u64>().unwrap() + minutes.parse::<u64>().unwrap()
    };
    let before = minutes_left();
    tokio::time::sleep(20 * 60 * SECOND).await;
    assert!((19..=21).contains(&(before - minutes_left())), "the remaining time is updated");
    let progress = run.progress();
    assert_eq!((progress.active, progress.ok), (0, 20), "{progress}");
    assert_eq!(progress.seconds_left(), None, "the rate so far says nothing about the wait");
    let summary = run.finish().await.unwrap();
    assert_eq!((summary.ok, &summary.outcome), (30, &RunOutcome::Finished), "{summary}");
    assert!(sim.elapsed() > 19 * HOUR && sim.elapsed() < 21 * HOUR, "{:?}", sim.elapsed());
    assert_eq!(sim.report().total.over_limit, 0);
}

#[tokio::test(start_paused = true)]
async fn full_minute_does_not_end_until_exhausted() {
    let limits = tower_keypool::Limits::new().per_minute(2).per_day(1_000);
    let (_sim, client) =
        paused_with(GeminiSim::builder(), 2, Limits::none().rpm(2).rpd(1_000), |pool| pool.limits(MODEL, limits));
    for slots in [false, true] {
        let mut batch = Batch::new(&client, MODEL).until_exhausted();
        if slots {
            batch = batch.slots(1, SECOND);
        }
        let summary = batch.run(tasks(10), sink()).await.unwrap();
        assert_eq!((summary.ok, &summary.outcome), (10, &RunOutcome::Finished), "{summary}");
    }
}

#[tokio::test(start_paused = true)]
async fn max_wait_is_counted_from_the_last_response() {
    for slots in [false, true] {
        let (sim, client) = paused_with(GeminiSim::builder(), 2, Limits::none().rpd(10), per_day(10));
        let mut batch = Batch::new(&client, MODEL).max_wait(600 * SECOND);
        if slots {
            batch = batch.slots(1, SECOND);
        }
        let summary = batch.run(tasks(30), sink()).await.unwrap();
        let RunOutcome::WaitedTooLong { message } = &summary.outcome else { panic!("{summary}") };
        assert!(message.contains(": 2 daily limit used up; try again in "), "{message}");
        assert_eq!((summary.ok, summary.failed, summary.left), (20, 0, 10));
        assert!((600..625).contains(&sim.elapsed().as_secs()), "{:?}", sim.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn max_wait_does_not_count_the_time_of_a_request() {
    let limits = tower_keypool::Limits::new().per_minute(1);
    let builder = GeminiSim::builder().latency(100 * SECOND);
    let (_sim, client) = paused_with(builder, 1, Limits::none(), |pool| pool.limits(MODEL, limits));
    let summary = Batch::new(&client, MODEL).max_wait(30 * SECOND).run(tasks(5), sink()).await.unwrap();
    assert_eq!(summary.ok, 5, "{summary}");
}

#[tokio::test(start_paused = true)]
async fn run_without_usable_keys_ends_and_fails_no_task() {
    for slots in [false, true] {
        let (sim, client) = paused(GeminiSim::builder(), 3);
        for key in 0..3 {
            sim.refuse_key(&format!("key-{key}"), Some(Refusal::ApiKeyInvalid));
        }
        let mut batch = Batch::new(&client, MODEL);
        if slots {
            batch = batch.slots(1, SECOND);
        }
        let summary = batch.run(tasks(30), sink()).await.unwrap();
        let RunOutcome::NoKeys { message } = &summary.outcome else { panic!("{summary}") };
        assert!(message.ends_with(": 3 disabled"), "{message}");
        assert_eq!((summary.ok, summary.failed, summary.left), (0, 0, 30), "{summary}");
    }
}

/// The pool then disables no key, since this may be an outage of the provider.
#[tokio::test(start_paused = true)]
async fn run_whose_keys_are_all_rejected_ends_and_says_why() {
    let rejected = Fault::Refuse(Refusal::ApiKeyInvalid);
    let unclear = Fault::Canned(Canned::new(401));
    for (keys, fault, why) in [(6, rejected, "key rejected"), (2, unclear, "unclear"), (2, no_credit(), "billing")] {
        for slots in [false, true] {
            let (_sim, client) = paused(GeminiSim::builder().script([Rule::new(fault.clone())]), keys);
            let mut batch = Batch::new(&client, MODEL);
            if slots {
                batch = batch.slots(1, SECOND);
            }
            let run = batch.run(tasks(30), sink());
            let summary = tokio::time::timeout(5 * 60 * SECOND, run).await.expect("the run ends").unwrap();
            let RunOutcome::NoKeys { message } = &summary.outcome else { panic!("{summary}") };
            assert!(message.contains(&format!(": {keys} cooling down ({why}); try again in ")), "{message}");
            assert_eq!((summary.ok, summary.failed, summary.left), (0, 0, 30), "{summary}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn refusal_beside_requests_that_succeed_ends_no_run() {
    let unclear = Rule::new(Fault::Canned(Canned::new(403))).times(1);
    let (_sim, client) =
        paused(GeminiSim::builder().script([unclear, Rule::new(Fault::HeadLatency(SECOND.into()))]), 1);
    let summary = Batch::new(&client, MODEL).run(tasks(40), sink()).await.unwrap();
    assert_eq!(summary.ok, 40, "{summary}");
}

/// OpenAI's response to a key whose credit is used up.
fn no_credit() -> Fault {
    Fault::Canned(Canned::new(429).json(&json!({ "error": { "code": "insufficient_quota" } })))
}

#[tokio::test(start_paused = true)]
async fn until_exhausted_ends_when_the_credit_of_all_keys_is_used_up() {
    let (_sim, client) = paused(GeminiSim::builder().script([Rule::new(no_credit()).skip(9)]), 2);
    let run = Batch::new(&client, MODEL).until_exhausted().run(tasks(30), sink());
    let summary = tokio::time::timeout(HOUR, run).await.expect("the run ends").unwrap();
    assert!(summary.ok == 9 && summary.to_string().contains("; the quota is used up: no key is "), "{summary}");
}

/// One key of ten, or of a hundred, is only overloaded or at a limit that the pool does not know.
#[tokio::test(start_paused = true)]
async fn run_waits_for_the_key_that_is_not_rejected() {
    let too_many = Canned::new(429).header("retry-after", "20");
    for (dead, fault) in [(9, Fault::Refuse(Refusal::Overloaded)), (95, Fault::Canned(too_many))] {
        for slots in [false, true] {
            let good = format!("key-{dead}");
            let script = [Rule::new(fault.clone()).key(&*good).until(20 * SECOND)];
            let (sim, client) = paused(GeminiSim::builder().script(script), dead + 1);
            for key in 0..dead {
                sim.refuse_key(&format!("key-{key}"), Some(Refusal::ApiKeyInvalid));
            }
            let mut batch = Batch::new(&client, MODEL).max_retries(100);
            if slots {
                batch = batch.slots(1, SECOND);
            }
            let summary = batch.run(tasks(30), sink()).await.unwrap();
            assert_eq!((summary.ok, summary.left), (30, 0), "{dead} dead keys, slots {slots}: {summary}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn run_without_any_key_ends() {
    // With slots, no worker starts. The second task does not fit into the queue.
    for slots in [false, true] {
        let sim = GeminiSim::builder().build();
        let pool = pool("http://gemini-sim.invalid", 0).allow_empty().build().unwrap();
        let mut batch = Batch::new(&Client::builder(&pool).service(sim.service()), MODEL);
        if slots {
            batch = batch.slots(1, SECOND);
        }
        let input = Input::tasks((0..2).map(|_| Task::new(&*"x".repeat(10 << 20))));
        let summary = tokio::time::timeout(HOUR, batch.run(input, sink())).await.expect("the run ends").unwrap();
        assert!(matches!(summary.outcome, RunOutcome::NoKeys { .. }), "slots {slots}: {summary}");
    }
}

async fn until(run: &Run, what: &str) {
    for _ in 0..1_200 {
        if run.progress().waits_for.is_some_and(|waits_for| waits_for.contains(what)) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{}", run.progress());
}

#[tokio::test]
async fn run_waits_for_an_unreachable_provider_and_shows_the_cause() {
    // It keeps the port, but does not listen.
    let closed = tokio::net::TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = closed.local_addr().unwrap().port();
    let client = Client::new(&pool(&format!("http://127.0.0.1:{port}"), 3).build().unwrap());
    let run = Batch::new(&client, MODEL).start(tasks(20), sink()).unwrap();
    until(&run, &format!("waiting for the network: connection refused at 127.0.0.1:{port}; next try in ")).await;
    assert_eq!((run.progress().failed, run.progress().ok), (0, 0));
    drop(closed);
    let sim = crate::keyed(GeminiSim::builder().port(port), 3, Limits::none()).start().await.unwrap();
    let summary = run.finish().await.unwrap();
    assert_eq!((summary.ok, summary.failed, &summary.outcome), (20, 0, &RunOutcome::Finished), "{summary}");
    assert_eq!(summary.requests, 20, "failed connections are not counted");
    assert_eq!(sim.report().total.arrivals, 20);
}

#[tokio::test]
async fn max_wait_ends_a_run_without_a_network() {
    let client = Client::new(&pool("http://127.0.0.1:9", 3).build().unwrap());
    let run = Batch::new(&client, MODEL).max_wait(2 * SECOND).start(tasks(20), sink()).unwrap();
    let summary = run.finish().await.unwrap();
    let RunOutcome::Unreachable { message } = &summary.outcome else { panic!("{summary}") };
    assert!(message.contains("connection refused at 127.0.0.1:9"), "{message}");
    assert_eq!((summary.failed, summary.left), (0, 20));
}

#[tokio::test(start_paused = true)]
async fn no_request_is_sent_at_the_end_of_max_wait() {
    let builder = GeminiSim::builder().script([Rule::new(page()), Rule::new(Fault::HeadLatency((SECOND / 10).into()))]);
    let (sim, client) = paused(builder, 1);
    let summary = Batch::new(&client, MODEL).max_wait(5 * SECOND).run(tasks(20), sink()).await.unwrap();
    let RunOutcome::Unreachable { message } = &summary.outcome else { panic!("{summary}") };
    assert!(message.contains("network: a web page (403 Forbidden) from http://gemini-sim.invalid"), "{message}");
    let tries = sim.report().total.arrivals - 20;
    assert!((1..=5).contains(&tries), "{tries} requests after the first of each task");
}

/// The page of a firewall.
fn page() -> Fault {
    Fault::Canned(Canned::new(403).header("content-type", "text/html").body("<html>You have been blocked</html>"))
}

/// The first answers are on their way when the outage begins.
#[tokio::test(start_paused = true)]
async fn short_outage_of_connections_or_of_a_page_fails_no_task() {
    for fault in [Fault::ResetBeforeHead, Fault::ResetAfter(20), page()] {
        let script = [Rule::new(fault).from(3 * SECOND).until(9 * SECOND)];
        let (sim, client) = paused(GeminiSim::builder().latency(SECOND).script(script), 4);
        let summary = Batch::new(&client, MODEL).workers(20).run(tasks(400), sink()).await.unwrap();
        assert_eq!((summary.ok, summary.failed), (400, 0), "{summary}");
        assert!(sim.report().total.arrivals < 480, "{} requests", sim.report().total.arrivals);
    }
}

#[tokio::test(start_paused = true)]
async fn long_overload_fails_no_task() {
    let script = [Rule::new(Fault::Refuse(Refusal::Overloaded)).from(3 * SECOND).until(HOUR)];
    let (_sim, client) = paused(GeminiSim::builder().latency(SECOND).script(script), 4);
    let summary = Batch::new(&client, MODEL).workers(20).run(tasks(200), sink()).await.unwrap();
    assert_eq!((summary.ok, summary.failed), (200, 0), "{summary}");
}

#[tokio::test(start_paused = true)]
async fn max_wait_ends_a_run_whose_connections_are_closed() {
    for (fault, why) in
        [(Fault::ResetBeforeHead, "waiting for the network"), (Fault::Refuse(Refusal::Overloaded), "cooling down")]
    {
        let (sim, client) = paused(GeminiSim::builder().script([Rule::new(fault)]), 2);
        let summary = Batch::new(&client, MODEL).max_wait(20 * SECOND).run(tasks(100), sink()).await.unwrap();
        let RunOutcome::Unreachable { message } = &summary.outcome else { panic!("{summary}") };
        assert!(message.contains(why), "{message}");
        assert_eq!((summary.failed, summary.left), (0, 100), "{summary}");
        assert!(sim.elapsed() < 40 * SECOND, "{:?}", sim.elapsed());
    }
}

/// A firewall refuses one prompt, and the provider answers all others.
#[tokio::test(start_paused = true)]
async fn prompt_that_always_gets_a_page_does_not_hang_the_run() {
    for slots in [false, true] {
        let script = [Rule::new(page()).model("gemini-2.5-pro")];
        let (sim, client) = paused(GeminiSim::builder().latency(SECOND).script(script), 4);
        let refused = Task::from(Prompt::text("x").model("gemini-2.5-pro"));
        let input = Input::tasks([refused].into_iter().chain((0..19).map(|_| Task::new("x"))));
        let mut batch = Batch::new(&client, MODEL).workers(2);
        if slots {
            batch = batch.slots(1, SECOND);
        }
        let summary = tokio::time::timeout(HOUR, batch.run(input, sink())).await.expect("the run ends").unwrap();
        assert_eq!((summary.ok, summary.errors.get("refused")), (19, Some(&1)), "{summary}");
        assert!(sim.elapsed() < 120 * SECOND, "{:?}", sim.elapsed());
    }
}

/// An image has fewer tokens than a quarter of its bytes.
fn image() -> Task {
    let data = json!({ "inlineData": { "mimeType": "image/png", "data": "QUJD".repeat(10_000) } });
    let request = json!({ "contents": [{ "role": "user", "parts": [data, { "text": "x" }] }] });
    Prompt::request(&request).unwrap().into()
}

#[tokio::test(start_paused = true)]
async fn image_waits_while_others_use_the_tokens_per_minute() {
    let id = "GenerateContentInputTokensPerModelPerMinute-FreeTier";
    let violations = json!([{ "quotaId": id, "quotaMetric": "input_token_count", "quotaValue": "1000" }]);
    let details = json!([{ "@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": violations }]);
    let body = json!({ "error": { "code": 429, "status": "RESOURCE_EXHAUSTED", "details": details } });
    let rule = Rule::new(Fault::Canned(Canned::new(429).json(&body))).until(200 * SECOND);
    let (sim, client) = paused(GeminiSim::builder().script([rule]), 1);
    let summary = Batch::new(&client, MODEL).run(Input::tasks([image()]), sink()).await.unwrap();
    assert_eq!((summary.ok, sim.report().total.arrivals > 2), (1, true), "{summary}");
}

/// The pool sends a prompt whose estimated tokens exceed a learned limit once the window is empty.
#[tokio::test(start_paused = true)]
async fn prompt_over_the_tokens_per_minute_is_refused() {
    for slots in [false, true] {
        let (sim, client) = paused_with(GeminiSim::builder(), 2, Limits::none().tpm(1_000), |pool| pool);
        let mut batch = Batch::new(&client, MODEL);
        if slots {
            batch = batch.slots(1, SECOND);
        }
        let mut prompts = ["one", &"word ".repeat(2_000)].map(Task::new).to_vec();
        prompts.extend((0..8).map(|_| image()));
        let run = results_of(batch, Input::tasks(prompts));
        let (summary, results) = tokio::time::timeout(HOUR, run).await.expect("the run ends");
        assert_eq!((summary.ok, summary.failed), (9, 1), "{summary}");
        let message = "the prompt has about 2500 tokens; the provider allows 1000 per minute";
        assert_eq!(results[1]["error"], json!({ "kind": "invalid", "message": message }));
        assert!(sim.elapsed() < 400 * SECOND, "{:?}", sim.elapsed());
    }
}
