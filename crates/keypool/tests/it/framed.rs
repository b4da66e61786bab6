//! Hostile heads in HTTP/2: frames written by hand.

use std::{net::SocketAddr, time::Duration};

use keypool::gateway::token::PLACEHOLDER;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tower_keypool::Key;

use crate::{serving::ONE, smuggling::recording, support::Served};

const PATH: &str = "/v1beta/models/m:generateContent";

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
enum Came {
    Fine,
    Refused,
    /// The stream or the whole connection was ended.
    Reset,
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// A text of HPACK, as it is.
fn text(out: &mut Vec<u8>, text: &str) {
    match text.len() {
        short @ ..127 => out.push(u8::try_from(short).unwrap()),
        long => {
            out.push(127);
            let mut rest = long - 127;
            while rest >= 128 {
                out.push(u8::try_from(rest % 128).unwrap() | 128);
                rest /= 128;
            }
            out.push(u8::try_from(rest).unwrap());
        }
    }
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn block(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(0);
        text(&mut block, name);
        text(&mut block, value);
    }
    block
}

pub(crate) async fn begin(address: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&frame(4, 0, 0, &[])).await.unwrap();
    stream
}

/// Reads to the answer's head, or what there is in its place.
async fn came(stream: &mut TcpStream) -> Came {
    loop {
        let mut head = [0; 9];
        let read = tokio::time::timeout(Duration::from_secs(60), stream.read_exact(&mut head)).await;
        if read.expect("it says something").is_err() {
            return Came::Reset;
        }
        let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        if stream.read_exact(&mut payload).await.is_err() {
            return Came::Reset;
        }
        match head[3] {
            // Behind what says how large the table is.
            1 => {
                let status = payload.iter().find(|byte| !(0x20..0x40).contains(*byte));
                return if status == Some(&0x88) { Came::Fine } else { Came::Refused };
            }
            3 | 7 => return Came::Reset,
            _ => {}
        }
    }
}

async fn ask(address: SocketAddr, headers: &[(&str, &str)]) -> Came {
    let mut stream = begin(address).await;
    stream.write_all(&frame(1, 0x5, 1, &block(headers))).await.unwrap();
    came(&mut stream).await
}

#[tokio::test]
async fn heads_of_http2_that_say_one_thing_here_and_another_behind_go_nowhere() {
    let (upstream, mut arrived) = recording().await;
    let served = Served::keys([Key::new(ONE).id("one")], &format!("http://{upstream}"), Duration::ZERO).await;
    let own = served.address.to_string();
    let head = |changes: &[(&'static str, &'static str)], more: &[(&'static str, &'static str)]| {
        let mut all = vec![
            (":method", "POST".to_owned()),
            (":scheme", "http".to_owned()),
            (":authority", own.clone()),
            (":path", PATH.to_owned()),
            ("x-goog-api-key", PLACEHOLDER.to_owned()),
        ];
        for (name, value) in changes {
            all.retain(|(held, _)| held != name);
            if !value.is_empty() {
                all.insert(0, (name, (*value).to_owned()));
            }
        }
        all.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        all
    };
    let fine = head(&[], &[("te", "trailers"), ("cookie", "a=b"), ("cookie", "c=d")]);
    let pairs = |all: &[(&'static str, String)]| all.iter().map(|(n, v)| (*n, v.clone())).collect::<Vec<_>>();
    let send = async |all: Vec<(&'static str, String)>| {
        let all: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
        ask(served.address, &all).await
    };
    assert_eq!(send(pairs(&fine)).await, Came::Fine);
    let sent = arrived.recv().await.unwrap();
    assert!(sent.starts_with(&format!("POST {PATH} HTTP/1.1\r\n")) && !sent.contains("cookie"), "{sent}");
    for (changes, more) in [
        (&[(":authority", "evil.example")][..], &[][..]),
        (&[], &[("host", "evil.example")]),
        (&[(":authority", "user@localhost")], &[]),
        (&[(":authority", "")], &[]),
        (&[(":path", "")], &[]),
        (&[(":path", "//evil.example/x")], &[]),
        (&[(":path", "http://evil.example/x")], &[]),
        (&[(":path", "/v1beta/../x")], &[]),
        (&[(":path", "/v1beta/%2e%2e/x")], &[]),
        (&[(":path", "*")], &[]),
        (&[(":path", "/x HTTP/1.1\r\nx-goog-user-project: p\r\n\r\n")], &[]),
        (&[(":path", "/x y")], &[]),
        (&[(":path", "/v1beta/x?%24httpHeaders=y")], &[]),
        (&[(":method", "GET /evil HTTP/1.1\r\nhost: x\r\n\r\nGET")], &[]),
        (&[(":method", "CONNECT")], &[]),
        (&[(":method", "TRACE")], &[]),
        (&[], &[(":path", "/again")]),
        (&[], &[(":evil", "x")]),
        (&[], &[(":status", "200")]),
        (&[], &[("X-Upper", "x")]),
        (&[], &[("x-a", "1\r\nx-goog-user-project: p")]),
        (&[], &[("x-a", "1\0")]),
        (&[], &[("x a", "1")]),
        (&[], &[("connection", "x-goog-api-key")]),
        (&[], &[("transfer-encoding", "chunked")]),
        (&[], &[("te", "gzip")]),
        (&[], &[("upgrade", "h2c")]),
        (&[], &[("content-length", "7")]),
        (&[], &[("content-length", "0"), ("content-length", "7")]),
        (&[], &[("origin", "http://evil.example")]),
        (&[(":method", "CONNECT")], &[(":protocol", "websocket")]),
    ] {
        let came = send(head(changes, more)).await;
        assert_ne!(came, Came::Fine, "{changes:?} {more:?}");
        if let Ok(sent) = arrived.try_recv() {
            panic!("{changes:?} {more:?} went on: {sent}");
        }
    }
}

#[tokio::test]
async fn heads_of_http2_have_a_bound() {
    let (upstream, mut arrived) = recording().await;
    let served = Served::keys([Key::new(ONE).id("one")], &format!("http://{upstream}"), Duration::ZERO).await;
    let mut stream = begin(served.address).await;
    let own = served.address.to_string();
    let first = [(":method", "POST"), (":scheme", "http"), (":authority", &*own), (":path", "/v1beta/models/m:x")];
    stream.write_all(&frame(1, 0x1, 1, &block(&first))).await.unwrap();
    // And so on, without an end.
    let piece = frame(9, 0, 1, &block(&[("x-more", &"a".repeat(8_000))]));
    let sending = async {
        let mut sent = 0;
        while sent < 64 << 20 {
            if stream.write_all(&piece).await.is_err() {
                break;
            }
            sent += piece.len();
        }
        sent
    };
    let sent = tokio::time::timeout(Duration::from_secs(120), sending).await.expect("it is not left hanging");
    assert!(sent < 16 << 20, "{sent} bytes of a head were taken");
    assert!(arrived.try_recv().is_err());
}

#[tokio::test]
async fn what_is_asked_for_its_head_has_no_body_over_http2_either() {
    let (upstream, _arrived) = recording().await;
    let served = Served::keys([Key::new(ONE).id("one")], &format!("http://{upstream}"), Duration::ZERO).await;
    let own = served.address.to_string();
    for path in ["/-/health", "/v1/models", "/-/none"] {
        let mut stream = begin(served.address).await;
        let asked = [(":method", "HEAD"), (":scheme", "http"), (":authority", &*own), (":path", path)];
        stream.write_all(&frame(1, 0x5, 1, &block(&asked))).await.unwrap();
        let flags = loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
            stream.read_exact(&mut payload).await.unwrap();
            assert_ne!(head[3], 0, "{path}: data");
            if head[3] == 1 {
                break head[4];
            }
        };
        assert_eq!(flags & 1, 1, "{path}: more follows");
    }
}
