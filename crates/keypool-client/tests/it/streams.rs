//! Streams as they end, well or not: what is cut is no whole answer.

use std::time::SystemTime;

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use keypool_client::{AnswerStream, Client, Error, ErrorKind};
use tower_keypool::{BoxError, Clock, ReplayBody};

use crate::stage;

const ONE: &str = r#"data: {"candidates":[{"content":{"parts":[{"text":"one "}],"role":"model"},"index":0}]}"#;
const TWO: &str = r#"data: {"candidates":[{"content":{"parts":[{"text":"two."}]},"finishReason":"STOP"}]}"#;
const BLOCKED: &str = r#"data: {"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":4}}"#;
const OVERLOADED: &str =
    "{\r\n  \"error\": {\"code\": 503, \"status\": \"UNAVAILABLE\",\n    \"message\": \"Busy.\"\n  }\n}\n";

/// A client whose provider answers with this, in pieces of this size.
fn client(body: &str, size: usize) -> Client {
    let wall = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_781_550_000);
    let pool = stage::pool("http://provider.invalid", 1).clock(Clock::tokio_from(wall)).build().unwrap();
    let body = Bytes::from(body.to_owned());
    let transport = tower::service_fn(move |_: Request<ReplayBody<Full<Bytes>>>| {
        let pieces: Vec<_> = body.chunks(size).map(Bytes::copy_from_slice).map(Frame::data).map(Ok).collect();
        let body = StreamBody::new(stream::iter(pieces.into_iter().map(|piece: Result<_, BoxError>| piece)));
        async move { Ok::<_, BoxError>(Response::builder().header("content-type", "text/event-stream").body(body).unwrap()) }
    });
    Client::builder(&pool).transport(transport).build()
}

async fn read(mut stream: AnswerStream) -> (String, Option<Error>) {
    let mut text = String::new();
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => text.push_str(&piece.text()),
            Err(error) => {
                assert!(stream.next().await.is_none(), "an error is its end");
                return (text, Some(error));
            }
        }
    }
    (text, None)
}

/// What is read of this stream, wherever its pieces end.
async fn read_of(body: &str) -> (String, Option<Error>) {
    let mut last = None;
    for size in [body.len().max(1), 1, 2, 3, 7, 31] {
        let asked = client(body, size).generate("x").request_id("req_1").stream().await;
        let found = match asked {
            Ok(stream) => read(stream).await,
            Err(error) => (String::new(), Some(error)),
        };
        let shown = (found.0.clone(), found.1.as_ref().map(ToString::to_string));
        let before = last.replace((found, shown.clone()));
        assert!(before.is_none_or(|(_, before)| before == shown), "{size}: {shown:?}");
    }
    last.unwrap().0
}

#[tokio::test(start_paused = true)]
async fn what_is_whole_ends_well() {
    for body in [
        format!("{ONE}\r\n\r\n{TWO}\r\n\r\n"),
        format!("\u{feff}{ONE}\n\n: a comment\n\nevent: x\nid: 3\n\n{TWO}\n\ndata: [DONE]\n\n"),
        format!("retry: 5\r\r{ONE}\r\r{TWO}\r\r"),
        // Nobody closed the last one.
        format!("{ONE}\n\n{TWO}"),
        format!("{ONE}\r\n\r\n{TWO}\r\n"),
        format!("{ONE}\r\r{TWO}\r"),
        format!("{ONE}\n\n{TWO}\n\ndata: [DONE]"),
        // What it cost may come behind it.
        format!("{ONE}\n\n{TWO}\n\ndata: {{\"usageMetadata\":{{\"promptTokenCount\":4}}}}\n\n"),
    ] {
        let (text, error) = read_of(&body).await;
        assert!(error.is_none() && text == "one two.", "{body:?}: {text:?} {error:?}");
    }
    // All that there will be.
    let (text, error) = read_of(&format!("{BLOCKED}\r\n\r\n")).await;
    assert!(error.is_none() && text.is_empty(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_cut_does_not() {
    for body in [
        // Between two events.
        format!("{ONE}\r\n\r\n"),
        format!("{ONE}\n\n{{\"hello\": \"there\"}}\n"),
        // Inside of one.
        format!("{ONE}\n\n{}", &TWO[..TWO.len() - 30]),
        format!("{ONE}\n\n{}", &TWO[..3]),
        format!("{ONE}\n\n{}\n\n", TWO.replace("\"STOP\"", "null")).replace("two.", ""),
        // Behind the reason for its end.
        format!("{}\n\n{}", TWO.replace("two.", "one "), &ONE[..ONE.len() - 9]),
    ] {
        let (text, error) = read_of(&body).await;
        let error = error.unwrap_or_else(|| panic!("{body:?} counts as whole: {text:?}"));
        assert!(matches!(error.kind(), ErrorKind::Broken(_)) && text == "one ", "{body:?}: {text:?} {error}");
        assert!(error.request_id() == Some("req_1") && error.key_id().is_some(), "{error}");
    }
}

/// The provider tells of an error outside of any event.
#[tokio::test(start_paused = true)]
async fn a_bare_error_is_told() {
    for body in [
        format!("{ONE}\r\n\r\n{OVERLOADED}"),
        format!("{ONE}\n\n{OVERLOADED}\n\n"),
        format!("{ONE}\n\n[{OVERLOADED}]"),
        format!("{ONE}\n\n{}", OVERLOADED.trim_end()),
    ] {
        let (text, error) = read_of(&body).await;
        let error = error.unwrap_or_else(|| panic!("{body:?} counts as whole: {text:?}"));
        assert!(error.status().is_some_and(|status| status == 503) && text == "one ", "{body:?}: {text:?} {error}");
        assert!(error.to_string().contains("Busy."), "{error}");
    }
}
