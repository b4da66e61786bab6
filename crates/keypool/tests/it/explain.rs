//! What became of a request: asked of the admin API, and by `keypool explain`.

use gemini_sim::{Fault, GeminiSim, Key, Limits, Project, Refusal, Rule};
use http::{Method, Request};
use keypool::gateway::token::PLACEHOLDER;
use serde_json::Value;

use crate::{
    admin::{TOKEN, get, send},
    binary::Running,
    home::{Home, end, secret, simulator},
    live::{PATH, Socket},
    serving::HELLO,
    support::{Answer, ask},
};

const SERVE: [&str; 2] = ["--admin-token", TOKEN];

async fn traced(running: &Running, id: &str, headers: &[(&'static str, &str)]) -> Answer {
    let url = format!("{}/v1beta/models/gemini-2.5-flash:generateContent?key=PLACEHOLDER_GEMINI_TOKEN", running.url);
    let mut request = Request::post(url).header("x-request-id", id);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    ask(request, HELLO).await
}

const ASKED: [(&str, &str); 2] = [("x-keypool-trace", "1"), ("x-keypool-admin", TOKEN)];

fn keys(attempts: &Value) -> Vec<&str> {
    attempts.as_array().unwrap().iter().map(|attempt| attempt["key"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_candidate_and_every_attempt_are_told() {
    let (home, sim) = (Home::new(), simulator(2).await);
    // The provider does not know this one.
    home.add(15, "unknown", &["--priority", "0"]);
    home.add(0, "spare", &["--priority", "5"]);
    home.add(1, "off", &["--priority", "0"]);
    home.run(&["keys", "disable", "off"]).good();
    let running = home.serve(&sim, &SERVE);
    let answer = traced(&running, "told-1", &ASKED).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-keypool-trace-id")), (200, "told-1"));
    let told = get(&running, "/requests/told-1").await;
    assert_eq!((told["status"].as_u64(), told["answered_by"].as_str()), (Some(200), Some("provider")));
    assert_eq!((told["tenant"].as_str(), told["model"].as_str()), (Some("default"), Some("gemini-2.5-flash")));
    assert_eq!(told["path"], "/v1beta/models/gemini-2.5-flash:generateContent", "without the query");
    assert_eq!(keys(&told["attempts"]), ["unknown", "spare"]);
    let [first, second] = &told["attempts"].as_array().unwrap()[..] else { panic!("{told}") };
    assert_eq!((first["status"].as_u64(), first["verdict"].as_str()), (Some(400), Some("invalid_key")));
    assert!(!first["sentence"].as_str().unwrap().is_empty() && first["ms"].is_u64() && second["ms"].is_u64());
    assert_eq!((second["status"].as_u64(), second["verdict"].as_str()), (Some(200), Some("success")));
    let look = told["looks"][0]["candidates"].as_array().unwrap();
    let out = |key: &str| look.iter().find(|one| one["key"] == key).unwrap()["out"].clone();
    assert_eq!((look.len(), out("unknown"), out("spare")), (3, Value::Null, Value::Null));
    assert!(out("off").as_str().unwrap().contains("disabled"), "{look:?}");
    let errors = get(&running, "/errors").await;
    let error = &errors["errors"][0];
    assert_eq!(
        (error["key"].as_str(), error["status"].as_u64(), error["request"].as_str()),
        (Some("unknown"), Some(400), Some("told-1"))
    );
    assert!(!error["sentence"].as_str().unwrap().is_empty() && error["at"].is_i64());

    let said = home.run(&["explain", "told-1", "--admin", &running.url, "--admin-token", TOKEN]).good();
    for part in ["unknown", "spare", "disabled", "invalid_key", "the provider's own answer"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let typed = home.run(&["explain", "told-1", "--admin", &running.url, "--admin-token", TOKEN, "--json"]);
    assert!(typed.err.contains("shell's history") && !typed.err.contains(TOKEN), "{typed:?}");
    let json = typed.json();
    // Not typed, nobody is warned.
    let file = home.write("token", &format!("{TOKEN}\n"));
    let args = ["explain", "told-1", "--admin", &running.url, "--admin-token"];
    for quiet in [
        home.pipe(&[&args[..], &["-"]].concat(), &format!("{TOKEN}\n")),
        home.run(&["explain", "told-1", "--admin", &running.url, "--admin-token-file", &file]),
    ] {
        assert_eq!(quiet.err, "");
        quiet.good();
    }
    home.pipe(&[&args[..], &["-"]].concat(), "\n").bad(2, "the admin token is empty");
    home.run(&["explain", "told-1", "--admin", &running.url, "--admin-token-file", "nowhere"]).bad(2, "nowhere");
    assert_eq!(keys(&json["attempts"]), ["unknown", "spare"]);
    home.run(&["explain", "nobody", "--admin", &running.url, "--admin-token", TOKEN]).bad(1, "404");
    home.run(&["explain", "told-1", "--admin", &running.url, "--admin-token", "wrong"]).bad(1, "401");
    home.run(&["explain", "told-1", "--admin", &running.url]).bad(2, "KEYPOOL_ADMIN_TOKEN");
    let mut command = home.command(&["explain", "told-1", "--admin", &running.url]);
    command.env("KEYPOOL_ADMIN_TOKEN", TOKEN);
    Home::ended(command, "").good();
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_administrator_is_told_and_nothing_of_it_goes_upstream() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    let running = home.serve(&sim, &SERVE);
    for headers in [&[("x-keypool-trace", "1")][..], &[("x-keypool-trace", "1"), ("x-keypool-admin", "wrong")], &[]] {
        let answer = traced(&running, "plain", headers).await;
        assert_eq!((answer.status.as_u16(), answer.header("x-keypool-trace-id")), (200, ""));
    }
    // It is remembered all the same, without a look at the keys.
    let told = get(&running, "/requests/plain").await;
    assert_eq!((told["looks"].as_array().unwrap().len(), told["surveyed"].as_bool()), (0, Some(false)));
    assert_eq!((keys(&told["attempts"]), told["attempts"][0]["status"].as_u64()), (vec!["one"], Some(200)));
    assert_eq!(get(&running, "/requests").await["requests"].as_array().unwrap().len(), 3);
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_429_it_was_is_told() {
    let project = Project::new("100000000001").key(Key::new(secret(0))).limits(Limits::none().rpm(1));
    let sim = GeminiSim::builder().project(project).start().await.unwrap();
    let home = Home::new();
    home.add(0, "one", &[]);
    let made = home.run(&["tenants", "add", "few", "--rpd", "1"]).good();
    let token = made.lines().find(|line| line.starts_with("kp-")).unwrap().trim().to_owned();
    let running = home.serve(&sim, &SERVE);
    let url = format!("{}/v1beta/models/gemini-2.5-flash:generateContent", running.url);
    let few =
        |id: &'static str| ask(Request::post(&url).header("x-goog-api-key", &token).header("x-request-id", id), HELLO);
    assert_eq!(few("first").await.status, 200);
    // The tenant's own limit.
    assert_eq!(few("ours").await.status, 429);
    let told = get(&running, "/requests/ours").await;
    assert_eq!((told["answered_by"].as_str(), told["tenant"].as_str()), (Some("gateway"), Some("few")));
    assert!(told["why"].as_str().unwrap().contains("requests of this day"), "{told}");
    assert_eq!(told["attempts"], serde_json::json!([]));
    // The provider's, which no other key could carry: what the client gets is the gateway's 503, and the trace has both.
    let answer = traced(&running, "theirs", &ASKED).await;
    let told = get(&running, "/requests/theirs").await;
    assert_eq!(told["status"].as_u64().unwrap(), u64::from(answer.status.as_u16()));
    assert_eq!(
        (told["attempts"][0]["status"].as_u64(), told["attempts"][0]["verdict"].as_str()),
        (Some(429), Some("rate_limited")),
        "{told}"
    );
    assert_eq!(told["answered_by"], "gateway");
    assert!(told["retry_after"].is_string() && told["why"].as_str().unwrap().contains("rate limit"), "{told}");
    let said = home.run(&["explain", "theirs", "--admin", &running.url, "--admin-token", TOKEN]).good();
    assert!(said.contains("this gateway's own answer, not the provider's"), "{said}");
    let used = send(&running, Method::GET, "/usage?by=tenant", "").await.json();
    let of = |tenant: &str| {
        used["rows"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|row| row["tenant"] == tenant)
            .map(|row| row["requests"].as_u64().unwrap())
            .sum::<u64>()
    };
    assert_eq!((of("few"), of("default")), (1, 1), "{used}");
    end(running).await;
    // The command tells the same, of the database alone.
    let told = home.run(&["usage", "--by", "tenant", "--json"]).json();
    assert_eq!(told["rows"], used["rows"]);
    assert!(home.run(&["usage", "--by", "tenant", "--csv"]).good().contains(",few,gemini-2.5-flash,1,0,"));
}

#[tokio::test(flavor = "multi_thread")]
async fn chunks_of_uploads_and_sockets_are_told_like_others() {
    let (home, sim) = (Home::new(), simulator(2).await);
    for key in 0..2 {
        home.add(key, if key == 0 { "one" } else { "two" }, &[]);
    }
    let running = home.serve(&sim, &SERVE);
    let start = Request::post(format!("{}/upload/v1beta/files?key={PLACEHOLDER}", running.url))
        .header("x-goog-upload-protocol", "resumable")
        .header("x-goog-upload-command", "start")
        .header("x-goog-upload-header-content-length", "5")
        .header("x-goog-upload-header-content-type", "text/plain");
    let url = ask(start, r#"{"file":{}}"#).await.header("x-goog-upload-url").to_owned();
    let chunk = Request::post(&url).header("x-request-id", "chunk").header("x-goog-upload-offset", "0");
    let good = ask(chunk.header("x-goog-upload-command", "upload, finalize"), "hello").await;
    assert_eq!(good.status.as_u16(), 200, "{good:?}");
    let told = get(&running, "/requests/chunk").await;
    assert_eq!((told["answered_by"].as_str(), told["status"].as_u64()), (Some("provider"), Some(200)), "{told}");
    assert_eq!(keys(&told["attempts"]), [good.header("x-keypool-key")]);

    let address = running.url.strip_prefix("http://").unwrap().parse().unwrap();
    let mut socket =
        Socket::open(address, PATH, &format!("x-goog-api-key: {PLACEHOLDER}\r\nx-request-id: live\r\n")).await;
    socket.say(1, r#"{"setup":{"model":"models/gemini-2.5-flash"}}"#).await;
    assert!(socket.hear().await.unwrap().1.contains("setupComplete"));
    let told = get(&running, "/requests/live").await;
    assert_eq!((told["answered_by"].as_str(), told["status"].as_u64()), (Some("provider"), Some(101)), "{told}");
    assert_eq!(
        (told["attempts"].as_array().unwrap().len(), told["model"].as_str()),
        (1, Some("gemini-2.5-flash")),
        "{told}"
    );
    assert_eq!(told["key"], told["attempts"][0]["key"]);
    drop(socket);
    end(running).await;
}

/// Each retry looks at the keys anew; and the pause before one that follows a fault of the provider's is no time of a key's.
#[tokio::test(flavor = "multi_thread")]
async fn a_retry_is_told_as_a_first_attempt_is() {
    let (home, sim) = (Home::new(), simulator(3).await);
    for (n, id) in ["one", "two", "three"].into_iter().enumerate() {
        home.add(n, id, &[]);
    }
    sim.script(Rule::new(Fault::Refuse(Refusal::Overloaded)).times(2));
    let still = home.write("keypool.toml", "retry = { first = '300ms', factor = 1, jitter = false }\n");
    let running = home.serve(&sim, &[&SERVE[..], &["--config", &still]].concat());
    let answer = traced(&running, "again", &ASKED).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-keypool-attempts")), (200, "3"), "{answer:?}");
    let told = get(&running, "/requests/again").await;
    let attempts = told["attempts"].as_array().unwrap();
    let looks = told["looks"].as_array().unwrap();
    assert_eq!(looks.len(), 3, "{told}");
    for (n, attempt) in attempts.iter().enumerate() {
        let (waited, took) = (attempt["waited_ms"].as_u64().unwrap(), attempt["ms"].as_u64().unwrap());
        assert_eq!(waited >= 300, n > 0, "{n}: {told}");
        assert!(took < 300, "{n}: {told}");
        let look = looks[n]["candidates"].as_array().unwrap();
        assert!(look.iter().any(|one| one["key"] == attempt["key"] && one["out"].is_null()), "{n}: {told}");
    }
    end(running).await;
}
