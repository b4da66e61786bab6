//! Any answer, to any provider: no panic, no delay beyond the longest, and a sentence for whoever must act.
//!
//! Input: provider and kind in one byte, the status in the next two, a `Retry-After` (and perhaps
//! the model that was asked for) up to the first line's end, and the body.
#![no_main]

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use libfuzzer_sys::fuzz_target;
use tower_keypool::{Anthropic, Answer, ApiKeyHeader, Gemini, OpenAi, Provider, Until, retry_after};

fuzz_target!(|data: &[u8]| {
    let [choice, high, low, rest @ ..] = data else { return };
    let provider: Box<dyn Provider> = match choice & 3 {
        0 => Box::new(Gemini::new()),
        1 => Box::new(OpenAi::new()),
        2 => Box::new(Anthropic::new()),
        _ => Box::new(ApiKeyHeader::header("x-key", "https://a.example").expect("a constant")),
    };
    let status = 100 + (u16::from(*high) << 8 | u16::from(*low)) % 900;
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (after, body) = rest.split_at(end);
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_bytes(after) {
        headers.insert(header::RETRY_AFTER, value);
    }
    if choice & 4 != 0 {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    }
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_000_000);
    let status = StatusCode::from_u16(status).expect("100 to 999");
    let asked = std::str::from_utf8(after).ok().filter(|_| choice & 16 != 0);
    let answer = Answer::new(status, &headers, body, now).asked(asked);
    let verdict = provider.judge(&if choice & 8 == 0 { answer } else { answer.event() });
    if let Until::For(wait) | Until::Probed(wait) = verdict.until_of() {
        assert!(wait <= retry_after::LONGEST);
    }
    assert!(verdict.is_success() || !verdict.advice_of().is_empty());
    assert!(verdict.code_of().len() <= 64);
});
