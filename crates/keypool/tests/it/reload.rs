//! Changes of files while the gateway runs.

use std::{collections::BTreeSet, time::Duration};

use http::Method;
use serde_json::{Value, json};

use crate::{
    admin::{ADMIN, ask},
    support::{GENERATE, Gateway, TOKEN, Upstream, hello, key, program, reply},
};

fn file(gateway: &Gateway, name: &str, text: &str) {
    std::fs::write(gateway.folder.path().join(name), text).expect("a writable file");
}

async fn keys_used(gateway: &Gateway, upstream: &Upstream) -> BTreeSet<String> {
    let from = upstream.requests().len();
    for _ in 0..6 {
        assert_eq!(gateway.post(GENERATE, &hello()).await.status, 200);
    }
    upstream.requests()[from..]
        .iter()
        .map(|sent| sent.headers()["x-goog-api-key"].to_str().expect("text").to_owned())
        .collect()
}

#[tokio::test]
async fn changed_key_file_is_reloaded_at_once() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = Gateway::start(&upstream.url, 1, &["--db", "none"]);
    assert_eq!(keys_used(&gateway, &upstream).await, [key(0)].into());
    file(&gateway, "keys.txt", &format!("{}\n{}\nno key, but words\n", key(1), key(2)));
    gateway.wait_for_log("configuration reloaded").await;
    assert_eq!(keys_used(&gateway, &upstream).await, [key(1), key(2)].into());
    assert!(gateway.log().contains("keys.txt:3"), "{}", gateway.log());
}

#[tokio::test]
async fn invalid_configuration_is_reported_and_the_previous_one_stays() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = Gateway::configured(&upstream.url, 1, "[[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\n");
    file(&gateway, "keypool.toml", "[pool]\nstrategy = \"fastest\"\n\n[gateway]\nlisten = \"nowhere\"\ncolour = 3\n");
    gateway.signal("HUP");
    gateway.wait_for_log("the previous one stays in use").await;
    gateway.wait_for_log("keypool.toml:2").await;
    gateway.wait_for_log("colour").await;
    let request = http::Request::post(GENERATE).header("x-goog-api-key", "token-of-a");
    let request = request.body(http_body_util::Full::from(hello().to_string())).expect("a request");
    assert_eq!(gateway.send(request.clone()).await.status, 200);
    // Key files apply at once.
    let config = "[gateway]\nstrict = false\n[[models]]\nname = \"gemini-2.5-flash\"\nlimits = { rpm = 9 }\n\
                  [[errors]]\nstatus = 418\nclass = \"caller\"\n[[providers]]\nkind = \"openai\"\n\
                  [pool]\nkey_variables = false\n";
    file(&gateway, "keypool.toml", config);
    gateway.wait_for_log("configuration reloaded").await;
    assert_eq!(gateway.send(request).await.status, 401);
    let log = gateway.log();
    let changed = "changed settings take effect at the next start sections=\"gateway, models, errors, providers\"";
    assert!(log.contains(changed), "{log}");
    // The changes stay until the next start.
    gateway.signal("HUP");
    gateway.eventually(async || gateway.log().matches(changed).count() == 2).await;
    let log = gateway.log();
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn keys_of_an_unusable_file_stay_in_use() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    for (name, good, bad) in [
        ("keys.json", "[\"KEY\"]", Some("[\"KEY\",]")),
        ("keys.csv", "key,project\nKEY,a\n", Some("a,b\nKEY,a\n")),
        ("keys.txt", "KEY", None),
        ("keys.txt", "KEY", Some("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")),
        ("keys.txt", "KEY", Some("\u{1f}\u{fffd}\u{8}\n\u{fffd}\u{fffd}KEY\u{fffd}\n")),
        ("keys.txt", "KEY", Some("<!DOCTYPE html>\n<html>\n<head></head><body>\n<h1>404</h1>\n</body></html>\n")),
        ("keys.txt", "KEY", Some("project,tier\na,free\n")),
        ("keys.json", "[\"KEY\"]", Some("null")),
        ("keys.json", "[\"KEY\"]", Some("[{\"project\":\"a\"}]")),
        // The default, which is used if it exists.
        ("key.txt", "KEY", None),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join(name), good.replace("KEY", &key(0))).expect("a writable file");
        let mut command = program(folder.path());
        command.args(["serve", "--listen", "127.0.0.1:0", "--upstream", &upstream.url, "--admin-token", ADMIN]);
        if name != "key.txt" {
            command.args(["--keys", name]);
        }
        let gateway = Gateway::spawn(command, folder);
        match bad {
            Some(bad) => file(&gateway, name, &bad.replace("KEY", &key(0))),
            None => std::fs::remove_file(gateway.folder.path().join(name)).expect("removed"),
        }
        gateway.wait_for_log("configuration reloaded").await;
        assert_eq!(keys_used(&gateway, &upstream).await, [key(0)].into(), "{name}");
        let log = gateway.log();
        assert!(log.contains("the keys that the pool has stay in use") && log.contains(name), "{log}");
        // Keys of the database can still be added and removed.
        let added = ask(&gateway, Method::POST, "/keys", json!({ "secret": key(5), "id": "extra" })).await;
        assert_eq!(added.status, 201, "{name}: {}", added.text());
        assert_eq!(keys_used(&gateway, &upstream).await, [key(0), key(5)].into(), "{name}");
        assert_eq!(ask(&gateway, Method::DELETE, "/keys/extra", Value::Null).await.status, 200);
        assert_eq!(keys_used(&gateway, &upstream).await, [key(0)].into(), "{name}");
        file(&gateway, name, &good.replace("KEY", &key(1)));
        gateway.eventually(async || keys_used(&gateway, &upstream).await == [key(1)].into()).await;
    }
}

/// Starts `serve` with this configuration file and more arguments.
fn start(config: &str, arguments: &[&str]) -> Gateway {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("keypool.toml"), config).expect("a writable file");
    let mut command = program(folder.path());
    command.arg("serve").args(arguments);
    Gateway::spawn(command, folder)
}

async fn status(gateway: &Gateway, token: &str) -> u16 {
    let request = http::Request::post(GENERATE).header("x-goog-api-key", token);
    let request = request.body(http_body_util::Full::from(hello().to_string())).expect("a request");
    gateway.send(request).await.status.as_u16()
}

/// Waits until requests with this token get this status.
async fn until(gateway: &Gateway, token: &str, expected: u16) {
    gateway.eventually(async || status(gateway, token).await == expected).await;
}

#[tokio::test]
async fn keys_for_another_upstream_wait_for_the_restart() {
    let (old, new) = (Upstream::always(200, "application/json", "{}").await, "http://127.0.0.1:9");
    let config = |upstream: &str, number: usize| {
        let key = key(number);
        format!(
            "[gateway]\nlisten = \"127.0.0.1:0\"\nupstream = \"{upstream}\"\n[[keys]]\nsecret = \"{key}\"\n\
             [[providers]]\nkind = \"openai\"\nupstream = \"{upstream}\"\nkeys = [{{ secret = \"sk-{key}\" }}]\n"
        )
    };
    let gateway = start(&config(&old.url, 0), &["--db", "none"]);
    let sent = async || {
        gateway.post(GENERATE, &hello()).await;
        gateway.post("/to/openai/v1/chat/completions", &json!({ "model": "gpt-x", "messages": [] })).await;
        let sent = old.requests();
        let sent = sent[sent.len() - 2..].iter();
        sent.flat_map(|request| ["x-goog-api-key", "authorization"].map(|name| request.headers().get(name).cloned()))
            .flatten()
            .map(|value| value.to_str().expect("text").to_owned())
            .collect::<Vec<_>>()
    };
    let of_old = [key(0), format!("Bearer sk-{}", key(0))];
    assert_eq!(sent().await, of_old);
    file(&gateway, "keypool.toml", &config(new, 1));
    gateway.wait_for_log("configuration reloaded").await;
    assert_eq!(sent().await, of_old, "{}", gateway.log());
    gateway.wait_for_log("which needs a restart").await;
    file(&gateway, "keypool.toml", &config(&old.url, 2));
    let of_new = [key(2), format!("Bearer sk-{}", key(2))];
    gateway.eventually(async || sent().await == of_new).await;
}

#[tokio::test]
async fn public_address_needs_a_token_until_the_restart() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let config = |listen: &str, token: &str| {
        let upstream = &upstream.url;
        format!(
            "[gateway]\nlisten = \"{listen}\"\nupstream = \"{upstream}\"\n{token}[[keys]]\nsecret = \"{}\"\n",
            key(0)
        )
    };
    let mut gateway = start(&config("0.0.0.0:0", "token = \"own-token\"\n"), &["--db", "none"]);
    gateway.url = gateway.url.replace("0.0.0.0", "127.0.0.1");
    assert_eq!(status(&gateway, "own-token").await, 200);
    file(&gateway, "keypool.toml", &config("127.0.0.1:0", ""));
    gateway.wait_for_log("so a token is required").await;
    assert_eq!((status(&gateway, TOKEN).await, status(&gateway, "own-token").await), (401, 200));
    file(&gateway, "keypool.toml", &config("127.0.0.1:0", "token = \"new-token\"\n"));
    until(&gateway, "new-token", 200).await;
    assert_eq!(status(&gateway, "own-token").await, 401);
}

#[tokio::test]
async fn database_is_followed_while_the_configuration_is_invalid() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = Gateway::start_with(&upstream.url, 1, |command, folder| {
        std::fs::write(folder.join("keypool.toml"), "").expect("a writable file");
        command.args(["--db", "keys.db"]);
    });
    let database = gateway.folder.path().join("keys.db");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let run = |arguments: &[&str]| {
        let mut command = program(elsewhere.path());
        let done = command.args(arguments).arg("--db").arg(&database).output().expect("the program runs");
        assert!(done.status.success(), "{done:?}");
        String::from_utf8(done.stdout).expect("text")
    };
    let added: Value = serde_json::from_str(&run(&["tenants", "add", "a", "--json"])).expect("JSON");
    let token = added["token"].as_str().expect("a token");
    until(&gateway, token, 200).await;
    file(&gateway, "keypool.toml", "[gateway]\ncolour = 3\n");
    gateway.wait_for_log("the previous one stays in use").await;
    run(&["tenants", "remove", "a"]);
    until(&gateway, token, 401).await;
    file(&gateway, "keys.txt", &format!("{}\n", key(7)));
    gateway.eventually(async || keys_used(&gateway, &upstream).await == [key(7)].into()).await;
}

#[tokio::test]
async fn changed_token_files_apply() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = Gateway::start_with(&upstream.url, 1, |command, folder| {
        for name in ["own", "a", "admin"] {
            std::fs::write(folder.join(name), format!("first-token-of-{name}")).expect("a writable file");
        }
        let config = "[gateway]\ntoken_file = \"own\"\n[admin]\ntoken_file = \"admin\"\n\
                      [[tenants]]\nname = \"a\"\ntoken_file = \"a\"\n";
        std::fs::write(folder.join("keypool.toml"), config).expect("a writable file");
        command.args(["--db", "none"]);
    });
    for name in ["own", "a"] {
        let [first, second] = ["first", "second"].map(|n| format!("{n}-token-of-{name}"));
        assert_eq!(status(&gateway, &first).await, 200);
        file(&gateway, name, &second);
        until(&gateway, &second, 200).await;
        assert_eq!(status(&gateway, &first).await, 401);
    }
    file(&gateway, "admin", "second-token-of-admin");
    let mut tries = 0;
    loop {
        let request = http::Request::get("/-/admin/errors").header("x-keypool-admin", "second-token-of-admin");
        if gateway.send(request.body(http_body_util::Full::default()).expect("a request")).await.status == 200 {
            break;
        }
        tries += 1;
        // Ten wrong tokens block the address for a minute.
        assert!(tries < 8, "{}", gateway.log());
    }
}

#[tokio::test]
async fn settings_that_need_a_restart_do_not_apply_before() {
    let upstream = Upstream::start(|request| {
        if request.uri().path() == "/v1beta/models" {
            return reply(200, "application/json", r#"{"models":[{"name":"models/m"}]}"#);
        }
        let mut response = reply(302, "text/plain", "");
        response.headers_mut().insert("location", "/elsewhere".parse().expect("a value"));
        response
    })
    .await;
    let config = format!("[gateway]\nlisten = \"127.0.0.1:0\"\nupstream = \"{}\"\n", upstream.url);
    let keys = format!("[[keys]]\nsecret = \"{}\"\n", key(0));
    let gateway = start(&format!("{config}{keys}"), &["--db", "none"]);
    let more = "tls_cert_file = \"cert.pem\"\ntls_key_file = \"key.pem\"\n";
    let models = "[[models]]\nname = \"m\"\naliases = [\"other\"]\n";
    file(&gateway, "keypool.toml", &format!("{config}{more}{keys}{models}"));
    gateway.wait_for_log("sections=\"gateway, models\"").await;
    let moved = gateway.get("/v1beta/models/m").await;
    assert_eq!(moved.header("location"), format!("{}/elsewhere", gateway.url), "{}", moved.text());
    for path in ["/v1beta/models", "/v1/models"] {
        let listed = gateway.get(path).await.text();
        assert!(!listed.contains("other"), "{listed}");
    }
}

#[tokio::test]
async fn changed_secrets_that_need_a_restart_are_reported() {
    let config = |token_file: &str, password: &str| {
        format!(
            "[gateway]\ntoken_file = \"{token_file}\"\n[exits.a]\nproxy = \"http://user:{password}@127.0.0.1:9\"\n\
             projects = [\"{token_file}\"]\n"
        )
    };
    let gateway = Gateway::start_with("http://127.0.0.1:9", 1, |command, folder| {
        for (name, text) in [("one", "first-token"), ("two", "second-token"), ("keypool.toml", &config("one", "x"))] {
            std::fs::write(folder.join(name), text).expect("a writable file");
        }
        command.args(["--db", "none"]);
    });
    file(&gateway, "keypool.toml", &config("two", "x"));
    gateway.wait_for_log("configuration reloaded").await;
    assert!(!gateway.log().contains("next start"), "a reload applies all: {}", gateway.log());
    file(&gateway, "keypool.toml", &config("two", "y"));
    gateway.wait_for_log("sections=\"exits\"").await;
    // After the signal the poll does not find the same change again.
    let before = gateway.log().matches("configuration reloaded").count();
    file(&gateway, "keypool.toml", &config("two", "another"));
    gateway.signal("HUP");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_eq!(gateway.log().matches("configuration reloaded").count(), before + 1, "{}", gateway.log());
}

#[tokio::test]
async fn keys_of_the_database_are_not_changed_or_tested_while_their_provider_is_moved() {
    let old = Upstream::always(200, "application/json", "{}").await;
    let new = Upstream::always(200, "application/json", "{}").await;
    let config =
        |upstream: &Upstream| format!("[gateway]\nlisten = \"127.0.0.1:0\"\nupstream = \"{}\"\n", upstream.url);
    let gateway = start(&config(&old), &["--db", "keys.db", "--admin-token", ADMIN]);
    for (number, id) in [(0, "k"), (1, "l")] {
        let added = ask(&gateway, Method::POST, "/keys", json!({ "secret": key(number), "id": id })).await;
        assert_eq!(added.status, 201, "{}", added.text());
    }
    file(&gateway, "keypool.toml", &config(&new));
    gateway.wait_for_log("sections=\"gateway\"").await;
    for (method, path, body) in [
        (Method::POST, "/keys", json!({ "secret": key(2) })),
        (Method::PATCH, "/keys/k", json!({ "priority": 1 })),
        (Method::POST, "/keys/k/replace", json!({ "secret": key(3) })),
        (Method::POST, "/keys/k/test", Value::Null),
    ] {
        let answer = ask(&gateway, method, path, body).await;
        assert!(answer.status == 409 && answer.text().contains("restart"), "{path}: {}", answer.text());
    }
    assert_eq!(ask(&gateway, Method::DELETE, "/keys/l", Value::Null).await.status, 200);
    assert_eq!(keys_used(&gateway, &old).await, [key(0)].into());
    assert_eq!(new.requests().len(), 0);
    file(&gateway, "keypool.toml", &config(&old));
    let replace = async || ask(&gateway, Method::POST, "/keys/k/replace", json!({ "secret": key(3) })).await.status;
    gateway.eventually(async || replace().await == 200).await;
    assert_eq!(keys_used(&gateway, &old).await, [key(3)].into());
}

#[tokio::test]
async fn token_file_that_appears_later_repairs_the_configuration() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    let gateway = Gateway::configured(&upstream.url, 1, "");
    file(&gateway, "keypool.toml", "[[tenants]]\nname = \"a\"\ntoken_file = \"late\"\n");
    gateway.wait_for_log("the file cannot be read").await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let log = gateway.log();
    assert_eq!(log.matches("the file cannot be read").count(), 1, "{log}");
    assert!(!log.contains("token_hash"), "{log}");
    file(&gateway, "late", "token-of-a");
    until(&gateway, "token-of-a", 200).await;
}
