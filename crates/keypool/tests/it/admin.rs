//! The admin API.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};

use crate::support::{Answer, GENERATE, Gateway, TOKEN, Upstream, hello, key, post, reply, sim};

pub const ADMIN: &str = "admin-token-of-a-test";

/// Builds a request of the admin API, with its token.
fn request(method: Method, path: &str, body: &Value) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(format!("/-/admin{path}")).header("x-keypool-admin", ADMIN);
    let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
    request.body(Full::new(body)).expect("a request")
}

pub async fn ask(gateway: &Gateway, method: Method, path: &str, body: Value) -> Answer {
    gateway.send(request(method, path, &body)).await
}

async fn get(gateway: &Gateway, path: &str) -> Value {
    let answer = ask(gateway, Method::GET, path, Value::Null).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
    answer.json()
}

fn message(answer: &Answer) -> String {
    answer.json()["error"]["message"].as_str().expect("a message").to_owned()
}

fn start(upstream: &str, keys: usize) -> Gateway {
    Gateway::start(upstream, keys, &["--admin-token", ADMIN])
}

#[tokio::test]
async fn admin_api_is_off_without_an_admin_token() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = Gateway::start(&upstream.url, 1, &["--db", "none"]);
    for path in ["/", "/-/ui", "/-/ui/main.js", "/-/admin/snapshot", "/-/admin/openapi.json"] {
        assert_eq!(gateway.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn only_the_admin_token_is_accepted() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = start(&upstream.url, 1);
    let with = |name: &'static str, value: String| {
        let request = Request::get("/-/admin/snapshot").header(name, value).body(Full::default());
        gateway.send(request.expect("a request"))
    };
    assert_eq!(with("x-keypool-admin", ADMIN.to_owned()).await.status, 200);
    assert_eq!(with("authorization", format!("Bearer {ADMIN}")).await.status, 200);
    for (name, value) in [
        ("x-keypool-admin", TOKEN.to_owned()),
        ("authorization", format!("Bearer {TOKEN}")),
        ("x-goog-api-key", ADMIN.to_owned()),
        ("cookie", "keypool-admin-1=x".to_owned()),
    ] {
        let answer = with(name, value.clone()).await;
        assert_eq!(answer.status, 401, "{name}: {value}");
        assert_eq!(answer.header("cache-control"), "no-store");
        assert!(!message(&answer).is_empty());
    }
}

/// Logs in and returns the cookie.
async fn log_in(gateway: &Gateway) -> String {
    let request = Request::post("/-/admin/login").header("origin", &gateway.url);
    let body = Full::from(json!({ "token": ADMIN }).to_string());
    let answer = gateway.send(request.body(body).expect("a request")).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    let cookie = answer.header("set-cookie").to_owned();
    let port = gateway.url.rsplit_once(':').expect("a port").1;
    assert!(cookie.starts_with(&format!("keypool-admin-{port}=")), "{cookie}");
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/-/", "Max-Age=43200"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    cookie.split(';').next().expect("a pair").to_owned()
}

#[tokio::test]
async fn session_can_change_things_only_from_its_own_origin() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = start(&upstream.url, 1);
    let cookie = log_in(&gateway).await;
    let send = |method: Method, path: &'static str, origin: Option<String>| {
        let mut request = Request::builder().method(method).uri(path).header("cookie", &cookie);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        gateway.send(request.body(Full::default()).expect("a request"))
    };
    assert_eq!(send(Method::GET, "/-/admin/snapshot", None).await.status, 200);
    let own = || Some(gateway.url.clone());
    assert_eq!(send(Method::POST, "/-/admin/keys/key-0/disable", None).await.status, 403);
    let other = Some("http://127.0.0.1:1".to_owned());
    assert_eq!(send(Method::POST, "/-/admin/keys/key-0/disable", other.clone()).await.status, 403);
    assert_eq!(send(Method::GET, "/-/admin/snapshot", other).await.status, 403);
    assert_eq!(send(Method::POST, "/-/admin/keys/key-0/disable", own()).await.status, 200);
    assert_eq!(send(Method::POST, "/-/admin/logout", own()).await.status, 204);
    assert_eq!(send(Method::GET, "/-/admin/snapshot", None).await.status, 401);
}

/// With the headers that docs/gateway.md tells the administrator of nginx to set.
#[tokio::test]
async fn dashboard_can_be_used_behind_a_reverse_proxy() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = Gateway::start(&upstream.url, 1, &["--admin-token", ADMIN, "--host", "pool.example", "--db", "none"]);
    let proxied = |method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path).header("host", "pool.example");
        request.header("x-forwarded-proto", "https").header("origin", "https://pool.example")
    };
    let body = Full::from(json!({ "token": ADMIN }).to_string());
    let answer = gateway.send(proxied(Method::POST, "/-/admin/login").body(body).expect("a request")).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    let cookie = answer.header("set-cookie").split(';').next().expect("a pair");
    let request = proxied(Method::POST, "/-/admin/keys/key-0/disable").header("cookie", cookie);
    let answer = gateway.send(request.body(Full::default()).expect("a request")).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let metrics = proxied(Method::GET, "/-/metrics").body(Full::default()).expect("a request");
    assert_eq!(gateway.send(metrics).await.status, 401);
}

#[tokio::test]
async fn number_of_wrong_tokens_is_limited() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = start(&upstream.url, 1);
    let cookie = log_in(&gateway).await;
    let try_wrong = || {
        let body = Full::from(json!({ "token": "wrong" }).to_string());
        gateway.send(Request::post("/-/admin/login").body(body).expect("a request"))
    };
    let wrong = futures_util::future::join_all((0..10).map(|_| try_wrong())).await;
    assert!(wrong.iter().all(|answer| answer.status == 401));
    let limited = ask(&gateway, Method::GET, "/snapshot", Value::Null).await;
    assert_eq!((limited.status.as_u16(), limited.header("retry-after")), (429, "60"));
    let request = Request::get("/-/admin/snapshot").header("cookie", cookie).body(Full::default());
    assert_eq!(gateway.send(request.expect("a request")).await.status, 200, "existing sessions stay valid");
}

#[tokio::test]
async fn cors_does_not_apply_to_the_admin_api() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = Gateway::start_with(&upstream.url, 1, |command, folder| {
        std::fs::write(folder.join("keypool.toml"), "[gateway]\norigins = [\"http://App.example\"]\n").expect("a file");
        command.args(["--admin-token", ADMIN]);
    });
    let mut with_origin = request(Method::GET, "/snapshot", &Value::Null);
    with_origin.headers_mut().insert(header::ORIGIN, "http://app.example".parse().expect("a value"));
    let answer = gateway.send(with_origin).await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-origin")), (403, ""));
    let preflight = |path: &str| {
        let request = Request::options(path).header("origin", "http://app.example");
        request.header("access-control-request-method", "POST").body(Full::default()).expect("a request")
    };
    let refused = gateway.send(preflight("/-/admin/reload")).await;
    assert_eq!(refused.header("access-control-allow-origin"), "");
    let allowed = gateway.send(preflight(GENERATE)).await;
    assert_eq!(allowed.header("access-control-allow-origin"), "http://app.example");
    let read = Request::get("/v1/models").header("origin", "http://app.example").body(Full::default());
    let read = gateway.send(read.expect("a request")).await;
    assert!(read.header("access-control-expose-headers").split(',').any(|name| name == "request-id"));
}

#[tokio::test]
async fn keys_are_added_changed_tested_and_removed() {
    let sim = sim(2).await;
    let gateway = start(&sim.url(), 1);
    let new = json!({ "secret": key(1), "id": "new", "project": "p", "tier": "free", "rpm": 7, "label": "mine" });
    let added = ask(&gateway, Method::POST, "/keys", new.clone()).await;
    assert_eq!((added.status.as_u16(), added.json()), (201, json!({ "id": "new", "outlives": true })));
    assert_eq!(ask(&gateway, Method::POST, "/keys", new).await.status, 409);

    for _ in 0..4 {
        assert_eq!(gateway.post(GENERATE, &hello()).await.status, 200);
    }
    let shown = get(&gateway, "/keys?text=MINE").await;
    assert_eq!((&shown["total"], &shown["keys"][0]["id"]), (&json!(1), &json!("new")));
    assert_eq!(shown["keys"][0]["in_database"], true);
    assert_eq!(shown["keys"][0]["project"], "p");
    let rpm = &shown["keys"][0]["limits"][0];
    assert_eq!((&rpm["limit"], &rpm["span"], &rpm["source"]), (&json!(7), &json!("minute"), &json!("given")));

    let tested = ask(&gateway, Method::POST, "/keys/new/test", Value::Null).await.json();
    assert_eq!((&tested["works"], &tested["status"]), (&json!(true), &json!(200)), "{tested}");

    let changed = ask(&gateway, Method::PATCH, "/keys/new", json!({ "priority": 3, "label": null })).await;
    assert_eq!(changed.status, 200, "{}", changed.text());
    let shown = get(&gateway, "/keys/new").await;
    assert_eq!((&shown["priority"], &shown["project"]), (&json!(3), &json!("p")));
    let wrong = ask(&gateway, Method::PATCH, "/keys/new", json!({ "rpm": "many" })).await;
    assert_eq!(wrong.status, 400);
    assert!(message(&wrong).contains("rpm: expected"), "{}", message(&wrong));

    let bad = ask(&gateway, Method::POST, "/keys/new/replace", json!({ "secret": key(8) })).await;
    assert_eq!(bad.status, 200, "{}", bad.text());
    let tested = ask(&gateway, Method::POST, "/keys/new/test", Value::Null).await.json();
    assert_eq!((&tested["works"], &tested["class"]), (&json!(false), &json!("key_rejected")), "{tested}");
    assert_eq!(get(&gateway, "/keys/new").await["state"], "usable", "a test does not change the state");

    for (options, why) in [
        (json!({ "secret": key(7), "api_key": key(8) }), "api_key: expected the options by their own names"),
        (
            json!({ "secret": key(7), "owner": "p" }),
            "owner: expected the options by their own names, such as secret, id",
        ),
        (json!({ "secret": TOKEN }), "this is the gateway's own token"),
        (json!({ "id": "none" }), "secret: expected the key as a string"),
    ] {
        let refused = ask(&gateway, Method::POST, "/keys", options).await;
        assert!(refused.status == 400 && message(&refused).contains(why), "{}", refused.text());
    }

    assert_eq!(ask(&gateway, Method::DELETE, "/keys/new", Value::Null).await.status, 200);
    assert_eq!(ask(&gateway, Method::GET, "/keys/new", Value::Null).await.status, 404);
    gateway.wait_for_log("removed key new").await;
}

#[tokio::test]
async fn keys_in_files_can_be_disabled_but_not_edited() {
    let sim = sim(2).await;
    let gateway = start(&sim.url(), 2);
    for (method, path) in [(Method::DELETE, "/keys/key-0"), (Method::PATCH, "/keys/key-0")] {
        let refused = ask(&gateway, method, path, Value::Null).await;
        assert_eq!(refused.status, 409);
        assert!(message(&refused).contains("keys.txt:1"), "{}", message(&refused));
    }
    let disabled = ask(&gateway, Method::POST, "/keys/key-0/disable", json!({ "reason": "too dear" })).await;
    assert_eq!(disabled.json(), json!({ "id": "key-0", "outlives": true }));
    for _ in 0..4 {
        assert_eq!(gateway.post(GENERATE, &hello()).await.header("x-keypool-key"), "key-1");
    }
    let shown = get(&gateway, "/keys?state=disabled").await;
    assert_eq!(shown["total"], 1);
    assert_eq!(shown["keys"][0]["breakers"][0]["reason"], "too dear");
    assert_eq!(ask(&gateway, Method::POST, "/keys/key-0/enable", Value::Null).await.status, 200);
    assert_eq!(get(&gateway, "/keys/key-0").await["state"], "usable");
    assert_eq!(ask(&gateway, Method::POST, "/keys/nobody/enable", Value::Null).await.status, 404);
}

#[tokio::test]
async fn persistent_changes_are_refused_without_a_database() {
    let sim = sim(2).await;
    let gateway = Gateway::start(&sim.url(), 1, &["--admin-token", ADMIN, "--db", "none"]);
    for (path, body) in [("/keys", json!({ "secret": key(1) })), ("/tenants", json!({ "name": "a" }))] {
        let refused = ask(&gateway, Method::POST, path, body).await;
        assert_eq!(refused.status, 409);
        assert!(message(&refused).contains("no database"), "{}", message(&refused));
    }
    let disabled = ask(&gateway, Method::POST, "/keys/key-0/disable", Value::Null).await;
    assert_eq!(disabled.json()["outlives"], false);
}

#[tokio::test]
async fn tenant_is_added_used_and_removed() {
    let sim = sim(1).await;
    let gateway = start(&sim.url(), 1);
    let new = json!({ "name": "alice", "models": ["gemini-*"], "rpm": 5 });
    let added = ask(&gateway, Method::POST, "/tenants", new.clone()).await;
    assert_eq!(added.status, 201, "{}", added.text());
    let token = added.json()["token"].as_str().expect("a token").to_owned();
    assert_eq!(ask(&gateway, Method::POST, "/tenants", new).await.status, 409);
    let send = || {
        let mut request = post(GENERATE, &hello());
        request.headers_mut().insert("x-goog-api-key", token.parse().expect("a value"));
        gateway.send(request)
    };
    let unused = get(&gateway, "/tenants").await[0]["limits"].clone();
    assert_eq!((&unused[0]["used"], &unused[0]["limit"], &unused[0]["span"]), (&json!(0), &json!(5), &json!("minute")));
    assert_eq!(send().await.status, 200);
    let list = ask(&gateway, Method::GET, "/tenants", Value::Null).await;
    assert!(!list.text().contains(&token));
    let list = list.json();
    assert_eq!((&list[0]["name"], &list[0]["in_database"]), (&json!("alice"), &json!(true)));
    let rpm = &list[0]["limits"][0];
    assert_eq!((&rpm["used"], &rpm["limit"]), (&json!(1), &json!(5)), "{list}");
    assert_eq!(get(&gateway, "/requests").await[0]["tenant"], "alice");
    assert_eq!(ask(&gateway, Method::DELETE, "/tenants/alice", Value::Null).await.status, 204);
    assert_eq!(send().await.status, 401);
    for name in [".", "..", "a/b", ""] {
        assert_eq!(ask(&gateway, Method::POST, "/tenants", json!({ "name": name })).await.status, 400, "{name}");
    }
    for (field, value) in [
        ("rpn", json!(5)),
        ("token", json!("chosen")),
        ("models", json!(["*flash"])),
        ("max_concurrent", json!(0)),
        ("expires", json!("soon")),
    ] {
        let refused = ask(&gateway, Method::POST, "/tenants", json!({ "name": "bob", field: value })).await;
        assert!(refused.status == 400 && message(&refused).contains(field), "{}", refused.text());
        assert!(!message(&refused).contains("token_hash"), "{}", refused.text());
    }
}

#[tokio::test]
async fn requests_show_whose_fault_they_were() {
    let sim = sim(1).await;
    let gateway = start(&sim.url(), 1);
    assert_eq!(gateway.post(GENERATE, &hello()).await.status, 200);
    assert_eq!(gateway.post(GENERATE, &json!({ "contents": 1 })).await.status, 400);
    ask(&gateway, Method::POST, "/keys/key-0/disable", Value::Null).await;
    let mut no_wait = post(GENERATE, &hello());
    no_wait.headers_mut().insert("x-keypool-wait", "0".parse().expect("a value"));
    let refused = gateway.send(no_wait).await;
    assert_eq!(refused.status, 503);
    let list = get(&gateway, "/requests").await;
    let results: Vec<_> = list.as_array().expect("a list").iter().map(|record| record["result"].clone()).collect();
    assert_eq!(results, ["unavailable", "caller", "good"]);
    let explained = get(&gateway, &format!("/requests/{}", refused.header("x-request-id"))).await;
    assert_eq!((&explained["result"], &explained["attempts"]), (&json!("unavailable"), &json!([])));
    assert!(!explained["cause"].as_str().expect("a text").is_empty());
    let snapshot = get(&gateway, "/snapshot").await;
    assert_eq!(snapshot["requests"], json!({ "good": 1, "caller": 1, "unavailable": 1, "failed": 0 }));
    assert_eq!(snapshot["latency"]["requests"], 1, "refusals are not measured");
    assert_eq!(ask(&gateway, Method::GET, "/requests/unknown", Value::Null).await.status, 404);
}

#[tokio::test]
async fn page_of_keys_has_the_limits_of_a_project_once_and_its_cause_with_each_key() {
    let upstream = Upstream::start(|request| {
        if request.uri().path().contains("flash") {
            let body = json!({ "error": { "code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Slow down." } });
            return reply(429, "application/json", body.to_string());
        }
        let details = json!([{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "CONSUMER_SUSPENDED" }]);
        let error =
            json!({ "code": 403, "status": "PERMISSION_DENIED", "message": "It is suspended.", "details": details });
        reply(403, "application/json", json!({ "error": error }).to_string())
    })
    .await;
    let gateway = Gateway::start_with(&upstream.url, 0, |command, folder| {
        let line = |n: usize| format!("{} id=key-{n} project=shared rpm=50\n", key(n));
        std::fs::write(folder.join("keys.txt"), (0..3).map(line).collect::<String>()).expect("a key file");
        command.args(["--admin-token", ADMIN, "--wait", "0"]);
    });
    gateway.post(GENERATE, &hello()).await;
    let counts = async |path: &str| {
        let page = get(&gateway, path).await;
        let keys = page["keys"].as_array().expect("a list");
        keys.iter()
            .map(|key| ["given", "limits", "breakers"].map(|list| key[list].as_array().map_or(0, Vec::len)))
            .collect::<Vec<_>>()
    };
    let first = counts("/keys").await;
    assert_eq!(first, [[1, first[0][1], 1], [0; 3], [0; 3]]);
    assert!(first[0][1] > 0);
    assert_eq!(counts("/keys?offset=1&limit=1").await, [first[0]], "the first key of another page");
    assert_eq!(counts("/keys?state=partly&text=KEY-2").await, [first[0]], "the first key that matches");
    assert_eq!(get(&gateway, "/keys/key-2").await["limits"].as_array().map(Vec::len), Some(first[0][1]));

    gateway.post(&GENERATE.replace("flash", "pro"), &hello()).await;
    assert_eq!(get(&gateway, "/keys?state=partly").await["total"], 0);
    let disabled = get(&gateway, "/keys?state=disabled&offset=1&limit=1").await;
    assert_eq!((&disabled["total"], disabled["keys"].as_array().map(Vec::len)), (&json!(3), Some(1)));
    for shown in get(&gateway, "/keys").await["keys"].as_array().expect("a list") {
        assert_eq!(
            (&shown["state"], &shown["breakers"][0]["scope"]),
            (&json!("disabled"), &json!("project")),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn long_texts_of_clients_are_kept_shortened() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = start(&upstream.url, 1);
    for (id, is_kept) in [("i".repeat(128), true), ("i".repeat(129), false)] {
        for (path, model, token) in [
            (GENERATE.replace("2.5", &"m".repeat(20_000)), "m".to_owned(), "wrong"),
            ("/v1/chat/completions".to_owned(), "m".repeat(1 << 20), TOKEN),
        ] {
            let body = json!({ "model": model, "messages": [{ "role": "user", "content": "Hello" }] }).to_string();
            let request =
                Request::post(path).header("x-request-id", &id).header("authorization", format!("Bearer {token}"));
            let answer = gateway.send(request.body(Full::from(body)).expect("a request")).await;
            assert_eq!(answer.header("x-request-id") == id, is_kept, "{}", answer.text());
        }
    }
    let recent = get(&gateway, "/requests").await.to_string();
    assert!(recent.contains("mmm") && recent.len() < 20_000, "{}", recent.len());
}

#[tokio::test]
async fn events_are_listed_and_streamed_as_sentences() {
    let upstream = Upstream::start(|_| {
        let body = json!({ "error": { "code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Slow down.", "details": [
            { "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "30s" }] } });
        reply(429, "application/json", body.to_string())
    })
    .await;
    let gateway = Gateway::start(&upstream.url, 1, &["--admin-token", ADMIN, "--wait", "0"]);
    let stream = gateway.open(request(Method::GET, "/events/stream", &Value::Null)).await;
    let mut body = stream.into_body();
    gateway.post(GENERATE, &hello()).await;
    let first = tokio::time::timeout(Duration::from_secs(20), body.frame()).await.expect("an event in time");
    let first = first.expect("an event").expect("a frame").into_data().expect("data");
    let first = String::from_utf8_lossy(&first).into_owned();
    assert!(first.contains("\"sentence\":"), "{first}");
    for _ in 0..3 {
        ask(&gateway, Method::POST, "/keys/key-0/disable", json!({ "reason": "a test" })).await;
    }
    let disabled = "key key-0 is disabled: a test x3".to_owned();
    let mut sentences = Vec::new();
    // The pool's events can arrive later than the responses to the requests that caused them.
    for _ in 0..400 {
        let list = get(&gateway, "/events").await;
        let sentence =
            |event: &Value| format!("{} x{}", event["sentence"].as_str().expect("a sentence"), event["count"]);
        sentences = list.as_array().expect("a list").iter().map(sentence).collect::<Vec<_>>();
        if sentences.contains(&disabled) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(sentences.contains(&disabled), "{sentences:?}");
    let shown = get(&gateway, "/keys/key-0").await;
    let targets: Vec<_> =
        shown["breakers"].as_array().expect("a list").iter().map(|breaker| &breaker["target"]).collect();
    assert_eq!(targets, ["key key-0", "project project-0 for gemini-2.5-flash"], "of the key and its project: {shown}");
    let cooling = sentences.iter().find(|sentence| sentence.contains("Slow down.")).expect("the cooldown");
    assert!(cooling.starts_with("project project-0 for gemini-2.5-flash is not used for "), "{cooling}");
}

#[tokio::test]
async fn open_event_stream_does_not_delay_shutdown() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let mut gateway = Gateway::start_with(&upstream.url, 1, |command, folder| {
        std::fs::write(folder.join("keypool.toml"), "[gateway]\ngrace = \"1h\"\n").expect("a writable file");
        command.args(["--admin-token", ADMIN]);
    });
    let _stream = gateway.open(request(Method::GET, "/events/stream", &Value::Null)).await;
    gateway.signal("TERM");
    assert!(tokio::task::spawn_blocking(move || gateway.wait()).await.expect("the gateway ends").success());
}

#[tokio::test]
async fn admin_api_can_have_its_own_address() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let mut gateway =
        Gateway::start(&upstream.url, 1, &["--admin-token", ADMIN, "--db", "none", "--admin-listen", "127.0.0.1:0"]);
    for path in ["/", "/-/ui", "/-/admin/snapshot"] {
        assert_eq!(gateway.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    gateway.wait_for_log("dashboard at ").await;
    let log = gateway.log();
    let url =
        log.split_once("dashboard at ").expect("the log shows the address").1.split_whitespace().next().expect("a URL");
    gateway.url = url.trim_end_matches("/-/ui").to_owned();
    get(&gateway, "/snapshot").await;
    assert_eq!(gateway.get("/-/ui").await.status, StatusCode::OK);
    assert_eq!(gateway.post(GENERATE, &hello()).await.status, StatusCode::NOT_FOUND);
    assert!(upstream.requests().is_empty());
}

#[tokio::test]
async fn usage_is_summed_up_by_day() {
    let sim = sim(2).await;
    let gateway = start(&sim.url(), 2);
    for _ in 0..6 {
        assert_eq!(gateway.post(GENERATE, &hello()).await.status, 200);
    }
    // Tokens are recorded a moment later, but requests are counted before they are sent.
    for by in ["key", "project", "model", "day"] {
        let usage = get(&gateway, &format!("/usage?by={by}")).await;
        let rows = usage["rows"].as_array().expect("rows");
        assert!(rows.iter().all(|row| row["day"] == usage["today"]));
        let sum: u64 = rows.iter().map(|row| row["requests"].as_u64().expect("a number")).sum();
        assert_eq!(sum, 6, "{by}: {usage}");
    }
    assert_eq!(get(&gateway, "/usage?by=tenant").await["rows"], json!([]));
    let wrong = ask(&gateway, Method::GET, "/usage?from=someday", Value::Null).await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn unchanged_snapshot_is_not_sent_again() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = start(&upstream.url, 3);
    let first = ask(&gateway, Method::GET, "/snapshot?limit=2", Value::Null).await;
    assert_eq!(first.json()["pools"][0]["keys"].as_array().map(Vec::len), Some(2));
    let mut again = request(Method::GET, "/snapshot?limit=2", &Value::Null);
    again.headers_mut().insert(header::IF_NONE_MATCH, first.headers[header::ETAG].clone());
    assert_eq!(gateway.send(again.clone()).await.status, StatusCode::NOT_MODIFIED);
    assert_eq!(ask(&gateway, Method::POST, "/keys/key-0/disable", Value::Null).await.status, 200);
    assert_eq!(gateway.send(again).await.status, StatusCode::OK, "it has changed");
}

#[tokio::test]
async fn every_described_path_exists() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = start(&upstream.url, 1);
    let description = get(&gateway, "/openapi.json").await;
    let paths = description["paths"].as_object().expect("paths");
    assert!(paths.len() > 15, "{}", paths.len());
    assert_eq!(description["components"]["securitySchemes"]["token"]["name"], "x-keypool-admin");
    for (path, methods) in paths {
        for method in methods.as_object().expect("methods").keys() {
            if path.ends_with("stream") {
                continue;
            }
            let method: Method = method.to_uppercase().parse().expect("a method");
            let errors = &methods[method.as_str().to_lowercase()]["responses"]["default"];
            assert!(errors["content"]["application/json"]["schema"]["$ref"].is_string(), "{method} {path}");
            let path =
                path.strip_prefix("/-/admin").expect("an admin path").replace("{id}", "x").replace("{name}", "x");
            let answer = ask(&gateway, method.clone(), &path, Value::Null).await;
            assert!(answer.status != 405 && !answer.text().contains("is not an API path"), "{method} {path}");
            if answer.status.is_client_error() {
                assert!(!message(&answer).is_empty(), "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn reason_cannot_write_a_line_of_the_log() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = start(&upstream.url, 1);
    let reason = json!({ "reason": "because\nforged line \u{1b}[31m" });
    assert_eq!(ask(&gateway, Method::POST, "/keys/key-0/disable", reason).await.status, 200);
    gateway.wait_for_log("disabled key key-0: because").await;
    let log = gateway.log();
    assert!(!log.contains("\nforged line") && !log.contains("\u{1b}[31m"), "{log}");
}

#[tokio::test]
async fn cookie_is_secure_only_if_the_gateway_uses_tls() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = Gateway::start_with(&upstream.url, 1, |command, folder| {
        std::fs::write(folder.join("keypool.toml"), "").expect("a writable file");
        command.args(["--admin-token", ADMIN, "--db", "none"]);
    });
    let config = "[gateway]\ntls_cert_file = \"cert.pem\"\ntls_key_file = \"key.pem\"\n";
    std::fs::write(gateway.folder.path().join("keypool.toml"), config).expect("a writable file");
    gateway.wait_for_log("sections=\"gateway\"").await;
    let login = ask(&gateway, Method::POST, "/login", json!({ "token": ADMIN })).await;
    assert_eq!(login.status, 204, "{}", login.text());
    assert!(!login.header("set-cookie").is_empty() && !login.header("set-cookie").contains("Secure"));
}

#[tokio::test]
async fn key_with_an_unknown_exit_is_refused() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = Gateway::start_with(&upstream.url, 1, |command, folder| {
        let config = format!(
            "[exits.here]\nlocal_address = \"127.0.0.1\"\n[[keys]]\nsecret = \"{}\"\nexit = \"here\"\n\
             [[keys]]\nsecret = \"{}\"\nexit = \"ther\"\n",
            key(1),
            key(2)
        );
        std::fs::write(folder.join("keypool.toml"), config).expect("a writable file");
        command.args(["--admin-token", ADMIN]);
    });
    let message = "the key's exit is not in the configuration";
    assert!(gateway.log().contains(message), "{}", gateway.log());
    assert_eq!(get(&gateway, "/keys").await["total"], 2);
    let refused = ask(&gateway, Method::POST, "/keys", json!({ "secret": key(3), "exit": "ther" })).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text().contains(message), "{}", refused.text());
    let added = ask(&gateway, Method::POST, "/keys", json!({ "secret": key(3), "id": "new", "exit": "here" })).await;
    assert_eq!(added.status, 201, "{}", added.text());
    assert_eq!(ask(&gateway, Method::PATCH, "/keys/new", json!({ "exit": "ther" })).await.status, 400);
    // The command adds it all the same, and it is not used but can be changed and removed.
    let mut command = crate::support::program(gateway.folder.path());
    command.args(["add-key", "-", "--id", "away", "--exit", "ther"]).stdin(std::process::Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    std::io::Write::write_all(&mut child.stdin.take().expect("piped"), key(4).as_bytes()).expect("it reads");
    assert!(child.wait().expect("it ends").success());
    gateway.wait_for_log("key away of the database: the key's exit is not in the configuration").await;
    assert_eq!(get(&gateway, "/keys").await["total"], 3);
    let again = ask(&gateway, Method::POST, "/keys", json!({ "secret": key(5), "id": "away" })).await;
    assert_eq!(again.status, 409, "{}", again.text());
    let again = ask(&gateway, Method::POST, "/keys", json!({ "secret": key(4), "id": "again" })).await;
    assert!(again.status == 409 && again.text().contains("exists already as away"), "{}", again.text());
    assert_eq!(ask(&gateway, Method::PATCH, "/keys/away", json!({ "exit": null })).await.status, 200);
    assert_eq!(get(&gateway, "/keys").await["total"], 4);
    let check = crate::support::program(gateway.folder.path()).args(["config", "check"]).output().expect("it runs");
    let text = String::from_utf8_lossy(&check.stderr).into_owned();
    assert!(check.status.code() == Some(2) && text.contains(message), "{text}");
}

#[tokio::test]
async fn parameters_are_described_where_they_are_sent() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let description = get(&start(&upstream.url, 1), "/openapi.json").await;
    let (mut in_query, mut in_path) = (0, 0);
    for (path, methods) in description["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").values() {
            for parameter in method["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().expect("a name");
                let is_in_path = path.contains(&format!("{{{name}}}"));
                *(if is_in_path { &mut in_path } else { &mut in_query }) += 1;
                assert_eq!(parameter["in"], if is_in_path { "path" } else { "query" }, "{path} {name}");
            }
        }
    }
    assert!(in_query > 10 && in_path > 5, "{in_query} {in_path}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simultaneous_changes_do_not_undo_each_other() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = &start(&upstream.url, 1);
    for round in 1..10 {
        let add = |n: usize| ask(gateway, Method::POST, "/keys", json!({ "secret": key(100 + n), "id": "new" }));
        let added = futures_util::future::join_all((0..6).map(add)).await;
        let count = |status: u16| added.iter().filter(|answer| answer.status == status).count();
        assert_eq!((count(201), count(409)), (1, 5), "round {round}");
        let changes =
            [json!({ "label": "x" }), json!({ "weight": 7 }), json!({ "priority": 3 }), json!({ "concurrent": 5 })];
        let set = changes.map(|change| ask(gateway, Method::PATCH, "/keys/new", change));
        for set in futures_util::future::join_all(set).await {
            assert_eq!(set.status, 200, "{}", set.text());
        }
        let key = get(gateway, "/keys/new").await;
        let label = key["label"].as_str().unwrap_or_default();
        assert!(
            label.starts_with("x (") && key["weight"] == 7 && key["priority"] == 3 && key["max_concurrent"] == 5,
            "{key}"
        );
        let (removed, _) = tokio::join!(
            ask(gateway, Method::DELETE, "/keys/new", Value::Null),
            ask(gateway, Method::PATCH, "/keys/new", json!({ "label": "y" })),
        );
        assert_eq!(removed.status, 200, "{}", removed.text());
        assert_eq!(ask(gateway, Method::GET, "/keys/new", Value::Null).await.status, 404, "round {round}");
        let add = |_| ask(gateway, Method::POST, "/tenants", json!({ "name": format!("tenant-{round}") }));
        let added = futures_util::future::join_all((0..4).map(add)).await;
        assert_eq!(added.iter().filter(|answer| answer.status == 201).count(), 1, "round {round}");
    }
}

#[tokio::test]
async fn no_response_contains_a_secret() {
    let sim = sim(2).await;
    let gateway = Gateway::start_with(&sim.url(), 3, |command, folder| {
        let tenants = "[[tenants]]\nname = \"carol\"\ntoken = \"token-of-carol\"\nrpm = 5\n";
        std::fs::write(folder.join("keypool.toml"), tenants).expect("a file");
        command.args(["--admin-token", ADMIN, "--token", "token-of-clients"]).env("KEYPOOL__LOG__LEVEL", "trace");
    });
    let secrets: Vec<String> =
        (0..4).map(key).chain(["token-of-clients", "token-of-carol", ADMIN].map(str::to_owned)).collect();
    ask(&gateway, Method::POST, "/keys", json!({ "secret": key(3), "id": "stored" })).await;
    for _ in 0..6 {
        let mut request = post(GENERATE, &hello());
        request.headers_mut().insert("x-goog-api-key", "token-of-clients".parse().expect("a value"));
        gateway.send(request).await;
    }
    let mut asked = vec![
        (Method::POST, "/keys/key-0/test".to_owned(), Value::Null),
        (Method::POST, "/keys/key-2/test".to_owned(), Value::Null),
        (Method::POST, "/keys".to_owned(), json!({ "secret": key(0) })),
        (Method::POST, "/keys".to_owned(), json!({ "secret": "token-of-clients" })),
        (Method::POST, "/keys".to_owned(), json!({ "secret": "AIzaSyTEST-new", "rpm": key(3) })),
        (Method::POST, "/keys".to_owned(), json!([key(1)])),
        (Method::POST, "/tenants".to_owned(), json!({ "name": "bob", "rpm": key(2) })),
        (Method::POST, "/keys/key-0/disable".to_owned(), json!({ "reason": format!("it is:{}", key(0)) })),
        (Method::PATCH, "/keys/stored".to_owned(), json!({ "label": key(3) })),
        (Method::POST, "/reload".to_owned(), Value::Null),
    ];
    let description = get(&gateway, "/openapi.json").await;
    let looks = description["paths"].as_object().expect("paths").iter();
    let looks = looks.filter(|(path, methods)| methods["get"].is_object() && !path.ends_with("stream"));
    let paths = looks.map(|(path, _)| path.strip_prefix("/-/admin").expect("an admin path").replace("{id}", "stored"));
    asked.extend(paths.chain(["/openapi.json".to_owned()]).map(|path| (Method::GET, path, Value::Null)));
    assert!(asked.len() > 18, "{}", asked.len());
    for (method, path, body) in asked {
        let answer = ask(&gateway, method.clone(), &path, body).await;
        assert!(answer.status != 500, "{method} {path}: {}", answer.text());
        for secret in &secrets {
            assert!(!answer.text().contains(secret), "{method} {path} contains {secret}: {}", answer.text());
        }
    }
    let metrics = Request::get("/-/metrics").header("authorization", "Bearer token-of-clients");
    let metrics = gateway.send(metrics.body(Full::default()).expect("a request")).await;
    assert_eq!(metrics.status, 200);
    gateway.wait_for_log_of(&metrics).await;
    assert!(gateway.log().contains("TRACE"));
    for secret in &secrets {
        assert!(!metrics.text().contains(secret), "the metrics contain {secret}");
        assert!(!gateway.log().contains(secret), "the log contains {secret}");
    }
}

#[tokio::test]
async fn dashboard_has_a_content_policy_and_uses_no_other_host() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = start(&upstream.url, 1);
    let front = gateway.get("/").await;
    assert_eq!((front.status.as_u16(), front.header("location")), (303, "/-/ui"));
    let mut names = vec![String::new()];
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/ui")).expect("the folder") {
        names.push(format!("/{}", file.expect("a file").file_name().to_string_lossy()));
    }
    for name in names {
        let answer = gateway.get(&format!("/-/ui{name}")).await;
        assert_eq!(answer.status, 200, "{name}");
        assert!(answer.header("content-security-policy").contains("default-src 'none'"), "{name}");
        assert!(answer.header("content-security-policy").contains("script-src 'self'"), "{name}");
        let text = answer.text().replace("http://www.w3.org/2000/svg", "");
        for never in ["://", "innerHTML", "outerHTML", "document.write", "eval(", " style="] {
            assert!(!text.contains(never), "{name} has {never}");
        }
        let mut again = crate::support::get(&format!("/-/ui{name}"));
        again.headers_mut().insert(header::IF_NONE_MATCH, answer.headers[header::ETAG].clone());
        assert_eq!(gateway.send(again).await.status, StatusCode::NOT_MODIFIED, "{name}");
    }
    assert_eq!(gateway.get("/-/ui/nothing.js").await.status, 404);
}

#[tokio::test]
async fn metrics_are_valid_and_accept_no_token_in_the_query() {
    let sim = sim(1).await;
    let gateway = Gateway::start(&sim.url(), 1, &["--db", "none"]);
    gateway.post(GENERATE, &hello()).await;
    gateway.post(GENERATE, &json!({ "contents": 1 })).await;
    let text = gateway.get("/-/metrics").await.text();
    for line in text.lines() {
        if line.starts_with('#') {
            assert!(["# HELP ", "# TYPE ", "# UNIT ", "# EOF"].iter().any(|kind| line.starts_with(kind)), "{line}");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a value");
        assert!(value.parse::<f64>().is_ok(), "{line}");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{line}");
        assert!(labels.ends_with('}'), "{line}");
    }
    assert!(text.ends_with("# EOF\n"));
    for expected in [
        "keypool_gateway_requests_total{status=\"200\",tenant=\"\"} 1",
        "keypool_gateway_seconds_count{class=\"2xx\"} 1",
        "keypool_gateway_seconds_count{class=\"4xx\"} 1",
        "keypool_gateway_in_progress 0",
        "keypool_unreserved_total{pool=\"gemini\"} 0",
        "keypool_in_flight{pool=\"gemini\"} 0",
    ] {
        assert!(text.contains(expected), "{expected} is missing:\n{text}");
    }
    for name in ["forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"] {
        let request = Request::get("/-/metrics").header(name, "x").body(Full::default()).expect("a request");
        assert_eq!(gateway.send(request).await.status, 401, "{name}");
    }
    let proxied = |path: &str, token: Option<&str>| {
        let mut request = Request::get(path).header("x-forwarded-for", "192.0.2.1");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        gateway.send(request.body(Full::default()).expect("a request"))
    };
    assert_eq!(proxied(&format!("/-/metrics?key={TOKEN}"), None).await.status, 401);
    assert_eq!(proxied("/-/metrics", Some("wrong")).await.status, 401);
    assert_eq!(proxied("/-/metrics", Some(TOKEN)).await.status, 200);
}
