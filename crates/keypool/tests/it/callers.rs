//! Mistakes of the caller: told to the caller, never to a key.

use std::time::Duration;

use keypool::gateway::token::PLACEHOLDER;
use tower_keypool::{Key, Limits};

use crate::{
    hostile::answering,
    serving::ONE,
    support::{Served, ask},
};

const GOOD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

fn chat(served: &Served) -> http::request::Builder {
    http::Request::post(served.url("/v1beta/openai/chat/completions"))
        .header("authorization", format!("Bearer {PLACEHOLDER}"))
        .header("content-type", "application/json")
}

#[tokio::test]
async fn a_body_that_names_two_models_is_a_400_that_says_so_and_takes_nothing_from_the_quota() {
    let upstream = format!("http://{}", answering(GOOD).await);
    let once = Key::new(ONE).id("one").limits("*", Limits::new().per_minute(1));
    let served = Served::keys([once], &upstream, Duration::ZERO).await;

    let refused = ask(chat(&served), r#"{"model":"gemini-2.5-flash","model":"b"}"#).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    let message = refused.json()["error"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("model twice"), "{message}");

    let good = ask(chat(&served), r#"{"model":"gemini-2.5-flash"}"#).await;
    assert_eq!(good.status, 200, "{good:?}");
    let full = ask(chat(&served), r#"{"model":"gemini-2.5-flash"}"#).await;
    assert_eq!(full.status, 503, "the one a minute was used by the good one alone: {full:?}");
}
