//! What `serve` knows outlives it: ended or killed, the next one goes on where it was.

use gemini_sim::GeminiSim;
use http::{Request, StatusCode};
use keypool::gateway::token::PLACEHOLDER;

use crate::{
    binary::{Running, key_file, run},
    serving::{HELLO, ONE},
    support::{Answer, ask},
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
