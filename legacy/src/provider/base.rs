//! Where a provider lives.

use std::fmt;

use http::{
    Uri,
    uri::{Authority, PathAndQuery, Scheme},
};

/// Where a provider lives: scheme, authority, and a path in front of every request's, without a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    scheme: Scheme,
    authority: Authority,
    path: String,
    /// What callers have in front of their paths in the place of `path`.
    front: Option<&'static str>,
}

/// A base that is no `http(s)://host[:port][/path]`. Says what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidBase(&'static str);

impl Base {
    /// Reads `http(s)://host[:port][/path]`.
    ///
    /// # Errors
    /// [`InvalidBase`] when there is another scheme, no host, no such port, credentials, a query or fragment, or a path
    /// with `.` or `..`.
    pub fn parse(url: &str) -> Result<Self, InvalidBase> {
        if url.contains('#') {
            return Err(InvalidBase("it has a fragment"));
        }
        let uri: Uri = url.parse().map_err(|_| InvalidBase("it is not a URL"))?;
        let parts = uri.into_parts();
        let scheme = parts.scheme.ok_or(InvalidBase("it names no scheme: use http:// or https://"))?;
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(InvalidBase("its scheme is neither http nor https"));
        }
        let authority = parts.authority.ok_or(InvalidBase("it names no host"))?;
        if authority.as_str().contains('@') {
            return Err(InvalidBase("it holds credentials"));
        }
        // `http` takes any digits for a port, and none.
        let behind = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        if !behind.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(InvalidBase("its port is not 1 to 65535"));
        }
        let path = parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
        if path.query().is_some() {
            return Err(InvalidBase("it has a query"));
        }
        if path.path().split('/').any(is_dots) {
            return Err(InvalidBase("its path holds . or .. segments"));
        }
        Ok(Self { scheme, authority, path: path.path().trim_end_matches('/').to_owned(), front: None })
    }

    /// Its path takes the place of this front in what callers ask, rather than standing before it: of clients whose base
    /// URL holds the API's version, what asks for `/v1/models` is to go to `/api/paas/v4/models` where the base ends in
    /// `/api/paas/v4`.
    #[must_use]
    pub fn in_place_of(mut self, front: &'static str) -> Self {
        self.front = Some(front);
        self
    }

    /// What [gives way](Self::in_place_of) to its path.
    pub(crate) fn front(&self) -> Option<&'static str> {
        self.front
    }

    /// Whether a segment of its path is the version of an API, such as `v1` or `v1beta`.
    pub(super) fn holds_a_version(&self) -> bool {
        let version = |segment: &str| {
            segment.strip_prefix('v').is_some_and(|rest| rest.starts_with(|at: char| at.is_ascii_digit()))
        };
        self.path.split('/').any(version)
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Host and port.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What stands in front of every path; empty, or `/v1`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// Whether a path's segment stands for another, also where its dots are percent-encoded.
fn is_dots(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path)
    }
}

impl fmt::Display for InvalidBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a base URL: {}", self.0)
    }
}

impl std::error::Error for InvalidBase {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_that_could_not_be_reached_is_refused_at_once() {
        for url in [
            "http://h:99999",
            "http://h:0",
            "http://h:",
            "http://h/..",
            "http://h/a/%2E%2e/b",
            "http://h/./a",
            "http://h#f",
            "http://h/a?b",
            "http://u:p@h",
            "ftp://h",
            "h",
            "",
        ] {
            assert!(Base::parse(url).is_err(), "{url}");
        }
        for url in ["http://h", "http://h:80/v1/", "https://[::1]:8443/a..b/.c"] {
            assert!(Base::parse(url).is_ok(), "{url}");
        }
    }
}
