//! The beginning of an answer, held until it is clear what it means.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::{HeaderValue, Response, StatusCode, header, response::Parts};
use http_body::Body;
use tokio::time::{Sleep, sleep};

use super::{
    body::CooldownBody,
    cut::Lack,
    first_event::FirstEvent,
    flow::{Flow, Reader},
    inflate::KeyInCompressedBody,
    judging,
    key_mask::keys_of,
    mask::mask_secret,
    sight::LARGEST_ERROR,
    teller::Teller,
};
use crate::{
    error::{BoxError, Error},
    key::mask_spelled,
    pool::Granted,
    verdict::Verdict,
};

/// The longest that a beginning is held.
const LONGEST: Duration = Duration::from_secs(5);
/// The most of a good answer that is held.
pub(super) const LARGEST_BEGINNING: usize = 16 << 10;
/// The same of one that is not to go on before all of it is here.
const LARGEST_WHOLE: usize = 64 << 20;
/// The same of one that is packed and no stream, or that told its length.
pub(super) const LARGEST_PACKED: usize = 64 << 10;

/// An answer whose beginning is held.
pub(crate) struct Hold<B> {
    head: Parts,
    body: Pin<Box<B>>,
    flow: Box<Flow>,
    granted: Granted,
    /// A good answer that is packed and no stream, or is known to be small: held for its own sake, not only until it is judged.
    packed: bool,
    /// A good answer that is to be here to its end, so that one that breaks off can be asked for again.
    whole: bool,
    /// Something was to be made: nothing is no answer.
    makes: bool,
    /// A small good answer that may speak against its key at its end.
    small: bool,
    /// Begins with the first wait.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<B> Hold<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    pub(super) fn new(head: Parts, body: B, reader: Reader, granted: Granted, packed: bool) -> Self {
        let flow = Box::new(Flow::held(Teller::from(granted.clone()), reader));
        Self {
            head,
            body: Box::pin(body),
            flow,
            granted,
            packed,
            whole: false,
            makes: false,
            small: false,
            timer: None,
        }
    }

    /// All of it is held. `makes`: something was to be made.
    pub(super) fn until_over(mut self, makes: bool) -> Self {
        (self.whole, self.makes) = (true, makes);
        self
    }

    /// All of it is held, if it is small and comes soon.
    pub(super) fn until_it_spoke(mut self) -> Self {
        self.small = true;
        self
    }

    /// Reads on. Ready as soon as the answer can be judged, or has to be.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while !self.is_clear() {
            if self.flow.poll_intake(self.body.as_mut(), cx).is_pending() {
                if self.whole {
                    return Poll::Pending;
                }
                return self.timer.get_or_insert_with(|| Box::pin(sleep(LONGEST))).as_mut().poll(cx);
            }
        }
        Poll::Ready(())
    }

    fn is_clear(&mut self) -> bool {
        if self.flow.is_over() || !self.flow.is_readable() {
            return true;
        }
        let waiting = self.flow.waiting();
        if self.whole {
            return waiting > LARGEST_WHOLE
                || self.granted.particulars.may_hold.as_ref().is_some_and(|may| !may(waiting));
        }
        if self.small {
            return waiting > judging::LARGEST_WHOLE;
        }
        if self.packed {
            return waiting >= LARGEST_PACKED || self.flow.is_packed_anew();
        }
        let Some(sight) = self.flow.sight() else { return true };
        match &sight.stream {
            Some(stream) => waiting >= LARGEST_BEGINNING || stream.first.as_ref().is_none_or(FirstEvent::is_done),
            None => waiting >= LARGEST_ERROR || sight.error.as_ref().is_none_or(|error| error.cut),
        }
    }

    /// Judges it by what has come, and hands it up.
    ///
    /// # Errors
    /// When it is good and shows the key where that cannot be masked, or where nobody can see whether it does; when it broke
    /// off before anything of it is of use.
    pub(crate) fn finish(mut self) -> Result<Response<CooldownBody<B>>, Error> {
        if self.flow.is_blind() {
            return self.withhold();
        }
        let good = self.flow.sight().is_none_or(|sight| sight.error.is_none());
        let end = self.flow.sight().and_then(|sight| Some(sight.stream.as_ref()?.end.clone()));
        let packed_error = !good && !self.flow.is_plain();
        if let Some(error) = self.take_break() {
            self.flow.release(true);
            return Err(judging::failed(Some(self.granted), error));
        }
        let mut verdict = self.verdict();
        if let Some(spoken) = self.flow.spoken()
            && verdict.is_success()
        {
            verdict = judging::spoken(&self.granted, &self.head, spoken);
        }
        self.granted.judge(&verdict);
        if good && verdict.is_success() && self.flow.is_stopped() {
            self.flow.release(true);
            return Err(judging::stopped(&self.granted));
        }
        self.flow.release(!verdict.is_success());
        if good && !verdict.is_success() && self.flow.is_plain() {
            // A stream that begins with an error is one.
            let endings = self.granted.pool.endings();
            self.flow.change_waiting(|waiting| _ = mask_spelled(&endings.in_text(waiting), waiting));
        }
        if packed_error {
            // What of gzip is not packed: a name, a comment.
            let keys = keys_of(&self.granted);
            self.flow.change_waiting(|waiting| _ = mask_spelled(&keys, waiting));
        }
        if self.flow.is_packed_anew() {
            self.head.headers.remove(header::CONTENT_LENGTH);
        }
        self.head.extensions.insert(self.granted.served_by(verdict));
        if let Some(end) = end {
            self.head.extensions.insert(end);
        }
        Ok(Response::from_parts(self.head, CooldownBody::begun(self.body, self.flow)))
    }

    /// Judges it by its head, and by what could be read of it, and hands nothing else of it up.
    #[cold]
    fn withhold(mut self) -> Result<Response<CooldownBody<B>>, Error> {
        let read = self.flow.sight().is_some();
        let verdict = if read { self.verdict() } else { judging::head(&self.granted, &self.head, false) };
        self.granted.judge(&verdict);
        self.flow.withhold();
        if self.head.status.is_success() {
            return Err(judging::unreadable(&self.granted));
        }
        self.head.headers.remove(header::CONTENT_ENCODING);
        self.head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
        self.head.extensions.insert(self.granted.served_by(verdict));
        Ok(Response::from_parts(self.head, CooldownBody::begun(self.body, self.flow)))
    }

    /// What it broke off with before anything of it is of use, if it did: nothing was handed up, so that another attempt may
    /// serve, and whoever gets none is told of an error in the place of a good head with nothing behind it.
    fn take_break(&mut self) -> Option<BoxError> {
        if let Some(why) = self.cut() {
            return Some(io::Error::new(io::ErrorKind::UnexpectedEof, why).into());
        }
        let held = self.packed || self.whole || self.small;
        let failed = self.flow.failure().map(|error| !error.is::<KeyInCompressedBody>());
        let over = self.flow.is_over();
        let stream = self.flow.sight().and_then(|sight| sight.stream.as_mut());
        let first = stream.and_then(|stream| Some((stream.first.as_mut()?, &stream.end)));
        match (failed, first) {
            (Some(true), first) => {
                let cut = first.is_some_and(|(first, _)| !first.is_done());
                if held || cut { self.flow.take_failure() } else { None }
            }
            // It came to an end as any does, but neither to that of its first event nor to its own; or to that alone.
            (None, Some((first, end))) if over => {
                let ended = || io::Error::new(io::ErrorKind::UnexpectedEof, "the stream ended within its first event");
                let only_ended = first.has_only_ended();
                let began = first.finish();
                (!began && (only_ended || first.has_only_ended() || end.is_broken())).then(|| ended().into())
            }
            _ => None,
        }
    }

    /// Why a whole one that came to its end as any does is none.
    fn cut(&self) -> Option<&'static str> {
        if !self.whole || !self.flow.is_over() || self.flow.failure().is_some() {
            return None;
        }
        match self.flow.lacks()? {
            Lack::Everything if !self.makes || self.head.status != StatusCode::OK => None,
            Lack::Everything => Some("the answer is empty"),
            Lack::End => Some("the answer ended within its JSON"),
        }
    }

    fn verdict(&mut self) -> Verdict {
        match self.flow.sight().and_then(|sight| sight.stream.as_mut()?.first.take()) {
            Some(mut first) => {
                first.finish();
                mask_secret(&self.granted.secret, first.data());
                let named_error = first.is_named_error();
                if first.is_of_a_whole() {
                    judging::beginning(&self.granted, &self.head, first.data())
                } else {
                    judging::first_event(&self.granted, &self.head, first.data(), named_error)
                }
            }
            None if self.packed || self.whole || self.small => judging::good(&self.granted, &self.head),
            None => self.judge_error_text(),
        }
    }

    fn judge_error_text(&mut self) -> Verdict {
        let error = *self.flow.sight().and_then(|sight| sight.error.take()).unwrap_or_default();
        let mut text = error.text;
        mask_secret(&self.granted.secret, &mut text);
        let mut keys = keys_of(&self.granted);
        let endings = self.granted.pool.endings();
        keys.extend(endings.in_text(&text));
        let shown = mask_spelled(&keys, &mut text);
        if self.flow.is_plain() && (shown || error.cut) {
            self.flow.change_waiting(|waiting| {
                // Behind what is read of it, too, as far as it came in one piece with that.
                if error.cut {
                    keys.extend(endings.in_text(waiting));
                }
                mask_spelled(&keys, waiting);
            });
        }
        if let Some(length) = self.flow.replace_if_shown(&text, error.cut, shown) {
            self.head.headers.remove(header::CONTENT_ENCODING);
            if self.head.headers.contains_key(header::CONTENT_LENGTH) {
                self.head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            }
        }
        judging::answer(&self.granted, &self.head, &text)
    }
}
