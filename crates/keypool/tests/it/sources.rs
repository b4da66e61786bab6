//! A pool is the union of its sources by secret.

use serde_json::json;

use crate::{
    binary::Running,
    home::{Home, asked_until, end, secret, servers, simulator, within_2s},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_is_the_union_of_its_sources_by_secret_and_each_key_remembers_its_origins() {
    let (home, sim) = (Home::new(), simulator(4).await);
    home.write("key.txt", &format!("{} id=both\n{} id=filed\n", secret(0), secret(1)));
    home.write("keypool.toml", &format!("[[keys]]\nid = \"toml\"\nsecret = \"{}\"\n", secret(2)));
    home.add(0, "added", &[]);
    let mut command = home.command(&["serve", "--listen", "127.0.0.1:0", "--upstream", &sim.url(), "--wait", "0"]);
    let keys = format!("{},{}", secret(1), secret(3));
    let running = Running::spawn(command.env("GEMINI_API_KEYS", keys).env("KEYPOOL_DB", home.database()));
    let told = running.told.clone();
    assert!(told.contains("4 keys:"), "{told}");
    assert!(told.contains("key.txt:1 and database: both"), "the file names it: {told}");
    assert!(told.contains("key.txt:2 and env GEMINI_API_KEYS: filed"), "{told}");
    assert_eq!(servers(&running, 16).await.len(), 4);
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_taken_out_of_a_file_leaves_and_its_history_stays() {
    let (home, sim) = (Home::new(), simulator(3).await);
    home.write("key.txt", &format!("{} id=one\n{} id=two\n{} id=three\n", secret(0), secret(1), secret(2)));
    home.add(2, "three", &[]);
    let db = home.database();
    let running = home.serve(&sim, &["--db", db.to_str().unwrap()]);
    assert_eq!(servers(&running, 6).await, ["one", "three", "two"]);
    let created = home.key("one")["created"].clone();
    home.write("key.txt", &format!("{} id=two\n", secret(1)));
    within_2s(&running, &["three", "two"]).await;
    end(running).await;
    let one = home.key("one");
    assert!(one["state"] == "removed" && one["used_today"].as_i64() >= Some(2), "{one}");
    assert!(one["last_success"].is_string());
    assert_eq!(home.key("three")["state"], "usable", "the database has it, too");
    let usage = home.run(&["usage", "--json"]).json();
    let used: Vec<&str> = usage["rows"].as_array().unwrap().iter().map(|row| row["key"].as_str().unwrap()).collect();
    assert_eq!(used, ["one", "three", "two"]);

    // It comes back as what it was.
    home.write("key.txt", &format!("{} id=uno\n{} id=two\n", secret(0), secret(1)));
    let running = home.serve(&sim, &["--db", db.to_str().unwrap()]);
    assert_eq!(servers(&running, 6).await, ["three", "two", "uno"]);
    end(running).await;
    assert_eq!((&home.key("uno")["created"], &home.key("uno")["state"]), (&created, &json!("usable")));
}

#[tokio::test(flavor = "multi_thread")]
async fn disabled_in_the_database_wins_over_every_source() {
    let (home, sim) = (Home::new(), simulator(4).await);
    home.write("key.txt", &format!("{} id=filed\n{} id=other\n", secret(0), secret(1)));
    home.write("keypool.toml", &format!("[[keys]]\nid = \"toml\"\nsecret = \"{}\"\n", secret(2)));
    let db = home.database();
    let db = ["--db", db.to_str().unwrap()];
    let start = || {
        let mut command = home.command(&["serve", "--listen", "127.0.0.1:0", "--upstream", &sim.url(), "--wait", "0"]);
        Running::spawn(command.args(db).env("GEMINI_API_KEY", secret(3)))
    };
    let running = start();
    let all = servers(&running, 16).await;
    assert_eq!(all.len(), 4);
    let variable = all.iter().find(|id| id.starts_with("k-")).unwrap().clone();
    home.run(&["keys", "disable", "filed", "toml", &variable]).good();
    within_2s(&running, &["other"]).await;
    // Nothing that happens to the sources brings them back.
    home.write("key.txt", &format!("{} id=filed weight=3\n{} id=other\n", secret(0), secret(1)));
    running.signal("-HUP");
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert_eq!(servers(&running, 4).await, ["other"]);
    end(running).await;
    let running = start();
    assert_eq!(servers(&running, 4).await, ["other"]);
    // Added by command it is off, and that is said.
    let added = home.pipe(&["add-key"], &secret(0)).good();
    assert!(added.contains("it is switched off"), "{added}");
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert_eq!(servers(&running, 4).await, ["other"]);
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_file_that_no_pool_has_had_is_listed_and_switched_off() {
    let (home, sim) = (Home::new(), simulator(2).await);
    home.write("key.txt", &format!("{} id=filed\n{} id=other\n", secret(0), secret(1)));
    assert_eq!(home.key("filed")["origins"], json!(["key.txt:1"]));
    home.run(&["health"]).good();
    assert!(!home.database().exists(), "looked at alone");
    home.run(&["keys", "disable", "filed"]).good();
    assert_eq!(home.key("filed")["state"], "disabled");
    let running = home.serve(&sim, &[]);
    assert_eq!(servers(&running, 4).await, ["other"]);
    end(running).await;
    home.write("keypool.toml", "[pool]\nstrategi = 1\n");
    let ended = home.run(&["keys"]);
    assert!(ended.err.contains("keypool config check"), "{ended:?}");
    ended.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_says_holds_and_the_database_says_the_rest() {
    let (home, sim) = (Home::new(), simulator(3).await);
    home.write("key.txt", &format!("{} id=said priority=1 rpd=2\n{} id=silent\n", secret(0), secret(1)));
    let db = home.database();
    let db = ["--db", db.to_str().unwrap()];
    let running = home.serve(&sim, &db);
    assert_eq!(servers(&running, 1).await, ["silent"]);
    // The file says where `said` stands, and nothing of `silent`.
    home.run(&["keys", "set", "said", "--priority", "3", "--rpd", "1000", "--owner", "me"]).good();
    home.run(&["keys", "set", "silent", "--priority", "2", "--rpd", "5"]).good();
    // Of a place that only the database names, the other comes later.
    asked_until(&running, || sim.report().projects[0].tally.accepted == 2).await;
    let metrics = keys_by_owner(&running).await;
    assert!(metrics.contains("owner=\"me\""), "of owners the file says nothing: {metrics}");
    servers(&running, 5).await;
    assert_eq!(sim.report().projects[0].tally.accepted, 2, "two a day, as the file says, and not a thousand");
    end(running).await;

    // Where the file says nothing any more, the database does.
    home.write("key.txt", &format!("{} id=said\n{} id=silent priority=4\n", secret(0), secret(1)));
    let running = home.serve(&sim, &db);
    assert_eq!(servers(&running, 1).await, ["said"], "3 before 4, and a thousand a day");
    home.run(&["keys", "set", "said", "--unset", "priority,limits"]).good();
    home.run(&["keys", "set", "silent", "--unset", "limits"]).good();
    home.write("key.txt", &format!("{} id=said\n{} id=silent\n", secret(0), secret(1)));
    home.run(&["keys", "set", "said", "--priority", "9"]).good();
    within_2s(&running, &["silent"]).await;
    end(running).await;
}

async fn keys_by_owner(running: &Running) -> String {
    let request = http::Request::get(format!("{}/-/metrics", running.url));
    String::from_utf8_lossy(&crate::support::ask(request, "").await.body).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clients_token_in_the_database_is_no_key() {
    let (home, sim) = (Home::new(), simulator(2).await);
    home.add(0, "token", &[]);
    home.add(1, "key", &[]);
    let mut command = home.command(&["serve", "--listen", "127.0.0.1:0", "--upstream", &sim.url()]);
    let running = Running::spawn(command.env("KEYPOOL_DB", home.database()).env("KEYPOOL_TOKEN", secret(0)));
    let told = running.told.clone();
    assert!(told.contains("1 key: 1 from database") && told.contains("it is the token that clients send"), "{told}");
    assert!(!told.contains(&secret(0)), "{told}");
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_key_file_is_no_hindrance_where_keys_stand_elsewhere() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.write("key.txt", "# later\n");
    home.run(&["serve"]).bad(2, "key.txt holds no usable key");
    home.add(0, "added", &[]);
    let running = home.serve(&sim, &["--db", home.database().to_str().unwrap()]);
    assert!(running.told.contains("key.txt holds no usable key"), "{}", running.told);
    assert_eq!(servers(&running, 2).await, ["added"]);
    end(running).await;
}
