//! What a stream cost that is left, or ends, in front of its usage.

use std::{io, sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, ServiceExt, service_fn};
use tower_keypool::{Anthropic, Clock, Demand, Key, KeyPool, KeyPoolLayer, Meter, OpenAi, Provider, ReplayBody};

use super::support::{Step, Steps, events};

const PROMPT: u64 = 40;

/// What these chunks of a stream come to, of which all but those behind the last `read` are read.
async fn cost(provider: impl Provider, path: &str, chunks: Vec<&str>, read: usize) -> (u64, u64) {
    let pool = KeyPool::builder(provider).key(Key::new("sk-not-a-real-key-0001"));
    let pool = pool.clock(Clock::tokio_from(SystemTime::UNIX_EPOCH)).build().unwrap();
    let body: Vec<String> = chunks.iter().map(|chunk| format!("data: {chunk}\n\n")).collect();
    let client = KeyPoolLayer::new(&pool).layer(service_fn(move |_: Request<ReplayBody<Full<Bytes>>>| {
        let body = body.clone();
        async move {
            let steps = Steps::chunks(&body);
            Ok::<_, io::Error>(events(if read > body.len() { steps } else { steps.then(Step::Never) }))
        }
    }));
    let meter = Arc::new(Meter::default());
    let demand = Demand::new("m").tokens(PROMPT).output_tokens(500).metered(Arc::clone(&meter));
    let request = Request::post(path).extension(demand).body(Full::from(r#"{"model":"m","stream":true}"#)).unwrap();
    let answer: Response<_> = client.oneshot(request).await.unwrap();
    let mut body = answer.into_body();
    for _ in 0..read {
        let _ = body.frame().await;
    }
    drop(body);
    meter.settle();
    meter.parts().expect("it cost something")
}

#[tokio::test(start_paused = true)]
async fn it_is_what_was_told_and_a_guess_at_the_rest() {
    let word = r#"{"choices":[{"index":0,"delta":{"content":"eight by"}}],"usage":null}"#;
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#;
    let chat = |chunks, read| cost(OpenAi::new(), "/v1/chat/completions", chunks, read);
    assert_eq!(chat(vec![word, word, word], 2).await, (PROMPT, 4), "as much as came before it was left");
    assert_eq!(chat(vec![word, word, usage], 3).await, (7, 3), "what was told is no guess");
    assert_eq!(chat(vec![word, word, "[DONE]"], 4).await, (PROMPT, 4), "nothing was told to the end");
    assert_eq!(chat(vec![r#"{"choices":[]}"#], 1).await, (PROMPT, 500), "as it was expected where nothing came");

    let start = r#"{"type":"message_start","message":{"usage":{"input_tokens":25,"output_tokens":1}}}"#;
    let piece = r#"{"type":"content_block_delta","delta":{"type":"text_delta","text":"eight by"}}"#;
    let end = r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}}"#;
    let message = |chunks, read| cost(Anthropic::new(), "/v1/messages", chunks, read);
    assert_eq!(message(vec![start, piece, piece], 3).await, (25, 5));
    assert_eq!(message(vec![start, piece, piece, end], 4).await, (25, 15));
}
