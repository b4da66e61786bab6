//! Three providers behind one gateway, over real sockets: the simulator of Gemini, and strict stand-ins for the others.
#![expect(clippy::float_cmp, reason = "counts are whole numbers")]

use gemini_sim::{GeminiSim, Project};
use http::{Method, Request, StatusCode};
use keypool::gateway::token::PLACEHOLDER;
use serde_json::{Value, json};

use crate::{
    binary::Running,
    exposition::Exposition,
    home::{Home, end, simulator},
    support::{Answer, ask},
    upstreams::{ANTHROPIC_STREAM, Arrival, CLAUDE, GPT, Kind, Mood, OPENAI_STREAM, Upstream},
};

const GEMINI: [&str; 2] = ["AIzaSyTEST-providers-key-number-00000001", "AIzaSyTEST-providers-key-number-00000002"];
const OPENAI: [&str; 2] = ["sk-proj-TEST-not-a-real-key-0000000001", "sk-proj-TEST-not-a-real-key-0000000002"];
const ANTHROPIC: [&str; 2] = ["sk-ant-TEST-not-a-real-key-00000000001", "sk-ant-TEST-not-a-real-key-00000000002"];
const ADMIN: &str = "an-administrators-token-of-0123456789abcdef";
const TENANT: &str = "kp-TEST-tenant-token-0123456789abcdef0123456789";

/// A gateway before all three.
struct Scene {
    home: Home,
    sim: GeminiSim,
    openai: Upstream,
    anthropic: Upstream,
    running: Running,
}

fn keys_of(secrets: &[&str], ids: &[&str]) -> String {
    let keys = secrets.iter().zip(ids).map(|(secret, id)| format!("{{ id = \"{id}\", secret = \"{secret}\" }}"));
    keys.collect::<Vec<_>>().join(", ")
}

fn toml(sim: &GeminiSim, openai: &Upstream, anthropic: &Upstream, more: &str) -> String {
    format!(
        r#"
        keys = [{}]
        {more}
        [gateway]
        listen = "127.0.0.1:0"
        upstream = "{}"
        [pool]
        wait = 0
        strategy = "round-robin"
        [retry]
        first = "10ms"
        [admin]
        token = "{ADMIN}"
        [[providers]]
        name = "open"
        kind = "openai"
        upstream = "{}/v1"
        keys = [{}]
        [[providers]]
        name = "claude"
        kind = "anthropic"
        upstream = "{}"
        keys = [{}]
        "#,
        keys_of(&GEMINI, &["g1", "g2"]),
        sim.url(),
        openai.url(),
        keys_of(&OPENAI, &["o1", "o2"]),
        anthropic.url(),
        keys_of(&ANTHROPIC, &["a1", "a2"]),
    )
}

impl Scene {
    /// Waits until chats of the second provider are served by these keys, and no others.
    async fn until_served_by(&self, expected: &[&str]) {
        let turns = async {
            loop {
                let mut names = Vec::new();
                for _ in 0..4 {
                    names.push(self.chat("/v1/chat/completions", GPT).await.header("x-keypool-key").to_owned());
                }
                names.sort();
                names.dedup();
                if names == expected {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(crate::home::ACTS, turns).await.expect("it acts on the gateway that runs");
    }

    async fn new(more: &str) -> Self {
        let sim = GeminiSim::builder();
        let sim = sim.project(Project::new("1").key(GEMINI[0])).project(Project::new("2").key(GEMINI[1]));
        let sim = sim.start().await.unwrap();
        let openai = Upstream::start(Kind::OpenAi, &OPENAI).await;
        let anthropic = Upstream::start(Kind::Anthropic, &ANTHROPIC).await;
        let home = Home::new();
        home.write("keypool.toml", &toml(&sim, &openai, &anthropic, more));
        let running = Running::of(home.command(&["serve"]));
        Self { home, sim, openai, anthropic, running }
    }

    fn post(&self, path: &str) -> http::request::Builder {
        Request::post(format!("{}{path}", self.running.url)).header("content-type", "application/json")
    }

    fn get(&self, path: &str) -> http::request::Builder {
        Request::get(format!("{}{path}", self.running.url))
    }

    /// As a client of `OpenAI`'s does.
    async fn chat(&self, path: &str, model: &str) -> Answer {
        let request = self.post(path).header("authorization", format!("Bearer {PLACEHOLDER}"));
        ask(request, chat(model).to_string()).await
    }

    /// As a client of Anthropic's does.
    async fn message(&self, path: &str, model: &str) -> Answer {
        let request = self.post(path).header("x-api-key", PLACEHOLDER).header("anthropic-version", "2023-06-01");
        ask(request, message(model).to_string()).await
    }

    /// As one of Google's does.
    async fn generate(&self, path: &str) -> Answer {
        ask(self.post(path).header("x-goog-api-key", PLACEHOLDER), crate::serving::HELLO).await
    }

    /// Ends it: no provider saw what it should not, and nothing printed was a secret.
    async fn end(self) -> Home {
        let Self { running, openai, anthropic, home, .. } = self;
        let (code, told) = tokio::task::spawn_blocking(move || running.end()).await.unwrap();
        assert_eq!(code, Some(0), "{told}");
        for secret in GEMINI.iter().chain(&OPENAI).chain(&ANTHROPIC).chain(&[ADMIN, TENANT]) {
            assert!(!told.contains(secret), "{told}");
        }
        openai.is_unharmed();
        anthropic.is_unharmed();
        home
    }
}

fn chat(model: &str) -> Value {
    json!({ "model": model, "messages": [{ "role": "user", "content": "Hello" }] })
}

fn message(model: &str) -> Value {
    json!({ "model": model, "max_tokens": 16, "messages": [{ "role": "user", "content": "Hello" }] })
}

fn targets(arrivals: &[Arrival]) -> Vec<&str> {
    arrivals.iter().map(|arrival| &*arrival.target).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_find_their_provider_by_path_by_credential_and_by_model() {
    let scene = Scene::new("").await;
    // By the model that a body names, wherever it is asked.
    for path in ["/v1/chat/completions", "/openai/v1/chat/completions", "/openai/chat/completions"] {
        let answer = scene.chat(path, GPT).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        assert_eq!(answer.json()["choices"][0]["message"]["content"], "Hello from OpenAI", "{path}");
        assert_eq!(answer.header("x-request-id").len(), answer.header("x-request-id").trim().len());
        assert!(["o1", "o2"].contains(&answer.header("x-keypool-key")), "{answer:?}");
    }
    let arrived = scene.openai.arrivals();
    assert_eq!(targets(&arrived), ["/v1/chat/completions"; 3]);
    assert_eq!(arrived[0].body, chat(GPT).to_string(), "byte for byte");
    let keys: Vec<&str> = arrived.iter().map(|arrival| &*arrival.key).collect();
    assert!(keys.contains(&OPENAI[0]) && keys.contains(&OPENAI[1]), "each pool rotates its own");
    for path in ["/v1/messages", "/anthropic/v1/messages", "/anthropic/v1/messages/count_tokens"] {
        let answer = scene.message(path, CLAUDE).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
    }
    let arrived = scene.anthropic.arrivals();
    assert_eq!(targets(&arrived), ["/v1/messages", "/v1/messages", "/v1/messages/count_tokens"]);
    assert_eq!(arrived[0].headers["anthropic-version"], "2023-06-01");
    // Gemini's own, natively and translated.
    for path in
        ["/v1beta/models/gemini-2.5-flash:generateContent", "/gemini/v1beta/models/gemini-2.5-flash:generateContent"]
    {
        assert_eq!(scene.generate(path).await.status, StatusCode::OK, "{path}");
    }
    for path in ["/v1/chat/completions", "/openai/v1/chat/completions"] {
        assert_eq!(scene.chat(path, "gemini-2.5-flash").await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(scene.message("/anthropic/v1/messages", "gemini-2.5-flash").await.status, StatusCode::OK);
    assert_eq!(scene.sim.report().total.accepted, 5);

    // A path that names a dialect leads to its provider with whatever it may be about; so does a name; so does what only
    // the clients of one send.
    for path in ["/openai/v1/files", "/to/open/v1/files", "/v1/files"] {
        let answer = ask(scene.get(path).header("authorization", format!("Bearer {PLACEHOLDER}")), "").await;
        assert_eq!((answer.status, &answer.json()["data"][0]["id"]), (StatusCode::OK, &json!("file-1")), "{path}");
    }
    for path in ["/anthropic/v1/messages/batches", "/to/claude/v1/messages/batches", "/v1/messages/batches"] {
        let request = scene.get(path).header("x-api-key", PLACEHOLDER).header("anthropic-version", "2023-06-01");
        assert_eq!(ask(request, "").await.status, StatusCode::OK, "{path}");
    }
    // A path of Anthropic's alone, by whichever credential its clients' versions send.
    for (header, token) in [("x-api-key", PLACEHOLDER), ("authorization", &*format!("Bearer {PLACEHOLDER}"))] {
        let request = scene.get("/v1/skills?beta=true").header("anthropic-version", "2026-10-21").header(header, token);
        ask(request, "").await;
        assert_eq!(targets(&scene.anthropic.arrivals()).last(), Some(&"/v1/skills?beta=true"), "{header}");
    }
    // What is not translated, at a path that is or at one of two APIs, goes to whoever has it.
    for (method, path) in [
        (Method::GET, "/openai/v1/chat/completions"),
        (Method::GET, "/v1/chat/completions"),
        (Method::GET, "/v1/skills"),
        (Method::DELETE, "/openai/v1/models/ft:gpt-4o:a"),
        (Method::DELETE, "/v1/models/ft:gpt-4o:a"),
        (Method::DELETE, "/v1/models/tuned"),
    ] {
        let request = Request::builder().method(method.clone()).uri(format!("{}{path}", scene.running.url));
        ask(request.header("authorization", format!("Bearer {PLACEHOLDER}")), "").await;
        let arrived = scene.openai.arrivals();
        assert_eq!(targets(&arrived).last(), Some(&path.trim_start_matches("/openai")), "{method} {path}");
    }
    // Forms name their model, too.
    let form = "--x\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n--x\r\n\
                content-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\n\r\nRIFF\r\n--x--\r\n";
    let request = Request::post(format!("{}/v1/audio/transcriptions", scene.running.url))
        .header("authorization", format!("Bearer {PLACEHOLDER}"))
        .header("content-type", "multipart/form-data; boundary=x");
    assert_eq!(ask(request, form).await.json(), json!({ "text": "spoken" }));
    assert_eq!(scene.openai.arrivals().last().unwrap().body, form);
    // Whoever reads it by another boundary would find another model.
    let request = Request::post(format!("{}/v1/audio/transcriptions", scene.running.url))
        .header("authorization", format!("Bearer {PLACEHOLDER}"))
        .header("content-type", "multipart/form-data; boundary=y");
    assert_eq!(ask(request, form).await.status, StatusCode::BAD_REQUEST);
    assert!(scene.openai.arrivals().is_empty());

    // Whatever a client sends as a credential, the provider's own key is the only one that arrives.
    let request = scene.post(&format!("/openai/v1/chat/completions?key={PLACEHOLDER}"));
    let request = request.header("x-goog-api-key", PLACEHOLDER).header("x-api-key", PLACEHOLDER);
    let request = request.header("authorization", format!("Bearer {PLACEHOLDER}")).header("cookie", "a=b");
    assert_eq!(ask(request, chat(GPT).to_string()).await.status, StatusCode::OK);
    let request = scene.post("/to/claude/v1/messages").header("authorization", format!("Bearer {PLACEHOLDER}"));
    let request = request.header("anthropic-version", "2023-06-01");
    assert_eq!(ask(request, message(CLAUDE).to_string()).await.status, StatusCode::OK);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_pass_byte_for_byte() {
    let scene = Scene::new("").await;
    let streamed = |mut body: Value| {
        body["stream"] = true.into();
        body.to_string()
    };
    for path in ["/v1/chat/completions", "/openai/v1/chat/completions", "/to/open/v1/chat/completions"] {
        let request = scene.post(path).header("authorization", format!("Bearer {PLACEHOLDER}"));
        let answer = ask(request, streamed(chat(GPT))).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, OPENAI_STREAM.as_bytes()), "{path}");
        assert!(answer.header("content-type").starts_with("text/event-stream"));
    }
    for path in ["/v1/messages", "/to/claude/v1/messages"] {
        let request = scene.post(path).header("x-api-key", PLACEHOLDER).header("anthropic-version", "2023-06-01");
        let answer = ask(request, streamed(message(CLAUDE))).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, ANTHROPIC_STREAM.as_bytes()), "{path}");
    }
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_pool_rests_and_disables_its_own_keys_and_says_until_when() {
    let scene = Scene::new("").await;
    // One key is known no more: nobody sees it.
    scene.openai.mood(OPENAI[0], Mood::Unknown);
    for _ in 0..4 {
        let answer = scene.chat("/v1/chat/completions", GPT).await;
        assert_eq!((answer.status, answer.header("x-keypool-key")), (StatusCode::OK, "o2"), "{answer:?}");
    }
    // The other one meets its limit: the pool is exhausted, in the caller's own words.
    scene.openai.mood(OPENAI[1], Mood::Limited(20));
    for path in ["/v1/chat/completions", "/openai/v1/chat/completions", "/to/open/v1/chat/completions"] {
        let answer = scene.chat(path, GPT).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}: {answer:?}");
        let after: u64 = answer.header("retry-after").parse().unwrap();
        // The provider's own, and a second for its rounding.
        assert!((20..=22).contains(&after), "{path}: {after}");
        let error = &answer.json()["error"];
        assert_eq!(error["code"], "no_available_keys", "{path}: {answer:?}");
        assert!(error["message"].as_str().unwrap().contains("next in"), "{answer:?}");
    }
    // The others do not mind, and the other way round.
    assert_eq!(scene.message("/v1/messages", CLAUDE).await.status, StatusCode::OK);
    assert_eq!(scene.chat("/v1/chat/completions", "gemini-2.5-flash").await.status, StatusCode::OK);
    // No capacity is nobody's fault: it is asked again.
    scene.anthropic.mood(ANTHROPIC[0], Mood::Overloaded(1));
    scene.anthropic.mood(ANTHROPIC[1], Mood::Overloaded(1));
    assert_eq!(scene.message("/v1/messages", CLAUDE).await.status, StatusCode::OK);
    for key in ANTHROPIC {
        scene.anthropic.mood(key, Mood::Limited(33));
    }
    for path in ["/v1/messages", "/anthropic/v1/messages", "/to/claude/v1/messages"] {
        let answer = scene.message(path, CLAUDE).await;
        assert_eq!(answer.status.as_u16() / 100, 5, "{path}: {answer:?}");
        let after: u64 = answer.header("retry-after").parse().unwrap();
        assert!((31..=34).contains(&after), "{path}: {after}");
        assert_eq!(
            (&answer.json()["type"], &answer.json()["error"]["type"]),
            (&json!("error"), &json!("overloaded_error"))
        );
    }

    // What is told of it.
    let text = ask(scene.get("/-/metrics").header("accept", "application/openmetrics-text"), "").await.body;
    let seen = Exposition::read(String::from_utf8(text.to_vec()).unwrap());
    let keys = |pool: &str, state: &str| seen.value("keypool_keys", &[("pool", pool), ("state", state)]);
    assert_eq!((keys("open", "disabled"), keys("claude", "disabled")), (1.0, 0.0));
    assert_eq!(seen.value("keypool_key_state", &[("pool", "open"), ("key", "o1"), ("state", "disabled")]), 1.0);
    assert_eq!(
        seen.find("keypool_keys", &[("state", "disabled")]).filter(|(labels, _)| !labels.contains_key("pool")).count(),
        1
    );
    assert!(seen.value("keypool_requests_total", &[("pool", "claude")]) >= 3.0);
    assert_eq!(seen.value("keypool_store_up", &[]), 1.0);
    let ready = ask(scene.get("/-/ready"), "").await;
    assert_eq!((ready.status.as_u16(), &*ready.body), (200, &b"ready\n"[..]));
    scene.openai.mood(OPENAI[1], Mood::Unknown);
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_models_is_that_of_all_and_nobodys_model_says_what_to_do() {
    let scene = Scene::new("").await;
    let bearer = |path: &str| scene.get(path).header("authorization", format!("Bearer {PLACEHOLDER}"));
    let ids = |answer: &Answer| -> Vec<String> {
        let list = answer.json();
        list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
    };
    let answer = ask(bearer("/v1/models"), "").await;
    let listed = ids(&answer);
    for model in ["gemini-2.5-flash", GPT, "gpt-5-mini", CLAUDE] {
        assert!(listed.contains(&model.to_owned()), "{model}: {listed:?}");
    }
    // Asked for like that it would go to Gemini.
    assert!(!listed.contains(&"curie-001".to_owned()), "{listed:?}");
    let owner = |id: &str| {
        let list = answer.json();
        let model = list["data"].as_array().unwrap().iter().find(|model| model["id"] == id).unwrap().clone();
        model["owned_by"].as_str().unwrap().to_owned()
    };
    assert_eq!(
        (owner(GPT), owner(CLAUDE), owner("gemini-2.5-flash")),
        ("open".into(), "claude".into(), "google".into())
    );
    assert!(ids(&ask(bearer("/openai/v1/models"), "").await).contains(&"curie-001".to_owned()), "the path says so");
    let request = scene.get("/v1/models").header("x-api-key", PLACEHOLDER).header("anthropic-version", "2023-06-01");
    let listed = ids(&ask(request, "").await);
    assert!([CLAUDE, GPT, "gemini-2.5-flash"].iter().all(|model| listed.contains(&(*model).to_owned())), "{listed:?}");
    for (model, owner) in [(GPT, "openai"), ("gemini-2.5-flash", "google"), (CLAUDE, "")] {
        let one = ask(bearer(&format!("/v1/models/{model}")), "").await;
        assert_eq!((one.status, one.json()["id"].as_str()), (StatusCode::OK, Some(model)), "{one:?}");
        assert_eq!(one.json()["owned_by"], owner);
    }
    let answer = scene.chat("/v1/chat/completions", "mistral-large").await;
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (StatusCode::NOT_FOUND, &json!("model_not_found")));
    let told = answer.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(
        told.contains("mistral-large") && told.contains("[[providers]]") && told.contains("keypool.toml"),
        "{told}"
    );
    let answer = scene.message("/v1/messages", "mistral-large").await;
    assert_eq!((answer.status, &answer.json()["error"]["type"]), (StatusCode::NOT_FOUND, &json!("not_found_error")));
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("kind = \"anthropic\""));
    let answer = scene.chat("/v1/chat/completions", CLAUDE).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.json()["error"]["message"].as_str().unwrap().contains("/to/claude/"), "{answer:?}");
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_pool_out_of_keys_does_not_hide_the_models_of_the_others() {
    let scene = Scene::new("").await;
    for key in ANTHROPIC {
        scene.anthropic.mood(key, Mood::Unknown);
    }
    for _ in 0..2 {
        let answer = ask(scene.get("/v1/models").header("authorization", format!("Bearer {PLACEHOLDER}")), "").await;
        let list = answer.json().to_string();
        assert!(list.contains(&format!("\"{GPT}\"")) && !list.contains(&format!("\"{CLAUDE}\"")), "{list}");
    }
    let ready = ask(scene.get("/-/ready"), "").await;
    assert_eq!(
        (ready.status.as_u16(), &*ready.body),
        (200, &b"ready\nbut claude: it has no key that is not disabled\n"[..])
    );
    scene.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_models_and_limits_hold_over_all() {
    let bob = format!("{TENANT}-of-bob");
    let scene = Scene::new(&format!(
        "tenants = [{{ name = \"alice\", token = \"{TENANT}\", models = [\"{GPT}\", \"gemini-2.5-flash\"] }}, \
         {{ name = \"bob\", token = \"{bob}\", rpd = 3 }}]"
    ))
    .await;
    let chat_as = async |token: &str, path: &str, body: String| {
        ask(scene.post(path).header("authorization", format!("Bearer {token}")), body).await
    };
    for path in ["/v1/chat/completions", "/openai/v1/chat/completions", "/to/open/v1/chat/completions"] {
        let status = chat_as(TENANT, path, chat(GPT).to_string()).await.status;
        assert_eq!((status, scene.openai.arrivals().len()), (StatusCode::OK, 1), "{path}");
        let twice = chat(GPT).to_string().replacen('{', "{\"model\":\"gpt-5-mini\",", 1);
        for body in [chat("gpt-5-mini").to_string(), chat("gpt-5-nano").to_string(), twice, "{}".to_owned()] {
            let refused = chat_as(TENANT, path, body).await;
            assert!([400, 403].contains(&refused.status.as_u16()), "{path}: {refused:?}");
        }
        assert!(scene.openai.arrivals().is_empty(), "what she may not never goes out");
    }
    assert_eq!(
        chat_as(TENANT, "/to/claude/v1/messages", message(CLAUDE).to_string()).await.status,
        StatusCode::FORBIDDEN
    );
    assert!(scene.anthropic.arrivals().is_empty());
    for path in ["/v1/models", "/openai/v1/models", "/to/open/v1/models"] {
        let answer = ask(scene.get(path).header("authorization", format!("Bearer {TENANT}")), "").await;
        let list = answer.json();
        let ids: Vec<&str> =
            list["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
        assert!(ids.contains(&GPT) && ids.iter().all(|id| [GPT, "gemini-2.5-flash"].contains(id)), "{path}: {ids:?}");
    }
    scene.openai.arrivals();
    // What would leave something behind there is nobody's.
    for path in ["/openai/v1/files", "/to/open/v1/files", "/to/open/v1/threads"] {
        let refused = ask(scene.get(path).header("authorization", format!("Bearer {TENANT}")), "").await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert!(scene.openai.arrivals().is_empty());

    // A limit counts over all pools.
    assert_eq!(chat_as(&bob, "/v1/chat/completions", chat(GPT).to_string()).await.status, StatusCode::OK);
    assert_eq!(
        chat_as(&bob, "/v1/chat/completions", chat("gemini-2.5-flash").to_string()).await.status,
        StatusCode::OK
    );
    let request = scene.post("/v1/messages").header("x-api-key", &bob).header("anthropic-version", "2023-06-01");
    assert_eq!(ask(request, message(CLAUDE).to_string()).await.status, StatusCode::OK);
    let over = chat_as(&bob, "/to/open/v1/chat/completions", chat(GPT).to_string()).await;
    assert_eq!(
        (over.status, &over.json()["error"]["code"]),
        (StatusCode::TOO_MANY_REQUESTS, &json!("rate_limit_exceeded"))
    );
    let after: u64 = over.header("retry-after").parse().unwrap();
    assert!(after <= 86_400);
    assert_eq!(over.header("x-should-retry"), if after > 60 { "false" } else { "" }, "{over:?}");

    // And what they used is told by tenant and model, whichever pool it was.
    let usage = ask(scene.get("/-/admin/usage?by=tenant").header("x-keypool-admin", ADMIN), "").await.json();
    let row = |tenant: &str, model: &str| {
        let rows = usage["rows"].as_array().unwrap();
        rows.iter()
            .find(|row| row["tenant"] == tenant && row["model"] == model)
            .unwrap_or_else(|| panic!("{usage:#}"))
            .clone()
    };
    assert_eq!(row("alice", GPT)["requests"], 3);
    assert_eq!(row("bob", CLAUDE)["requests"], 1);
    scene.end().await;
}

/// Another pool of Gemini's, for a tenant: calls as at the gateway's own, and what it made there is its own there.
#[tokio::test(flavor = "multi_thread")]
async fn tenants_have_native_calls_and_things_of_their_own_on_a_second_gemini_pool() {
    const FIRST: &str = "AIzaSyTEST-providers-key-number-00000011";
    const SECOND: [&str; 2] = ["AIzaSyTEST-providers-key-number-00000012", "AIzaSyTEST-providers-key-number-00000013"];
    let own = GeminiSim::builder().project(Project::new("1").key(FIRST)).start().await.unwrap();
    let second =
        GeminiSim::builder().project(Project::new("2").key(SECOND[0])).project(Project::new("3").key(SECOND[1]));
    let second = second.start().await.unwrap();
    let home = Home::new();
    let (alice, bob) = (format!("{TENANT}-alice"), format!("{TENANT}-bob"));
    let text = format!(
        r#"
        keys = [{}]
        tenants = [{{ name = "alice", token = "{alice}", models = ["gemini-2.5-flash"] }}, {{ name = "bob", token = "{bob}" }}]
        [gateway]
        listen = "127.0.0.1:0"
        upstream = "{}"
        [pool]
        wait = 0
        strategy = "round-robin"
        [[providers]]
        name = "second"
        kind = "gemini"
        upstream = "{}"
        keys = [{}]
        "#,
        keys_of(&[FIRST], &["g1"]),
        own.url(),
        second.url(),
        keys_of(&SECOND, &["s1", "s2"]),
    );
    home.write("keypool.toml", &text);
    let running = Running::of(home.command(&["serve"]));
    let call = async |method: http::Method, token: &str, path: &str, body: String| {
        let request = Request::builder().method(method).uri(format!("{}{path}", running.url));
        ask(request.header("x-goog-api-key", token).header("content-type", "application/json"), body).await
    };
    let hello = || crate::serving::HELLO.to_owned();
    let post = async |token: &str, path: &str, body: String| call(http::Method::POST, token, path, body).await;
    let get = async |token: &str, path: &str| call(http::Method::GET, token, path, String::new()).await;
    for path in ["generateContent", "streamGenerateContent?alt=sse", "countTokens"] {
        let path = format!("/to/second/v1beta/models/gemini-2.5-flash:{path}");
        for token in [&alice, &bob] {
            let answer = post(token, &path, hello()).await;
            assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        }
    }
    assert_eq!(own.report().total.arrivals, 0);
    let refused = post(&alice, "/to/second/v1beta/models/gemini-2.5-pro:generateContent", hello()).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert_eq!(get(&bob, "/to/second/v1beta/models").await.status, StatusCode::OK);

    // It is met in other dialects as the gateway's own is.
    let bearing = async |method: http::Method, path: &str, body: &Value| {
        let request = Request::builder().method(method).uri(format!("{}/to/second{path}", running.url));
        let request = request.header("authorization", format!("Bearer {alice}"));
        ask(request.header("content-type", "application/json"), body.to_string()).await
    };
    let chat =
        |model: &str| json!({ "model": model, "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] });
    for (path, kind) in [
        ("/v1/chat/completions", "chat.completion"),
        ("/openai/v1/chat/completions", "chat.completion"),
        ("/v1/messages", "message"),
        ("/anthropic/v1/messages", "message"),
    ] {
        let answer = bearing(http::Method::POST, path, &chat("gemini-2.5-flash")).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        let told = answer.json();
        assert!(told["object"] == kind || told["type"] == kind, "{path}: {told}");
        let refused = bearing(http::Method::POST, path, &chat("gemini-2.5-pro")).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}: {refused:?}");
    }
    let listed = bearing(http::Method::GET, "/v1/models", &Value::Null).await.json();
    assert_eq!((&listed["object"], listed["data"].as_array().map(Vec::len)), (&json!("list"), Some(1)), "{listed}");
    let before = second.report().total.arrivals;
    for path in ["/v1/moderations", "/openai/v1/files", "/v1/files"] {
        let nowhere = bearing(http::Method::POST, path, &chat("gemini-2.5-flash")).await;
        assert_eq!(nowhere.status, StatusCode::NOT_FOUND, "{path}: {nowhere:?}");
        assert!(nowhere.json()["error"]["message"].as_str().unwrap().contains("not translated"), "{nowhere:?}");
    }
    assert_eq!((second.report().total.arrivals, own.report().total.arrivals), (before, 0));

    // What is made there is whoever's made it, and goes to the key that sees it.
    let long = "word ".repeat(30_000);
    let cache =
        json!({ "model": "models/gemini-2.5-flash", "contents": [{ "role": "user", "parts": [{ "text": long }] }] });
    let mut names = Vec::new();
    for token in [&alice, &bob, &alice] {
        let made = post(token, "/to/second/v1beta/cachedContents", cache.to_string()).await;
        assert_eq!(made.status, StatusCode::OK, "{made:?}");
        names.push(made.json()["name"].as_str().unwrap().to_owned());
    }
    for _ in 0..3 {
        for (name, token) in names.iter().zip([&alice, &bob, &alice]) {
            assert_eq!(get(token, &format!("/to/second/v1beta/{name}")).await.status, StatusCode::OK);
            let body = json!({ "cachedContent": name, "contents": [{ "parts": [{ "text": "?" }] }] }).to_string();
            let used = post(token, "/to/second/v1beta/models/gemini-2.5-flash:generateContent", body.clone()).await;
            assert_eq!(used.status, StatusCode::OK, "{used:?}");
            let path = "/v1beta/models/gemini-2.5-flash:generateContent";
            let followed = post(token, path, body).await;
            assert_eq!(
                (followed.status, &followed.header("x-keypool-key")[..1]),
                (StatusCode::OK, "s"),
                "{followed:?}"
            );
        }
    }
    assert_eq!(get(&alice, &format!("/to/second/v1beta/{}", names[1])).await.status, StatusCode::NOT_FOUND);
    let listed = async |token: &str, path: &str| {
        let list = get(token, path).await.json();
        let mut names: Vec<String> = list["cachedContents"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|cache| cache["name"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    let mut hers = vec![names[0].clone(), names[2].clone()];
    hers.sort();
    assert_eq!(listed(&alice, "/to/second/v1beta/cachedContents").await, hers);
    assert_eq!(listed(&bob, "/to/second/v1beta/cachedContents").await, [names[1].clone()]);
    assert_eq!(listed(&alice, "/v1beta/cachedContents").await, [""; 0]);

    // An upload comes back by the path that it went out by.
    let start =
        Request::post(format!("{}/to/second/upload/v1beta/files", running.url)).header("x-goog-api-key", &alice);
    let start = start.header("x-goog-upload-protocol", "resumable").header("x-goog-upload-command", "start");
    let start = start.header("x-goog-upload-header-content-length", "5");
    let start =
        start.header("x-goog-upload-header-content-type", "text/plain").header("content-type", "application/json");
    let begun = ask(start, json!({ "file": { "displayName": "words" } }).to_string()).await;
    let to = begun.header("x-goog-upload-url").to_owned();
    assert!(to.starts_with(&format!("{}/to/second/upload/v1beta/files?upload_id=", running.url)), "{begun:?}");
    let chunk =
        Request::post(&to).header("x-goog-upload-command", "upload, finalize").header("x-goog-upload-offset", "0");
    let done = ask(chunk, "words").await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    let file = done.json()["file"].clone();
    let uri = file["uri"].as_str().unwrap();
    let parts = json!([{ "fileData": { "fileUri": uri, "mimeType": "text/plain" } }, { "text": "?" }]);
    let body = json!({ "contents": [{ "role": "user", "parts": parts }] }).to_string();
    let path = "/to/second/v1beta/models/gemini-2.5-flash:generateContent";
    for _ in 0..4 {
        assert_eq!(post(&alice, path, body.clone()).await.status, StatusCode::OK);
    }
    assert_eq!(post(&bob, path, body).await.status, StatusCode::NOT_FOUND);

    // Another process, and this one after a restart, know it too.
    tokio::task::spawn_blocking(move || running.end()).await.unwrap();
    let running = Running::of(home.command(&["serve"]));
    let request = Request::get(format!("{}/to/second/v1beta/{}", running.url, names[2]));
    assert_eq!(ask(request.header("x-goog-api-key", &alice), "").await.status, StatusCode::OK);
    tokio::task::spawn_blocking(move || running.end()).await.unwrap();
}

/// A batch of a model that a second pool of Gemini's has is made there. By its name it is found from where it was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_model_led_to_a_second_gemini_pool_is_found_by_its_name() {
    const FIRST: &str = "AIzaSyTEST-providers-key-number-00000021";
    const SECOND: &str = "AIzaSyTEST-providers-key-number-00000022";
    let own = GeminiSim::builder().project(Project::new("1").key(FIRST)).start().await.unwrap();
    let second = GeminiSim::builder().project(Project::new("2").key(SECOND)).start().await.unwrap();
    let home = Home::new();
    let (alice, bob) = (format!("{TENANT}-alice"), format!("{TENANT}-bob"));
    let text = format!(
        r#"
        keys = [{}]
        tenants = [{{ name = "alice", token = "{alice}" }}, {{ name = "bob", token = "{bob}" }}]
        gateway = {{ listen = "127.0.0.1:0", upstream = "{}" }}
        pool = {{ wait = 0 }}
        [[providers]]
        name = "second"
        kind = "gemini"
        upstream = "{}"
        models = ["gemini-2.5-pro"]
        keys = [{}]
        "#,
        keys_of(&[FIRST], &["g1"]),
        own.url(),
        second.url(),
        keys_of(&[SECOND], &["s1"]),
    );
    home.write("keypool.toml", &text);
    let running = Running::of(home.command(&["serve"]));
    let call = async |method: http::Method, token: &str, path: &str, body: &str| {
        let request = Request::builder().method(method).uri(format!("{}{path}", running.url));
        ask(request.header("x-goog-api-key", token).header("content-type", "application/json"), body.to_owned()).await
    };
    let batch =
        r#"{"batch":{"inputConfig":{"requests":{"requests":[{"request":{"contents":[{"parts":[{"text":"hi"}]}]}}]}}}}"#;
    for token in [&*alice, PLACEHOLDER] {
        for (model, key) in [("gemini-2.5-pro", "s1"), ("gemini-2.5-flash", "g1")] {
            let path = format!("/v1beta/models/{model}:batchGenerateContent");
            let made = call(http::Method::POST, token, &path, batch).await;
            assert_eq!((made.status, made.header("x-keypool-key")), (StatusCode::OK, key), "{made:?}");
            let path = format!("/v1beta/{}", made.json()["name"].as_str().unwrap());
            let found = call(http::Method::GET, token, &path, "").await;
            assert_eq!((found.status, found.header("x-keypool-key")), (StatusCode::OK, key), "{found:?}");
            let cancelled = call(http::Method::POST, token, &format!("{path}:cancel"), "").await;
            assert_eq!((cancelled.status, cancelled.header("x-keypool-key")), (StatusCode::OK, key), "{cancelled:?}");
            assert_eq!(call(http::Method::GET, &bob, &path, "").await.status, StatusCode::NOT_FOUND);
            assert_eq!(call(http::Method::DELETE, token, &path, "").await.status, StatusCode::OK);
            assert_eq!(call(http::Method::GET, token, &path, "").await.status, StatusCode::NOT_FOUND);
        }
    }
    tokio::task::spawn_blocking(move || running.end()).await.unwrap();
}

/// Whichever the gateway's own provider is.
#[tokio::test(flavor = "multi_thread")]
async fn the_gateways_own_may_be_any_of_them() {
    let sim = GeminiSim::builder().project(Project::new("1").key(GEMINI[0])).start().await.unwrap();
    let openai = Upstream::start(Kind::OpenAi, &OPENAI).await;
    let anthropic = Upstream::start(Kind::Anthropic, &ANTHROPIC).await;
    let home = Home::new();
    let text = format!(
        r#"
        keys = [{}]
        gateway = {{ provider = "openai", upstream = "{}", listen = "127.0.0.1:0" }}
        pool = {{ wait = 0 }}
        [[providers]]
        name = "claude"
        kind = "anthropic"
        upstream = "{}"
        [[providers]]
        name = "google"
        kind = "gemini"
        upstream = "{}"
        "#,
        keys_of(&OPENAI, &["o1", "o2"]),
        openai.url(),
        anthropic.url(),
        sim.url(),
    );
    home.write("keypool.toml", &text);
    let mut command = home.command(&["serve"]);
    // Variables are for whoever is of their kind.
    command.env("ANTHROPIC_API_KEY", ANTHROPIC[0]).env("GEMINI_API_KEYS", GEMINI[0]);
    let running = Running::of(command);
    let scene = Scene { home, sim, openai, anthropic, running };
    for path in ["/v1/chat/completions", "/openai/v1/chat/completions"] {
        let answer = scene.chat(path, GPT).await;
        assert_eq!(answer.json()["choices"][0]["message"]["content"], "Hello from OpenAI", "{path}");
        assert_eq!(scene.chat(path, "gemini-2.5-flash").await.status, StatusCode::OK, "{path}: translated");
    }
    for path in ["/v1/messages", "/anthropic/v1/messages", "/to/claude/v1/messages"] {
        assert_eq!(scene.message(path, CLAUDE).await.status, StatusCode::OK, "{path}");
    }
    let native = "v1beta/models/gemini-2.5-flash:generateContent";
    for path in [format!("/{native}"), format!("/gemini/{native}"), format!("/to/google/{native}")] {
        assert_eq!(scene.generate(&path).await.status, StatusCode::OK, "{path}");
    }
    let answer = ask(scene.get("/v1/models").header("authorization", format!("Bearer {PLACEHOLDER}")), "").await;
    let text = answer.json().to_string();
    assert!([GPT, CLAUDE, "gemini-2.5-flash"].iter().all(|model| text.contains(&format!("\"{model}\""))), "{text}");
    scene.end().await;
}

/// A changed file changes all of them, and drops no request.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_changes_the_pools_of_all() {
    let scene = Scene::new("").await;
    let served = async |expected: &[&str]| {
        let mut names: Vec<String> = Vec::new();
        for _ in 0..4 {
            let answer = scene.chat("/v1/chat/completions", GPT).await;
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            names.push(answer.header("x-keypool-key").to_owned());
        }
        names.sort();
        names.dedup();
        names == expected
    };
    let until = async |expected: &[&str]| {
        let turns = async {
            while !served(expected).await {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(crate::home::ACTS, turns).await.expect("the file is read again");
    };
    assert!(served(&["o1", "o2"]).await);
    // A rest outlives it.
    scene.anthropic.mood(ANTHROPIC[0], Mood::Unknown);
    for _ in 0..2 {
        assert_eq!(scene.message("/v1/messages", CLAUDE).await.header("x-keypool-key"), "a2");
    }
    let text = toml(&scene.sim, &scene.openai, &scene.anthropic, "");
    let fewer = text.replace(&keys_of(&OPENAI, &["o1", "o2"]), &keys_of(&OPENAI[1..], &["o2"]));
    scene.home.write("keypool.toml", &fewer);
    until(&["o2"]).await;
    scene.anthropic.mood(ANTHROPIC[0], Mood::Good);
    assert_eq!(scene.message("/v1/messages", CLAUDE).await.header("x-keypool-key"), "a2", "what was found out holds");
    // One more provider, and one less; a bad file changes nothing.
    scene.home.write("keypool.toml", &text.replace("name = \"claude\"", "name = \"other\""));
    until(&["o1", "o2"]).await;
    let stands = async {
        while scene.message("/to/other/v1/messages", CLAUDE).await.status != StatusCode::OK {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::home::ACTS, stands).await.expect("it stands beside");
    scene.home.write("keypool.toml", &text.replace("kind = \"anthropic\"", "kind = \"nobody\""));
    scene.running.signal("-HUP");
    assert_eq!(scene.message("/to/other/v1/messages", CLAUDE).await.status, StatusCode::OK);
    let metrics = String::from_utf8(ask(scene.get("/-/metrics"), "").await.body.to_vec()).unwrap();
    assert!(metrics.contains("pool=\"other\"") && !metrics.contains("pool=\"claude\""));
    scene.end().await;
}

/// What an administrator is told of them.
#[tokio::test(flavor = "multi_thread")]
async fn the_admin_api_and_the_commands_tell_of_all() {
    let scene = Scene::new("").await;
    assert_eq!(scene.chat("/v1/chat/completions", GPT).await.status, StatusCode::OK);
    let admin = async |path: &str| ask(scene.get(path).header("x-keypool-admin", ADMIN), "").await.json();
    assert_eq!(admin("/-/admin/snapshot").await["pools"], json!(["main", "claude", "open"]));
    let told = admin("/-/admin/snapshot?pool=open").await;
    assert_eq!((&told["pool"], &told["snapshot"]["provider"]), (&json!("open"), &json!("openai")));
    let keys = admin("/-/admin/keys?pool=open").await;
    assert_eq!((&keys["total"], &keys["keys"][0]["provider"]), (&json!(2), &json!("open")), "{keys}");
    assert_eq!(admin("/-/admin/keys").await["keys"][0]["provider"], "main");

    let command = |args: &[&str]| {
        let out = scene.home.command(args).env("KEYPOOL_ADMIN_TOKEN", ADMIN).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        for secret in GEMINI.iter().chain(&OPENAI).chain(&ANTHROPIC) {
            assert!(!text.contains(secret), "{text}");
        }
        text
    };
    let url = scene.running.url.clone();
    let monitor = tokio::task::block_in_place(|| command(&["monitor", "--admin", &url, "--once", "--json"]));
    let picture: Value = serde_json::from_str(&monitor).unwrap();
    let ids: Vec<&str> = picture["keys"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["g1", "g2", "claude/a1", "claude/a2", "open/o1", "open/o2"]);
    scene.openai.mood(OPENAI[0], Mood::Unknown);
    let tested = tokio::task::block_in_place(|| command(&["test-keys", "--json", "--max-retries", "0"]));
    let tested: Value = serde_json::from_str(tested.split("keypool: ").next().unwrap()).unwrap();
    let usable = |id: &str| {
        let keys = tested["keys"].as_array().unwrap();
        keys.iter().find(|key| key["id"] == id).unwrap_or_else(|| panic!("{tested:#}"))["usable"].clone()
    };
    assert_eq!(
        (usable("o1"), usable("o2"), usable("a1"), usable("g1")),
        (false.into(), true.into(), true.into(), true.into())
    );
    scene.end().await;
}

/// What the commands do with `--provider` an administrator does with `?pool=`.
#[tokio::test(flavor = "multi_thread")]
async fn the_admin_api_changes_keys_of_every_provider() {
    const THIRD: &str = "sk-proj-TEST-not-a-real-key-0000000003";
    let sim = GeminiSim::builder().project(Project::new("1").key(GEMINI[0]).key(GEMINI[1])).start().await.unwrap();
    let openai = Upstream::start(Kind::OpenAi, &[OPENAI[0], OPENAI[1], THIRD]).await;
    let anthropic = Upstream::start(Kind::Anthropic, &ANTHROPIC).await;
    let home = Home::new();
    let text = toml(&sim, &openai, &anthropic, "").replace(&keys_of(&OPENAI, &["o1", "o2"]), "");
    home.write("keypool.toml", &text);
    let running = Running::of(home.command(&["serve"]));
    let scene = Scene { home, sim, openai, anthropic, running };
    let send = async |method: &str, path: &str, body: String| {
        let url = format!("{}/-/admin{path}", scene.running.url);
        let request = Request::builder().method(method).uri(url).header("x-keypool-admin", ADMIN);
        let answer = ask(request, body).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(OPENAI.iter().chain([&THIRD]).all(|secret| !text.contains(secret)), "{text}");
        (answer.status.as_u16(), answer.json())
    };
    let (status, told) = send("POST", "/keys?pool=open", json!({ "secret": OPENAI[0], "id": "o1" }).to_string()).await;
    assert_eq!((status, &told["id"]), (201, &json!("o1")), "{told}");
    scene.until_served_by(&["o1"]).await;
    let (status, told) = send("POST", "/import?pool=open", format!("{} id=o2\n", OPENAI[1])).await;
    assert_eq!((status, &told["added"]), (200, &json!(1)), "{told}");
    scene.until_served_by(&["o1", "o2"]).await;
    assert_eq!(send("POST", "/keys/o1/disable?pool=open", json!({ "reason": "by hand" }).to_string()).await.0, 200);
    scene.until_served_by(&["o2"]).await;
    let (_, told) = send("GET", "/keys/o1?pool=open", String::new()).await;
    assert_eq!((&told["state"], &told["provider"]), (&json!("disabled"), &json!("open")), "{told:#}");
    assert_eq!(send("POST", "/keys/o1/enable?pool=open", String::new()).await.0, 200);
    assert_eq!(send("PATCH", "/keys/o1?pool=open", json!({ "weight": 2.0, "owner": "acme" }).to_string()).await.0, 200);
    scene.until_served_by(&["o1", "o2"]).await;
    let (_, told) = send("POST", "/keys/o1/test?pool=open", json!({ "model": GPT }).to_string()).await;
    assert_eq!((&told["works"], &told["status"]), (&json!(true), &json!(200)), "{told}");
    assert_eq!(send("POST", "/keys/o2/replace?pool=open", json!({ "secret": THIRD }).to_string()).await.0, 200);
    let gone = async {
        scene.openai.arrivals();
        loop {
            scene.until_served_by(&["o1", "o2"]).await;
            if scene.openai.arrivals().iter().all(|arrival| arrival.key != OPENAI[1]) {
                break;
            }
        }
    };
    tokio::time::timeout(crate::home::ACTS, gone).await.expect("the new secret is used");
    assert_eq!(send("DELETE", "/keys/o2?pool=open", String::new()).await.0, 200);
    scene.until_served_by(&["o1"]).await;

    // Nothing of it is the gateway's own, and the other way round.
    for (method, path) in [("POST", "/keys/o1/disable"), ("POST", "/keys/g1/disable?pool=open"), ("GET", "/keys/o1")] {
        assert_eq!(send(method, path, String::new()).await.0, 404, "{path}");
    }
    assert_eq!(send("POST", "/keys/o1/disable?pool=nobody", String::new()).await.0, 404);
    let (_, keys) = send("GET", "/keys?pool=open", String::new()).await;
    assert_eq!((&keys["total"], &keys["keys"][0]["id"]), (&json!(1), &json!("o1")), "{keys}");
    assert_eq!(send("GET", "/keys", String::new()).await.1["total"], 2);
    let (_, audit) = send("GET", "/audit", String::new()).await;
    let lines: Vec<String> = audit["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| format!("{} {} {} {}", line["what"], line["pool"], line["key"], line["result"]).replace('"', ""))
        .collect();
    let expected = [
        "add open o1 done",
        "import open null done",
        "disable open o1 done",
        "enable open o1 done",
        "set open o1 done",
        "test open o1 done",
        "replace open o2 done",
        "remove open o2 done",
        "disable main null not_found",
        "disable open null not_found",
        "disable null null not_found",
    ];
    assert_eq!(lines, expected);
    let (_, description) = send("GET", "/openapi.json", String::new()).await;
    for (path, method) in [("/-/admin/keys", "post"), ("/-/admin/keys/{id}", "delete"), ("/-/admin/import", "post")] {
        let parameters = &description["paths"][path][method]["parameters"];
        assert!(parameters.as_array().unwrap().iter().any(|parameter| parameter["name"] == "pool"), "{path}");
    }
    scene.end().await;
}

/// A list of models, or one token of a model, wherever the provider's API lives.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_any_provider_is_tried() {
    let sim = GeminiSim::builder().project(Project::new("1").key(GEMINI[0]).key(GEMINI[1])).start().await.unwrap();
    let openai = Upstream::start(Kind::OpenAi, &OPENAI).await;
    let anthropic = Upstream::start(Kind::Anthropic, &ANTHROPIC).await;
    let home = Home::new();
    let deeper = format!(
        "[[providers]]\nname = \"router\"\nkind = \"openai\"\nupstream = \"{}/api/v1\"\nmodels = [\"r-*\"]\nkeys = [{}]\n",
        openai.url(),
        keys_of(&OPENAI[1..], &["r1"])
    );
    home.write("keypool.toml", &format!("{}{deeper}", toml(&sim, &openai, &anthropic, "")));
    let running = Running::of(home.command(&["serve"]));
    let scene = Scene { home, sim, openai, anthropic, running };
    scene.openai.mood(OPENAI[0], Mood::Unknown);
    let test = async |path: &str, model: Option<&str>| {
        let url = format!("{}/-/admin{path}", scene.running.url);
        let body = model.map(|model| json!({ "model": model }).to_string()).unwrap_or_default();
        let answer = ask(Request::post(url).header("x-keypool-admin", ADMIN), body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()
    };
    for (path, model, works) in [
        ("/keys/o1/test?pool=open", None, false),
        ("/keys/o2/test?pool=open", None, true),
        ("/keys/o2/test?pool=open", Some(GPT), true),
        ("/keys/a1/test?pool=claude", None, true),
        ("/keys/a1/test?pool=claude", Some(CLAUDE), true),
    ] {
        let told = test(path, model).await;
        assert_eq!(told["works"], works, "{path} {model:?}: {told}");
    }
    assert_eq!(test("/keys/o1/test?pool=open", None).await["verdict"], "invalid_key");
    scene.openai.arrivals();
    test("/keys/r1/test?pool=router", None).await;
    test("/keys/r1/test?pool=router", Some("r-1")).await;
    assert_eq!(targets(&scene.openai.arrivals()), ["/api/v1/models", "/api/v1/chat/completions"]);
    assert_eq!(targets(&scene.anthropic.arrivals()), ["/v1/models", "/v1/messages"]);
    scene.end().await;
}

/// Keys of another provider alone are keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_whose_own_provider_has_no_key_serves_the_others() {
    let openai = Upstream::start(Kind::OpenAi, &OPENAI).await;
    let home = Home::new();
    let keys = keys_of(&OPENAI[..1], &["o1"]);
    let text = format!(
        "[gateway]\nlisten = \"127.0.0.1:0\"\n[[providers]]\nname = \"open\"\nkind = \"openai\"\nupstream = \"{}/v1\"\nkeys = [{keys}]\n",
        openai.url()
    );
    home.write("keypool.toml", &text);
    let checked = home.run(&["config", "check"]).good();
    assert_eq!(checked.trim(), "all is well: 0 keys; provider open: 1 key: 1 from keypool.toml");
    let shown = home.run(&["config", "show"]).good();
    assert!(shown.contains(&format!("# provider open: {}/v1 for gpt-*", openai.url())), "{shown}");
    assert!(shown.contains("#   o1: priority 0, from keypool.toml:7"), "{shown}");
    let running = Running::of(home.command(&["serve"]));
    let request = Request::post(format!("{}/v1/chat/completions", running.url));
    let request =
        request.header("content-type", "application/json").header("authorization", format!("Bearer {PLACEHOLDER}"));
    let answer = ask(request, chat(GPT).to_string()).await;
    assert_eq!((answer.status, answer.header("x-keypool-key")), (StatusCode::OK, "o1"), "{answer:?}");
    let native = ask(
        Request::post(format!("{}/v1beta/models/gemini-2.5-flash:generateContent", running.url))
            .header("x-goog-api-key", PLACEHOLDER),
        "{}".to_owned(),
    );
    assert_eq!(native.await.status, StatusCode::SERVICE_UNAVAILABLE);
    home.write("keypool.toml", "[gateway]\nlisten = \"127.0.0.1:0\"\n");
    home.run(&["config", "check"]).bad(2, "there is no API key to serve");
    running.kill();
}

/// A base that holds a version stands in the place of `/v1`, and errors are in the form that clients know.
#[tokio::test(flavor = "multi_thread")]
async fn googles_compatible_endpoint_is_one_of_openais_kind() {
    let sim = GeminiSim::builder().project(Project::new("1").key(GEMINI[0]).key(GEMINI[1])).start().await.unwrap();
    let openai = Upstream::start(Kind::OpenAi, &OPENAI).await;
    let anthropic = Upstream::start(Kind::Anthropic, &ANTHROPIC).await;
    let home = Home::new();
    let more = format!(
        "[[providers]]\nname = \"google\"\nkind = \"openai\"\nupstream = \"{}/v1beta/openai\"\nkeys = [{}]\n\
         [[providers]]\nname = \"router\"\nkind = \"openai\"\nupstream = \"{}/api/v1\"\nkeys = [{}]\n",
        sim.url(),
        keys_of(&GEMINI[1..], &["c1"]),
        openai.url(),
        keys_of(&OPENAI[1..], &["r1"])
    );
    home.write("keypool.toml", &format!("{}{more}", toml(&sim, &openai, &anthropic, "")));
    let running = Running::of(home.command(&["serve"]));
    let scene = Scene { home, sim, openai, anthropic, running };
    let answer = scene.chat("/to/google/v1/chat/completions", "gemini-2.5-flash").await;
    assert_eq!((answer.status, answer.header("x-keypool-key")), (StatusCode::OK, "c1"), "{answer:?}");
    assert_eq!(answer.json()["object"], "chat.completion");
    let unknown = scene.chat("/to/google/v1/chat/completions", "gemini-0.1-none").await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND, "{unknown:?}");
    assert!(unknown.json()["error"]["message"].as_str().unwrap().contains("gemini-0.1-none"), "{unknown:?}");
    assert!(unknown.json()["error"]["type"].is_string(), "{unknown:?}");
    let list =
        ask(scene.get("/to/google/v1/models").header("authorization", format!("Bearer {PLACEHOLDER}")), String::new());
    assert_eq!(list.await.json()["object"], "list");
    scene.openai.arrivals();
    scene.chat("/to/router/v1/chat/completions", GPT).await;
    assert_eq!(targets(&scene.openai.arrivals()), ["/api/v1/chat/completions"]);
    scene.end().await;
}

/// What was found out of keys, and what was counted, is known after a restart; and a limit is that of all processes.
#[tokio::test(flavor = "multi_thread")]
async fn counts_and_rests_of_all_pools_outlive_the_process() {
    let scene = Scene::new("").await;
    scene.openai.mood(OPENAI[0], Mood::Unknown);
    for _ in 0..2 {
        assert_eq!(scene.chat("/v1/chat/completions", GPT).await.header("x-keypool-key"), "o2");
    }
    assert_eq!(scene.message("/v1/messages", CLAUDE).await.status, StatusCode::OK);
    let Scene { home, sim, openai, anthropic, running } = scene;
    running.kill();
    assert!(home.at("state/keypool/keypool.open.db").exists(), "beside the gateway's own");
    openai.mood(OPENAI[0], Mood::Good);
    openai.arrivals();
    // Five a day, of which three are used by a process that ends.
    let text = toml(&sim, &openai, &anthropic, "");
    home.write("keypool.toml", &text.replace("id = \"o2\",", "id = \"o2\", limits.\"*\" = { rpd = 5 },"));
    let asked = async |running: &Running| {
        let request = Request::post(format!("{}/v1/chat/completions", running.url));
        let request = request.header("authorization", format!("Bearer {PLACEHOLDER}"));
        let answer = ask(request.header("content-type", "application/json"), chat(GPT).to_string()).await;
        let served = answer.status == StatusCode::OK;
        assert!(!served || answer.header("x-keypool-key") == "o2", "the other one is known to be no key");
        usize::from(served)
    };
    let first = Running::of(home.command(&["serve"]));
    let mut served = 0;
    for _ in 0..3 {
        served += asked(&first).await;
    }
    assert_eq!(served, 3);
    tokio::task::spawn_blocking(move || first.end()).await.unwrap();
    let running = [0, 1].map(|_| Running::of(home.command(&["serve"])));
    for at in 0..10 {
        served += asked(&running[at % 2]).await;
    }
    let arrived = openai.arrivals();
    assert!((4..=5).contains(&served), "{served} of five a day, by all");
    assert!(arrived.iter().all(|arrival| arrival.key == OPENAI[1]) && arrived.len() == served, "{}", arrived.len());
    let [one, other] = running;
    other.end();
    Scene { home, sim, openai, anthropic, running: one }.end().await;
}

#[test]
fn a_key_in_the_database_of_one_provider_is_enough_to_serve() {
    let home = Home::new();
    home.write("keypool.toml", "[[providers]]\nname = 'open'\nkind = 'openai'\nupstream = 'http://127.0.0.1:9'\n");
    let served = ["serve", "--listen", "127.0.0.1:0"];
    for args in [&["config", "check"][..], &served] {
        home.run(args).bad(2, "there is no API key to serve");
    }
    home.pipe(&["add-key", "-", "--provider", "open", "--id", "o1"], OPENAI[0]).good();
    let checked = home.run(&["config", "check"]).good();
    assert_eq!(checked, "all is well: 0 keys; provider open: 1 key: 1 from database\n");
    let shown = home.run(&["config", "show", "--json"]).json();
    assert_eq!(shown["providers"][0]["keys"].as_array().map(Vec::len), Some(1), "{shown}");
    Running::of(home.command(&served)).end();
    // That it has none, or none that can be opened, is not for whoever asks for its models to find out.
    home.write("key.txt", GEMINI[0]);
    std::fs::remove_file(home.at("state/keypool/keypool.open.db.key")).unwrap();
    home.run(&["config", "check"]).bad(2, "keypool.open.db");
    home.run(&["keys", "remove", "o1", "--provider", "open"]).good();
    let checked = home.run(&["config", "check"]).good();
    assert!(checked.contains("note: providers.open has no key") && checked.contains("all is well"), "{checked}");
}

/// Their keys may lie in the database, too: commands change them beside a gateway that runs.
#[tokio::test(flavor = "multi_thread")]
async fn commands_add_keys_of_a_provider_and_tell_of_them() {
    let sim = GeminiSim::builder().project(Project::new("1").key(GEMINI[0]).key(GEMINI[1])).start().await.unwrap();
    let openai = Upstream::start(Kind::OpenAi, &OPENAI).await;
    let anthropic = Upstream::start(Kind::Anthropic, &ANTHROPIC).await;
    let home = Home::new();
    let text = toml(&sim, &openai, &anthropic, "").replace(&keys_of(&OPENAI, &["o1", "o2"]), "");
    home.write("keypool.toml", &text);
    home.pipe(&["add-key", "-", "--id", "o1", "--provider", "nobody"], OPENAI[0]).bad(2, "there is open, claude");
    home.pipe(&["add-key", "-", "--id", "o1", "--provider", "open"], OPENAI[0]).good();
    let running = Running::of(home.command(&["serve"]));
    let scene = Scene { home, sim, openai, anthropic, running };
    scene.until_served_by(&["o1"]).await;
    let run = |args: &[&str]| tokio::task::block_in_place(|| scene.home.run(args));
    let file = scene.home.write("more.txt", &format!("{} id=o2\n", OPENAI[1]));
    run(&["import", &file, "--provider", "open"]).good();
    scene.until_served_by(&["o1", "o2"]).await;
    run(&["keys", "disable", "o1", "--reason", "by hand", "--provider", "open"]).good();
    scene.until_served_by(&["o2"]).await;
    run(&["keys", "enable", "o1", "--provider", "open"]).good();
    scene.until_served_by(&["o1", "o2"]).await;
    run(&["keys", "remove", "o2", "--provider", "open"]).good();
    scene.until_served_by(&["o1"]).await;

    let ids = |told: &Value| -> Vec<String> {
        told.as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&run(&["keys", "--provider", "open", "--json"]).json()), ["o1"]);
    assert_eq!(ids(&run(&["keys", "--json"]).json()), ["g1", "g2"], "the gateway's own");
    assert_eq!(ids(&run(&["keys", "list", "--provider", "claude", "--json"]).json()), ["a1", "a2"]);
    assert_eq!(run(&["health", "--provider", "open", "--json"]).json()["usable"], 1);
    // What is counted is written soon after.
    let used = async {
        while run(&["stats", "--provider", "open", "--json"]).json()["total"]["requests"].as_i64().unwrap() < 10 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(crate::home::ACTS, used).await.expect("use is kept");
    let usage = run(&["usage", "--provider", "open"]).good();
    assert!(usage.contains("o1"), "{usage}");
    let monitor = run(&["monitor", "--provider", "open", "--once", "--json"]).json();
    assert_eq!(monitor["keys"][0]["id"], "o1");
    // The gateway says of each pool what that holds.
    let gateway = |more: &[&str]| {
        let told = run(&[&["stats", "--json"], more].concat()).json();
        assert_eq!(told["processes"].as_array().unwrap().len(), 1, "{told:#}");
        told["processes"][0].clone()
    };
    let (own, open) = (gateway(&[]), gateway(&["--provider", "open"]));
    assert_eq!((&own["id"], &own["listen"]), (&open["id"], &open["listen"]));
    assert!(open["memory_bytes"].is_u64() && open["pool_bytes"].as_u64() > Some(1_000), "{open}");
    assert_ne!(own["pool_bytes"], open["pool_bytes"], "each pool's own");
    assert_eq!(open["spills"], 0);
    assert!(run(&["stats", "--provider", "open"]).good().contains("of it keys"));
    assert_eq!(gateway(&["--provider", "claude"])["id"], own["id"]);
    let home = scene.end().await;
    assert_eq!(
        home.run(&["stats", "--provider", "open", "--json"]).json()["processes"],
        json!([]),
        "it said that it ends"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_names_no_provider_goes_nowhere() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    let running = home.serve(&sim, &[]);
    for name in ["nope", "main"] {
        let url = format!("{}/to/{name}/v1beta/models/gemini-2.5-flash:generateContent", running.url);
        let answer = ask(Request::post(url).header("x-goog-api-key", PLACEHOLDER), crate::serving::HELLO).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.status == 404 && text.contains("no provider is called so"), "{text}");
    }
    assert_eq!(sim.report().total.arrivals, 0);
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_steps_down_to_models_of_its_own_provider_alone() {
    let model = |name: &str, priority: u8| format!("[[models]]\nname = \"{name}\"\npriority = {priority}\n");
    let more = [model("gemini-2.5-pro", 1), model("gpt-5-mini", 2), model("gemini-2.5-flash", 3)].concat();
    let scene = Scene::new(&more).await;
    for key in OPENAI {
        scene.openai.mood(key, Mood::Limited(60));
    }
    let answer = scene.chat("/v1/chat/completions", GPT).await;
    assert!(!answer.status.is_success(), "{answer:?}");
    let asked = |arrival: &Arrival| serde_json::from_slice::<Value>(&arrival.body).unwrap()["model"].clone();
    let mut models: Vec<Value> = scene.openai.arrivals().iter().map(asked).collect();
    models.dedup();
    assert_eq!(models, [json!(GPT), json!("gpt-5-mini")], "{answer:?}");
    end(scene.running).await;
    drop(scene.home);
}
