//! The credentials that a caller may have sent, and how they are removed: a provider refuses a request with two.

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, request::Parts};
use percent_encoding::percent_decode_str;

use super::target;
use crate::Error;

pub(super) const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
pub(super) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
pub(super) const API_KEY: HeaderName = HeaderName::from_static("api-key");

/// Query parameters that hold a credential or name an account, in lower case. Google takes them with a `$` in front, too.
const PARAMETERS: [&str; 10] = [
    "key",
    "api_key",
    "api-key",
    "apikey",
    "access_token",
    "oauth_token",
    "bearer_token",
    "subscription-key",
    "userproject",
    "x-goog-api-key",
];

/// What begins a key among the subprotocols of a WebSocket: browsers cannot set its headers.
const PROTOCOL: &str = "openai-insecure-api-key";

/// Removes every credential of the caller from headers and query. Everything else stays as it is, byte for byte.
pub(super) fn strip(head: &mut Parts) -> Result<(), Error> {
    strip_headers(&mut head.headers);
    strip_query(&mut head.uri, None)
}

/// The credential, or the name of an account, that a header of this name (in lower case) holds. Some servers read `_` as `-`.
fn credential(name: &str) -> Option<&'static str> {
    let known: &[&'static str] = match name.len() {
        6 => &["cookie"],
        7 => &["api-key", "cookie2"],
        9 => &["x-api-key"],
        13 => &["authorization"],
        14 => &["x-goog-api-key", "openai-project"],
        19 => &["proxy-authorization", "openai-organization", "x-goog-user-project"],
        25 => &["ocp-apim-subscription-key"],
        30 => &["x-goog-iam-authorization-token"],
        _ => return None,
    };
    let is = |known: &&str| {
        known.bytes().zip(name.bytes()).all(|(known, byte)| byte == known || (byte, known) == (b'_', b'-'))
    };
    known.iter().copied().find(is)
}

fn strip_headers(headers: &mut HeaderMap) {
    while let Some((held, known)) = headers.keys().find_map(|held| Some((held, credential(held.as_str())?))) {
        if held.as_str() == known {
            headers.remove(known);
        } else {
            let held = held.clone();
            headers.remove(held);
        }
    }
    let protocols = headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
    if let Some(protocols) = protocols.filter(|protocols| protocols.contains(PROTOCOL)) {
        let kept: Vec<&str> = protocols.split(',').map(str::trim).filter(|name| !name.starts_with(PROTOCOL)).collect();
        match HeaderValue::try_from(kept.join(", ")) {
            Ok(kept) if !kept.is_empty() => headers.insert(header::SEC_WEBSOCKET_PROTOCOL, kept),
            _ => headers.remove(header::SEC_WEBSOCKET_PROTOCOL),
        };
    }
}

/// Removes the parameters that hold a credential, and the one of this name.
pub(super) fn strip_query(uri: &mut Uri, own: Option<&str>) -> Result<(), Error> {
    let Some(query) = uri.query() else { return Ok(()) };
    if !query.split('&').any(|pair| is_credential(pair, own)) {
        return Ok(());
    }
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_credential(pair, own)).collect();
    let kept = kept.join("&");
    target::set_query(uri, &kept)
}

/// Whether a `name=value` of a query is a credential: its name in any case, and percent-encoded or not.
fn is_credential(pair: &str, own: Option<&str>) -> bool {
    let name = pair.split('=').next().unwrap_or_default();
    let is = |name: &str| {
        let name = name.strip_prefix('$').unwrap_or(name);
        PARAMETERS.iter().copied().chain(own).any(|known| known.eq_ignore_ascii_case(name))
    };
    if name.contains('%') { is(&percent_decode_str(name).decode_utf8_lossy()) } else { is(name) }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn stripped(uri: &str, headers: &[(&str, &str)]) -> (String, Vec<String>) {
        let request = headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        strip(&mut head).unwrap();
        (
            head.uri.to_string(),
            head.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect(),
        )
    }

    #[test]
    fn every_header_that_holds_a_credential_goes_with_all_its_values() {
        for name in [
            "Authorization",
            "proxy-authorization",
            "cookie",
            "cookie2",
            "x-goog-api-key",
            "x-api-key",
            "api-key",
            "openai-organization",
            "openai-project",
            "x-goog-user-project",
            "x-goog-iam-authorization-token",
            "ocp-apim-subscription-key",
            "x_goog_api_key",
            "x-api_key",
        ] {
            let sent = [("accept", "*/*"), (name, "one"), ("x-goog-api-client", "sdk"), (name, "two")];
            assert_eq!(stripped("/v1", &sent).1, ["accept: */*", "x-goog-api-client: sdk"], "{name}");
        }
    }

    #[test]
    fn the_rest_of_a_query_stays_byte_for_byte() {
        for (query, kept) in [
            ("?key=x", ""),
            ("?key", ""),
            ("?key=a&key=b&KEY=c", ""),
            ("?alt=sse&key=x", "?alt=sse"),
            ("?key=x&alt=sse", "?alt=sse"),
            ("?a=%2B+&k%65y=x&b=&&c", "?a=%2B+&b=&&c"),
            ("?$key=x&%24userProject=p&Access_Token=t&oauth_token=u&a", "?a"),
            ("?api_key=x&apikey=y&api-key=z&keys=1&pageToken=key", "?keys=1&pageToken=key"),
            ("?", "?"),
            ("?a=b", "?a=b"),
        ] {
            assert_eq!(stripped(&format!("/v1{query}"), &[]).0, format!("/v1{kept}"), "{query}");
            assert_eq!(stripped(&format!("http://h/v1{query}"), &[]).0, format!("http://h/v1{kept}"), "{query}");
        }
    }

    #[test]
    fn a_key_among_the_subprotocols_goes_alone() {
        let protocols = |value| stripped("/v1", &[("sec-websocket-protocol", value)]).1;
        assert_eq!(protocols("realtime, openai-insecure-api-key.sk-x, v1"), ["sec-websocket-protocol: realtime, v1"]);
        assert_eq!(protocols("openai-insecure-api-key.sk-x"), [""; 0]);
        assert_eq!(protocols("realtime,v1"), ["sec-websocket-protocol: realtime,v1"]);
    }
}
