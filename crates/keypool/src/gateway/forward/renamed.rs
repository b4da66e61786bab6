//! Bodies of the provider's own that name their model within. What a path or a body's own `model` names, the stack finds;
//! requests in requests it does not look through.

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Limited};

use super::resource::{LATE, model_of};
use crate::{
    gateway::{aliases::Aliases, dialect::Refusal},
    outgoing::{Broken, Outgoing},
};

/// A body is no longer, in bytes, where a model is asked for by another name of it.
const LONGEST: usize = 32 << 20;
const LARGE: Refusal = Refusal::new(
    StatusCode::PAYLOAD_TOO_LARGE,
    "a body that names a model by an alias within may be no larger than 32 MiB: name the model itself",
);

/// Whether a request may name a model by another name of it where nobody below looks.
pub(in crate::gateway) fn may_name_within(aliases: &Aliases, parts: &Parts) -> bool {
    if aliases.is_empty() || parts.method != Method::POST {
        return false;
    }
    let path = parts.uri.path();
    let talks = path.ends_with("enerateContent") && !path.ends_with("atchGenerateContent");
    let sets_up = path.contains("auth_tokens") || path.ends_with("/tunedModels");
    sets_up || (!talks && model_of(path).is_some_and(|model| aliases.first(&model).is_some()))
}

/// The body with models in the places of their other names.
///
/// # Errors
/// Where it is too long, or breaks off.
pub(in crate::gateway) async fn resolved(
    aliases: &Aliases,
    parts: &mut Parts,
    body: Outgoing,
    broken: &Broken,
) -> Result<Outgoing, Refusal> {
    // What is packed goes on as it is.
    if parts.headers.get(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Ok(body);
    }
    let whole = match Limited::new(body, LONGEST).collect().await {
        Ok(whole) => whole.to_bytes(),
        Err(_) if broken.is_broken() => return Err(LATE),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => return Err(LARGE),
        Err(_) => return Err(super::resource::BROKE_OFF),
    };
    let body = aliases.resolved_in(&whole).map_or(whole, Bytes::from);
    if parts.headers.contains_key(header::CONTENT_LENGTH) {
        parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    Ok(Outgoing::Whole(Some(body)))
}
