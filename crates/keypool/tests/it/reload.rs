//! Changes of files while the gateway runs.

use std::{collections::BTreeSet, time::Duration};

use http::Method;
use serde_json::{Value, json};

use crate::{
    admin::{ADMIN, ask},
    support::{GENERATE, Gateway, Upstream, hello, key, program},
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
    let gateway = Gateway::start_with(&upstream.url, 1, |command, folder| {
        std::fs::write(folder.join("keypool.toml"), "[[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\n")
            .expect("written");
        command.args(["--db", "none"]);
    });
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
    assert!(log.contains("at_next_start=[\"gateway\", \"models\", \"errors\", \"providers\"]"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn keys_of_an_unusable_file_stay_in_use() {
    let upstream = Upstream::always(200, "application/json", "{}").await;
    for (name, good, bad) in [
        ("keys.json", "[\"KEY\"]", Some("[\"KEY\",]")),
        ("keys.csv", "key,project\nKEY,a\n", Some("a,b\nKEY,a\n")),
        ("keys.txt", "KEY", None),
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
        let mut tries = 0;
        while keys_used(&gateway, &upstream).await != [key(1)].into() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            tries += 1;
            assert!(tries < 200, "{name}: {}", gateway.log());
        }
    }
}
