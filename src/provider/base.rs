//! Where a provider lives, and so where its keys may go.

use std::{fmt, str::FromStr};

use http::{
    Uri,
    uri::{Authority, Scheme},
};

use crate::Error;

/// Where a provider lives: `http(s)://host[:port][/path]`. The path stands before the path of every request.
///
/// ```
/// use tower_keypool::Base;
///
/// let base: Base = "http://127.0.0.1:8080/v1/".parse()?;
/// assert_eq!(base.to_string(), "http://127.0.0.1:8080/v1");
/// # Ok::<(), tower_keypool::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    scheme: Scheme,
    authority: Authority,
    path: String,
}

impl Base {
    /// `http` or `https`.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Host and port.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What stands before every path, without a slash at its end: empty, or `/v1`.
    pub fn path(&self) -> &str {
        &self.path
    }
}

impl FromStr for Base {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) where the URL has another scheme, no host, a port that is not
    /// 1 to 65535, credentials, a query, a fragment, or a path with `.` or `..`.
    fn from_str(url: &str) -> Result<Self, Error> {
        let invalid = |why: &str| Error::config(format!("\"{url}\" is not a base URL: {why}"));
        if url.contains('@') {
            return Err(Error::config("a base URL must not hold credentials"));
        }
        if url.contains('#') {
            return Err(invalid("it has a fragment"));
        }
        let uri: Uri = url.parse().map_err(|_| invalid("it is not a URL"))?;
        let parts = uri.into_parts();
        let scheme = parts.scheme.ok_or_else(|| invalid("it names no scheme, such as http:// or https://"))?;
        if scheme != Scheme::HTTP && scheme != Scheme::HTTPS {
            return Err(invalid("its scheme is not http or https"));
        }
        let authority = parts.authority.ok_or_else(|| invalid("it names no host"))?;
        let port = authority.as_str().strip_prefix(authority.host()).unwrap_or_default();
        if !port.is_empty() && authority.port_u16().is_none_or(|port| port == 0) {
            return Err(invalid("its port is not 1 to 65535"));
        }
        let path = parts.path_and_query.map_or(String::new(), |path| path.to_string());
        if path.contains('?') {
            return Err(invalid("it has a query"));
        }
        if path
            .split('/')
            .any(|segment| matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | ".."))
        {
            return Err(invalid("its path holds . or .. segments"));
        }
        Ok(Self { scheme, authority, path: path.trim_end_matches('/').to_owned() })
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path)
    }
}
