//! Most requests: calls of a model that name nothing of anybody's, which is seen without waiting.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Method, header, request::Parts};
use http_body::{Body as _, Frame};

use super::{Resources, gathered, mentioned};
use crate::{
    gateway::{admit::tenant::Tenant, connection::pace::Arriving},
    outgoing::Outgoing,
};

/// Verbs whose calls make nothing that lasts.
pub(super) const CALLS: [&str; 5] =
    ["generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents"];

/// A body as it comes, and what was read of it already.
#[derive(Debug)]
pub(in crate::gateway) struct Coming {
    pub(super) first: Option<Box<Frame<Bytes>>>,
    pub(super) rest: Arriving,
}

impl From<Arriving> for Coming {
    fn from(rest: Arriving) -> Self {
        Self { first: None, rest }
    }
}

/// The body of a request that goes on as it is. What needs a longer look comes back. `unused_beside`: nothing is anybody's at
/// other pools either.
///
/// # Errors
/// Whatever must be [looked through](super::look_through).
pub(in crate::gateway) fn at_once(
    resources: &Resources,
    (tenant, alone): (&Tenant, bool),
    parts: &mut Parts,
    mut body: Arriving,
    unused_beside: impl FnOnce() -> bool,
) -> Result<Outgoing, Coming> {
    let Some(model) = called(parts) else { return Err(body.into()) };
    if !tenant.may_use(model) || !is_plain(parts, alone) {
        return Err(body.into());
    }
    let (is_long, is_restricted) = (gathered::is_long(&body), tenant.is_restricted());
    let unused = || resources.is_known_to_be_unused() && unused_beside();
    if body.is_end_stream() || (is_long && !is_restricted && unused()) {
        return Ok(Outgoing::Came(body));
    }
    if is_long {
        return Err(body.into());
    }
    let may_name = if is_restricted { mentioned::may_name_or_ask } else { mentioned::may_name };
    // Whoever waits for the rest asks again.
    match Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
            Ok(data) if body.is_end_stream() && !may_name(&data) => {
                resources.say_it_names_nothing(parts);
                Ok(Outgoing::Whole(Some(data)))
            }
            Ok(data) => Err(Coming { first: Some(Box::new(Frame::data(data))), rest: body }),
            Err(frame) => Err(Coming { first: Some(Box::new(frame)), rest: body }),
        },
        // One that broke off says so again.
        _ => Err(body.into()),
    }
}

/// The model that is called in one of the usual ways.
fn called(parts: &Parts) -> Option<&str> {
    let path = parts.uri.path();
    let call = path.strip_prefix("/v1beta/models/").or_else(|| path.strip_prefix("/v1/models/"))?;
    let (model, verb) = call.split_at(memchr::memchr(b':', call.as_bytes())?);
    // What is written in another way is looked at longer.
    let usual = parts.method == Method::POST
        && CALLS.contains(&&verb[1..])
        && memchr::memchr2(b'/', b'%', model.as_bytes()).is_none();
    usual.then_some(model)
}

/// Whether a body's head says that it can be read as it is.
fn is_plain(parts: &Parts, alone: bool) -> bool {
    let json = || parts.headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind == "application/json");
    !parts.headers.contains_key(header::CONTENT_ENCODING) && (alone || json())
}
