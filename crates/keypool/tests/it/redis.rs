//! Machines that share a Redis server: each has a home of its own, and nothing in common but the server's address.

use std::{
    io::Write,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use gemini_sim::{GeminiSim, Limits, Project};
use http::{Method, StatusCode};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use redis_fixture::RedisServer;

use crate::{
    admin::{TOKEN, get, send},
    binary::{Running, key_file},
    home::{ACTS, Home, end, hello, secret, servers, simulator, within_2s},
    sharing::{load, pass, until},
    support::ask,
    tenants,
};

const SECRET_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// How many strings and hashes of the server have a text in them or in their name.
const FOUND: &str = "local found = 0
for _, key in ipairs(redis.call('KEYS', '*')) do
  local kind, text = redis.call('TYPE', key).ok, ''
  if kind == 'string' then text = redis.call('GET', key)
  elseif kind == 'hash' then text = table.concat(redis.call('HGETALL', key), ' ') end
  if string.find(key .. ' ' .. text, ARGV[1], 1, true) then found = found + 1 end
end
return tostring(found)";

/// One more process on a machine, on that server.
fn serve(home: &Home, sim: &GeminiSim, redis: &str, more: &[&str]) -> Running {
    let url = sim.url();
    let args = ["serve", "--listen", "127.0.0.1:0", "--upstream", &url, "--wait", "0", "--redis", redis];
    let mut command = home.command(&[&args, more].concat());
    Running::of({
        command.env("KEYPOOL_SECRET_KEY", SECRET_KEY);
        command
    })
}

/// A command on that machine, with the key of the secrets.
fn run(home: &Home, redis: &str, args: &[&str], text: &str) -> crate::home::Ended {
    let mut command = home.command(args);
    command.env("KEYPOOL_REDIS_URL", redis).env("KEYPOOL_SECRET_KEY", SECRET_KEY);
    Home::ended(command, text)
}

/// A provider with so many projects, and their keys in a file.
async fn field(owners: u32, a_minute: u64) -> (GeminiSim, tempfile::NamedTempFile) {
    let secret = |n: u32| format!("AIzaSyTEST-redis-key-number-{n:010}");
    let project = |n| Project::new(format!("3000000{n:05}")).limits(Limits::none().rpm(a_minute)).key(secret(n));
    let sim = (0..owners).fold(GeminiSim::builder(), |sim, n| sim.project(project(n)));
    let lines: Vec<String> = (0..owners).map(|n| format!("{} rpm={a_minute}\n", secret(n))).collect();
    (sim.start().await.unwrap(), key_file(&lines.concat()))
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_added_on_one_machine_serve_on_all_and_changes_act_within_2_s() {
    let Some(server) = RedisServer::start() else { return };
    let (one, other, sim, redis) = (Home::new(), Home::new(), simulator(3).await, server.url());
    let said = run(&one, &redis, &["add-key", "-", "--id", "first"], &secret(0)).good();
    assert!(said.contains(&format!("added first to {redis}; its secret is encrypted")), "{said}");
    let (here, there) = (serve(&one, &sim, &redis, &[]), serve(&other, &sim, &redis, &[]));
    assert!(here.told.contains(&format!("are kept in {redis}")), "{}", here.told);
    within_2s(&here, &["first"]).await;
    within_2s(&there, &["first"]).await;

    run(&other, &redis, &["add-key", "--id", "second"], &secret(1)).good();
    within_2s(&here, &["first", "second"]).await;
    within_2s(&there, &["first", "second"]).await;
    run(&one, &redis, &["keys", "disable", "first", "--reason", "for a test"], "").good();
    within_2s(&there, &["second"]).await;
    within_2s(&here, &["second"]).await;
    run(&one, &redis, &["keys", "enable", "first"], "").good();
    within_2s(&there, &["first", "second"]).await;
    run(&one, &redis, &["keys", "replace", "second"], &secret(2)).good();
    within_2s(&there, &["first", "second"]).await;
    // Of keys that are idle the heaviest serves.
    run(&other, &redis, &["keys", "set", "first", "--weight", "2.5"], "").good();
    within_2s(&there, &["first"]).await;
    within_2s(&here, &["first"]).await;
    run(&other, &redis, &["keys", "remove", "first"], "").good();
    within_2s(&here, &["second"]).await;
    within_2s(&there, &["second"]).await;

    // What was used stands there for all, a moment later.
    let mut used = 0;
    for _ in 0..40 {
        let told = run(&one, &redis, &["usage", "--json"], "").json();
        used = told["total"]["requests"].as_i64().unwrap();
        if used > 20 {
            break;
        }
        pass(100).await;
    }
    assert!(used > 20, "{used}");
    let listed = run(&other, &redis, &["keys", "--json"], "").json();
    assert_eq!((listed.as_array().unwrap().len(), &listed[0]["secret"]), (1, &"encrypted".into()), "{listed}");
    assert!(run(&one, &redis, &["stats"], "").good().contains("1 key: 1 usable"));
    run(&one, &redis, &["health"], "").good();
    run(&one, &redis, &["db", "backup", "x"], "").bad(2, "Redis' own tools");
    end(here).await;
    end(there).await;

    // The secret's key is not known: the key is left out, and that is said.
    let mut command = other.command(&["serve", "--listen", "127.0.0.1:0", "--redis", &redis]);
    let out = command.stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert_eq!(out.status.code(), Some(2), "{text}");
    assert!(text.contains("second is encrypted: set KEYPOOL_SECRET_KEY"), "{text}");
    // Where no gateway runs a machine tells of what it could use itself.
    let health = other.run(&["health", "--redis", &redis]);
    health.bad(2, "");
    let keys = other.run(&["keys", "--redis", &redis]);
    assert!(keys.out.contains("KEYPOOL_SECRET_KEY"), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_sees_and_changes_what_all_machines_have() {
    let Some(server) = RedisServer::start() else { return };
    let (one, other, sim, redis) = (Home::new(), Home::new(), simulator(2).await, server.url());
    run(&one, &redis, &["add-key", "-", "--id", "first"], &secret(0)).good();
    run(&one, &redis, &["add-key", "-", "--id", "second"], &secret(1)).good();
    let (here, there) =
        (serve(&one, &sim, &redis, &["--admin-token", TOKEN]), serve(&other, &sim, &redis, &["--admin-token", TOKEN]));
    within_2s(&there, &["first", "second"]).await;
    let done = send(&here, Method::POST, "/keys/first/disable", "").await;
    assert_eq!(done.status, 200, "{done:?}");
    within_2s(&there, &["second"]).await;
    within_2s(&here, &["second"]).await;
    let processes = get(&here, "/processes").await;
    assert_eq!(processes["processes"].as_array().unwrap().len(), 2, "{processes}");
    // Each tells of itself, the other one of it once that wrote; what is written is seen by all.
    let (ours, theirs) = (get(&here, "/usage?by=tenant").await, get(&there, "/usage?by=tenant").await);
    let requests = |used: &serde_json::Value| used["total"]["requests"].as_u64().unwrap();
    assert!(requests(&theirs) >= requests(&ours), "{ours} {theirs}");
    end(there).await;
    assert_eq!(requests(&get(&here, "/usage?by=tenant").await), requests(&theirs));
    assert_eq!(get(&here, "/processes").await["processes"].as_array().unwrap().len(), 1);
    end(here).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_those_of_all_machines_and_so_are_their_limits() {
    let Some(server) = RedisServer::start() else { return };
    let (one, other, sim, redis) = (Home::new(), Home::new(), simulator(2).await, server.url());
    run(&one, &redis, &["add-key", "-", "--id", "first"], &secret(0)).good();
    run(&one, &redis, &["add-key", "-", "--id", "second"], &secret(1)).good();
    let running = [serve(&one, &sim, &redis, &[]), serve(&other, &sim, &redis, &[])];
    within_2s(&running[0], &["first", "second"]).await;
    within_2s(&running[1], &["first", "second"]).await;
    let add = |home: &Home, name: &str, limit: &[&str]| {
        let said = run(home, &redis, &[&["tenants", "add", name], limit].concat(), "").good();
        said.lines().find(|line| line.starts_with("kp-")).expect("the token").trim().to_owned()
    };
    // Added on one machine, let in on both; revoked on the other, and out on both.
    let alice = add(&one, "alice", &["--rpm", "1000"]);
    for gateway in &running {
        tenants::within_2s(gateway, &alice, StatusCode::OK).await;
    }
    run(&other, &redis, &["tenants", "revoke", "alice"], "").good();
    for gateway in &running {
        tenants::within_2s(gateway, &alice, StatusCode::UNAUTHORIZED).await;
    }
    let listed = run(&one, &redis, &["tenants", "list", "--json"], "").json();
    assert_eq!((listed[0]["name"].as_str(), listed[0]["state"].as_str()), (Some("alice"), Some("revoked")), "{listed}");
    let found = |text: &str| server.command(&["EVAL", FOUND, "0", text]).text().to_owned();
    assert_eq!((found(&alice[3..]), found("alice") == "0"), ("0".to_owned(), false), "kept as a hash");

    // Together they let in what the limit allows, and not one more: requests, and tokens once they are spent.
    let (few, cheap) = (add(&one, "few", &["--rpd", "7"]), add(&other, "cheap", &["--tpd", "100"]));
    let mut answers = (0, 0);
    let asking = async {
        for at in 0.. {
            let gateway = &running[at % 2];
            match tenants::hello(gateway, &few).await.status {
                StatusCode::OK => answers.0 += 1,
                StatusCode::TOO_MANY_REQUESTS => answers.1 += 1,
                // It has not heard of the tenant yet.
                StatusCode::UNAUTHORIZED if at < 2 => tenants::within_2s(gateway, &cheap, StatusCode::OK).await,
                status => panic!("{status}"),
            }
            if at >= 23 && answers.0 >= 7 {
                break;
            }
            // On a busy machine the one has not heard yet of what the other does not need.
            if at >= 23 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    };
    let _ = tokio::time::timeout(ACTS, asking).await;
    assert_eq!(answers.0, 7, "{answers:?}");
    assert!(answers.1 >= 15, "{answers:?}");
    let mut served = 0;
    while tenants::hello(&running[served % 2], &cheap).await.status == StatusCode::OK {
        served += 1;
        assert!(served < 60, "a hundred tokens are spent by then");
    }
    for gateway in &running {
        tenants::within_2s(gateway, &cheap, StatusCode::TOO_MANY_REQUESTS).await;
    }
    for gateway in running {
        end(gateway).await;
    }
}

/// What the server forgets those who run put into it again.
#[tokio::test(flavor = "multi_thread")]
async fn tenants_outlive_a_server_that_forgets() {
    let Some(server) = RedisServer::start() else { return };
    let (home, sim, redis) = (Home::new(), simulator(1).await, server.url());
    run(&home, &redis, &["add-key", "-", "--id", "first"], &secret(0)).good();
    let running = serve(&home, &sim, &redis, &[]);
    within_2s(&running, &["first"]).await;
    let add = |name: &str| {
        let said = run(&home, &redis, &["tenants", "add", name], "").good();
        said.lines().find(|line| line.starts_with("kp-")).expect("the token").trim().to_owned()
    };
    let (alice, bob) = (add("alice"), add("bob"));
    for token in [&alice, &bob] {
        tenants::within_2s(&running, token, StatusCode::OK).await;
    }
    run(&home, &redis, &["tenants", "revoke", "bob"], "").good();
    tenants::within_2s(&running, &bob, StatusCode::UNAUTHORIZED).await;
    server.command(&["FLUSHALL"]);
    let again = async || loop {
        let listed = run(&home, &redis, &["tenants", "list", "--json"], "").json();
        if listed.as_array().is_some_and(|listed| listed.len() == 2) {
            return listed;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let listed = tokio::time::timeout(ACTS, again()).await.expect("they are there again");
    let states: Vec<_> = listed.as_array().unwrap().iter().map(|tenant| tenant["state"].as_str()).collect();
    assert_eq!(states, [Some("active"), Some("revoked")], "{listed}");
    tenants::within_2s(&running, &bob, StatusCode::UNAUTHORIZED).await;
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_lacks_a_secret_serves_with_the_others_and_never_takes_its_unit() {
    let Some(server) = RedisServer::start() else { return };
    let (one, other, sim, redis) = (Home::new(), Home::new(), simulator(2).await, server.url());
    let mut command = one.command(&["add-key", "--env", "HERE_KEY", "--id", "here"]);
    command.env("HERE_KEY", secret(0)).env("KEYPOOL_REDIS_URL", &redis);
    Home::ended(command, "").good();
    run(&one, &redis, &["add-key", "-", "--id", "all"], &secret(1)).good();
    let lacking = serve(&other, &sim, &redis, &["--lease", "1"]);
    let told = &lacking.told;
    assert!(told.contains("the secret of here is in the variable HERE_KEY") && told.contains("left out"), "{told}");
    let url = sim.url();
    let args =
        ["serve", "--listen", "127.0.0.1:0", "--upstream", &url, "--wait", "0", "--redis", &redis, "--lease", "1"];
    let mut command = one.command(&args);
    command.env("HERE_KEY", secret(0)).env("KEYPOOL_SECRET_KEY", SECRET_KEY);
    let having = Running::of(command);
    pass(1_500).await;
    assert_eq!(servers(&lacking, 6).await, ["all"]);
    within_2s(&having, &["all", "here"]).await;
    end(lacking).await;
    end(having).await;
}

#[test]
fn in_redis_secrets_are_encrypted_or_not_written() {
    let Some(server) = RedisServer::start() else { return };
    let (home, redis) = (Home::new(), server.url());
    let with = |args: &[&str]| {
        let mut command = home.command(args);
        command.env("KEYPOOL_REDIS_URL", &redis);
        Home::ended(command, &secret(0))
    };
    with(&["add-key", "-"]).bad(2, "set KEYPOOL_SECRET_KEY");
    with(&["add-key", "-", "--plain"]).bad(2, "always encrypted");
    let file = home.write("keys.txt", &format!("{}\n{}\n", secret(1), secret(2)));
    with(&["import", &file]).bad(2, "set KEYPOOL_SECRET_KEY");
    let said = run(&home, &redis, &["import", &file, "--source", "mail"], "").good();
    assert!(said.contains("2 keys added"), "{said}");
    assert!(run(&home, &redis, &["import", "--history"], "").good().contains("mail"));
    let dump = server.command(&["HGETALL", "{keypool}:secrets"]);
    crate::home::no_secret(&format!("{dump:?}"));
    // With another key from now on.
    let by = |key: &str, args: &[&str]| {
        let mut command = home.command(args);
        command.env("KEYPOOL_REDIS_URL", &redis).env("KEYPOOL_SECRET_KEY", key);
        Home::ended(command, "")
    };
    let new = "6b".repeat(32);
    by(&new, &["db", "rekey"]).bad(1, "nothing was changed");
    let told = by(&format!("{new} {SECRET_KEY}"), &["db", "rekey", "--json"]).json();
    assert_eq!(told["encrypted_anew"], 2, "{told}");
    assert!(by(&new, &["config", "check"]).good().contains("2 keys"));
    assert!(!by(SECRET_KEY, &["config", "check"]).err.is_empty());
    crate::home::no_secret(&format!("{:?}", server.command(&["HGETALL", "{keypool}:secrets"])));
    assert!(!home.database().exists(), "nothing in a file");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_a_file_or_a_variable_is_never_on_the_server() {
    let Some(server) = RedisServer::start() else { return };
    let (home, sim, redis) = (Home::new(), simulator(3).await, server.url());
    let file = home.write("keys.txt", &format!("{} id=filed\n", secret(0)));
    home.write("keypool.toml", &format!("[[keys]]\nid = \"toml\"\nsecret = \"{}\"\n", secret(1)));
    let url = sim.url();
    let args =
        ["serve", "--listen", "127.0.0.1:0", "--upstream", &url, "--wait", "0", "--redis", &redis, "--keys", &file];
    let mut command = home.command(&args);
    command.env("GEMINI_API_KEY", secret(2)).env("KEYPOOL_SECRET_KEY", SECRET_KEY);
    let running = Running::of(command);
    assert_eq!(servers(&running, 6).await.len(), 3);
    end(running).await;
    let found = |text: &str| server.command(&["EVAL", FOUND, "0", text]).text().to_owned();
    assert_ne!(found("filed"), "0", "what is known of it lies there");
    for n in 0..3 {
        assert_eq!(found(&secret(n)), "0");
    }
    crate::home::no_secret(&format!("{:?}", server.command(&["HGETALL", "{keypool}:secrets"])));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_on_one_redis_that_is_killed_and_started_again_exceed_no_limit() {
    let Some(mut server) = RedisServer::lasting() else { return };
    let (sim, keys) = field(4, 600).await;
    let (home, redis) = (Home::new(), server.url());
    let more = ["--keys", keys.path().to_str().unwrap(), "--lease", "2"];
    let all = [serve(&home, &sim, &redis, &more), serve(&home, &sim, &redis, &more)];
    let stop = Arc::new(AtomicBool::new(false));
    let seen: Vec<_> = all.iter().map(|running| load(&running.url, 1, &stop)).collect();
    let served = || -> usize { seen.iter().map(|seen| seen.served.load(Relaxed)).sum() };
    // On a board that was never there it takes a lease until the first unit is lent.
    until(60, || served() > 50).await;
    let before = served();
    // Not for as long as a lease: what is held is held, and said again.
    server.kill();
    pass(700).await;
    server.start_again();
    until(60, || served() > before + 50).await;
    // For longer: then nobody starts anything.
    server.kill();
    pass(2_500).await;
    // Nothing is started without a lease; what was started before may take a while to be heard of.
    let mut closed = usize::MAX;
    for _ in 0..20 {
        if std::mem::replace(&mut closed, served()) == closed {
            break;
        }
        pass(1_500).await;
    }
    assert_eq!(served(), closed, "nothing is started without a lease");
    server.start_again();
    pass(3_000).await;
    stop.store(true, Relaxed);
    pass(300).await;
    let report = sim.report();
    assert_eq!(report.total.over_limit, 0, "{report}");
    assert!(seen.iter().all(|seen| seen.other.load(Relaxed) == 0), "every failure is that no key is left");
    for running in all {
        let told = end(running).await;
        assert!(told.contains("does not answer"), "{told}");
    }
}

#[test]
fn a_redis_that_is_not_there_is_waited_for_and_then_named() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let home = Home::new();
    let keys = home.write("keys.txt", &secret(0));
    let config = home.write("keypool.toml", "store.wait = '1s'\n");
    let url = format!("redis://me:the-password@127.0.0.1:{free}");
    let ended = home.run(&["serve", "--config", &config, "--keys", &keys, "--listen", "127.0.0.1:0", "--redis", &url]);
    assert!(!ended.err.contains("the-password") && !ended.out.contains("the-password"), "{ended:?}");
    assert!(ended.err.contains(&free.to_string()) && ended.err.contains("waited 1s"), "{ended:?}");
    ended.bad(1, "Redis at 127.0.0.1");
    let ended = home.run(&["keys", "--redis", &url]);
    assert!(!ended.err.contains("the-password"), "{ended:?}");
    ended.bad(1, "Redis at 127.0.0.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_in_time_is_joined() {
    let Some(mut server) = RedisServer::start() else { return };
    let (home, sim, redis) = (Home::new(), simulator(1).await, server.url());
    let keys = home.write("keys.txt", &secret(0));
    server.kill();
    let coming = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(1_200));
        server.start_again();
        server
    });
    let running = serve(&home, &sim, &redis, &["--keys", &keys]);
    assert_eq!(hello(&running).await.status, 200);
    let _server = coming.await.unwrap();
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_without_memory_is_waited_for() {
    let Some(server) = RedisServer::start() else { return };
    let (home, sim, redis) = (Home::new(), simulator(1).await, server.url());
    run(&home, &redis, &["add-key", "-"], &secret(0)).good();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let config = home.write("short.toml", "store.wait = '1s'\n");
    let ended = run(&home, &redis, &["serve", "--config", &config, "--listen", "127.0.0.1:0"], "");
    assert!(ended.err.contains("waited 1s"), "{ended:?}");
    ended.bad(1, "OOM");

    let room = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_millis(1_200));
        server.command(&["CONFIG", "SET", "maxmemory", "0"]);
        server
    });
    let running = serve(&home, &sim, &redis, &[]);
    assert_eq!(hello(&running).await.status, 200);
    let _server = room.await.unwrap();
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_redis_it_begins_with_limits_divided_where_that_was_asked_for_and_joins_it_when_it_comes() {
    let Some(mut server) = RedisServer::start() else { return };
    let (home, (sim, keys), redis) = (Home::new(), field(1, 6).await, server.url());
    run(&home, &redis, &["add-key", "-", "--id", "added"], &secret(0)).good();
    server.kill();
    home.write("keypool.toml", "[store]\non_missing = 'local'\nexpected_processes = 3\nlease = '1s'\n");
    let running = serve(&home, &sim, &redis, &["--keys", keys.path().to_str().unwrap()]);
    let statuses = async |n: usize| {
        let mut seen = Vec::new();
        for _ in 0..n {
            seen.push(hello(&running).await.status.as_u16());
        }
        seen
    };
    assert_eq!(statuses(4).await, [200, 200, 503, 503], "a third of six");
    let page = async |name: &str| {
        let answer = ask(http::Request::get(format!("{}/-/{name}", running.url)), "").await;
        (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
    };
    let (_, metrics) = page("metrics").await;
    assert!(metrics.contains("keypool_sharing_state{state=\"local\"} 1"), "{metrics}");
    assert!(metrics.contains("keypool_store_up 0") && page("ready").await.0 == 200, "{metrics}");

    server.start_empty();
    for _ in 0..600 {
        if page("metrics").await.1.contains("keypool_store_up 1") {
            break;
        }
        pass(100).await;
    }
    let (_, metrics) = page("metrics").await;
    assert!(metrics.contains("keypool_store_up 1"), "{metrics}");
    pass(1_500).await;
    // What was started without it counts: six a minute in all.
    let after = statuses(8).await;
    assert!(after.iter().filter(|status| **status == 200).count() <= 4, "{after:?}");
    assert_eq!(sim.report().total.over_limit, 0);
    assert!(running.told.contains("limits are divided until it answers, and may be exceeded"), "{}", running.told);
    let told = end(running).await;
    assert!(told.contains("the store that processes share answers"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_for_longer_than_a_lease_is_told_by_ready_and_metrics() {
    let Some(mut server) = RedisServer::lasting() else { return };
    let (home, (sim, keys), redis) = (Home::new(), field(1, 600).await, server.url());
    let running = serve(&home, &sim, &redis, &["--keys", keys.path().to_str().unwrap(), "--lease", "2"]);
    let page = async |name: &str| {
        let answer = ask(http::Request::get(format!("{}/-/{name}", running.url)), "").await;
        (answer.status.as_u16(), String::from_utf8_lossy(&answer.body).into_owned())
    };
    // Until this is so, so many seconds at most.
    let until = async |what: &str, seconds: u64, holds: &dyn Fn(u16, &str) -> bool| {
        for _ in 0..seconds * 20 {
            let (ready, metrics) = (page("ready").await.0, page("metrics").await.1);
            if holds(ready, &metrics) {
                return;
            }
            pass(50).await;
        }
        panic!("{what}: {}", page("metrics").await.1);
    };
    for _ in 0..100 {
        if hello(&running).await.status == 200 {
            break;
        }
        pass(50).await;
    }
    let stands = |state: &str| format!("keypool_sharing_state{{state=\"{state}\"}} 1");
    until("connected", 3, &|ready, told| ready == 200 && told.contains(&stands("connected"))).await;
    server.kill();
    until("grace", 2, &|ready, told| {
        ready == 200 && told.contains(&stands("grace")) && told.contains("keypool_store_up 0")
    })
    .await;
    assert_eq!(hello(&running).await.status, 200, "leases hold");
    until("closed", 4, &|ready, told| ready == 503 && told.contains(&stands("fail_closed"))).await;
    assert_eq!(hello(&running).await.status, 503);
    until("counted", 2, &|_, told| !told.contains("keypool_sharing_fail_closed_demands_total 0")).await;
    server.start_again();
    until("back", 5, &|ready, told| ready == 200 && told.contains("keypool_store_up 1")).await;
    let told = end(running).await;
    assert!(told.contains("nothing with limits is sent") && told.contains("processes share answers"), "{told}");
}

#[test]
fn a_wrong_password_and_a_server_that_evicts_end_it_with_2() {
    let home = Home::new();
    let keys = home.write("keys.txt", &secret(0));
    let Some(server) = RedisServer::with(&["--save", "", "--requirepass", "the-password"]) else { return };
    let serve = ["serve", "--keys", &keys, "--listen", "127.0.0.1:0"];
    let port = server.port();
    for (url, password) in [
        (format!("redis://127.0.0.1:{port}"), None),
        (format!("redis://:not-the-password@127.0.0.1:{port}"), None),
        (format!("redis://127.0.0.1:{port}"), Some("not-the-password")),
    ] {
        let mut command = home.command(&serve);
        command.env("KEYPOOL_REDIS_URL", &url);
        if let Some(password) = password {
            command.env("KEYPOOL_REDIS_PASSWORD", password);
        }
        let ended = Home::ended(command, "");
        assert!(!format!("{ended:?}").contains("the-password"), "{ended:?}");
        assert!(ended.err.contains("KEYPOOL_REDIS_PASSWORD"), "the way out is named: {ended:?}");
        ended.bad(2, &format!("Redis at 127.0.0.1:{port}"));
    }
    let secret = home.write("password", "the-password\n");
    let mut command = home.command(&["keys"]);
    command.env("KEYPOOL_REDIS_URL", server.url()).env("KEYPOOL_REDIS_PASSWORD_FILE", &secret);
    command.env("GEMINI_API_KEY", crate::home::secret(1));
    Home::ended(command, "").good();
    let config =
        home.write("other.toml", &format!("store.url = '{}'\nstore.password_file = 'password'\n", server.url()));
    let ended = home.run(&["config", "show", "--config", &config]);
    assert!(ended.out.contains("store.password_file = \"password\""), "{ended:?}");
    assert!(!ended.out.contains("the-password"), "{ended:?}");
    let mut command = home.command(&["keys", "--config", &config]);
    command.env("GEMINI_API_KEY", crate::home::secret(1));
    Home::ended(command, "").good();

    let evicts = ["--save", "", "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru"];
    let Some(server) = RedisServer::with(&evicts) else { return };
    let ended = home.run(&[&serve[..], &["--redis", &server.url()]].concat());
    ended.bad(2, "maxmemory-policy allkeys-lru");
}

/// In memory it would count for itself, on each machine.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_beside_that_may_not_count_there_is_not_served() {
    let Some(server) = RedisServer::start() else { return };
    let (home, sim) = (Home::new(), simulator(1).await);
    let keys = home.write("keys.txt", &secret(0));
    let other = "name = 'open'\nkind = 'openai'\nkeys = [{ secret = 'sk-not-a-real-key-of-open-ai-0001' }]\n";
    home.write("keypool.toml", &format!("[[providers]]\n{other}"));
    let rights = "+@read +@write +@scripting +@transaction +@connection +time +info";
    let rights: Vec<&str> = rights.split(' ').collect();
    let user = ["ACL", "SETUSER", "me", "on", ">the-password", "~{keypool}", "~{keypool}:*"];
    server.command(&[&user[..], &rights].concat());
    let url = format!("redis://me:the-password@127.0.0.1:{}", server.port());
    let ended = run(&home, &url, &["serve", "--keys", &keys, "--listen", "127.0.0.1:0"], "");
    ended.bad(1, "providers.open");
    // As README.md says it.
    server.command(&["ACL", "SETUSER", "me", "~{keypool.*}*"]);
    let running = serve(&home, &sim, &url, &["--keys", &keys]);
    assert_eq!(hello(&running).await.status, 200);
    end(running).await;
}

/// A server's certificate for 127.0.0.1, its key, and its authority's certificate, as files.
fn certificates(home: &Home) -> [String; 3] {
    let authority_key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = params.self_signed(&authority_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let issuer = Issuer::from_params(&params, &authority_key);
    let certificate = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    [("server.pem", certificate.pem()), ("key.pem", key.serialize_pem()), ("ca.pem", authority.pem())]
        .map(|(name, text)| home.write(name, &text))
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_with_an_authority_of_ones_own() {
    let (home, sim) = (Home::new(), simulator(1).await);
    let [certificate, key, ca] = certificates(&home);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let tls = ["--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
    let options = ["--save", "", "--tls-port", &port, "--tls-auth-clients", "no"];
    let Some(server) = RedisServer::with(&[&options[..], &tls].concat()) else { return };
    let mut config = std::fs::File::create(home.at("keypool.toml")).unwrap();
    writeln!(config, "[store]\nurl = 'rediss://127.0.0.1:{port}'\nca_file = 'ca.pem'\nnamespace = 'team-a'").unwrap();
    let keys = home.write("keys.txt", &secret(0));
    let running = home.serve(&sim, &["--keys", &keys]);
    assert!(running.told.contains(&format!("rediss://127.0.0.1:{port} (team-a)")), "{}", running.told);
    assert_eq!(hello(&running).await.status, 200);
    end(running).await;
    assert!(!server.command(&["KEYS", "{team-a}:*"]).texts().is_empty());
    // Nobody else's certificate is trusted.
    let others = Home::new();
    std::fs::copy(&certificates(&others)[2], home.at("ca.pem")).unwrap();
    let ended = home.run(&["serve", "--keys", &keys, "--listen", "127.0.0.1:0"]);
    assert_ne!(ended.code, 0, "{ended:?}");
}

/// What keys used is counted on, not anew, where the server forgets it.
#[tokio::test(flavor = "multi_thread")]
async fn the_days_use_outlives_a_server_that_forgets() {
    let Some(server) = RedisServer::start() else { return };
    let (home, sim, redis) = (Home::new(), simulator(1).await, server.url());
    run(&home, &redis, &["add-key", "-", "--id", "first"], &secret(0)).good();
    let running = serve(&home, &sim, &redis, &[]);
    within_2s(&running, &["first"]).await;
    let used = || {
        let told = run(&home, &redis, &["usage", "--json"], "").json();
        let rows = told["rows"].as_array().unwrap().iter();
        rows.map(|row| row["requests"].as_u64().unwrap_or_default()).sum::<u64>()
    };
    let counts_up_to = async |expected: u64| {
        let counted = async {
            while used() != expected {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let counted = tokio::time::timeout(Duration::from_secs(8), counted).await;
        counted.unwrap_or_else(|_| panic!("{} of {expected}", used()));
    };
    let before = sim.report().total.accepted;
    for _ in 0..3 {
        assert_eq!(hello(&running).await.status, StatusCode::OK);
    }
    counts_up_to(before + 3).await;
    for round in 1..=2 {
        server.command(&["FLUSHALL"]);
        // Until the key is there again.
        within_2s(&running, &["first"]).await;
        counts_up_to(sim.report().total.accepted).await;
        assert!(used() > before + 3, "{round}");
    }
    end(running).await;
}

#[test]
fn what_is_of_another_kind_on_the_server_is_named_with_a_way_out() {
    let Some(server) = RedisServer::start() else { return };
    let (home, redis) = (Home::new(), server.url());
    let keys = home.write("keys.txt", &secret(0));
    server.command(&["SET", "{keypool}:board", "x"]);
    for args in [&["config", "check"][..], &["serve", "--listen", "127.0.0.1:0"], &["keys"]] {
        let mut command = home.command(args);
        command.env("KEYPOOL_REDIS_URL", &redis).env("KEYPOOL_KEYS", &keys);
        let ended = Home::ended(command, "");
        assert!(ended.err.contains("{keypool}:board") && ended.err.contains("store.namespace"), "{args:?}: {ended:?}");
        assert!(!ended.err.contains("WRONGTYPE") && !ended.err.contains("script"), "{args:?}: {ended:?}");
        ended.bad(2, "another program");
    }
    server.command(&["DEL", "{keypool}:board"]);
    server.command(&["SET", "{keypool}:keys", "x"]);
    run(&home, &redis, &["keys"], "").bad(2, "{keypool}:keys");
}

#[test]
fn a_server_that_is_not_there_is_told_once_with_a_way_out() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let home = Home::new();
    let ended = home.run(&["keys", "--redis", &format!("redis://127.0.0.1:{free}")]);
    assert_eq!(ended.err.matches("refused").count(), 1, "{ended:?}");
    assert!(ended.err.contains("--redis") && ended.err.contains("store.url"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_while_a_new_server_only_hears_is_told_when_it_lends() {
    // A slow machine may get there once it lends.
    for _ in 0..5 {
        let Some(server) = RedisServer::start() else { return };
        let (home, (sim, keys)) = (Home::new(), field(1, 10).await);
        let running = serve(&home, &sim, &server.url(), &["--keys", keys.path().to_str().unwrap()]);
        let answer = hello(&running).await;
        if answer.status == StatusCode::SERVICE_UNAVAILABLE && answer.header("retry-after") != "1" {
            let after: u64 = answer.header("retry-after").parse().unwrap();
            assert!((2..=10).contains(&after), "{answer:?}");
            assert!(String::from_utf8_lossy(&answer.body).contains("it lends again in"), "{answer:?}");
            return;
        }
    }
    panic!("it was never told");
}
