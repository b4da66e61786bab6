//! Requests that name what only one owner's keys see.

use std::{
    sync::{Mutex, atomic::Ordering::SeqCst},
    time::Duration,
};

use http::Method;
use http_body_util::BodyExt as _;
use keypool_client::{
    Client,
    batch::{Batch, Ended, Task},
};
use serde_json::{Value, json};
use tower_keypool::{Affinity, Demand, KeyPool, Limits, Models};

use crate::{
    provider::{self, Asked, Says, fine},
    stage::MODEL,
};

const FILE: &str = "https://generativelanguage.googleapis.com/v1beta/files/abc";

/// What Google says of another project's file.
const NOT_YOURS: &str = "You do not have permission to access the File abc or it may not exist.";
/// The same in words that do not say what it is about.
const NAMELESS: &str = "The caller does not have permission";

fn refused(message: &str) -> Says {
    if message == NOT_FOUND {
        return Says::Answer(404, json!({ "error": { "code": 404, "message": message, "status": "NOT_FOUND" } }));
    }
    Says::Answer(403, json!({ "error": { "code": 403, "message": message, "status": "PERMISSION_DENIED" } }))
}

/// And with a status that may as well mean the model.
const NOT_FOUND: &str = "Requested entity was not found.";

/// A request that refers to a file.
fn about(file: &str, n: usize) -> Value {
    let file = json!({ "fileData": { "fileUri": file, "mimeType": "text/plain" } });
    json!({ "contents": [{ "role": "user", "parts": [{ "text": format!("task {n}") }, file] }] })
}

fn tasks(file: &'static str, count: usize) -> impl Iterator<Item = Task> + Send {
    (0..count).map(move |n| Task::from_value(json!({ "id": n, "request": about(file, n) })).unwrap())
}

/// A provider where `owner` has every file, and others are refused in these words.
fn provider_of(pool: &KeyPool, owner: usize, message: &'static str) -> (Client, Asked) {
    provider::shown(pool, move |key, method, path, body| match () {
        () if path.ends_with("/files") && *method == Method::POST => {
            Says::Answer(200, json!({ "file": { "name": "files/abc", "uri": FILE, "state": "ACTIVE" } }))
        }
        () if (path.contains("/files/") || body.contains("files/")) && key != owner => refused(message),
        () if path.contains("/files/") => Says::Answer(200, json!({ "name": "files/abc", "uri": FILE })),
        () => fine(),
    })
}

fn pool(keys: usize) -> KeyPool {
    provider::pool(provider::keys(keys)).build().unwrap()
}

/// Whoever has a file is looked for once, by one task.
#[tokio::test(start_paused = true)]
async fn a_batch_learns_who_has_a_file() {
    for message in [NOT_YOURS, NAMELESS, NOT_FOUND] {
        for slots in [false, true] {
            let pool = pool(12);
            let (client, asked) = provider_of(&pool, 5, message);
            let batch = Batch::new(client.clone());
            let batch = if slots { batch.workers_per_key(2).rate_limit_per_slot(0.5) } else { batch.concurrency(24) };
            let (ended, statistics) = batch.run(tasks(FILE, 100)).finish().await;
            assert!(matches!(ended, Ended::Done), "{ended:?}");
            assert_eq!((statistics.ok, statistics.failed), (100, 0), "{message} {slots}: {statistics}");
            assert!(asked.load(SeqCst) <= 100 + 11, "{message} {slots}: {asked:?}");
            assert!(pool.snapshot().keys.iter().all(|key| key.rests.is_empty()), "{message} {slots}");
            // So does a client that the batch was made of.
            asked.store(0, SeqCst);
            let path = format!("/v1beta/models/{MODEL}:generateContent");
            let answer = client.raw(Method::POST, &path, about(FILE, 0).to_string()).await.unwrap();
            assert_eq!((answer.status().as_u16(), asked.load(SeqCst)), (200, 1), "{message} {slots}");
        }
    }
}

/// What a client made itself it knows the owner of, and so do its clones and batches.
#[tokio::test(start_paused = true)]
async fn what_a_client_made_goes_to_whom_it_was_made_with() {
    for before in 0..3 {
        let pool = pool(12);
        let maker = std::sync::Arc::new(Mutex::new(None));
        let kept = std::sync::Arc::clone(&maker);
        let (client, asked) = provider::shown(&pool, move |key, method, path, body| {
            let mut maker = kept.lock().unwrap();
            match () {
                () if path.ends_with("/files") && *method == Method::POST => {
                    *maker = Some(key);
                    Says::Answer(200, json!({ "file": { "name": "files/abc", "uri": FILE } }))
                }
                () if (path.contains("/files/") || body.contains("files/")) && *maker != Some(key) => {
                    refused(NOT_YOURS)
                }
                () => fine(),
            }
        });
        // Another key's turn.
        for n in 0..before {
            client.generate(format!("{n}")).await.unwrap();
        }
        asked.store(0, SeqCst);
        let made = client.raw(Method::POST, "/upload/v1beta/files", "{}").await.unwrap();
        assert!(made.into_body().collect().await.unwrap().to_bytes().starts_with(b"{"));
        let got = client.clone().raw(Method::GET, "/v1beta/files/abc", "").await.unwrap();
        assert_eq!((got.status().as_u16(), asked.load(SeqCst)), (200, 2));
        let (_, statistics) = Batch::new(client.clone()).run(tasks("files/abc", 20)).finish().await;
        assert_eq!((statistics.ok, asked.load(SeqCst)), (20, 22), "{statistics}");
    }
}

/// A single request that names what nobody told of finds it, and the next one goes there.
#[tokio::test(start_paused = true)]
async fn a_request_finds_whoever_has_what_it_names() {
    for message in [NOT_YOURS, NAMELESS] {
        let pool = pool(12);
        let (client, asked) = provider_of(&pool, 7, message);
        let got = client.raw(Method::GET, "/v1beta/files/abc", "").await.unwrap();
        assert_eq!(got.status().as_u16(), 200, "{message}");
        assert!(asked.swap(0, SeqCst) <= 12, "{message}");
        let path = format!("/v1beta/models/{MODEL}:generateContent");
        let answer = client.raw(Method::POST, &path, about(FILE, 0).to_string()).await.unwrap();
        assert_eq!((answer.status().as_u16(), asked.load(SeqCst)), (200, 1), "{message}");
    }
}

/// What nobody has is asked of each owner once, whatever the words are, and then of none for a while.
#[tokio::test(start_paused = true)]
async fn what_nobody_has_is_invalid_once_every_owner_was_asked() {
    for message in [NOT_YOURS, NAMELESS] {
        for slots in [false, true] {
            let pool = pool(12);
            let (client, asked) = provider_of(&pool, 99, message);
            let batch = Batch::new(client.clone());
            let batch = if slots { batch.workers_per_key(2).rate_limit_per_slot(0.5) } else { batch.concurrency(24) };
            let mut run = batch.run(tasks(FILE, 30));
            let mut told = Vec::new();
            while let Some(result) = run.next().await {
                told.push(result.error.expect("nobody has it"));
            }
            assert!(told.len() == 30 && told.iter().all(|error| error.kind == "invalid"), "{told:?}");
            assert!(told.iter().all(|error| error.message.contains(message)), "{told:?}");
            assert_eq!(asked.load(SeqCst), 12, "{message} {slots}");
            // A while later somebody may have it.
            tokio::time::sleep(Duration::from_secs(400)).await;
            let (_, statistics) = Batch::new(client).run(tasks(FILE, 2)).finish().await;
            assert_eq!((statistics.failed, asked.load(SeqCst)), (2, 24), "{statistics}");
        }
    }
}

/// An owner that is at its limit may be the one that has it.
#[tokio::test(start_paused = true)]
async fn an_owner_that_rests_is_asked_later() {
    for slots in [false, true] {
        let limits = Limits::new().per_minute(3);
        let pool = provider::pool(provider::keys(3)).limits(MODEL, limits).build().unwrap();
        let (client, asked) = provider_of(&pool, 2, NAMELESS);
        // All of a minute of whoever has it.
        for _ in 0..3 {
            let demand = Demand::new(MODEL).affinity(Affinity::MustKey("k2".into()));
            pool.acquire(demand).await.unwrap().started();
        }
        let batch = Batch::new(client);
        let batch = if slots { batch.workers_per_key(1).rate_limit_per_slot(0.5) } else { batch };
        let others = (0..4).map(|n| Task::prompt(format!("other {n}")));
        let run = batch.run(tasks(FILE, 5).chain(others)).finish();
        let (ended, statistics) = tokio::time::timeout(Duration::from_secs(3_600), run).await.expect("it ends");
        assert!(matches!(ended, Ended::Done), "{ended:?}");
        assert_eq!((statistics.ok, statistics.failed), (9, 0), "{slots}: {statistics}");
        assert!(asked.load(SeqCst) <= 9 + 2, "{slots}: {asked:?}");
    }
}

/// Tasks of a file whose owner is out for the day hold up nobody, and the run says when to come back.
#[tokio::test(start_paused = true)]
async fn an_owner_that_is_out_holds_up_nobody_else() {
    for slots in [false, true] {
        let pool = pool(3);
        let (client, _) = provider::shown(&pool, move |key, _, path, body| match () {
            () if path.contains("/files/") && key == 1 => fine(),
            () if body.contains("files/") && key == 1 => provider::limited("Day", "40000s"),
            () if path.contains("/files/") || body.contains("files/") => refused(NOT_YOURS),
            () => fine(),
        });
        assert!(client.raw(Method::GET, "/v1beta/files/abc", "").await.unwrap().status().is_success());
        let batch = Batch::new(client).until_exhausted();
        let batch = if slots { batch.workers_per_key(1).rate_limit_per_slot(0.5) } else { batch };
        let others = (0..100).map(|n| Task::prompt(format!("other {n}")));
        let (ended, statistics) = batch.run(tasks(FILE, 300).chain(others)).finish().await;
        let Ended::OutOfQuota(why) = ended else { panic!("{slots}: {ended:?} {statistics}") };
        assert_eq!((statistics.ok, statistics.failed), (100, 0), "{slots}: {statistics}");
        assert!(why.may_serve_in().is_some_and(|next| next > Duration::from_secs(3_000)), "{why}");
        assert!(statistics.seconds < 120.0, "{slots}: {}", statistics.seconds);
    }
}

/// Its owner may be one whose keys are off, who is not asked: that is said, with the keys.
#[tokio::test(start_paused = true)]
async fn what_a_disabled_keys_owner_may_have_is_told() {
    for (slots, all) in [(false, false), (true, false), (false, true)] {
        let pool = pool(4);
        let (client, asked) = provider_of(&pool, 2, NOT_YOURS);
        pool.disable(&"k2".into(), "test").unwrap();
        if all {
            pool.disable(&"k1".into(), "test").unwrap();
        }
        let batch = Batch::new(client);
        let batch = if slots { batch.workers_per_key(1).rate_limit_per_slot(0.5) } else { batch };
        let mut run = batch.run(tasks(FILE, 10));
        let mut told = Vec::new();
        while let Some(result) = run.next().await {
            told.push(result.error.expect("nobody who is asked has it").message);
        }
        let keys = if all { "k1, k2" } else { "k2" };
        let what = format!("switched off: {keys}");
        assert!(told.len() == 10 && told.iter().all(|said| said.contains(&what)), "slots {slots}: {told:?}");
        assert!(told.iter().all(|said| said.contains(NOT_YOURS)), "slots {slots}: {told:?}");
        assert_eq!(asked.load(SeqCst), if all { 2 } else { 3 }, "slots {slots}");
    }
}

/// It is of no use to another model, whose 400 would read like a mistake of the task's.
#[tokio::test(start_paused = true)]
async fn a_cached_content_is_asked_of_its_own_model_alone() {
    let pool = pool(1);
    let models = Models::new().for_all([MODEL, "gemini-2.5-flash-lite"]);
    let (client, _) = provider::reading(&pool, models, |asked, _, model, body| {
        let mismatch =
            json!({ "error": { "code": 400, "message": "has to be the same", "status": "INVALID_ARGUMENT" } });
        let says = match () {
            () if asked == 0 => provider::limited("Minute", "30s"),
            () if body.contains("cachedContents/") && model != MODEL => Says::Answer(400, mismatch),
            () => fine(),
        };
        (Duration::ZERO, says)
    });
    let contents = json!([{ "role": "user", "parts": [{ "text": "x" }] }]);
    let cached = json!({ "contents": contents, "cachedContent": "cachedContents/c" });
    let path = format!("/v1beta/models/{MODEL}:generateContent");
    for _ in 0..2 {
        // The model's own 429, then why nobody is asked.
        match client.raw(Method::POST, &path, cached.to_string()).await {
            Ok(answer) => assert_eq!(answer.status(), 429),
            Err(error) => assert!(error.is_exhausted(), "{error}"),
        }
    }
    let plain = json!({ "contents": contents });
    assert!(client.raw(Method::POST, &path, plain.to_string()).await.unwrap().status().is_success());
    let task = Task::from_value(json!({ "id": 1, "request": cached })).unwrap();
    let (_, statistics) = Batch::new(client).run([task]).finish().await;
    assert_eq!((statistics.ok, statistics.failed), (1, 0), "{statistics}");
}
