//! Removal of credentials that the caller sent: providers refuse a request with two credentials.

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, request::Parts};
use percent_encoding::percent_decode_str;

use super::target;
use crate::{Error, secret::Secret};

pub(super) const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
pub(super) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
pub(super) const API_KEY: HeaderName = HeaderName::from_static("api-key");

/// Query parameters that contain a credential or name an account, in lower case. Google also accepts them with a `$`
/// prefix.
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

/// The prefix of a key among the subprotocols of a WebSocket, which browsers use because they cannot set its headers.
const PROTOCOL: &str = "openai-insecure-api-key";

impl Secret {
    /// Puts the key into this header and removes all credentials of the caller: headers, query parameters, cookies.
    /// Everything else is kept byte for byte. Allocates nothing if the caller sent this header and no other credential.
    ///
    /// ```
    /// use http::{Request, header::AUTHORIZATION};
    /// use tower_keypool::Secret;
    ///
    /// let request = Request::get("/v1/models?key=of-the-caller&pageSize=9").header("cookie", "a=b");
    /// let (mut head, ()) = request.body(())?.into_parts();
    /// Secret::with_scheme("Bearer ", "not-a-real-key")?.put_in_header(&mut head, AUTHORIZATION)?;
    /// assert_eq!(head.uri, "/v1/models?pageSize=9");
    /// assert_eq!(head.headers.len(), 1);
    /// assert_eq!(head.headers["authorization"], "Bearer not-a-real-key");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Request`](crate::ErrorKind::Request) if the head would not be valid.
    pub fn put_in_header(&self, head: &mut Parts, name: HeaderName) -> Result<(), Error> {
        put_in_header(head, name, self.header_value())
    }

    /// Puts the key, percent-encoded, into this query parameter and removes all credentials of the caller. The name is
    /// used as it is, so it must not need percent-encoding.
    ///
    /// # Errors
    /// [`ErrorKind::Request`](crate::ErrorKind::Request) if the query would be invalid, because of the name or because
    /// the URI would exceed 64 KiB.
    pub fn put_in_query(&self, head: &mut Parts, name: &str) -> Result<(), Error> {
        strip_headers(&mut head.headers, None);
        strip_query(&mut head.uri, Some(name))?;
        let key = target::encoded(self.expose());
        let query = match head.uri.query() {
            Some(query) if !query.is_empty() => format!("{query}&{name}={key}"),
            _ => format!("{name}={key}"),
        };
        let target = format!("{}?{query}", head.uri.path());
        target::set(&mut head.uri, target)
    }
}

/// Puts this value into this header and removes all credentials of the caller.
pub(super) fn put_in_header(head: &mut Parts, name: HeaderName, value: &HeaderValue) -> Result<(), Error> {
    strip_headers(&mut head.headers, Some(&name));
    head.headers.insert(name, value.clone());
    strip_query(&mut head.uri, None)
}

/// Headers that contain a credential or name an account.
const HEADERS: [&str; 12] = [
    "api-key",
    "authorization",
    "cookie",
    "cookie2",
    "ocp-apim-subscription-key",
    "openai-organization",
    "openai-project",
    "proxy-authorization",
    "x-api-key",
    "x-goog-api-key",
    "x-goog-iam-authorization-token",
    "x-goog-user-project",
];

/// Reports whether a header contains a credential. `_` counts as `-`, since some servers do not distinguish them.
fn is_credential(name: &HeaderName) -> bool {
    let letters = || name.as_str().bytes().map(|byte| if byte == b'_' { b'-' } else { byte });
    HEADERS.iter().any(|known| known.bytes().eq(letters()))
}

/// Removes the headers that contain a credential, except the one named `own`.
fn strip_headers(headers: &mut HeaderMap, own: Option<&HeaderName>) {
    let credentials: Vec<_> =
        headers.keys().filter(|name| Some(*name) != own && is_credential(name)).cloned().collect();
    for name in credentials {
        headers.remove(name);
    }
    strip_protocols(headers);
}

/// Removes a key from among the subprotocols of a WebSocket.
fn strip_protocols(headers: &mut HeaderMap) {
    if !headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL) {
        return;
    }
    let kept = |value: &HeaderValue| {
        let protocols = value.to_str().ok().filter(|protocols| protocols.contains(PROTOCOL))?;
        let kept: Vec<&str> = protocols.split(',').map(str::trim).filter(|name| !name.starts_with(PROTOCOL)).collect();
        HeaderValue::try_from(kept.join(", ")).ok()
    };
    let kept: Vec<HeaderValue> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .map(|value| kept(value).unwrap_or_else(|| value.clone()))
        .filter(|value| !value.is_empty())
        .collect();
    headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
    for value in kept {
        headers.append(header::SEC_WEBSOCKET_PROTOCOL, value);
    }
}

/// Removes the query parameters that contain a credential, and the parameter named `own`.
fn strip_query(uri: &mut Uri, own: Option<&str>) -> Result<(), Error> {
    let Some(query) = uri.query() else { return Ok(()) };
    if !query.split('&').any(|pair| is_credential_pair(pair, own)) {
        return Ok(());
    }
    let mut target = String::with_capacity(uri.path().len() + 1 + query.len());
    target.push_str(uri.path());
    for (at, pair) in query.split('&').filter(|pair| !is_credential_pair(pair, own)).enumerate() {
        target.push(if at == 0 { '?' } else { '&' });
        target.push_str(pair);
    }
    target::set(uri, target)
}

/// Reports whether a `name=value` of a query is a credential. The name may be in any case and percent-encoded.
fn is_credential_pair(pair: &str, own: Option<&str>) -> bool {
    let name = &pair[..pair.bytes().position(|byte| byte == b'=').unwrap_or(pair.len())];
    if name.bytes().any(|byte| byte == b'%') {
        return is_parameter(&percent_decode_str(name).decode_utf8_lossy(), own);
    }
    is_parameter(name, own)
}

fn is_parameter(name: &str, own: Option<&str>) -> bool {
    let name = name.strip_prefix('$').unwrap_or(name);
    PARAMETERS.iter().any(|known| known.eq_ignore_ascii_case(name))
        || own.is_some_and(|own| own.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn stripped(uri: &str, headers: &[(&str, &str)]) -> (String, Vec<String>) {
        let request = headers.iter().fold(Request::get(uri), |request, (name, value)| request.header(*name, *value));
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        strip_headers(&mut head.headers, None);
        strip_query(&mut head.uri, None).unwrap();
        (
            head.uri.to_string(),
            head.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect(),
        )
    }

    #[test]
    fn every_header_with_a_credential_is_removed_with_all_its_values() {
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
    fn the_rest_of_a_query_is_kept_byte_for_byte() {
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
    fn only_the_key_is_removed_from_the_subprotocols() {
        let protocols = |value| stripped("/v1", &[("sec-websocket-protocol", value)]).1;
        assert_eq!(protocols("realtime, openai-insecure-api-key.sk-x, v1"), ["sec-websocket-protocol: realtime, v1"]);
        assert_eq!(protocols("openai-insecure-api-key.sk-x"), [""; 0]);
        assert_eq!(protocols("realtime,v1"), ["sec-websocket-protocol: realtime,v1"]);
        let two = [("sec-websocket-protocol", "a,b"), ("sec-websocket-protocol", "openai-insecure-api-key.x")];
        assert_eq!(stripped("/v1", &two).1, ["sec-websocket-protocol: a,b"]);
    }
}
