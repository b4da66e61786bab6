//! Paths that mean one thing here and another upstream.

use std::borrow::Cow;

use memchr::memchr3_iter;

/// Why a path is refused; `None` for a path that goes on.
pub(in crate::gateway) fn fault(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') {
        return Some("the request names no path");
    }
    // A look at each slash is all that most paths cost.
    let bytes = path.as_bytes();
    let is_odd = |at: usize| bytes[at] != b'/' || matches!(bytes.get(at + 1), Some(b'/' | b'.'));
    if !memchr3_iter(b'%', b'\\', b'/', bytes).any(is_odd) {
        return None;
    }
    if path.contains("//") {
        return Some("the path has an empty segment (//)");
    }
    if path.contains('\\') {
        return Some("the path has a backslash");
    }
    if !path.contains('%') {
        return dots(path);
    }
    let mut decoded = path.to_owned();
    // Whoever stands upstream may decode more than once.
    for _ in 0..4 {
        let next = percent_encoding::percent_decode_str(&decoded).decode_utf8_lossy().into_owned();
        if next.chars().any(char::is_control) {
            return Some("the path has an encoded control character");
        }
        if let Some(fault) = dots(&next) {
            return Some(fault);
        }
        if next == decoded {
            return None;
        }
        decoded = next;
    }
    Some("the path is encoded many times over")
}

fn dots(path: &str) -> Option<&'static str> {
    // Some servers cut a segment's parameters (`..;x`) before they look at its dots.
    let dotted = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    path.split(['/', '\\']).any(dotted).then_some("the path has a dot segment")
}

/// What the provider's front end would take for headers, another method, another body or its kind, or another payer; and
/// what would make an answer a script, which any page may run.
const OVERRIDES: [&str; 11] = [
    "$httpheaders",
    "$httpmethod",
    "$method",
    "_method",
    "$req",
    "$ct",
    "$userproject",
    "userproject",
    "callback",
    "$callback",
    "jsonp",
];

/// Whether a query holds one of those, in whatever case and encoding.
pub(in crate::gateway) fn overrides(query: &str) -> bool {
    let named = |name: &str| OVERRIDES.iter().any(|word| name.eq_ignore_ascii_case(word));
    query.split(['&', ';']).any(|pair| named(&plain(pair.split('=').next().unwrap_or_default())))
}

/// A name or a value of a query, decoded, and without blanks around it.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains(['%', '+']) {
        return text.into();
    }
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    decoded.trim_matches(['+', ' ', '\t', '\0']).to_owned().into()
}

#[cfg(test)]
mod tests {
    use super::{fault, overrides};

    #[test]
    fn queries_that_set_headers_are_known_in_any_spelling() {
        for query in [
            "$httpHeaders=x",
            "a=b&%24httpHeaders=x",
            "%24%68ttpheaders",
            "$httpMethod=GET",
            "x&_method=GET",
            "a=1;callback=f",
            "%20Callback=f",
            "JSONP",
            "%24req=x",
            "$userProject=p",
        ] {
            assert!(overrides(query), "{query}");
        }
        for query in ["", "alt=sse", "%24alt=json", "key=$httpHeaders", "pageToken=_method", "callbacks=1"] {
            assert!(!overrides(query), "{query}");
        }
    }

    #[test]
    fn paths_of_the_api_go_on() {
        for path in [
            "/",
            "/v1beta/models/gemini-2.5-flash:generateContent",
            "/v1beta/models/gemini%2D2.5-flash%3AgenerateContent",
            "/v1beta/tunedModels/a..b",
            "/v1beta/files/.hidden",
            "/upload/v1beta/files",
            "/v1beta/models%2Fgemini-pro:countTokens",
        ] {
            assert_eq!(fault(path), None, "{path}");
        }
    }

    #[test]
    fn paths_that_climb_do_not() {
        for path in [
            "*",
            "",
            "//evil.example/v1",
            "/v1//models",
            "/v1/../admin",
            "/v1/./models",
            "/..",
            "/v1/%2e%2e/x",
            "/v1/%2E./x",
            "/v1/.%2e%2fx",
            "/v1%2f..%2fx",
            "/v1/%252e%252e/x",
            "/v1/%25252e%25252e/x",
            "/v1\\..\\x",
            "/v1%5c..%5cx",
            "/v1/..;a/x",
            "/v1/a%0d%0ab",
            "/v1/%00",
            "/%2525252525252e%2e/x",
        ] {
            assert!(fault(path).is_some(), "{path}");
        }
    }
}
