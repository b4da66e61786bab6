//! The Live API's WebSocket.

use futures_util::{SinkExt, StreamExt};
use gemini_sim::{GeminiSim, Refusal};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::{Error, Message};

const PATH: &str = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";

type Socket = tokio_tungstenite::WebSocketStream<TcpStream>;

async fn open(sim: &GeminiSim, query: &str) -> Result<Socket, u16> {
    let address = sim.url().replace("http://", "");
    let stream = TcpStream::connect(&address).await.unwrap();
    match client_async(format!("ws://{address}{PATH}{query}"), stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

async fn send_message(socket: &mut Socket, message: &Value) {
    socket.send(Message::text(message.to_string())).await.unwrap();
}

/// Returns the next message, or the code and reason with which the socket was closed.
async fn next_message(socket: &mut Socket) -> Result<Value, (u16, String)> {
    match socket.next().await.unwrap().unwrap() {
        Message::Close(Some(frame)) => Err((frame.code.into(), frame.reason.to_string())),
        message => Ok(serde_json::from_slice(&message.into_data()).unwrap()),
    }
}

async fn sim() -> GeminiSim {
    GeminiSim::builder().key("a").key("b").start().await.unwrap()
}

fn setup(more: &Value) -> Value {
    json!({ "setup": { "model": "models/gemini-2.5-flash", "sessionResumption": more } })
}

#[tokio::test]
async fn session_is_set_up_and_has_turns() {
    let sim = sim().await;
    let mut socket = open(&sim, "?key=a").await.unwrap();
    send_message(&mut socket, &setup(&Value::Null)).await;
    assert_eq!(next_message(&mut socket).await.unwrap(), json!({ "setupComplete": {} }));
    send_message(&mut socket, &json!({ "clientContent": "echo-key" })).await;
    let answer = next_message(&mut socket).await.unwrap();
    assert_eq!(answer["serverContent"]["modelTurn"]["parts"][0]["text"], "the key is a");
    assert_eq!(next_message(&mut socket).await.unwrap()["usageMetadata"]["totalTokenCount"], 12);
    send_message(&mut socket, &json!({ "clientContent": "exceed-quota" })).await;
    assert_eq!(next_message(&mut socket).await.unwrap_err().0, 1011);
    assert_eq!(sim.report().key("key-0").unwrap().accepted, 1);
}

#[tokio::test]
async fn handle_resumes_only_sessions_of_its_key() {
    let sim = sim().await;
    let mut socket = open(&sim, "?key=a").await.unwrap();
    send_message(&mut socket, &setup(&json!({}))).await;
    next_message(&mut socket).await.unwrap();
    let handle = next_message(&mut socket).await.unwrap()["sessionResumptionUpdate"]["newHandle"].clone();
    for (key, resumed) in [("a", true), ("b", false)] {
        let mut socket = open(&sim, &format!("?key={key}")).await.unwrap();
        send_message(&mut socket, &setup(&json!({ "handle": handle }))).await;
        assert_eq!(next_message(&mut socket).await.is_ok(), resumed, "{key}");
    }
}

#[tokio::test]
async fn sockets_require_one_valid_key_and_a_setup_with_a_known_model() {
    let sim = sim().await;
    sim.refuse_key("key-1", Some(Refusal::ConsumerSuspended));
    for (query, status) in [("", 403), ("?key=a&key=a", 400), ("?key=nobody", 400), ("?key=b", 403)] {
        assert_eq!(open(&sim, query).await.unwrap_err(), status, "{query}");
    }
    assert_eq!(sim.report().total.accepted, 0);
    let mut socket = open(&sim, "?key=a").await.unwrap();
    send_message(&mut socket, &json!({ "clientContent": "hello" })).await;
    assert_eq!(next_message(&mut socket).await.unwrap_err().0, 1007);
    let mut socket = open(&sim, "?key=a").await.unwrap();
    send_message(&mut socket, &json!({ "setup": { "model": "models/none" } })).await;
    let (code, reason) = next_message(&mut socket).await.unwrap_err();
    assert!(code == 1008 && reason.starts_with("models/none is not found") && reason.len() <= 123, "{reason}");
}
