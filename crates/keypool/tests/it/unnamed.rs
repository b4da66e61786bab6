//! A caller who writes a pool's key where it is told of him: as a model's name, in a path, as a request's id.

use http::{Request, StatusCode};
use keypool::gateway::token::PLACEHOLDER;
use serde_json::json;

use crate::{
    admin::TOKEN,
    binary::Running,
    home::{Home, secret, simulator},
    support::{Answer, ask},
};

fn shows(text: &str) -> bool {
    (0..2).any(|n| text.contains(&secret(n)[10..]))
}

fn of(answer: &Answer) -> String {
    format!("{} {:?} {}", answer.status, answer.headers, String::from_utf8_lossy(&answer.body))
}

async fn page(running: &Running, path: &str) -> String {
    let answer = ask(Request::get(format!("{}{path}", running.url)).header("x-keypool-admin", TOKEN), "").await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
    of(&answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_a_caller_names_is_told_nowhere() {
    let (home, sim) = (Home::new(), simulator(1).await);
    let text = format!(
        "keys = [{{ id = \"own\", secret = \"{}\" }}]\n[gateway]\nlisten = \"127.0.0.1:0\"\nupstream = \"{}\"\n[pool]\nwait = 0\n\
         [admin]\ntoken = \"{TOKEN}\"\n[[providers]]\nname = \"other\"\nkind = \"openai\"\nupstream = \"http://127.0.0.1:9/v1\"\n\
         keys = [{{ id = \"theirs\", secret = \"{}\" }}]\n",
        secret(0),
        sim.url(),
        secret(1),
    );
    home.write("keypool.toml", &text);
    let running = Running::of(home.command(&["serve", "-v"]));
    for (n, secret) in [secret(0), secret(1)].iter().enumerate() {
        let contents = r#"{"contents":[{"parts":[{"text":"x"}]}]}"#.to_owned();
        let chat = json!({ "model": secret, "messages": [{ "role": "user", "content": "x" }] }).to_string();
        let asks = [
            (format!("/v1beta/models/{secret}:generateContent"), contents.clone(), "native"),
            (format!("/v1beta/models/{}:generateContent", secret.replace('-', "%2D")), contents.clone(), "escaped"),
            (format!("/v1beta/models/{secret}:streamGenerateContent?alt=sse"), contents.clone(), "stream"),
            (format!("/v1beta/models/{secret}:countTokens"), contents.clone(), "count"),
            (format!("/v1beta/{secret}/x"), contents, "path"),
            ("/v1/chat/completions".to_owned(), chat.clone(), "chat"),
            (format!("/v1/{secret}"), chat.clone(), "nowhere"),
            ("/v1/embeddings".to_owned(), json!({ "model": secret, "input": "x" }).to_string(), "embeddings"),
            ("/v1/responses".to_owned(), json!({ "model": secret, "input": "x" }).to_string(), "responses"),
            (
                "/v1/responses".to_owned(),
                json!({ "model": "m", "input": "x", "previous_response_id": secret }).to_string(),
                "previous",
            ),
            (
                "/v1/chat/completions".to_owned(),
                json!({ "model": "m", "messages": [{ "role": "user", "content": "x" }], &**secret: 1 }).to_string(),
                "field",
            ),
            ("/to/other/v1/chat/completions".to_owned(), chat, "other"),
        ];
        for (path, body, id) in asks {
            let id = format!("{id}-{n}");
            let request = Request::post(format!("{}{path}", running.url)).header("content-type", "application/json");
            let request = request.header("authorization", format!("Bearer {PLACEHOLDER}"));
            let request = request.header("x-keypool-trace", "1").header("x-keypool-admin", TOKEN);
            let answer = ask(request.header("x-request-id", &id), body).await;
            assert!(!answer.status.is_success(), "{path}: {answer:?}");
            assert!(!shows(&format!("{:?}", answer.headers)), "{path}: {answer:?}");
            // What a provider says again of another one's key, whoever sent it to him may read.
            assert!(n == 1 || !shows(&of(&answer)), "{path}: {answer:?}");
            assert_eq!(answer.header("x-request-id"), id);
            let told = page(&running, &format!("/-/admin/requests/{id}")).await;
            assert!(!shows(&told), "{path}: {told}");
        }
        for named in [secret.clone(), format!("a.{secret}.b")] {
            let url = format!("{}/v1beta/models", running.url);
            let request = Request::get(url).header("x-goog-api-key", PLACEHOLDER).header("x-request-id", &named);
            let answer = ask(request, "").await;
            assert!(!shows(&of(&answer)) && !answer.header("x-request-id").is_empty(), "{answer:?}");
        }
    }
    for path in [
        "/-/metrics",
        "/-/admin/snapshot",
        "/-/admin/snapshot?pool=other",
        "/-/admin/requests",
        "/-/admin/errors",
        "/-/admin/events?recent=256",
        "/-/admin/usage?by=model",
        "/-/admin/usage?by=model&pool=other",
    ] {
        let told = page(&running, path).await;
        assert!(!shows(&told), "{path}: {told}");
    }
    let (_, told) = running.end();
    assert!(told.contains("/v1beta/models/***") && told.contains("model=***"), "it is told as that: {told}");
    assert!(!shows(&told), "{told}");
    for by in ["model", "key", "tenant"] {
        home.run(&["usage", "--by", by]).good();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_ignored_and_called_by_a_key_is_told_as_that() {
    let (home, sim) = (Home::new(), simulator(1).await);
    let text = format!(
        "keys = [{{ id = \"own\", secret = \"{}\" }}]\n[gateway]\nlisten = \"127.0.0.1:0\"\nupstream = \"{}\"\nstrict = false\n",
        secret(0),
        sim.url(),
    );
    home.write("keypool.toml", &text);
    let running = Running::of(home.command(&["serve", "-v"]));
    let body = json!({ "model": "gemini-2.5-flash", "messages": [{ "role": "user", "content": "x" }], &*secret(0): 1 });
    let request = Request::post(format!("{}/v1/chat/completions", running.url));
    let request = request.header("content-type", "application/json");
    let answer = ask(request.header("authorization", format!("Bearer {PLACEHOLDER}")), body.to_string()).await;
    assert_eq!(
        (answer.status, answer.header("x-keypool-ignored").contains("***")),
        (http::StatusCode::OK, true),
        "{answer:?}"
    );
    assert!(!shows(&of(&answer)), "{answer:?}");
    let (_, told) = running.end();
    assert!(told.contains("clients send ***") && !shows(&told), "{told}");
}
