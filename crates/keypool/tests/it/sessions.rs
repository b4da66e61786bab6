//! Sessions of the Live API with a provider that says what the test wants, byte for byte.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use keypool::{database::Records, gateway::token::PLACEHOLDER};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tower_keypool::{Gemini, Key, KeyPool};

use crate::{
    live::{PATH, Socket, until},
    serving::{ONE, TWO},
    support::Served,
};

const SETUP: &str = r#"{"setup":{"model":"models/gemini-2.5-flash"}}"#;
const READY: &str = r#"{"setupComplete":{}}"#;

/// A frame of a provider's.
fn frame(first: u8, inside: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    if let Ok(short @ 0..126) = u8::try_from(inside.len()) {
        frame.push(short);
    } else {
        frame.push(126);
        frame.extend(u16::try_from(inside.len()).unwrap().to_be_bytes());
    }
    frame.extend(inside);
    frame
}

fn closing(code: u16, reason: &str) -> Vec<u8> {
    frame(0x88, &[&code.to_be_bytes()[..], reason.as_bytes()].concat())
}

/// What was heard of a socket: with which key it came, and what came in clear frames.
type Heard = Arc<Mutex<Vec<(String, String)>>>;

/// A provider that says this to the first message over a socket, by its key, and hangs up once it has said a closing frame.
async fn provider(says: impl Fn(&str) -> Vec<Vec<u8>> + Send + Sync + 'static) -> (String, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (says, heard) = (Arc::new(says), Heard::default());
    let told = Arc::clone(&heard);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(converse(stream, Arc::clone(&says), Arc::clone(&told)));
        }
    });
    (url, heard)
}

async fn converse(mut stream: TcpStream, says: Arc<impl Fn(&str) -> Vec<Vec<u8>>>, heard: Heard) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let key = [ONE, TWO].into_iter().find(|key| head.contains(&key.to_ascii_lowercase()))?;
    let answer = "HTTP/1.1 101 X\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(answer.as_bytes()).await.ok()?;
    let at = heard.lock().unwrap().len();
    heard.lock().unwrap().push((key.to_owned(), String::new()));
    let mut buffer = [0; 4096];
    let mut is_first = true;
    loop {
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        heard.lock().unwrap()[at].1.push_str(&String::from_utf8_lossy(&buffer[..read]));
        if !std::mem::take(&mut is_first) {
            continue;
        }
        for piece in says(key) {
            let closes = piece.first() == Some(&0x88);
            stream.write_all(&piece).await.ok()?;
            if closes {
                stream.shutdown().await.ok()?;
            }
        }
    }
}

fn pool(url: &str) -> KeyPool {
    let keys = [Key::new(ONE).id("one"), Key::new(TWO).id("two")];
    KeyPool::builder(Gemini::at(url).unwrap()).keys(keys).wait(Duration::ZERO).build().unwrap()
}

async fn open(served: &Served) -> Socket {
    let mut socket = Socket::open(served.address, PATH, &format!("x-goog-api-key: {PLACEHOLDER}\r\n")).await;
    assert!(socket.head.starts_with("HTTP/1.1 101 "), "{}", socket.head);
    socket.say(1, SETUP).await;
    socket
}

/// The next frame, which comes soon.
async fn next(socket: &mut Socket) -> (u8, String) {
    let next = timeout(Duration::from_secs(5), socket.hear()).await;
    next.expect("what is whole is not held back").expect("it goes on")
}

#[tokio::test]
async fn a_key_in_parts_of_a_message_is_overwritten_and_nothing_whole_is_held_back() {
    let (url, _) = provider(|key| {
        let (front, back) = key.split_at(20);
        let mut says = vec![frame(0x81, READY.as_bytes())];
        for first in [0x01, 0x02] {
            says.push(frame(first, format!("{{\"x\":\"{front}").as_bytes()));
            says.push(frame(0x89, b"ping"));
            says.push(frame(0x80, format!("{back}\"}}").as_bytes()));
        }
        let text = format!("{{\"y\":\"{key}\"}}");
        let last = text.len() - 1;
        for (at, byte) in text.bytes().enumerate() {
            says.push(frame(u8::from(at == 0) | if at == last { 0x80 } else { 0 }, &[byte]));
        }
        // What could begin a key, at the end of a message, of a frame that answers one, and of the last words.
        says.push(frame(0x81, b"partial A"));
        says.push(frame(0x89, &key.as_bytes()[..4]));
        says.push(frame(0x8a, key.as_bytes()));
        says.push(closing(1011, "see AIza"));
        vec![says.concat()]
    })
    .await;
    let pool = pool(&url);
    let (served, _) = Served::kept(&pool, &url, Records::default()).await;
    let mut socket = open(&served).await;
    assert_eq!(next(&mut socket).await, (1, READY.to_owned()));
    let stars = "*".repeat(ONE.len());
    for first in [1, 2] {
        let (mut codes, mut text) = (Vec::new(), String::new());
        while !text.ends_with('}') {
            let (code, part) = next(&mut socket).await;
            codes.push(code);
            if code < 8 {
                text.push_str(&part);
            }
        }
        assert_eq!(text, format!("{{\"x\":\"{stars}\"}}"));
        assert_eq!(codes, [first, 9, 0], "a ping may stand between two parts, and does not wait");
    }
    let mut text = String::new();
    while !text.ends_with('}') {
        text.push_str(&next(&mut socket).await.1);
    }
    assert_eq!(text, format!("{{\"y\":\"{stars}\"}}"));
    assert_eq!(next(&mut socket).await, (1, "partial A".to_owned()));
    assert_eq!(next(&mut socket).await, (9, "AIza".to_owned()));
    assert_eq!(next(&mut socket).await, (10, stars));
    let (code, why) = timeout(Duration::from_secs(5), socket.closed()).await.expect("a reason does not wait");
    assert_eq!((code, &*why), (1011, "see AIza"));
}

#[tokio::test]
async fn a_ping_between_two_parts_of_a_message_does_not_wait_for_the_second() {
    let (url, _) = provider(|key| {
        vec![frame(0x81, READY.as_bytes()), frame(0x01, &key.as_bytes()[..10]), frame(0x89, b"are you there?")]
    })
    .await;
    let pool = pool(&url);
    let (served, _) = Served::kept(&pool, &url, Records::default()).await;
    let mut socket = open(&served).await;
    assert_eq!(next(&mut socket).await.0, 1);
    let (code, _) = next(&mut socket).await;
    assert_eq!(code, 1, "a part of a message");
    assert_eq!(next(&mut socket).await, (9, "are you there?".to_owned()));
}

/// What is said of the keys: how many rest or are off.
fn out(pool: &KeyPool) -> Vec<String> {
    let keys = pool.snapshot().keys;
    keys.iter().filter(|key| !key.rests.is_empty()).map(|key| key.id.to_string()).collect()
}

#[tokio::test]
async fn a_key_that_is_dead_is_found_out_before_the_client_hears_of_it() {
    for (code, reason) in [
        (1007, "API key not valid. Please pass a valid API key."),
        (1007, "API key expired. Please renew the API key."),
        (1008, "Permission denied: Consumer 'api_key:xx' has been suspended."),
        (1008, "Your API key was reported as leaked. Please use another API key."),
        (1008, "Gemini API has not been used in project 1 before or it is disabled."),
        (1011, "You exceeded your current quota, please check your plan and billing details. For more information"),
        (1011, "Your prepayment credits are depleted."),
    ] {
        let says =
            move |key: &str| vec![if key == ONE { closing(code, reason) } else { frame(0x81, READY.as_bytes()) }];
        let (url, heard) = provider(says).await;
        let pool = pool(&url);
        let (served, _) = Served::kept(&pool, &url, Records::default()).await;
        for _ in 0..4 {
            assert_eq!(next(&mut open(&served).await).await, (1, READY.to_owned()), "{code} {reason}");
        }
        let heard = heard.lock().unwrap();
        assert_eq!(heard.iter().filter(|(key, _)| key == ONE).count(), 1, "{reason}: it is known then");
        assert!(heard.iter().all(|(_, said)| said.contains("setup")), "each hears what the client said: {heard:?}");
        assert_eq!(out(&pool), ["one"], "{reason}");
    }
}

/// What a provider says of a key that it was asked with before, or in any escapes, is told as little as the session's own; of
/// what ends it no key of the pool, however it is spelled.
#[tokio::test]
async fn no_key_of_the_pool_is_told_in_whatever_form() {
    let says = |key: &str| {
        if key == ONE {
            return vec![closing(1008, "Your API key was reported as leaked. Please use another API key.")];
        }
        let escaped = TWO.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect::<Vec<_>>().concat();
        let (front, back) = escaped.split_at(escaped.len() / 2 + 1);
        vec![
            frame(0x81, READY.as_bytes()),
            frame(0x81, format!("before: {ONE}, now: {TWO}").as_bytes()),
            frame(0x01, front.as_bytes()),
            frame(0x80, format!("{back} and {ONE}").as_bytes()),
            closing(1011, &format!("{} {}", STANDARD.encode(ONE), TWO.to_lowercase())),
        ]
    };
    let (url, heard) = provider(says).await;
    let pool = pool(&url);
    let (served, _) = Served::kept(&pool, &url, Records::default()).await;
    // Whoever is first: over the other one too.
    let (mut sockets, mut heard_of) = (Vec::new(), 0);
    while heard_of == 0 {
        let mut socket = open(&served).await;
        assert_eq!(next(&mut socket).await, (1, READY.to_owned()));
        heard_of = heard.lock().unwrap().iter().filter(|(key, _)| key == ONE).count();
        sockets.push(socket);
    }
    let mut socket = sockets.pop().unwrap();
    let stars = "*".repeat(ONE.len());
    assert_eq!(next(&mut socket).await.1, format!("before: {stars}, now: {stars}"));
    let (_, front) = next(&mut socket).await;
    let (_, back) = next(&mut socket).await;
    let told = front + &back;
    assert!(told.ends_with(&format!("* and {stars}")) && !told.contains("\\u"), "{told}");
    let (code, why) = socket.closed().await;
    assert_eq!(code, 1011);
    assert!(why.ends_with(&format!("* {stars}")) && !why.contains("QUl"), "{why}");
}

#[tokio::test]
async fn a_reason_that_speaks_of_no_key_punishes_nobody_and_is_the_clients_to_hear() {
    for (code, reason) in [
        (1007, "Request contains an invalid argument."),
        (1007, "Invalid JSON payload received. Unknown name \"API key not valid\" at 'setup': Cannot find field."),
        (1007, "Invalid value at 'setup.x': \"You exceeded your current quota\""),
        (
            1008,
            "models/gemini-2.5-flash is not found for API version v1beta, or is not supported for bidiGenerateContent.",
        ),
        (1008, "BidiGenerateContent session not found"),
        (1008, "Operation is not implemented, or supported, or enabled."),
        (1008, "Requested entity was not found."),
        (1011, "Internal error encountered."),
        (1011, ""),
    ] {
        let (url, heard) = provider(move |_| vec![closing(code, reason)]).await;
        let pool = pool(&url);
        let (served, _) = Served::kept(&pool, &url, Records::default()).await;
        let mut socket = open(&served).await;
        let heard_here = timeout(Duration::from_secs(5), socket.closed()).await.expect("it is told at once");
        assert_eq!(heard_here, (code, reason.to_owned()));
        assert_eq!(heard.lock().unwrap().len(), 1, "{reason}: one attempt");
        assert_eq!(out(&pool), [""; 0], "{reason}");
    }
}

#[tokio::test]
async fn where_every_key_is_dead_each_is_tried_once_and_the_client_hears_that() {
    let reason = "Your API key was reported as leaked. Please use another API key.";
    let (url, heard) = provider(move |_| vec![closing(1008, reason)]).await;
    let pool = pool(&url);
    let (served, _) = Served::kept(&pool, &url, Records::default()).await;
    let (code, why) = open(&served).await.closed().await;
    assert!(code == 1013 && why.contains("2 disabled (invalid)"), "{code} {why}");
    let keys: Vec<_> = heard.lock().unwrap().iter().map(|(key, _)| key.clone()).collect();
    assert!(keys.len() == 2 && keys[0] != keys[1], "each once");
    assert_eq!(pool.snapshot().in_flight, 0);
}

#[tokio::test]
async fn once_something_was_said_a_key_is_judged_and_nothing_is_said_again() {
    let reason = "Your API key was reported as leaked. Please use another API key.";
    let says = move |_: &str| vec![frame(0x81, READY.as_bytes()), closing(1008, reason)];
    let (url, heard) = provider(says).await;
    let pool = pool(&url);
    let (served, _) = Served::kept(&pool, &url, Records::default()).await;
    let mut socket = open(&served).await;
    assert_eq!(next(&mut socket).await, (1, READY.to_owned()));
    assert_eq!(socket.closed().await, (1008, reason.to_owned()));
    assert_eq!(heard.lock().unwrap().len(), 1);
    assert_eq!(out(&pool).len(), 1);
}

#[tokio::test]
async fn what_the_client_says_behind_its_first_message_reaches_the_key_that_serves() {
    let says =
        |key: &str| vec![if key == ONE { closing(1007, "API key not valid.") } else { frame(0x81, READY.as_bytes()) }];
    let (url, heard) = provider(says).await;
    let pool = pool(&url);
    let (served, _) = Served::kept(&pool, &url, Records::default()).await;
    for _ in 0..2 {
        let mut socket = open(&served).await;
        socket.say(1, r#"{"clientContent":"behind"}"#).await;
        assert_eq!(next(&mut socket).await, (1, READY.to_owned()));
        socket.say(1, r#"{"clientContent":"after"}"#).await;
        let heard_all = || heard.lock().unwrap().last().is_some_and(|(_, said)| said.contains("after"));
        until("the last of it came", heard_all).await;
    }
    for (key, said) in heard.lock().unwrap().iter().filter(|(key, _)| key == TWO) {
        let at = |word| said.find(word).unwrap_or_else(|| panic!("{key} hears {word}: {said}"));
        assert!(at("setup") < at("behind") && at("behind") < at("after"), "{said}");
    }
}
