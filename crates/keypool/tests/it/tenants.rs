//! Tenants: added and revoked by commands beside gateways that run, and limited over all of them.

use std::time::Duration;

use gemini_sim::{GeminiSim, Limits, Project};
use http::{Request, StatusCode};

use crate::{
    binary::Running,
    home::{ACTS, Home, end, secret, simulator},
    serving::HELLO,
    support::{Answer, ask},
};

pub(crate) async fn hello(running: &Running, token: &str) -> Answer {
    let url = format!("{}/v1beta/models/gemini-2.5-flash:generateContent", running.url);
    ask(Request::post(url).header("x-goog-api-key", token), HELLO).await
}

pub(crate) async fn within_2s(running: &Running, token: &str, status: StatusCode) {
    let turns = async {
        while hello(running, token).await.status != status {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(ACTS, turns).await.expect("it acts");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_added_may_ask_and_who_is_revoked_may_not_within_2_s_in_all_processes() {
    let (home, sim) = (Home::new(), simulator(2).await);
    home.add(0, "one", &[]);
    home.add(1, "two", &[]);
    let running = [home.serve(&sim, &[]), home.serve(&sim, &[])];
    let token = home.run(&["tenants", "add", "alice", "--models", "gemini-2.5-flash*", "--rpm", "1000"]).good();
    let token = token.lines().find(|line| line.starts_with("kp-")).expect("the token").trim().to_owned();
    assert!(token.len() >= 3 + 32, "128 bits at least");
    for one in &running {
        within_2s(one, &token, StatusCode::OK).await;
        assert_eq!(hello(one, &token.to_uppercase()).await.status, StatusCode::UNAUTHORIZED);
    }
    home.run(&["tenants", "add", "alice"]).bad(2, "there already");
    home.run(&["tenants", "add", "default"]).bad(2, "default");
    home.run(&["tenants", "add", "ended", "--expires", "2020-01-31"]).bad(2, "past already");
    let listed = home.run(&["tenants", "list", "--json"]).json();
    assert_eq!((listed[0]["name"].as_str(), listed[0]["state"].as_str()), (Some("alice"), Some("active")));
    assert!(!listed.to_string().contains(&token));
    let bytes = std::fs::read(home.database()).unwrap();
    assert!(!String::from_utf8_lossy(&bytes).contains(&token[3..]), "kept as a hash");

    home.run(&["tenants", "revoke", "alice"]).good();
    for one in &running {
        within_2s(one, &token, StatusCode::UNAUTHORIZED).await;
    }
    home.run(&["tenants", "revoke", "nobody"]).bad(2, "nobody");
    for one in running {
        let said = end(one).await;
        assert!(!said.contains(&token[3..]), "{said}");
    }
}

#[test]
fn a_program_reads_the_token_and_who_was_revoked_as_json() {
    let home = Home::new();
    let added = home.run(&["tenants", "add", "alice", "--json"]).json();
    assert_eq!(added["name"], "alice");
    assert!(added["token"].as_str().is_some_and(|token| token.starts_with("kp-")), "{added}");
    home.run(&["tenants", "add", "bob"]).good();
    let revoked = home.run(&["tenants", "revoke", "alice", "bob", "--json"]).json();
    assert_eq!(
        revoked,
        serde_json::json!([{ "name": "alice", "change": "revoked" }, { "name": "bob", "change": "revoked" }])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_key_is_not_sent_once_its_token_is_revoked() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &["--rpm", "1"]);
    let url = sim.url();
    let args = ["serve", "--listen", "127.0.0.1:0", "--upstream", &url, "--wait", "300"];
    let running = Running::of(home.command(&args));
    let add = |name| {
        let told = home.run(&["tenants", "add", name]).good();
        told.lines().find(|line| line.starts_with("kp-")).expect("the token").trim().to_owned()
    };
    let (alice, bob) = (add("alice"), add("bob"));
    within_2s(&running, &bob, StatusCode::OK).await;
    let chat = async || {
        let request = Request::post(format!("{}/openai/v1/chat/completions", running.url));
        let request =
            request.header("authorization", format!("Bearer {alice}")).header("content-type", "application/json");
        ask(request, r#"{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"hi"}]}"#).await
    };
    let waiting = async {
        let (native, translated, of_bob) = tokio::join!(hello(&running, &alice), chat(), hello(&running, &bob));
        assert_eq!(native.status, StatusCode::UNAUTHORIZED, "{native:?}");
        assert_eq!(translated.status, StatusCode::UNAUTHORIZED, "{translated:?}");
        assert_eq!(of_bob.status, StatusCode::OK, "who may go on waited on");
    };
    let revoking = async {
        let waiters = async || {
            let told = ask(Request::get(format!("{}/-/metrics", running.url)), "").await;
            String::from_utf8_lossy(&told.body).lines().any(|line| line == "keypool_waiters 3")
        };
        while !waiters().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        home.run(&["tenants", "revoke", "alice"]).good();
        within_2s(&running, &alice, StatusCode::UNAUTHORIZED).await;
        assert_eq!(sim.report().total.accepted, 1);
        // A key is to be had.
        home.run(&["keys", "set", "one", "--rpm", "1000"]).good();
    };
    tokio::join!(waiting, revoking);
    assert_eq!(sim.report().total.accepted, 2, "bob's alone");
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_models_leads_nobody_to_one_that_he_may_not_use() {
    let home = Home::new();
    let project = Project::new("100000000000").limit("gemini-2.5-pro", Limits::zero()).key(secret(0));
    let sim = GeminiSim::builder().project(project).start().await.unwrap();
    home.add(0, "one", &[]);
    let add = |name, models| {
        let told = home.run(&["tenants", "add", name, "--models", models]).good();
        told.lines().find(|line| line.starts_with("kp-")).expect("the token").trim().to_owned()
    };
    let (narrow, wide) = (add("narrow", "gemini-2.5-pro"), add("wide", "gemini-2.5-*"));
    let running = home.serve(&sim, &["--fallback", "gemini-2.5-pro,gemini-2.5-flash"]);
    let chat = r#"{"model":"gemini-2.5-pro","messages":[{"role":"user","content":"hi"}]}"#;
    for (path, body) in
        [("/v1beta/models/gemini-2.5-pro:generateContent", HELLO), ("/openai/v1/chat/completions", chat)]
    {
        for (token, served) in [(&narrow, false), (&wide, true)] {
            let request =
                Request::post(format!("{}{path}", running.url)).header("authorization", format!("Bearer {token}"));
            let answer = ask(request.header("content-type", "application/json"), body).await;
            assert_eq!(answer.status == StatusCode::OK, served, "{path}: {answer:?}");
            assert_eq!(answer.header("x-keypool-model") == "gemini-2.5-flash", served, "{path}: {answer:?}");
        }
    }
    for front in ["/v1", "/v1beta/openai", "/gemini/v1beta/openai"] {
        let get = async |path: &str| {
            let request = Request::get(format!("{}{front}/models{path}", running.url));
            ask(request.header("authorization", format!("Bearer {narrow}")), "").await
        };
        let list = get("").await.json();
        let ids: Vec<&str> = list["data"].as_array().unwrap().iter().filter_map(|one| one["id"].as_str()).collect();
        let mark = if front.contains("openai") { "models/" } else { "" };
        assert_eq!(ids, [format!("{mark}gemini-2.5-pro")], "{front}");
        assert_eq!(get("/gemini-2.5-flash").await.status, StatusCode::FORBIDDEN, "{front}");
    }
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_hold_over_all_processes() {
    let (home, sim) = (Home::new(), simulator(2).await);
    home.add(0, "one", &[]);
    home.add(1, "two", &[]);
    let add = |name: &str, limit: &[&str]| {
        let said = home.run(&[&["tenants", "add", name], limit].concat()).good();
        said.lines().find(|line| line.starts_with("kp-")).expect("the token").trim().to_owned()
    };
    let (few, cheap) = (add("few", &["--rpd", "7"]), add("cheap", &["--tpd", "100"]));
    let running = [home.serve(&sim, &[]), home.serve(&sim, &[])];
    let (mut fine, mut spent) = (0, 0);
    for at in 0..20 {
        let answer = hello(&running[at % 2], &few).await;
        match answer.status {
            StatusCode::OK => fine += 1,
            StatusCode::TOO_MANY_REQUESTS => {
                spent += 1;
                assert!(answer.header("retry-after").parse::<u64>().unwrap() <= 86_400);
                assert_eq!(answer.json()["error"]["status"], "RESOURCE_EXHAUSTED");
            }
            _ => panic!("{answer:?}"),
        }
    }
    assert_eq!((fine, spent), (7, 13));
    let mut served = 0;
    while hello(&running[served % 2], &cheap).await.status == StatusCode::OK {
        served += 1;
        assert!(served < 60, "a hundred tokens are spent by then");
    }
    assert!(served > 0);
    for one in running {
        end(one).await;
    }
}

/// Whoever answers knows last what it cost: so do all others, and the next process.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_count_over_all_processes_and_restarts() {
    let (home, sim) = (Home::new(), simulator(2).await);
    home.add(0, "one", &[]);
    home.add(1, "two", &[]);
    // Of which a process used to draw one at a time, and an answer costs more.
    let said = home.run(&["tenants", "add", "once", "--tpd", "2"]).good();
    let token = said.lines().find(|line| line.starts_with("kp-")).expect("the token").trim();
    let first = home.serve(&sim, &[]);
    assert_eq!(hello(&first, token).await.status, StatusCode::OK);
    let second = home.serve(&sim, &[]);
    assert_eq!(hello(&second, token).await.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(sim.report().total.arrivals, 1);
    end(first).await;
    end(second).await;
    let third = home.serve(&sim, &[]);
    assert_eq!(hello(&third, token).await.status, StatusCode::TOO_MANY_REQUESTS);
    end(third).await;
}

/// What is under way costs something already.
#[tokio::test(flavor = "multi_thread")]
async fn many_at_once_go_no_further_over_a_limit_of_tokens_than_one() {
    let sim =
        GeminiSim::builder().latency(Duration::from_millis(400)).project(Project::new("100000000000").key(secret(0)));
    let (home, sim) = (Home::new(), sim.start().await.unwrap());
    home.add(0, "one", &[]);
    let said = home.run(&["tenants", "add", "once", "--tpd", "2"]).good();
    let token = said.lines().find(|line| line.starts_with("kp-")).expect("the token").trim();
    let running = home.serve(&sim, &[]);
    let answers = futures_util::future::join_all((0..40).map(|_| hello(&running, token))).await;
    let served = answers.iter().filter(|answer| answer.status == StatusCode::OK).count();
    assert_eq!((served, sim.report().total.arrivals), (1, 1));
    let refused = answers.iter().find(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS).expect("39 of them");
    assert!(refused.json()["error"]["message"].as_str().is_some_and(|why| why.contains("under way")), "{refused:?}");
    assert_eq!(refused.header("retry-after"), "1");
    let after = hello(&running, token).await;
    assert!(after.json()["error"]["message"].as_str().is_some_and(|why| why.contains("of this day")), "{after:?}");
    end(running).await;
}

#[test]
fn nobody_is_added_under_the_name_of_somebody_configured() {
    let home = Home::new();
    let hash = keypool::gateway::capability::hash_of(b"a-token-of-dan-that-is-long-enough");
    let file = home.write("keypool.toml", &format!("[[tenants]]\nname = \"dan\"\ntoken_hash = \"{hash}\"\nrpd = 3\n"));
    home.run(&["tenants", "add", "dan", "--config", &file]).bad(2, "configuration");
    home.run(&["tenants", "add", "ann", "--config", &file]).good();
}

#[test]
fn a_name_that_holds_a_key_is_refused_and_not_shown() {
    let home = Home::new();
    home.add(0, "one", &[]);
    let (own, other) = (secret(0), secret(1));
    // One of the database, whatever stands before it, and one that nobody has yet.
    for name in [own.clone(), format!("team{own}"), other.clone(), format!("team.{other}")] {
        let ended = home.run(&["tenants", "add", &name]);
        let all = format!("{ended:?}");
        assert!(!all.contains(&own) && !all.contains(&other), "{all}");
        ended.bad(2, "holds a key");
    }
    let hash = keypool::gateway::capability::hash_of(b"a-token-of-dan-that-is-long-enough");
    let file = home.write("keypool.toml", &format!("[[tenants]]\nname = \"{other}\"\ntoken_hash = \"{hash}\"\n"));
    home.run(&["config", "check", "--config", &file]).bad(2, "tenants[0].name: ");
    home.run(&["tenants", "add", "the-a-team.2026"]).good();
    assert_eq!(home.run(&["tenants", "list", "--json"]).json().as_array().unwrap().len(), 1);
}
