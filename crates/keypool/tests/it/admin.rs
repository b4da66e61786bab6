//! The admin API: who may come in, what is told, what is changed; and never a secret.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    binary::Running,
    described,
    home::{ACTS, Home, end, hello, joins_within_2s, no_secret, secret, simulator, within_2s},
    support::{Answer, ask, raw},
};

pub(crate) const TOKEN: &str = "an-admin-token-of-the-test";
const SERVE: [&str; 2] = ["--admin-token", TOKEN];

pub(crate) async fn send(running: &Running, method: Method, path: &str, body: impl Into<Bytes>) -> Answer {
    let url = format!("{}/-/admin{path}", running.url);
    let answer = ask(Request::builder().method(&method).uri(url).header("x-keypool-admin", TOKEN), body).await;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    no_secret(&text);
    assert!(!text.contains(TOKEN), "{path}: {text}");
    assert_eq!(answer.header("cache-control"), "no-store");
    if answer.status.is_success() && answer.header("content-type").starts_with("application/json") {
        let description = DESCRIPTION.get_or_init(|| described(running)).await;
        if let Some(schema) = described::schema(description, &method, path, answer.status) {
            let why = described::unlike(description, schema, &answer.json(), path);
            assert!(why.is_none(), "{method} {path}: {}", why.unwrap());
        }
    }
    answer
}

/// The same of each gateway.
static DESCRIPTION: tokio::sync::OnceCell<Value> = tokio::sync::OnceCell::const_new();

async fn described(running: &Running) -> Value {
    let url = format!("{}/-/admin/openapi.json", running.url);
    ask(Request::get(url).header("x-keypool-admin", TOKEN), "").await.json()
}

/// What is told at this path.
#[track_caller]
pub(crate) fn get(running: &Running, path: &str) -> impl Future<Output = Value> {
    let caller = std::panic::Location::caller();
    async move {
        let answer = send(running, Method::GET, path, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{caller}: {answer:?}");
        answer.json()
    }
}

/// What came of a change.
#[track_caller]
fn post(running: &Running, path: &str, body: &Value) -> impl Future<Output = Answer> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    async move { send(running, Method::POST, path, body).await }
}

fn address_of(running: &Running) -> SocketAddr {
    running.url.strip_prefix("http://").unwrap().parse().unwrap()
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status.as_u16(), answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_it_is_off_and_says_how_it_is_switched_on() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    let running = home.serve(&sim, &[]);
    for path in ["/-/admin", "/-/admin/snapshot", "/-/ui"] {
        let answer = ask(Request::get(format!("{}{path}", running.url)).header("x-keypool-admin", TOKEN), "").await;
        assert_eq!(code(&answer), (404, "admin_off".to_owned()));
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains("KEYPOOL_ADMIN_TOKEN"));
    }
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_administrators_token_opens_it_and_it_opens_nothing_else() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    let running = home.serve(&sim, &SERVE);
    let url = format!("{}/-/admin/keys", running.url);
    let with = |name: &'static str, value: &str| ask(Request::get(&url).header(name, value.to_owned()), "");
    assert_eq!(with("authorization", &format!("Bearer {TOKEN}")).await.status, 200);
    assert_eq!(code(&ask(Request::get(&url), "").await), (401, "unauthorized".to_owned()));
    assert_eq!(code(&with("x-goog-api-key", TOKEN).await).0, 401);
    assert_eq!(code(&with("authorization", "Bearer PLACEHOLDER_GEMINI_TOKEN").await).0, 401);
    // Nobody else's page, whatever it sends.
    let foreign = Request::get(&url).header("x-keypool-admin", TOKEN).header("origin", "http://evil.example");
    assert_eq!(code(&ask(foreign, "").await).0, 403);
    let head = format!("GET /-/admin/keys HTTP/1.1\r\nhost: evil.example\r\nx-keypool-admin: {TOKEN}\r\n\r\n");
    assert!(raw(address_of(&running), &head).await.starts_with("HTTP/1.1 421"));
    // It is no client's token, and never leaves.
    let models = format!("{}/v1beta/models", running.url);
    assert_eq!(ask(Request::get(&models).header("x-goog-api-key", TOKEN), "").await.status, 401);
    assert_eq!(ask(Request::get(format!("{models}?key={TOKEN}")), "").await.status, 401);
    assert_eq!(sim.report().total.arrivals, 0);
    // Whoever is wrong too often waits; the client's own requests do not.
    let mut last = ask(Request::get(&url), "").await;
    for _ in 0..12 {
        last = with("x-keypool-admin", "wrong").await;
    }
    assert_eq!(code(&last), (429, "throttled".to_owned()));
    assert!((1..=61).contains(&last.header("retry-after").parse::<u64>().unwrap()));
    // Who shares its address is not kept out.
    assert_eq!(with("x-keypool-admin", TOKEN).await.status, 200);
    assert_eq!(with("x-keypool-admin", "wrong").await.status, 429);
    assert_eq!(hello(&running).await.status, 200);
    let said = end(running).await;
    assert!(!said.contains(TOKEN), "{said}");
    let shown = home.run(&["config", "show"]).good();
    assert!(!shown.contains(TOKEN));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_changes_only_from_the_gateways_own_page() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    let running = home.serve(&sim, &SERVE);
    let login = format!("{}/-/admin/login", running.url);
    let wrong = ask(Request::post(&login), json!({ "token": "wrong" }).to_string()).await;
    assert_eq!(code(&wrong).0, 401);
    assert!(!wrong.headers.contains_key("set-cookie"));
    let listed = ask(Request::post(&login), json!([TOKEN]).to_string()).await;
    assert_eq!(code(&listed).0, 400, "a list has no field of that name");
    let fine = ask(Request::post(&login), json!({ "token": TOKEN }).to_string()).await;
    assert_eq!(fine.status, 200);
    let set = fine.header("set-cookie").to_owned();
    for part in ["HttpOnly", "SameSite=Strict", "Path=/-/", "Max-Age=43200"] {
        assert!(set.contains(part), "{set}");
    }
    assert!(!set.contains("Secure"), "it came without TLS");
    let cookie = set.split(';').next().unwrap().to_owned();
    assert!(cookie.len() >= 32, "128 bits at least");
    let url = |path: &str| format!("{}/-/admin{path}", running.url);
    let with = |request: http::request::Builder| ask(request.header("cookie", &cookie), "");
    assert_eq!(with(Request::get(url("/snapshot"))).await.status, 200);
    let disable = || Request::post(url("/keys/one/disable"));
    assert_eq!(code(&with(disable()).await), (403, "foreign_origin".to_owned()));
    assert_eq!(code(&with(disable().header("origin", "http://evil.example")).await).0, 403);
    assert_eq!(code(&with(disable().header("origin", "null")).await).0, 403);
    assert_eq!(home.key("one")["state"], "usable");
    let own = running.url.clone();
    assert_eq!(with(disable().header("origin", &own)).await.status, 200);
    assert_eq!(home.key("one")["state"], "disabled");
    // A client's way stays closed.
    assert_eq!(with(Request::get(format!("{}/v1beta/models", running.url))).await.status, 401);
    assert_eq!(with(Request::post(url("/logout")).header("origin", &own)).await.status, 200);
    assert_eq!(with(Request::get(url("/snapshot"))).await.status, 401);
    let said = end(running).await;
    assert!(!said.contains(cookie.split('=').nth(1).unwrap()), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_tells_how_all_stands_and_never_a_secret() {
    let (home, sim) = (Home::new(), simulator(2).await);
    home.add(0, "one", &["--label", "note:<img src=x onerror=alert(1)>"]);
    let running = home.serve(&sim, &SERVE);
    for _ in 0..3 {
        assert_eq!(hello(&running).await.status, 200);
    }
    let snapshot = get(&running, "/snapshot").await;
    assert_eq!(snapshot["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(snapshot["snapshot"]["started"], 3);
    assert_eq!(snapshot["snapshot"]["keys"][0]["labels"]["note"], "<img src=x onerror=alert(1)>");
    let answer = send(&running, Method::GET, "/snapshot?pool=other", "").await;
    assert_eq!(code(&answer), (404, "not_found".to_owned()));

    let keys = get(&running, "/keys").await;
    assert_eq!((keys["total"].as_u64(), keys["keys"][0]["id"].as_str()), (Some(1), Some("one")));
    assert_eq!(keys["keys"][0]["live"]["started"], 3);
    assert_eq!(get(&running, "/keys?state=disabled").await["total"], 0);
    assert_eq!(get(&running, "/keys?offset=1").await["keys"], json!([]));
    assert_eq!(code(&send(&running, Method::GET, "/keys?state=odd", "").await).0, 400);
    assert_eq!(get(&running, "/keys/one").await["state"], "usable");
    assert_eq!(code(&send(&running, Method::GET, "/keys/nobody", "").await).0, 404);
    let typed = send(&running, Method::GET, &format!("/keys/{}", secret(0)), "").await;
    assert_eq!(code(&typed).0, 404);

    let used = get(&running, "/usage?by=tenant").await;
    assert_eq!(used["rows"][0]["tenant"], "default");
    assert_eq!(used["rows"][0]["model"], "gemini-2.5-flash");
    assert_eq!((used["total"]["requests"].as_u64(), used["total"]["failed"].as_u64()), (Some(3), Some(0)));
    assert!(
        used["total"]["input_tokens"].as_u64().unwrap() > 0 && used["total"]["output_tokens"].as_u64().unwrap() > 0
    );
    let processes = get(&running, "/processes").await;
    let this = &processes["processes"][0];
    assert_eq!((this["is_this"].as_bool(), this["pid"].is_u64()), (Some(true), true));
    let bytes = |name: &str| this[name].as_u64().unwrap_or_default();
    assert!(bytes("pool_bytes") > 1_000 && this["spills"].is_u64(), "{this}");
    if cfg!(target_os = "linux") {
        assert!(bytes("memory_bytes") > bytes("pool_bytes") + (1 << 20), "{this}");
    }
    assert_eq!(get(&running, "/tenants").await["tenants"][0]["name"], "default");
    assert_eq!(get(&running, "/errors").await["errors"], json!([]));

    assert_eq!(code(&send(&running, Method::GET, "/nowhere", "").await), (404, "not_found".to_owned()));
    let other = send(&running, Method::PUT, "/keys/one", "").await;
    assert_eq!(code(&other), (405, "method_not_allowed".to_owned()));
    assert_eq!(other.header("allow"), "GET, PATCH, DELETE");
    let long = send(&running, Method::POST, "/keys", vec![b' '; (64 << 10) + 1]).await;
    assert_eq!(code(&long), (413, "too_large".to_owned()));
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_changed_in_all_processes_and_for_good() {
    let (home, sim) = (Home::new(), simulator(4).await);
    home.add(0, "one", &[]);
    home.add(1, "two", &[]);
    let (first, second) = (home.serve(&sim, &SERVE), home.serve(&sim, &[]));
    within_2s(&second, &["one", "two"]).await;
    let done = post(&first, "/keys/one/disable", &json!({ "reason": "too dear" })).await;
    assert_eq!((done.status, done.json()["id"].as_str().unwrap()), (StatusCode::OK, "one"));
    within_2s(&second, &["two"]).await;
    within_2s(&first, &["two"]).await;
    assert_eq!(home.key("one")["reason"], "too dear");

    let added =
        post(&first, "/keys", &json!({ "secret": secret(2), "id": "three", "said": { "owner": "o", "weight": 2.0 } }))
            .await;
    assert_eq!(added.status, 201, "{added:?}");
    joins_within_2s(&second, "three").await;
    let again = post(&first, "/keys", &json!({ "secret": secret(2), "said": { "weight": 3.0 } })).await;
    assert_eq!((again.status.as_u16(), again.json()["added"].as_bool()), (200, Some(false)));
    assert!(again.json()["acts"].as_str().unwrap().contains("nothing was changed"), "{again:?}");
    let three = get(&first, "/keys/three").await;
    assert_eq!((three["owner"].as_str(), three["weight"].as_f64()), (Some("o"), Some(2.0)));

    let set = send(
        &first,
        Method::PATCH,
        "/keys/three",
        json!({ "weight": 0.5, "owner": null, "limits": { "rpm": 7 } }).to_string(),
    )
    .await;
    assert_eq!(set.status, 200, "{set:?}");
    let three = get(&first, "/keys/three").await;
    assert_eq!((three["owner"].as_str(), three["weight"].as_f64()), (None, Some(0.5)));
    assert_eq!(three["limits"]["*"][0], "7 requests/minute");

    assert_eq!(post(&first, "/keys/two/replace", &json!({ "secret": secret(3) })).await.status, 200);
    assert_eq!(send(&first, Method::DELETE, "/keys/three", "").await.status, 200);
    within_2s(&second, &["two"]).await;
    // What has left is switched neither on nor off, has no weight, and leaves no more.
    for (method, path, body) in [
        (Method::POST, "/keys/three/enable", Value::Null),
        (Method::POST, "/keys/three/disable", Value::Null),
        (Method::PATCH, "/keys/three", json!({ "weight": 3.0 })),
        (Method::DELETE, "/keys/three", Value::Null),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = send(&first, method, path, body).await;
        assert_eq!(code(&answer), (404, "not_found".to_owned()), "{path}: {answer:?}");
    }
    assert_eq!(home.key("three")["state"], "removed");
    assert_eq!(post(&first, "/keys/one/enable", &Value::Null).await.status, 200);
    within_2s(&second, &["one", "two"]).await;

    // What is wrong is said, and never what was sent.
    for (path, body, expected) in [
        ("/keys", json!({ "secret": "short" }), 400),
        ("/keys", json!({ "secret": secret(5), "id": "one" }), 409),
        ("/keys", json!({ "secret": 5, "id": secret(6) }), 400),
        ("/keys", json!({ "secret": secret(5), secret(6): 1 }), 400),
        ("/keys/nobody/disable", Value::Null, 404),
        ("/keys/one/disable", json!({ "reason": secret(7) }), 400),
        ("/keys/one/replace", json!({ "secret": secret(3) }), 409),
    ] {
        let answer = post(&first, path, &body).await;
        assert_eq!(answer.status.as_u16(), expected, "{path} {answer:?}");
    }
    let file = format!("{}\n{} id=four weight=2\nnonsense\n", secret(8), secret(9));
    let imported = send(&first, Method::POST, "/import?source=mail", file).await;
    let told = imported.json();
    assert_eq!((told["added"].as_u64(), told["rejected"][0]["line"].as_u64()), (Some(2), Some(3)), "{told}");
    assert_eq!(get(&first, "/keys/four").await["source"], "mail");

    let audit = get(&first, "/audit").await;
    let changes = audit["changes"].as_array().unwrap();
    let named = |what: &str, key: &str| {
        changes.iter().any(|change| {
            change["what"] == what
                && change["key"] == key
                && change["result"] == "done"
                && change["from"] == "127.0.0.1"
        })
    };
    assert!(named("disable", "one") && named("add", "three") && named("replace", "two"), "{audit}");
    assert!(changes.iter().any(|change| change["result"] == "not_found" && change["key"].is_null()));
    let refused = |change: &Value| change["result"] != "done" && change["key"] == "one";
    assert_eq!(
        changes.iter().filter(|change| refused(change)).count(),
        2,
        "of a key that is there it is said: {audit}"
    );
    end(second).await;
    let said = end(first).await;
    assert!(said.contains("what=disable") && said.contains("key=one"), "{said}");
    // What was not done does not read as if it were.
    let audited = said.lines().filter(|line| line.contains(" who="));
    let (done, refused): (Vec<&str>, Vec<&str>) = audited.partition(|line| line.contains("result=done"));
    assert!(!done.is_empty() && done.iter().all(|line| line.contains(" changed by an administrator")), "{done:#?}");
    let is_said = |line: &&str| line.contains(" a change by an administrator was refused");
    assert!(!refused.is_empty() && refused.iter().all(is_said), "{refused:#?}");
    let third = home.serve(&sim, &SERVE);
    assert_eq!(get(&third, "/keys/three").await["state"], "removed");
    assert_eq!(get(&third, "/keys/one").await["state"], "usable");
    end(third).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_acts_here_when_it_is_answered() {
    let (home, sim) = (Home::new(), simulator(6).await);
    home.add(0, "one", &[]);
    let database = home.serve(&sim, &SERVE);
    let file = home.write("keys.txt", &format!("{} id=one\n", secret(0)));
    let none = home.serve(&sim, &["--db", "none", "--keys", &file, "--admin-token", TOKEN]);
    for running in [&database, &none] {
        for (n, id) in [(1, "two"), (2, "three"), (3, "four")] {
            assert_eq!(post(running, "/keys", &json!({ "secret": secret(n), "id": id })).await.status, 201);
            let tried = post(running, &format!("/keys/{id}/test"), &Value::Null).await;
            assert_eq!((tried.status, tried.json()["works"].as_bool()), (StatusCode::OK, Some(true)), "{id} {tried:?}");
            let off = post(running, &format!("/keys/{id}/disable"), &Value::Null).await;
            assert_eq!(off.status, 200, "{off:?}");
        }
        assert_eq!(crate::home::servers(running, 4).await, ["one"]);
        for id in ["two", "three"] {
            assert_eq!(post(running, &format!("/keys/{id}/enable"), &Value::Null).await.status, 200);
        }
        assert_eq!(send(running, Method::DELETE, "/keys/two", "").await.status, 200);
        assert_eq!(post(running, "/keys/three/replace", &json!({ "secret": secret(19) })).await.status, 200);
        let tried = post(running, "/keys/three/test", &Value::Null).await.json();
        assert_eq!(tried["verdict"], "invalid_key", "with the secret that it has by now: {tried}");
        assert_eq!(code(&post(running, "/keys/two/test", &Value::Null).await).0, 404);
    }
    end(none).await;
    end(database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_a_body_is_named() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    let running = home.serve(&sim, &SERVE);
    for (method, path, body, said) in [
        (Method::POST, "/keys", json!({ "secret": 5 }), "secret: expected a string (line 1, column"),
        (Method::POST, "/keys", json!({ "secret": secret(1), "weight": 2 }), "weight: there is no such field"),
        (Method::POST, "/keys", json!({ "secret": secret(1), secret(2): 2 }), "…: there is no such field"),
        (Method::PATCH, "/keys/one", json!({ "limits": { "rpm": secret(3) } }), "limits.rpm: expected a number"),
        (Method::POST, "/keys/one/disable", json!({ "why": "x" }), "why: there is no such field, expected `reason`"),
        (Method::POST, "/keys/one/test", json!({ "model": ["x"] }), "model: expected a string"),
    ] {
        let answer = send(&running, method, path, body.to_string()).await;
        assert_eq!(code(&answer), (400, "invalid_request".to_owned()));
        assert!(answer.json()["error"]["message"].as_str().unwrap().starts_with(said), "{said}: {answer:?}");
    }
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_changes_act_on_the_running_pool_and_say_so() {
    let (home, sim) = (Home::new(), simulator(2).await);
    let file = home.write("keys.txt", &format!("{} id=one\n", secret(0)));
    let running = home.serve(&sim, &["--db", "none", "--keys", &file, "--admin-token", TOKEN]);
    let done = post(&running, "/keys/one/disable", &Value::Null).await;
    assert!(done.json()["acts"].as_str().unwrap().contains("this process alone"), "{done:?}");
    assert_eq!(hello(&running).await.status, 503);
    assert_eq!(post(&running, "/keys/one/enable", &Value::Null).await.status, 200);
    assert_eq!(hello(&running).await.status, 200);
    assert_eq!(post(&running, "/keys", &json!({ "secret": secret(1), "id": "two" })).await.status, 201);
    within_2s(&running, &["one", "two"]).await;
    assert_eq!(send(&running, Method::DELETE, "/keys/two", "").await.status, 200);
    within_2s(&running, &["one"]).await;
    assert_eq!(code(&send(&running, Method::POST, "/import", "x").await), (409, "no_database".to_owned()));
    assert_eq!(
        code(&send(&running, Method::PATCH, "/keys/one", r#"{"owner":"o"}"#).await),
        (409, "no_database".to_owned())
    );
    assert_eq!(get(&running, "/processes").await["processes"].as_array().unwrap().len(), 1);
    let used = get(&running, "/usage?by=tenant").await;
    assert!(used["total"]["requests"].as_u64().unwrap() > 2 && used["total"]["failed"] == 1, "{used}");
    assert_eq!(code(&send(&running, Method::GET, "/usage", "").await), (409, "no_database".to_owned()));
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_tried_whatever_the_pool_thinks_of_it() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "good", &[]);
    home.add(19, "bad", &[]);
    let running = home.serve(&sim, &SERVE);
    assert_eq!(post(&running, "/keys/good/disable", &Value::Null).await.status, 200);
    // Until the gateway goes by the book in which it is switched off.
    while get(&running, "/keys?state=disabled").await["total"] != 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let good = post(&running, "/keys/good/test", &Value::Null).await.json();
    assert_eq!((good["works"].as_bool(), good["status"].as_u64()), (Some(true), Some(200)), "{good}");
    let asked = post(&running, "/keys/good/test", &json!({ "model": "gemini-2.5-flash" })).await.json();
    assert_eq!(asked["works"], true, "{asked}");
    let bad = post(&running, "/keys/bad/test", &Value::Null).await.json();
    assert_eq!((bad["works"].as_bool(), bad["verdict"].as_str()), (Some(false), Some("invalid_key")), "{bad}");
    assert_eq!(
        (bad["status"].as_u64(), bad["sentence"].as_str()),
        (Some(400), Some("invalid key API_KEY_INVALID")),
        "{bad}"
    );
    assert!(!bad["advice"].as_str().unwrap().is_empty() && bad["ms"].is_u64());
    assert_eq!(get(&running, "/keys/bad").await["live"]["started"], 0, "the pool has not been asked");
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_a_list_and_a_stream() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    let running = home.serve(&sim, &SERVE);
    let head = format!("GET /-/admin/events HTTP/1.1\r\nhost: localhost\r\nx-keypool-admin: {TOKEN}\r\n\r\n");
    let mut stream = tokio::net::TcpStream::connect(address_of(&running)).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut streamed = String::new();
    let mut come = async |words: &[&str]| {
        let mut piece = [0; 4096];
        while !words.iter().all(|word| streamed.contains(word)) {
            let read = tokio::time::timeout(ACTS, stream.read(&mut piece)).await;
            let read = read.unwrap_or_else(|_| panic!("{words:?} do not come: {streamed}")).unwrap();
            assert!(read > 0, "{streamed}");
            streamed.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
    };
    come(&["content-type: text/event-stream", "\r\n\r\n"]).await;
    assert_eq!(post(&running, "/keys/one/disable", &Value::Null).await.status, 200);
    come(&["event: audit", "event: disabled"]).await;
    no_secret(&streamed);
    let recent = get(&running, "/events?recent=5").await;
    let events = recent["events"].as_array().unwrap();
    assert!(events.len() <= 5 && events.iter().any(|event| event["event"] == "disabled" && event["pool"] == "main"));
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_the_events_does_not_hold_up_the_end() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    let running = home.serve(&sim, &SERVE);
    let head = format!("GET /-/admin/events HTTP/1.1\r\nhost: localhost\r\nx-keypool-admin: {TOKEN}\r\n\r\n");
    let mut stream = tokio::net::TcpStream::connect(address_of(&running)).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    // Answers under way get 10 s.
    let said = tokio::time::timeout(ACTS, end(running)).await.expect("it ends at once");
    assert!(!said.contains("cut off"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_says_what_was_taken_or_why_not() {
    let (home, sim) = (Home::new(), simulator(2).await);
    let file = home.write("keys.txt", &format!("{} id=one\n", secret(0)));
    let running = home.serve(&sim, &["--keys", &file, "--admin-token", TOKEN]);
    let same = post(&running, "/reload", &Value::Null).await;
    assert_eq!(same.json()["news"], "no key changed", "{same:?}");
    std::fs::remove_file(&file).unwrap();
    let refused = post(&running, "/reload", &Value::Null).await;
    assert_eq!(code(&refused), (409, "refused".to_owned()));
    assert!(refused.json()["error"]["message"].as_str().unwrap().contains("keys.txt"));
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_of_a_store_see_each_other_until_they_end() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    let (first, second) = (home.serve(&sim, &SERVE), home.serve(&sim, &[]));
    assert_eq!(hello(&second).await.status, 200);
    let seen = async |wanted: usize| {
        let found = async {
            loop {
                let told = get(&first, "/processes").await;
                let all = told["processes"].as_array().unwrap().clone();
                if all.len() == wanted {
                    return all;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(ACTS, found).await.expect("they see each other")
    };
    let all = seen(2).await;
    assert!(all.iter().all(|process| process["version"] == env!("CARGO_PKG_VERSION") && process["seen"].is_i64()));
    assert_ne!(all[0]["pid"], all[1]["pid"]);
    end(second).await;
    seen(1).await;
    end(first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_an_address_of_its_own_it_is_there_alone() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    let running = home.serve(&sim, &["--admin-token", TOKEN, "--admin-listen", "127.0.0.1:0"]);
    let answer = ask(Request::get(format!("{}/-/admin/keys", running.url)).header("x-keypool-admin", TOKEN), "").await;
    assert_eq!(code(&answer).0, 404);
    let url = running.told.split("the admin API is on ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let there = ask(Request::get(format!("{url}/keys")).header("x-keypool-admin", TOKEN), "").await;
    assert_eq!(there.json()["total"], 1);
    let client = url.replace("/-/admin", "/v1beta/models");
    let answer = ask(Request::get(client).header("x-goog-api-key", "PLACEHOLDER_GEMINI_TOKEN"), "").await;
    assert_eq!(answer.status, 401, "clients have another address");
    assert_eq!(hello(&running).await.status, 200);
    end(running).await;
}

#[test]
fn a_token_that_is_weak_or_the_clients_own_is_refused() {
    let home = Home::new();
    let file = home.write("keys.txt", &format!("{}\n", secret(0)));
    let serve = |more: &[&str]| home.run(&[&["serve", "--keys", &file, "--db", "none"], more].concat());
    serve(&["--listen", "0.0.0.0:0", "--token", "a-token-long-enough-1", "--admin-token", "short"])
        .bad(2, "16 characters");
    serve(&["--admin-listen", "0.0.0.0:0", "--admin-token", "short"]).bad(2, "16 characters");
    serve(&["--token", "the-same-token-1", "--admin-token", "the-same-token-1"]).bad(2, "another");
    serve(&["--admin-token", "PLACEHOLDER_GEMINI_TOKEN"]).bad(2, "another");
    let short = home.write("short", "short\n");
    serve(&["--admin-listen", "0.0.0.0:0", "--admin-token-file", &short])
        .bad(2, "flag --admin-token-file: admin.token_file: other machines could guess it");
    serve(&["--admin-listen", "127.0.0.1:0"]).bad(2, "token is needed");
}

#[tokio::test(flavor = "multi_thread")]
async fn exits_are_shown_and_their_rests_lifted() {
    let (home, sim) = (Home::new(), simulator(2).await);
    // Nobody listens there.
    let file = home.write("keypool.toml", "[exits.gone]\nproxy = \"http://127.0.0.1:1\"\n");
    let added = |n, name: &str| home.add(n, name, &["--exit", "gone", "--config", &file]);
    added(0, "one");
    added(1, "two");
    let running = home.serve(&sim, &[&SERVE[..], &["--config", &file]].concat());
    let rest = async || {
        let told = get(&running, "/exits").await;
        assert_eq!((&told["exits"][0]["name"], &told["exits"][0]["keys"]), (&json!("gone"), &json!(2)), "{told}");
        told["exits"][0]["rest"]["code"].clone()
    };
    assert_eq!(rest().await, Value::Null);
    for lift in ["/exits/lift?exit=gone", "/keys/one/enable"] {
        hello(&running).await;
        assert_eq!(rest().await, "exit");
        let lifted = post(&running, "/exits/lift", &Value::Null).await;
        assert_eq!((lifted.status, &lifted.json()["lifted"]), (StatusCode::OK, &json!(false)), "the usual one");
        assert_eq!(code(&post(&running, "/exits/lift?exit=other", &Value::Null).await), (404, "not_found".to_owned()));
        let lifted = post(&running, lift, &Value::Null).await;
        assert_eq!(lifted.status, StatusCode::OK, "{lifted:?}");
        within_3s(async || rest().await.is_null()).await;
    }
    let changes = get(&running, "/audit").await["changes"].to_string();
    assert!(changes.contains("\"what\":\"lift_exit\"") && changes.contains("\"key\":\"gone\""), "{changes}");
    end(running).await;
}

/// Waits for what a change of the database brings about.
async fn within_3s(mut is: impl AsyncFnMut() -> bool) {
    for _ in 0..150 {
        if is().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it did not come about");
}

/// The description says all that there is, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn every_path_of_the_description_is_there_and_the_other_way_round() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    let running = home.serve(&sim, &SERVE);
    let description = get(&running, "/openapi.json").await;
    assert_eq!(description["openapi"], "3.1.0");
    let mut walked = 0;
    for (path, operations) in description["paths"].as_object().unwrap() {
        let url = path.strip_prefix("/-/admin").unwrap().replace("{id}", "nobody");
        let operations = operations.as_object().unwrap();
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
            let described = operations.contains_key(&method.to_ascii_lowercase());
            if path.ends_with("/events") && method == "GET" {
                // It has no end.
                let recent = send(&running, Method::GET, "/events?recent=1", "").await;
                assert_eq!(recent.status, 200);
                walked += 1;
                continue;
            }
            let answer = send(&running, method.parse().unwrap(), &url, "").await;
            assert_eq!(answer.status != 405, described, "{method} {path}: {answer:?}");
            if described {
                walked += 1;
                assert_ne!(code(&answer).1, "internal", "{method} {path}: {answer:?}");
                assert!(answer.status != 404 || path.contains("{id}"), "{method} {path}: {answer:?}");
                assert!(answer.json().is_object());
                let told = &operations[&method.to_ascii_lowercase()]["responses"][answer.status.as_str()];
                assert!(answer.status.as_u16() >= 400 || told.is_object(), "{method} {path}: {answer:?}");
            }
        }
    }
    assert!(walked >= 25, "{walked}");
    let kept = &description["paths"]["/-/admin/keys"]["post"]["responses"];
    assert!(kept["201"].is_object() && kept["200"].is_object(), "{kept}");
    let schemas = &description["components"]["schemas"];
    for used in description.to_string().split("#/components/schemas/").skip(1) {
        let name = used.split('"').next().unwrap();
        assert!(schemas[name].is_object(), "{name}");
    }
    end(running).await;
}

/// Reads the events until the stream ends; what came.
fn events(running: &Running, name: &'static str, value: &str) -> tokio::task::JoinHandle<String> {
    let request = Request::get(format!("{}/-/admin/events", running.url)).header(name, value.to_owned());
    tokio::spawn(async move { String::from_utf8(ask(request, "").await.body.to_vec()).unwrap() })
}

/// Whether it comes to its end.
async fn ends(stream: tokio::task::JoinHandle<String>) -> bool {
    tokio::time::timeout(ACTS, stream).await.is_ok_and(|ended| ended.is_ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_ends_with_what_let_it_in() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    let token = home.write("admin-token", TOKEN);
    home.write("keypool.toml", &format!("[admin]\ntoken_file = {token:?}\n"));
    let running = home.serve(&sim, &[]);
    let url = |path: &str| format!("{}/-/admin{path}", running.url);
    let login = async || {
        let answer = ask(Request::post(url("/login")), json!({ "token": TOKEN }).to_string()).await;
        answer.header("set-cookie").split(';').next().unwrap().to_owned()
    };
    let (left, stays) = (login().await, login().await);
    let (of_left, of_stays) = (events(&running, "cookie", &left), events(&running, "cookie", &stays));
    let of_token = events(&running, "x-keypool-admin", TOKEN);
    // All three are read.
    while get(&running, "/events?recent=1").await["events"].as_array().unwrap().is_empty() {}
    let out = Request::post(url("/logout")).header("cookie", &left).header("origin", &running.url);
    assert_eq!(ask(out, "").await.status, 200);
    assert!(ends(of_left).await, "who logged out hears no more");
    assert!(!of_stays.is_finished() && !of_token.is_finished());
    home.write("admin-token", "another-admin-token-of-the-test");
    assert!(ends(of_stays).await && ends(of_token).await, "neither do they whose token is none any more");
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_counts_among_the_log_ins_that_failed() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    let running = home.serve(&sim, &SERVE);
    let url = format!("{}/-/admin/keys", running.url);
    for (name, value) in [("x-keypool-admin", "wrong"), ("authorization", "Bearer wrong"), ("x-other", "none")] {
        assert_eq!(ask(Request::get(&url).header(name, value), "").await.status, 401, "{name}");
    }
    let failed = get(&running, "/audit").await["failed_logins"].clone();
    assert_eq!((&failed[0]["from"], &failed[0]["times"]), (&"127.0.0.1".into(), &2.into()), "{failed}");
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_log_ins_press_no_change_out_of_the_list() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    let running = home.serve(&sim, &SERVE);
    assert_eq!(post(&running, "/keys/one/disable", &json!({ "reason": "tidying" })).await.status, 200);
    let login = format!("{}/-/admin/login", running.url);
    for _ in 0..40 {
        ask(Request::post(&login), json!({ "token": "wrong" }).to_string()).await;
    }
    let audit = get(&running, "/audit").await;
    let changes = audit["changes"].as_array().unwrap();
    assert_eq!(changes.len(), 1, "{audit}");
    assert_eq!((&changes[0]["what"], &changes[0]["key"]), (&"disable".into(), &"one".into()));
    let failed = audit["failed_logins"].as_array().unwrap();
    assert_eq!(
        (failed.len(), &failed[0]["from"], &failed[0]["times"]),
        (1, &"127.0.0.1".into(), &10.into()),
        "{audit}"
    );
    let events = get(&running, "/events?recent=256").await;
    let of_logins = events["events"].as_array().unwrap().iter().filter(|event| event["what"] == "login").count();
    assert!((1..=4).contains(&of_logins), "ten of them are four events: {events}");
    let said = end(running).await;
    assert!(said.matches("what=login").count() <= 4, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_holds_no_key_of_the_pool() {
    let (home, sim) = (Home::new(), simulator(2).await);
    home.add(0, "one", &[]);
    let in_file = home.write("key.txt", &secret(1));
    let running = home.serve(&sim, &[&SERVE[..], &["--keys", &in_file]].concat());
    for n in [0, 1] {
        let text = format!("leaked:({}), see #12", secret(n));
        let refused = post(&running, "/keys/one/disable", &json!({ "reason": text })).await;
        assert_eq!(code(&refused), (400, "invalid_request".to_owned()));
        for said in [
            json!({ "labels": { "note": text } }),
            json!({ "source": secret(n) }),
            json!({ "owner": secret(n) }),
            json!({ "limits": { "model": secret(n), "rpm": 1 } }),
        ] {
            let refused = send(&running, Method::PATCH, "/keys/one", said.to_string()).await;
            assert_eq!(refused.status, 400, "{refused:?}");
        }
        let new = json!({ "secret": secret(2), "said": { "labels": { "beside": text } } });
        assert_eq!(post(&running, "/keys", &new).await.status, 400);
        home.run(&["keys", "disable", "one", "--reason", &text]).bad(2, "holds a key");
    }
    let own = json!({ "secret": secret(3), "id": "three", "said": { "labels": { "own": secret(3) } } });
    assert_eq!(post(&running, "/keys", &own).await.status, 400);
    home.run(&["keys", "set", "one", "--label", &format!("note:{}", secret(0))]).bad(2, "holds a key");
    home.run(&["keys", "set", "one", "--rpm", "1", "--model", &secret(0)]).bad(2, "holds a key");
    let own = json!({ "secret": secret(3), "id": "three", "said": { "limits": { "model": secret(3), "rpm": 1 } } });
    assert_eq!(post(&running, "/keys", &own).await.status, 400);
    for model in ["", "two words", "a\u{1b}[31m", &"x".repeat(257)] {
        let said = json!({ "limits": { "model": model, "rpm": 1 } });
        let refused = send(&running, Method::PATCH, "/keys/one", said.to_string()).await;
        assert_eq!(code(&refused), (400, "invalid_request".to_owned()), "{model:?}: {refused:?}");
    }
    let long = post(&running, "/keys/one/disable", &json!({ "reason": "why ".repeat(200) })).await;
    assert_eq!(long.status, 400);
    assert_eq!(home.key("one")["state"], "usable");
    // What is no key stays.
    let fine = post(&running, "/keys/one/disable", &json!({ "reason": "AIzaSyTEST-home-key is the prefix" })).await;
    assert_eq!(fine.status, 200);
    end(running).await;
}

/// A secret that leaked stands in two places, often: what changes one of them alone must not look as if it had acted.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_stands_in_a_file_too_is_not_replaced_nor_removed_here() {
    let (home, sim) = (Home::new(), simulator(2).await);
    let file = home.write("keys.txt", &format!("{} id=one\n", secret(0)));
    home.run(&["import", &file]).good();
    let config = home.write("with.toml", &format!("[pool]\nkey_files = [\"{file}\"]\n"));
    home.pipe(&["keys", "replace", "one", "-", "--config", &config], &secret(1)).bad(2, "keys.txt:1");
    home.run(&["keys", "remove", "one", "--config", &config]).bad(2, "keys.txt:1");
    let running = home.serve(&sim, &["--keys", &file, "--admin-token", TOKEN]);
    for answer in [
        post(&running, "/keys/one/replace", &json!({ "secret": secret(1) })).await,
        send(&running, Method::DELETE, "/keys/one", "").await,
        post(&running, "/keys", &json!({ "secret": secret(0), "id": "dup" })).await,
    ] {
        assert_eq!(code(&answer), (409, "elsewhere".to_owned()), "{answer:?}");
        assert!(String::from_utf8_lossy(&answer.body).contains("keys.txt:1"), "{answer:?}");
    }
    assert_eq!(hello(&running).await.header("x-keypool-key"), "one");
    end(running).await;

    // A command that knows nothing of the file: its word holds all the same.
    home.pipe(&["keys", "replace", "one", "-"], &secret(1)).good();
    let running = home.serve(&sim, &["--keys", &file, "--admin-token", TOKEN]);
    assert_eq!(hello(&running).await.header("x-keypool-key"), "one");
    let used: Vec<_> = sim.log().iter().skip(1).map(|arrival| arrival.key).collect();
    assert!(!used.is_empty() && used.iter().all(|key| *key == Some(1)), "{used:?}");
    let listed = get(&running, "/keys").await;
    let there = listed["keys"].as_array().unwrap().iter().filter(|key| key["state"] != "removed");
    assert_eq!(there.count(), 1, "{listed:#}");
    assert_eq!(post(&running, "/keys/one/disable", &Value::Null).await.status, 200);
    within_2s(&running, &["503"]).await;
    let said = end(running).await;
    assert!(said.contains("another secret"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_that_nobody_describes_is_said_of_no_key() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    let running = home.serve(&sim, &SERVE);
    let set = send(&running, Method::PATCH, "/keys/one", r#"{"exit":"nowhere"}"#).await;
    let added = post(&running, "/keys", &json!({ "secret": secret(1), "said": { "exit": "nowhere" } })).await;
    for answer in [set, added] {
        assert_eq!(answer.status, 400, "{answer:?}");
        assert!(answer.json()["error"]["message"].as_str().unwrap().contains("exits.nowhere"), "{answer:?}");
    }
    assert_eq!(hello(&running).await.status, 200);
    // One that was given such an exit where nobody could tell.
    home.add(2, "lost", &["--exit", "nowhere"]);
    let told = async {
        loop {
            let told = send(&running, Method::GET, "/keys/lost", "").await;
            if told.status == 200 && !told.json()["live"].is_null() {
                return told.json();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let told = tokio::time::timeout(ACTS, told).await.expect("it is there");
    let reason = "no [exits.nowhere] says what the exit nowhere of this key is";
    assert_eq!((told["state"].as_str(), told["reason"].as_str()), (Some("faulty"), Some(reason)), "{told}");
    assert_eq!(get(&running, "/keys?state=faulty").await["total"], 1);
    end(running).await;
}

/// Nothing is wrong with the key, and yet it serves nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_way_out_rests_is_told_as_one_that_rests() {
    let key = gemini_sim::Key::new(secret(0)).refused(gemini_sim::Refusal::LocationUnsupported);
    let project = gemini_sim::Project::new("1").key(key);
    let (home, sim) = (Home::new(), gemini_sim::GeminiSim::builder().project(project).start().await.unwrap());
    home.add(0, "one", &[]);
    let running = home.serve(&sim, &SERVE);
    assert_eq!(hello(&running).await.status, 400);
    let mut listed = get(&running, "/keys?state=resting").await;
    for _ in 0..100 {
        if listed["total"] == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        listed = get(&running, "/keys?state=resting").await;
    }
    assert_eq!(listed["total"], 1, "{listed}");
    let told = &listed["keys"][0];
    assert!(told["reason"].as_str().unwrap().contains("use an exit address elsewhere"), "{told}");
    assert!(told["rests"][0]["scope"] == "exit" && told["rests"][0]["until"].is_i64(), "{told}");
    assert_eq!(get(&running, "/keys?state=usable").await["total"], 0);
    assert_eq!(home.key("one")["state"], "resting");
    home.run(&["health"]).bad(2, "no key is usable");
    end(running).await;
}
