//! Rewrites of a URI's path and query.

use http::{Uri, uri::PathAndQuery};
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

/// Replaces path and query. Where they make no URI, such as one of more than 64 KiB, nothing changes.
pub(super) fn set(uri: &mut Uri, target: String) -> Result<(), Error> {
    let invalid = || Error::request("the request's path and query would not be a valid URI");
    let target = PathAndQuery::try_from(target).map_err(|_| invalid())?;
    let mut parts = std::mem::take(uri).into_parts();
    parts.path_and_query = Some(target);
    *uri = Uri::from_parts(parts).map_err(|_| invalid())?;
    Ok(())
}
