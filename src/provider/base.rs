//! The base URL of a provider, which is the only place where its keys may be sent.

use std::{borrow::Cow, fmt, str::FromStr};

use http::{
    Uri, Version, header, request,
    uri::{Authority, Scheme},
};
use percent_encoding::percent_decode_str;

use super::target;
use crate::{Error, ErrorKind};

/// The base URL of a provider: `http(s)://host[:port][/path]`. The path is the prefix of the path of every request.
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
    /// Returns the scheme: `http` or `https`.
    pub fn scheme(&self) -> &Scheme {
        &self.scheme
    }

    /// Returns the host and port.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Returns the prefix of every path without a trailing slash, such as `/v1`, or an empty string.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Addresses a request to this base and removes its `Host` header. Call this before putting a key into a head.
    ///
    /// A request without an authority, as a server receives it, is sent to this base, and the base's path is prepended
    /// unless the request's path already starts with it. The version at the end of a base such as `/api/paas/v4`
    /// replaces the caller's `/v1`. Doubled slashes and doubled versions are merged.
    ///
    /// A request with an authority must name the authority of this base. Requests of HTTP/2 or later are an exception:
    /// a URI that a server received names that server, so only its path is used. If you receive such URIs over HTTP/1,
    /// as a proxy does, or change the version, reduce them to path and query first. In any case a key is sent only to
    /// this base.
    ///
    /// ```
    /// use http::Request;
    /// use tower_keypool::Base;
    ///
    /// let base: Base = "https://api.example/api/paas/v4".parse()?;
    /// let (mut head, ()) = Request::post("/v1/chat/completions").body(())?.into_parts();
    /// base.apply(&mut head)?;
    /// assert_eq!(head.uri, "https://api.example/api/paas/v4/chat/completions");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`ErrorKind::Request`] if the request names another host, has no path, or has a path with `.` or `..` segments:
    /// a key must not be sent there.
    pub fn apply(&self, head: &mut request::Parts) -> Result<(), Error> {
        let refused = |why: &str| Error::request(why);
        if climbs(head.uri.path()) {
            return Err(refused("the path of the request contains . or .. segments"));
        }
        match head.uri.authority() {
            Some(authority) if head.uri.scheme() == Some(&self.scheme) && self.is_at(authority) => {}
            Some(authority) if head.version < Version::HTTP_2 => {
                return Err(self.elsewhere(head.uri.scheme_str(), authority));
            }
            _ if !head.uri.path().starts_with('/') => return Err(refused("the request names no path")),
            _ => {
                self.address(&mut head.uri)?;
                // The caller's HTTP version does not determine the provider's.
                head.version = Version::HTTP_11;
            }
        }
        // The client derives `Host` from the URI.
        head.headers.remove(header::HOST);
        Ok(())
    }

    /// Sets the scheme, the authority and the path of a URI to those of this base.
    fn address(&self, uri: &mut Uri) -> Result<(), Error> {
        if let Some(path) = self.path_for(uri.path()) {
            target::set_path(uri, path)?;
        }
        let mut parts = std::mem::take(uri).into_parts();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        *uri = Uri::from_parts(parts).map_err(|_| Error::request("the request's path is not valid"))?;
        Ok(())
    }

    /// Returns the path for a request to this base, or `None` if the request's own path is right.
    fn path_for(&self, path: &str) -> Option<String> {
        let mut own = Cow::Borrowed(path);
        if path.contains("//") {
            let segments = path.split('/').filter(|segment| !segment.is_empty());
            let end = if path.ends_with('/') { "/" } else { "" };
            own = Cow::Owned(segments.flat_map(|segment| ["/", segment]).chain([end]).collect());
        }
        let mut rest = &*own;
        while let Some(next) = after_version(rest).filter(|next| after_version(next).is_some()) {
            rest = next;
        }
        let mut base = &*self.path;
        if begins_with(rest, base) {
            base = "";
        } else if let Some(before) = self.before_version()
            && let Some(after) = after_version(rest)
        {
            // The base's version replaces `/v1`, the only version that some clients know. Any other version of the
            // request replaces the base's.
            if begins_with(rest, "/v1") { rest = after } else { base = before }
        }
        (rest.len() != path.len() || !base.is_empty()).then(|| [base, rest].concat())
    }

    /// Returns the path without its last segment, if that is a version (`/v1`) or `openai` after a version
    /// (`/v1beta/openai`).
    fn before_version(&self) -> Option<&str> {
        let (before, last) = self.path.rsplit_once('/')?;
        (is_version(last) || (last == "openai" && before.split('/').any(is_version))).then_some(before)
    }

    /// Reports whether an authority has the base's host and port, in any spelling.
    fn is_at(&self, authority: &Authority) -> bool {
        let default = if self.scheme == Scheme::HTTPS { 443 } else { 80 };
        let port = |authority: &Authority| authority.port_u16().unwrap_or(default);
        authority == &self.authority
            || (!authority.as_str().contains('@')
                && authority.host().eq_ignore_ascii_case(self.authority.host())
                && port(authority) == port(&self.authority))
    }

    fn elsewhere(&self, scheme: Option<&str>, authority: &Authority) -> Error {
        // Drops the user info, which may contain a password.
        let host = authority.as_str().rsplit('@').next().unwrap_or_default();
        let there = format!("{}://{host}", scheme.unwrap_or("http"));
        let here = format!("{}://{}", self.scheme, self.authority);
        Error::new(
            ErrorKind::Request,
            format!(
                "the request goes to {there}, but the provider is at {here}: send only the path, or create the \
                 provider with that address, such as Gemini::at(\"{there}\")"
            ),
        )
    }
}

/// Reports whether a path starts with these whole segments.
pub(super) fn begins_with(path: &str, segments: &str) -> bool {
    path.strip_prefix(segments).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Reports whether a segment is the version of an API, such as `v1`, `v1beta` or `v1p1beta1`.
fn is_version(segment: &str) -> bool {
    segment
        .strip_prefix('v')
        .is_some_and(|number| is_number(number) && number.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Reports whether an alphanumeric text is the part of a version after the `v`.
fn is_number(text: &str) -> bool {
    text.len() < 10 && text.as_bytes().first().is_some_and(u8::is_ascii_digit)
}

/// Returns the rest of a path after the version that it starts with.
pub(super) fn after_version(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v")?;
    let end = rest.bytes().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(rest.len());
    let (number, rest) = rest.split_at(end);
    (is_number(number) && (rest.is_empty() || rest.starts_with('/'))).then_some(rest)
}

/// Reports whether a segment of the path is `.` or `..`, including dots and slashes that are percent-encoded once or
/// twice.
fn climbs(path: &str) -> bool {
    let decoded = |path: &str| percent_decode_str(path).decode_utf8_lossy().into_owned();
    let has_dots =
        |path: &str| path.split(['/', '\\']).any(|segment| matches!(segment.split(';').next(), Some("." | "..")));
    has_dots(path) || path.contains('%') && has_dots(&decoded(&decoded(path)))
}

impl FromStr for Base {
    type Err = Error;

    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) if the URL has another scheme, no host, a port that is not
    /// 1 to 65535, credentials, a query, a fragment, or a path with `.` or `..`.
    fn from_str(url: &str) -> Result<Self, Error> {
        // The message leaves out the URL, which may contain a key.
        let invalid = |why: &str| Error::config(format!("the base URL is not valid: {why}"));
        if url.contains('@') {
            return Err(Error::config("a base URL must not contain credentials"));
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
        if climbs(&path) {
            return Err(invalid("its path contains . or .. segments"));
        }
        Ok(Self { scheme, authority, path: path.trim_end_matches('/').to_owned() })
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.path)
    }
}
