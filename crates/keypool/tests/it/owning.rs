//! What belongs to somebody, named in other dialects than the provider's: it goes where it lies, and is nobody else's to
//! name.

#![allow(clippy::needless_pass_by_value, reason = "tables read better without the signs")]

use std::time::Duration;

use gemini_sim::GeminiSim;
use http::{Request, StatusCode};
use keypool::{
    database::{Database, Records},
    gateway::{
        capability::hash_of,
        resource::Unknown,
        tenant::{From, Grant},
        token::PLACEHOLDER,
    },
};
use serde_json::{Value, json};
use tower_keypool::{Gemini, Key, KeyPool, Limits, Models, store::Sqlite};

use crate::{
    resources::{self, ALICE, BOB, both, pool, sim, upload},
    support::{Answer, Served, ask},
};

const MODEL: &str = "gemini-2.5-flash";
const CHAT: &str = "/v1/chat/completions";
const RESPONSES: &str = "/v1/responses";
const MESSAGES: &str = "/v1/messages";

async fn post(served: &Served, token: &str, path: &str, body: &Value) -> Answer {
    let request = Request::post(served.url(path)).header("authorization", format!("Bearer {token}"));
    ask(request.header("content-type", "application/json"), body.to_string()).await
}

fn user(content: Value) -> Value {
    json!({ "role": "user", "content": content })
}

fn chat(part: Value) -> Value {
    json!({ "model": MODEL, "messages": [user(json!([part, { "type": "text", "text": "x" }]))] })
}

fn respond(part: Value) -> Value {
    json!({ "model": MODEL, "input": [user(json!([part, { "type": "input_text", "text": "x" }]))] })
}

fn message(block: Value) -> Value {
    let text = json!({ "type": "text", "text": "x" });
    json!({ "model": MODEL, "max_tokens": 9, "messages": [user(json!([block, text]))] })
}

fn uri_of(name: &str) -> String {
    format!("https://generativelanguage.googleapis.com/v1beta/{name}")
}

/// Every way to name a file that is translated.
fn about(name: &str) -> Vec<(&'static str, Value)> {
    let uri = uri_of(name);
    let document = || json!({ "type": "document", "source": { "type": "url", "url": uri } });
    let called = json!({ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let returned = json!({ "type": "tool_result", "tool_use_id": "t", "content": [document()] });
    let used = json!({ "role": "assistant", "content": [{ "type": "tool_use", "id": "t", "name": "f", "input": {} }] });
    let mut streamed = chat(json!({ "type": "file", "file": { "file_id": name } }));
    streamed["stream"] = true.into();
    let image = || json!({ "type": "image_url", "image_url": { "url": uri } });
    vec![
        (CHAT, chat(json!({ "type": "file", "file": { "file_id": name } }))),
        (CHAT, streamed),
        (CHAT, chat(image())),
        (CHAT, chat(json!({ "type": "image_url", "image_url": { "url": uri.replace("https", "HTTPS") } }))),
        (CHAT, chat(json!({ "type": "image_url", "image_url": { "url": format!("{uri}?alt=media") } }))),
        (CHAT, chat(json!({ "type": "image_url", "image_url": { "url": uri.replace("v1beta", "v1") } }))),
        (CHAT, chat(json!({ "type": "image_url", "image_url": { "url": uri.replace("/files", "/./files") } }))),
        (CHAT, chat(json!({ "type": "file", "file": { "file_id": format!("{name}:download") } }))),
        (
            CHAT,
            json!({ "model": MODEL, "messages": [
                user("x".into()),
                { "role": "assistant", "tool_calls": [called] },
                { "role": "tool", "tool_call_id": "c", "content": [image()] },
            ] }),
        ),
        (RESPONSES, respond(json!({ "type": "input_file", "file_id": name }))),
        (RESPONSES, respond(json!({ "type": "input_file", "file_url": uri }))),
        (RESPONSES, respond(json!({ "type": "input_image", "image_url": uri }))),
        (MESSAGES, message(document())),
        (MESSAGES, message(json!({ "type": "image", "source": { "type": "url", "url": uri } }))),
        (MESSAGES, message(json!({ "type": "document", "source": { "type": "file", "file_id": name } }))),
        (MESSAGES, message(json!({ "type": "image", "source": { "type": "file", "file_id": name } }))),
        (
            MESSAGES,
            json!({ "model": MODEL, "max_tokens": 9, "messages": [user("x".into()), used, user(json!([returned]))] }),
        ),
        ("/v1/messages/count_tokens", message(document())),
    ]
}

fn rejected(sim: &GeminiSim) -> u64 {
    ["key-0", "key-1"].iter().map(|key| sim.report().key(key).unwrap().rejected.values().sum::<u64>()).sum()
}

/// Whether the stand-in understands how a file is called there.
fn is_usual(body: &Value) -> bool {
    let body = body.to_string();
    !body.contains("?alt") && !body.contains(":download")
}

/// Who says so, in which dialect.
fn is_not_found(path: &str, answer: &Answer) {
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}: {answer:?}");
    let said = answer.json();
    assert!(said["error"]["message"].as_str().unwrap().contains("not known here"), "{path}: {said}");
    if path.starts_with(MESSAGES) {
        assert_eq!((&said["type"], &said["error"]["type"]), (&json!("error"), &json!("not_found_error")), "{said}");
    } else {
        assert_eq!(said["error"]["type"], "invalid_request_error", "{said}");
    }
}

#[tokio::test]
async fn in_each_dialect_a_file_is_its_tenants_alone_and_goes_to_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keypool.db");
    let records = || Records::Kept(Database::File(Sqlite::open(&path).unwrap()));
    let sim = sim().await;
    let (served, tenants) = Served::kept(&pool(&sim), &sim.url(), records()).await;
    both(&tenants);
    // One at each owner: what follows a question lies anywhere.
    let first = upload(&served, ALICE).await;
    assert_eq!(
        post(&served, ALICE, CHAT, &chat(json!({ "type": "file", "file": { "file_id": first } }))).await.status,
        StatusCode::OK
    );
    let names = [first, upload(&served, ALICE).await];
    served.stop().await;
    for restart in 0..2 {
        let (served, tenants) = Served::kept(&pool(&sim), &sim.url(), records()).await;
        both(&tenants);
        for name in &names {
            for (path, body) in about(name) {
                if is_usual(&body) {
                    let own = post(&served, ALICE, path, &body).await;
                    assert_eq!(own.status, StatusCode::OK, "{restart} {path} {body}: {own:?}");
                    assert_eq!(own.header("x-keypool-attempts"), "1", "{path}");
                }
                let arrivals = sim.report().total.arrivals;
                for stranger in [BOB, PLACEHOLDER] {
                    is_not_found(path, &post(&served, stranger, path, &body).await);
                }
                assert_eq!(sim.report().total.arrivals, arrivals, "none of that left");
            }
        }
        let both = json!([
            { "type": "file", "file": { "file_id": names[0] } },
            { "type": "file", "file": { "file_id": names[1] } },
        ]);
        let mixed = json!({ "model": MODEL, "messages": [user(both)] });
        assert_eq!(post(&served, ALICE, CHAT, &mixed).await.status, StatusCode::BAD_REQUEST, "of two owners");
        assert_eq!(rejected(&sim), 0, "nothing went to a key that does not see it");
        served.stop().await;
    }
}

#[tokio::test]
async fn in_each_dialect_a_name_that_nobody_knows_is_tried_where_an_administrator_says_so() {
    let sim = sim().await;
    let pool = pool(&sim);
    // Made beside the gateway.
    let name = {
        let (beside, _) = Served::kept(&pool, &sim.url(), Records::default()).await;
        let _other = upload(&beside, PLACEHOLDER).await;
        upload(&beside, PLACEHOLDER).await
    };
    let (refusing, tenants) = Served::kept(&pool, &sim.url(), Records::default()).await;
    let arrivals = sim.report().total.arrivals;
    for (path, body) in about(&name) {
        is_not_found(path, &post(&refusing, PLACEHOLDER, path, &body).await);
    }
    both(&tenants);
    for (path, body) in about(&name) {
        is_not_found(path, &post(&refusing, ALICE, path, &body).await);
    }
    assert_eq!(sim.report().total.arrivals, arrivals);
    let (trying, tenants) = Served::kept_trying(&pool, &sim.url(), Records::default(), Unknown::Try).await;
    both(&tenants);
    for (path, body) in about(&name) {
        let own = post(&trying, ALICE, path, &body).await;
        assert!(own.status == StatusCode::OK || !is_usual(&body), "{path} {body}: {own:?}");
        is_not_found(path, &post(&trying, BOB, path, &body).await);
    }
    for (path, body) in about("files/nowhere") {
        is_not_found(path, &post(&trying, ALICE, path, &body).await);
    }
    let snapshot = pool.snapshot();
    assert_eq!((snapshot.disabled_keys, snapshot.resting_keys), (0, 0), "a 403 for a name harms no key");
}

#[tokio::test]
async fn in_each_dialect_caches_and_tuned_models_are_their_tenants_alone() {
    let sim = sim().await;
    let (served, tenants) = Served::kept(&pool(&sim), &sim.url(), Records::default()).await;
    both(&tenants);
    for _ in 0..2 {
        let words = "word ".repeat(100);
        let cache = json!({ "model": format!("models/{MODEL}"), "contents": [{ "parts": [{ "text": words }] }] });
        let cache = resources::post(&served, ALICE, "/v1beta/cachedContents", cache).await.json()["name"].clone();
        let tuned = json!({ "baseModel": format!("models/{MODEL}") });
        let tuned = resources::post(&served, ALICE, "/v1beta/tunedModels", tuned).await;
        let tuned = tuned.json()["metadata"]["tunedModel"].as_str().unwrap().to_owned();
        let said = || vec![user("x".into())];
        let cached = |name: &Value| {
            let extra = json!({ "google": { "cached_content": name } });
            json!({ "model": MODEL, "messages": said(), "extra_body": extra })
        };
        let bare = cache.as_str().unwrap().trim_start_matches("cachedContents/").into();
        let front = format!("models/{tuned}");
        for (path, body, is_possible) in [
            (CHAT, cached(&cache), true),
            (CHAT, cached(&bare), false),
            (CHAT, json!({ "model": tuned, "messages": said() }), true),
            (CHAT, json!({ "model": front, "messages": said() }), true),
            (CHAT, json!({ "model": format!(" google/{tuned} "), "messages": said() }), true),
            (RESPONSES, json!({ "model": tuned, "input": "x" }), true),
            (MESSAGES, json!({ "model": tuned, "max_tokens": 9, "messages": said() }), true),
            ("/v1/messages/count_tokens", json!({ "model": tuned, "messages": said() }), false),
            ("/v1/embeddings", json!({ "model": tuned, "input": "x" }), false),
            ("/v1/images/generations", json!({ "model": tuned, "prompt": "x" }), false),
            (
                "/v1/audio/speech",
                json!({ "model": tuned, "input": "x", "voice": "alloy", "response_format": "wav" }),
                false,
            ),
        ] {
            let own = post(&served, ALICE, path, &body).await;
            assert!(own.status == StatusCode::OK || !is_possible, "{path} {body}: {own:?}");
            let arrivals = sim.report().total.arrivals;
            is_not_found(path, &post(&served, BOB, path, &body).await);
            assert_eq!(sim.report().total.arrivals, arrivals, "{path} {body}");
        }
        let path = format!("/v1/models/{}", tuned.replace('/', "%2F"));
        let get =
            |token: &str| ask(Request::get(served.url(&path)).header("authorization", format!("Bearer {token}")), "");
        let arrivals = sim.report().total.arrivals;
        is_not_found(CHAT, &get(BOB).await);
        assert_eq!(sim.report().total.arrivals, arrivals);
        assert_ne!(get(ALICE).await.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn the_providers_compatible_endpoint_is_looked_at_too() {
    let sim = sim().await;
    for beside in [false, true] {
        let (served, tenants) = Served::kept_compatible(&pool(&sim), &sim.url(), beside).await;
        both(&tenants);
        let name = upload(&served, ALICE).await;
        let image = |url: &str| chat(json!({ "type": "image_url", "image_url": { "url": url } }));
        let bare = |url: &str| chat(json!({ "type": "image_url", "image_url": url }));
        let arrivals = sim.report().total.arrivals;
        let mut all = about(&name);
        all.retain(|(path, _)| *path != RESPONSES);
        all.extend([(CHAT, image(&name)), (CHAT, bare(&uri_of(&name))), (CHAT, image("https://h/v1beta/files/x"))]);
        let cached = json!({ "google": { "cached_content": "cachedContents/c" } });
        all.push((CHAT, json!({ "model": MODEL, "messages": [user("x".into())], "extra_body": cached })));
        for (path, body) in all {
            for token in [BOB, PLACEHOLDER] {
                is_not_found(path, &post(&served, token, path, &body).await);
            }
            // However it is written.
            let escaped = body.to_string().replace("\"url\"", "\"\\u0075rl\"").replace("files/", "f\\u0069les\\/");
            let request = Request::post(served.url(path)).header("authorization", format!("Bearer {BOB}"));
            is_not_found(path, &ask(request, escaped).await);
        }
        assert_eq!(sim.report().total.arrivals, arrivals, "none of that left");
        let plain = image("data:image/png;base64,iVBORw0KGgo=");
        assert_ne!(post(&served, BOB, CHAT, &plain).await.status, StatusCode::NOT_FOUND);
        let own = post(&served, ALICE, CHAT, &image(&uri_of(&name))).await;
        assert_ne!(own.status, StatusCode::NOT_FOUND, "{own:?}");
    }
}

#[tokio::test]
async fn in_its_own_dialect_a_file_is_noticed_in_whatever_spelling() {
    let sim = sim().await;
    let (served, tenants) = Served::kept(&pool(&sim), &sim.url(), Records::default()).await;
    both(&tenants);
    let name = upload(&served, ALICE).await;
    let uri = uri_of(&name);
    let generate = format!("/v1beta/models/{MODEL}:generateContent");
    for spelled in [
        uri.clone(),
        format!(" {uri}"),
        format!("{uri}\n"),
        format!("\t{uri}/"),
        uri.replace("https", "HTTPS"),
        uri.replace("https", "ftp"),
        uri.replace("/files", "/./files"),
        uri.replace("/files", "//files"),
        uri.replace("/files", "/x/../files"),
        uri.replace("/v1beta", ""),
        uri.replace("/files/", "\\files\\"),
        uri.replace("files", "%2566iles"),
        uri.replace(".com/", ".com:443/"),
        format!("{uri};x"),
        format!("{uri}%3Falt=media"),
        format!("https://x/{name}"),
        format!("/{name}"),
        format!("v1beta/{name}"),
    ] {
        let arrivals = sim.report().total.arrivals;
        let named = json!({ "contents": [{ "parts": [{ "fileData": { "fileUri": spelled } }] }] });
        for stranger in [BOB, PLACEHOLDER] {
            let refused = resources::post(&served, stranger, &generate, named.clone()).await;
            assert_eq!(refused.status, StatusCode::NOT_FOUND, "{spelled:?}: {refused:?}");
        }
        assert_eq!(sim.report().total.arrivals, arrivals, "{spelled:?}");
    }
    // What else an address may be of goes on.
    for elsewhere in ["https://www.youtube.com/watch?v=x", "gs://bucket/files/x", "https://example.com/files/a.pdf"] {
        let named = json!({ "contents": [{ "parts": [{ "fileData": { "fileUri": elsewhere } }] }] });
        let arrivals = sim.report().total.arrivals;
        resources::post(&served, BOB, &generate, named).await;
        assert!(sim.report().total.arrivals > arrivals, "{elsewhere}");
    }
}

#[tokio::test]
async fn a_list_of_models_holds_for_tokens_of_the_providers_and_for_agents() {
    let sim = sim().await;
    let (served, tenants) = Served::kept(&pool(&sim), &sim.url(), Records::default()).await;
    let grant = |name: &str, token: &str, models: &[&str]| Grant {
        name: name.to_owned(),
        token_hash: hash_of(token.as_bytes()),
        models: models.iter().map(|model| (*model).to_owned()).collect(),
        ..Grant::default()
    };
    tenants.set(From::Configuration, vec![grant("alice", ALICE, &[MODEL, "deep-*"]), grant("bob", BOB, &[])]);
    let refused = async |token: &str, path: &str, body: Value| {
        let arrivals = sim.report().total.arrivals;
        let answer = resources::post(&served, token, path, body.clone()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} {body}: {answer:?}");
        assert_eq!(sim.report().total.arrivals, arrivals, "{path} {body}");
    };
    // They work without this gateway: past its limits, and after it has revoked who made them.
    let constrained = json!({ "bidiGenerateContentSetup": { "model": format!("models/{MODEL}") } });
    for path in ["/v1alpha/auth_tokens", "/v1beta/auth%5Ftokens", "/v1alpha/auth_tokens/", "/v1beta/authTokens"] {
        for token in [ALICE, BOB] {
            refused(token, path, json!({})).await;
            refused(token, path, constrained.clone()).await;
        }
    }
    let made = resources::post(&served, PLACEHOLDER, "/v1alpha/auth_tokens", json!({})).await;
    assert_eq!(made.status, StatusCode::OK, "{made:?}");
    let interactions = "/v1beta/interactions";
    for agent in [json!("other-agent"), json!({ "name": "deep-research" }), json!(["deep-research"]), json!("")] {
        refused(ALICE, interactions, json!({ "agent": agent, "input": "x" })).await;
        refused(ALICE, "/v1beta/agents", json!({ "id": "a", "base_agent": agent })).await;
    }
    for (token, agent) in [(ALICE, "deep-research"), (BOB, "other-agent")] {
        let arrivals = sim.report().total.arrivals;
        let sent = resources::post(&served, token, interactions, json!({ "agent": agent, "input": "x" })).await;
        assert!(sent.status != StatusCode::FORBIDDEN && sim.report().total.arrivals > arrivals, "{sent:?}");
    }
}

/// Gemini's own answer to such a step is a 400, which reads like a mistake of the caller's.
#[tokio::test]
async fn a_cached_content_is_asked_of_its_own_model_alone() {
    let sim = resources::sim().await;
    let one = Limits::new().per_minute(1);
    let pool = KeyPool::builder(Gemini::at(&sim.url()).unwrap())
        .key(Key::new(crate::serving::ONE).id("one").owner("p1"))
        .limits("gemini-2.5-flash", one)
        .wait(Duration::ZERO)
        .build()
        .unwrap();
    let models = Models::new().for_all(["gemini-2.5-flash", "gemini-2.5-flash-lite"]);
    let served = Served::falling_back(&pool, &sim.url(), models).await;
    let words = "word ".repeat(100);
    let cache = json!({ "model": "models/gemini-2.5-flash", "contents": [{ "parts": [{ "text": words }] }] });
    let made = resources::post(&served, PLACEHOLDER, "/v1beta/cachedContents", cache).await;
    let cache = made.json()["name"].clone();
    assert!(cache.is_string(), "{made:?}");
    let contents = json!([{ "role": "user", "parts": [{ "text": "x" }] }]);
    let path = "/v1beta/models/gemini-2.5-flash:generateContent";
    let plain = json!({ "contents": contents });
    // Whatever the cache itself cost: from here on the model is out, and another serves.
    for _ in 0..2 {
        let answer = resources::post(&served, PLACEHOLDER, path, plain.clone()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    let cached = json!({ "contents": contents, "cachedContent": cache });
    let answer = resources::post(&served, PLACEHOLDER, path, cached).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    let chat = json!({
        "model": "gemini-2.5-flash",
        "messages": [{ "role": "user", "content": "x" }],
        "extra_body": { "google": { "cached_content": cache } },
    });
    let answer = resources::post(&served, PLACEHOLDER, "/v1/chat/completions", chat).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
}

/// The same at the provider's compatible endpoint, by itself and with another provider beside it.
#[tokio::test]
async fn a_cached_content_is_asked_of_its_own_model_alone_at_the_compatible_endpoint() {
    for beside in [false, true] {
        let sim = resources::sim().await;
        let one = Limits::new().per_minute(1);
        let pool = KeyPool::builder(Gemini::at(&sim.url()).unwrap())
            .key(Key::new(crate::serving::ONE).id("one").owner("p1"))
            .limits(MODEL, one)
            .wait(Duration::ZERO)
            .build()
            .unwrap();
        let models = Models::new().for_all([MODEL, "gemini-2.5-flash-lite"]);
        let (served, _) = Served::compatible_falling_back(&pool, &sim.url(), beside, models).await;
        let words = "word ".repeat(100);
        let cache = json!({ "model": format!("models/{MODEL}"), "contents": [{ "parts": [{ "text": words }] }] });
        let made = resources::post(&served, PLACEHOLDER, "/v1beta/cachedContents", cache).await;
        let cache = made.json()["name"].clone();
        assert!(cache.is_string(), "{made:?}");
        let mut chat = json!({ "model": MODEL, "messages": [user("x".into())] });
        for _ in 0..2 {
            let answer = post(&served, PLACEHOLDER, CHAT, &chat).await;
            assert_eq!(answer.status, StatusCode::OK, "{beside}: {answer:?}");
        }
        chat["extra_body"] = json!({ "google": { "cached_content": cache } });
        let answer = post(&served, PLACEHOLDER, CHAT, &chat).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{beside}: {answer:?}");
    }
}
