//! Keys that turn a run away in words that say little, and what it is told of the time to come back.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::Ordering::SeqCst},
    time::Duration,
};

use futures_util::StreamExt as _;
use gemini_sim::GeminiSim;
use keypool_client::batch::{Batch, Ended, FaultKind, Task};
use serde_json::json;
use tower_keypool::{Limits, Models};

use crate::{
    provider::{self, Says, fine},
    stage::{self, MODEL},
};

const QUICK: Duration = Duration::from_millis(100);

fn prompts(count: usize) -> impl Iterator<Item = Task> + Send {
    (0..count).map(|n| Task::prompt(format!("task {n}")))
}

/// A refusal that names no cause.
fn nameless(code: u16, status: &str, message: &str) -> Says {
    Says::Answer(code, json!({ "error": { "code": code, "message": message, "status": status } }))
}

/// The account is limited, in a good answer.
fn limited_account(text: Option<&str>) -> Says {
    let content = text.map(|text| json!({ "parts": [{ "text": text }] }));
    let candidate = json!({ "content": content, "finishReason": "PUP_LIMITED_DISABLED", "index": 0 });
    Says::Answer(200, json!({ "candidates": [candidate], "usageMetadata": { "promptTokenCount": 3 } }))
}

/// What the pool reads out of a good answer's end counts for the task as well.
#[tokio::test(start_paused = true)]
async fn an_account_that_is_limited_costs_no_task_anything() {
    for slots in [false, true] {
        let pool = provider::pool(provider::keys(3)).build().unwrap();
        let (client, _) = provider::client(&pool, Models::new(), |_, key, _| {
            (QUICK, if key == 0 { limited_account(None) } else { fine() })
        });
        let told = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&told);
        let batch = Batch::new(client).max_retries(0).on_fault(move |fault| kept.lock().unwrap().push(fault.clone()));
        let batch = if slots { batch.workers_per_key(1).rate_limit_per_slot(1.0) } else { batch };
        let (ended, statistics) = batch.run(prompts(30)).finish().await;
        assert!(matches!(ended, Ended::Done), "{ended:?}");
        assert_eq!((statistics.ok, statistics.failed), (30, 0), "slots {slots}: {statistics}");
        assert!(statistics.key_faults > 0, "{statistics}");
        let told = told.lock().unwrap();
        assert!(!told.is_empty() && told.iter().all(|fault| fault.fault == FaultKind::Key && !fault.last), "{told:?}");
        assert!(told.iter().all(|fault| fault.code == "PUP_LIMITED_DISABLED"), "{told:?}");
    }
}

/// One that is larger than a minute allows draws such an answer from every key that comes back.
#[tokio::test(start_paused = true)]
async fn a_task_that_all_keys_rest_for_does_not_keep_the_others_from_them() {
    for at in [0, 150] {
        let pool = provider::pool(provider::keys(6)).build().unwrap();
        let (client, _) = provider::reading(&pool, Models::new(), move |_, _, _, body| {
            let bad = body.contains(&format!("\"task {at}\""));
            let says = nameless(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).");
            (QUICK, if bad { says } else { fine() })
        });
        let results = Batch::new(client).concurrency(12).run(prompts(401));
        let others = results.filter(|result| std::future::ready(result.index != at)).take(400).collect::<Vec<_>>();
        let others = tokio::time::timeout(Duration::from_secs(120), others).await;
        let others = others.expect("all but one within two minutes");
        assert!(others.len() == 400 && others.iter().all(|result| result.success), "the one at {at}");
    }
}

/// With something said beside it, that is the answer.
#[tokio::test(start_paused = true)]
async fn what_a_limited_account_said_all_the_same_is_taken() {
    let pool = provider::pool(provider::keys(1)).build().unwrap();
    let (client, asked) = provider::client(&pool, Models::new(), |_, _, _| (QUICK, limited_account(Some("yes"))));
    let mut run = Batch::new(client).run(prompts(1));
    let result = run.next().await.unwrap();
    assert!(result.success && result.text.as_deref() == Some("yes"), "{result:?}");
    assert_eq!(asked.load(SeqCst), 1);
}

/// What was under way when it was known that nobody may wait for the next takes its time.
#[tokio::test(start_paused = true)]
async fn the_time_to_come_back_is_that_of_the_end() {
    let builder = GeminiSim::builder().latency(Duration::from_secs(40));
    let (_sim, client) = stage::paused(builder, 1, |pool| pool.limits(MODEL, Limits::new().per_minute(1)));
    let run = Batch::new(client).max_wait(Duration::from_secs(3)).run(prompts(2));
    let (ended, statistics) = run.finish().await;
    let Ended::OutOfQuota(why) = ended else { panic!("{ended:?}") };
    assert!((39.0..42.0).contains(&statistics.seconds), "{}", statistics.seconds);
    let next = why.may_serve_in().expect("the time to come back");
    assert!((Duration::from_secs(19)..Duration::from_secs(22)).contains(&next), "{why}");
    let resting = statistics.resting.first().expect("whom it waited for");
    assert!(resting.seconds.is_some_and(|seconds| (19.0..22.0).contains(&seconds)), "{resting:?}");
    assert!(!resting.why.contains("next in 6"), "{resting:?}");
}

/// What the provider says to keys that may not use a model, and to those of another project than a file's.
const NO_PERMISSION: &str = "The caller does not have permission";

/// A key that may not do what the others do is found out by what they do: it is asked now and then, and no task pays for it.
#[tokio::test(start_paused = true)]
async fn a_key_that_refuses_what_others_serve_is_asked_now_and_then() {
    for (message, slots) in [(NO_PERMISSION, false), (NO_PERMISSION, true), ("Nope, policy of the day.", false)] {
        let pool = provider::pool(provider::keys(12)).build().unwrap();
        let refused = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&refused);
        let (client, _) = provider::client(&pool, Models::new(), move |_, key, _| {
            *counted.lock().unwrap() += u32::from(key == 5);
            (QUICK, if key == 5 { nameless(403, "PERMISSION_DENIED", message) } else { fine() })
        });
        let batch = Batch::new(client);
        let batch = if slots { batch.workers_per_key(2).rate_limit_per_slot(0.2) } else { batch.concurrency(24) };
        let (ended, statistics) = batch.run(prompts(3_000)).finish().await;
        assert!(matches!(ended, Ended::Done), "{ended:?}");
        assert_eq!((statistics.ok, statistics.failed), (3_000, 0), "{statistics}");
        let refused = *refused.lock().unwrap();
        assert!(refused <= 12, "{message}, slots {slots}: it was asked {refused} times in {} s", statistics.seconds);
        let suspect =
            pool.snapshot().keys.into_iter().filter(|key| !key.rests.is_empty()).map(|key| key.id.to_string());
        assert_eq!(suspect.collect::<Vec<_>>(), ["k5"], "{message}");
    }
}

/// A key that is said to be invalid is asked once more after a minute: by one of those that wait, not by all.
#[tokio::test(start_paused = true)]
async fn an_invalid_key_is_confirmed_by_one() {
    for slots in [false, true] {
        let pool = provider::pool(provider::keys(3)).limits(MODEL, Limits::new().per_minute(100)).build().unwrap();
        let (clock, begun) = (pool.clock().clone(), pool.clock().tick());
        let asked: Arc<Mutex<Vec<u64>>> = Arc::default();
        let at = Arc::clone(&asked);
        let (client, _) = provider::client(&pool, Models::new(), move |_, key, _| {
            if key > 0 {
                return (Duration::from_secs(1), fine());
            }
            at.lock().unwrap().push(clock.tick().since(begun).as_secs());
            let details = json!([{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID" }]);
            let error = json!({ "code": 400, "message": "API key not valid. Please pass a valid API key.",
                "status": "INVALID_ARGUMENT", "details": details });
            (Duration::from_secs(1), Says::Answer(400, json!({ "error": error })))
        });
        let batch = Batch::new(client);
        let batch = if slots { batch.workers_per_key(8).rate_limit_per_slot(2.0) } else { batch.concurrency(100) };
        let (ended, statistics) = batch.run(prompts(900)).finish().await;
        assert!(matches!(ended, Ended::Done) && statistics.ok == 900, "{ended:?} {statistics}");
        let late: Vec<u64> = asked.lock().unwrap().iter().copied().filter(|at| *at >= 30).collect();
        assert_eq!(late.len(), 1, "slots {slots}: {late:?}");
        assert_eq!(pool.snapshot().disabled_keys, 1, "slots {slots}");
    }
}

/// Keys that served and refuse everything from then on, task after task: that is the keys', and no task pays for it.
#[tokio::test(start_paused = true)]
async fn keys_that_served_and_refuse_all_from_then_on_end_the_run() {
    for (message, earlier) in [(NO_PERMISSION, false), ("Nope, policy of the day.", false), (NO_PERMISSION, true)] {
        for slots in [false, true] {
            let pool = provider::pool(provider::keys(12)).build().unwrap();
            let (client, asked) = provider::client(&pool, Models::new(), move |asked, _, _| {
                (QUICK, if asked < 60 { fine() } else { nameless(403, "PERMISSION_DENIED", message) })
            });
            let batch = || {
                let batch = Batch::new(client.clone());
                if slots { batch.workers_per_key(4).rate_limit_per_slot(1.0) } else { batch.concurrency(24) }
            };
            if earlier {
                // By a run before this one.
                assert_eq!(batch().run(prompts(60)).finish().await.1.ok, 60);
            }
            let run = tokio::time::timeout(Duration::from_secs(3_600), batch().run(prompts(400)).finish());
            let (ended, statistics) = run.await.expect("it ends");
            let what = format!("{message}, earlier {earlier}, slots {slots}: {ended:?} {statistics}");
            assert!(matches!(ended, Ended::NoKey(_)), "{what}");
            assert_eq!(statistics.failed, 0, "{what}");
            assert!(asked.load(SeqCst) <= 60 + 3 * 48 + 8 * 12, "{}: {what}", asked.load(SeqCst));
        }
    }
}

/// One task that all keys refuse, while they serve the others, is that task's own, and no key pays for it.
#[tokio::test(start_paused = true)]
async fn a_task_that_all_keys_refuse_fails_alone() {
    for message in [NO_PERMISSION, "Nope, policy of the day."] {
        let pool = provider::pool(provider::keys(12)).build().unwrap();
        let (client, _) = provider::reading(&pool, Models::new(), move |_, _, _, body| {
            let bad = ["\"task 70\"", "\"task 199\""].iter().any(|bad| body.contains(bad));
            (QUICK, if bad { nameless(403, "PERMISSION_DENIED", message) } else { fine() })
        });
        let (ended, statistics) = Batch::new(client).concurrency(12).run(prompts(200)).finish().await;
        assert!(matches!(ended, Ended::Done), "{ended:?}");
        assert_eq!((statistics.ok, statistics.failed), (198, 2), "{message}: {statistics}");
        assert!(statistics.seconds < 20.0, "{statistics}");
        assert!(pool.snapshot().keys.iter().all(|key| key.rests.is_empty()), "{message}");
    }
}

/// Twelve owners who all refuse, in words that name nobody: a few are asked at first, then one now and then, and the run ends.
#[tokio::test(start_paused = true)]
async fn keys_that_all_refuse_without_a_cause_are_not_hammered_and_end_the_run() {
    for (code, status, message) in [
        (401, "UNAUTHENTICATED", "Request had invalid authentication credentials."),
        (403, "PERMISSION_DENIED", "Nope, policy of the day."),
        (403, "PERMISSION_DENIED", NO_PERMISSION),
    ] {
        for slots in [false, true] {
            let pool = provider::pool(provider::keys(12)).build().unwrap();
            let clock = pool.clock().clone();
            let begun = clock.tick();
            let at: Arc<Mutex<BTreeMap<u64, usize>>> = Arc::default();
            let counted = Arc::clone(&at);
            let (client, asked) = provider::client(&pool, Models::new(), move |_, _, _| {
                *counted.lock().unwrap().entry(clock.tick().since(begun).as_secs()).or_default() += 1;
                (QUICK, nameless(code, status, message))
            });
            let batch = Batch::new(client);
            let batch = if slots { batch.workers_per_key(4).rate_limit_per_slot(1.0) } else { batch };
            let run = batch.run(prompts(300));
            let watch = run.watch();
            let ended = tokio::time::timeout(Duration::from_secs(3_600), run.finish()).await;
            let at = at.lock().unwrap();
            println!("{code}, slots {slots}: {at:?}");
            let (ended, statistics) = ended.unwrap_or_else(|_| panic!("{code}: it ends: {}", watch.statistics()));
            assert!(matches!(ended, Ended::NoKey(_)), "{code}: {ended:?} after {} s", statistics.seconds);
            assert_eq!(statistics.failed, 0, "{code}: no task pays for it: {statistics}");
            let burst: usize = at.range(..5).map(|(_, asked)| asked).sum();
            assert!(burst <= 48 + 4 * 12, "{code}, slots {slots}: {burst} requests in the first seconds");
            assert!(asked.load(SeqCst) <= 48 + 8 * 12, "{code}: {}", asked.load(SeqCst));
        }
    }
}

/// Nobody need come back for keys that never served anybody and are all refused: the run says so, without another round.
#[tokio::test(start_paused = true)]
async fn keys_that_never_served_and_are_all_refused_are_nothing_to_come_back_for() {
    let refused = || nameless(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.");
    for (keys, slots, served) in [(12, false, false), (12, true, false), (1, false, false), (12, false, true)] {
        let what = format!("{keys} keys, slots {slots}, served before {served}");
        let pool = provider::pool(provider::keys(keys)).build().unwrap();
        let (client, asked) = provider::client(&pool, Models::new(), move |asked, _, _| {
            (QUICK, if served && asked < 60 { fine() } else { refused() })
        });
        let batch = || {
            let batch = Batch::new(client.clone()).until_exhausted();
            if slots { batch.workers_per_key(4).rate_limit_per_slot(1.0) } else { batch.concurrency(24) }
        };
        if served {
            assert_eq!(batch().run(prompts(60)).finish().await.1.ok, 60);
        }
        let (ended, statistics) = batch().run(prompts(300)).finish().await;
        let told = if served { matches!(ended, Ended::OutOfQuota(_)) } else { matches!(ended, Ended::NoKey(_)) };
        assert!(told, "{what}: {ended:?}");
        assert_eq!(statistics.failed, 0, "{what}: {statistics}");
        assert!(served || statistics.seconds < 5.0, "{what}: {statistics}");
        assert!(asked.load(SeqCst) <= if served { 60 + 200 } else { 60 }, "{what}: {asked:?}");
    }
}

/// A status that is good with nothing but an error behind it: what it says is told.
#[tokio::test(start_paused = true)]
async fn an_error_in_a_good_answer_keeps_its_words() {
    let pool = provider::pool(provider::keys(2)).build().unwrap();
    let (client, _) = provider::client(&pool, Models::new(), |_, _, _| {
        let error = json!({ "code": 500, "message": "An internal error has occurred.", "status": "INTERNAL" });
        (QUICK, Says::Answer(200, json!({ "error": error })))
    });
    let mut run = Batch::new(client).run(prompts(1));
    let error = run.next().await.unwrap().error.unwrap();
    assert!(error.message.contains("An internal error has occurred."), "{error:?}");
}

/// `limit: 0` is a quota like another one, of none: no task pays for it, the run waits or says when to come back, and another
/// model takes the place. So where other keys never have the model.
#[tokio::test(start_paused = true)]
async fn a_model_that_is_for_no_keys_tier_is_out_of_quota() {
    for (keys, slots, retired) in [(1, false, 0), (12, false, 0), (3, true, 0), (4, false, 2), (4, true, 2)] {
        let what = format!("{keys} keys, {retired} of them without it for good, slots {slots}");
        let pool = provider::pool(provider::keys(keys)).build().unwrap();
        let (client, asked) = provider::client(&pool, Models::new(), move |_, key, model| {
            (QUICK, if key < retired { provider::retired(model) } else { provider::limit_zero(model) })
        });
        let batch = Batch::new(client).until_exhausted();
        let batch = if slots { batch.workers_per_key(2).rate_limit_per_slot(1.0) } else { batch };
        let run = batch.run(prompts(100));
        let (ended, statistics) = run.finish().await;
        let Ended::OutOfQuota(why) = ended else { panic!("{what}: {ended:?} {statistics}") };
        assert_eq!((statistics.failed, statistics.left()), (0, 100), "{what}: {statistics}");
        let next = why.may_serve_in().expect("the time to come back");
        assert!((Duration::from_secs(3_000)..=Duration::from_secs(86_400)).contains(&next), "{what}: {why}");
        // The first wave, and little more.
        assert!(asked.load(SeqCst) <= 6 * keys + 4, "{what}: {}", asked.load(SeqCst));
    }
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_for_no_keys_tier_gives_way_to_another_or_is_waited_for() {
    for slots in [false, true] {
        let pool = provider::pool(provider::keys(3)).build().unwrap();
        let (client, _) = provider::client(&pool, Models::new().for_all(["m2"]), |_, _, model| {
            (QUICK, if model == "m2" { fine() } else { provider::limit_zero(model) })
        });
        let batch = Batch::new(client);
        let batch = if slots { batch.workers_per_key(2).rate_limit_per_slot(1.0) } else { batch };
        let (ended, statistics) = batch.run(prompts(30)).finish().await;
        assert!(matches!(ended, Ended::Done), "{ended:?}");
        assert_eq!((statistics.ok, statistics.failed), (30, 0), "slots {slots}: {statistics}");
        assert_eq!(statistics.models.get("m2"), Some(&30), "{statistics}");
    }
    // A day later it has been let in.
    let pool = provider::pool(provider::keys(3)).build().unwrap();
    let (clock, begun) = (pool.clock().clone(), pool.clock().tick());
    let (client, _) = provider::client(&pool, Models::new(), move |_, _, model| {
        let day = clock.tick().since(begun) >= Duration::from_secs(80_000);
        (QUICK, if day { fine() } else { provider::limit_zero(model) })
    });
    let run = Batch::new(client).run(prompts(30));
    let watch = run.watch();
    let told = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(100)).await;
        watch.statistics().resting
    });
    let (ended, statistics) = run.finish().await;
    assert!(matches!(ended, Ended::Done) && statistics.ok == 30, "{ended:?} {statistics}");
    let resting = told.await.unwrap();
    assert!(resting.len() == 1 && resting[0].seconds.is_some_and(|seconds| seconds > 3_000.0), "{resting:?}");
}

/// What a task refers to is looked for with all owners, also where each key speaks for itself.
#[tokio::test(start_paused = true)]
async fn what_is_another_owners_is_found_there() {
    let file = "You do not have permission to access the File abc123 or it may not exist.";
    for (message, mute, keys) in [(file, 2, 3), (NO_PERMISSION, 1, 12), (file, 11, 12)] {
        for slots in [false, true] {
            let pool = provider::pool(provider::keys(keys)).build().unwrap();
            let (client, asked) = provider::client(&pool, Models::new(), move |_, key, _| {
                (QUICK, if key < mute { nameless(403, "PERMISSION_DENIED", message) } else { fine() })
            });
            let batch = Batch::new(client);
            let batch = if slots { batch.workers_per_key(2).rate_limit_per_slot(0.5) } else { batch };
            let (ended, statistics) = batch.run(prompts(100)).finish().await;
            assert!(matches!(ended, Ended::Done), "{ended:?}");
            assert_eq!(
                (statistics.ok, statistics.failed),
                (100, 0),
                "{message} {mute} of {keys}, {slots}: {statistics}"
            );
            assert!(asked.load(SeqCst) <= 100 * (mute + 1) + keys, "{asked:?}");
            // Each of a slot's requests is one of its own.
            let by_slot: u64 = statistics.by_slot.iter().sum();
            assert!(!slots || by_slot == asked.load(SeqCst) as u64, "{by_slot} of {asked:?}");
        }
    }
}

/// Whatever all keys say of it is the task's.
#[tokio::test(start_paused = true)]
async fn what_no_owner_has_fails_the_task() {
    for slots in [false, true] {
        let pool = provider::pool(provider::keys(3)).build().unwrap();
        let (client, asked) = provider::client(&pool, Models::new(), |_, _, _| {
            (
                QUICK,
                nameless(
                    403,
                    "PERMISSION_DENIED",
                    "You do not have permission to access the File abc123 or it may not exist.",
                ),
            )
        });
        let batch = Batch::new(client);
        let batch = if slots { batch.workers_per_key(1).rate_limit_per_slot(0.5) } else { batch };
        let (ended, statistics) = batch.run(prompts(5)).finish().await;
        assert!(matches!(ended, Ended::Done), "{ended:?}");
        assert_eq!((statistics.ok, statistics.failed), (0, 5), "{slots}: {statistics}");
        assert!(asked.load(SeqCst) <= 5 * 4, "{asked:?}");
    }
}

/// The key of a task that is sent to no other one rests: the task waits for none of it, and is charged with nothing.
#[tokio::test(start_paused = true)]
async fn keys_that_are_out_charge_no_task_while_others_serve() {
    for retries in [0, 3] {
        for slots in [false, true] {
            let pool = provider::pool(provider::keys(12)).build().unwrap();
            let (client, _) = provider::client(&pool, Models::new(), |_, key, _| {
                (QUICK, if key < 8 { provider::limited("Day", "40000s") } else { fine() })
            });
            let batch = Batch::new(client).max_retries(retries);
            let batch = if slots { batch.workers_per_key(1).rate_limit_per_slot(1.0) } else { batch };
            let (ended, statistics) = batch.run(prompts(40)).finish().await;
            assert!(matches!(ended, Ended::Done), "{ended:?}");
            assert_eq!((statistics.ok, statistics.failed), (40, 0), "{retries}, {slots}: {statistics}");
        }
    }
}

/// Nothing else is carried meanwhile that would tell it from a quota that is out: a day that turned does.
#[tokio::test(start_paused = true)]
async fn the_last_task_that_no_key_carries_ends_for_itself_once_a_day_turned() {
    for slots in [false, true] {
        let pool = provider::pool(provider::keys(3)).build().unwrap();
        let (client, asked) = provider::reading(&pool, Models::new(), move |_, _, _, body| {
            let says = nameless(429, "RESOURCE_EXHAUSTED", "Resource has been exhausted (e.g. check quota).");
            (QUICK, if body.contains("\"task 29\"") { says } else { fine() })
        });
        let batch = Batch::new(client);
        let batch = if slots { batch.workers_per_key(1).rate_limit_per_slot(0.1) } else { batch };
        let ended = tokio::time::timeout(Duration::from_secs(4 * 86_400), batch.run(prompts(30)).finish()).await;
        let (ended, all) = ended.unwrap_or_else(|_| panic!("slots {slots}: it waits for ever, {asked:?}"));
        assert!(matches!(ended, Ended::Done), "{ended:?} {all}");
        assert_eq!((all.ok, all.failed, all.errors.get("refused")), (29, 1, Some(&1)), "{all}");
    }
}
