//! Execution of a run: workers, slots, stop, panics, progress.

use std::{collections::BTreeMap, time::Duration};

use gemini_sim::{Fault, GeminiSim, Latency, Limits, Rule};
use keypool_batch::{Batch, Client, Input, Output, RunOutcome, Task};
use tower_keypool::BoxError;

use crate::{MODEL, lines, paused, paused_with, pool, results_of, tasks};

const SECOND: Duration = Duration::from_secs(1);

fn sink() -> Output {
    Output::writer(std::io::sink())
}

#[tokio::test(start_paused = true)]
async fn number_of_requests_is_limited_by_the_workers() {
    let (sim, client) = paused(GeminiSim::builder().latency(SECOND), 4);
    let summary = Batch::new(&client, MODEL).workers(5).run(tasks(50), sink()).await.unwrap();
    assert_eq!(summary.ok, 50);
    let took = sim.elapsed();
    assert!((10.0..10.2).contains(&took.as_secs_f64()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn slot_waits_for_its_interval_between_requests() {
    let (sim, client) = paused(GeminiSim::builder().latency(Duration::from_millis(300)), 3);
    let batch = Batch::new(&client, MODEL).slots(2, SECOND);
    let summary = batch.run(tasks(60), sink()).await.unwrap();
    assert_eq!(summary.ok, 60);
    // 6 slots with 10 requests each: 9 intervals and the last response.
    let took = sim.elapsed();
    assert!((9.3..9.4).contains(&took.as_secs_f64()), "{took:?}");
    let log = sim.log();
    assert_eq!(log.most_in_any(Duration::from_millis(900), |_| true), 6);
    let mut keys = BTreeMap::new();
    for arrival in log.iter() {
        *keys.entry(arrival.key).or_insert(0) += 1;
    }
    assert!(keys.values().all(|count| *count == 20), "the keys are used equally: {keys:?}");
}

#[tokio::test(start_paused = true)]
async fn task_of_a_slot_with_an_invalid_key_moves_to_another_slot() {
    let (sim, client) = paused(GeminiSim::builder(), 3);
    sim.refuse_key("key-0", Some(gemini_sim::Refusal::ApiKeyInvalid));
    let (summary, results) = results_of(Batch::new(&client, MODEL).slots(1, SECOND), tasks(30)).await;
    assert_eq!((summary.ok, summary.failed), (30, 0), "{summary}");
    assert!(summary.key_faults >= 1, "{summary}");
    assert!(results.iter().all(|result| result["key_id"] != "k0"));
    let took = sim.elapsed();
    assert!(took < 17 * SECOND, "two keys are enough: {took:?}");
}

#[tokio::test(start_paused = true)]
async fn stop_waits_for_active_requests_and_leaves_the_rest() {
    let (sim, client) = paused(GeminiSim::builder().latency(10 * SECOND), 2);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out.jsonl");
    let output = Output::file(&path, &keypool_batch::OutputOptions::default()).unwrap();
    let run = Batch::new(&client, MODEL).workers(4).start(tasks(100), output).unwrap();
    tokio::time::sleep(3 * SECOND).await;
    let progress = run.progress();
    assert_eq!((progress.active, progress.workers, progress.total), (4, 4, Some(100)), "{progress}");
    assert_eq!(progress.to_string(), "active 4/4 | queued 96 | ok 0 | failed 0 | cooling 0");
    run.control().stop();
    let summary = run.finish().await.unwrap();
    assert_eq!((summary.outcome, summary.ok, summary.left), (RunOutcome::Stopped, 4, 96));
    assert!((10.0..10.3).contains(&sim.elapsed().as_secs_f64()), "{:?}", sim.elapsed());
    assert_eq!(lines(&path).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn request_that_timed_out_is_not_active() {
    let (_sim, client) = paused(GeminiSim::builder().script([Rule::new(Fault::Hang)]), 1);
    let run = Batch::new(&client, MODEL).start(tasks(40), sink()).unwrap();
    tokio::time::sleep(Duration::from_millis(600_500)).await;
    let progress = run.progress();
    let why = "waiting for the network: no answer in time (--timeout) at gemini-sim.invalid:80; next try in 1 s";
    assert_eq!((progress.active, progress.waits_for.as_deref()), (0, Some(why)));
}

#[tokio::test(start_paused = true)]
async fn stop_does_not_wait_for_keys_and_abort_does_not_wait_at_all() {
    let limits = Limits::none().rpm(2);
    let limited = |pool: tower_keypool::KeyPoolBuilder| pool.limits(MODEL, tower_keypool::Limits::new().per_minute(2));
    let (sim, client) = paused_with(GeminiSim::builder(), 1, limits, limited);
    let run = Batch::new(&client, MODEL).start(tasks(100), sink()).unwrap();
    tokio::time::sleep(3 * SECOND).await;
    run.control().stop();
    let summary = run.finish().await.unwrap();
    assert_eq!((summary.ok, summary.left), (2, 98));
    assert!(sim.elapsed() < 4 * SECOND, "{:?}", sim.elapsed());

    let (sim, client) =
        paused(GeminiSim::builder().script([Rule::new(Fault::HeadLatency(Latency::Fixed(600 * SECOND)))]), 1);
    let run = Batch::new(&client, MODEL).start(tasks(3), sink()).unwrap();
    let control = run.control();
    tokio::time::sleep(SECOND).await;
    control.stop();
    tokio::time::sleep(SECOND).await;
    control.abort();
    let summary = run.finish().await.unwrap();
    assert_eq!((summary.outcome, summary.ok, summary.left), (RunOutcome::Stopped, 0, 3));
    assert!(sim.elapsed() < 3 * SECOND, "{:?}", sim.elapsed());
}

#[tokio::test(start_paused = true)]
async fn panicking_worker_fails_its_task_and_the_run_continues() {
    let (sim, _) = paused(GeminiSim::builder(), 2);
    let below = sim.service();
    let service = tower::service_fn(move |request: keypool_batch::client::TransportRequest| {
        let sim = below.clone();
        async move {
            let body = http_body_util::BodyExt::collect(request.into_body()).await.map_err(BoxError::from)?.to_bytes();
            assert!(!body.windows(6).any(|part| part == b"task 7"), "task 7 panics");
            let request = http::Request::post(format!("/v1beta/models/{MODEL}:generateContent"))
                .header("x-goog-api-key", crate::secret(0))
                .body(http_body_util::Full::new(body))?;
            tower::ServiceExt::oneshot(sim, request).await.map_err(BoxError::from)
        }
    });
    let client = Client::builder(&pool("http://gemini-sim.invalid", 2).build().unwrap()).service(service);
    let (summary, results) = results_of(Batch::new(&client, MODEL).workers(2), tasks(20)).await;
    assert_eq!((summary.ok, summary.failed, summary.errors["internal"]), (19, 1, 1), "{summary}");
    assert_eq!(results[7]["error"]["message"], "task 7 panics");
    assert_eq!(client.pool().stats().in_flight, 0, "its key is returned");
}

#[tokio::test(start_paused = true)]
async fn panicking_input_ends_the_input_but_not_the_run() {
    let (_sim, client) = paused(GeminiSim::builder(), 1);
    let input = Input::tasks((0..).map(|n| if n < 300 { Task::new("x") } else { panic!("no more") }));
    let summary = Batch::new(&client, MODEL).run(input, sink()).await.unwrap();
    assert_eq!((summary.ok, summary.input_error.as_deref()), (256, Some("the reader panicked")), "{summary}");
}

#[tokio::test(start_paused = true)]
async fn dropped_run_ends() {
    let (sim, client) = paused(GeminiSim::builder().latency(SECOND), 1);
    let run = Batch::new(&client, MODEL).workers(2).start(tasks(1_000), sink()).unwrap();
    tokio::time::sleep(5 * SECOND).await;
    drop(run);
    tokio::time::sleep(SECOND).await;
    let before = sim.report().total.arrivals;
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(sim.report().total.arrivals, before);
}

#[tokio::test(start_paused = true)]
async fn large_prompts_are_read_ahead_only_a_little() {
    let (_sim, client) = paused(GeminiSim::builder().latency(SECOND), 1);
    let input = Input::tasks((0..100).map(|n| Task::new(&*format!("{n} {}", "x".repeat(4 << 20)))));
    let run = Batch::new(&client, MODEL).workers(1).start(input, sink()).unwrap();
    tokio::time::sleep(3 * SECOND).await;
    let progress = run.progress();
    assert!((1..=4).contains(&progress.queued) && progress.total.is_none(), "{progress}");
}

#[tokio::test(start_paused = true)]
async fn slots_follow_added_and_removed_keys() {
    let sim = crate::keyed(GeminiSim::builder(), 3, Limits::none()).build();
    let pool = pool("http://gemini-sim.invalid", 1).build().unwrap();
    let client = Client::builder(&pool).service(sim.service());
    let run = Batch::new(&client, MODEL).slots(1, SECOND).start(tasks(60), sink()).unwrap();
    tokio::time::sleep(10 * SECOND).await;
    assert_eq!(run.progress().workers, 1);
    for n in 1..3 {
        pool.put(tower_keypool::Key::new(crate::secret(n)).named(&*format!("k{n}"))).unwrap();
    }
    tokio::time::sleep(SECOND).await;
    assert_eq!(run.progress().workers, 3);
    pool.remove(&"k0".into()).unwrap();
    let summary = run.finish().await.unwrap();
    assert_eq!((summary.ok, summary.failed), (60, 0), "{summary}");
    let took = sim.elapsed();
    assert!((33..38).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn fallback_model_replaces_one_that_cannot_serve() {
    for slots in [false, true] {
        let script = [Rule::new(Fault::Refuse(gemini_sim::Refusal::LimitZero)).model("gemini-2.5-pro")];
        let sim = crate::keyed(GeminiSim::builder().script(script), 3, Limits::none()).build();
        let pool = pool("http://gemini-sim.invalid", 3).build().unwrap();
        let fallback = tower_keypool::ModelFallbackLayer::new(&pool, ["gemini-2.5-pro", MODEL]);
        let client = Client::builder(&pool).fallback(fallback).service(sim.service());
        let mut batch = Batch::new(&client, "gemini-2.5-pro");
        if slots {
            batch = batch.slots(1, SECOND);
        }
        let (summary, results) = results_of(batch, tasks(10)).await;
        assert_eq!((summary.ok, summary.failed), (10, 0), "{summary}");
        assert!(results.iter().all(|result| result["model"] == MODEL), "{results:?}");
    }
}
