//! What a command changes acts in a gateway that runs, within 2 s and without dropping a request.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use gemini_sim::{GeminiSim, Key, Project, Refusal};

use crate::{
    binary::Running,
    home::{ACTS, Home, asked_until, end, secret, servers, simulator, within_2s},
};

/// Requests until it is ended; how many were answered well, and how many were not.
struct Traffic {
    over: Arc<AtomicBool>,
    counts: Arc<(AtomicUsize, AtomicUsize)>,
    task: tokio::task::JoinHandle<()>,
}

impl Traffic {
    fn begin(running: &Running) -> Self {
        let (over, counts) = <(Arc<AtomicBool>, Arc<(AtomicUsize, AtomicUsize)>)>::default();
        let (stop, told, url) = (Arc::clone(&over), Arc::clone(&counts), running.url.clone());
        let task = tokio::spawn(async move {
            while !stop.load(Relaxed) {
                let url = format!("{url}/v1beta/models/gemini-2.5-flash:generateContent");
                let token = keypool::gateway::token::PLACEHOLDER;
                let request = http::Request::post(url).header("x-goog-api-key", token);
                let good = crate::support::ask(request, crate::serving::HELLO).await.status == 200;
                if good { &told.0 } else { &told.1 }.fetch_add(1, Relaxed);
                // Not in step with anybody.
                tokio::time::sleep(std::time::Duration::from_millis(fastrand::u64(0..5))).await;
            }
        });
        Self { over, counts, task }
    }

    async fn end(self) {
        self.over.store(true, Relaxed);
        self.task.await.unwrap();
        let (good, bad) = (self.counts.0.load(Relaxed), self.counts.1.load(Relaxed));
        assert!(good > 0 && bad == 0, "{good} good, {bad} bad");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_by_command_acts_within_2_s_and_drops_no_request() {
    let (home, sim) = (Home::new(), simulator(4).await);
    home.add(0, "one", &[]);
    for named in [false, true] {
        let path = home.database();
        let db = ["--db", path.to_str().unwrap()];
        let running = home.serve(&sim, if named { &db } else { &[] });
        let traffic = Traffic::begin(&running);
        within_2s(&running, &["one"]).await;

        home.add(1, "two", &[]);
        within_2s(&running, &["one", "two"]).await;
        home.run(&["keys", "disable", "one", "--reason", "by hand"]).good();
        within_2s(&running, &["two"]).await;
        home.run(&["keys", "enable", "one"]).good();
        within_2s(&running, &["one", "two"]).await;
        home.run(&["keys", "set", "one", "--priority", "7"]).good();
        within_2s(&running, &["two"]).await;
        home.run(&["keys", "remove", "two"]).good();
        within_2s(&running, &["one"]).await;

        // Another secret under the same name: the simulator's third project serves.
        let third = || sim.report().projects[2].tally.accepted;
        let before = third();
        home.pipe(&["keys", "replace", "one"], &secret(2)).good();
        asked_until(&running, || third() > before).await;
        assert_eq!(servers(&running, 1).await, ["one"]);
        // A file that nobody knew of: many at once.
        home.pipe(&["import", "-"], &format!("{} id=four priority=8\n", secret(3))).good();
        home.run(&["keys", "disable", "one"]).good();
        within_2s(&running, &["four"]).await;
        traffic.end().await;
        let told = end(running).await;
        assert!(told.contains(": added two") && told.contains("keys changed by command"), "{told}");

        home.run(&["keys", "remove", "four"]).good();
        home.run(&["keys", "remove", "one"]).good();
        home.add(0, "one", &[]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_comes_later_is_found_and_the_last_key_may_go() {
    let (home, sim) = (Home::new(), simulator(3).await);
    let mut command = home.command(&["serve", "--listen", "127.0.0.1:0", "--upstream", &sim.url(), "--wait", "0"]);
    let running = Running::spawn(command.env("GEMINI_API_KEY", secret(0)).env("KEYPOOL_DB", home.at("own.db")));
    let db = home.at("own.db");
    let db = ["--db", db.to_str().unwrap()];
    let varied = servers(&running, 1).await;
    home.add(1, "later", &db);
    home.run(&[&["keys", "disable", &*varied[0]], &db[..]].concat()).good();
    within_2s(&running, &["later"]).await;
    home.run(&[&["keys", "remove", "later"], &db[..]].concat()).good();
    within_2s(&running, &["503"]).await;
    home.add(2, "again", &db);
    within_2s(&running, &["again"]).await;
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_switched_off_while_it_is_away_comes_back_so() {
    let (home, sim) = (Home::new(), simulator(2).await);
    let file = home.at("keys.txt");
    let lines = [0, 1].map(|n| format!("{} id=k{n} priority={n}\n", secret(n)));
    std::fs::write(&file, lines.concat()).unwrap();
    let mut running = home.serve(&sim, &["--keys", file.to_str().unwrap()]);
    within_2s(&running, &["k0"]).await;
    std::fs::write(&file, &lines[1]).unwrap();
    within_2s(&running, &["k1"]).await;
    home.run(&["keys", "disable", "k0", "--reason", "leaked"]).good();
    std::fs::write(&file, format!("{}{}", lines.concat(), "# again\n")).unwrap();
    running.line_with("added k0");
    within_2s(&running, &["k1"]).await;
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_on_one_database_hear_the_same() {
    let (home, sim) = (Home::new(), simulator(3).await);
    home.add(0, "one", &[]);
    let db = home.database();
    let first = home.serve(&sim, &["--db", db.to_str().unwrap()]);
    let second = home.serve(&sim, &[]);
    home.add(1, "two", &[]);
    home.run(&["keys", "disable", "one"]).good();
    for running in [&first, &second] {
        within_2s(running, &["two"]).await;
    }
    home.run(&["keys", "enable", "one"]).good();
    for running in [&first, &second] {
        within_2s(running, &["one", "two"]).await;
    }
    end(first).await;
    end(second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_pool_itself_disabled_stays_so_until_somebody_enables_it() {
    let suspended = Project::new("100000000000").key(Key::new(secret(0)).refused(Refusal::ConsumerSuspended));
    let sim = GeminiSim::builder().project(suspended).project(Project::new("100000000001").key(secret(1)));
    let sim = sim.start().await.unwrap();
    let home = Home::new();
    home.add(0, "bad", &[]);
    home.add(1, "good", &["--priority", "1"]);
    let db = home.database();
    let running = home.serve(&sim, &["--db", db.to_str().unwrap()]);
    let refused = || sim.report().total.rejected_as("consumer_suspended");
    assert_eq!(servers(&running, 2).await, ["good"]);
    // What the pool found out is no news to itself, nor is another key's change.
    home.run(&["keys", "set", "good", "--weight", "2"]).good();
    for _ in 0..15 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        assert_eq!(servers(&running, 1).await, ["good"]);
    }
    assert_eq!(refused(), 1);
    let bad = home.key("bad");
    assert_eq!(bad["state"], "faulty", "{bad}");
    assert!(bad["reason"].as_str().unwrap().contains("CONSUMER_SUSPENDED"), "{bad}");

    // By hand it is tried once more, in the process that runs and in one that starts later.
    home.run(&["keys", "enable", "bad"]).good();
    asked_until(&running, || refused() == 2).await;
    end(running).await;
    home.run(&["keys", "enable", "bad"]).good();
    assert_eq!(home.key("bad")["state"], "usable");
    let running = home.serve(&sim, &["--db", db.to_str().unwrap()]);
    assert_eq!(servers(&running, 3).await, ["good"]);
    assert_eq!(refused(), 3);
    end(running).await;
}

/// Whose quota the new secret counts in is to be agreed on with all who share it, before and after its key's first request.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_with_limits_is_lent_with_each_secret_that_it_gets() {
    let (home, sim) = (Home::new(), simulator(3).await);
    home.add(0, "one", &["--rpm", "300"]);
    let db = home.database();
    let running = home.serve(&sim, &["--db", db.to_str().unwrap()]);
    for n in [1, 2] {
        home.pipe(&["keys", "replace", "one"], &secret(n)).good();
        asked_until(&running, || sim.report().projects[n].tally.accepted > 3).await;
    }
    end(running).await;
}

/// A secret that comes while the gateway runs counts where the one before it did, and so it does in the next gateway.
#[tokio::test(flavor = "multi_thread")]
async fn what_both_secrets_of_a_key_used_counts_after_a_restart() {
    let (home, sim) = (Home::new(), simulator(2).await);
    home.add(0, "one", &["--rpd", "8"]);
    let db = home.database();
    let db = ["--db", db.to_str().unwrap()];
    let mut running = home.serve(&sim, &db);
    assert_eq!(servers(&running, 4).await.last().map(String::as_str), Some("one"));
    home.pipe(&["keys", "replace", "one"], &secret(1)).good();
    running.line_with("keys changed by command");
    let accepted = |n: usize| sim.report().projects[n].tally.accepted;
    asked_until(&running, || accepted(1) > 0).await;
    asked_until(&running, || accepted(0) + accepted(1) >= 8).await;
    assert_eq!(servers(&running, 1).await, ["503"]);
    end(running).await;
    let running = home.serve(&sim, &db);
    for _ in 0..3 {
        assert_eq!(servers(&running, 1).await, ["503"]);
    }
    home.add(0, "back", &["--rpd", "8"]);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(servers(&running, 1).await, ["503"], "nor with the first one again");
    assert_eq!(accepted(0) + accepted(1), 8);
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_command_said_outlives_a_process_that_is_killed_at_once() {
    let (home, sim) = (Home::new(), simulator(3).await);
    home.add(0, "one", &["--rpd", "8"]);
    home.add(1, "two", &["--priority", "5"]);
    let db = home.database();
    let db = ["--db", db.to_str().unwrap()];
    let running = home.serve(&sim, &db);
    assert_eq!(servers(&running, 4).await, ["one"]);
    // Two writes later the mark is a quiet one: a crash costs little.
    let written = async { while used(&home).await < 4 {} };
    tokio::time::timeout(ACTS, written).await.expect("what was used is written");
    tokio::time::sleep(std::time::Duration::from_millis(450)).await;
    home.pipe(&["keys", "replace", "one"], &secret(2)).good();
    home.run(&["keys", "disable", "two"]).good();
    running.kill();
    let running = home.serve(&sim, &db);
    assert_eq!(servers(&running, 1).await, ["one"]);
    assert_eq!(servers(&running, 4).await.last().map(String::as_str), Some("one"));
    assert_eq!(servers(&running, 1).await, ["503"], "what the old secret used counts for the new one");
    let accepted = |n: usize| sim.report().projects[n].tally.accepted;
    assert!(accepted(0) == 4 && (1..=4).contains(&accepted(2)), "of eight a day, but for what the crash may have cost");
    home.run(&["keys", "enable", "two"]).good();
    running.kill();
    let running = home.serve(&sim, &db);
    assert_eq!(servers(&running, 1).await, ["two"]);
    end(running).await;
    assert!(home.run(&["db", "check"]).good().contains("is whole"));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_know_what_the_secret_before_has_used() {
    let (home, sim) = (Home::new(), simulator(2).await);
    home.add(0, "one", &["--rpd", "3"]);
    let db = home.database();
    let running = home.serve(&sim, &["--db", db.to_str().unwrap()]);
    assert_eq!(servers(&running, 4).await, ["503", "one"]);
    let out = |home: &Home| {
        let key = home.key("one");
        (key["state"] == "out_for_today", key["used_today"].as_i64())
    };
    let written = async {
        while out(&home) != (true, Some(3)) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(ACTS, written).await.expect("what was used is written");
    home.pipe(&["keys", "replace", "one", "-"], &secret(1)).good();
    assert_eq!(out(&home), (true, Some(3)), "at once");
    home.run(&["health"]).bad(2, "no key is usable");
    // The gateway goes by it, and writes what it knows.
    within_2s(&running, &["503"]).await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(servers(&running, 1).await, ["503"]);
    assert_eq!(out(&home), (true, Some(3)));
    end(running).await;
    assert_eq!(out(&home), (true, Some(3)), "and after its end");
}

/// All requests that the database knows of.
async fn used(home: &Home) -> i64 {
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    let store = tower_keypool::store::Sqlite::inspect(home.database()).unwrap();
    let used = tower_keypool::store::Store::usage(&store, "0000-01-01", "9999-12-31").await.unwrap();
    used.iter().map(|used| used.requests).sum()
}
