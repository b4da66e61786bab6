//! Tenants' sockets at `OpenAI`'s realtime API: what their messages name.

use std::sync::{Arc, Mutex};

use keypool::gateway::token::PLACEHOLDER;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::{
    binary::Running,
    home::{Home, end},
    live::{Socket, until},
};

const ALICE: &str = "kp-TEST-tenant-token-0123456789abcdef-alice";

/// The head by which a socket is asked for.
async fn asked(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Opens it, and says this at once.
async fn open(stream: &mut TcpStream, says: &[u8]) {
    let answer = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(&[answer, says].concat()).await.unwrap();
}

/// A provider that takes any socket, and what came over all of them.
async fn provider() -> (String, Arc<Mutex<Vec<u8>>>) {
    let (url, came, _) = listening().await;
    (url, came)
}

/// The same, and how its sockets were asked for.
async fn listening() -> (String, Arc<Mutex<Vec<u8>>>, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (url, came) = (format!("http://{}", listener.local_addr().unwrap()), Arc::<Mutex<Vec<u8>>>::default());
    let (all, lines) = (Arc::clone(&came), Arc::<Mutex<Vec<String>>>::default());
    let heads = Arc::clone(&lines);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (all, lines) = (Arc::clone(&all), Arc::clone(&lines));
            tokio::spawn(async move {
                let head = asked(&mut stream).await;
                lines.lock().unwrap().push(head.lines().next().unwrap().to_owned());
                open(&mut stream, b"").await;
                let mut buffer = vec![0; 1 << 16];
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    all.lock().unwrap().extend_from_slice(&buffer[..read]);
                }
            });
        }
    });
    (url, came, heads)
}

/// A provider that says this over each socket, and is gone once it was answered.
async fn leaving(says: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            asked(&mut stream).await;
            open(&mut stream, says).await;
            let _ = stream.read(&mut [0; 1024]).await;
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_hears_that_the_providers_connection_broke_off() {
    for (says, code, heard) in [
        (b"\x81\x02hi".as_slice(), 1, Some((8, "\u{3}\u{f3}the provider's connection broke off"))),
        // Whoever said goodbye is told nothing.
        (b"\x81\x02hi", 8, None),
        (b"\x81\x02hi\x88\x02\x03\xe8", 1, Some((8, "\u{3}\u{e8}"))),
        // Within a message nothing else can be said.
        (b"\x81\x02hi\x81", 1, None),
    ] {
        let home = Home::new();
        let text = format!(
            "keys = [{{ secret = \"sk-realtime-not-a-real-key-00000001\" }}]\n\
             gateway = {{ provider = \"openai\", listen = \"127.0.0.1:0\", upstream = \"{}/v1\" }}\n",
            leaving(says).await
        );
        home.write("keypool.toml", &text);
        let running = Running::of(home.command(&["serve"]));
        let address = running.url.strip_prefix("http://").unwrap().parse().unwrap();
        let bearer = format!("authorization: Bearer {PLACEHOLDER}\r\n");
        let mut socket = Socket::open(address, "/v1/realtime?model=gpt-realtime", &bearer).await;
        assert_eq!(socket.hear().await, Some((1, "hi".to_owned())));
        socket.say(code, "").await;
        let told = socket.hear_bytes().await;
        let told = told.map(|(code, text)| (code, text.into_iter().map(char::from).collect::<String>()));
        assert_eq!(told.as_ref().map(|(code, text)| (*code, text.as_str())), heard, "{says:?} {code}");
        end(running).await;
    }
}

/// A provider that says this over the first socket, and with what each was asked for.
async fn refusing(says: Vec<u8>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let keys = Arc::<Mutex<Vec<String>>>::default();
    let seen = Arc::clone(&keys);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let head = asked(&mut stream).await.to_ascii_lowercase();
            let key = head.lines().find_map(|line| line.strip_prefix("authorization: bearer ")).unwrap().to_owned();
            let is_first = {
                let mut keys = seen.lock().unwrap();
                keys.push(key);
                keys.len() == 1
            };
            open(&mut stream, if is_first { &says } else { b"\x81\x02hi" }).await;
            tokio::spawn(async move { while let Ok(1..) = stream.read(&mut [0; 1024]).await {} });
        }
    });
    (url, keys)
}

/// A frame of the provider's.
fn frame(code: u8, text: &[u8]) -> Vec<u8> {
    [&[0x80 | code, u8::try_from(text.len()).unwrap()], text].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_a_key_over_its_socket_is_held_against_it() {
    let error = |kind: &str, code: &str| {
        json!({ "type": "error", "error": { "type": kind, "code": code, "message": "m" } }).to_string().into_bytes()
    };
    for (says, rests) in [
        (frame(1, &error("insufficient_quota", "insufficient_quota")), true),
        (frame(1, &error("invalid_request_error", "invalid_api_key")), true),
        (frame(8, b"\x0b\xb8invalid_request_error.invalid_api_key"), true),
        (frame(1, &error("invalid_request_error", "session_expired")), false),
        (frame(8, b"\x0f\xa0invalid_request_error.missing_model"), false),
    ] {
        let (url, keys) = refusing(says.clone()).await;
        let home = Home::new();
        let text = format!(
            "keys = [{{ secret = \"sk-realtime-not-a-real-key-00000001\" }}, {{ secret = \"sk-realtime-not-a-real-key-00000002\" }}]\n\
             gateway = {{ provider = \"openai\", listen = \"127.0.0.1:0\", upstream = \"{url}/v1\" }}\n"
        );
        home.write("keypool.toml", &text);
        let running = Running::of(home.command(&["serve"]));
        let address = running.url.strip_prefix("http://").unwrap().parse().unwrap();
        let bearer = format!("authorization: Bearer {PLACEHOLDER}\r\n");
        for _ in 0..4 {
            let mut socket = Socket::open(address, "/v1/realtime?model=gpt-realtime", &bearer).await;
            assert!(socket.head.starts_with("HTTP/1.1 101"), "{}", socket.head);
            // Whoever has heard it comes after the pool.
            socket.hear_bytes().await;
            socket.say(8, "").await;
        }
        let keys = keys.lock().unwrap().clone();
        assert_eq!(keys.len(), 4);
        assert_eq!(keys[1..].iter().all(|key| *key != keys[0]), rests, "{says:?}: {keys:?}");
        end(running).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_stands_in_the_place_of_another_name_for_it() {
    let (url, _, asked) = listening().await;
    let home = Home::new();
    let text = format!(
        "keys = [{{ secret = \"sk-realtime-not-a-real-key-00000001\" }}]\n\
         models = [{{ name = \"gpt-realtime\", aliases = [\"spoken\"] }}]\n\
         gateway = {{ provider = \"openai\", listen = \"127.0.0.1:0\", upstream = \"{url}/v1\" }}\n"
    );
    home.write("keypool.toml", &text);
    let running = Running::of(home.command(&["serve"]));
    let address = running.url.strip_prefix("http://").unwrap().parse().unwrap();
    // The second as a client in a browser says it.
    for (named, sent, bearer) in [
        ("spoken", "gpt-realtime", format!("authorization: Bearer {PLACEHOLDER}\r\n")),
        (
            "gpt-other",
            "gpt-other",
            format!("sec-websocket-protocol: realtime, openai-insecure-api-key.{PLACEHOLDER}\r\n"),
        ),
    ] {
        let socket = Socket::open(address, &format!("/v1/realtime?model={named}"), &bearer).await;
        assert!(socket.head.starts_with("HTTP/1.1 101"), "{}", socket.head);
        assert_eq!(asked.lock().unwrap().pop().unwrap(), format!("GET /v1/realtime?model={sent} HTTP/1.1"));
    }
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_names_nothing_there_that_is_not_its_own() {
    let (url, came) = provider().await;
    let home = Home::new();
    let text = format!(
        "keys = [{{ secret = \"sk-realtime-not-a-real-key-00000001\" }}]\n\
         tenants = [{{ name = \"alice\", token = \"{ALICE}\" }}]\n\
         gateway = {{ provider = \"openai\", listen = \"127.0.0.1:0\", upstream = \"{url}/v1\" }}\n"
    );
    home.write("keypool.toml", &text);
    let running = Running::of(home.command(&["serve"]));
    let address = running.url.strip_prefix("http://").unwrap().parse().unwrap();
    let bearer = |token: &str| format!("authorization: Bearer {token}\r\n");
    let open = async |token: &str| {
        let socket = Socket::open(address, "/v1/realtime?model=gpt-realtime", &bearer(token)).await;
        assert!(socket.head.starts_with("HTTP/1.1 101"), "{}", socket.head);
        socket
    };
    let passed = |text: &str| came.lock().unwrap().windows(text.len()).any(|part| part == text.as_bytes());

    let prompt = json!({ "type": "session.update", "session": { "prompt": { "id": "pmpt_operators" } } }).to_string();
    let mut fine = vec![
        json!({ "type": "session.update", "session": { "voice": "alloy", "prompt": null, "audio": { "output": {} } } }),
        json!({ "type": "response.create", "response": { "conversation": "none", "instructions": "say \"prompt\"",
            "input": [{ "type": "item_reference", "id": "item_1" }] } }),
        json!({ "type": "input_audio_buffer.append", "event_id": "e", "audio": "QUFB".repeat(1_000) }),
    ];
    let mut alice = open(ALICE).await;
    for message in fine.drain(..).map(|message| message.to_string()) {
        alice.say(1, &message).await;
        until("it goes on", || passed(&message)).await;
    }
    for named in [
        prompt.clone(),
        prompt.replace("prompt\"", "pr\\u006fmpt\""),
        json!({ "type": "response.create", "response": { "prompt": { "id": "pmpt_operators" } } }).to_string(),
        json!({ "type": "session.update", "session": { "tools": [{ "vector_store_ids": ["vs_1"] }] } }).to_string(),
        json!({ "type": "session.update", "session": { "audio": { "output": { "voice": { "id": "v" } } } } })
            .to_string(),
    ] {
        let mut socket = open(ALICE).await;
        socket.say(1, &named).await;
        let (code, why) = socket.closed().await;
        assert!(code == 1008 && why.contains("is not known here"), "{code} {why}: {named}");
        assert!(!passed(&named), "{named}");
    }
    // However long, and whichever letters its writer numbers: base64 in .NET has each `+` so.
    let mut numbering = open(ALICE).await;
    let sound = r"QUF\u002B".repeat(200_000);
    let long = |more: &str| format!("{{\"type\":\"input_audio_buffer.append\",\"audio\":\"{sound}\"{more}}}");
    numbering.say(1, &long("")).await;
    numbering.say(1, r#"{"type":"input_audio_buffer.commit"}"#).await;
    until("both go on", || passed("input_audio_buffer.commit")).await;
    let mut socket = open(ALICE).await;
    socket.say_as_far_as_possible(&long(r#","pr\u006fmpt":{"id":"pmpt_operators"}"#)).await;
    assert_eq!(socket.closed().await.0, 1009);
    let call = Socket::open(address, "/v1/realtime?Call%5Fid=rtc_1", &bearer(ALICE)).await;
    assert!(call.head.starts_with("HTTP/1.1 404"), "{}", call.head);
    // Whoever has the one token may name anything.
    let mut owner = open(PLACEHOLDER).await;
    owner.say(1, &prompt).await;
    until("it goes on", || passed(&prompt)).await;
    drop((alice, owner, numbering));
    end(running).await;
}
