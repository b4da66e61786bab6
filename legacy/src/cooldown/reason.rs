//! The reason phrase of an HTTP/1 answer: hyper's client hands it on among the answer's extensions, and hyper's server
//! sends it.

use http::Extensions;
use hyper::ext::ReasonPhrase;

use super::mask::shows;
use crate::key::Secret;

/// Leaves the phrase out where the key stands in it.
#[inline]
pub(super) fn mask_reason(secret: &Secret, extensions: &mut Extensions) {
    if extensions.get::<ReasonPhrase>().is_some_and(|reason| shows(secret, reason.as_bytes())) {
        extensions.remove::<ReasonPhrase>();
    }
}
