//! Two pools of Gemini's behind one gateway: what names its model in its body is made at the pool that serves it, and found by
//! its name from then on.

use std::time::Duration;

use gemini_sim::{GeminiSim, Project};
use http::{Method, Request, StatusCode};
use keypool::gateway::token::PLACEHOLDER;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use crate::{
    binary::Running,
    home::{Home, end},
    support::{Answer, ask},
};

const FIRST: &str = "AIzaSyTEST-side-by-side-key-number-00001";
const SECOND: [&str; 2] = ["AIzaSyTEST-side-by-side-key-number-00002", "AIzaSyTEST-side-by-side-key-number-00003"];
const ALICE: &str = "kp-TEST-tenant-token-0123456789abcdef-alice";
const BOB: &str = "kp-TEST-tenant-token-0123456789abcdef-bobby";

/// The gateway's own pool, and `second`, which has the larger model.
fn toml(first: &str, second: &str) -> String {
    format!(
        r#"
        keys = [{{ id = "g1", secret = "{FIRST}" }}]
        tenants = [{{ name = "alice", token = "{ALICE}" }}, {{ name = "bob", token = "{BOB}" }}]
        gateway = {{ listen = "127.0.0.1:0", upstream = "{first}" }}
        pool = {{ wait = 0, strategy = "round-robin" }}
        [[models]]
        name = "gemini-2.5-pro"
        aliases = ["large"]
        [[providers]]
        name = "second"
        kind = "gemini"
        upstream = "{second}"
        models = ["gemini-2.5-pro", "large"]
        keys = [{{ id = "s1", secret = "{}" }}, {{ id = "s2", secret = "{}" }}]
        "#,
        SECOND[0], SECOND[1],
    )
}

async fn pools() -> (GeminiSim, GeminiSim) {
    let first = GeminiSim::builder().project(Project::new("1").key(FIRST)).start().await.unwrap();
    // Names of one are none of the other's.
    let second = GeminiSim::builder().seed(2);
    let second = second.project(Project::new("2").key(SECOND[0])).project(Project::new("3").key(SECOND[1]));
    (first, second.start().await.unwrap())
}

async fn send(running: &Running, (method, path): (Method, &str), token: &str, body: &Value) -> Answer {
    let request = Request::builder().method(method).uri(format!("{}{path}", running.url));
    let request = request.header("x-goog-api-key", token).header("content-type", "application/json");
    ask(request, if body.is_null() { String::new() } else { body.to_string() }).await
}

/// Which pool a good answer is of.
#[track_caller]
fn whose(answer: &Answer) -> &str {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    if answer.header("x-keypool-key").starts_with('s') { "second" } else { "first" }
}

fn text(answer: &Answer, field: &str) -> String {
    answer.json()[field].as_str().unwrap_or_else(|| panic!("no {field}: {answer:?}")).to_owned()
}

fn cache(model: &str) -> Value {
    let long = "word ".repeat(30_000);
    json!({ "model": model, "contents": [{ "role": "user", "parts": [{ "text": long }] }] })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_names_its_model_in_its_body_is_made_where_that_is_served_and_found_there() {
    let (first, second) = pools().await;
    let home = Home::new();
    home.write("keypool.toml", &toml(&first.url(), &second.url()));
    let mut running = Running::of(home.command(&["serve"]));
    let mut known = Vec::new();
    for token in [ALICE, PLACEHOLDER] {
        for (model, pool) in [("gemini-2.5-pro", "second"), ("gemini-2.5-flash", "first"), ("large", "second")] {
            for front in ["", "/gemini"] {
                let at = |path: &str| format!("{front}/v1beta/{path}");
                let made = send(&running, (Method::POST, &at("cachedContents")), token, &cache(model)).await;
                assert_eq!(whose(&made), pool, "{model}");
                let name = text(&made, "name");
                let called = if model == "large" { "gemini-2.5-pro" } else { model };
                known.push((token, pool, called, name.clone()));
                assert_eq!(whose(&send(&running, (Method::GET, &at(&name)), token, &Value::Null).await), pool);
                let longer = json!({ "ttl": "600s" });
                assert_eq!(whose(&send(&running, (Method::PATCH, &at(&name)), token, &longer).await), pool);
                let ask = json!({ "cachedContent": name, "contents": [{ "parts": [{ "text": "?" }] }] });
                let call = at(&format!("models/{called}:generateContent"));
                assert_eq!(whose(&send(&running, (Method::POST, &call), token, &ask).await), pool);
            }
            let interact = json!({ "model": model, "input": "hi" });
            let made = send(&running, (Method::POST, "/v1beta/interactions"), token, &interact).await;
            assert_eq!(whose(&made), pool, "{model}");
            let id = text(&made, "id");
            let named = format!("/v1beta/interactions/{id}");
            assert_eq!(whose(&send(&running, (Method::GET, &named), token, &Value::Null).await), pool);
            for _ in 0..3 {
                for next in [
                    json!({ "model": model, "input": "more", "previous_interaction_id": id }),
                    json!({ "previous_interaction_id": id, "agent": "deep-research", "input": "more" }),
                ] {
                    let next = send(&running, (Method::POST, "/v1beta/interactions"), token, &next).await;
                    assert_eq!(whose(&next), pool, "{model}");
                }
            }
            let embed = json!({ "model": model, "input": "hi" });
            let embedded = send(&running, (Method::POST, "/v1beta/openai/embeddings"), token, &embed).await;
            assert_eq!(embedded.header("x-keypool-key").starts_with('s'), pool == "second", "{embedded:?}");
            let chat = json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] });
            for path in ["/v1beta/openai/chat/completions", "/v1/chat/completions"] {
                assert_eq!(whose(&send(&running, (Method::POST, path), token, &chat).await), pool, "{path}");
            }
        }
    }
    let tune = json!({ "baseModel": "models/gemini-2.5-pro", "tuningTask": {} });
    let tuned = send(&running, (Method::POST, "/v1beta/tunedModels"), PLACEHOLDER, &tune).await;
    assert_eq!(whose(&tuned), "second");
    // What is another's is nobody's for him, wherever it lies.
    let (_, _, model, hers) = known.iter().find(|(token, pool, ..)| *token == ALICE && *pool == "second").unwrap();
    let use_hers = json!({ "cachedContent": hers, "contents": [{ "parts": [{ "text": "?" }] }] });
    for model in [*model, "gemini-2.5-flash"] {
        let call = format!("/v1beta/models/{model}:generateContent");
        let refused = send(&running, (Method::POST, &call), BOB, &use_hers).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{refused:?}");
    }
    assert_eq!(
        send(&running, (Method::GET, &format!("/v1beta/{hers}")), BOB, &Value::Null).await.status,
        StatusCode::NOT_FOUND
    );
    // Also after a restart.
    end(running).await;
    running = Running::of(home.command(&["serve"]));
    for (token, pool, model, name) in &known {
        let ask = json!({ "cachedContent": name, "contents": [{ "parts": [{ "text": "?" }] }] });
        let call = format!("/v1beta/models/{model}:generateContent");
        assert_eq!(whose(&send(&running, (Method::POST, &call), token, &ask).await), *pool);
        let named = format!("/v1beta/{name}");
        assert_eq!(whose(&send(&running, (Method::GET, &named), token, &Value::Null).await), *pool);
        assert_eq!(whose(&send(&running, (Method::DELETE, &named), token, &Value::Null).await), *pool);
    }
    end(running).await;
}

/// Uploads a file by the resumable protocol, at the pool behind `front`; its address.
async fn upload(running: &Running, token: &str, path: &str) -> Value {
    let start = Request::post(format!("{}{path}", running.url)).header("x-goog-api-key", token);
    let start = start.header("x-goog-upload-protocol", "resumable").header("x-goog-upload-command", "start");
    let start = start.header("x-goog-upload-header-content-length", "5");
    let start = start.header("x-goog-upload-header-content-type", "text/plain");
    let begun = ask(start.header("content-type", "application/json"), r#"{"file":{"displayName":"words"}}"#).await;
    assert_eq!(begun.status, StatusCode::OK, "{begun:?}");
    let chunk = Request::post(begun.header("x-goog-upload-url")).header("x-goog-upload-offset", "0");
    let done = ask(chunk.header("x-goog-upload-command", "upload, finalize"), "words").await;
    assert_eq!(done.status, StatusCode::OK, "{done:?}");
    done.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_one_pool_and_a_model_of_the_other_are_told_apart() {
    let (first, second) = pools().await;
    let home = Home::new();
    home.write("keypool.toml", &toml(&first.url(), &second.url()));
    let running = Running::of(home.command(&["serve"]));
    for token in [ALICE, PLACEHOLDER] {
        let mut files = Vec::new();
        for front in ["", "/to/second"] {
            let file = upload(&running, token, &format!("{front}/upload/v1beta/files")).await;
            files.push(file["file"]["uri"].as_str().unwrap().to_owned());
        }
        let part = |uri: &str| json!({ "fileData": { "fileUri": uri, "mimeType": "text/plain" } });
        let asking = |uris: &[&String]| {
            let parts: Vec<Value> = uris.iter().map(|uri| part(uri)).chain([json!({ "text": "?" })]).collect();
            json!({ "contents": [{ "role": "user", "parts": parts }] })
        };
        let generate = |front: &str, model: &str| format!("{front}/v1beta/models/{model}:generateContent");
        let (here, there) = (&files[0], &files[1]);
        // Each where it is, also where no provider was named for the model.
        for (path, file, pool) in [
            (generate("", "gemini-2.5-flash"), here, "first"),
            (generate("", "gemini-2.5-flash"), there, "second"),
            (generate("", "gemini-2.5-pro"), there, "second"),
            (generate("/to/second", "gemini-2.5-flash"), there, "second"),
        ] {
            assert_eq!(whose(&send(&running, (Method::POST, &path), token, &asking(&[file])).await), pool, "{path}");
        }
        let asked = |sim: &GeminiSim| sim.report().total.arrivals;
        let before = (asked(&first), asked(&second));
        let chat = json!({ "model": "gemini-2.5-pro", "messages": [{ "role": "user", "content": [
            { "type": "text", "text": "?" }, { "type": "image_url", "image_url": { "url": here } }] }] });
        let interact = json!({ "model": "gemini-2.5-pro", "input": [{ "type": "document", "uri": here }] });
        for (path, body) in [
            (generate("", "gemini-2.5-pro"), asking(&[here])),
            (generate("/to/second", "gemini-2.5-flash"), asking(&[here])),
            ("/v1beta/interactions".to_owned(), interact),
            ("/v1/chat/completions".to_owned(), chat),
            (generate("", "gemini-2.5-flash"), asking(&[here, there])),
        ] {
            let refused = send(&running, (Method::POST, &path), token, &body).await;
            let why = refused.json()["error"]["message"].as_str().unwrap().to_owned();
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{path}: {refused:?}");
            assert!(why.contains("pool") && why.contains("/to/NAME"), "{path}: {why}");
        }
        assert_eq!((asked(&first), asked(&second)), before, "nothing was sent");
        // Where a path alone names it, it is not there.
        let name = &here[here.find("/files/").unwrap()..];
        let path = format!("/to/second/v1beta{name}");
        let nothing = send(&running, (Method::GET, &path), token, &Value::Null).await;
        assert_eq!(nothing.status, StatusCode::NOT_FOUND, "{nothing:?}");
    }
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_body_goes_on_before_its_end_to_the_pool_of_the_model_at_its_beginning() {
    let first = GeminiSim::builder().project(Project::new("1").key(FIRST)).start().await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = format!("http://{}", listener.local_addr().unwrap());
    let (came, coming) = oneshot::channel();
    let upstream = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (mut piece, mut read, mut came) = (vec![0; 1 << 16], 0, Some(came));
        while read < 40 << 20 {
            read += stream.read(&mut piece).await.unwrap();
            if read > 1 << 20
                && let Some(came) = came.take()
            {
                came.send(()).unwrap();
            }
        }
        let answer = r#"{"name":"cachedContents/long"}"#;
        let head =
            format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", answer.len());
        stream.write_all(format!("{head}{answer}").as_bytes()).await.unwrap();
        read
    });
    let home = Home::new();
    home.write("keypool.toml", &toml(&first.url(), &second));
    let running = Running::of(home.command(&["serve"]));
    let mut client = TcpStream::connect(running.url.trim_start_matches("http://")).await.unwrap();
    let beginning = r#"{"model":"models/gemini-2.5-pro","contents":[{"parts":[{"text":""#;
    let (filling, end_of_it) = ("x".repeat((40 << 20) - beginning.len()), "\"}]}]}");
    let length = beginning.len() + filling.len() + end_of_it.len();
    let head = format!(
        "POST /v1beta/cachedContents HTTP/1.1\r\nhost: 127.0.0.1\r\nx-goog-api-key: {PLACEHOLDER}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(beginning.as_bytes()).await.unwrap();
    client.write_all(&filling.as_bytes()[..36 << 20]).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), coming).await.expect("it goes on before its end").unwrap();
    client.write_all(&filling.as_bytes()[36 << 20..]).await.unwrap();
    client.write_all(end_of_it.as_bytes()).await.unwrap();
    let mut answer = vec![0; 1 << 12];
    let read = tokio::time::timeout(Duration::from_secs(20), client.read(&mut answer)).await.unwrap().unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(upstream.await.unwrap() >= 40 << 20);
    end(running).await;
}

/// Without a URL for pieces of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_one_request_is_found_where_it_is() {
    let (first, second) = pools().await;
    let home = Home::new();
    home.write("keypool.toml", &toml(&first.url(), &second.url()));
    let running = Running::of(home.command(&["serve"]));
    let both = "--b\r\ncontent-type: application/json\r\n\r\n{\"file\":{}}\r\n--b\r\ncontent-type: text/plain\r\n\r\nhi\r\n--b--\r\n";
    for (front, query, kind, data) in [
        ("/to/second", "?uploadType=multipart", "multipart/related; boundary=b", both),
        ("/to/second", "?uploadType=media", "text/plain", "hi"),
        ("", "?uploadType=multipart", "multipart/related; boundary=b", both),
    ] {
        let request = Request::post(format!("{}{front}/upload/v1beta/files{query}", running.url));
        let made = ask(request.header("x-goog-api-key", ALICE).header("content-type", kind), data).await;
        let pool = if front.is_empty() { "first" } else { "second" };
        assert_eq!(whose(&made), pool);
        assert_eq!(made.json()["file"]["sizeBytes"], "2");
        let name = made.json()["file"]["name"].as_str().unwrap().to_owned();
        let (named, of) = (format!("/v1beta/{name}"), made.header("x-keypool-key"));
        for _ in 0..3 {
            // By its name alone, with the key that made it.
            let found = send(&running, (Method::GET, &named), ALICE, &Value::Null).await;
            assert_eq!((found.status, found.header("x-keypool-key")), (StatusCode::OK, of), "{found:?}");
        }
        assert_eq!(send(&running, (Method::GET, &named), BOB, &Value::Null).await.status, StatusCode::NOT_FOUND);
    }
    end(running).await;
}
