//! What a run does with tasks, keys and faults.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use gemini_sim::{AnswerText, Fault, Finish, GeminiSim, Limits as SimLimits, Refusal, Rule};
use keypool_client::{
    Client,
    batch::{Batch, Ended, FaultKind, JsonCheck, Task, TaskResult},
};
use serde_json::json;
use tower_keypool::{Clock, ExitError, Gemini, Key, KeyPool, Limits};

use crate::stage::{self, MODEL};

async fn all(batch: Batch, tasks: Vec<Task>) -> (Vec<TaskResult>, Ended) {
    let mut run = batch.run(tasks);
    // It is a stream like any other.
    let mut results: Vec<TaskResult> = futures_util::StreamExt::collect(&mut run).await;
    results.sort_by_key(|result| result.index);
    (results, run.ended())
}

fn prompts(count: usize) -> Vec<Task> {
    (0..count).map(|n| Task::prompt(format!("task {n}"))).collect()
}

#[tokio::test]
async fn every_task_is_answered_once_over_sockets() {
    let (sim, client) = stage::served(GeminiSim::builder(), 3).await;
    let pool = client.pool().clone();
    let (results, ended) = all(Batch::new(client), prompts(60)).await;
    assert!(matches!(ended, Ended::Done), "{ended:?}");
    assert_eq!(results.len(), 60);
    assert!(results.iter().all(|result| result.success && result.attempts == 1 && result.text.is_some()));
    assert_eq!(sim.report().total.arrivals, 60);
    assert_eq!((pool.snapshot().started, pool.snapshot().in_flight), (60, 0), "a lease a request");
}

#[tokio::test(start_paused = true)]
async fn limits_are_kept_and_used() {
    let builder = GeminiSim::builder().latency(Duration::from_millis(300));
    let (sim, client) = stage::paused(builder, 4, |pool| pool.limits(MODEL, Limits::new().per_minute(10)));
    let clock = client.pool().clock().clone();
    let begun = clock.tick();
    let (results, _) = all(Batch::new(client), prompts(120)).await;
    assert!(results.iter().all(|result| result.success));
    let took = clock.tick().since(begun).as_secs_f64();
    // 40 at once, 40 more after a minute, and 40 after two.
    assert!((120.0..123.0).contains(&took), "{took}");
    assert_eq!(sim.report().total.arrivals, 120);
}

#[tokio::test(start_paused = true)]
async fn faults_of_keys_are_never_counted() {
    let (sim, client) = stage::paused(GeminiSim::builder(), 3, |pool| pool);
    sim.refuse_key(0, Some(Refusal::ConsumerSuspended));
    sim.refuse_key(1, Some(Refusal::ApiKeyInvalid));
    let told = Arc::new(Mutex::new(Vec::new()));
    let told_to = Arc::clone(&told);
    let batch = Batch::new(client).max_retries(0).on_fault(move |fault| told_to.lock().unwrap().push(fault.clone()));
    let (results, ended) = all(batch, prompts(40)).await;
    assert!(matches!(ended, Ended::Done));
    assert!(results.iter().all(|result| result.success), "no retry was allowed, and none was needed");
    assert!(results.iter().any(|result| result.key_faults > 0 && result.attempts == result.key_faults + 1));
    let told = told.lock().unwrap();
    assert!(told.iter().all(|fault| fault.fault == FaultKind::Key), "{told:?}");
    assert!(told.iter().any(|fault| fault.code == "CONSUMER_SUSPENDED" && fault.permanent), "{told:?}");
    assert!(told.iter().any(|fault| fault.retry_in.is_some()), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn faults_of_tasks_are_counted_and_told() {
    let faults = |fault: Fault, times: u64| {
        let (sim, client) = stage::paused(GeminiSim::builder(), 2, |pool| pool);
        sim.script(Rule::new(fault).times(times));
        (sim, client)
    };
    for (fault, kind, code) in [
        (Fault::Finish(Finish::PromptBlocked("PROHIBITED_CONTENT".into())), "blocked", "PROHIBITED_CONTENT"),
        (Fault::Finish(Finish::Reason("SAFETY".into())), "blocked", "SAFETY"),
        (Fault::Finish(Finish::Empty), "empty", "STOP"),
        (Fault::Finish(Finish::OnlyThoughts), "empty", "MAX_TOKENS"),
        (Fault::Refuse(Refusal::Internal), "model_error", "INTERNAL"),
    ] {
        let (_sim, client) = faults(fault.clone(), 3);
        let (results, _) = all(Batch::new(client), prompts(1)).await;
        assert!(results[0].success && results[0].attempts == 4, "three retries mend it: {:?}", results[0]);

        let (sim, client) = faults(fault, 4);
        let (results, ended) = all(Batch::new(client), prompts(1)).await;
        let error = results[0].error.as_ref().unwrap();
        assert_eq!((error.kind, error.code.as_deref()), (kind, Some(code)));
        assert_eq!(sim.report().total.arrivals, 4);
        assert!(matches!(ended, Ended::Done));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_invalid_is_not_sent_again() {
    let refused = || {
        let (sim, client) = stage::paused(GeminiSim::builder(), 2, |pool| pool);
        sim.script(Rule::new(Fault::Refuse(Refusal::InvalidArgument)));
        (sim, client)
    };
    let (sim, client) = refused();
    let (results, _) = all(Batch::new(client), prompts(1)).await;
    assert_eq!(results[0].error.as_ref().unwrap().kind, "invalid");
    assert_eq!(sim.report().total.arrivals, 1);
    let (sim, client) = refused();
    let (results, _) = all(Batch::new(client).retry_invalid(true), prompts(1)).await;
    assert!(!results[0].success && sim.report().total.arrivals == 4);
}

/// A model that is not there is no mistake in the request, and not an error of the model's either.
#[tokio::test(start_paused = true)]
async fn a_model_that_nobody_has_is_told_so_and_asked_for_once() {
    for slots in [false, true] {
        let (sim, client) = stage::paused(GeminiSim::builder(), 3, |pool| pool);
        let batch = Batch::new(client).concurrency(1);
        let batch = if slots { batch.workers_per_key(1).rate_limit_per_slot(0.1) } else { batch };
        let tasks = (0..20).map(|n| Task::prompt(format!("task {n}")).model("gemini-9-none"));
        let (results, _) = all(batch, tasks.collect()).await;
        assert_eq!(results.len(), 20);
        for result in results {
            let error = result.error.expect("nobody has it");
            assert_eq!(error.kind, "model_unavailable", "slots {slots}: {error:?}");
        }
        assert!(sim.report().total.arrivals <= 20, "slots {slots}: {} requests", sim.report().total.arrivals);
    }
}

/// A way out that is shut opens again some day: that is no failure of the run.
#[tokio::test(start_paused = true)]
async fn an_exit_that_lets_nothing_out_ends_a_run_with_the_time_to_come_back() {
    type Asked = http::Request<tower_keypool::ReplayBody<http_body_util::Full<bytes::Bytes>>>;
    let shut = tower::service_fn(|_: Asked| async {
        let error = ExitError::new("tunnel".into(), "the proxy says 407");
        Err::<http::Response<http_body_util::Full<bytes::Bytes>>, _>(tower_keypool::BoxError::from(error))
    });
    let run = |wait: Option<u64>| async move {
        let wall = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000);
        let gemini = Gemini::at("http://provider.invalid").unwrap();
        let keys = [0, 1].map(|n| Key::new(stage::secret(n)).id(format!("k{n}")).exit("tunnel"));
        let pool = KeyPool::builder(gemini).keys(keys).clock(Clock::tokio_from(wall)).build().unwrap();
        let batch = Batch::new(Client::builder(&pool).transport(shut).build());
        let batch = wait.into_iter().fold(batch, |batch, wait| batch.max_wait(Duration::from_secs(wait)));
        let clock = pool.clock().clone();
        let begun = clock.tick();
        let (results, ended) = all(batch, prompts(20)).await;
        assert!(results.is_empty(), "no task pays: {results:?}");
        (ended, clock.tick().since(begun).as_secs())
    };
    for wait in [1, 45, 300] {
        let (ended, took) = run(Some(wait)).await;
        let Ended::OutOfQuota(why) = ended else { panic!("{wait}: {ended:?}") };
        assert_eq!(why.exits().map(|(name, _)| name).collect::<Vec<_>>(), [Some("tunnel")]);
        assert!(why.next_in().is_some(), "when to come back: {why}");
        assert!(took <= wait.max(10) + 60, "{wait}: {took}");
    }
    // Who set no time waits an hour.
    let (ended, took) = run(None).await;
    assert!(matches!(ended, Ended::OutOfQuota(_)) && (3_600..4_000).contains(&took), "{took}: {ended:?}");
}

#[tokio::test(start_paused = true)]
async fn json_is_found_repaired_checked_or_a_fault_with_its_text() {
    let say =
        |text: &str| stage::paused(GeminiSim::builder().answer(AnswerText::Fixed(text.to_owned())), 2, |pool| pool).1;
    // A whole request, which does not ask the simulator for JSON: that would get it.
    let asked = || vec![Task::from_json(r#"{"contents": [{"parts": [{"text": "hello"}]}]}"#).unwrap()];
    let (results, _) = all(Batch::new(say("Sure:\n```json\n{\"a\": [1, 2,],}\n```")).parse_json(), asked()).await;
    assert_eq!((results[0].json.as_deref(), results[0].text.clone()), (Some(&json!({ "a": [1, 2] })), None));

    // Digits that no number of a machine has are kept where the text was not broken.
    for text in ["{\"n\": 12345678901234567890123, \"x\": 0.10000000000000000555}", "It is [12345678901234567890123]!"]
    {
        let (results, _) = all(Batch::new(say(text)).parse_json(), asked()).await;
        let line = serde_json::to_string(&results[0]).unwrap();
        assert!(line.contains("12345678901234567890123") && !line.contains("e+22"), "{line}");
        assert!(!text.contains("0.1") || line.contains("0.10000000000000000555"), "{line}");
    }

    let (results, _) = all(Batch::new(say("I would rather not.")).parse_json().max_retries(1), asked()).await;
    assert_eq!(results[0].error.as_ref().unwrap().kind, "invalid_json");
    assert_eq!((results[0].text.as_deref(), results[0].attempts), (Some("I would rather not."), 2));

    let schema = json!({ "type": "object", "required": ["b"] });
    let check = JsonCheck::schema(&schema).unwrap();
    let (results, _) = all(Batch::new(say("{\"a\": 1}")).json(check).max_retries(0), asked()).await;
    assert_eq!(results[0].error.as_ref().unwrap().kind, "schema");
    assert!(JsonCheck::schema(&json!({ "type": 7 })).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_may_not_wait_says_until_when() {
    let builder = || GeminiSim::builder().latency(Duration::from_millis(10));
    let daily = |pool: tower_keypool::KeyPoolBuilder| pool.limits(MODEL, Limits::new().per_day(5));
    let (sim, client) = stage::paused(builder(), 2, daily);
    let (results, ended) = all(Batch::new(client).until_exhausted(), prompts(30)).await;
    let Ended::OutOfQuota(why) = ended else { panic!("{ended:?}") };
    assert_eq!((results.len(), sim.report().total.arrivals), (10, 10));
    assert!(why.next_in().unwrap() > Duration::from_secs(3_600), "{why}");

    // One that may waits for the days that it takes.
    let (sim, client) = stage::paused(builder(), 2, daily);
    let (results, ended) = all(Batch::new(client), prompts(30)).await;
    assert!(matches!(ended, Ended::Done) && results.len() == 30);
    assert!(sim.elapsed() > Duration::from_secs(24 * 3_600));
}

/// Others stand in line when the provider says that the day is over: whoever asks then cannot be told a time.
#[tokio::test(start_paused = true)]
async fn a_day_that_ends_while_others_wait_for_the_minute_is_no_key_that_is_gone() {
    for patience in [None, Some(Duration::from_secs(65))] {
        let wall = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000);
        let project = gemini_sim::Project::new("projects/1000").limits(gemini_sim::Limits::none().rpd(8));
        let project = project.key(&*stage::secret(0)).key(&*stage::secret(1));
        let sim = GeminiSim::builder().wall(wall.try_into().unwrap()).project(project).build();
        let keys = (0..2).map(|n| tower_keypool::Key::new(stage::secret(n)).owner("one"));
        let gemini = tower_keypool::Gemini::at("http://gemini-sim.invalid").unwrap();
        let pool = tower_keypool::KeyPool::builder(gemini).keys(keys).clock(tower_keypool::Clock::tokio_from(wall));
        let pool = pool.limits(MODEL, Limits::new().per_minute(5)).build().unwrap();
        let client = keypool_client::Client::builder(&pool).transport(sim.service()).build();
        let mut batch = Batch::new(client).concurrency(10);
        if let Some(patience) = patience {
            batch = batch.max_wait(patience);
        }
        let (ended, statistics) = batch.run(prompts(12)).finish().await;
        if patience.is_none() {
            // It waits for the next day.
            assert!(matches!(ended, Ended::Done) && statistics.ok == 12, "{ended:?} {statistics}");
        } else {
            let Ended::OutOfQuota(why) = ended else { panic!("{ended:?}") };
            assert!(why.next_in() > Some(Duration::from_secs(3_600)), "{why}");
            assert_eq!(statistics.ok, 8);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn when_every_key_is_off_it_ends() {
    for slots in [false, true] {
        let (sim, client) = stage::paused(GeminiSim::builder(), 3, |pool| pool);
        (0..3).for_each(|n| assert!(sim.refuse_key(n, Some(Refusal::ConsumerSuspended))));
        let batch = Batch::new(client);
        let batch = if slots { batch.workers_per_key(2) } else { batch };
        let (results, ended) = all(batch, prompts(30)).await;
        assert!(matches!(ended, Ended::NoKey(_)), "{ended:?}");
        assert!(results.is_empty(), "they are no task's fault");
        assert_eq!(sim.report().total.arrivals, 3, "each was asked once");
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_out_does_not_hold_others_up() {
    let (_sim, client) = stage::paused(GeminiSim::builder(), 2, |pool| pool.limits(MODEL, Limits::new().per_day(1)));
    let tasks = (0..60).map(|n| {
        let task = Task::prompt(format!("task {n}"));
        if n % 2 == 0 { task } else { task.model("gemini-2.5-pro") }
    });
    let (results, ended) = all(Batch::new(client).until_exhausted(), tasks.collect()).await;
    assert!(matches!(ended, Ended::OutOfQuota(_)), "{ended:?}");
    let of = |model: &str| results.iter().filter(|result| &*result.model == model).count();
    assert_eq!((of(MODEL), of("gemini-2.5-pro")), (2, 30));
}

#[tokio::test(start_paused = true)]
async fn another_model_takes_its_place() {
    let wall = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000);
    let sim = stage::keyed(GeminiSim::builder().wall(wall.try_into().unwrap()), 1).build();
    let pool = stage::pool("http://gemini-sim.invalid", 1)
        .clock(tower_keypool::Clock::tokio_from(wall))
        .limits("gemini-2.5-pro", Limits::new().per_day(3));
    let models = tower_keypool::Models::new().for_all(["gemini-2.5-pro", "gemini-2.5-flash"]);
    let client = keypool_client::Client::builder(pool.build().unwrap()).transport(sim.service()).fallback(models);
    let client = client.model("gemini-2.5-pro").build();
    let (results, _) = all(Batch::new(client), prompts(10)).await;
    let of = |model: &str| results.iter().filter(|result| &*result.model == model).count();
    assert_eq!((of("gemini-2.5-pro"), of("gemini-2.5-flash")), (3, 7));
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_only_the_provider_knew_costs_no_task_anything() {
    let sim = (0..3).fold(GeminiSim::builder(), |builder, n| {
        let limits = SimLimits::none().rpm(5);
        builder
            .project(gemini_sim::Project::new(format!("projects/{}", 1000 + n)).limits(limits).key(&*stage::secret(n)))
    });
    let wall = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000);
    let sim = sim.wall(wall.try_into().unwrap()).build();
    let pool =
        stage::pool("http://gemini-sim.invalid", 3).clock(tower_keypool::Clock::tokio_from(wall)).build().unwrap();
    let client = keypool_client::Client::builder(&pool).transport(sim.service()).build();
    let (results, ended) = all(Batch::new(client).max_retries(0), prompts(60)).await;
    assert!(matches!(ended, Ended::Done) && results.iter().all(|result| result.success));
    let ids: BTreeSet<u64> = results.iter().map(|result| result.index).collect();
    assert_eq!((ids.len(), sim.report().total.accepted), (60, 60), "each once");
}

#[tokio::test(start_paused = true)]
async fn ids_are_unique_and_fields_carried_through() {
    let (_sim, client) = stage::paused(GeminiSim::builder(), 1, |pool| pool);
    let tasks = ["{\"id\": \"a\", \"prompt\": \"x\", \"course\": 7}", "{\"id\": \"a\", \"prompt\": \"y\"}", "\"z\""];
    let mut run = Batch::new(client).run(tasks.map(|task| Task::from_json(task).unwrap()));
    let mut results = Vec::new();
    while let Some(result) = run.next().await {
        results.push(result);
    }
    assert_eq!(results.len(), 3);
    let twice = results.iter().find(|result| !result.success).unwrap();
    assert_eq!((&twice.id, twice.index, twice.error.as_ref().unwrap().kind), (&"item 2".into(), 1, "input"));
    let carried = results.iter().find(|result| result.id == "a".into()).unwrap();
    assert_eq!(serde_json::to_value(&carried.task).unwrap(), json!({ "course": 7 }));
    assert!(run.watch().refused()[0].to_string().contains("item 2: another task has the id a"));
    assert_eq!(run.statistics().failed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_failed_tries_another_key_with_slots_and_without() {
    for slots in [false, true] {
        // Nearly all of the load goes to one key, whose answers are empty.
        let (sim, client) = stage::paused(GeminiSim::builder(), 3, |pool| pool);
        sim.script(vec![Rule::new(Fault::Finish(Finish::Empty)).key(0)]);
        let first = client.pool().snapshot().keys.into_iter().find(|key| key.id.to_string() == "k0").unwrap();
        client.pool().set_weight(&first.id, 1_000.0).unwrap();
        let batch = Batch::new(client).max_retries(1);
        let batch = if slots { batch.workers_per_key(1).rate_limit_per_slot(0.0) } else { batch.concurrency(1) };
        let (results, _) = all(batch, prompts(12)).await;
        let failed: Vec<_> = results.iter().filter(|result| !result.success).collect();
        assert!(failed.is_empty(), "slots {slots}: {failed:?}");
        assert!(results.iter().any(|result| result.attempts == 2), "slots {slots}");
    }
}
