//! What a batch says before it starts: what today's limits still allow, whoever used them, and when it will be done.

use std::time::Duration;

use gemini_sim::{GeminiSim, Limits};
use redis_fixture::RedisServer;

use crate::{
    batch::{Stage, secret},
    binary::{Running, keypool},
    home::hello,
};

/// The line before the start.
fn first(err: &str) -> &str {
    err.lines().find(|line| line.starts_with("gemini-")).unwrap_or_default()
}

fn keys(stage: &Stage, more: [&str; 3]) {
    let line = |(n, more): (usize, &str)| format!("{} id=k{n} {more}\n", secret(n));
    std::fs::write(stage.path("keys.txt"), more.into_iter().enumerate().map(line).collect::<String>()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_earlier_runs_used_today_is_gone() {
    let builder = GeminiSim::builder().latency(Duration::from_millis(50));
    let stage = Stage::new(builder, 3, Limits::none()).await.tasks(12);
    keys(&stage, ["rpd=20 rpm=60", "rpd=20 rpm=60", "rpd=20 rpm=60"]);
    let ended = stage.run(&["tasks.txt", "-o", "a.jsonl"]).await;
    let begin = "gemini-2.5-flash: 3 keys, 180 requests a minute, 60 of 60 left today (the day ends in ";
    assert!(ended.code == 0 && first(&ended.err).starts_with(begin), "{ended:?}");
    assert!(first(&ended.err).contains("; 12 tasks: about "), "the expected end: {ended:?}");
    let again = stage.run(&["tasks.txt", "-o", "b.jsonl", "--monitor-interval", "0.1", "--concurrency", "2"]).await;
    assert!(first(&again.err).contains(" 48 of 60 left today"), "{again:?}");
    // Nor do owners that hold no lease yet come back in the progress.
    let left = |line: &str| line.split(" of 60 left today").next()?.rsplit(' ').next()?.parse::<u64>().ok();
    let told: Vec<u64> = again.err.lines().filter(|line| line.starts_with("active ")).filter_map(left).collect();
    assert!(!told.is_empty() && told.iter().all(|left| (36..=48).contains(left)), "{again:?}");
    let last = stage.run(&["tasks.txt", "-o", "c.jsonl", "--quiet"]).await;
    assert_eq!((last.code, &*last.err), (0, ""));

    // 24 are left, and so more tasks take more than a day.
    let stage = stage.tasks(30);
    let more = stage.run(&["tasks.txt", "-o", "d.jsonl", "--max-wait", "1"]).await;
    assert_eq!(more.code, 3, "{more:?}");
    let begin = first(&more.err);
    assert!(begin.contains(" 24 of 60 left today") && begin.contains("(24 of them before the day's quota"), "{more:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_one_owner_have_its_day_together_and_who_is_off_has_none() {
    let stage = Stage::new(GeminiSim::builder(), 3, Limits::none()).await.tasks(5);
    keys(&stage, ["rpd=20 owner=one", "rpd=20 owner=one", "rpd=7"]);
    let ended = stage.run(&["tasks.txt", "-o", "a.jsonl", "--strategy", "round-robin"]).await;
    assert!(first(&ended.err).contains(" 27 of 27 left today"), "{ended:?}");
    let change = async |args: &[&str]| {
        let mut command = keypool(&["keys"]);
        command.args(args).args(["--db", "counts.db"]).current_dir(stage.folder.path());
        assert!(tokio::task::spawn_blocking(move || command.status().unwrap()).await.unwrap().success());
    };
    let used = stage.sim.log().iter().filter(|arrival| arrival.key != Some(2)).count();
    assert!((1..5).contains(&used), "both owners served: {used}");
    change(&["disable", "k2"]).await;
    let ended = stage.run(&["tasks.txt", "-o", "b.jsonl"]).await;
    let begin = format!(": 2 keys, {} of 20 left today", 20 - used);
    assert!(ended.code == 0 && first(&ended.err).contains(&begin), "{begin}: {ended:?}");
    // A key without a limit has no end today.
    change(&["enable", "k2"]).await;
    keys(&stage, ["rpd=20 owner=one", "rpd=20 owner=one", ""]);
    let ended = stage.run(&["tasks.txt", "-o", "c.jsonl"]).await;
    assert!(first(&ended.err).contains(": 3 keys, no limit known"), "{ended:?}");
}

/// A gateway holds the owners, by a file or a server: what it used is gone, too.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_gateway_used_today_is_gone_while_it_runs() {
    let server = RedisServer::start();
    let urls = server.iter().map(RedisServer::url);
    let places = urls.map(|url| ["--redis".to_owned(), url]).chain([["--db".to_owned(), "counts.db".to_owned()]]);
    for place in places {
        let stage = Stage::new(GeminiSim::builder(), 3, Limits::none()).await;
        keys(&stage, ["rpd=20", "rpd=20", "rpd=20"]);
        let url = stage.sim.url();
        let on = |args: &[&str]| {
            let mut command = keypool(args);
            command.args(["--keys", "keys.txt", "--upstream", &url]).args(&place).current_dir(stage.folder.path());
            command
        };
        let running = Running::of(on(&["serve", "--listen", "127.0.0.1:0", "--wait", "10"]));
        let mut good = 0;
        // Until it holds its first lease nothing is served.
        while good < 7 {
            good += i32::from(hello(&running).await.status == 200);
        }
        // It writes what it used behind, and tells others with its next renewal. Each look is a run of one task.
        std::fs::write(stage.path("one.txt"), "a task\n").unwrap();
        let told = async {
            let mut said = Vec::new();
            for n in 0.. {
                let output = format!("{n}.jsonl");
                let mut command = on(&["batch", "one.txt", "-o", &output]);
                let ended = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
                let err = String::from_utf8(ended.stderr).unwrap();
                assert!(ended.status.success(), "{place:?}: {said:#?}, then {err}");
                let left = first(&err).split(" of 60 left today").next().and_then(|before| before.rsplit(' ').next());
                let left: u64 = left.and_then(|left| left.parse().ok()).unwrap_or(60);
                // A process that a busy machine kept from handing back counts with what it had reserved, too.
                let known = 60 - 7 - n;
                assert!(left + 8 >= known, "{place:?}: more than was used: {err}");
                if left <= known {
                    break;
                }
                said.push(first(&err).to_owned());
                assert!(n < 40, "{place:?}: {said:#?}");
                // As many runs may be over before the gateway renews.
                tokio::time::sleep(Duration::from_millis(150)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), told).await.expect("it is known soon");
        tokio::task::spawn_blocking(move || running.end()).await.unwrap();
    }
}

/// A cron that comes twice a day: the pool is lent no owner, and is told of none.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_when_the_day_is_used_up_is_told_at_once() {
    let stage = Stage::new(GeminiSim::builder(), 3, Limits::none()).await.tasks(20);
    keys(&stage, ["rpd=4 owner=a", "rpd=4 owner=b", "rpd=4 owner=c"]);
    let ended = stage.run(&["tasks.txt", "-o", "a.jsonl", "--until-exhausted"]).await;
    assert_eq!(ended.code, 3, "{ended:?}");
    assert_eq!(stage.sim.report().total.arrivals, 12, "{ended:?}");
    let slots: &[&str] = &["tasks.txt", "-o", "a.jsonl", "--until-exhausted", "--workers-per-key", "2"];
    for args in [&slots[..4], slots] {
        let begun = crate::watching::stopwatch();
        let again = stage.run(args).await;
        let took = begun();
        assert_eq!(again.code, 3, "{again:?}");
        assert!(first(&again.err).contains(" 0 of 12 left today"), "{again:?}");
        assert!(
            again.err.contains("out of quota with 8 tasks left") && again.err.contains("come back at"),
            "{again:?}"
        );
        assert!(took < Duration::from_secs(55), "{took:?}: a minute's window is nothing to wait for");
        // Nobody else has them: the day is what they are out for.
        assert!(again.err.contains(" at requests/day") && !again.err.contains("not lent"), "{again:?}");
        assert!(again.err.contains("3 at requests/day"), "{again:?}");
    }
    assert_eq!(stage.sim.report().total.arrivals, 12);
}

/// What the first model's day has not, the next one carries, and at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_model_whose_day_is_used_up_is_not_waited_for_where_another_stands_in() {
    let stage = Stage::new(GeminiSim::builder(), 3, Limits::none()).await.tasks(40);
    let first = "[[models]]\nname = \"gemini-2.5-flash\"\nlimits.\"*\" = { rpd = 5 }\n";
    std::fs::write(stage.path("keypool.toml"), first).unwrap();
    let args = ["tasks.txt", "-o", "a.jsonl", "--fallback", "gemini-2.5-flash-lite", "--monitor-interval", "0.1"];
    for output in ["a.jsonl", "b.jsonl"] {
        let mut args = args;
        args[2] = output;
        let ended = stage.run(&args).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let first = stage.results(output).iter().filter(|result| result["model"] == "gemini-2.5-flash").count();
        assert_eq!(first, if output == "a.jsonl" { 15 } else { 0 }, "{ended:?}");
        let waits = ended.err.lines().filter(|line| line.starts_with("active ") && line.contains("| ok 0 ")).count();
        assert!(waits < 20, "nothing was done for {waits} tenths of a second: {ended:?}");
        assert!(!ended.err.contains("waits "), "nobody waits for the day's end: {ended:?}");
    }
}
