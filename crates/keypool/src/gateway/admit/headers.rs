//! The headers that decide whether a request is let in, found in one pass over all of them.

use http::{HeaderMap, HeaderValue};

/// Places for a credential that are looked at; whoever sends more has sent enough.
const CREDENTIALS: usize = 4;

/// What the headers of a request say about where it comes from and who sends it.
#[derive(Debug, Default)]
pub struct Seen<'a> {
    pub(in crate::gateway) host: Option<&'a HeaderValue>,
    pub(in crate::gateway) hosts: usize,
    pub(in crate::gateway) origin: Option<&'a HeaderValue>,
    pub(in crate::gateway) origins: usize,
    /// A browser says that the page is of another site.
    pub(in crate::gateway) foreign_site: bool,
    pub(in crate::gateway) websocket: bool,
    /// `Expect: 100-continue` and whatever else might be expected.
    pub(in crate::gateway) expects: bool,
    /// It would be another method than it says.
    pub(in crate::gateway) overrides: bool,
    /// Something is said to the gateway alone: an administrator's token, or that a trace is wanted.
    pub(in crate::gateway) administers: bool,
    /// The body is packed for its transfer, and not only cut.
    pub(in crate::gateway) coded: bool,
    /// The client takes trailers.
    pub(in crate::gateway) trailers: bool,
    /// The body is called a form.
    pub(in crate::gateway) form: bool,
    /// Which fields the answer is to have, where one header says so.
    pub(in crate::gateway) masks: Option<&'a str>,
    /// The answer is to be protobuf, or the request is.
    pub(in crate::gateway) binary: bool,
    /// It says something that is for this gateway alone.
    pub(in crate::gateway) ours: bool,
    /// How long it may wait for a key.
    pub(in crate::gateway) wait: Option<&'a HeaderValue>,
    credentials: [Option<&'a [u8]>; CREDENTIALS],
}

impl<'a> Seen<'a> {
    /// Looks at each header once.
    pub fn of(headers: &'a HeaderMap) -> Self {
        let mut seen = Self::default();
        for (name, value) in headers {
            match name.as_str() {
                "host" => {
                    seen.host = Some(value);
                    seen.hosts += 1;
                }
                "origin" => {
                    seen.origin = Some(value);
                    seen.origins += 1;
                }
                // An image or a form sends no Origin with a GET; browsers say it here.
                "sec-fetch-site" => seen.foreign_site |= !matches!(value.as_bytes(), b"same-origin" | b"none"),
                "upgrade" => seen.websocket |= names(value.as_bytes(), b"websocket"),
                "expect" => seen.expects = true,
                "x-http-method-override" | "x-http-method" | "x-method-override" => seen.overrides = true,
                "x-keypool-admin" | "x-keypool-trace" => (seen.ours, seen.administers) = (true, true),
                "transfer-encoding" => seen.coded |= !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked"),
                "te" => seen.trailers |= names(value.as_bytes(), b"trailers"),
                "content-type" => {
                    seen.form |= value.as_bytes().starts_with(b"application/x-www-form-urlencoded");
                    seen.binary |= is_binary(value.as_bytes());
                }
                "accept" => seen.binary |= is_binary(value.as_bytes()),
                // Who says it twice gets none of both.
                "x-goog-fieldmask" => {
                    seen.masks = if seen.masks.is_some() { Some("") } else { Some(value.to_str().unwrap_or_default()) };
                }
                // The last is that of Azure's clients.
                "x-goog-api-key" | "x-api-key" | "api-key" => seen.credential(value.as_bytes()),
                "sec-websocket-protocol" => {
                    if let Some(token) = among_protocols(value.as_bytes()) {
                        seen.credential(token);
                    }
                }
                "authorization" => seen.credential(bearer(value.as_bytes()).unwrap_or_default()),
                "x-keypool-wait" => (seen.ours, seen.wait) = (true, Some(value)),
                name => seen.ours |= is_ours(name),
            }
        }
        seen
    }

    /// What may be the token: values of `x-goog-api-key`, `x-api-key`, `api-key` and `Authorization: Bearer`, and what clients in
    /// browsers put among a WebSocket's protocols. An authorization
    /// of another scheme is an empty one.
    pub(in crate::gateway) fn credentials(&self) -> impl Iterator<Item = &'a [u8]> {
        self.credentials.into_iter().flatten()
    }

    fn credential(&mut self, value: &'a [u8]) {
        if let Some(place) = self.credentials.iter_mut().find(|place| place.is_none()) {
            *place = Some(value);
        }
    }
}

/// Whether a header is for the gateway, and nobody behind it: its own, what belongs to an upgrade that it does not make, and
/// what proxies say of the caller.
///
/// Also where it is written with underscores, which some servers read as hyphens.
pub(in crate::gateway) fn is_ours(name: &str) -> bool {
    is_of_the_way(name)
        || memchr::memchr(b'_', name.as_bytes()).is_some_and(|_| {
            let name = name.replace('_', "-");
            is_of_the_way(&name) || OVERRIDES.contains(&&*name)
        })
}

fn is_of_the_way(name: &str) -> bool {
    match name.as_bytes().first() {
        Some(b'x') => {
            name.strip_prefix("x-").is_some_and(|name| OF_THE_WAY.iter().any(|beginning| name.starts_with(beginning)))
        }
        _ => matches!(name, "http2-settings" | "forwarded" | "via" | "true-client-ip" | "cf-connecting-ip"),
    }
}

/// What says that a request is of another method than it is.
pub(in crate::gateway) const OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// How the names go on, behind `x-`, of what is said to this gateway, and of what those before it say of the caller: who he
/// is, and by which way he came, is none of the provider's business.
const OF_THE_WAY: [&str; 6] =
    ["keypool-", "forwarded-", "real-ip", "client-ip", "goog-authenticated-user-", "goog-iap-"];

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// The token that stands among the protocols of a WebSocket: `OpenAI`'s client sends it so, since browsers let it set no header.
fn among_protocols(value: &[u8]) -> Option<&[u8]> {
    value.split(|&byte| byte == b',').find_map(|name| name.trim_ascii().strip_prefix(b"openai-insecure-api-key."))
}

/// Whether one of a list of types is protobuf.
fn is_binary(value: &[u8]) -> bool {
    let shortest = b"application/protobuf".len();
    value.len() >= shortest
        && value.split(|&byte| byte == b',').any(|kind| {
            let kind = kind.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
            kind.windows(8).any(|part| part == b"protobuf")
        })
}

/// Whether one of a list is this.
fn names(value: &[u8], this: &[u8]) -> bool {
    value.split(|&byte| byte == b',').any(|name| name.trim_ascii().eq_ignore_ascii_case(this))
}
