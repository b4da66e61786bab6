//! Whether a request is meant for this gateway: a web page can reach a loopback address, too.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderValue, Method, StatusCode, Version, request::Parts};

use super::{headers::Seen, hiding, path};
use crate::gateway::dialect::Refusal;

/// The names this gateway answers to, and what it refuses whatever the token.
#[derive(Clone, Debug, Default)]
pub struct Guard {
    /// Lower case, without a port.
    names: Vec<String>,
    /// Web pages of other origins that may ask.
    origins: Vec<String>,
}

/// The address that a connection came in at.
#[derive(Clone, Debug)]
pub struct Local {
    ip: IpAddr,
    /// As most clients name it.
    authority: String,
    /// How much of that comes before the port: those who leave it out name this.
    host: usize,
}

impl Local {
    /// Whether only this machine can reach it.
    pub(in crate::gateway) fn is_loopback(&self) -> bool {
        self.ip.to_canonical().is_loopback()
    }
}

impl From<SocketAddr> for Local {
    fn from(address: SocketAddr) -> Self {
        let authority = address.to_string();
        let host = authority.rfind(':').unwrap_or(authority.len());
        Self { ip: address.ip(), authority, host }
    }
}

impl Local {
    /// Whether it is named just as the system writes it.
    fn is(&self, host: &str) -> bool {
        host == self.authority || host == &self.authority[..self.host]
    }
}

impl Guard {
    /// Answers to loopback names and addresses, to the address that a connection came in at, and to `names`
    /// (without a port, in any case).
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        let names = names.into_iter().map(|name| name.trim_end_matches('.').to_ascii_lowercase()).collect();
        Self { names, origins: Vec::new() }
    }

    /// Lets web pages of these origins (`http://localhost:3000`, `app://obsidian.md`) ask what clients may.
    #[must_use]
    pub fn letting_pages_in(self, origins: impl IntoIterator<Item = String>) -> Self {
        Self { origins: origins.into_iter().collect(), ..self }
    }

    /// Whether a page of this origin may ask at this path: never at the gateway's own, whatever prefix leads there.
    pub(super) fn lets_page(&self, origin: &HeaderValue, path: &str) -> bool {
        let is_it = |ours: &String| origin.as_bytes().eq_ignore_ascii_case(ours.as_bytes());
        !path.split('/').any(|segment| segment == "-") && self.origins.iter().any(is_it)
    }

    /// The host (and port) that the client reached, as it named it.
    ///
    /// # Errors
    /// What is wrong with the request, as an answer.
    pub fn check<'a>(&self, head: &'a Parts, seen: &Seen<'a>, local: &Local) -> Result<&'a str, Refusal> {
        if matches!(head.method, Method::CONNECT | Method::TRACE) {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "this gateway is no proxy for other hosts"));
        }
        // Whoever asks so takes this for a proxy, and others read two hosts in it.
        if head.version < Version::HTTP_2 && head.uri.authority().is_some() {
            let fault = "the request's target is a whole URL, as for a proxy, which this gateway is not: ask for the path alone";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, fault));
        }
        if seen.coded {
            let fault = "the body is packed for its transfer: send it as it is, or in a Content-Encoding";
            return Err(Refusal::new(StatusCode::NOT_IMPLEMENTED, fault));
        }
        let host = host_of(head, seen).map_err(|fault| Refusal::new(StatusCode::BAD_REQUEST, fault))?;
        if !local.is(host) {
            let name =
                name_of(host).ok_or(Refusal::new(StatusCode::BAD_REQUEST, "the Host header is not host[:port]"))?;
            if !self.is_ours(name, local.ip) {
                return Err(Refusal::new(
                    StatusCode::MISDIRECTED_REQUEST,
                    "this gateway does not answer to that Host: start it with --host NAME to add one",
                ));
            }
        }
        let is_let_in =
            || seen.origins == 1 && seen.origin.is_some_and(|origin| self.lets_page(origin, head.uri.path()));
        if is_foreign(seen, host) && !is_let_in() {
            let fault =
                "requests from web pages of other origins are refused: [gateway] origins names those that may ask";
            return Err(Refusal::new(StatusCode::FORBIDDEN, fault));
        }
        if head.uri.query().is_some_and(path::overrides) {
            let fault = "the query would set the request's headers, method or body, or make a script of the answer: that is not passed on";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, fault));
        }
        if let Some(fault) = hiding::fault(&head.method, head.uri.query(), seen) {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, fault));
        }
        match path::fault(head.uri.path()) {
            Some(fault) => Err(Refusal::new(StatusCode::BAD_REQUEST, fault)),
            None => Ok(host),
        }
    }

    fn is_ours(&self, name: &str, local: IpAddr) -> bool {
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        if let Ok(address) = address.parse::<IpAddr>() {
            let address = address.to_canonical();
            // No page can be served from an address but by us, so naming it is no trick.
            return address.is_loopback() || address == local.to_canonical() || self.is_named(name);
        }
        let name = name.trim_end_matches('.');
        name.eq_ignore_ascii_case("localhost") || self.is_named(name)
    }

    fn is_named(&self, name: &str) -> bool {
        self.names.iter().any(|ours| name.eq_ignore_ascii_case(ours))
    }
}

/// The one host that the request names: in its target, in `Host`, or in both alike.
fn host_of<'a>(head: &'a Parts, seen: &Seen<'a>) -> Result<&'a str, &'static str> {
    if seen.hosts > 1 {
        return Err("the request has more than one Host header");
    }
    let named = match seen.host {
        Some(value) => Some(value.to_str().map_err(|_| "the Host header is not text")?),
        None => None,
    };
    match (head.uri.authority(), named) {
        (None, Some(host)) => Ok(host),
        (Some(authority), None) => Ok(authority.as_str()),
        (Some(authority), Some(host)) if authority.as_str().eq_ignore_ascii_case(host) => Ok(authority.as_str()),
        (Some(_), Some(_)) => Err("the request's target and its Host header name different hosts"),
        (None, None) => Err("the request has no Host header"),
    }
}

/// `host` of `host[:port]`; brackets of an IPv6 address stay.
fn name_of(host: &str) -> Option<&str> {
    let (name, port) = if host.starts_with('[') {
        let end = host.find(']')? + 1;
        (&host[..end], &host[end..])
    } else {
        host.find(':').map_or((host, ""), |at| host.split_at(at))
    };
    let port_is_fine = match port.strip_prefix(':') {
        Some(digits) => digits.parse::<u16>().is_ok() && !digits.starts_with('+'),
        None => port.is_empty(),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    (port_is_fine && !name.is_empty() && name.bytes().all(plain)).then_some(name)
}

/// Whether `host[:port]` names this machine alone.
pub(in crate::gateway) fn is_loopback_name(host: &str) -> bool {
    let name = name_of(host).unwrap_or_default();
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    match address.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => name.trim_end_matches('.').eq_ignore_ascii_case("localhost"),
    }
}

/// Whether a browser says that the request comes from a page that is not ours.
fn is_foreign(seen: &Seen<'_>, host: &str) -> bool {
    if seen.origins > 1 {
        return true;
    }
    let Some(origin) = seen.origin else { return seen.foreign_site };
    let parts = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    let Some((scheme @ ("http" | "https"), authority)) = parts else { return true };
    if authority.eq_ignore_ascii_case(host) {
        return seen.foreign_site;
    }
    // This machine by its other name or address, at our port: browsers call that another site, but the page is ours.
    let at = |host| is_loopback_name(host).then(|| port_of(host, scheme));
    at(authority).is_none_or(|port| at(host) != Some(port))
}

/// The port of `host[:port]`, which is fine; where none stands there, the scheme's.
fn port_of(host: &str, scheme: &str) -> u16 {
    let usual = if scheme == "https" { 443 } else { 80 };
    let port = name_of(host).and_then(|name| host[name.len()..].strip_prefix(':'));
    port.and_then(|port| port.parse().ok()).unwrap_or(usual)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn check(guard: &Guard, request: http::request::Builder) -> u16 {
        let (head, ()) = request.body(()).unwrap().into_parts();
        let local = Local::from("192.0.2.7:5000".parse::<SocketAddr>().unwrap());
        guard.check(&head, &Seen::of(&head.headers), &local).map_or_else(|refusal| refusal.status().as_u16(), |_| 200)
    }

    fn host(guard: &Guard, host: &str) -> u16 {
        check(guard, Request::get("/v1beta/models").header("host", host))
    }

    #[test]
    fn it_answers_to_loopback_the_address_reached_and_configured_names() {
        let guard = Guard::new(["Pool.example.".to_owned()]);
        for name in [
            "localhost:5000",
            "LOCALHOST",
            "localhost.",
            "127.0.0.1:5000",
            "127.9.9.9",
            "[::1]:5000",
            "[::ffff:127.0.0.1]",
            "192.0.2.7:5000",
            "pool.example:80",
            "POOL.example",
        ] {
            assert_eq!(host(&guard, name), 200, "{name}");
        }
        for name in ["evil.example", "localhost.evil.example", "192.0.2.8", "10.0.0.1:5000", "xlocalhost"] {
            assert_eq!(host(&guard, name), 421, "{name}");
        }
        for name in ["", ":5000", "localhost:99999", "localhost:+80", "user@localhost", "localhost/x", "[::1", "a b"] {
            assert_eq!(host(&guard, name), 400, "{name}");
        }
    }

    #[test]
    fn hosts_that_disagree_are_refused() {
        let guard = Guard::new([]);
        let get = Request::get;
        assert_eq!(check(&guard, get("/v1")), 400);
        assert_eq!(check(&guard, get("/v1").header("host", "localhost").header("host", "localhost")), 400);
        // The target of HTTP/2 names the host, that of HTTP/1.1 does for a proxy alone.
        for (version, ours, foreign) in [(Version::HTTP_2, 200, 421), (Version::HTTP_11, 400, 400)] {
            let get = |uri: &'static str| get(uri).version(version);
            assert_eq!(check(&guard, get("http://localhost:1/v1").header("host", "localhost:1")), ours);
            assert_eq!(check(&guard, get("http://localhost:1/v1")), ours);
            assert_eq!(check(&guard, get("http://localhost:1/v1").header("host", "localhost:2")), 400);
            assert_eq!(check(&guard, get("http://evil.example/v1").header("host", "evil.example")), foreign);
        }
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let guard = Guard::new([]);
        let from = |name: &str, value: &str| {
            check(&guard, Request::get("/v1").header("host", "localhost:5000").header(name, value))
        };
        for origin in ["http://localhost:5000", "http://LOCALHOST:5000", "http://127.0.0.1:5000", "http://[::1]:5000"] {
            assert_eq!(from("origin", origin), 200, "{origin}");
        }
        for origin in [
            "http://evil.example",
            "http://evil.example:5000",
            "http://localhost:3000",
            "http://127.0.0.1",
            "http://192.0.2.7:5000",
            "null",
            "file://",
            "http://localhost:5000.evil",
            "http://127.0.0.1:5000@evil.example",
            "http://evil.example@127.0.0.1:5000",
        ] {
            assert_eq!(from("origin", origin), 403, "{origin}");
        }
        assert_eq!(from("sec-fetch-site", "none"), 200);
        assert_eq!(from("sec-fetch-site", "cross-site"), 403);
        assert_eq!(from("sec-fetch-site", "same-site"), 403);
    }

    #[test]
    fn tunnels_are_refused() {
        let guard = Guard::new([]);
        let with = |method: &str| Request::builder().method(method).header("host", "localhost");
        assert_eq!(check(&guard, with("CONNECT").uri("evil.example:443")), 405);
        assert_eq!(check(&guard, with("TRACE").uri("/")), 405);
        assert_eq!(check(&guard, with("OPTIONS").uri("*")), 400);
    }
}
