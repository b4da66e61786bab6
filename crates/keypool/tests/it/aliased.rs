//! A model's other name steps down as the model does.

use gemini_sim::{GeminiSim, Limits, Project};
use http::{Request, StatusCode};
use keypool::gateway::token::PLACEHOLDER;
use serde_json::json;

use crate::{
    binary::Running,
    home::{Home, end, secret},
    live::{PATH, Socket},
    serving::HELLO,
    support::{Answer, ask},
};

const FAST: &str = "kp-TEST-tenant-token-0123456789abcdef-fast";
const PRO: &str = "kp-TEST-tenant-token-0123456789abcdef-pro";
const BOTH: &str = "kp-TEST-tenant-token-0123456789abcdef-both";

async fn generate(running: &Running, token: &str, model: &str) -> Answer {
    let url = format!("{}/v1beta/models/{model}:generateContent", running.url);
    let request = Request::post(url).header("x-goog-api-key", token).header("content-type", "application/json");
    ask(request, HELLO).await
}

#[tokio::test(flavor = "multi_thread")]
async fn another_name_steps_down_as_the_model_that_it_stands_for() {
    let project = Project::new("1").key(secret(0)).limit("gemini-2.5-flash", Limits::none().rpm(1));
    let sim = GeminiSim::builder().project(project).start().await.unwrap();
    let home = Home::new();
    let text = format!(
        r#"
        keys = [{{ id = "a", secret = "{}" }}]
        tenants = [
            {{ name = "fast", token = "{FAST}", models = ["fast"] }},
            {{ name = "pro", token = "{PRO}", models = ["gemini-2.5-pro"] }},
            {{ name = "both", token = "{BOTH}", models = ["fast", "gemini-2.5-pro"] }},
        ]
        [gateway]
        listen = "127.0.0.1:0"
        upstream = "{}"
        [pool]
        wait = 0
        [[models]]
        name = "gemini-2.5-flash"
        priority = 0
        aliases = ["fast"]
        [[models]]
        name = "gemini-2.5-pro"
        priority = 1
        "#,
        secret(0),
        sim.url()
    );
    home.write("keypool.toml", &text);
    let running = Running::of(home.command(&["serve"]));
    let first = generate(&running, PLACEHOLDER, "fast").await;
    assert_eq!((first.status, first.header("x-keypool-model")), (StatusCode::OK, "gemini-2.5-flash"), "{first:?}");
    for (token, model) in [(PLACEHOLDER, "gemini-2.5-flash"), (PLACEHOLDER, "fast"), (BOTH, "fast")] {
        let next = generate(&running, token, model).await;
        assert_eq!((next.status, next.header("x-keypool-model")), (StatusCode::OK, "gemini-2.5-pro"), "{next:?}");
    }
    // It is listed as a model, in each dialect, for whoever may ask for it.
    let (bearer, fast) = (format!("Bearer {PLACEHOLDER}"), format!("Bearer {FAST}"));
    let listed = |path: &str, header: &str, value: &str| {
        let request = Request::get(format!("{}{path}", running.url)).header(header, value);
        async move { String::from_utf8(ask(request, "").await.body.to_vec()).unwrap() }
    };
    for (path, header, value, own, named) in [
        ("/v1/models", "authorization", &*bearer, false, "\"id\":\"fast\""),
        ("/v1/models", "authorization", &fast, true, "\"id\":\"fast\""),
        ("/anthropic/v1/models", "x-api-key", PLACEHOLDER, false, "\"id\":\"fast\""),
        ("/v1beta/models", "x-goog-api-key", PLACEHOLDER, false, "\"name\":\"models/fast\""),
        ("/v1beta/models", "x-goog-api-key", FAST, true, "\"name\":\"models/fast\""),
    ] {
        let list = listed(path, header, value).await;
        assert!(list.contains(named) && list.contains("gemini-2.5-pro\"") != own, "{path}: {list}");
        let one = listed(&format!("{path}/fast"), header, value).await;
        assert!(one.contains(named), "{path}: {one}");
    }
    // Nobody has a model by it who may not, however the path is written.
    for model in ["models%2Ffast", "models/fast", "%6dodels%2ffast", "%20fast", "gemini-2.5-pro/models/fast", "x/fast"]
    {
        let refused = generate(&running, PRO, model).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{model}: {refused:?}");
    }
    // Whoever may ask for the name alone has what it stands for, and not what that steps down to.
    let refused = generate(&running, FAST, "fast").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{refused:?}");
    end(running).await;
}

/// Its name says another generation than its own.
const MINE: &str = "gemini-3-mine";

#[tokio::test(flavor = "multi_thread")]
async fn another_name_is_its_model_in_every_kind_of_request() {
    let sim = GeminiSim::builder().project(Project::new("1").key(secret(0))).min_cache_tokens(1).start().await.unwrap();
    let home = Home::new();
    let named = [
        ("gemini-2.5-flash", MINE),
        ("gemini-embedding-001", "vectors"),
        ("imagen-4.0-generate-001", "painter"),
        ("gemini-2.5-flash-preview-tts", "speaker"),
    ];
    let model = |(name, alias)| format!("[[models]]\nname = \"{name}\"\naliases = [\"{alias}\"]\n");
    let models = named.map(model).concat();
    let text = format!(
        "keys = [{{ id = \"a\", secret = \"{}\" }}]\n\
         tenants = [{{ name = \"fast\", token = \"{FAST}\", models = [\"{MINE}\", \"vectors\", \"painter\", \"speaker\"] }}]\n\
         {models}[gateway]\nlisten = \"127.0.0.1:0\"\nupstream = \"{}\"\n[pool]\nwait = 0\n",
        secret(0),
        sim.url()
    );
    home.write("keypool.toml", &text);
    let running = Running::of(home.command(&["serve"]));
    let said = json!([{ "role": "user", "content": "Hello" }]);
    let contents = json!([{ "role": "user", "parts": [{ "text": "Hello" }] }]);
    let of = |model: &str, text: &str| json!({ "model": model, "content": { "parts": [{ "text": text }] } });
    let own = format!("models/{MINE}");
    let requests = [
        ("/v1/chat/completions", json!({ "model": MINE, "messages": said, "reasoning_effort": "high" })),
        ("/v1/responses", json!({ "model": MINE, "input": "Hello", "reasoning": { "effort": "low" } })),
        ("/v1/responses/input_tokens", json!({ "model": MINE, "input": "Hello", "reasoning": { "effort": "low" } })),
        (
            "/anthropic/v1/messages",
            json!({
                "model": MINE, "messages": said, "max_tokens": 2_000,
                "thinking": { "type": "enabled", "budget_tokens": 1_024 },
            }),
        ),
        ("/anthropic/v1/messages/count_tokens", json!({ "model": MINE, "messages": said })),
        ("/v1/embeddings", json!({ "model": "vectors", "input": ["a", "b"] })),
        ("/v1/images/generations", json!({ "model": "painter", "prompt": "a cat", "size": "1024x1024" })),
        (
            "/v1/audio/speech",
            json!({ "model": "speaker", "input": "Hello", "voice": "nova", "response_format": "wav" }),
        ),
        ("/gemini/v1beta/models/gemini-3-mine:generateContent", json!({ "contents": contents })),
        ("/gemini/v1beta/models/gemini-3-mine:countTokens", json!({ "contents": contents })),
        (
            "/gemini/v1beta/models/gemini-3-mine:countTokens",
            json!({ "generateContentRequest": { "model": own, "contents": contents } }),
        ),
        ("/gemini/v1beta/models/vectors:embedContent", of("models/vectors", "a")),
        (
            "/gemini/v1beta/models/vectors:batchEmbedContents",
            json!({ "requests": [of("models/vectors", "a"), of("models/vectors", "b")] }),
        ),
        (
            "/gemini/v1beta/models/painter:predict",
            json!({ "instances": [{ "prompt": "a cat" }], "parameters": { "sampleCount": 1 } }),
        ),
        ("/gemini/v1beta/cachedContents", json!({ "model": own, "contents": contents, "ttl": "60s" })),
        (
            "/gemini/v1beta/models/gemini-3-mine:batchGenerateContent",
            json!({ "batch": { "displayName": "b", "inputConfig": { "requests": { "requests": [
                { "request": { "model": own, "contents": contents }, "metadata": { "key": "k" } },
            ] } } } }),
        ),
        ("/gemini/v1beta/openai/embeddings", json!({ "model": "vectors", "input": "a" })),
    ];
    for token in [PLACEHOLDER, FAST] {
        for (path, body) in &requests {
            let request = Request::post(format!("{}{path}", running.url)).header("content-type", "application/json");
            let request = match path {
                path if path.starts_with("/anthropic") => request.header("x-api-key", token),
                path if path.starts_with("/gemini") => request.header("x-goog-api-key", token),
                _ => request.header("authorization", format!("Bearer {token}")),
            };
            let answer = ask(request, body.to_string()).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
            let served = answer.header("x-keypool-model");
            assert!(named.iter().any(|(model, _)| *model == served), "{path}: {:?}", answer.headers);
            let translated = !path.starts_with("/gemini") && !path.contains("audio") && !path.contains("tokens");
            if translated && !path.contains("images") {
                assert!([MINE, "vectors"].contains(&answer.json()["model"].as_str().unwrap()), "{path}: {answer:?}");
            }
        }
    }
    let address = running.url.strip_prefix("http://").unwrap().parse().unwrap();
    for token in [PLACEHOLDER, FAST] {
        let mut socket = Socket::open(address, PATH, &format!("x-goog-api-key: {token}\r\n")).await;
        socket.set_up(&json!({ "setup": { "model": own } }).to_string()).await;
    }
    end(running).await;
    let log = sim.log();
    assert!(!log.iter().any(|arrival| named.iter().any(|(_, alias)| arrival.model.contains(alias))), "{log:?}");
}

/// A name with a slash in it, as routers have them, is one name, percent-encoded or not.
#[tokio::test(flavor = "multi_thread")]
async fn another_name_with_a_slash_is_told_as_any_other() {
    let sim = GeminiSim::builder().project(Project::new("1").key(secret(0))).start().await.unwrap();
    let home = Home::new();
    let text = format!(
        "keys = [{{ id = \"a\", secret = \"{}\" }}]\n[[models]]\nname = \"gemini-2.5-flash\"\n\
         aliases = [\"google/fast\"]\n[gateway]\nlisten = \"127.0.0.1:0\"\nupstream = \"{}\"\n[pool]\nwait = 0\n",
        secret(0),
        sim.url()
    );
    home.write("keypool.toml", &text);
    let running = Running::of(home.command(&["serve"]));
    for name in ["google%2Ffast", "google%2ffast", "google/fast"] {
        for version in ["v1beta", "v1"] {
            let request = Request::get(format!("{}/{version}/models/{name}", running.url));
            let one = ask(request.header("x-goog-api-key", PLACEHOLDER), "").await;
            assert_eq!((one.status, &one.json()["name"]), (StatusCode::OK, &json!("models/google/fast")), "{name}");
        }
    }
    let asked = generate(&running, PLACEHOLDER, "google%2Ffast").await;
    assert_eq!((asked.status, asked.header("x-keypool-model")), (StatusCode::OK, "gemini-2.5-flash"), "{asked:?}");
    // What is none is asked of the provider.
    let request = Request::get(format!("{}/v1beta/models/google%2Fslow", running.url));
    assert_eq!(ask(request.header("x-goog-api-key", PLACEHOLDER), "").await.status, StatusCode::NOT_FOUND);
    end(running).await;
}
