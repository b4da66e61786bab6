//! Rewrites of a URI's path and query.

use http::Uri;
use percent_encoding::{PercentEncode, utf8_percent_encode};

use crate::{Error, secret::UNRESERVED};

/// A name as it stands in one segment of a path or in a query.
pub(super) fn encoded(name: &str) -> PercentEncode<'_> {
    utf8_percent_encode(name, UNRESERVED)
}

/// Puts another path in front of the query.
pub(super) fn set_path(uri: &mut Uri, mut path: String) -> Result<(), Error> {
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    set(uri, path)
}

/// Replaces the query; an empty one goes away with its question mark.
pub(super) fn set_query(uri: &mut Uri, query: &str) -> Result<(), Error> {
    let path = uri.path();
    let target = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    set(uri, target)
}

/// Replaces path and query. Where they make no URI, such as one of more than 64 KiB, nothing changes.
fn set(uri: &mut Uri, target: String) -> Result<(), Error> {
    let invalid = || Error::request("the request's path and query would not be a valid URI");
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.try_into().map_err(|_| invalid())?);
    *uri = Uri::from_parts(parts).map_err(|_| invalid())?;
    Ok(())
}
