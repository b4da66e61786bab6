//! Requests over a stack: a client's as they are, and this gateway's own.

use std::{future::poll_fn, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use tower::Service;
use tower_keypool::{Affinity, BoxError, Demand, Error};

use crate::{gateway::dialect::Dialect, outgoing::Outgoing};

/// An answer is read to here.
const READ: usize = 16 << 20;

/// The version of Anthropic's API that is asked.
pub(in crate::gateway) const VERSION: (HeaderName, HeaderValue) =
    (HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));

/// The keys that a request goes over, and how long it waits for one of them; `None`: for as long as all do.
pub(in crate::gateway) type Over = (Option<Affinity>, Option<Duration>);

/// Asks for what stands at a path and query of Gemini's API, over the keys that this leads to.
///
/// # Errors
/// Where no key could ask, or the answer broke off.
pub(in crate::gateway) async fn get<S, B>(stack: S, target: &str, over: Over) -> Result<Response<Bytes>, BoxError>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    get_from(stack, (Dialect::Gemini, target), over).await
}

/// The same of a provider that speaks this dialect.
///
/// # Errors
/// Where no key could ask, or the answer broke off.
pub(in crate::gateway) async fn get_from<S, B>(
    stack: S,
    (dialect, target): (Dialect, &str),
    over: Over,
) -> Result<Response<Bytes>, BoxError>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut headers = HeaderMap::new();
    if dialect == Dialect::Anthropic {
        let (name, version) = VERSION;
        headers.insert(name, version);
    }
    get_as(stack, (headers, target), over).await
}

/// The same with these headers.
///
/// # Errors
/// Where no key could ask, or the answer broke off.
pub(in crate::gateway) async fn get_as<S, B>(
    mut stack: S,
    (headers, target): (HeaderMap, &str),
    over: Over,
) -> Result<Response<Bytes>, BoxError>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut request = Request::get(target).body(Outgoing::written(Vec::new()))?;
    *request.headers_mut() = headers;
    request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let (way, wait) = over;
    let demand = Demand::any_model().of_resource();
    let demand = way.into_iter().fold(demand, Demand::affinity);
    request.extensions_mut().insert(wait.into_iter().fold(demand, Demand::wait));
    poll_fn(|cx| stack.poll_ready(cx)).await?;
    let (head, body) = stack.call(request).await?.into_parts();
    if head.status.is_informational() {
        return Err("the provider switched protocols, and nobody had asked it to".into());
    }
    let body = Limited::new(body, READ).collect().await?.to_bytes();
    Ok(Response::from_parts(head, body))
}

/// Through a stack, as it is.
pub(in crate::gateway) async fn pass<S, B>(mut stack: S, request: Request<Outgoing>) -> Result<Response<B>, Error>
where
    S: Service<Request<Outgoing>, Response = Response<B>, Error = Error>,
{
    poll_fn(|cx| stack.poll_ready(cx)).await?;
    stack.call(request).await
}
