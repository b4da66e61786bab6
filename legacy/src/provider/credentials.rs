//! Takes the caller's credentials off a request, wherever they hide, so that exactly one leaves.

use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use memchr::memchr;
use percent_encoding::percent_decode_str;

use super::target::set_query;
use crate::key::Secret;

/// Query parameters that carry a credential, in lower case.
const QUERY: [&str; 8] =
    ["key", "access_token", "oauth_token", "bearer_token", "api_key", "apikey", "api-key", "x-goog-api-key"];

/// The credential, or the word for an account, that a header of this name (in lower case) carries.
#[inline]
fn credential(name: &str) -> Option<HeaderName> {
    if SUSPECT & mark(name) == 0 { None } else { credential_named(name) }
}

/// One bit for a name, by its length and its first letter: hardly any other usual name shares one with those of [`MARKS`] or
/// with those that concern a connection. All that begin like `proxy-` have one. Asked first, since most names are neither.
#[inline]
pub(crate) const fn mark(name: &str) -> u64 {
    match name.as_bytes() {
        [] => 0,
        [b'p', ..] => 1,
        [first, ..] => 1 << ((name.len() * 9 + *first as usize) & 63),
    }
}

const MARKS: u64 = mark("cookie")
    | mark("cookie2")
    | mark("api-key")
    | mark("x-api-key")
    | mark("authorization")
    | mark("x-goog-api-key")
    | mark("openai-project")
    | mark("proxy-authorization")
    | mark("openai-organization")
    | mark("x-goog-user-project")
    | mark("x-goog-iam-authorization-token");

/// The marks of all names that may hold a credential.
const SUSPECT: u64 = MARKS | mark(PROTOCOL);

fn credential_named(name: &str) -> Option<HeaderName> {
    Some(match name {
        "cookie" => header::COOKIE,
        "cookie2" => COOKIE2,
        "api-key" => API_KEY,
        "x-api-key" => X_API_KEY,
        "authorization" => header::AUTHORIZATION,
        "x-goog-api-key" => X_GOOG_API_KEY,
        "openai-project" => OPENAI_PROJECT,
        "proxy-authorization" => header::PROXY_AUTHORIZATION,
        "openai-organization" => OPENAI_ORGANIZATION,
        "x-goog-user-project" => X_GOOG_USER_PROJECT,
        "x-goog-iam-authorization-token" => X_GOOG_IAM,
        name => return credential_alike(name),
    })
}

/// The same of one that is called so but for underscores, which some servers read as hyphens.
#[cold]
fn credential_alike(name: &str) -> Option<HeaderName> {
    let hyphened = hyphened(name)?;
    if hyphened != PROTOCOL {
        credential_named(&hyphened)?;
    }
    HeaderName::from_bytes(name.as_bytes()).ok()
}

/// A name that has underscores, with hyphens in their place.
pub(crate) fn hyphened(name: &str) -> Option<String> {
    memchr(b'_', name.as_bytes()).map(|_| name.replace('_', "-"))
}

/// Takes the caller's credentials out of what follows a body: some servers read it as if it had been said before.
#[cold]
pub(crate) fn strip_trailers(mut trailers: HeaderMap) -> HeaderMap {
    while let Some(name) = trailers.keys().find_map(|name| credential_named(name.as_str())) {
        trailers.remove(name);
    }
    trailers
}

/// Which credentials the headers of a request may hold, as somebody tells who passed them anyway: a bit for each name. That
/// one is missing is sure.
///
/// ```
/// use tower_keypool::Seen;
///
/// let mut seen = Seen::default();
/// seen.see("content-type");
/// assert!(!seen.may_hold_credentials());
/// seen.see("authorization");
/// assert!(seen.may_hold_credentials());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    marks: u64,
    /// How many names may be a credential's.
    suspects: u32,
}

impl Seen {
    /// Passes a header of this name, in lower case.
    #[inline]
    pub fn see(&mut self, name: &str) {
        let mark = mark(name);
        self.marks |= mark;
        if mark & SUSPECT != 0 {
            self.suspects += 1;
        }
    }

    /// Whether any of them may be a credential.
    pub fn may_hold_credentials(self) -> bool {
        self.suspects > 0
    }

    /// Whether any of them may be one of these marks' names.
    #[inline]
    pub(crate) fn may_be(self, marks: u64) -> bool {
        self.marks & marks != 0
    }
}

/// Puts the key into the header of this name, in the place of the caller's own, where there is no other credential in the
/// head and no header twice. Whether it did. The name is one of ours.
#[inline]
pub(super) fn put(head: &mut Parts, name: &HeaderName, value: &HeaderValue, seen: Seen) -> bool {
    let once = head.headers.len() == head.headers.keys_len();
    if !once || head.uri.query().is_some_and(|query| holds(query, None)) {
        return false;
    }
    match seen.suspects {
        0 => drop(head.headers.insert(name, value.clone())),
        // An insertion makes room for one more, even where it replaces.
        1 => match head.headers.get_mut(name) {
            Some(old) => *old = value.clone(),
            // Another, or one that is called nearly so.
            None => return false,
        },
        _ => return false,
    }
    true
}

/// Where browsers put a key on a WebSocket.
const PROTOCOL: &str = "sec-websocket-protocol";

/// What a head holds of credentials.
enum Holds {
    /// None at all.
    Nothing,
    /// The header that the key travels in, once: it was overwritten.
    Ours,
    /// Another, or several.
    Others,
}

/// Takes every credential of the caller out and puts the key into this header. Where the caller sent the same header,
/// and no other credential, its value is overwritten where it stands.
pub(super) fn rekey(head: &mut Parts, name: &HeaderName, value: &HeaderValue, extra: Option<&str>) {
    match overwrite(head, name, value, extra) {
        Holds::Ours => return,
        Holds::Nothing => {}
        Holds::Others => strip(head, extra),
    }
    head.headers.insert(name, value.clone());
}

#[inline]
fn overwrite(head: &mut Parts, name: &HeaderName, value: &HeaderValue, extra: Option<&str>) -> Holds {
    if head.uri.query().is_some_and(|query| holds(query, extra)) {
        return Holds::Others;
    }
    let name = name.as_str();
    let marks = SUSPECT | mark(name) | extra.map_or(0, mark);
    let mut found = Holds::Nothing;
    for (other, old) in &mut head.headers {
        let other = other.as_str();
        if marks & mark(other) == 0 {
            continue;
        }
        if other == name {
            if let Holds::Ours = found {
                return Holds::Others;
            }
            *old = value.clone();
            found = Holds::Ours;
        } else if credential(other).is_some()
            || other == PROTOCOL
            || is_alike(other, name)
            || extra.is_some_and(|extra| is_alike(other, extra))
        {
            return Holds::Others;
        }
    }
    found
}

/// Removes every credential from headers and query, `extra` being one more name of either kind. A head without any is
/// not touched.
pub(super) fn strip(head: &mut Parts, extra: Option<&str>) {
    // One pass is all that most heads cost: looking a header up costs as much as passing over several.
    let mut protocol = false;
    // Removed by a name of ours: cloning the request's may allocate.
    while let Some(name) = head.headers.keys().find_map(|name| {
        protocol |= *name == header::SEC_WEBSOCKET_PROTOCOL;
        credential(name.as_str())
    }) {
        head.headers.remove(name);
    }
    if let Some(extra) = extra {
        while let Some(name) = head.headers.keys().find(|name| is_alike(name.as_str(), extra)).cloned() {
            head.headers.remove(name);
        }
    }
    if protocol {
        strip_protocol(&mut head.headers);
    }
    let unwanted = |pair: &str| carries(pair, extra);
    if let Some(query) = head.uri.query().filter(|query| holds(query, extra)) {
        let mut kept = String::with_capacity(query.len());
        for pair in query.split_inclusive(SEPARATORS).filter(|pair| !unwanted(pair.trim_end_matches(SEPARATORS))) {
            kept.push_str(pair);
        }
        // What stood behind the last one that is left is gone.
        let last = query.rsplit(SEPARATORS).next().unwrap_or_default();
        if unwanted(last) {
            kept.pop();
        }
        set_query(&mut head.uri, &kept);
    }
}

/// Whether a header of this name (in lower case) may be taken for the other.
fn is_alike(name: &str, other: &str) -> bool {
    let read = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == other.len() && name.bytes().zip(other.bytes()).all(|(one, other)| read(one) == read(other))
}

/// What stands between the pairs of a query: the second one is read so by some servers alone.
const SEPARATORS: [char; 2] = ['&', ';'];

/// Whether a query holds a credential.
#[inline]
fn holds(query: &str, extra: Option<&str>) -> bool {
    let hidden = || query.split(SEPARATORS).any(|pair| carries(pair, extra));
    query.split('&').any(|pair| carries(pair, extra)) || (memchr(b';', query.as_bytes()).is_some() && hidden())
}

/// Browsers cannot set headers on a WebSocket, so `OpenAI` takes a key among its subprotocols.
fn strip_protocol(headers: &mut HeaderMap) {
    const KEY: &str = "openai-insecure-api-key";
    let Some(value) = headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok()) else { return };
    if value.contains(KEY) {
        let kept = value.split(',').map(str::trim).filter(|name| !name.starts_with(KEY)).collect::<Vec<_>>().join(", ");
        match HeaderValue::try_from(kept) {
            Ok(kept) if !kept.is_empty() => headers.insert(header::SEC_WEBSOCKET_PROTOCOL, kept),
            _ => headers.remove(header::SEC_WEBSOCKET_PROTOCOL),
        };
    }
}

/// Whether a `name=value` of a query is a credential, its name in whatever case and encoding.
fn carries(pair: &str, extra: Option<&str>) -> bool {
    let name = pair.split('=').next().unwrap_or("");
    let is = |name: &str| {
        QUERY.iter().any(|known| known.eq_ignore_ascii_case(name))
            || extra.is_some_and(|extra| extra.eq_ignore_ascii_case(name))
    };
    if !name.contains(['%', '+']) {
        return is(name);
    }
    percent_decode_str(name).decode_utf8().is_ok_and(|name| is(name.trim_matches(['+', ' '])))
}

/// The header value `Bearer …` of a secret that was prepared without.
pub(super) fn bearer(key: &Secret) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose())).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// `x-goog-api-key`.
pub(super) const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
/// `x-api-key`.
pub(super) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// `api-key`.
pub(super) const API_KEY: HeaderName = HeaderName::from_static("api-key");
const COOKIE2: HeaderName = HeaderName::from_static("cookie2");
const OPENAI_PROJECT: HeaderName = HeaderName::from_static("openai-project");
const OPENAI_ORGANIZATION: HeaderName = HeaderName::from_static("openai-organization");
const X_GOOG_USER_PROJECT: HeaderName = HeaderName::from_static("x-goog-user-project");
const X_GOOG_IAM: HeaderName = HeaderName::from_static("x-goog-iam-authorization-token");

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn head(uri: &str) -> Parts {
        Request::get(uri).body(()).unwrap().into_parts().0
    }

    #[test]
    fn one_pass_does_what_two_do() {
        let names = [
            "x-goog-api-key",
            "authorization",
            "cookie",
            "x-mine",
            "accept",
            "x-goog-api-client",
            "sec-websocket-protocol",
            "x_goog_api_key",
            "x_mine",
        ];
        let key = HeaderValue::from_static("of-the-pool");
        // Every selection of the names, each of them once, or all of them twice.
        for (chosen, times, query) in
            (0..1_u32 << names.len()).flat_map(|n| [(n, 1, ""), (n, 2, ""), (n, 1, "?key=A&x=1")])
        {
            let mut before = head(&format!("/p{query}"));
            for (_, name) in names.iter().enumerate().filter(|(at, _)| chosen & 1 << at != 0) {
                for _ in 0..times {
                    before.headers.append(*name, HeaderValue::from_static("openai-insecure-api-key.x, a"));
                }
            }
            for (name, extra) in [(&X_GOOG_API_KEY, None), (&header::AUTHORIZATION, None), (&X_API_KEY, Some("x-mine"))]
            {
                let (mut one, mut two) = (before.clone(), before.clone());
                rekey(&mut one, name, &key, extra);
                strip(&mut two, extra);
                two.headers.insert(name, key.clone());
                assert_eq!((&one.headers, &one.uri), (&two.headers, &two.uri), "{:?} {name}", before.headers);
                let (mut three, mut seen) = (before.clone(), Seen::default());
                before.headers.keys().for_each(|name| seen.see(name.as_str()));
                if extra.is_none() && put(&mut three, name, &key, seen) {
                    assert_eq!((three.headers, three.uri), (two.headers, two.uri), "{:?} {name}", before.headers);
                }
            }
        }
    }

    #[test]
    fn no_name_hides_behind_that_of_a_header_that_is_put() {
        let all = [
            "cookie",
            "cookie2",
            "api-key",
            "x-api-key",
            "authorization",
            "openai-project",
            "proxy-authorization",
            "openai-organization",
            "x-goog-user-project",
            "x-goog-iam-authorization-token",
            PROTOCOL,
            "x_api_key",
            "x_goog_api_key",
            "x-goog_api-key",
            "proxy_authorization",
            "sec_websocket_protocol",
        ];
        for name in all {
            let mut seen = Seen::default();
            seen.see(name);
            assert!(credential_named(name).is_some() || name == PROTOCOL, "{name}");
            let mut head = head("/p");
            head.headers.insert(X_GOOG_API_KEY, HeaderValue::from_static("theirs"));
            seen.see("x-goog-api-key");
            assert!(!put(&mut head, &X_GOOG_API_KEY, &HeaderValue::from_static("k"), seen), "{name}");
        }
    }

    #[test]
    fn headers_go_each_of_them() {
        let mut head = head("/v1/x");
        for name in [
            "Authorization",
            "X-Goog-Api-Key",
            "x-api-key",
            "api-key",
            "cookie",
            "openai-organization",
            "openai-project",
            "x-goog-user-project",
            "x-goog-iam-authorization-token",
            "proxy-authorization",
        ] {
            let name = HeaderName::try_from(name).unwrap();
            head.headers.append(name.clone(), HeaderValue::from_static("a"));
            head.headers.append(name, HeaderValue::from_static("b"));
        }
        head.headers.insert("x-goog-api-client", HeaderValue::from_static("kept"));
        head.headers.insert("x-mine", HeaderValue::from_static("secret"));
        head.headers
            .insert("sec-websocket-protocol", HeaderValue::from_static("realtime, openai-insecure-api-key.sk-x"));
        strip(&mut head, Some("X-Mine"));
        assert_eq!(head.headers.len(), 2, "{:?}", head.headers);
        assert_eq!(head.headers["sec-websocket-protocol"], "realtime");
    }

    #[test]
    fn headers_go_also_where_they_are_written_with_underscores() {
        let mut head = head("/v1/x");
        for name in ["x_goog_api_key", "API_KEY", "x-api_key", "openai_organization", "proxy_authorization", "x_mine"] {
            head.headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::from_static("a"));
        }
        for name in ["x_trace", "api_keys", "x_goog_api_client", "cookie_policy"] {
            head.headers.append(name, HeaderValue::from_static("kept"));
        }
        strip(&mut head, Some("X-Mine"));
        assert_eq!(head.headers.len(), 4, "{:?}", head.headers);
        assert!(head.headers.values().all(|value| value == "kept"), "{:?}", head.headers);
        let trailers = strip_trailers(HeaderMap::from_iter([(HeaderName::from_static("x_api_key"), X_TEST)]));
        assert!(trailers.is_empty());
    }

    const X_TEST: HeaderValue = HeaderValue::from_static("secret");

    #[test]
    fn queries_lose_keys_however_they_are_written() {
        for (before, after) in [
            ("/p?key=A", "/p"),
            ("/p?alt=sse&key=A", "/p?alt=sse"),
            ("/p?KEY=A&alt=sse&k%65y=B&%4b%45%59=C", "/p?alt=sse"),
            ("/p?access_token=A&oauth%5Ftoken=B&x=1", "/p?x=1"),
            ("/p?key", "/p"),
            ("/p?monkey=1&keys=2", "/p?monkey=1&keys=2"),
            ("/p?upload_id=1&upload_protocol=resumable", "/p?upload_id=1&upload_protocol=resumable"),
            ("/p?", "/p?"),
            ("/p?mine=1", "/p"),
            ("/p?alt=sse;key=A", "/p?alt=sse"),
            ("/p?key=A;alt=sse&x=1;k%65y=B;y=2", "/p?alt=sse&x=1;y=2"),
            ("/p?x=1&key=A;", "/p?x=1&"),
            ("/p?x=a;b", "/p?x=a;b"),
            ("https://h:1/p?key=A&z", "https://h:1/p?z"),
        ] {
            let mut head = head(before);
            strip(&mut head, Some("mine"));
            assert_eq!(head.uri.to_string(), after, "{before}");
        }
    }
}
