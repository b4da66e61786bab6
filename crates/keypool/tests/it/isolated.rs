//! Tenants at providers that are not Gemini's: what one was given there no other names, nor what nobody here was given.

use http::{Request, StatusCode};
use keypool::gateway::token::PLACEHOLDER;
use serde_json::{Value, json};

use crate::{
    binary::Running,
    home::{Home, end},
    support::{Answer, ask},
    upstreams::{CLAUDE, GPT, Kind, STORED, Upstream},
};

const OPENAI: [&str; 2] = ["sk-proj-TEST-not-a-real-key-0000000011", "sk-proj-TEST-not-a-real-key-0000000012"];
const ANTHROPIC: &str = "sk-ant-TEST-not-a-real-key-00000000011";
const ALICE: &str = "kp-TEST-tenant-token-0123456789abcdef-alice";
const BOB: &str = "kp-TEST-tenant-token-0123456789abcdef-bob-1";

struct Scene {
    home: Home,
    openai: Upstream,
    anthropic: Upstream,
    running: Running,
}

impl Scene {
    async fn new() -> Self {
        let openai = Upstream::start(Kind::OpenAi, &OPENAI).await;
        let anthropic = Upstream::start(Kind::Anthropic, &[ANTHROPIC]).await;
        let home = Home::new();
        let text = format!(
            r#"
            keys = [{{ id = "o1", secret = "{}" }}, {{ id = "o2", secret = "{}" }}]
            tenants = [
                {{ name = "alice", token = "{ALICE}" }},
                {{ name = "bob", token = "{BOB}", models = ["{GPT}", "{STORED}", "{CLAUDE}"] }},
            ]
            [gateway]
            listen = "127.0.0.1:0"
            provider = "openai"
            upstream = "{}/v1"
            [pool]
            wait = 0
            [[providers]]
            name = "open"
            kind = "openai"
            upstream = "{}/v1"
            keys = [{{ id = "p1", secret = "{}" }}]
            [[providers]]
            name = "claude"
            kind = "anthropic"
            upstream = "{}"
            keys = [{{ id = "a1", secret = "{ANTHROPIC}" }}]
            "#,
            OPENAI[0],
            OPENAI[1],
            openai.url(),
            openai.url(),
            OPENAI[0],
            anthropic.url(),
        );
        home.write("keypool.toml", &text);
        let running = Running::of(home.command(&["serve"]));
        Self { home, openai, anthropic, running }
    }

    async fn post(&self, token: &str, path: &str, body: &Value) -> Answer {
        let request = Request::post(format!("{}{path}", self.running.url)).header("content-type", "application/json");
        let request = if path.ends_with("/messages") {
            request.header("x-api-key", token).header("anthropic-version", "2023-06-01")
        } else {
            request.header("authorization", format!("Bearer {token}"))
        };
        ask(request, body.to_string()).await
    }

    /// It is refused, and nothing is sent.
    async fn refuses(&self, token: &str, path: &str, body: &Value, (status, told): (StatusCode, &str)) {
        self.openai.arrivals();
        self.anthropic.arrivals();
        let answer = self.post(token, path, body).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        let message = answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(message.contains(told) || answer.json()["error"]["param"] == told, "{body}: {answer:?}");
        assert!(self.openai.arrivals().is_empty() && self.anthropic.arrivals().is_empty(), "{body}");
    }

    async fn end(self) {
        self.openai.is_unharmed();
        self.anthropic.is_unharmed();
        end(self.running).await;
        drop(self.home);
    }
}

fn with(model: &str, more: &Value) -> Value {
    let mut body = json!({ "model": model, "input": "x" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_goes_on_from_its_own_answers_and_from_nobody_elses() {
    let scene = Scene::new().await;
    for (path, streams) in [("/v1/responses", false), ("/v1/responses", true), ("/to/open/v1/responses", false)] {
        let said = format!("{}{streams}", path.replace('/', "-"));
        let first = scene.post(ALICE, path, &with(STORED, &json!({ "input": said, "stream": streams }))).await;
        assert_eq!(first.status, StatusCode::OK, "{first:?}");
        let goes_on = with(STORED, &json!({ "previous_response_id": format!("resp_{said}") }));
        let inside = with(
            STORED,
            &json!({ "tools": [{ "type": "code_interpreter", "container": format!("cntr_{said}") }],
                "input": [{ "type": "item_reference", "id": format!("ci_{said}") }] }),
        );
        for body in [&goes_on, &inside] {
            scene.openai.arrivals();
            let answer = scene.post(ALICE, path, body).await;
            assert_eq!((answer.status, scene.openai.arrivals().len()), (StatusCode::OK, 1), "{answer:?}");
            let answer = scene.post(PLACEHOLDER, path, body).await;
            assert_eq!(answer.status, StatusCode::OK, "whoever has the one token may name anything");
        }
        scene.refuses(BOB, path, &goes_on, (StatusCode::NOT_FOUND, "previous_response_id")).await;
        scene.refuses(BOB, path, &inside, (StatusCode::NOT_FOUND, &format!("_{said}"))).await;
        // Of another provider it is nothing.
        let other = if path.starts_with("/to") { "/v1/responses" } else { "/to/open/v1/responses" };
        scene.refuses(ALICE, other, &goes_on, (StatusCode::NOT_FOUND, "previous_response_id")).await;
    }
    scene.end().await;
}

/// Such as one with a picture in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_gives_its_ids_too() {
    let scene = Scene::new().await;
    for streams in [false, true] {
        let draws = json!([{ "type": "image_generation" }]);
        let asked = json!({ "input": format!("long-{streams}"), "stream": streams, "tools": draws });
        let first = scene.post(ALICE, "/v1/responses", &with(STORED, &asked)).await;
        assert!(first.status == StatusCode::OK && first.body.len() > 5 << 20, "{:?}", first.status);
        let goes_on = with(
            STORED,
            &json!({ "previous_response_id": format!("resp_long-{streams}"),
                "input": [{ "type": "image_generation_call", "id": format!("ig_long-{streams}") }] }),
        );
        let answer = scene.post(ALICE, "/v1/responses", &goes_on).await;
        assert_eq!(answer.status, StatusCode::OK, "{streams}: {answer:?}");
        scene.refuses(BOB, "/v1/responses", &goes_on, (StatusCode::NOT_FOUND, "is not known here")).await;
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_to_no_tenant_is_named_by_none() {
    let scene = Scene::new().await;
    let refused = |field| (StatusCode::NOT_FOUND, field);
    for (more, field) in [
        (json!({ "previous_response_id": "resp_operators" }), "previous_response_id"),
        (json!({ "conversation": "conv_operators" }), "conversation"),
        (json!({ "prompt": { "id": "pmpt_operators" } }), "prompt.id"),
        (
            json!({ "input": [{ "role": "user", "content": [{ "type": "input_file", "file_id": "file-o" }] }] }),
            "file-o",
        ),
        (json!({ "tools": [{ "type": "file_search", "vector_store_ids": ["vs_operators"] }] }), "vs_operators"),
        (
            json!({ "tools": [{ "type": "code_interpreter", "container": { "type": "auto", "file_ids": ["file-o"] } }] }),
            "file-o",
        ),
    ] {
        scene.refuses(ALICE, "/v1/responses", &with(STORED, &more), refused(field)).await;
        assert_eq!(scene.post(PLACEHOLDER, "/v1/responses", &with(STORED, &more)).await.status, StatusCode::OK);
    }
    let file = json!([{ "role": "user", "content": [{ "type": "file", "file": { "file_id": "file-o" } }] }]);
    let body = json!({ "model": GPT, "messages": file });
    scene.refuses(ALICE, "/v1/chat/completions", &body, refused("messages[0].content[0].file.file_id")).await;
    let file = json!([{ "role": "user", "content": [{ "type": "document", "source": { "type": "file", "file_id": "file_o" } }] }]);
    for more in [json!({ "messages": file }), json!({ "messages": [], "container": "container_o" })] {
        let mut body = json!({ "model": CLAUDE, "max_tokens": 1 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        scene.refuses(ALICE, "/to/claude/v1/messages", &body, refused("_o")).await;
    }
    let socket = Request::get(format!("{}/v1/responses", scene.running.url))
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("authorization", format!("Bearer {ALICE}"));
    scene.openai.arrivals();
    let answer = ask(socket, "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "what its messages name nobody reads: {answer:?}");
    assert!(scene.openai.arrivals().is_empty());
    let late = with(STORED, &json!({ "background": true }));
    scene.refuses(ALICE, "/v1/responses", &late, (StatusCode::BAD_REQUEST, "background")).await;
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_model_that_a_request_names_is_held_to_the_tenants_list() {
    let scene = Scene::new().await;
    let refused = |field| (StatusCode::FORBIDDEN, field);
    let body = json!({ "model": GPT, "messages": [], "models": [GPT, "an/expensive-one"] });
    scene.refuses(BOB, "/v1/chat/completions", &body, refused("models[1]")).await;
    let body = with(GPT, &json!({ "tools": [{ "type": "image_generation", "model": "gpt-image-9" }] }));
    scene.refuses(BOB, "/v1/responses", &body, refused("tools[0].model")).await;
    assert_eq!(scene.post(ALICE, "/v1/responses", &body).await.status, StatusCode::OK, "she may use all");
    let tool = json!({ "type": "function", "function": { "name": "f", "parameters": {
        "properties": { "model": { "type": "string" }, "file_id": { "type": "string" } } } } });
    let body = json!({ "model": GPT, "models": [GPT], "messages": [], "tools": [tool], "metadata": { "model": "x" } });
    assert_eq!(scene.post(BOB, "/v1/chat/completions", &body).await.status, StatusCode::OK);
    scene.end().await;
}
