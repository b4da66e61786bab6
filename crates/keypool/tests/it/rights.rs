//! What tenants may at the gateway's own provider, whichever that is, and however a request is written.

use std::{io::Write as _, net::SocketAddr, time::Duration};

use flate2::{Compression, write::GzEncoder};
use http::{Request, StatusCode};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::{
    binary::Running,
    home::Home,
    support::{Answer, ask},
    tenants::hello,
    upstreams::{CLAUDE, GPT, Kind, Upstream},
};

const KEY: &str = "sk-TEST-rights-not-a-real-key-000000001";
const ONE: &str = "kp-TEST-the-one-token-0123456789abcdef0123456789";
const ALICE: &str = "kp-TEST-tenant-alice-0123456789abcdef0123456789";
/// A model that keys have limits for.
const LIMITED: &str = "gpt-transcribe-rarely";
const BOB: &str = "kp-TEST-tenant-bob-0123456789abcdef0123456789abc";

struct Scene {
    upstream: Upstream,
    running: Running,
    kind: Kind,
    _home: Home,
}

impl Scene {
    /// A gateway whose own provider is this one, or that has it beside its own.
    async fn before(kind: Kind, beside: bool) -> Self {
        let (name, model) = if kind == Kind::OpenAi { ("openai", GPT) } else { ("anthropic", CLAUDE) };
        let (upstream, home) = (Upstream::start(kind, &[KEY]).await, Home::new());
        let url = upstream.url();
        let limits = format!("limits = {{ \"{LIMITED}\" = {{ rpm = 2, tpm = 600 }} }}");
        let key = format!("keys = [{{ id = \"k\", secret = \"{KEY}\", {limits} }}]");
        let other = "keys = [{ id = \"g\", secret = \"AIzaSyTEST-rights-not-a-real-key-00000001\" }]";
        let (keys, own, others) = if beside {
            (
                other,
                String::new(),
                format!("[[providers]]\nname = \"p\"\nkind = \"{name}\"\nupstream = \"{url}\"\n{key}"),
            )
        } else {
            (&*key, format!("provider = \"{name}\"\nupstream = \"{url}\""), String::new())
        };
        let text = format!(
            r#"
            {keys}
            tenants = [{{ name = "alice", token = "{ALICE}", models = ["{model}"] }}, {{ name = "bob", token = "{BOB}" }}]
            [pool]
            wait = 0
            [gateway]
            listen = "127.0.0.1:0"
            token = "{ONE}"
            {own}
            {others}
            "#
        );
        home.write("keypool.toml", &text);
        let running = Running::of(home.command(&["serve"]));
        Self { upstream, running, kind, _home: home }
    }

    fn request(&self, method: &str, path: &str, token: &str) -> http::request::Builder {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.running.url));
        match self.kind {
            Kind::OpenAi => request.header("authorization", format!("Bearer {token}")),
            Kind::Anthropic => request.header("x-api-key", token).header("anthropic-version", "2023-06-01"),
        }
    }

    /// The answer, and how often the provider was asked for it.
    async fn ask(&self, request: http::request::Builder, body: impl Into<Vec<u8>>) -> (Answer, usize) {
        let answer = ask(request, body.into()).await;
        (answer, self.upstream.arrivals().len())
    }

    async fn json(&self, path: &str, token: &str, body: impl Into<Vec<u8>>) -> (u16, usize) {
        let request = self.request("POST", path, token).header("content-type", "application/json");
        let (answer, arrived) = self.ask(request, body).await;
        (answer.status.as_u16(), arrived)
    }

    async fn form(&self, path: &str, token: &str, form: impl Into<Vec<u8>>) -> (u16, usize) {
        let request = self.request("POST", path, token);
        let (answer, arrived) =
            self.ask(request.header("content-type", "multipart/form-data; boundary=XyZ"), form).await;
        (answer.status.as_u16(), arrived)
    }
}

fn asking(model: &str) -> String {
    json!({ "model": model, "max_tokens": 9, "messages": [{ "role": "user", "content": "Hello" }] }).to_string()
}

/// As clients write one: some fields, and a file.
fn form(fields: &[(&str, &str)]) -> String {
    let file = "--XyZ\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n\
                RIFF\r\n--XyZ--\r\n";
    let fields = fields.iter().flat_map(|(head, value)| ["--XyZ\r\n", head, "\r\n\r\n", value, "\r\n"]);
    fields.chain([file]).collect()
}

const MODEL: &str = "Content-Disposition: form-data; name=\"model\"";
const SPOKEN: &str = "/v1/audio/transcriptions";

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_models_holds_at_the_gateways_own_provider_of_any_kind() {
    for (kind, paths, model, other) in [
        (
            Kind::OpenAi,
            &["/v1/chat/completions", "/openai/v1/chat/completions", "/v1/completions"][..],
            GPT,
            "gpt-5-mini",
        ),
        (Kind::Anthropic, &["/v1/messages", "/anthropic/v1/messages"], CLAUDE, "claude-y"),
    ] {
        let scene = Scene::before(kind, false).await;
        for &path in paths {
            assert_eq!(scene.json(path, ALICE, asking(model)).await.1, 1, "{path}");
            let twice = asking(model).replacen('{', &format!("{{\"Model\":\"{other}\","), 1);
            for body in [asking(other), twice, "{}".to_owned(), format!("\u{feff}{}", asking(other))] {
                let (status, arrived) = scene.json(path, ALICE, body).await;
                assert!(arrived == 0 && [400, 403].contains(&status), "{path}: {status}");
            }
            for token in [BOB, ONE] {
                assert_eq!(scene.json(path, token, asking(other)).await.1, 1, "{path}: who may ask all");
            }
        }
        // What is left behind there is nobody's: it is for whoever has the one token.
        for (method, path) in
            [("GET", "/v1/files"), ("POST", "/v1/batches"), ("DELETE", "/v1/models/x"), ("GET", "/v1/threads")]
        {
            for (token, expected) in [(ALICE, 0), (BOB, 0), (ONE, 1)] {
                let (answer, arrived) = scene.ask(scene.request(method, path, token), "").await;
                assert_eq!(arrived, expected, "{method} {path}: {answer:?}");
                assert!(expected == 1 || answer.status.as_u16() == 404, "{method} {path}: {answer:?}");
                if expected == 0 {
                    // It is no question of translation.
                    let why = answer.json()["error"]["message"].as_str().unwrap().to_owned();
                    let is_said = why.contains("one token") || path == "/v1/models/x";
                    assert!(is_said && !why.contains("translated"), "{method} {path}: {why}");
                }
            }
        }
        let (list, _) = scene.ask(scene.request("GET", "/v1/models", ALICE), "").await;
        let ids: Vec<String> =
            list.json()["data"].as_array().unwrap().iter().map(|model| model["id"].to_string()).collect();
        assert_eq!(ids, [format!("\"{model}\"")]);
        assert_eq!(scene.ask(scene.request("GET", &format!("/v1/models/{other}"), ALICE), "").await.1, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_two_could_read_in_two_ways_is_not_passed_on_for_who_may_not_ask_all() {
    for beside in [false, true] {
        let scene = Scene::before(Kind::OpenAi, beside).await;
        for path in [SPOKEN, "/v1/images/edits"] {
            for head in [MODEL, "Content-Disposition: form-data; name=model\r\nContent-Type: text/plain; charset=utf-8"]
            {
                assert_eq!(scene.form(path, ALICE, form(&[(head, GPT)])).await.1, 1, "{path}: {head}");
            }
            for other in [
                MODEL,
                "Content-Disposition: form-data; NAME=\"model\"",
                "Content-Disposition: form-data; name =\"model\"",
                "Content-Disposition: form-data;\tname=\"model\"",
                "Content-Disposition: form-data;\r\n name=\"model\"",
                "Content-Disposition: form-data; name=mo\\del",
                "Content-Disposition: form-data; name*=utf-8''model",
                "Content-Disposition: form-data; filename=\"; name=x\"; name=\"model\"",
                "Content-Disposition: form-data; name=\"x\"; name=\"model\"",
                "Content-Disposition: form-data; name=\"x\"\r\nContent-Disposition: form-data; name=\"model\"",
                "Content-Disposition: form-data; name=\"x\"\r\n\r\nx\n--XyZ\nContent-Disposition: form-data; name=\"model\"\n",
                "Content-Disposition: form-data; name=\"model\"\r\nContent-Transfer-Encoding: base64",
            ] {
                let (status, arrived) = scene.form(path, ALICE, form(&[(MODEL, GPT), (other, "gpt-5-mini")])).await;
                assert!(arrived == 0 && [400, 403].contains(&status), "{path}: {status}, {other}");
            }
            assert_eq!(scene.form(path, ALICE, form(&[(MODEL, "gpt-5-mini")])).await, (403, 0));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_unpacked_to_be_read_is_not_called_packed() {
    let scene = Scene::before(Kind::OpenAi, true).await;
    let mut packer = GzEncoder::new(Vec::new(), Compression::best());
    packer.write_all(asking(GPT).as_bytes()).unwrap();
    let request = scene.request("POST", "/v1/chat/completions", BOB).header("content-type", "application/json");
    let answer = ask(request.header("content-encoding", "gzip"), packer.finish().unwrap()).await;
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    let arrivals = scene.upstream.arrivals();
    assert_eq!(arrivals[0].body, asking(GPT));
    assert!(!arrivals[0].headers.contains_key("content-encoding"), "{:?}", arrivals[0].headers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_counts_by_its_models_limits_and_for_its_model() {
    for beside in [false, true] {
        let scene = Scene::before(Kind::OpenAi, beside).await;
        let mut form = form(&[(MODEL, LIMITED)]);
        // However long the sound is: of it nobody knows what it counts.
        form = form.replace("RIFF", &"R".repeat(100_000));
        for (expected, arrived) in [(200, 1), (200, 1), (503, 0)] {
            assert_eq!(scene.form(SPOKEN, BOB, form.clone()).await, (expected, arrived), "{beside}");
        }
        assert_eq!(scene.form(SPOKEN, BOB, form.replace(LIMITED, "gpt-other")).await.1, 1, "another model");
    }
}

/// A provider that thinks about the first request for good, and answers the others. Says when it has one.
async fn thinking() -> (SocketAddr, mpsc::UnboundedReceiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (came, comes) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let mut first = true;
        while let Ok((mut stream, _)) = listener.accept().await {
            let (came, thinks) = (came.clone(), std::mem::replace(&mut first, false));
            tokio::spawn(async move {
                let mut text = Vec::new();
                while stream.read_buf(&mut text).await.is_ok_and(|read| read > 0) {
                    if text.ends_with(b"]}") && came.send(()).is_ok() && !thinks {
                        let answer = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
                        stream.write_all(answer.as_bytes()).await.unwrap();
                    }
                }
            });
        }
    });
    (address, comes)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_before_the_answer_has_used_what_was_asked() {
    let (provider, mut comes) = thinking().await;
    let home = Home::new();
    let text = format!(
        "keys = [{{ secret = \"AIzaSyTEST-rights-not-a-real-key-00000001\" }}]\n\
         tenants = [{{ name = \"bob\", token = \"{BOB}\", tpd = 9_000 }}]\n\
         gateway = {{ listen = \"127.0.0.1:0\", upstream = \"http://{provider}\" }}\n"
    );
    home.write("keypool.toml", &text);
    let running = Running::of(home.command(&["serve"]));
    let host = running.url.trim_start_matches("http://");
    let body = json!({ "contents": [{ "parts": [{ "text": "x".repeat(40_000) }] }] }).to_string();
    let head = format!(
        "POST /v1beta/models/m:generateContent HTTP/1.1\r\nhost: {host}\r\nx-goog-api-key: {BOB}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut client = TcpStream::connect(host).await.unwrap();
    client.write_all((head + &body).as_bytes()).await.unwrap();
    comes.recv().await.unwrap();
    drop(client);
    // Each of these is about ten tokens: it is not they who use up the day.
    for _ in 0..200 {
        if hello(&running, BOB).await.status == StatusCode::TOO_MANY_REQUESTS {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("what was asked cost nothing");
}
