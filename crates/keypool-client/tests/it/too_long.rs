//! Tasks that need more than a key's minute allows: each ends, says why, and costs the others nothing. Nobody ends for a limit
//! that others met as well.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::Ordering::SeqCst},
    time::Duration,
};

use futures_util::StreamExt as _;
use keypool_client::batch::{Batch, Ended, Statistics, Task, TaskResult};
use serde_json::json;
use tower_keypool::{Limits, Models};

use crate::{
    provider::{self, Says, fine},
    stage::MODEL,
};

const QUICK: Duration = Duration::from_millis(100);
const HOUR: Duration = Duration::from_secs(3_600);

fn prompts(count: usize) -> impl Iterator<Item = Task> + Send {
    (0..count).map(|n| Task::prompt(format!("task {n}")))
}

/// A prompt of so many bytes.
fn long(bytes: usize) -> Task {
    Task::prompt("word ".repeat(bytes / 5)).id("long")
}

fn unnamed() -> Says {
    let error = json!({ "code": 429, "message": "Resource has been exhausted (e.g. check quota).",
        "status": "RESOURCE_EXHAUSTED" });
    Says::Answer(429, json!({ "error": error }))
}

/// A minute's tokens, and how many that are.
fn tokens(most: u64) -> Says {
    let violation = json!({
        "quotaMetric": "generativelanguage.googleapis.com/generate_content_free_tier_input_token_count",
        "quotaId": "GenerateContentInputTokensPerModelPerMinute-FreeTier",
        "quotaDimensions": { "location": "global", "model": MODEL }, "quotaValue": most.to_string(),
    });
    let details = json!([
        { "@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [violation] },
        { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "31s" },
    ]);
    let error = json!({ "code": 429, "message": "You exceeded your current quota.", "status": "RESOURCE_EXHAUSTED",
        "details": details });
    Says::Answer(429, json!({ "error": error }))
}

/// All results of a run that ends within so long.
async fn all(
    batch: Batch,
    tasks: impl Iterator<Item = Task> + Send + 'static,
    within: Duration,
) -> (Vec<TaskResult>, Statistics) {
    let mut run = batch.run(tasks);
    let watch = run.watch();
    let results = tokio::time::timeout(within, run.by_ref().collect::<Vec<_>>()).await;
    let results = results.unwrap_or_else(|_| panic!("it ends: {}", watch.statistics()));
    let (ended, statistics) = run.finish().await;
    assert!(matches!(ended, Ended::Done), "{ended:?} {statistics}");
    (results, statistics)
}

fn slotted(batch: Batch, slots: bool) -> Batch {
    if slots { batch.workers_per_key(2).rate_limit_per_slot(0.5) } else { batch.concurrency(12) }
}

/// Nobody says how large a minute is: that the same keys carry all others says whose fault it is.
#[tokio::test(start_paused = true)]
async fn a_task_that_all_keys_refuse_by_a_limit_ends_while_they_carry_the_others() {
    for (at, slots) in [(0, false), (150, false), (0, true), (150, true)] {
        let pool = provider::pool(provider::keys(6)).build().unwrap();
        let asked = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&asked);
        let (client, _) = provider::reading(&pool, Models::new(), move |_, _, _, body| {
            let bad = body.contains(&format!("\"task {at}\""));
            *counted.lock().unwrap() += u32::from(bad);
            (QUICK, if bad { unnamed() } else { fine() })
        });
        let (results, statistics) = all(slotted(Batch::new(client), slots), prompts(601), HOUR).await;
        let what = format!("the one at {at}, slots {slots}: {statistics}");
        assert_eq!((statistics.ok, statistics.failed), (600, 1), "{what}");
        let failed = results.into_iter().find(|result| !result.success).unwrap();
        assert_eq!(failed.index, at, "{what}");
        let error = failed.error.unwrap();
        assert!(error.kind == "refused" && error.message.contains("carried other tasks"), "{error:?}");
        let asked = *asked.lock().unwrap();
        assert!((5..=30).contains(&asked), "{asked} times: {what}");
    }
}

/// The provider says how large a minute is, and the task's length that it is longer.
#[tokio::test(start_paused = true)]
async fn what_is_longer_than_a_minute_that_the_provider_names_ends_once_all_said_so() {
    for slots in [false, true] {
        let pool = provider::pool(provider::keys(4)).build().unwrap();
        let (client, asked) = provider::reading(&pool, Models::new(), |_, _, _, body| {
            (QUICK, if body.len() > 80_000 { tokens(20_000) } else { fine() })
        });
        let tasks = prompts(100).chain([long(100_000)]).chain([long(100_000).id("another")]);
        let (results, statistics) = all(slotted(Batch::new(client), slots), tasks, Duration::from_secs(300)).await;
        assert_eq!((statistics.ok, statistics.failed), (100, 2), "slots {slots}: {statistics}");
        for error in results.into_iter().filter_map(|result| result.error) {
            assert_eq!(error.kind, "invalid", "{error:?}");
            assert!(error.message.contains("about 2500"), "{error:?}");
            assert!(error.message.contains("20000 a minute"), "{error:?}");
        }
        assert!(asked.load(SeqCst) <= 100 + 2 * 4, "slots {slots}: {asked:?}");
    }
}

/// Alone, and longer than its letters say, as digits are: the minute is named, and was its own each time.
#[tokio::test(start_paused = true)]
async fn what_is_alone_and_too_long_for_a_minute_ends() {
    for (keys, slots) in [(1, false), (1, true), (3, false), (3, true)] {
        let pool = provider::pool(provider::keys(keys)).build().unwrap();
        let (client, asked) = provider::client(&pool, Models::new(), |_, _, _| (QUICK, tokens(30_000)));
        let tasks = [long(100_000)].into_iter();
        let (results, statistics) = all(slotted(Batch::new(client), slots), tasks, HOUR).await;
        let error = results[0].error.as_ref().unwrap();
        let what = format!("{keys} keys, slots {slots}: {statistics}");
        assert!(error.kind == "invalid" && error.message.contains("30000 tokens a minute"), "{error:?}: {what}");
        assert!(asked.load(SeqCst) <= 7 * keys, "{asked:?}: {what}");
    }
}

/// Whoever gave the limits is told at once.
#[tokio::test(start_paused = true)]
async fn what_never_fits_a_given_limit_is_not_sent() {
    for slots in [false, true] {
        let limits = Limits::new().per_minute(60).tokens_per_minute(10_000);
        let pool = provider::pool(provider::keys(3)).limits(MODEL, limits).build().unwrap();
        let (client, asked) = provider::client(&pool, Models::new(), |_, _, _| (QUICK, fine()));
        let tasks = [long(100_000)].into_iter().chain(prompts(30));
        let batch = slotted(Batch::new(client), slots);
        let (results, statistics) = all(batch, tasks, Duration::from_secs(90)).await;
        assert_eq!((statistics.ok, statistics.failed), (30, 1), "slots {slots}: {statistics}");
        let failed = results.iter().position(|result| !result.success).unwrap();
        assert!(failed < 13, "not at once, slots {slots}: {failed}");
        let error = results[failed].error.as_ref().unwrap();
        assert!(error.kind == "invalid" && error.message.contains("about 2500"), "{error:?}");
        assert!(error.message.contains("the largest limit of a key is 10000 a minute"), "{error:?}");
        assert_eq!(asked.load(SeqCst), 30, "slots {slots}");
    }
}

/// Pictures are not counted by their letters.
#[tokio::test(start_paused = true)]
async fn a_picture_is_no_long_text() {
    let limits = Limits::new().tokens_per_minute(10_000);
    let pool = provider::pool(provider::keys(3)).limits(MODEL, limits).build().unwrap();
    let (client, _) = provider::client(&pool, Models::new(), |_, _, _| (QUICK, fine()));
    let data = "A".repeat(1_000_000);
    let parts = json!([{ "text": "What is this?" }, { "inlineData": { "mimeType": "image/png", "data": data } }]);
    let task = Task::from_value(json!({ "contents": [{ "parts": parts }] })).unwrap();
    let (results, statistics) = all(Batch::new(client), [task].into_iter(), Duration::from_secs(90)).await;
    assert!(results[0].success, "{statistics}");
}

/// What is too long for some keys goes to those that allow more, also while these rest; where they are off it is told.
#[tokio::test(start_paused = true)]
async fn what_is_too_long_for_some_keys_goes_to_the_larger_ones() {
    for slots in [false, true] {
        let keys = provider::keys(4).enumerate().map(|(n, key)| {
            let most = if n == 3 { 1_000_000 } else { 10_000 };
            key.limits(MODEL, Limits::new().tokens_per_minute(most))
        });
        let pool = provider::pool(keys).build().unwrap();
        let by: Arc<Mutex<BTreeMap<usize, usize>>> = Arc::default();
        let counted = Arc::clone(&by);
        let (client, asked) = provider::reading(&pool, Models::new(), move |asked, key, _, body| {
            *counted.lock().unwrap().entry(key).or_default() += usize::from(body.len() > 80_000);
            let first = key == 3 && asked < 6;
            (QUICK, if first { provider::limited_somehow("40s") } else { fine() })
        });
        let tasks = prompts(8).chain((0..5).map(|n| long(100_000).id(format!("long {n}"))));
        let (_, statistics) = all(slotted(Batch::new(client.clone()), slots), tasks, Duration::from_secs(300)).await;
        assert_eq!((statistics.ok, statistics.failed), (13, 0), "slots {slots}: {statistics}");
        let sent = std::mem::take(&mut *by.lock().unwrap());
        assert!(sent.iter().all(|(key, count)| *key == 3 || *count == 0), "slots {slots}: {sent:?}");
        pool.disable(&"k3".into(), "test").unwrap();
        let before = asked.load(SeqCst);
        let batch = slotted(Batch::new(client), slots);
        let (results, _) = all(batch, [long(100_000)].into_iter(), Duration::from_secs(90)).await;
        let error = results[0].error.as_ref().unwrap();
        assert!(error.message.contains("the largest limit of a key is 10000 a minute"), "{error:?}");
        assert_eq!(asked.load(SeqCst), before);
    }
}

/// Everybody meets limits that nobody names: no task is lost for that, however often one was the one that met them.
#[tokio::test(start_paused = true)]
async fn limits_that_everybody_meets_are_nobodys_own() {
    // All are out every other minute; each carries five a minute; all are out for hours.
    for (minutes, each, hours) in [(true, usize::MAX, false), (false, 5, false), (false, usize::MAX, true)] {
        for slots in [false, true] {
            let pool = provider::pool(provider::keys(3)).build().unwrap();
            let (clock, begun) = (pool.clock().clone(), pool.clock().tick());
            let used: Mutex<BTreeMap<(usize, u64), usize>> = Mutex::default();
            let (client, _) = provider::client(&pool, Models::new(), move |_, key, _| {
                let minute = clock.tick().since(begun).as_secs() / 60;
                let mut used = used.lock().unwrap();
                let used = used.entry((key, minute)).or_default();
                *used += 1;
                let out = *used > each || (minutes && minute % 2 == 1) || (hours && (1..400).contains(&minute));
                (QUICK, if out { unnamed() } else { fine() })
            });
            let count = if each == 5 { 200 } else { 2_000 };
            let (_, statistics) = all(slotted(Batch::new(client), slots), prompts(count), 100 * HOUR).await;
            let what = format!("every other minute {minutes}, {each} a minute, for hours {hours}, slots {slots}");
            assert_eq!(statistics.failed, 0, "{what}: {statistics}");
        }
    }
}

/// The same of a minute's tokens that are named, and of tasks that these are enough for.
#[tokio::test(start_paused = true)]
async fn what_others_leave_of_a_minutes_tokens_is_waited_for() {
    let pool = provider::pool(provider::keys(1)).build().unwrap();
    let (client, asked) =
        provider::client(&pool, Models::new(), |asked, _, _| (QUICK, if asked < 40 { tokens(30_000) } else { fine() }));
    let (results, _) = all(Batch::new(client), [long(20_000)].into_iter(), 24 * HOUR).await;
    assert!(results[0].success && asked.load(SeqCst) == 41);
}

/// A single request says so as well, and asks nobody.
#[tokio::test(start_paused = true)]
async fn a_single_prompt_that_never_fits_a_given_limit_is_not_sent() {
    let limits = Limits::new().tokens_per_minute(10_000);
    let pool = provider::pool(provider::keys(3)).limits(MODEL, limits).build().unwrap();
    let (client, asked) = provider::client(&pool, Models::new(), |_, _, _| (QUICK, fine()));
    let error = client.generate("word ".repeat(20_000)).model(MODEL).await.unwrap_err();
    assert!(error.to_string().contains("the largest limit of a key is 10000 a minute"), "{error}");
    assert!(error.is_invalid_request() && asked.load(SeqCst) == 0);
}
