//! What is done with an answer, as its head shows: it goes on at once, or is held until it is clear what it means.

use http::{HeaderMap, StatusCode, header::CONTENT_LENGTH, response::Parts};
use http_body::Body;

use super::{
    first_event::Framing,
    fresh::Look,
    head::{Asked, BodyHead, Encoding, Kind},
    hold::{LARGEST_BEGINNING, LARGEST_PACKED},
    sight::{Sight, Stream},
    usage_scan::UsageScan,
};
use crate::{
    pool::{ALARMS, ERRORS, Granted, Retold},
    provider::UsageFormat,
};

/// What is done with an answer.
pub(super) enum Treatment {
    /// It is judged by its head and goes on at once. `page`: it is a web page where a model was asked for something.
    Passed { look: Look, page: bool },
    /// It is held until then. `framing`: of the stream, or of the error, that it may be.
    Held { until: HeldUntil, framing: Option<Framing> },
    /// It is held to be withheld: nobody can look into its body.
    Unreadable,
    /// It is over with its head, where something in this framing was to be said. It is held like a stream that breaks off.
    Wordless(Framing),
}

/// Until when an answer is held. Where several hold, the first of them counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HeldUntil {
    /// An error: until enough of it is here to be judged.
    Judged,
    /// A good answer that is packed: it cannot be masked any more once its head is out, so that a small one is read before.
    Unpacked,
    /// A good answer that will be retold: until all of it is here.
    Over,
    /// A good answer that may speak against its key at its end: until all of it is here, if it is small and comes soon.
    Spoken,
    /// A good answer that may be nothing but an error: until its first event, or its beginning, shows that.
    Begun,
}

impl Treatment {
    /// `over`: nothing of the body is still to come.
    #[expect(clippy::inline_always, reason = "on the way of every answer")]
    #[inline(always)]
    pub(super) fn of<B: Body>(
        head: &Parts,
        body: &B,
        over: bool,
        (body_head, asked): (BodyHead, Asked),
        granted: &Granted,
    ) -> Self {
        let status = head.status;
        let page = is_page(body_head, asked, granted);
        if is_empty(status, over, asked) {
            let wordless = wordless(status, body_head, asked, granted);
            return wordless.map_or(Self::Passed { look: Look::Blind, page }, Self::Wordless);
        }
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Self::Passed { look: Look::Blind, page };
        }
        if body_head.encoding == Encoding::Unreadable {
            return Self::Unreadable;
        }
        if status.as_u16() >= 400 {
            return Self::Held { until: HeldUntil::Judged, framing: None };
        }
        if !status.is_success() {
            return Self::Passed { look: Look::Key, page };
        }
        let kinds = if may_be_no_success(status, body, body_head, asked) { granted.pool.good_answers() } else { 0 };
        let framing = body_head.framing(asked).or_else(|| (kinds & ERRORS != 0).then_some(Framing::Object));
        let in_events = is_in_events(framing);
        let plain = body_head.encoding == Encoding::Plain;
        let until = if !plain && is_read_before(&head.headers, body_head, in_events, page) {
            HeldUntil::Unpacked
        // A page says no more to its end.
        } else if plain && granted.particulars.retold() == Some(Retold::Whole) && !in_events && !page {
            HeldUntil::Over
        } else if plain && kinds & ALARMS != 0 {
            HeldUntil::Spoken
        } else if framing.is_some() {
            HeldUntil::Begun
        } else {
            let tells = asked.usage != UsageFormat::None && body_head.may_tell_usage();
            return Self::Passed { look: if tells { Look::KeyAndUsage } else { Look::Key }, page };
        };
        Self::Held { until, framing }
    }
}

/// Whether no body is to come.
#[inline]
pub(super) fn is_empty(status: StatusCode, over: bool, asked: Asked) -> bool {
    asked.head || matches!(status.as_u16(), 204 | 304) || over
}

#[inline]
fn is_in_events(framing: Option<Framing>) -> bool {
    matches!(framing, Some(Framing::Events | Framing::Array))
}

/// Whether it is a web page where a model was asked for something.
#[inline]
fn is_page(body_head: BodyHead, asked: Asked, granted: &Granted) -> bool {
    body_head.kind == Kind::Page && asked.makes && asked.usage != UsageFormat::None && granted.model.is_some()
}

/// Of an answer without a body: in which framing something was to be said nevertheless.
#[inline]
fn wordless(status: StatusCode, body_head: BodyHead, asked: Asked, granted: &Granted) -> Option<Framing> {
    if status != StatusCode::OK || asked.head {
        return None;
    }
    // Where something is to be said JSON of nothing is no answer, either.
    let is_to_speak = asked.ending.is_some() && body_head.kind == Kind::Json;
    let is_retold = asked.makes && granted.particulars.retold() == Some(Retold::Whole);
    body_head.framing(asked).or((is_to_speak || is_retold).then_some(Framing::Events))
}

/// Whether a good answer that is no stream may be an error all the same, or speak against its key. Neither is large: what is
/// known to be is not looked into.
#[inline]
fn may_be_no_success<B: Body>(status: StatusCode, body: &B, body_head: BodyHead, asked: Asked) -> bool {
    body_head.framing(asked).is_none()
        && asked.makes
        && status == StatusCode::OK
        && body_head.kind == Kind::Json
        && body.size_hint().lower() <= LARGEST_BEGINNING as u64
}

/// Whether a good answer that is packed is read before its head goes on. Of an answer that told its length that head would be
/// wrong, wherever the key stands.
#[inline]
fn is_read_before(headers: &HeaderMap, body_head: BodyHead, in_events: bool, page: bool) -> bool {
    !in_events && body_head.kind == Kind::Json || !page && is_small(headers)
}

/// Whether a packed body told its length, and is held to its end.
#[cold]
fn is_small(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    length.is_some_and(|length| length <= LARGEST_PACKED)
}

/// What an answer that is held is looked at for.
pub(super) fn sight(
    (until, framing): (HeldUntil, Option<Framing>),
    (body_head, asked): (BodyHead, Asked),
    granted: &Granted,
) -> Sight {
    if until == HeldUntil::Judged {
        return Sight { error: Some(Box::default()), ..Sight::default() };
    }
    let in_events = is_in_events(framing);
    let stream = framing.map(|framing| Stream::new(framing, asked.ending));
    // An answer that is held only for the key in it is not looked at for anything else.
    if until == HeldUntil::Unpacked && !body_head.may_tell_usage() {
        return Sight { stream, ..Sight::default() };
    }
    let counts =
        asked.usage != UsageFormat::None && (granted.particulars.meter.is_some() || granted.pool.counts_usage());
    let speaks = !in_events && granted.pool.provider().alarm().is_some();
    Sight {
        error: None,
        stream,
        usage: counts.then(|| UsageScan::new(in_events && asked.usage != UsageFormat::Anthropic)),
        whole: speaks.then(Vec::new),
        makes: framing.is_none() && asked.makes,
    }
}
