//! Changes of files while the gateway runs.

use crate::support::{GENERATE, Gateway, Upstream, hello, key};

fn file(gateway: &Gateway, name: &str, text: &str) {
    std::fs::write(gateway.folder.path().join(name), text).expect("a writable file");
}

async fn keys_used(gateway: &Gateway, upstream: &Upstream) -> std::collections::BTreeSet<String> {
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
    file(&gateway, "keypool.toml", "[gateway]\nstrict = false\n");
    gateway.wait_for_log("configuration reloaded").await;
    assert_eq!(gateway.send(request).await.status, 401);
    let log = gateway.log();
    assert!(log.contains("at_next_start=[\"gateway\"]"), "{log}");
    assert!(!log.contains("panicked"), "{log}");
}
