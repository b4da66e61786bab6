//! Refuses requests of foreign web pages: a page of any site can reach addresses of this machine. Also refuses requests
//! that a provider could read differently from the gateway.

use std::{convert::Infallible, net::IpAddr};

use axum::{
    extract::{ConnectInfo, Request},
    response::Response,
};
use http::{HeaderName, StatusCode, header, request::Parts};
use tower::ServiceExt;

use super::auth;
use crate::{
    app::{AppState, Next},
    error::ApiError,
    proxy::route::decoded,
    server::Peer,
};

/// Refuses a request that is ambiguous, that names a host which is not ours (DNS rebinding), or that a web page of an
/// origin which is not configured sent.
pub async fn guard(app: AppState, request: Request, next: impl Next) -> Result<Response, Infallible> {
    let (head, body) = request.into_parts();
    let local = head.extensions.get::<ConnectInfo<Peer>>().map(|peer| peer.0.local.ip());
    let (hosts, origins) = (&app.settings().hosts, &app.settings().origins);
    let refused = ambiguity(&head).map(ApiError::bad_request).or_else(|| refusal(&head, local, hosts, origins));
    match refused {
        Some(error) => Ok(error.in_dialect(auth::dialect(&head))),
        None => next.oneshot(Request::from_parts(head, body)).await,
    }
}

/// Headers by which Google replaces the method of a request.
static OVERRIDES: [HeaderName; 3] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
];

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Returns the problem of a request that can be understood in two ways.
fn ambiguity(Parts { headers, uri, .. }: &Parts) -> Option<String> {
    if let Some(name) =
        [header::HOST, header::CONTENT_TYPE].iter().find(|name| headers.get_all(*name).iter().count() > 1)
    {
        return Some(format!("the request has two headers {name}"));
    }
    let host = headers.get(header::HOST);
    if let (Some(authority), Some(host)) = (uri.authority(), host)
        && !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())
    {
        return Some("the request's target names another host than its Host header".to_owned());
    }
    if let Some(name) = OVERRIDES.iter().find(|name| headers.contains_key(*name)) {
        return Some(format!("{name}: send the request with the intended method instead"));
    }
    let once = decoded(uri.path());
    let twice = decoded(&once);
    let climbs = |segment: &str| matches!(segment, "." | "..");
    if twice.bytes().any(|byte| matches!(byte, b'\\' | b';' | 0)) || twice.split('/').any(climbs) {
        return Some("the path contains . or .. segments, backslashes or semicolons".to_owned());
    }
    // Some servers take semicolons for separators, too.
    uri.query().into_iter().flat_map(|query| query.split(['&', ';'])).find_map(|pair| {
        let name = decoded(pair.split('=').next().unwrap_or_default());
        let plain = name.trim_start_matches('$').to_ascii_lowercase();
        let overrides = plain == "callback" || plain == "httpmethod" || plain == "outputdefaultcharset";
        // Google reads headers and the body from parameters such as $httpHeaders and $req.
        let replaces = name.starts_with('$') && (plain.starts_with("http") || plain.starts_with("req"));
        (overrides || replaces).then(|| format!("the parameter {name} changes the meaning of a request: remove it"))
    })
}

fn refusal(head: &Parts, local: Option<IpAddr>, hosts: &[String], origins: &[String]) -> Option<ApiError> {
    let text = |name| head.headers.get(name).map(|value| value.to_str().unwrap_or("(not text)"));
    let host = head.uri.authority().map(http::uri::Authority::as_str).or_else(|| text(header::HOST))?;
    if !is_ours(host, local, hosts) {
        let message = format!("this gateway is not called {}: start it with --host NAME to add a name", name_of(host));
        return Some(ApiError::new(StatusCode::MISDIRECTED_REQUEST, message));
    }
    let is_own_page = |origin: &str| origin.split_once("://").is_some_and(|(_, site)| site.eq_ignore_ascii_case(host));
    match text(header::ORIGIN) {
        Some(origin) if !is_own_page(origin) && !origins.iter().any(|ours| ours.eq_ignore_ascii_case(origin)) => {
            let message = "requests from web pages of other origins are refused: add this origin to [gateway] origins";
            Some(ApiError::new(StatusCode::FORBIDDEN, message))
        }
        None if text(SEC_FETCH_SITE) == Some("cross-site") => {
            Some(ApiError::new(StatusCode::FORBIDDEN, "requests from web pages of other sites are refused"))
        }
        _ => None,
    }
}

fn is_ours(host: &str, local: Option<IpAddr>, hosts: &[String]) -> bool {
    let name = bare(host);
    let address = |name: &str| Some(name.parse::<IpAddr>().ok()?.to_canonical());
    if let Some(named) = address(name) {
        // Only this gateway can serve a page from one of its own addresses.
        return named.is_loopback()
            || local.is_some_and(|local| local.to_canonical() == named)
            || hosts.iter().any(|ours| address(bare(ours)) == Some(named));
    }
    name.eq_ignore_ascii_case("localhost") || hosts.iter().any(|ours| bare(ours).eq_ignore_ascii_case(name))
}

/// Returns a host without its port, brackets and final dot.
fn bare(host: &str) -> &str {
    name_of(host).trim_end_matches('.').trim_matches(['[', ']'])
}

/// Returns a host without its port.
fn name_of(host: &str) -> &str {
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(path: &str) -> Parts {
        Request::builder().uri(path).body(()).expect("a request").into_parts().0
    }

    #[test]
    fn ambiguous_requests_are_refused() {
        for (path, header, is_ambiguous) in [
            ("/v1beta/files/abc", "", false),
            ("/v1beta/files%2Fabc?pageSize=3&key=k&alt=sse&$alt=json", "", false),
            ("/v1/models/meta%2Fllama", "", false),
            ("/v1beta/../x", "", true),
            ("/v1beta/%2e%2E/x", "", true),
            ("/v1beta/models/m%252f..%252fx", "", true),
            ("/v1beta/..;a/x", "", true),
            ("/v1beta%5cfiles", "", true),
            ("/v1beta/files/a?$httpMethod=DELETE", "", true),
            ("/v1beta/files/a?%24httpMethod=DELETE", "", true),
            ("/v1beta/files/a?$req=x", "", true),
            ("/v1beta/files/a?callback=f", "", true),
            ("/v1beta/files/a", "x-http-method-override", true),
            ("http://localhost/v1beta/files/a", "host", true),
        ] {
            let mut head = head(path);
            if !header.is_empty() {
                head.headers.insert(header, "DELETE".parse().expect("a value"));
            }
            assert_eq!(ambiguity(&head).is_some(), is_ambiguous, "{path} {header}");
        }
    }

    fn check(host: &str, origin: Option<&str>) -> Option<StatusCode> {
        let mut head = head("/v1/models");
        head.headers.insert(header::HOST, host.parse().expect("a value"));
        if let Some(origin) = origin {
            head.headers.insert(header::ORIGIN, origin.parse().expect("a value"));
        }
        let hosts = ["pool.example:443", "fd00::1", "[fd00::2]:5000", "198.51.100.1"].map(str::to_owned);
        let (hosts, origins) = (hosts, ["app://obsidian.md".to_owned()]);
        refusal(&head, "192.0.2.7".parse().ok(), &hosts, &origins).map(|error| error.status)
    }

    #[test]
    fn foreign_hosts_are_refused() {
        for ours in [
            "localhost:5000",
            "127.0.0.1:5000",
            "[::1]:5000",
            "LOCALHOST",
            "192.0.2.7",
            "pool.example:443",
            "POOL.example.",
        ] {
            assert_eq!(check(ours, None), None, "{ours}");
        }
        for ours in ["[fd00::1]:5000", "[fd00:0::2]", "198.51.100.1:80"] {
            assert_eq!(check(ours, None), None, "{ours}");
        }
        for other in
            ["[fd00::3]", "evil.example", "evil.example:5000", "192.0.2.8", "localhost.evil.example", "x@evil.example"]
        {
            assert_eq!(check(other, None), Some(StatusCode::MISDIRECTED_REQUEST), "{other}");
        }
    }

    #[test]
    fn unconfigured_origins_are_refused() {
        assert_eq!(check("localhost:5000", Some("http://localhost:5000")), None);
        assert_eq!(check("localhost:5000", Some("app://obsidian.md")), None);
        assert_eq!(check("localhost:5000", Some("http://localhost:3000")), Some(StatusCode::FORBIDDEN));
        assert_eq!(check("localhost:5000", Some("null")), Some(StatusCode::FORBIDDEN));
    }
}
