//! Sessions of the Live API.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{SinkExt, StreamExt};
use gemini_sim::Refusal;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async, client_async,
    tungstenite::{
        Message,
        client::IntoClientRequest,
        handshake::server::{Request, Response},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use crate::support::{GENERATE, Gateway, TOKEN, Upstream, hello, key, reply, sim};

const PATH: &str = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";

struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn connect(gateway: &Gateway, token: &str) -> Self {
        let address = gateway.url.trim_start_matches("http://");
        let stream = TcpStream::connect(address).await.expect("a connection");
        let request = format!("ws://{address}{PATH}?key={token}").into_client_request().expect("a request");
        Self(client_async(request, stream).await.expect("a session").0)
    }

    async fn set_up(gateway: &Gateway, model: &str) -> Self {
        let mut client = Self::connect(gateway, TOKEN).await;
        client.send(&json!({ "setup": { "model": format!("models/{model}") } })).await;
        assert_eq!(client.receive().await, json!({ "setupComplete": {} }));
        client
    }

    async fn send(&mut self, message: &Value) {
        self.0.send(Message::text(message.to_string())).await.expect("sent");
    }

    async fn next(&mut self) -> Message {
        let next = timeout(Duration::from_secs(20), self.0.next()).await.expect("a message in time");
        next.expect("a message").expect("a message")
    }

    async fn receive(&mut self) -> Value {
        loop {
            match self.next().await {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Binary(data) => return serde_json::from_slice(&data).expect("JSON"),
                Message::Close(frame) => panic!("closed: {frame:?}"),
                _ => {}
            }
        }
    }

    /// Waits for the close frame and returns its code and reason.
    async fn closed(&mut self) -> (u16, String) {
        loop {
            if let Message::Close(frame) = self.next().await {
                return frame.map_or((1005, String::new()), |frame| (frame.code.into(), frame.reason.to_string()));
            }
        }
    }
}

fn turn(text: &str) -> Value {
    json!({ "clientContent": { "turns": [{ "role": "user", "parts": [{ "text": text }] }], "turnComplete": true } })
}

/// Starts a WebSocket server that runs a closure for each connection, and records the heads of all handshakes.
async fn websocket_upstream<F, S>(serve: F) -> (String, Arc<Mutex<Vec<Request>>>)
where
    F: Fn(usize, WebSocketStream<TcpStream>) -> S + Send + Sync + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&heads);
    tokio::spawn(async move {
        let mut n = 0;
        while let Ok((stream, _)) = listener.accept().await {
            #[expect(clippy::result_large_err, reason = "the signature is tungstenite's")]
            let keep = |request: &Request, response: Response| {
                seen.lock().expect("no panic").push(request.clone());
                Ok(response)
            };
            let Ok(socket) = accept_hdr_async(stream, keep).await else { continue };
            tokio::spawn(serve(n, socket));
            n += 1;
        }
    });
    (url, heads)
}

async fn complete(socket: &mut WebSocketStream<TcpStream>) {
    let _ = socket.next().await;
    let _ = socket.send(Message::text(r#"{"setupComplete":{}}"#)).await;
}

#[tokio::test]
async fn session_is_served_without_showing_the_key() {
    let sim = sim(2).await;
    let gateway = Gateway::start(&sim.url(), 2, &["--db", "none"]);
    let mut client = Client::set_up(&gateway, "gemini-2.5-flash").await;
    for _ in 0..3 {
        client.send(&turn("echo-key")).await;
        let text = client.receive().await.to_string();
        assert!(text.contains("the key is") && !text.contains("AIza"), "{text}");
        assert_eq!(client.receive().await["serverContent"]["turnComplete"], true);
    }
    client.0.close(Some(CloseFrame { code: CloseCode::Normal, reason: "bye".into() })).await.expect("sent");
    assert_eq!(client.closed().await, (1000, "bye".to_owned()));
    gateway.wait_for_log("live session ended").await;
    let log = gateway.log();
    let id = log.split("answered request=\"").nth(1).and_then(|line| line.split('"').next()).expect("an id");
    assert_eq!(log.lines().filter(|line| line.contains("live session") && line.contains(id)).count(), 2, "{log}");
    assert_eq!(sim.report().total.accepted, 1);
    assert!(!gateway.log().contains(&key(0)) && !gateway.log().contains(&key(1)));
}

#[tokio::test]
async fn another_key_is_tried_after_a_refusal() {
    let sim = sim(3).await;
    sim.refuse_key("key-0", Some(Refusal::ApiKeyInvalid));
    sim.refuse_key("key-1", Some(Refusal::ConsumerSuspended));
    let gateway = Gateway::start(&sim.url(), 3, &["--db", "none"]);
    for _ in 0..4 {
        let mut client = Client::set_up(&gateway, "gemini-2.5-flash").await;
        client.send(&turn("Hello")).await;
        assert!(client.receive().await["serverContent"].is_object());
    }
}

#[tokio::test]
async fn refused_setup_is_retried_and_then_closed_with_the_reason() {
    let (url, heads) = websocket_upstream(|n, mut socket| async move {
        let _ = socket.next().await;
        if n == 0 {
            let reason = "You exceeded your current quota, please check your plan";
            let frame = CloseFrame { code: CloseCode::Error, reason: reason.into() };
            let _ = socket.close(Some(frame)).await;
        } else {
            let _ = socket.send(Message::text(r#"{"setupComplete":{}}"#)).await;
        }
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
    let gateway = Gateway::start(&url, 2, &["--db", "none"]);
    Client::set_up(&gateway, "gemini-2.5-flash").await;
    let keys: Vec<_> =
        heads.lock().expect("no panic").iter().map(|head| head.headers()["x-goog-api-key"].clone()).collect();
    assert!(keys.len() == 2 && keys[0] != keys[1], "{keys:?}");

    let sim = sim(2).await;
    let gateway = Gateway::start(&sim.url(), 2, &["--db", "none"]);
    let mut client = Client::connect(&gateway, TOKEN).await;
    client.send(&json!({ "setup": { "model": "models/no-such-model" } })).await;
    let (code, reason) = client.closed().await;
    assert_eq!(code, 1008);
    assert!(reason.contains("no-such-model") && reason.len() <= 123, "{reason}");
}

#[tokio::test]
async fn callers_own_words_in_a_close_reason_punish_no_key() {
    let long = format!("models/{}", "api key not valid ".repeat(6));
    for (code, reason) in [
        (
            CloseCode::Invalid,
            "Invalid JSON payload received. Unknown name \"permission\" at 'setup': Cannot find field.",
        ),
        (CloseCode::Invalid, "Invalid value at 'setup.model' (TYPE_STRING), \"quota\""),
        (CloseCode::Invalid, "Request contains an invalid argument."),
        (
            CloseCode::Policy,
            "models/quota-x is not found for API version v1beta, or is not supported for bidiGenerateContent.",
        ),
        (CloseCode::Policy, "permission-x is not found for API version v1beta"),
        (CloseCode::Policy, &long),
    ] {
        let text = reason.to_owned();
        let (url, heads) = websocket_upstream(move |n, mut socket| {
            let text = text.clone();
            async move {
                if n > 0 {
                    return complete(&mut socket).await;
                }
                let _ = socket.next().await;
                let _ = socket.close(Some(CloseFrame { code, reason: text.into() })).await;
                while let Some(Ok(_)) = socket.next().await {}
            }
        })
        .await;
        let gateway = Gateway::start(&url, 1, &["--db", "none"]);
        let mut client = Client::connect(&gateway, TOKEN).await;
        client.send(&json!({ "setup": { "model": "models/gemini-2.5-flash" } })).await;
        assert_eq!(client.closed().await, (code.into(), reason.to_owned()));
        assert_eq!(heads.lock().expect("no panic").len(), 1, "{reason}");
        Client::set_up(&gateway, "gemini-2.0-flash").await;
    }
}

#[tokio::test]
async fn session_that_no_key_can_open_is_closed_without_key_details() {
    for (code, text, expected) in [
        (CloseCode::Error, "Internal error encountered.", "transient: Internal error encountered."),
        (CloseCode::Invalid, "API key not valid. Please pass a valid API key.", "key_rejected"),
        (CloseCode::Policy, "API key not found. Please pass a valid API key.", "key_rejected"),
    ] {
        let (url, heads) = websocket_upstream(move |_, mut socket| async move {
            let _ = socket.next().await;
            let _ = socket.close(Some(CloseFrame { code, reason: text.into() })).await;
            while let Some(Ok(_)) = socket.next().await {}
        })
        .await;
        let tenant = "[[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\ntpm = 20\n";
        let gateway = Gateway::configured(&url, 2, tenant);
        let setup = json!({ "setup": { "model": "models/gemini-2.5-flash" } });
        let mut client = Client::connect(&gateway, "token-of-a").await;
        client.send(&setup).await;
        assert_eq!(client.closed().await, (1011, format!("no key could open the session: {expected}")));
        assert_eq!(heads.lock().expect("no panic").len(), 2);
        // The tenant used no tokens.
        for _ in 0..2 {
            let mut client = Client::connect(&gateway, "token-of-a").await;
            client.send(&setup).await;
            let (_, reason) = client.closed().await;
            assert!(!reason.contains("this token has reached its limit"), "{reason}");
        }
    }
}

#[tokio::test]
async fn endless_page_in_place_of_a_handshake_ends_the_session() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        assert!(stream.read(&mut [0; 8_192]).await.expect("a request") > 0);
        let page = b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n<html>";
        stream.write_all(page).await.expect("sent");
        std::future::pending::<()>().await;
    });
    let gateway = Gateway::start(&url, 1, &["--db", "none"]);
    let mut client = Client::connect(&gateway, TOKEN).await;
    client.send(&json!({ "setup": { "model": "models/gemini-2.5-flash" } })).await;
    assert_eq!(client.closed().await, (1011, "the provider refused the session: 200 OK".to_owned()));
}

#[tokio::test]
async fn first_message_must_be_the_setup() {
    let sim = sim(1).await;
    let gateway = Gateway::start(&sim.url(), 1, &["--db", "none"]);
    let mut client = Client::connect(&gateway, TOKEN).await;
    client.send(&turn("Hello")).await;
    assert_eq!(client.closed().await.0, 1007);
    let answer = gateway.get(PATH).await;
    assert_eq!(answer.status, http::StatusCode::UPGRADE_REQUIRED, "{}", answer.text());
    assert_eq!(answer.header("sec-websocket-version"), "13");
    assert_eq!(sim.report().total.arrivals, 0);
}

#[tokio::test]
async fn session_counts_as_a_connection() {
    let sim = sim(1).await;
    let gateway = Gateway::configured(&sim.url(), 1, "[gateway]\nmax_connections = 2\n");
    assert_eq!(gateway.post(GENERATE, &hello()).await.status, 200);
    let client = Client::set_up(&gateway, "gemini-2.5-flash").await;
    // The client of the request above and the session use both connections.
    let mut refused = TcpStream::connect(gateway.url.trim_start_matches("http://")).await.expect("a connection");
    let mut text = String::new();
    let read = refused.read_to_string(&mut text);
    timeout(Duration::from_secs(20), read).await.expect("a response in time").expect("a response");
    assert!(text.starts_with("HTTP/1.1 503"), "{text}");
    drop(client);
}

#[tokio::test]
async fn websockets_on_other_paths_are_refused() {
    let sim = sim(1).await;
    let gateway = Gateway::start(&sim.url(), 1, &["--db", "none"]);
    let request = http::Request::get("/v1/responses")
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    let answer = gateway.send(request.body(http_body_util::Full::default()).expect("a request")).await;
    assert_eq!(answer.status, http::StatusCode::UPGRADE_REQUIRED);
    assert_eq!(sim.report().total.arrivals, 0);
}

#[tokio::test]
async fn close_of_the_provider_reaches_the_client() {
    let (url, _) = websocket_upstream(|_, mut socket| async move {
        complete(&mut socket).await;
        let frame = CloseFrame { code: CloseCode::Again, reason: format!("{}, try again", key(0)).into() };
        let _ = socket.close(Some(frame)).await;
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
    let gateway = Gateway::start(&url, 1, &["--db", "none"]);
    let (code, reason) = Client::set_up(&gateway, "gemini-2.5-flash").await.closed().await;
    assert!(code == 1013 && reason.ends_with(", try again") && !reason.contains(&key(0)), "{code} {reason}");
}

#[tokio::test]
async fn close_is_handled_while_the_provider_does_not_read() {
    let (url, _) = websocket_upstream(|_, mut socket| async move {
        complete(&mut socket).await;
        std::future::pending::<()>().await;
    })
    .await;
    let gateway = Gateway::start(&url, 1, &["--db", "none"]);
    let mut client = Client::set_up(&gateway, "gemini-2.5-flash").await;
    // More than the buffers of all sockets on the way.
    let large = json!({ "realtimeInput": { "text": "x".repeat(1 << 20) } });
    for _ in 0..12 {
        client.send(&large).await;
    }
    client.0.close(None).await.expect("sent");
    gateway.wait_for_log("live session ended").await;
}

#[tokio::test]
async fn clients_that_do_not_read_or_stay_silent_are_disconnected() {
    let (url, _) = websocket_upstream(|_, mut socket| async move {
        complete(&mut socket).await;
        while socket.send(Message::text("x".repeat(1 << 20))).await.is_ok() {}
    })
    .await;
    let gateway = Gateway::configured(&url, 1, "[gateway]\nreader_timeout = \"1s\"\n");
    let client = Client::connect(&gateway, TOKEN).await;
    let mut client = client;
    client.send(&json!({ "setup": { "model": "models/gemini-2.5-flash" } })).await;
    for _ in 0..15 {
        let _ = client.0.send(Message::text(turn("Hello").to_string())).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    gateway.wait_for_log("live session ended").await;

    let sim = sim(1).await;
    let gateway = Gateway::configured(&sim.url(), 1, "[gateway]\nreader_timeout = \"1s\"\n");
    let mut client = Client::set_up(&gateway, "gemini-2.5-flash").await;
    assert_eq!(client.closed().await.0, 1001);
}

#[tokio::test]
async fn provider_that_offers_http2_is_reached_over_tls() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let private = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let tls = tls.expect("versions").with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], private);
    let mut tls = tls.expect("a configuration");
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("https://localhost:{}", listener.local_addr().expect("an address").port());
    tokio::spawn(async move {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else { continue };
            let _ = socket.next().await;
            let _ = socket.send(Message::text(r#"{"setupComplete":{}}"#)).await;
            while let Some(Ok(_)) = socket.next().await {}
        }
    });
    let gateway = Gateway::start_with(&url, 1, |command, folder| {
        std::fs::write(folder.join("ca.pem"), made.cert.pem()).expect("written");
        command.args(["--db", "none", "--cacert", "ca.pem"]);
    });
    Client::set_up(&gateway, "gemini-2.5-flash").await;
}

#[tokio::test]
async fn pings_and_binary_messages_are_passed_on() {
    let (url, _) = websocket_upstream(|_, mut socket| async move {
        complete(&mut socket).await;
        while let Some(Ok(message)) = socket.next().await {
            let _ = match message {
                Message::Ping(data) => socket.send(Message::text(json!({ "pinged": data.len() }).to_string())).await,
                Message::Binary(data) => socket.send(Message::Binary(data)).await,
                _ => Ok(()),
            };
        }
    })
    .await;
    let gateway = Gateway::start(&url, 1, &["--db", "none"]);
    let mut client = Client::set_up(&gateway, "gemini-2.5-flash").await;
    client.0.send(Message::Ping(vec![1, 2, 3].into())).await.expect("sent");
    assert_eq!(client.receive().await, json!({ "pinged": 3 }));
    client.0.send(Message::binary(vec![0_u8, 255])).await.expect("sent");
    loop {
        match client.next().await {
            Message::Binary(data) => break assert_eq!(&data[..], [0, 255]),
            other => assert!(other.is_pong(), "{other:?}"),
        }
    }
}

#[tokio::test]
async fn provider_gets_the_setup_that_was_checked() {
    let (url, _) = websocket_upstream(|_, mut socket| async move {
        if let Some(Ok(setup)) = socket.next().await {
            let _ = socket.send(setup).await;
        }
    })
    .await;
    let config = "[[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\nmodels = [\"small\"]\n";
    let gateway = Gateway::configured(&url, 1, config);
    let mut client = Client::connect(&gateway, "token-of-a").await;
    let twice = r#"{"setup":{"model":"models/big"},"setup":{"x":[1.50],"model":"big","model":"models/small"}}"#;
    client.0.send(Message::text(twice)).await.expect("sent");
    let Message::Text(received) = client.next().await else { panic!("no text") };
    assert_eq!(received.as_str(), r#"{"setup":{"x":[1.5],"model":"models/small"}}"#);
}

#[tokio::test]
async fn aliases_are_resolved_and_sessions_resume_in_their_project() {
    let sim = sim(2).await;
    let config = "[[models]]\nname = \"gemini-2.5-flash\"\naliases = [\"voice\"]\n";
    let gateway = Gateway::configured(&sim.url(), 2, config);
    let mut client = Client::connect(&gateway, TOKEN).await;
    client.send(&json!({ "setup": { "model": "models/voice", "sessionResumption": {} } })).await;
    client.receive().await;
    let handle = client.receive().await["sessionResumptionUpdate"]["newHandle"].clone();
    drop(client);
    for _ in 0..4 {
        let mut client = Client::connect(&gateway, TOKEN).await;
        client.send(&json!({ "setup": { "model": "models/voice", "sessionResumption": { "handle": handle } } })).await;
        assert_eq!(client.receive().await, json!({ "setupComplete": {} }));
    }
    let mut client = Client::connect(&gateway, TOKEN).await;
    client.send(&json!({ "setup": { "model": "voice", "sessionResumption": { "handle": "made-up" } } })).await;
    assert_eq!(client.closed().await.0, 1008);
}

#[tokio::test]
async fn tokens_count_for_the_tenant_and_a_revoked_tenant_is_disconnected() {
    let sim = sim(1).await;
    let tenants = |tpm: u64| {
        format!(
            "[[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\ntpm = {tpm}\nmodels = [\"gemini-2.5-*\"]\n\
             [[tenants]]\nname = \"b\"\ntoken = \"token-of-b\"\n"
        )
    };
    let gateway = Gateway::configured(&sim.url(), 1, &tenants(40));
    let setup = json!({ "setup": { "model": "models/gemini-2.5-flash" } });
    let mut client = Client::connect(&gateway, "token-of-a").await;
    client.send(&setup).await;
    client.receive().await;
    for _ in 0..4 {
        client.send(&turn("Hello")).await;
        client.receive().await;
        client.receive().await;
    }
    client.0.close(None).await.expect("sent");
    client.closed().await;
    gateway.wait_for_log("live session ended").await;
    let mut next = Client::connect(&gateway, "token-of-a").await;
    next.send(&setup).await;
    let (code, reason) = next.closed().await;
    assert!(code == 1008 && reason.contains("limit"), "48 tokens of 40: {code} {reason}");
    let mut other = Client::connect(&gateway, "token-of-b").await;
    other.send(&json!({ "setup": { "model": "models/gemini-2.0-flash" } })).await;
    other.receive().await;
    let mut a = Client::connect(&gateway, "token-of-a").await;
    a.send(&json!({ "setup": { "model": "models/gemini-2.0-flash" } })).await;
    assert!(a.closed().await.1.contains("may not use"));
    std::fs::write(
        gateway.folder.path().join("keypool.toml"),
        tenants(40).split("[[").take(2).collect::<Vec<_>>().join("[["),
    )
    .expect("written");
    gateway.signal("HUP");
    assert_eq!(other.closed().await, (1008, "this token was revoked".to_owned()));
}

#[tokio::test]
async fn session_that_no_key_can_open_does_not_count_for_the_tenant() {
    let sim = sim(0).await;
    for keys in [0, 1] {
        let tenant = "[[tenants]]\nname = \"a\"\ntoken = \"token-of-a\"\nrpm = 1\n";
        let gateway = Gateway::configured(&sim.url(), keys, tenant);
        for _ in 0..2 {
            let mut client = Client::connect(&gateway, "token-of-a").await;
            client.send(&json!({ "setup": { "model": "models/gemini-2.5-flash" } })).await;
            assert_eq!(client.closed().await.0, 1011);
        }
    }
}

#[tokio::test]
async fn sessions_end_with_the_gateway() {
    let sim = sim(1).await;
    let mut gateway = Gateway::start(&sim.url(), 1, &["--db", "none"]);
    let mut client = Client::set_up(&gateway, "gemini-2.5-flash").await;
    gateway.signal("TERM");
    assert_eq!(client.closed().await.0, 1001);
    drop(client);
    assert!(gateway.wait().success());
}

#[tokio::test]
async fn too_long_message_ends_the_session() {
    let sim = sim(1).await;
    let gateway = Gateway::start(&sim.url(), 1, &["--db", "none"]);
    let mut client = Client::set_up(&gateway, "gemini-2.5-flash").await;
    // The gateway does not read the rest of the message, so the close frame can get lost.
    let _ = client.0.send(Message::text("x".repeat((16 << 20) + 1))).await;
    gateway.wait_for_log("code=1009").await;
}

#[tokio::test]
async fn absurd_usage_does_not_end_a_session() {
    let (url, _) = websocket_upstream(|_, mut socket| async move {
        complete(&mut socket).await;
        let most = u64::MAX;
        let usage = json!({ "promptTokenCount": most, "toolUsePromptTokenCount": most, "candidatesTokenCount": most });
        let usage = json!({ "usageMetadata": usage }).to_string();
        for text in [&usage, &usage, r#"{"serverContent":{}}"#] {
            let _ = socket.send(Message::text(text)).await;
        }
        let _ = socket.next().await;
    })
    .await;
    let gateway = Gateway::start(&url, 1, &["--db", "none"]);
    let mut client = Client::set_up(&gateway, "gemini-2.5-flash").await;
    for _ in 0..2 {
        assert!(client.receive().await["usageMetadata"].is_object());
    }
    assert_eq!(client.receive().await, json!({ "serverContent": {} }));
}

#[tokio::test]
async fn key_with_json_escapes_is_redacted_in_messages() {
    let (url, _) = websocket_upstream(|_, mut socket| async move {
        complete(&mut socket).await;
        let text = format!(r#"{{"text":"{}"}}"#, key(0).replace('A', "\\u0041"));
        let _ = socket.send(Message::text(&text)).await;
        let _ = socket.send(Message::binary(text.into_bytes())).await;
        let _ = socket.next().await;
    })
    .await;
    let gateway = Gateway::start(&url, 1, &["--db", "none"]);
    let mut client = Client::set_up(&gateway, "gemini-2.5-flash").await;
    for _ in 0..2 {
        assert_eq!(client.receive().await["text"], "***");
    }
}

#[tokio::test]
async fn refused_handshake_does_not_show_the_key() {
    let upstream = Upstream::start(|_| {
        reply(200, "text/html", json!({ "error": { "message": format!("{} is bad", key(0)) } }).to_string())
    })
    .await;
    let gateway = Gateway::start(&upstream.url, 1, &["--db", "none"]);
    let mut client = Client::connect(&gateway, TOKEN).await;
    client.send(&json!({ "setup": { "model": "models/gemini-2.5-flash" } })).await;
    assert_eq!(client.closed().await.1, "*** is bad");
    gateway.wait_for_log("live session ended").await;
    assert!(!gateway.log().contains(&key(0)));
}
