//! Rewrites of a URI's path and query.

use http::{Uri, uri::PathAndQuery};
use percent_encoding::{PercentEncode, utf8_percent_encode};

use crate::{Error, secret::UNRESERVED};

/// Percent-encodes a name for one segment of a path or for a query.
pub(super) fn encoded(name: &str) -> PercentEncode<'_> {
    utf8_percent_encode(name, UNRESERVED)
}

/// Replaces the path and keeps the query.
pub(super) fn set_path(uri: &mut Uri, mut path: String) -> Result<(), Error> {
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    set(uri, path)
}

/// Replaces path and query. If they are not valid, for example longer than 64 KiB, returns an error and keeps the old
/// ones.
pub(super) fn set(uri: &mut Uri, target: String) -> Result<(), Error> {
    let invalid = || Error::request("the path and query of the request are not valid");
    let target = PathAndQuery::try_from(target).map_err(|_| invalid())?;
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = Some(target);
    *uri = Uri::from_parts(parts).map_err(|_| invalid())?;
    Ok(())
}
