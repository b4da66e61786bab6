//! Rewrites a request's target: its query, or a name in its path.

use http::Uri;
use percent_encoding::{AsciiSet, PercentEncode, utf8_percent_encode};

use crate::key::UNRESERVED;

/// A name as it stands in one segment of a path.
pub(super) fn segment(name: &str) -> PercentEncode<'_> {
    const SEGMENT: &AsciiSet = &UNRESERVED.remove(b'@');
    utf8_percent_encode(name, SEGMENT)
}

/// Replaces the query; an empty one goes away with its question mark.
pub(super) fn set_query(uri: &mut Uri, query: &str) {
    let path = uri.path();
    let joined = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    set_path_and_query(uri, joined);
}

/// Replaces path and query; `false`, and nothing changed, where they make no URI.
pub(super) fn set_path_and_query(uri: &mut Uri, path_and_query: String) -> bool {
    let Ok(new) = path_and_query.try_into() else { return false };
    let mut parts = std::mem::take(uri).into_parts();
    let old = parts.path_and_query.replace(new);
    if let Ok(whole) = Uri::from_parts(parts) {
        *uri = whole;
        return true;
    }
    // Cannot be: only what is behind the authority was changed, and it was checked.
    *uri = old.map(Uri::from).unwrap_or_default();
    false
}
