//! When a provider's error says to come back. What lies beyond a day, and is not what its key goes by, is an overflow or an
//! anger, and somebody may believe it.

use std::time::Duration;

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, header::RETRY_AFTER};
use tower_keypool::{Clock, ServedBy, retry_after};

/// What is told as it came.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

const IN_MS: [HeaderName; 2] =
    [HeaderName::from_static("retry-after-ms"), HeaderName::from_static("x-ms-retry-after-ms")];

/// Puts what the pool goes by (`known`), if anything, in the place of a time that is too far off, or none.
pub(in crate::gateway) fn doubt(headers: &mut HeaderMap, known: Option<Duration>) {
    // Nearly every answer.
    if !headers.contains_key(RETRY_AFTER) && IN_MS.iter().all(|name| !headers.contains_key(name)) {
        return;
    }
    // A date goes by the answer's own, or else by the system's time.
    let told = retry_after::header(headers, Clock::system().wall());
    if told.is_some_and(|told| told <= LONGEST) {
        return;
    }
    forget(headers);
    if let Some(known) = known {
        let seconds = known.as_secs() + u64::from(known.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}

/// Nothing is said of a time.
pub(in crate::gateway) fn forget(headers: &mut HeaderMap) {
    for name in &IN_MS {
        headers.remove(name);
    }
    headers.remove(RETRY_AFTER);
}

/// How long the pool keeps from asking again, where whoever served said so.
pub(in crate::gateway) fn known_of(extensions: &Extensions) -> Option<Duration> {
    extensions.get::<ServedBy>()?.verdict().retry_after()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &'static str, value: &'static str, known: Option<u64>) -> Option<HeaderValue> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        doubt(&mut headers, known.map(Duration::from_millis));
        headers.remove(name).or_else(|| headers.remove(RETRY_AFTER))
    }

    #[test]
    fn what_is_beyond_a_day_gives_way_to_what_is_gone_by() {
        for (name, value, known, expected) in [
            ("retry-after", "86400", Some(1_000), Some("86400")),
            ("retry-after", "86401", Some(1_000), Some("1")),
            ("retry-after", "86401", None, None),
            // A month's quota.
            ("retry-after", "1209600", Some(1_209_600_000), Some("1209600")),
            ("retry-after", "Thu, 31 Dec 2099 23:59:59 GMT", Some(1_001), Some("2")),
            ("retry-after-ms", "86400001", None, None),
            ("x-ms-retry-after-ms", "99999999999", Some(5_000), Some("5")),
            ("retry-after-ms", "500", Some(5_000), Some("500")),
            ("retry-after", "soon", None, None),
            ("retry-after", "-5", Some(1_000), Some("1")),
            ("retry-after", "NaN", Some(61_000), Some("61")),
            ("retry-after", "99999999999999999999", Some(61_000), Some("61")),
            ("retry-after", "0", None, Some("0")),
            ("x-other", "99999999999", None, Some("99999999999")),
        ] {
            let told = told(name, value, known);
            assert_eq!(told.as_ref().map(HeaderValue::as_bytes), expected.map(str::as_bytes), "{name}: {value}");
        }
    }
}
