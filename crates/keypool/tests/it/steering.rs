//! What commands change while a batch runs on their database: it hears of it within 2 s, as a gateway does.

use std::time::Duration;

use gemini_sim::{GeminiSim, Limits};

use crate::{
    batch::{Stage, lines, secret},
    binary::keypool,
};

/// A command beside the run, on its files.
fn beside(stage: &Stage, args: &[&str], input: &str) {
    let mut command = keypool(args);
    command.args(["--db", "counts.db"]).current_dir(stage.folder.path()).env("KEYPOOL_KEYS", "keys.txt");
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{args:?}");
}

/// Until it is so; for long enough where much else is done.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let took = crate::watching::stopwatch();
    while !is_so() {
        assert!(took() < Duration::from_secs(8), "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_commands_change_is_heard_by_a_batch_that_runs() {
    let builder = GeminiSim::builder().latency(Duration::from_millis(50));
    let stage = Stage::new(builder, 3, Limits::none()).await.tasks(5_000);
    let two = (0..2).map(|n| format!("{} id=k{n}", secret(n))).collect::<Vec<_>>().join("\n");
    std::fs::write(stage.path("keys.txt"), two).unwrap();
    let child = stage.start(&["tasks.txt", "-o", "a.jsonl", "--concurrency", "2", "--monitor-interval", "0.2"]);
    until("it begins", || lines(&stage.path("a.jsonl")).len() > 4).await;
    let served = |key: usize| stage.sim.report().projects[key].tally.accepted;
    // Of ten requests, none.
    let rests = async |key: usize| {
        let mut from = (served(key), stage.sim.report().total.accepted);
        until("it is left alone", || {
            let now = (served(key), stage.sim.report().total.accepted);
            if now.0 != from.0 {
                from = now;
            }
            now.1 >= from.1 + 10
        })
        .await;
    };

    beside(&stage, &["keys", "disable", "k0"], "");
    rests(0).await;
    beside(&stage, &["add-key", "-", "--id", "late"], &secret(2));
    until("the new key serves", || served(2) > 0).await;
    let before = served(0);
    beside(&stage, &["keys", "enable", "k0"], "");
    until("it serves again", || served(0) > before).await;
    for key in ["k0", "k1", "late"] {
        beside(&stage, &["keys", "disable", key], "");
    }
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{told}");
    assert!(told.contains("keys changed by command: added late"), "{told}");
    assert!(told.contains("\n  late: ") && !told.contains("AIzaSy"), "{told}");
}

/// One that waits for the day's end takes a key that is added, at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_waits_for_hours_takes_a_key_that_is_added() {
    let stage = Stage::new(GeminiSim::builder(), 2, Limits::none()).await.tasks(6);
    std::fs::write(stage.path("keys.txt"), format!("{} id=k0 rpd=3\n", secret(0))).unwrap();
    let child = stage.start(&["tasks.txt", "-o", "a.jsonl"]);
    until("the day is over", || lines(&stage.path("a.jsonl")).len() == 3).await;
    beside(&stage, &["add-key", "-", "--id", "late"], &secret(1));
    until("the rest is done", || lines(&stage.path("a.jsonl")).len() == 6).await;
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
}
