//! Reads query strings.

use std::borrow::Cow;

use http::Uri;

use super::route::decoded;

/// Returns the decoded names and values of a query.
pub fn pairs(uri: &Uri) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    uri.query().into_iter().flat_map(|query| query.split('&')).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

/// Returns the decoded value of a parameter.
pub fn value<'a>(uri: &'a Uri, name: &str) -> Option<Cow<'a, str>> {
    pairs(uri).find_map(|(found, value)| (found == name).then_some(value))
}
