//! What `serve` knows outlives it: ended or killed, the next one goes on where it was.

use bytes::Bytes;
use gemini_sim::{GeminiSim, Key, Limits, Project, Refusal};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use keypool::gateway::token::PLACEHOLDER;

use crate::{
    binary::{Running, key_file, run},
    serving::{HELLO, ONE},
    support::{Answer, ask, client},
};

async fn hello(running: &Running) -> Answer {
    let url = format!("{}/v1beta/models/gemini-2.5-flash:generateContent", running.url);
    ask(Request::post(url).header("x-goog-api-key", PLACEHOLDER), HELLO).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_used_up_stays_used_up_when_the_process_is_killed_and_started_again() {
    let sim = GeminiSim::builder().key(ONE).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("state.db");
    let db = db.to_str().unwrap();
    let file = key_file(&format!("{ONE} id=one rpm=3 rpd=7\n"));
    let keys = file.path().to_str().unwrap().to_owned();
    let start = || {
        let url = sim.url();
        Running::start(&[
            "serve",
            "--keys",
            &keys,
            "--listen",
            "127.0.0.1:0",
            "--upstream",
            &url,
            "--wait",
            "1",
            "--db",
            db,
        ])
    };

    let first = start();
    assert!(first.told.contains("state.db"), "{}", first.told);
    for _ in 0..3 {
        assert_eq!(hello(&first).await.status, StatusCode::OK);
    }
    // Answers under way are written within the next two batches.
    tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    first.kill();

    let second = start();
    let answer = hello(&second).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert!(String::from_utf8_lossy(&answer.body).contains("requests/minute"), "{answer:?}");
    let (code, told) = tokio::task::spawn_blocking(move || second.end()).await.unwrap();
    assert_eq!(code, Some(0), "{told}");

    assert_eq!(sim.report().total.over_limit, 0);
    let (code, text) = run(&["db", "check", "--db", db]);
    assert_eq!((code, text.contains("is whole")), (0, true), "{text}");
    let copy = folder.path().join("copy.db");
    let (code, text) = run(&["db", "backup", copy.to_str().unwrap(), "--db", db]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(run(&["db", "check", "--db", copy.to_str().unwrap()]).0, 0);
    assert_eq!(run(&["db", "backup", copy.to_str().unwrap(), "--db", db]).0, 1, "it is there already");
    assert_eq!(run(&["db", "check", "--db", "/nowhere/keypool.db"]).0, 1);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(ONE.len()).any(|window| window == ONE.as_bytes()), "a key lies in a file");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_moment_under_load_it_exceeds_no_limit_and_loses_no_suspension() {
    let project = |n: u32| Project::new(format!("10000000000{n}"));
    let limited = |n: u32| project(n).limits(Limits::none().rpm(40)).key(secret(n));
    let suspended = project(3).key(Key::new(secret(3)).refused(Refusal::ConsumerSuspended));
    let sim = GeminiSim::builder().project(limited(1)).project(limited(2)).project(suspended).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let db = folder.path().join("state.db");
    let lines: Vec<String> = (1..=3).map(|n| format!("{} rpm=40 priority={}\n", secret(n), 3 - n)).collect();
    let file = key_file(&lines.concat());
    let (keys, url) = (file.path().to_str().unwrap(), sim.url());
    let args = [
        "serve",
        "--keys",
        keys,
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        &url,
        "--wait",
        "0",
        "--db",
        db.to_str().unwrap(),
    ];

    for round in 0..5 {
        let running = Running::start(&args);
        let answered = hello(&running).await;
        if round == 0 {
            assert_eq!(answered.status, StatusCode::OK, "{answered:?}");
            // The suspension is in the store by then.
            tokio::time::sleep(std::time::Duration::from_millis(250)).await;
        }
        let clients = (0..8).map(|_| {
            let url = running.url.clone();
            tokio::spawn(async move { while try_hello(&url).await {} })
        });
        let clients: Vec<_> = clients.collect();
        tokio::time::sleep(std::time::Duration::from_millis(fastrand::u64(20..300))).await;
        running.kill();
        for client in clients {
            client.await.unwrap();
        }
    }
    let report = sim.report();
    assert_eq!(report.total.over_limit, 0, "{report}");
    assert!(report.total.accepted >= 20, "it is not locked out: {report}");
    assert_eq!(report.total.rejected_as("consumer_suspended"), 1, "asked once, and never again: {report}");
    assert_eq!(run(&["db", "check", "--db", db.to_str().unwrap()]).0, 0);
}

fn secret(n: u32) -> String {
    format!("AIzaSyTEST-restarting-key-number-{n:06}")
}

/// Whether somebody answers there, whatever it is.
async fn try_hello(url: &str) -> bool {
    let request = Request::post(format!("{url}/v1beta/models/gemini-2.5-flash:generateContent"))
        .header("x-goog-api-key", PLACEHOLDER)
        .body(Full::<Bytes>::from(HELLO))
        .unwrap();
    match client().request(request).await {
        Ok(response) => response.into_body().collect().await.is_ok(),
        Err(_) => false,
    }
}
