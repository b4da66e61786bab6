//! Sockets of interactions, as google-genai's `interactions.connect` opens them.

use std::time::Duration;

use gemini_sim::{GeminiSim, Project};
use keypool::{
    database::Records,
    gateway::{
        capability::hash_of,
        tenant::{From, Grant},
        token::PLACEHOLDER,
    },
};
use serde_json::{Value, json};
use tower_keypool::{Gemini, Key, KeyPool};

use crate::{
    live::{Socket, until},
    resources::post,
    serving::{ONE, TWO},
    support::Served,
};

const PATH: &str = "/v1beta/interactions/live";

struct Stage {
    _sim: GeminiSim,
    pool: KeyPool,
    served: Served,
}

/// Alice, who may ask one model, and Bob.
async fn stage() -> Stage {
    let builder = GeminiSim::builder().project(Project::new("1").key(ONE)).project(Project::new("2").key(TWO));
    let sim = builder.start().await.unwrap();
    let keys = [Key::new(ONE).id("one").owner("p1"), Key::new(TWO).id("two").owner("p2")];
    let pool = KeyPool::builder(Gemini::at(&sim.url()).unwrap()).keys(keys).wait(Duration::ZERO).build().unwrap();
    let (served, tenants) = Served::kept(&pool, &sim.url(), Records::default()).await;
    let grant = |name: &str, models: &[&str]| Grant {
        name: name.into(),
        token_hash: hash_of(format!("kp-{name}").as_bytes()),
        models: models.iter().map(|model| (*model).to_owned()).collect(),
        ..Grant::default()
    };
    tenants.set(From::Commands, vec![grant("alice", &["gemini-2.5-flash"]), grant("bob", &[])]);
    Stage { _sim: sim, pool, served }
}

impl Stage {
    async fn interaction(&self, token: &str) -> String {
        let ask = json!({ "model": "gemini-2.5-flash", "input": "Hello" });
        let made = post(&self.served, token, "/v1beta/interactions", ask).await;
        made.json()["id"].as_str().unwrap().to_owned()
    }

    async fn open(&self, token: &str, first: &Value) -> Socket {
        let mut socket = Socket::open(self.served.address, PATH, &format!("x-goog-api-key: {token}\r\n")).await;
        assert!(socket.head.starts_with("HTTP/1.1 101"), "{}", socket.head);
        socket.say(1, &first.to_string()).await;
        socket
    }
}

fn connect(id: &str) -> Value {
    json!({ "event_type": "interaction.connect", "id": id })
}

async fn event(socket: &mut Socket) -> Value {
    let (code, text) = socket.hear().await.unwrap();
    assert_eq!(code, 1, "{text}");
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn an_interaction_is_connected_to_where_it_lies() {
    let stage = stage().await;
    for token in [PLACEHOLDER, "kp-alice", "kp-bob"] {
        // Of one project or the other.
        for _ in 0..4 {
            let id = stage.interaction(token).await;
            let mut socket = stage.open(token, &connect(&id)).await;
            assert_eq!(event(&mut socket).await["event_type"], "interaction.connected");
            assert_eq!(stage.pool.snapshot().in_flight, 1, "a lease for as long as it is open");
            let said =
                json!({ "event_type": "input", "content": [{ "type": "text", "text": "interaction.connect!" }] });
            socket.say(1, &said.to_string()).await;
            let mut told = Vec::new();
            while told.last().is_none_or(|last| last != "step.stop") {
                told.push(event(&mut socket).await["event_type"].as_str().unwrap().to_owned());
            }
            assert_eq!(told, ["step.start", "step.delta", "step.stop"]);
            socket.say(1, r#"{"event_type":"interaction.complete"}"#).await;
            assert_eq!(event(&mut socket).await["event_type"], "interaction.completed");
            drop(socket);
            until("the lease ends", || stage.pool.snapshot().in_flight == 0).await;
        }
    }
}

#[tokio::test]
async fn another_tenants_interaction_is_not_there() {
    let stage = stage().await;
    let id = stage.interaction("kp-alice").await;
    let own = stage.interaction("kp-bob").await;
    let twice = format!(r#"{{"event_type":"interaction.connect","id":"{id}","id":"{own}"}}"#);
    let started = stage.pool.snapshot().started;
    for first in [connect(&id), connect("made-up"), json!({ "events": [connect(&id)] })] {
        let (code, why) = stage.open("kp-bob", &first).await.closed().await;
        assert!(code == 1008 && why.contains("not known here"), "{first}: {code} {why}");
    }
    assert_eq!(stage.pool.snapshot().started, started, "it was tried nowhere");
    // Whichever of two ids the provider would read, it is told of the one that was looked at.
    let key = "x-goog-api-key: kp-bob\r\n";
    let mut socket = Socket::open(stage.served.address, PATH, key).await;
    socket.say(1, &twice).await;
    assert_eq!(event(&mut socket).await["interaction_id"], own);
}

#[tokio::test]
async fn a_session_is_of_one_interaction_and_begins_with_it() {
    let stage = stage().await;
    let id = stage.interaction("kp-alice").await;
    for first in [
        json!({ "event_type": "input", "content": [] }),
        json!({ "event_type": "interaction.connect" }),
        json!({ "events": [] }),
        json!({ "events": [connect(&id), connect(&id)] }),
        // Alice may ask one model.
        json!({ "event_type": "interaction.create", "model": "gemini-2.5-pro" }),
        json!({ "event_type": "interaction.create" }),
        json!({ "setup": { "model": "models/gemini-2.5-flash" } }),
    ] {
        let (code, why) = stage.open("kp-alice", &first).await.closed().await;
        assert_eq!(code, 1008, "{first}: {why}");
    }
    let again = connect(&id).to_string();
    let created = json!({ "events": [{ "event_type": "input" }, { "event_type": "interaction.create" }] }).to_string();
    let escaped = again.replace("interaction.", "interaction\\u002e");
    for later in [again, created, escaped] {
        let mut socket = stage.open("kp-alice", &connect(&id)).await;
        assert_eq!(event(&mut socket).await["event_type"], "interaction.connected");
        socket.say(1, &later).await;
        let (code, why) = socket.closed().await;
        assert!(code == 1008 && why.contains("once"), "{later}: {code} {why}");
    }
}

#[tokio::test]
async fn a_token_that_was_made_for_an_interaction_opens_its_socket() {
    let stage = stage().await;
    for _ in 0..3 {
        let id = stage.interaction(PLACEHOLDER).await;
        let path = format!("/v1beta/interactions/{id}/auth_tokens");
        let made = post(&stage.served, PLACEHOLDER, &path, json!({})).await;
        let token = made.json()["auth_token"].as_str().unwrap().to_owned();
        let mut socket = stage.open(&token, &connect(&id)).await;
        assert_eq!(event(&mut socket).await["event_type"], "interaction.connected");
        drop(socket);
        let own = stage.interaction("kp-alice").await;
        let refused = post(&stage.served, "kp-alice", &path.replace(&id, &own), json!({})).await;
        assert_eq!(refused.status, 403, "it would open one past what a tenant may");
        let (code, why) = stage.open(&token, &connect(&own)).await.closed().await;
        assert!(code == 1008 && why.contains("not known here"), "{code} {why}");
    }
    let stranger = Socket::open(stage.served.address, PATH, "x-goog-api-key: auth_tokens/made-up\r\n").await;
    assert!(stranger.head.starts_with("HTTP/1.1 401"), "{}", stranger.head);
}
