//! Any text as a "when", at any time: no panic, and nothing beyond the longest span.
//!
//! Input: eight bytes of wall clock, and the text.
#![no_main]

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderValue};
use libfuzzer_sys::fuzz_target;
use tower_keypool::retry_after;

fuzz_target!(|data: &[u8]| {
    let Some((clock, text)) = data.split_first_chunk::<8>() else { return };
    // Four hundred years or so.
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from_le_bytes(*clock) % (1 << 34));
    let lossy = String::from_utf8_lossy(text);
    let mut headers = HeaderMap::new();
    for name in ["retry-after", "retry-after-ms", "date"] {
        if let Ok(value) = HeaderValue::from_bytes(text) {
            headers.insert(name, value);
        }
        let spans = [
            retry_after::header(&headers, now),
            retry_after::seconds_or_date(&lossy, now),
            retry_after::reset(&lossy, now),
            retry_after::duration(&lossy),
            retry_after::in_text(&lossy),
        ];
        assert!(spans.into_iter().flatten().all(|span| span <= retry_after::LONGEST));
    }
});
