//! Connections to real servers.

use std::time::Duration;

use redis_fixture::RedisServer;

use super::*;
use crate::time::Clock;

const PASSWORD: &str = "not-a-real-password";

fn options(server: &RedisServer) -> Options {
    Options::new(&server.url()).unwrap().timeout(Duration::from_secs(10))
}

fn at_once(options: Options) -> Options {
    options.on_missing(OnMissing::Wait(Duration::ZERO))
}

#[test]
fn addresses_are_understood_or_refused_without_being_repeated() {
    for address in [
        "redis://localhost",
        "redis://127.0.0.1:7000/3",
        "redis://user:p%40ss@[::1]:6380",
        "valkey://:x@host",
        "redis+unix:///run/redis.sock",
        " redis://h\n",
    ] {
        Options::new(address).unwrap();
    }
    for wrong in [
        "",
        "localhost:6379",
        "http://user:secret-word@host",
        "redis://user:secret-word@host/x",
        "redis://",
        "redis://:secret-word@host#insecure",
        "rediss://:secret-word@host/#insecure",
        "redis://:secret-word@host:99999",
    ] {
        let error = Options::new(wrong).unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(error.is_invalid() && !told.contains("secret-word"), "{told}");
        assert!(told.contains("rediss://"), "it says what is possible: {told}");
    }
    for wrong in ["", "a b", "{a}", "ä", &"x".repeat(65)] {
        assert!(Options::new("redis://h").unwrap().namespace(wrong).unwrap_err().is_invalid(), "{wrong}");
    }
}

#[tokio::test]
async fn passwords_are_asked_for_and_never_shown() {
    let Some(server) = RedisServer::with(&["--save", "", "--requirepass", PASSWORD]) else { return };
    let by_url = Options::new(&format!("redis://:{PASSWORD}@127.0.0.1:{}/2", server.port())).unwrap();
    let link = Link::open(by_url.clone()).await.unwrap();
    let shown = format!("{link:?} {by_url:?} {:?}", options(&server).user("somebody-secret").password(PASSWORD));
    assert!(!shown.contains(PASSWORD) && !shown.contains("somebody-secret") && shown.contains("database 2"), "{shown}");
    Link::open(options(&server).password(PASSWORD)).await.unwrap();
    for wrong in
        [options(&server), options(&server).password("wrong-password"), options(&server).user("x").password(PASSWORD)]
    {
        // No use waiting for another answer.
        let error = Link::open(wrong).await.unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(error.is_refused() && !told.contains(PASSWORD) && !told.contains("wrong-password"), "{told}");
    }
}

#[tokio::test]
async fn a_server_that_evicts_is_refused_or_warned_of() {
    let Some(server) = RedisServer::start() else { return };
    assert!(Link::open(options(&server)).await.unwrap().warnings().is_empty());
    server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let warnings = Link::open(options(&server)).await.unwrap().warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("allkeys-lru"), "there is no limit yet: {warnings:?}");
    server.command(&["CONFIG", "SET", "maxmemory", "100mb"]);
    let error = Link::open(options(&server)).await.unwrap_err();
    assert!(error.is_evicting() && error.to_string().contains("noeviction"), "{error}");
    // What it holds has no end of its own, and is not evicted by this one.
    server.command(&["CONFIG", "SET", "maxmemory-policy", "volatile-ttl"]);
    assert_eq!(Link::open(options(&server)).await.unwrap().warnings().len(), 1);
}

#[tokio::test]
async fn a_replica_that_only_reads_is_named_with_what_to_do_and_waited_for() {
    let (Some(master), Some(replica)) = (RedisServer::start(), RedisServer::start()) else { return };
    replica.follow(&master);
    let error = Link::open(at_once(options(&replica))).await.unwrap_err();
    let told = error.to_string();
    let named = [format!("127.0.0.1:{}", replica.port()), format!("127.0.0.1:{}", master.port())];
    assert!(named.iter().all(|name| told.contains(name)), "{told}");
    assert!(error.is_unreachable() && told.contains("read-only replica") && told.contains("--redis"), "{told}");
    let waiting = tokio::spawn(Link::open(options(&replica).on_missing(OnMissing::Wait(Duration::from_secs(60)))));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!waiting.is_finished());
    replica.promote();
    waiting.await.unwrap().unwrap();
    // One that is written to is as good as any.
    replica.follow(&master);
    replica.command(&["CONFIG", "SET", "replica-read-only", "no"]);
    Link::open(at_once(options(&replica))).await.unwrap();
}

#[tokio::test]
async fn whether_a_server_keeps_what_it_holds_is_known() {
    let (Some(passing), Some(lasting)) = (RedisServer::start(), RedisServer::lasting()) else { return };
    assert_eq!(Link::open(options(&passing)).await.unwrap().is_lasting().await, Some(false));
    assert_eq!(Link::open(options(&lasting)).await.unwrap().is_lasting().await, Some(true));
    passing.command(&["ACL", "SETUSER", "default", "-info"]);
    assert_eq!(Link::open(options(&passing)).await.unwrap().is_lasting().await, None);
}

#[tokio::test]
async fn a_number_that_is_none_is_named() {
    let Some(server) = RedisServer::start() else { return };
    server.command(&["SET", "{keypool}:revision", "12"]);
    Link::open(options(&server)).await.unwrap();
    server.command(&["SET", "{keypool}:revision", "abc"]);
    let error = Link::open(options(&server)).await.unwrap_err();
    assert!(error.is_refused() && error.to_string().contains("{keypool}:revision"), "{error}");
}

#[tokio::test]
async fn what_a_server_says_is_said_once() {
    let Some(server) = RedisServer::start() else { return };
    let link = Link::open(options(&server)).await.unwrap();
    let script = Script::new("return redis.error_reply('CLUSTERDOWN Hash slot not served')");
    let error = link.run(&script, &[], link.patience()).await.unwrap_err();
    let mut said = error.to_string();
    let mut behind = std::error::Error::source(&error);
    while let Some(error) = behind {
        said.push_str(&error.to_string());
        behind = error.source();
    }
    assert_eq!(said.matches("Hash slot not served").count(), 1, "{said}");
}

#[tokio::test]
async fn a_user_with_few_rights_is_enough_and_what_cannot_be_asked_is_said() {
    let Some(server) = RedisServer::start() else { return };
    server.command(&[
        "ACL",
        "SETUSER",
        "keypool",
        "on",
        &format!(">{PASSWORD}"),
        "~{keypool}:*",
        "+@all",
        "-@dangerous",
        "-@admin",
    ]);
    server.command(&["ACL", "SETUSER", "keypool", "~{keypool}"]);
    let link = Link::open(options(&server).user("keypool").password(PASSWORD)).await.unwrap();
    let warnings = link.warnings();
    assert!(warnings[0].contains("+info") && warnings[1].contains("does not tell"), "{warnings:?}");
    let script =
        Script::new("return redis.call('SET', KEYS[1] .. ':x', redis.pcall('INFO', 'server').err and 'no' or 'yes')");
    link.run(&script, &[], link.patience()).await.unwrap();
    assert_eq!(server.command(&["GET", "{keypool}:x"]).text(), "no");
    let elsewhere = Script::new("return redis.call('SET', 'elsewhere', '1')");
    assert!(link.run(&elsewhere, &[], link.patience()).await.unwrap_err().is_refused());
}

#[tokio::test]
async fn a_server_that_is_missing_is_waited_for_and_then_an_error() {
    let Some(mut server) = RedisServer::start() else { return };
    server.kill();
    let error = Link::open(at_once(options(&server))).await.unwrap_err();
    assert!(error.is_unreachable() && error.to_string().contains(&server.port().to_string()), "{error}");
    let waiting = tokio::spawn(Link::open(options(&server).on_missing(OnMissing::Wait(Duration::from_secs(60)))));
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!waiting.is_finished());
    server.start_again();
    assert_eq!(waiting.await.unwrap().unwrap().missing_at_start(), None);
}

#[tokio::test]
async fn a_process_may_begin_alone_and_joins_when_the_server_is_there() {
    let Some(mut server) = RedisServer::start() else { return };
    server.kill();
    let link = Link::open(options(&server).on_missing(OnMissing::Local { expected_processes: 4 })).await.unwrap();
    assert_eq!(link.missing_at_start(), Some(4));
    server.start_again();
    let script = Script::new("return 1");
    while link.run(&script, &[], link.patience()).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(link.missing_at_start(), None, "it is reached");
}

#[tokio::test]
async fn a_call_is_given_up_and_the_next_goes_over_another_connection() {
    let Some(server) = RedisServer::start() else { return };
    let link = Link::open(options(&server)).await.unwrap();
    let script = Script::new("return redis.call('INCR', KEYS[1] .. ':n')");
    let patience = Duration::from_millis(100);
    link.run(&script, &[], patience).await.unwrap();
    server.freeze();
    let (clock, mut waited) = (Clock::system(), 0);
    for _ in 0..20 {
        let begun = clock.tick();
        assert!(link.run(&script, &[], patience).await.unwrap_err().is_unreachable());
        waited += usize::from(clock.tick().since(begun) > patience / 2);
    }
    assert!(waited <= 12, "{waited} of 20: most fail at once");
    server.thaw();
    while link.run(&script, &[], patience).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let redis_fixture::Reply::Text(done) = server.command(&["GET", "{keypool}:n"]) else { panic!("no number") };
    assert!(done.parse::<u32>().unwrap() <= 3, "{done} calls: those given up do not stand in line");
}

#[tokio::test]
async fn a_call_that_nobody_waits_for_leaves_no_line_behind_it() {
    let Some(server) = RedisServer::start() else { return };
    let link = Link::open(options(&server)).await.unwrap();
    server.freeze();
    let script = Script::new("return 1");
    let call = link.run(&script, &[], Duration::from_secs(60));
    assert!(tokio::time::timeout(Duration::from_millis(50), call).await.is_err());
    server.thaw();
    assert_eq!(link.run(&script, &[], link.patience()).await.unwrap(), redis::Value::Int(1));
}

#[cfg(unix)]
#[tokio::test]
async fn a_socket_of_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("redis.sock");
    let Some(_server) = RedisServer::with(&["--save", "", "--unixsocket", socket.to_str().unwrap()]) else { return };
    let options = Options::new(&format!("redis+unix://{}", socket.display())).unwrap();
    let link = Link::open(options).await.unwrap();
    assert_eq!(link.run(&Script::new("return 7"), &[], link.patience()).await.unwrap(), redis::Value::Int(7));
}

#[cfg(feature = "redis-tls")]
#[tokio::test]
async fn tls_with_an_authority_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let certified = |names: &[&str]| {
        rcgen::generate_simple_self_signed(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap()
    };
    let (own, other) = (certified(&["localhost"]), certified(&["localhost"]));
    std::fs::write(path("own.pem"), own.cert.pem()).unwrap();
    std::fs::write(path("own.key"), own.signing_key.serialize_pem()).unwrap();
    std::fs::write(path("other.pem"), other.cert.pem()).unwrap();
    std::fs::write(path("empty.pem"), "").unwrap();
    let tls_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let with_tls = [
        "--save",
        "",
        "--tls-port",
        &tls_port,
        "--tls-cert-file",
        &path("own.pem"),
        "--tls-key-file",
        &path("own.key"),
        "--tls-auth-clients",
        "no",
        "--tls-ca-cert-file",
        &path("own.pem"),
    ];
    let Some(_server) = RedisServer::with(&with_tls) else { return };
    let options = |host: &str| at_once(Options::new(&format!("rediss://{host}:{tls_port}")).unwrap());
    let link = Link::open(options("localhost").ca_file(path("own.pem"))).await.unwrap();
    assert_eq!(link.run(&Script::new("return 7"), &[], link.patience()).await.unwrap(), redis::Value::Int(7));
    let error = Link::open(options("localhost")).await.unwrap_err();
    assert!(error.is_unreachable() && error.to_string().contains("TLS"), "no browser trusts it: {error}");
    Link::open(options("localhost").ca_file(path("other.pem"))).await.unwrap_err();
    Link::open(options("127.0.0.1").ca_file(path("own.pem"))).await.unwrap_err();
    for wrong in ["empty.pem", "own.key", "nowhere.pem"] {
        assert!(Link::open(options("localhost").ca_file(path(wrong))).await.unwrap_err().is_invalid(), "{wrong}");
    }
    let plain = Options::new("redis://localhost").unwrap().ca_file(path("own.pem"));
    assert!(Link::open(plain).await.unwrap_err().is_invalid(), "nothing would be encrypted");
}

/// A server that says this to every command, but for those of the way in where `lets_in`.
async fn saying(error: &'static str, lets_in: bool) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = vec![0; 65_536];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    let text = String::from_utf8_lossy(&buffer[..read]).to_uppercase();
                    let commands: Vec<&str> = text.split("\r\n*").collect();
                    for command in commands {
                        let of_the_way_in =
                            ["CLIENT", "HELLO", "AUTH", "SELECT"].iter().any(|word| command.contains(word));
                        let answer =
                            if lets_in && of_the_way_in { "+OK\r\n".to_owned() } else { format!("-{error}\r\n") };
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                }
            });
        }
    });
    format!("redis://{address}")
}

/// Also where the client tells only that a database could not be chosen.
#[tokio::test]
async fn what_keeps_a_server_from_serving_is_said_as_it_is() {
    for (error, says, passing) in [
        ("LOADING Redis is loading the dataset in memory", "it loads its data", true),
        ("READONLY You can't write against a read only replica.", "read-only replica: name the master", true),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "lost its master", true),
        ("ERR max number of clients reached", "as many clients as it may", true),
        ("BUSY Redis is busy running a script.", "busy running", true),
        ("NOAUTH Authentication required.", "without the right password", false),
        ("NOPERM this user has no permissions to run this command", "no permissions", false),
    ] {
        for (lets_in, database) in [(false, ""), (false, "/2"), (true, ""), (true, "/2")] {
            let options = Options::new(&format!("{}{database}", saying(error, lets_in).await)).unwrap();
            let told = Link::open(at_once(options)).await.unwrap_err();
            let way = format!("{error} {lets_in} {database:?}: {told}");
            assert!(told.to_string().contains(says) && told.is_passing() == passing, "{way}");
            assert!(!passing || !told.to_string().contains("lets nobody in"), "{way}");
        }
    }
}

#[tokio::test]
async fn that_it_is_a_cluster_is_said_with_what_to_name() {
    for (error, database, says) in [
        ("MOVED 866 127.0.0.1:7001", "", ["a node of a Redis Cluster", "name the master", "127.0.0.1:7001"]),
        ("ASK 866 127.0.0.1:7001", "", ["a node of a Redis Cluster", "name the master", "127.0.0.1:7001"]),
        (
            "CROSSSLOT Keys in request don't hash to the same slot",
            "",
            ["it is a Redis Cluster", "one hash tag", "no cluster"],
        ),
        (
            "ERR SELECT is not allowed in cluster mode",
            "/2",
            ["a node of a Redis Cluster", "database 0 alone", "no other in its URL"],
        ),
    ] {
        let options = Options::new(&format!("{}{database}", saying(error, false).await)).unwrap();
        let told = Link::open(at_once(options)).await.unwrap_err();
        assert!(says.iter().all(|word| told.to_string().contains(word)), "{told}");
        assert!(!told.is_passing(), "{told}");
    }
}
