//! Headers that concern one connection only, and how an answer may be encoded.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE},
    request::Parts,
};

use crate::provider::{Seen, hyphened, mark};

/// Takes out what concerns the caller's connection, and leaves of `Accept-Encoding` what can be judged: gzip, or
/// nothing at all. A genuine upgrade to a websocket stays one. The names that it saw.
pub(super) fn clean(head: &mut Parts) -> Names {
    let (found, names) = Found::scan(&head.headers);
    if found.hop {
        remove_hop(head);
    }
    if found.host {
        // The client's own, made from the address.
        head.headers.remove(HOST);
    }
    if found.encoding {
        narrow_encoding(&mut head.headers);
    }
    if found.alike {
        remove_alike(&mut head.headers);
    }
    names
}

/// What there is to do, found in one pass: most requests have next to nothing.
#[derive(Default)]
struct Found {
    hop: bool,
    host: bool,
    encoding: bool,
    /// One of these with underscores, which some servers read as hyphens.
    alike: bool,
}

/// The names of headers that somebody has seen, as far as a bit for each tells.
#[derive(Clone, Copy, Default)]
pub(crate) struct Names(Seen);

impl Names {
    #[inline]
    pub(crate) fn see(&mut self, name: &str) {
        self.0.see(name);
    }

    /// Those of a head.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut names = Self::default();
        headers.keys().for_each(|name| names.see(name.as_str()));
        names
    }

    /// Whether one of them may be for [`clean`] to look at.
    #[inline]
    pub(super) fn may_concern_a_connection(self) -> bool {
        self.0.may_be(CONCERNED)
    }

    /// Which credentials may be among them.
    #[inline]
    pub(super) fn seen(self) -> Seen {
        self.0
    }
}

const CONCERNED: u64 = mark("proxy-")
    | mark("host")
    | mark("accept-encoding")
    | mark("connection")
    | mark("keep-alive")
    | mark("te")
    | mark("transfer-encoding")
    | mark("upgrade");

impl Found {
    fn scan(headers: &HeaderMap) -> (Self, Names) {
        let (mut found, mut names) = (Self::default(), Names::default());
        for name in headers.keys().map(HeaderName::as_str) {
            names.see(name);
            // Asked first, since most names are none of them.
            if CONCERNED & mark(name) == 0 {
                continue;
            }
            match name {
                "host" => found.host = true,
                "accept-encoding" => found.encoding = true,
                "connection" | "keep-alive" | "te" | "transfer-encoding" | "upgrade" => found.hop = true,
                name if name.starts_with("proxy-") => found.hop = true,
                name => found.alike |= is_alike(name),
            }
        }
        (found, names)
    }
}

/// Whether one that concerns a connection is called so but for underscores.
fn is_alike(name: &str) -> bool {
    hyphened(name).is_some_and(|name| {
        matches!(&*name, "accept-encoding" | "keep-alive" | "transfer-encoding") || name.starts_with("proxy-")
    })
}

#[cold]
fn remove_alike(headers: &mut HeaderMap) {
    while let Some(name) = headers.keys().find(|name| is_alike(name.as_str())).cloned() {
        headers.remove(name);
    }
}

fn remove_hop(head: &mut Parts) {
    let websocket = is_websocket(head);
    let headers = &mut head.headers;
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| !(websocket && *name == UPGRADE))
        .chain(headers.keys().filter(|name| name.as_str().starts_with("proxy-")).cloned())
        .collect();
    for name in named {
        headers.remove(name);
    }
    if headers.remove(TRANSFER_ENCODING).is_some() {
        // Where both were sent, the length was not the body's.
        headers.remove(CONTENT_LENGTH);
    }
    headers.remove("keep-alive");
    headers.remove(TE);
    if websocket {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    } else {
        headers.remove(CONNECTION);
        headers.remove(UPGRADE);
    }
}

fn is_websocket(head: &Parts) -> bool {
    let upgrade = head.headers.get(UPGRADE).is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"));
    upgrade
        && head.method == Method::GET
        && head.headers.get_all(CONNECTION).iter().any(|value| {
            value.as_bytes().split(|byte| *byte == b',').any(|name| name.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
        })
}

/// Never widens: gzip stays where the caller takes it, and nothing else does.
fn narrow_encoding(headers: &mut HeaderMap) {
    let gzip = headers
        .get_all(ACCEPT_ENCODING)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(takes_gzip);
    let value = if gzip { "gzip" } else { "identity" };
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
}

/// Whether one item of the list is gzip with a weight above zero.
fn takes_gzip(item: &[u8]) -> bool {
    let mut parts = item.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let coding = parts.next().unwrap_or_default();
    let named = coding.eq_ignore_ascii_case(b"gzip") || coding.eq_ignore_ascii_case(b"x-gzip");
    named
        && !parts.any(|parameter| match parameter {
            [b'q' | b'Q', b'=', weight @ ..] => weight.iter().all(|byte| matches!(byte, b'0' | b'.')),
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn cleaned(headers: &[(&str, &str)]) -> Vec<String> {
        let mut request = Request::get("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut head, ()) = request.body(()).expect("a request").into_parts();
        clean(&mut head);
        let mut left: Vec<String> =
            head.headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().expect("text"))).collect();
        left.sort();
        left
    }

    #[test]
    fn what_concerns_one_connection_goes() {
        let left = cleaned(&[
            ("connection", "keep-alive, X-Secret"),
            ("connection", "x-other"),
            ("x-secret", "1"),
            ("x-other", "2"),
            ("x-stays", "3"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("proxy-authorization", "Basic eA=="),
            ("proxy-whatever", "y"),
            ("upgrade", "h2c"),
            ("transfer-encoding", "chunked"),
            ("content-length", "10"),
            ("host", "localhost"),
            ("transfer_encoding", "chunked"),
            ("Keep_Alive", "1"),
            ("proxy_connection", "keep-alive"),
            ("accept_encoding", "br"),
            ("x_stays", "4"),
        ]);
        assert_eq!(left, ["x-stays: 3", "x_stays: 4"]);
    }

    #[test]
    fn a_websocket_stays_one() {
        let left = cleaned(&[("connection", "Upgrade, x-secret"), ("upgrade", "websocket"), ("x-secret", "1")]);
        assert_eq!(left, ["connection: upgrade", "upgrade: websocket"]);
    }

    #[test]
    fn encodings_are_narrowed_and_never_widened() {
        let of = |value| cleaned(&[("accept-encoding", value)]);
        assert_eq!(of("br, GZIP;q=0.5, zstd"), ["accept-encoding: gzip"]);
        assert_eq!(of("gzip, deflate"), ["accept-encoding: gzip"]);
        for none in ["br", "*", "gzip;q=0", "gzip; q=0.000, br", "identity"] {
            assert_eq!(of(none), ["accept-encoding: identity"], "{none}");
        }
        assert!(cleaned(&[]).is_empty());
    }
}
