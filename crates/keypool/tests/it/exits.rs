//! Keys go out by their exits, over real sockets: what refuses an exit rests that, and no key.

use std::time::Duration;

use gemini_sim::{GeminiSim, Project};
use keypool::{
    client::{Client, Roots, Sockets, WayOut, WaysOut},
    gateway::{Gateway, Setup, guard::Guard, live::Live, route::Dialects, token::PLACEHOLDER, token::Token},
    stack,
};
use serde_json::Value;
use tower_keypool::{Base, Clock, Exit, Gemini, Key, KeyPool, ManualClock, Models, Retry, Strategy};

use crate::{
    binary::Running,
    borders::{Border, Proxy, local},
    home::{Home, secret},
    live::Socket,
    serving::generate,
    support::{Served, ask, noon},
    tls,
};

const MODEL: &str = "gemini-2.5-flash";

async fn simulator(keys: usize) -> GeminiSim {
    let mut sim = GeminiSim::builder();
    for n in 0..keys {
        sim = sim.project(Project::new(format!("{n}")).key(secret(n)));
    }
    sim.start().await.unwrap()
}

async fn before(sim: &GeminiSim) -> Border {
    Border::before(sim.url().strip_prefix("http://").unwrap().parse().unwrap()).await
}

/// Keys by these exits, in turns.
fn pool(border: &Border, exits: &[Option<&str>], clock: Clock) -> KeyPool {
    let keys = exits.iter().enumerate().map(|(n, exit)| {
        let key = Key::new(secret(n)).id(format!("key-{n}"));
        exit.iter().fold(key, |key, exit| key.exit(*exit))
    });
    let builder = KeyPool::builder(Gemini::at(&border.url()).unwrap()).keys(keys).clock(clock);
    builder.strategy(Strategy::RoundRobin).wait(Duration::ZERO).build().unwrap()
}

async fn served(pool: &KeyPool, border: &Border, ways: &WaysOut) -> Served {
    served_trusting(pool, border, ways, Roots::mozilla()).await
}

async fn served_trusting(pool: &KeyPool, border: &Border, ways: &WaysOut, roots: Roots) -> Served {
    let base = Base::parse(&border.url()).unwrap();
    // What goes on by another exit is no retry.
    let retry = Retry::new().max_retries(0);
    let stack = stack::stack_over(pool, Models::new(), retry.clone(), Client::through(&base, &roots, ways));
    let sockets = Sockets::through(&base, &roots, ways);
    let setup = Setup::new(stack, Guard::new([]), Token::new(PLACEHOLDER), Dialects::default());
    let live = Some(Live::new(stack::sockets_over(pool, retry, sockets), pool.clone()));
    Served::serving(Gateway::new(Setup { live, ..setup }, base, Clock::system())).await
}

fn ways<const N: usize>(ways: [(&str, WayOut); N]) -> WaysOut {
    ways.into_iter().map(|(name, way)| (name.to_owned(), way)).collect()
}

fn http(proxy: &Proxy, credentials: &str) -> WayOut {
    WayOut::proxy(&format!("http://{credentials}{}", proxy.address)).unwrap()
}

fn socks(proxy: &Proxy, credentials: &str) -> WayOut {
    WayOut::proxy(&format!("socks5://{credentials}{}", proxy.address)).unwrap()
}

fn resting(pool: &KeyPool) -> Vec<String> {
    let exits = pool.snapshot().exits.into_iter().filter(|exit| exit.rest.is_some());
    exits.map(|exit| exit.name.as_ref().map_or("usual", Exit::name).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_address_rests_its_exit_and_the_keys_of_others_serve_all() {
    let sim = simulator(5).await;
    let border = before(&sim).await;
    let (tunnel, tower) = (Proxy::http(local(3), None).await, Proxy::socks5(local(4), None).await);
    let time = ManualClock::at(noon());
    let exits = [None, Some("second"), Some("tunnel"), Some("tower"), Some("tower")];
    let pool = pool(&border, &exits, time.clock());
    let second = WayOut::Local(local(2));
    let ways = ways([("second", second), ("tunnel", http(&tunnel, "")), ("tower", socks(&tower, ""))]);
    let served = served(&pool, &border, &ways).await;

    for _ in 0..20 {
        assert_eq!(generate(&served, MODEL).await.status, 200);
    }
    assert_eq!(border.seen(), [local(1), local(2), local(3), local(4)], "each key by its own exit");
    // Whether the last one is back before the next request is a matter of luck, for the two in turn at the tower.
    assert_eq!(tunnel.through(), 1, "connections are kept, each exit's by itself");
    assert!((1..=2).contains(&tower.through()), "{} connections", tower.through());

    border.refuse([local(1), local(4)]);
    for _ in 0..40 {
        let answer = generate(&served, MODEL).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(["key-1", "key-2"].contains(&answer.header("x-keypool-key")), "{answer:?}");
    }
    assert_eq!(resting(&pool), ["usual", "tower"]);
    let snapshot = pool.snapshot();
    assert!(snapshot.keys.iter().all(|key| key.rests.is_empty() && key.failed == 0), "{:#?}", snapshot.keys);
    // One call found out, by each of the two.
    assert_eq!(snapshot.verdicts[&tower_keypool::VerdictKind::Blocked], 2);

    // While all are refused the caller hears the provider's word, then when one is back.
    border.refuse([1, 2, 3, 4].map(local));
    let answers = [generate(&served, MODEL).await, generate(&served, MODEL).await];
    assert_eq!(answers.each_ref().map(|answer| answer.status.as_u16()), [400, 503], "{answers:?}");
    assert!(String::from_utf8_lossy(&answers[1].body).contains("exit second rests for 600 s"), "{answers:?}");

    border.refuse([]);
    time.advance(Duration::from_secs(600));
    border.seen();
    for _ in 0..20 {
        assert_eq!(generate(&served, MODEL).await.status, 200);
    }
    assert_eq!(border.seen(), [1, 2, 3, 4].map(local), "all are back");
    assert!(resting(&pool).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_may_be_spoken_to_over_tls() {
    let sim = simulator(1).await;
    let border = before(&sim).await;
    let tunnel = Proxy::http(local(3), Some("right-word")).await;
    let (acceptor, authority) = tls::acceptor(&["http/1.1"]);
    let front = tunnel.behind(acceptor).await;
    let ways = ways([("tunnel", WayOut::proxy(&format!("https://me:right-word@{front}")).unwrap())]);
    let pool_of = || pool(&border, &[Some("tunnel")], ManualClock::at(noon()).clock());

    let stranger = pool_of();
    let refused = served_trusting(&stranger, &border, &ways, Roots::mozilla()).await;
    let answer = generate(&refused, MODEL).await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(answer.status.is_server_error() && !text.contains("right-word"), "{answer:?}");
    assert_eq!((resting(&stranger), tunnel.through()), (vec!["tunnel".to_owned()], 0), "nobody knows whose it is");

    let friend = pool_of();
    let served = served_trusting(&friend, &border, &ways, Roots::from_file(authority.path()).unwrap()).await;
    for _ in 0..5 {
        assert_eq!(generate(&served, MODEL).await.status, 200);
    }
    let kept = tunnel.through();
    assert!(border.seen() == [local(3)] && (1..5).contains(&kept), "connections are kept, not {kept} for 5 requests");
    let key = format!("x-goog-api-key: {PLACEHOLDER}\r\n");
    let mut socket = Socket::open(served.address, crate::live::PATH, &key).await;
    socket.say(1, r#"{"setup":{"model":"models/gemini-2.5-flash"}}"#).await;
    assert!(socket.hear().await.unwrap().1.contains("setupComplete"));
    assert_eq!(tunnel.through(), kept + 1);
    assert!(resting(&friend).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_refuses_is_its_exits_fault() {
    let sim = simulator(4).await;
    let border = before(&sim).await;
    let (tunnel, tower) =
        (Proxy::http(local(3), Some("right-word")).await, Proxy::socks5(local(4), Some("right-word")).await);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let time = ManualClock::at(noon());
    let exits = [Some("tunnel"), Some("tower"), Some("gone"), Some("foreign")];
    let all = |word: &str| {
        let credentials = format!("me:{word}@");
        let gone = WayOut::proxy(&format!("http://{credentials}{gone}")).unwrap();
        let foreign = WayOut::Local("192.0.2.1".parse().unwrap());
        ways([
            ("tunnel", http(&tunnel, &credentials)),
            ("tower", socks(&tower, &credentials)),
            ("gone", gone),
            ("foreign", foreign),
        ])
    };
    let shut = pool(&border, &exits, time.clock());
    let served_shut = served(&shut, &border, &all("wrong-word")).await;
    let answer = generate(&served_shut, MODEL).await;
    assert!(answer.status.is_server_error(), "{answer:?}");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(!text.contains("wrong-word") && !text.contains("me:"), "{text}");
    assert_eq!(resting(&shut).len(), 4, "each was tried once: {text}");
    let snapshot = shut.snapshot();
    assert!(snapshot.keys.iter().all(|key| key.rests.is_empty() && key.failed == 0));
    assert!(snapshot.exits.iter().all(|exit| exit.rest.as_ref().is_none_or(|rest| rest.code == "exit")));
    assert!(border.seen().is_empty(), "none went out another way");

    let open = pool(&border, &exits, time.clock());
    let served_open = served(&open, &border, &all("right-word")).await;
    for _ in 0..10 {
        let answer = generate(&served_open, MODEL).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(resting(&open), ["gone", "foreign"]);
    assert_eq!(border.seen(), [local(3), local(4)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_that_nobody_described_lets_nothing_out() {
    let sim = simulator(1).await;
    let border = before(&sim).await;
    let pool = pool(&border, &[Some("nowhere")], Clock::system());
    let served = served(&pool, &border, &WaysOut::default()).await;
    let answer = generate(&served, MODEL).await;
    assert!(answer.status.is_server_error() && border.seen().is_empty(), "{answer:?}");
    assert_eq!(resting(&pool), ["nowhere"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_and_uploads_go_by_the_exit_of_their_key() {
    let sim = simulator(1).await;
    let border = before(&sim).await;
    let tunnel = Proxy::http(local(3), None).await;
    let pool = pool(&border, &[Some("tunnel")], Clock::system());
    let served = served(&pool, &border, &ways([("tunnel", http(&tunnel, ""))])).await;
    let mut socket =
        Socket::open(served.address, crate::live::PATH, &format!("x-goog-api-key: {PLACEHOLDER}\r\n")).await;
    socket.say(1, r#"{"setup":{"model":"models/gemini-2.5-flash"}}"#).await;
    assert_eq!(socket.hear().await.unwrap(), (1, r#"{"setupComplete":{}}"#.to_owned()));
    let opened = crate::uploads::open(&served, 8).await;
    let sent = crate::uploads::send(opened.header("x-goog-upload-url"), "upload, finalize", 0, "12345678").await;
    assert_eq!((opened.status.as_u16(), sent.status.as_u16()), (200, 200), "{opened:?} {sent:?}");
    assert_eq!(border.seen(), [local(3)]);
    assert!((2..=3).contains(&tunnel.through()), "one for the socket, and what the two requests needed");
}

#[tokio::test(flavor = "multi_thread")]
async fn through_a_proxy_the_provider_is_met_by_tls_from_end_to_end() {
    let (upstream, authority) = crate::tls::provider(&["h2", "http/1.1"]).await;
    let base = Base::parse(&upstream).unwrap();
    let (tunnel, tower) = (Proxy::http(local(3), None).await, Proxy::socks5(local(4), None).await);
    let ways = ways([("tunnel", http(&tunnel, "")), ("tower", socks(&tower, ""))]);
    let keys = ["tunnel", "tower"].into_iter().enumerate().map(|(n, exit)| Key::new(secret(n)).exit(exit));
    let pool =
        KeyPool::builder(Gemini::at(&upstream).unwrap()).keys(keys).strategy(Strategy::RoundRobin).build().unwrap();
    let roots = Roots::from_file(authority.path()).unwrap();
    let stack = stack::stack_over(&pool, Models::new(), Retry::new(), Client::through(&base, &roots, &ways));
    let served = Served::over(stack, &upstream).await;
    for _ in 0..4 {
        let answer = generate(&served, MODEL).await;
        assert_eq!((answer.status.as_u16(), answer.json()["version"].as_str()), (200, Some("HTTP/2.0")));
    }
    assert_eq!((tunnel.through(), tower.through()), (1, 1));
}

/// It says that it is through to the provider, and closes before anything of that comes.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_closes_behind_its_own_answer_is_its_exits_fault() {
    let (upstream, authority) = crate::tls::provider(&["h2", "http/1.1"]).await;
    let base = Base::parse(&upstream).unwrap();
    let (hollow, tunnel) = (Proxy::hollow().await, Proxy::http(local(3), None).await);
    let ways = ways([("hollow", http(&hollow, "")), ("tunnel", http(&tunnel, ""))]);
    let keys = ["hollow", "tunnel"].into_iter().enumerate().map(|(n, exit)| Key::new(secret(n)).exit(exit));
    let pool =
        KeyPool::builder(Gemini::at(&upstream).unwrap()).keys(keys).strategy(Strategy::RoundRobin).build().unwrap();
    let roots = Roots::from_file(authority.path()).unwrap();
    let retry = Retry::new().max_retries(0);
    let stack = stack::stack_over(&pool, Models::new(), retry, Client::through(&base, &roots, &ways));
    let served = Served::over(stack, &upstream).await;
    for _ in 0..6 {
        let answer = generate(&served, MODEL).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(resting(&pool), ["hollow"]);
    let snapshot = pool.snapshot();
    let exits: Vec<_> = snapshot.exits.iter().filter_map(|exit| exit.rest.as_ref()).collect();
    assert!(exits.iter().all(|rest| rest.code == "exit"), "{exits:?}");
    assert!(snapshot.keys.iter().all(|key| key.rests.is_empty() && key.failed == 0), "{:#?}", snapshot.keys);
    assert_eq!((hollow.through(), tunnel.through()), (1, 1));
}

fn configured(home: &Home, exits: &str, keys: &str) -> String {
    home.write("keypool.toml", &format!("{exits}\n[pool]\nkey_files = [\"{keys}\"]\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_configured_by_key_owner_and_command_and_no_password_is_shown() {
    let (home, sim) = (Home::new(), simulator(4).await);
    let border = before(&sim).await;
    let (tunnel, tower) =
        (Proxy::http(local(3), Some("hidden-word")).await, Proxy::socks5(local(4), Some("hidden-word")).await);
    home.write("tower.txt", &format!("socks5://me:hidden-word@{}\n", tower.address));
    let lines = [
        format!("{} id=own exit=tunnel\n", secret(0)),
        format!("{} id=owned owner=project-a\n", secret(1)),
        format!("{} id=plain\n", secret(2)),
    ];
    home.write("keys.txt", &lines.concat());
    let exits = format!(
        "[exits.tunnel]\nproxy = \"http://me:hidden-word@{}\"\n[exits.tower]\nproxy_file = \"tower.txt\"\n\
         owners = [\"project-a\"]\n[exits.second]\nlocal_address = \"127.0.0.2\"\n",
        tunnel.address
    );
    let file = configured(&home, &exits, "keys.txt");
    home.add(3, "kept", &["--exit", "second"]);
    let with = |args: &[&str]| home.run(&[args, &["--config", &file]].concat());

    let shown = with(&["config", "show"]).good();
    assert!(!shown.contains("hidden-word"), "{shown}");
    assert!(shown.contains("exits.tunnel.proxy = \"***\"") && shown.contains("exit tower"), "{shown}");
    let shown: Value = with(&["config", "show", "--json"]).json();
    assert!(!shown.to_string().contains("hidden-word"));
    let exit_of = |id: &str| {
        shown["keys"].as_array().unwrap().iter().find(|key| key["id"] == id).map(|key| key["exit"].clone()).unwrap()
    };
    assert_eq!([exit_of("own"), exit_of("owned"), exit_of("kept")], ["tunnel", "tower", "second"]);
    assert_eq!(exit_of("plain"), Value::Null);
    with(&["config", "check"]).good();

    let url = border.url();
    let tested = with(&["test-keys", "--upstream", &url, "--retry-delay", "0", "--json"]).json();
    assert_eq!(tested["usable"], 4, "{tested:#}");
    assert_eq!(border.seen(), [1, 2, 3, 4].map(local));

    // A command calls by it, too.
    with(&["keys", "set", "kept", "--exit", "tower"]).good();
    with(&["keys", "set", "kept", "--unset", "exit"]).good();
    let wrong = with(&["keys", "set", "kept", "--exit", "a b"]);
    assert!(wrong.code != 0 && wrong.err.contains("--exit"), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn that_nobody_describes_a_keys_exit_is_its_reason_wherever_it_is_listed() {
    let (home, sim) = (Home::new(), simulator(3).await);
    home.add(0, "lost", &["--exit", "nowhere"]);
    home.add(1, "off", &["--exit", "nowhere"]);
    home.run(&["keys", "disable", "off", "--reason", "spare"]).good();
    home.write("keys.txt", &format!("{} id=owned owner=project-a\n", secret(2)));
    let exits = "[exits.out]\nlocal_address = \"127.0.0.2\"\nowners = [\"project-a\"]\n";
    let file = configured(&home, exits, "keys.txt");
    let database = home.database();
    let database = database.to_str().unwrap();
    let with = |args: &[&str]| home.run(&[args, &["--config", &file, "--db", database]].concat());
    let why = "no [exits.nowhere] says what the exit nowhere of this key is";
    let stands = |keys: &Value| {
        let stand = |id: &str| {
            let key = keys.as_array().unwrap().iter().find(|key| key["id"] == id).unwrap();
            (key["state"].as_str().unwrap().to_owned(), key["reason"].as_str().unwrap().to_owned())
        };
        [stand("lost"), stand("off"), stand("owned")]
    };
    let faulty = ("faulty".to_owned(), why.to_owned());
    let expected = [faulty, ("disabled".to_owned(), "spare".to_owned()), ("usable".to_owned(), String::new())];
    assert_eq!(stands(&with(&["keys", "--json"]).json()), expected);
    assert!(with(&["keys"]).good().contains(why));
    let used = with(&["usage"]).good();
    assert!(used.contains(&format!("lost for all models: faulty: {why}")), "{used}");

    let args = ["--config", &file, "--db", database, "--admin-token", "an-admin-token-of-24-bytes"];
    let running = home.serve(&sim, &args);
    let request = http::Request::get(format!("{}/-/admin/keys", running.url));
    let answer = ask(request.header("authorization", "Bearer an-admin-token-of-24-bytes"), "").await;
    assert_eq!(stands(&answer.json()["keys"]), expected, "{answer:?}");
    crate::home::end(running).await;

    with(&["keys", "set", "lost", "--exit", "out"]).good();
    assert_eq!(stands(&with(&["keys", "--json"]).json())[0].0, "usable");
}

/// Over a proxy that wants a password, and a provider that sees from where it is called.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_and_a_single_prompt_go_by_the_exits_of_their_keys() {
    let (home, sim) = (Home::new(), simulator(3).await);
    let border = before(&sim).await;
    let tunnel = Proxy::http(local(3), Some("hidden-word")).await;
    let tower = Proxy::socks5(local(4), Some("hidden-word")).await;
    home.write("keys.txt", &format!("{} exit=tunnel\n{} exit=tower\n", secret(0), secret(1)));
    let exits = |word: &str| {
        let proxy = |scheme: &str, proxy: &Proxy| format!("{scheme}://me:{word}@{}", proxy.address);
        format!(
            "[exits.tunnel]\nproxy = \"{}\"\n[exits.tower]\nproxy = \"{}\"\n",
            proxy("http", &tunnel),
            proxy("socks5", &tower)
        )
    };
    let file = configured(&home, &exits("hidden-word"), "keys.txt");
    home.write("tasks.txt", &(0..20).map(|n| format!("task {n}")).collect::<Vec<_>>().join("\n"));
    let url = border.url();
    let run = async |args: &[&str]| {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let whole = ["--config", &file, "--upstream", &url].map(str::to_owned);
        let mut command = home.command(&args.iter().chain(&whole).map(String::as_str).collect::<Vec<_>>());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        assert!(!told.contains("-word"), "a password: {told}");
        (output.status.code(), told)
    };
    let (code, told) = run(&["batch", "tasks.txt", "-o", "a.jsonl", "--strategy", "round-robin"]).await;
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(border.seen(), [local(3), local(4)], "no call went out another way");
    assert!(tunnel.through() > 0 && tower.through() > 0);
    for _ in 0..2 {
        let (code, told) = run(&["generate", "hello"]).await;
        assert_eq!(code, Some(0), "{told}");
    }
    assert!(border.seen().iter().all(|seen| [local(3), local(4)].contains(seen)));

    // A proxy that refuses is nobody's fault: its keys rest with it, and no task pays.
    let half = exits("hidden-word").replacen("hidden-word", "wrong-word", 1);
    configured(&home, &half, "keys.txt");
    let args = ["batch", "tasks.txt", "-o", "b.jsonl", "--max-retries", "0", "--error-log", "e.log"];
    let (code, told) = run(&args).await;
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("20 ok, 0 failed"), "{told}");
    assert_eq!(border.seen(), [local(4)], "none went out another way");
    let log = std::fs::read_to_string(home.at("e.log")).unwrap();
    assert!(log.contains(": exit (") && !log.contains("-word"), "{log}");
}

#[test]
fn what_is_wrong_with_an_exit_is_said_at_its_place() {
    for (exits, key, said) in [
        ("", "exit=nowhere", "keys.txt:1: exit: no [exits.nowhere]"),
        ("", "exit=nowhere", "no [exits.nowhere] says what the exit nowhere of this key is"),
        (
            "[[keys]]\nsecret_env = \"HOME\"\n\nexit = \"nowhere\"\n",
            "",
            "keypool.toml:4: keys[0].exit: no [exits.nowhere] says what",
        ),
        ("[exits.a]\n", "", "exactly one of proxy, proxy_env, proxy_file and local_address"),
        ("[exits.a]\nlocal_address = \"here\"\n", "", "keypool.toml:2"),
        (
            "[exits.a]\nproxy = \"ftp://me:hidden-word@p:1\"\n",
            "",
            "expected http://host:port, https://host:port or socks5://host:port",
        ),
        ("[exits.a]\nproxy_env = \"NOBODYS\"\n", "", "this variable is not set"),
        ("[exits.a]\nproxy_file = \"none.txt\"\n", "", "none.txt cannot be read"),
        ("[exits.\"a b\"]\nlocal_address = \"127.0.0.2\"\n", "", "an exit's name is 1 to 64"),
        (
            "[exits.a]\nlocal_address = \"127.0.0.2\"\nowners = [\"x\"]\n[exits.b]\nlocal_address = \"127.0.0.3\"\nowners = [\"x\"]\n",
            "",
            "the owner x is another exit's already",
        ),
    ] {
        let home = Home::new();
        home.write("keys.txt", &format!("{} {key}\n", secret(0)));
        let file = configured(&home, exits, "keys.txt");
        let ended = home.run(&["config", "check", "--config", &file]);
        assert_eq!(ended.code, 2, "{exits}: {ended:?}");
        let all = format!("{}{}", ended.out, ended.err);
        assert!(all.contains(said) && !all.contains("hidden-word"), "{exits}: {all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_goes_by_the_configuration_and_by_another_after_a_reload() {
    let (home, sim) = (Home::new(), simulator(2).await);
    let border = before(&sim).await;
    home.write("keys.txt", &format!("{} id=one exit=out\n", secret(0)));
    let file = configured(&home, "[exits.out]\nlocal_address = \"127.0.0.2\"\n", "keys.txt");
    let url = border.url();
    let running =
        Running::of(home.command(&["serve", "--config", &file, "--upstream", &url, "--listen", "127.0.0.1:0"]));
    let hello = async || {
        let path = format!("{}/v1beta/models/{MODEL}:generateContent", running.url);
        let request = http::Request::post(path).header("x-goog-api-key", PLACEHOLDER);
        ask(request, crate::serving::HELLO).await.status.as_u16()
    };
    assert_eq!((hello().await, border.seen()), (200, vec![local(2)]));
    configured(&home, "[exits.out]\nlocal_address = \"127.0.0.5\"\n", "keys.txt");
    for _ in 0..200 {
        assert_eq!(hello().await, 200);
        if border.seen() == [local(5)] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the new address is never used");
}

/// The way out is at fault: the answer says so, and comes as soon as the request may wait no longer.
#[tokio::test(flavor = "multi_thread")]
async fn where_no_way_out_is_left_nobody_waits_for_it_longer_than_it_may() {
    let (home, sim) = (Home::new(), simulator(2).await);
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    home.write("keys.txt", &format!("{} exit=px\n{} exit=px\n", secret(0), secret(1)));
    let file = configured(&home, &format!("[exits.px]\nproxy = \"http://{gone}\"\n"), "keys.txt");
    let running = home.serve(&sim, &["--config", &file]);
    let url = format!("{}/v1beta/models/{MODEL}:generateContent", running.url);
    for _ in 0..2 {
        let request = http::Request::post(&url).header("x-goog-api-key", PLACEHOLDER);
        let took = crate::watching::stopwatch();
        let answer = ask(request, crate::serving::HELLO).await;
        assert!(took() < Duration::from_secs(4), "it waited {:?}: {answer:?}", took());
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 503, "{text}");
        assert!(answer.header("retry-after").parse::<u64>().is_ok(), "{answer:?}");
        assert!(text.contains("px") && !text.contains("overloaded"), "{text}");
    }
    let told = crate::home::end(running).await;
    let line = told.lines().find(|line| line.contains("exit px rests ")).unwrap_or_else(|| panic!("{told}"));
    assert!(line.contains("Connection refused"), "{line}");
}
