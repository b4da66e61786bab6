//! Batches whose requests stand in a file: what they ask and cost is seen by nobody here, so that they are not for tenants
//! to whom it matters.

use http::{Method, StatusCode, request::Parts};
use percent_encoding::percent_decode_str;

use crate::gateway::{admit::tenant::Tenant, dialect::Refusal};

pub(super) const UNCOUNTED: Refusal = Refusal::new(
    StatusCode::BAD_REQUEST,
    "what a batch from a file costs is not known here, and the tokens of this token are limited: send the requests of the \
     batch in its body",
);
const UNREAD: Refusal = Refusal::new(
    StatusCode::BAD_REQUEST,
    "which models a batch from a file asks, and what it costs, is not known here, and both or one of them is limited for \
     this token: send the requests one by one, or as a native batch with the requests in its body",
);

/// Whether the body is to be looked through for a file in the place of its requests.
///
/// # Errors
/// Where nothing else can stand there.
pub(super) fn may_come(tenant: &Tenant, parts: &Parts) -> Result<bool, Refusal> {
    let counts = tenant.grant().limits.counts_tokens();
    if !(counts || tenant.is_restricted()) || matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(false);
    }
    let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy();
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    // Their lines name a model each; native ones all have the path's.
    if segments.by_ref().any(|segment| segment == "openai") && segments.next() == Some("batches") {
        return if segments.next().is_none() { Err(UNREAD) } else { Ok(false) };
    }
    let is_batch = |verb: &str| verb.to_ascii_lowercase().contains("batch");
    Ok(counts && path.rsplit_once(':').is_some_and(|(_, verb)| is_batch(verb)))
}
