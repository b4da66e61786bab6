//! Keeps web pages away: a page of any site can reach an address of this machine.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, StatusCode, Uri, header};

use super::auth;
use crate::{app::AppState, error::ApiError};

/// The address of this machine that a connection came in at.
#[derive(Clone, Copy, Debug)]
pub struct LocalAddress(pub SocketAddr);

/// Refuses a request for a host that is not ours (a page whose name was pointed at this machine), and one that a page of an
/// origin sent that the configuration does not name.
pub async fn guard(State(app): State<AppState>, request: Request, next: Next) -> Response {
    let local = request.extensions().get::<LocalAddress>().map(|local| local.0.ip());
    let refused = refusal(request.headers(), request.uri(), local, &app.hosts, &app.origins);
    match refused {
        None => next.run(request).await,
        Some(error) => error.into_response(auth::dialect(&request.into_parts().0)),
    }
}

fn refusal(
    headers: &HeaderMap,
    uri: &Uri,
    local: Option<IpAddr>,
    hosts: &[String],
    origins: &[String],
) -> Option<ApiError> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or("(not text)"));
    let host = uri.authority().map(http::uri::Authority::as_str).or_else(|| text(header::HOST))?;
    if !is_ours(host, local, hosts) {
        let message = format!("this gateway is not called {}: start it with --host NAME to add a name", name_of(host));
        return Some(ApiError::new(StatusCode::MISDIRECTED_REQUEST, message));
    }
    let is_own_page = |origin: &str| origin.split_once("://").is_some_and(|(_, site)| site.eq_ignore_ascii_case(host));
    match text(header::ORIGIN) {
        Some(origin) if !is_own_page(origin) && !origins.iter().any(|ours| ours.eq_ignore_ascii_case(origin)) => {
            let message = "requests from web pages of other origins are refused: name this page's in [gateway] origins";
            Some(ApiError::new(StatusCode::FORBIDDEN, message))
        }
        None if text("sec-fetch-site".parse().expect("a header name")) == Some("cross-site") => {
            Some(ApiError::new(StatusCode::FORBIDDEN, "requests that web pages of other sites cause are refused"))
        }
        _ => None,
    }
}

fn is_ours(host: &str, local: Option<IpAddr>, hosts: &[String]) -> bool {
    let name = name_of(host).trim_end_matches('.');
    if let Ok(address) = name.trim_matches(['[', ']']).parse::<IpAddr>() {
        // A page cannot be served from an address of ours but by us.
        let address = address.to_canonical();
        return address.is_loopback()
            || local.is_some_and(|local| local.to_canonical() == address)
            || hosts.iter().any(|ours| ours == name);
    }
    name.eq_ignore_ascii_case("localhost") || hosts.iter().any(|ours| ours.eq_ignore_ascii_case(name))
}

/// The host without its port.
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

    fn check(host: &str, origin: Option<&str>) -> Option<StatusCode> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().expect("a value"));
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().expect("a value"));
        }
        let local = Some("192.0.2.7".parse().expect("an address"));
        let (hosts, origins) = (["pool.example".to_owned()], ["app://obsidian.md".to_owned()]);
        refusal(&headers, &Uri::from_static("/v1/models"), local, &hosts, &origins).map(|error| error.status)
    }

    #[test]
    fn only_our_names_are_answered() {
        for ours in ["localhost:5000", "127.0.0.1:5000", "[::1]:5000", "LOCALHOST", "192.0.2.7", "pool.example:443"] {
            assert_eq!(check(ours, None), None, "{ours}");
        }
        for other in ["evil.example", "evil.example:5000", "192.0.2.8", "localhost.evil.example", "x@evil.example"] {
            assert_eq!(check(other, None), Some(StatusCode::MISDIRECTED_REQUEST), "{other}");
        }
    }

    #[test]
    fn only_named_origins_may_ask() {
        assert_eq!(check("localhost:5000", Some("http://localhost:5000")), None);
        assert_eq!(check("localhost:5000", Some("app://obsidian.md")), None);
        assert_eq!(check("localhost:5000", Some("http://localhost:3000")), Some(StatusCode::FORBIDDEN));
        assert_eq!(check("localhost:5000", Some("null")), Some(StatusCode::FORBIDDEN));
    }
}
