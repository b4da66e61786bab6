//! Where the gateway listens and the token that this asks for, and where it writes.

use std::net::{SocketAddr, ToSocketAddrs};

use tower_keypool::config::{Document, Origin, Problem};

use super::{
    GatewaySection, LogSection,
    guessable::is_guessed,
    reading::{Reading, UNREAD},
};
use crate::gateway::token::PLACEHOLDER;

/// The addresses that `HOST:PORT` stands for; none where it stands for nothing, which is noted.
pub(super) fn resolve(gateway: &GatewaySection, document: &mut Document<'_>) -> Vec<SocketAddr> {
    of("gateway.listen", &gateway.listen, document)
}

/// The same of what stands at this place.
pub(super) fn of(place: &str, listen: &str, document: &mut Document<'_>) -> Vec<SocketAddr> {
    match listen.to_socket_addrs().map(Iterator::collect::<Vec<_>>) {
        Ok(addresses) if !addresses.is_empty() => addresses,
        Ok(_) => {
            document.problem(place, "the name has no address");
            Vec::new()
        }
        Err(error) => {
            let what = format!("expected HOST:PORT of this machine, such as 127.0.0.1:5000 ({error})");
            document.problem(place, what);
            Vec::new()
        }
    }
}

/// A token that other machines can try is no shorter than this, and had better be as long as that.
const SHORTEST: usize = 8;
const LONG_ENOUGH: usize = 16;

/// Why a long one may be guessed.
pub(super) const GUESSED: &str = "since it is made of a repeated piece, a row of characters or common words";

/// What makes a token that nobody guesses.
const MAKE_ONE: &str = "openssl rand -hex 24";

/// What is to be said of tokens that are no fault where the gateway listens.
#[derive(Debug, Default)]
pub(super) struct Weak {
    /// Others may guess them.
    pub(super) notes: Vec<Problem>,
    /// Beyond loopback they would be refused.
    pub(super) near_only: Vec<Problem>,
}

/// The token, and whether somebody chose it.
pub(super) fn token(given: Option<&str>, listens: &[SocketAddr], reading: &mut Reading<'_>) -> (String, bool) {
    let on_loopback = listens.iter().all(|address| address.ip().to_canonical().is_loopback());
    let place = ["gateway.token", "gateway.token_file"]
        .into_iter()
        .find(|place| reading.document.exact_origin(place) != Origin::Default);
    let place = place.unwrap_or("gateway.token");
    let said = |document: &Document<'_>, what: String| Problem::new(document.origin(place), place, what);
    match given {
        Some(token) if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
            reading.problem("gateway.token", "expected visible ASCII characters, without spaces");
        }
        Some(token) if !on_loopback && token == PLACEHOLDER => {
            let what = format!("everybody knows {PLACEHOLDER}; beyond loopback choose another with --token");
            reading.problem("gateway.token", what);
        }
        // That it cannot be read is said already.
        Some(UNREAD) => {}
        Some(token) if !on_loopback && token.len() < SHORTEST => {
            let what = format!(
                "other machines could guess it: {SHORTEST} characters at least, better {LONG_ENOUGH} and more, beyond \
                 loopback (`{MAKE_ONE}` makes one)"
            );
            reading.problem(place, what);
        }
        Some(token) if !on_loopback && is_guessed(token) => {
            let what = format!("other machines could guess it, {GUESSED} (`{MAKE_ONE}` makes a better one)");
            reading.problem(place, what);
        }
        Some(token) => {
            if on_loopback && (token.len() < SHORTEST || token == PLACEHOLDER || is_guessed(token)) {
                let what = "beyond loopback this token would be refused, since others know or guess it";
                reading
                    .weak
                    .near_only
                    .push(said(&reading.document, format!("{what} (`{MAKE_ONE}` makes a better one)")));
            } else if !on_loopback && token.len() < LONG_ENOUGH {
                let what =
                    format!("a token of {LONG_ENOUGH} characters and more is harder to guess for other machines");
                reading.weak.notes.push(said(&reading.document, format!("{what} (`{MAKE_ONE}` makes one)")));
            }
            return (token.to_owned(), true);
        }
        None if on_loopback => {}
        None => {
            let what = "this address can be reached from other machines: choose a token for the clients with --token, \
                        PLACEHOLDER_TOKEN (or KEYPOOL_TOKEN) or gateway.token_file";
            reading.problem("gateway.listen", what);
        }
    }
    (PLACEHOLDER.to_owned(), false)
}

/// Where log files go.
pub(super) fn log(log: &LogSection, document: &mut Document<'_>) {
    let Some(folder) = &log.directory else { return };
    if folder.as_os_str().is_empty() {
        document.problem("log.directory", "expected the path of a folder");
    } else if folder.is_file() {
        document.problem("log.directory", "expected a folder, and this is a file");
    }
}

/// Names that clients may reach the gateway by.
pub(super) fn hosts(gateway: &GatewaySection, document: &mut Document<'_>) {
    for (n, name) in gateway.hosts.iter().enumerate() {
        if name.is_empty() || name.contains(['/', ':', '@', ' ']) {
            let what = "expected a name such as pool.example, without scheme and port";
            document.problem(&format!("gateway.hosts[{n}]"), what);
        }
    }
}

/// Web pages that may ask.
pub(super) fn origins(gateway: &GatewaySection, document: &mut Document<'_>) {
    for (n, origin) in gateway.origins.iter().enumerate() {
        let is_scheme = |scheme: &str| {
            scheme.starts_with(|first: char| first.is_ascii_lowercase())
                && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+.-".contains(&b))
        };
        let parts = origin.split_once("://");
        let fine = origin == "null"
            || parts.is_some_and(|(scheme, host)| {
                is_scheme(scheme) && !host.is_empty() && host.is_ascii() && !host.contains(['/', ' ', '*'])
            });
        if !fine {
            let what = "expected an origin such as http://localhost:3000, without a path, or null";
            document.problem(&format!("gateway.origins[{n}]"), what);
        }
    }
}

/// The header that names sessions is one of a client's own.
pub(super) fn session_header(gateway: &GatewaySection, document: &mut Document<'_>) {
    let name = gateway.session_header.parse::<http::HeaderName>().ok();
    let own = |name: &http::HeaderName| name.as_str().starts_with("x-") && !name.as_str().ends_with("-key");
    if !name.as_ref().is_some_and(own) {
        document
            .problem("gateway.session_header", "expected a header's name that begins with x-, such as x-session-id");
    }
}
