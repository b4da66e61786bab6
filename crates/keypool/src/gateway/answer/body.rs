//! Bodies on their way to the client.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::Bytes;
use http::{Response, header, response::Parts};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use tokio::time::{Sleep, sleep};
use tower_keypool::{BoxError, StreamEnd};

use super::{
    flowing::{self, Flowing},
    head::{self, ID, THEIR_ID},
    reworded::MOST_OF_ERROR,
    translated_stream::{Telling, Told},
    unpacked::Unpacked,
};
use crate::{
    admin::AdminBody,
    gateway::{
        admit::tenant::Tenant,
        dialect::Dialect,
        farewell::{Farewell, Parting},
        forward::resource::Overheard,
    },
    status::Pieces,
};

/// What the client gets.
#[derive(Debug)]
pub struct Said<B> {
    inner: Inner<B>,
    /// What it broke off with, until what came before that is out.
    broke: Option<Box<Broke>>,
    /// Of what has no place for an event that says so: it breaks off.
    parting: Option<Box<Parting>>,
}

/// An error that waits a moment. Over HTTP/1.1 a connection is cut by it, with all that waits there to go out, its head too;
/// over HTTP/2 the reset overtakes what the connection has yet to write. That goes first.
#[derive(Debug)]
struct Broke {
    error: BoxError,
    moment: Pin<Box<Sleep>>,
}

impl Broke {
    fn with(error: impl Into<BoxError>) -> Self {
        Self { error: error.into(), moment: Box::pin(sleep(MOMENT)) }
    }
}

/// A longer one may take a while to go out.
const SHORT: u64 = 64 * 1024;

/// So long: what waits is written with the connection's next turn, unless its client reads nothing.
const MOMENT: Duration = Duration::from_millis(20);

#[derive(Debug)]
enum Inner<B> {
    /// Of this gateway's own making.
    Ours { body: Full<Bytes> },
    /// A page of it.
    Written { body: Box<Pieces> },
    /// The provider's, as it comes; behind a pointer, since each answer is moved some ten times on its way.
    Theirs { body: Pin<Box<B>> },
    /// The provider's events, as they come.
    Flowing { body: Box<Flowing<B>> },
    /// The provider's events, unpacked.
    Unpacked { body: Box<Flowing<UnsyncBoxBody<Bytes, BoxError>>> },
    /// An error of the provider's whose beginning was read, and the rest of it as it comes.
    Begun { said: Bytes, body: Pin<Box<B>> },
    /// One whose beginning was read, and the rest of it as it comes.
    Resumed { said: Bytes, rest: Pin<Box<Said<B>>> },
    /// The provider's, listened to as it goes.
    Heard { body: Box<Overheard<B>> },
    /// The same of its events.
    HeardFlowing { body: Box<Flowing<Overheard<B>>> },
    /// For an administrator.
    Administered { body: AdminBody },
    /// The provider's, in the client's dialect; behind a pointer, since most answers are not.
    Told { body: Box<Telling<B>> },
}

/// Whether a client is told what its stream cost: not where the gateway asked for it, and not the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Usage {
    Told,
    Untold,
}

/// Who may end before an answer does: the gateway, and whose token it was asked with.
pub(in crate::gateway) type Enders<'a> = (&'a Farewell, &'a Tenant);

/// A provider's answer as it goes to the client: without the headers that are not his. A stream that does not end before the
/// gateway or its tenant does ends with an error of this dialect.
pub(in crate::gateway) fn passed_on<B>(
    response: Response<B>,
    dialect: Dialect,
    enders: Enders<'_>,
    usage: Usage,
) -> Response<Said<B>>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    if usage == Usage::Untold && flowing::is_to_unpack(response.headers()) {
        return passed_on_unpacked(response, dialect, enders);
    }
    match flowing(response, dialect, enders, usage) {
        Ok(flowing) => flowing.map(|body| Said::of(Inner::Flowing { body })),
        Err(other) => other.map(|body| Said { parting: parting_of(&body, enders.1), ..Said::theirs(body) }),
    }
}

/// The same of one that is listened to.
pub(in crate::gateway) fn passed_on_heard<B>(
    response: Response<Overheard<B>>,
    dialect: Dialect,
    enders: Enders<'_>,
    usage: Usage,
) -> Response<Said<B>>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    if usage == Usage::Untold && flowing::is_to_unpack(response.headers()) {
        return passed_on_unpacked(response, dialect, enders);
    }
    match flowing(response, dialect, enders, usage) {
        Ok(flowing) => flowing.map(|body| Said::of(Inner::HeardFlowing { body })),
        Err(other) => other.map(|body| Said { parting: parting_of(&body, enders.1), ..Said::heard(body) }),
    }
}

/// The same of a stream that came packed, though the gateway had asked for it as it is: something is to be taken out of it.
fn passed_on_unpacked<B, T>(response: Response<T>, dialect: Dialect, enders: Enders<'_>) -> Response<Said<B>>
where
    T: Body<Data = Bytes> + Send + 'static,
    T::Error: Into<BoxError>,
{
    let (mut head, body) = response.into_parts();
    let body = Unpacked::of(&head, body).boxed_unsync();
    head.headers.remove(header::CONTENT_ENCODING);
    match flowing(Response::from_parts(head, body), dialect, enders, Usage::Untold) {
        Ok(flowing) => flowing.map(|body| Said::of(Inner::Unpacked { body })),
        // It is a stream of events.
        Err(other) => other.map(|_| Said::from(Full::default())),
    }
}

/// The provider's events, where it is a stream of them.
fn flowing<B: Body<Data = Bytes>>(
    mut response: Response<B>,
    dialect: Dialect,
    enders: Enders<'_>,
    usage: Usage,
) -> Result<Response<Box<Flowing<B>>>, Response<B>> {
    head::tidy_response(&mut response);
    let untold = usage == Usage::Untold && flowing::is_readable(response.headers());
    if untold {
        // It is shorter.
        response.headers_mut().remove(header::CONTENT_LENGTH);
    } else if !flowing::is_open(response.headers(), response.body()) {
        return Err(response);
    }
    let end = response.extensions().get().cloned();
    let parting = enders.1.parting(enders.0);
    Ok(response.map(|body| {
        let flowing = Flowing::new(body, dialect, parting, end);
        Box::new(if untold { flowing.without_usage() } else { flowing })
    }))
}

/// What ends a body once the token that it was asked with opens nothing any more: what is short is there anyway.
fn parting_of(body: &impl Body, tenant: &Tenant) -> Option<Box<Parting>> {
    let is_short = body.size_hint().exact().is_some_and(|length| length <= SHORT);
    if is_short {
        return None;
    }
    tenant.farewell().map(|farewell| Box::new(Parting::from(farewell)))
}

/// A provider's error that was read, or as much of it as says what it is.
pub(in crate::gateway) fn of_error<B: Body>(head: Parts, said: Bytes, body: Pin<Box<B>>) -> Response<Said<B>> {
    let begun = said.len() >= MOST_OF_ERROR;
    let body = if begun { Said::of(Inner::Begun { said, body }) } else { Said::from(Full::from(said)) };
    let mut response = Response::from_parts(head, body);
    head::tidy_response(&mut response);
    // It may have broken off.
    response.headers_mut().remove(header::CONTENT_LENGTH);
    response
}

impl<B> Said<B> {
    fn of(inner: Inner<B>) -> Self {
        Self { inner, broke: None, parting: None }
    }

    /// The provider's, as it comes.
    pub(in crate::gateway) fn theirs(body: B) -> Self {
        Self::of(Inner::Theirs { body: Box::pin(body) })
    }

    /// A page of this gateway's own.
    pub(in crate::gateway) fn written(page: Pieces) -> Self {
        Self::of(Inner::Written { body: Box::new(page) })
    }

    /// For an administrator.
    pub(in crate::gateway) fn administered(body: AdminBody) -> Self {
        Self::of(Inner::Administered { body })
    }

    /// The provider's, listened to as it goes.
    pub(in crate::gateway) fn heard(body: Overheard<B>) -> Self {
        Self::of(Inner::Heard { body: Box::new(body) })
    }

    /// One of which this much was read.
    pub(in crate::gateway) fn resumed(said: Bytes, rest: Pin<Box<Self>>) -> Self {
        Self::of(Inner::Resumed { said, rest })
    }

    /// One that broke off while it was read.
    pub(in crate::gateway) fn broken(error: BoxError) -> Self {
        Self { broke: Some(Box::new(Broke::with(error))), ..Self::from(Full::default()) }
    }

    /// Whether the provider's head is still awaited.
    pub(in crate::gateway) fn awaits_head(&self) -> bool {
        matches!(&self.inner, Inner::Told { body } if body.awaits_head())
    }

    /// It is told of once it is there.
    pub(in crate::gateway) fn tell_of_head(&mut self, told: Told) {
        if let Inner::Told { body } = &mut self.inner {
            body.tell_of_head(told);
        }
    }

    /// Where it is said should it fail once its head is out.
    pub(in crate::gateway) fn tell_of_failure(&mut self, end: impl FnOnce() -> StreamEnd) {
        if let Inner::Told { body } = &mut self.inner {
            body.tell_of_failure(end());
        }
    }

    /// The provider's, in the client's dialect.
    pub(in crate::gateway) fn told(body: Telling<B>) -> Self {
        Self::of(Inner::Told { body: Box::new(body) })
    }
}

/// An error of this gateway's own for Anthropic's clients, which look for the request's id in it, too.
pub(in crate::gateway) fn identify<B>(response: &mut Response<Said<B>>) {
    if response.status().as_u16() < 400 {
        return;
    }
    // The provider's own stands in its own errors.
    let id = response.headers().get(THEIR_ID).filter(|id| response.headers().get(ID) == Some(id)).cloned();
    let (Some(id), Inner::Ours { body }) = (id, &mut response.body_mut().inner) else { return };
    if let Ok(id) = id.to_str()
        && let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut *body).poll_frame(&mut Context::from_waker(Waker::noop()))
        && let Ok(said) = frame.into_data()
    {
        let said = match said.strip_suffix(b"}") {
            // It was looked at for what no text of JSON need escape.
            Some(open) => [open, b",\"request_id\":\"", id.as_bytes(), b"\"}"].concat().into(),
            None => said,
        };
        *body = Full::from(said);
    }
}

impl<B> From<Full<Bytes>> for Said<B> {
    fn from(body: Full<Bytes>) -> Self {
        Self::of(Inner::Ours { body })
    }
}

/// The error, once its moment is over.
fn poll_broke<F>(broke: &mut Option<Box<Broke>>, cx: &mut Context<'_>) -> Poll<Option<Result<F, BoxError>>> {
    if let Some(broke) = broke {
        ready!(broke.moment.as_mut().poll(cx));
    }
    Poll::Ready(broke.take().map(|broke| Err(broke.error)))
}

impl<B> Body for Said<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.get_mut();
        if this.broke.is_some() {
            return poll_broke(&mut this.broke, cx);
        }
        if let Some(parting) = &mut this.parting
            && let Poll::Ready(why) = parting.poll(cx)
        {
            this.parting = None;
            this.broke = Some(Box::new(Broke::with(why.message())));
            return poll_broke(&mut this.broke, cx);
        }
        let polled = match &mut this.inner {
            Inner::Ours { body } => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Inner::Written { body } => Pin::new(&mut **body).poll_frame(cx).map_err(|never| match never {}),
            Inner::Administered { body } => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Inner::Theirs { body } => body.as_mut().poll_frame(cx).map_err(Into::into),
            Inner::Flowing { body } => body.poll_frame(cx),
            Inner::Heard { body } => Pin::new(body).poll_frame(cx),
            Inner::HeardFlowing { body } => body.poll_frame(cx),
            Inner::Unpacked { body } => body.poll_frame(cx),
            Inner::Begun { said, body } if said.is_empty() => body.as_mut().poll_frame(cx).map_err(Into::into),
            Inner::Resumed { said, rest } if said.is_empty() => rest.as_mut().poll_frame(cx),
            Inner::Begun { said, .. } | Inner::Resumed { said, .. } => {
                Poll::Ready(Some(Ok(Frame::data(std::mem::take(said)))))
            }
            Inner::Told { body } => Poll::Ready(ready!(body.poll_frame(cx)).map(Ok)),
        };
        if let Poll::Ready(Some(Err(error))) = polled {
            this.broke = Some(Box::new(Broke::with(error)));
            return poll_broke(&mut this.broke, cx);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Ours { body } => body.is_end_stream(),
            Inner::Written { body } => body.is_end_stream(),
            Inner::Administered { body } => body.is_end_stream(),
            Inner::Theirs { body } => body.is_end_stream(),
            Inner::Flowing { body } => body.is_end_stream(),
            Inner::Heard { body } => body.is_end_stream(),
            Inner::HeardFlowing { body } => body.is_end_stream(),
            Inner::Unpacked { body } => body.is_end_stream(),
            Inner::Begun { said, body } => said.is_empty() && body.is_end_stream(),
            Inner::Resumed { said, rest } => said.is_empty() && rest.is_end_stream(),
            Inner::Told { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Ours { body } => body.size_hint(),
            Inner::Written { body } => body.size_hint(),
            Inner::Administered { body } => body.size_hint(),
            Inner::Theirs { body } => body.size_hint(),
            Inner::Heard { body } => body.size_hint(),
            Inner::Flowing { .. }
            | Inner::HeardFlowing { .. }
            | Inner::Unpacked { .. }
            | Inner::Begun { .. }
            | Inner::Resumed { .. }
            | Inner::Told { .. } => SizeHint::default(),
        }
    }
}
