//! Filters the headers that are passed from one side to the other.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use tower_keypool::Attempts;

/// Headers that concern only one connection (RFC 9110, section 7.6.1).
static HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    HeaderName::from_static("http2-settings"),
];

/// How long the client is willing to wait for a key.
pub const KEYPOOL_WAIT: HeaderName = HeaderName::from_static("x-keypool-wait");
const KEYPOOL_KEY: HeaderName = HeaderName::from_static("x-keypool-key");
const KEYPOOL_ATTEMPTS: HeaderName = HeaderName::from_static("x-keypool-attempts");
const KEYPOOL_MODEL: HeaderName = HeaderName::from_static("x-keypool-model");

/// Headers that reverse proxies and content delivery networks add, beside `x-forwarded-*` and `cf-*`.
const BY_PROXIES: [&str; 15] = [
    "forwarded",
    "via",
    "x-real-ip",
    "x-client-ip",
    "client-ip",
    "true-client-ip",
    "fastly-client-ip",
    "x-cluster-client-ip",
    "x-azure-clientip",
    "x-originating-ip",
    "x-remote-ip",
    "x-envoy-external-address",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-url",
];

/// Response headers, beside `access-control-*`, that apply to all of an origin, here to the gateway's own. Google's
/// `alt-svc` names the HTTP/3 port of its own host.
const OF_ORIGIN: [&str; 6] =
    ["alt-svc", "set-cookie", "strict-transport-security", "clear-site-data", "nel", "report-to"];

/// Reports whether a proxy added this header. Some reveal the client's address, so they are not passed to providers.
pub fn is_by_proxy(name: &HeaderName) -> bool {
    let name = name.as_str();
    // Callers of Cloudflare's AI Gateway set `cf-aig-*`.
    let is_of_network = name.starts_with("cf-") && !name.starts_with("cf-aig-") || name == "cdn-loop";
    name.starts_with("x-forwarded-") || is_of_network || BY_PROXIES.contains(&name)
}

/// Removes the request headers that are not for the provider. The pool's layers replace the credentials.
pub fn for_upstream(headers: &mut HeaderMap) {
    remove(headers, |name| match name.as_str() {
        // Trailers of requests are not sent. The HTTP client sets the length of the body that it sends.
        "trailer" | "expect" | "cookie" | "origin" | "referer" | "x-request-id" | "content-length" => true,
        text => text.starts_with("x-keypool-") || is_by_proxy(name),
    });
    // Errors in other encodings could not be read.
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let is_gzip = |coding: &str| coding.trim_start().get(..4).is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
    let gzip =
        accepted.flat_map(|codings| codings.split(',')).any(|coding| is_gzip(coding) && !coding.ends_with("q=0"));
    if gzip {
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    } else {
        headers.remove(header::ACCEPT_ENCODING);
    }
}

/// Removes the response headers that are not for the client, and adds those of streams.
pub fn for_client(headers: &mut HeaderMap) {
    remove(headers, |name| OF_ORIGIN.contains(&name.as_str()) || name.as_str().starts_with("access-control-"));
    if is_event_stream(headers) {
        stream(headers);
    }
}

/// Removes the trailers that may only be headers (RFC 9110, section 6.5.1): HTTP/2 clients refuse a response with them.
pub fn of_trailers(trailers: &mut HeaderMap) {
    remove(trailers, |name| name.as_str().starts_with("content-") || *name == header::SET_COOKIE);
}

/// Adds headers that keep proxies in front of the gateway from buffering or caching a stream.
pub fn stream(headers: &mut HeaderMap) {
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
}

pub fn is_event_stream(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    content_type.get(..17).is_some_and(|start| start.eq_ignore_ascii_case(b"text/event-stream"))
}

/// Adds the headers that name the key, the model and the number of attempts.
pub fn served(headers: &mut HeaderMap, attempts: &Attempts, model: Option<&str>) {
    let Some(last) = attempts.last() else { return };
    let mut put = |name, value: Result<HeaderValue, _>| {
        if let Ok(value) = value {
            headers.insert(name, value);
        }
    };
    put(KEYPOOL_KEY, HeaderValue::try_from(last.key().as_str()));
    put(KEYPOOL_ATTEMPTS, Ok(HeaderValue::from(attempts.len())));
    if let Some(model) = last.model().or(model) {
        put(KEYPOOL_MODEL, HeaderValue::try_from(model));
    }
}

/// Removes the headers that concern only one connection, and those for which `is_other` returns true.
fn remove(headers: &mut HeaderMap, is_other: impl Fn(&HeaderName) -> bool) {
    let connection = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named = connection.flat_map(|names| names.split(',')).filter_map(|name| name.trim().parse().ok());
    let named: Vec<HeaderName> = named.collect();
    let is_removed = |name: &&HeaderName| HOP_BY_HOP.contains(name) || named.contains(name) || is_other(name);
    for name in headers.keys().filter(is_removed).cloned().collect::<Vec<_>>() {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_named_by_connection_are_removed() {
        let mut headers = HeaderMap::new();
        headers.append(header::CONNECTION, HeaderValue::from_static("close, x-one"));
        headers.append(header::CONNECTION, HeaderValue::from_static("X-Two"));
        for name in ["x-one", "x-two", "x-three"] {
            headers.insert(name, HeaderValue::from_static("1"));
        }
        for_upstream(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["x-three"]);
    }
}
