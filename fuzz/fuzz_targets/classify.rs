//! Every error response is classified, whatever its bytes, and only a code or a 401, 402 or 403 may disable a key.
#![no_main]

use std::{sync::LazyLock, time::Duration};

use http::{HeaderMap, HeaderValue, StatusCode};
use libfuzzer_sys::fuzz_target;
use tower_keypool::{Anthropic, ApiKeyHeader, Gemini, Key, KeyPool, OpenAi, Provider, classify::Cooldown};

static POOLS: LazyLock<[KeyPool; 4]> = LazyLock::new(|| {
    let header = ApiKeyHeader::header("x-key", "https://api.example").expect("a valid base");
    [pool(Gemini::new()), pool(OpenAi::new()), pool(Anthropic::new()), pool(header)]
});

fn pool(provider: impl Provider) -> KeyPool {
    KeyPool::builder(provider).key(Key::new("not-a-real-key-0001")).build().expect("a valid pool")
}

fuzz_target!(|data: &[u8]| {
    let [provider, place, hundreds, tens, ones, rest @ ..] = data else { return };
    let pool = match provider {
        b'g' => &POOLS[0],
        b'o' => &POOLS[1],
        b'a' => &POOLS[2],
        _ => &POOLS[3],
    };
    // A comment line shows that the text is a part of a stream.
    let prefix: &[u8] = if *place == b'e' { b":\n" } else { b"" };
    let Ok(status) = StatusCode::from_bytes(&[*hundreds, *tens, *ones]) else { return };
    if status.is_informational() {
        return;
    }
    let line = rest.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (value, body) = rest.split_at(line);
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(value) {
        headers.insert("retry-after", value.clone());
        headers.insert("x-ratelimit-remaining-requests", HeaderValue::from_static("0"));
        headers.insert("x-ratelimit-reset-requests", value);
    }
    let Some(failure) = pool.classify(status, &headers, &[prefix, body].concat()) else {
        assert!(status.is_success() || status == StatusCode::NOT_MODIFIED, "an error is not classified");
        return;
    };
    assert!(failure.retry_after().is_none_or(|delay| !delay.is_zero() && delay <= Duration::from_secs(7 * 86_400)));
    assert!(failure.message().is_none_or(|message| message.chars().count() <= 300));
    assert!(failure.status().is_some_and(|status| status.as_u16() >= 300));
    let disables = matches!(failure.cooldown(), Cooldown::Disable | Cooldown::Strikes(_));
    let status = failure.status().map_or(0, |status| status.as_u16());
    assert!(!disables || failure.code().is_some() || (401..=403).contains(&status));
});
