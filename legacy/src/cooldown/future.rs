//! The future of an answer.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Extensions, Response, StatusCode, header::CONTENT_LENGTH, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;

#[cfg(feature = "hyper")]
use super::reason::mask_reason;
use super::{
    body::CooldownBody,
    first_event::Framing,
    flow::{Flow, Reader},
    fresh::{Fresh, Look},
    head::{Asked, BodyHead, Encoding},
    hold::Hold,
    inflate::Inflate,
    judging,
    key_mask::{KeyMask, earlier_of, mask_every},
    mask::mask_headers,
    masks::{KeptKeys, Shown},
    sight::{Sight, Stream},
    teller::Teller,
    treatment::{HeldUntil, Treatment, is_empty, sight},
};
use crate::{
    error::{BoxError, Error},
    pool::{Granted, Retold},
};

pin_project! {
    /// The future of [`Cooldown`](super::Cooldown): waits for the answer, and for as much of its body as tells what it
    /// means.
    #[must_use = "futures do nothing unless polled"]
    pub struct CooldownFuture<F, B> {
        #[pin]
        state: State<F, B>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F, B> {
        Calling {
            #[pin]
            call: F,
            granted: Option<Granted>,
            asked: Asked,
            // What the lease travelled in, emptied: the answer's own extensions need no other.
            vessel: Extensions,
        },
        // On the heap, so that answers that are not held stay small.
        Holding { hold: Option<Box<Hold<B>>> },
    }
}

impl<F, B> CooldownFuture<F, B> {
    #[inline]
    pub(super) fn new(call: F, granted: Option<Granted>, asked: Asked, vessel: Extensions) -> Self {
        Self { state: State::Calling { call, granted, asked, vessel } }
    }
}

impl<F, B, E> Future for CooldownFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<CooldownBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let held = match state.as_mut().project() {
                StateProj::Calling { call, granted, asked, vessel } => match ready!(call.poll(cx)) {
                    Err(error) => return Poll::Ready(Err(judging::failed(granted.take(), error.into()))),
                    Ok(mut response) => {
                        if response.extensions().is_empty() {
                            *response.extensions_mut() = mem::take(vessel);
                        }
                        match begin(response, granted.take(), *asked) {
                            Ok(Begun { head, body, .. }) => return Poll::Ready(Ok(Response::from_parts(head, body))),
                            Err(hold) => hold,
                        }
                    }
                },
                StateProj::Holding { hold } => {
                    ready!(hold.as_mut().expect("not polled after it was ready").poll(cx));
                    return Poll::Ready(hold.take().expect("not polled after it was ready").finish());
                }
            };
            state.set(State::Holding { hold: Some(held) });
        }
    }
}

/// An answer that was judged by its head.
pub(crate) struct Begun<B> {
    pub(crate) head: Parts,
    pub(crate) body: CooldownBody<B>,
    /// The verdict is a success; one that nobody judged is none.
    pub(crate) good: bool,
    /// Nothing of the body is still to come.
    pub(crate) over: bool,
}

/// Judges an answer by its head, or else holds it.
#[expect(clippy::inline_always, reason = "on the way of every answer, which is copied for a call")]
#[inline(always)]
pub(crate) fn begin<B>(response: Response<B>, granted: Option<Granted>, asked: Asked) -> Result<Begun<B>, Box<Hold<B>>>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let (mut head, body) = response.into_parts();
    let Some(granted) = granted else {
        let over = body.is_end_stream();
        return Ok(Begun { head, body: CooldownBody::fresh(body, Fresh::untouched()), good: false, over });
    };
    let mut body_head = BodyHead::default();
    // Few answers have a header with room for a key; of those that are not good, or not the first, all are looked through.
    let roomy = mask_headers(&granted.secret, &mut head.headers, |name, value| body_head.see(name, value));
    if roomy || !head.status.is_success() || granted.particulars.earlier().is_some() {
        mask_every(&granted.pool, &mut head.headers);
    }
    #[cfg(feature = "hyper")]
    mask_reason(&granted.secret, &mut head.extensions);
    if granted.particulars.retold().is_some() {
        head.extensions.insert(KeyMask::of(&granted));
    }
    let over = body.is_end_stream();
    let said = (body_head, asked);
    match Treatment::of(&head, &body, over, said, &granted) {
        Treatment::Passed { look, page } => Ok(pass(head, body, over, said, granted, (look, page))),
        Treatment::Held { until, framing } => Err(hold(head, body, said, granted, (until, framing))),
        Treatment::Unreadable => Err(Box::new(Hold::new(head, body, Reader::Blind, granted, false))),
        Treatment::Wordless(framing) => Err(without_a_word(head, body, framing, asked, granted)),
    }
}

/// Judges an answer by its head, and lets it go on.
#[expect(clippy::inline_always, reason = "on the way of every answer, which is copied for a call")]
#[inline(always)]
fn pass<B>(
    mut head: Parts,
    body: B,
    over: bool,
    (body_head, asked): (BodyHead, Asked),
    granted: Granted,
    (look, page): (Look, bool),
) -> Begun<B> {
    let status = head.status;
    let verdict = judging::head(&granted, &head, page);
    granted.judge(&verdict);
    let good = verdict.is_success();
    let (teller, served_by) = Teller::and_served_by(granted, verdict);
    head.extensions.insert(served_by);
    if look != Look::Blind && body_head.encoding == Encoding::Gzip {
        let sized = head.headers.contains_key(CONTENT_LENGTH);
        let flow = Flow::inflated(teller, look == Look::KeyAndUsage, !good, (sized, asked.makes));
        return Begun { head, body: CooldownBody::flowing(body, flow), good, over };
    }
    let mut fresh = Fresh::judged(teller, look, !good, asked.makes);
    // The end of an upgraded connection's answer is its head.
    if is_empty(status, over, asked) || status == StatusCode::SWITCHING_PROTOCOLS {
        fresh.complete();
    }
    Begun { head, body: CooldownBody::fresh(body, fresh), good, over }
}

/// Holds an answer until it is clear what it means.
fn hold<B>(
    head: Parts,
    body: B,
    said: (BodyHead, Asked),
    granted: Granted,
    (until, framing): (HeldUntil, Option<Framing>),
) -> Box<Hold<B>>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let sight = sight((until, framing), said, &granted);
    let reader = reader(said.0.encoding, head.headers.contains_key(CONTENT_LENGTH), sight, &granted);
    let hold = Hold::new(head, body, reader, granted, until == HeldUntil::Unpacked);
    Box::new(match until {
        HeldUntil::Over => hold.until_over(said.1.makes),
        HeldUntil::Spoken => hold.until_it_spoke(),
        HeldUntil::Judged | HeldUntil::Unpacked | HeldUntil::Begun => hold,
    })
}

/// Holds an answer that is over with its head as one whose end comes behind the head: which of both it is hangs on the
/// transfer alone.
#[cold]
fn without_a_word<B>(head: Parts, body: B, framing: Framing, asked: Asked, granted: Granted) -> Box<Hold<B>>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let stream = Some(Stream::new(framing, asked.ending));
    let sight = Sight { error: None, stream, usage: None, whole: None, makes: false };
    let is_retold = granted.particulars.retold() == Some(Retold::Whole);
    let hold = Hold::new(head, body, Reader::Plain(sight), granted, false);
    Box::new(if is_retold { hold.until_over(asked.makes) } else { hold })
}

fn reader(encoding: Encoding, sized: bool, sight: Sight, granted: &Granted) -> Reader {
    match encoding {
        Encoding::Gzip => {
            let earlier = earlier_of(granted);
            let keys = Shown { pool: &granted.pool, secret: &granted.secret, earlier: &earlier };
            Reader::Gzip(Inflate::new(sight, KeptKeys::of(keys), sized, true))
        }
        _ => Reader::Plain(sight),
    }
}

impl<F, B> fmt::Debug for CooldownFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CooldownFuture").finish_non_exhaustive()
    }
}
