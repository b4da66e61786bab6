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
}

/// A base that is no `http(s)://host[:port][/path]`. Says what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidBase(&'static str);

impl Base {
    /// Reads `http(s)://host[:port][/path]`.
    ///
    /// # Errors
    /// [`InvalidBase`] when there is another scheme, no host, credentials, or a query.
    pub fn parse(url: &str) -> Result<Self, InvalidBase> {
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
        let path = parts.path_and_query.unwrap_or_else(|| PathAndQuery::from_static("/"));
        if path.query().is_some() {
            return Err(InvalidBase("it has a query"));
        }
        Ok(Self { scheme, authority, path: path.path().trim_end_matches('/').to_owned() })
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
