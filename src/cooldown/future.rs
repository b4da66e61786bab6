//! The future of an answer.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Extensions, HeaderMap, Response, StatusCode, header::CONTENT_LENGTH, response::Parts};
use http_body::Body;
use pin_project_lite::pin_project;

#[cfg(feature = "hyper")]
use super::reason::mask_reason;
use super::{
    body::CooldownBody,
    first_event::Framing,
    flow::{Flow, Reader},
    fresh::{Fresh, Look},
    head::{Asked, BodyHead, Encoding, Kind},
    hold::{Hold, LARGEST_BEGINNING, LARGEST_PACKED},
    inflate::Inflate,
    judging,
    key_mask::{KeyMask, earlier_of, mask_every},
    mask::mask_headers,
    sight::{Sight, Stream},
    teller::Teller,
    usage_scan::UsageScan,
};
use crate::{
    error::{BoxError, Error},
    pool::{ALARMS, ERRORS, Granted, Retold},
    provider::UsageFormat,
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
    let retold = granted.particulars.retold();
    if retold.is_some() {
        head.extensions.insert(KeyMask::of(&granted));
    }
    let status = head.status;
    let BodyHead { encoding, .. } = body_head;
    let over = body.is_end_stream();
    let empty = asked.head || matches!(status.as_u16(), 204 | 304) || over;
    let readable = !empty && encoding != Encoding::Unreadable;
    if !readable && status != StatusCode::SWITCHING_PROTOCOLS {
        if !empty {
            return Err(Box::new(Hold::new(head, body, Reader::Blind, granted, false)));
        }
        if status == StatusCode::OK
            && !asked.head
            // Where something is to be said JSON of nothing is no answer, either.
            && let is_to_speak = (asked.ending.is_some() && body_head.kind == Kind::Json)
            && let is_retold = (asked.makes && retold == Some(Retold::Whole))
            && let said = (is_to_speak || is_retold).then_some(Framing::Events)
            && let Some(framing) = body_head.framing(asked).or(said)
        {
            return Err(without_a_word(head, body, framing, asked, granted));
        }
    }
    let failed = status.as_u16() >= 400;
    let framing = if readable && !failed { body_head.framing(asked) } else { None };
    // Neither an error nor what speaks against its key is large: what is known to be is not looked into.
    let may_be_none = framing.is_none()
        && readable
        && asked.makes
        && status == StatusCode::OK
        && body_head.kind == Kind::Json
        && body.size_hint().lower() <= LARGEST_BEGINNING as u64;
    let kinds = if may_be_none { granted.pool.good_answers() } else { 0 };
    let framing = framing.or_else(|| (kinds & ERRORS != 0).then_some(Framing::Object));
    let small = kinds & ALARMS != 0 && encoding == Encoding::Plain;
    let usage = asked.usage != UsageFormat::None;
    let in_events = matches!(framing, Some(Framing::Events | Framing::Array));
    let page = body_head.kind == Kind::Page && asked.makes && usage && granted.model.is_some();
    // What is packed cannot be masked any more once its head is out: what is small is read before. Of an answer that told its
    // length that head would be wrong, wherever the key stands.
    let packed = encoding == Encoding::Gzip
        && status.is_success()
        && (!in_events && body_head.kind == Kind::Json || !page && is_small(&head.headers));
    let retold_whole = retold == Some(Retold::Whole) && encoding == Encoding::Plain;
    // A page says no more to its end.
    let whole = retold_whole && status.is_success() && !in_events && !page;
    if readable && (failed || packed || whole || small || (status.is_success() && framing.is_some())) {
        // What is held only for the key in it is not looked at for anything else.
        let tells = body_head.may_tell_usage() || !packed;
        let sight = Sight {
            error: failed.then(Box::default),
            stream: framing.map(|framing| Stream::new(framing, asked.ending)),
            usage: (usage && !failed && tells && (granted.particulars.meter.is_some() || granted.pool.counts_usage()))
                .then(|| UsageScan::new(in_events && asked.usage != UsageFormat::Anthropic)),
            whole: (!failed && !in_events && tells)
                .then(|| granted.pool.provider().alarm().map(|_| Vec::new()))
                .flatten(),
            makes: framing.is_none() && !failed && tells && asked.makes,
        };
        let reader = reader(encoding, head.headers.contains_key(CONTENT_LENGTH), sight, &granted);
        let hold = Hold::new(head, body, reader, granted, packed);
        return Err(Box::new(match (whole, small) {
            (true, _) => hold.until_over(),
            (_, true) => hold.until_it_spoke(),
            _ => hold,
        }));
    }
    let verdict = judging::head(&granted, &head, page);
    granted.judge(&verdict);
    let settled = !verdict.is_success();
    let look = if !readable || status == StatusCode::SWITCHING_PROTOCOLS {
        Look::Blind
    } else if status.is_success() && usage && body_head.may_tell_usage() {
        Look::KeyAndUsage
    } else {
        Look::Key
    };
    let (teller, served_by) = Teller::and_served_by(granted, verdict);
    head.extensions.insert(served_by);
    if look != Look::Blind && encoding == Encoding::Gzip {
        let sized = head.headers.contains_key(CONTENT_LENGTH);
        let flow = Flow::inflated(teller, look == Look::KeyAndUsage, settled, (sized, asked.makes));
        return Ok(Begun { head, body: CooldownBody::flowing(body, flow), good: !settled, over });
    }
    let mut fresh = Fresh::judged(teller, look, settled, asked.makes);
    // The end of an upgraded connection's answer is its head.
    if empty || status == StatusCode::SWITCHING_PROTOCOLS {
        fresh.complete();
    }
    Ok(Begun { head, body: CooldownBody::fresh(body, fresh), good: !settled, over })
}

/// Whether a packed body told its length, and is held to its end.
#[cold]
fn is_small(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    length.is_some_and(|length| length <= LARGEST_PACKED)
}

/// A stream that is over with its head. It is held as one whose end comes behind it: how that is said is the transfer's.
#[cold]
fn without_a_word<B>(head: Parts, body: B, framing: Framing, asked: Asked, granted: Granted) -> Box<Hold<B>>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    let stream = Some(Stream::new(framing, asked.ending));
    let sight = Sight { error: None, stream, usage: None, whole: None, makes: false };
    Box::new(Hold::new(head, body, Reader::Plain(sight), granted, false))
}

fn reader(encoding: Encoding, sized: bool, sight: Sight, granted: &Granted) -> Reader {
    match encoding {
        Encoding::Gzip => Reader::Gzip(Inflate::new(sight, (granted.secret.clone(), earlier_of(granted)), sized, true)),
        _ => Reader::Plain(sight),
    }
}

impl<F, B> fmt::Debug for CooldownFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CooldownFuture").finish_non_exhaustive()
    }
}
