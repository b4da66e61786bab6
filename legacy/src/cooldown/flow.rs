//! A body on its way through: chunks come in, are looked at, masked, and go on; at its end the pool is told.
//!
//! Apart from the body itself, so that it can be driven both by the future, while the beginning is held, and by
//! [`CooldownBody`](super::CooldownBody) afterwards.

mod held;
mod told;

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::{
    inflate::{Inflate, Inflated, KeyInCompressedBody},
    judging,
    key_mask::{hide_every, mask_every},
    mask::mask_headers,
    masks::Masks,
    outbox::Outbox,
    sight::Sight,
    teller::Teller,
};
use crate::{error::BoxError, verdict::Verdict};

pub(super) struct Flow {
    /// Whom to tell; nobody for an answer that went out without a lease.
    teller: Option<Teller>,
    reader: Reader,
    masks: Masks,
    out: Outbox,
    trailers: Option<Box<HeaderMap>>,
    end: End,
    /// The beginning is held, and not judged yet.
    holding: bool,
    /// It is packed anew, for the key that stood in it.
    anew: bool,
    /// All data came.
    complete: bool,
    /// A fault was told: what comes after it changes nothing.
    settled: bool,
    /// All of it came while it was held, and speaks against its key.
    spoke: Option<Box<Verdict>>,
}

/// How the body is read.
pub(super) enum Reader {
    /// Not at all.
    Blind,
    Plain(Sight),
    Gzip(Box<Inflate>),
}

enum End {
    Open,
    /// Nothing more comes from below.
    Ended,
    /// To be handed up behind what waits.
    Failed(Option<BoxError>),
}

impl Flow {
    /// Of an answer that is none of ours.
    pub(super) fn untouched() -> Self {
        Self::new(None, Reader::Blind)
    }

    /// Of an answer that was judged by its head.
    #[inline]
    pub(super) fn judged(teller: Teller, reader: Reader, settled: bool) -> Self {
        let mut flow = Self::new(Some(teller), reader);
        flow.settled = settled;
        flow
    }

    /// The same for a good gzip'd one. `sized`: its length was told; `makes`: it was made for this request.
    pub(super) fn inflated(
        teller: Teller,
        tells_usage: bool,
        settled: bool,
        (sized, makes): (bool, bool),
    ) -> Box<Self> {
        let sight = if tells_usage { Sight::of_good(&teller, makes) } else { Sight::default() };
        let inflate = Inflate::new(sight, teller.kept_keys(), sized, false);
        Box::new(Self::judged(teller, Reader::Gzip(inflate), settled))
    }

    /// Of an answer whose beginning is held.
    pub(super) fn held(teller: Teller, reader: Reader) -> Self {
        let mut flow = Self::new(Some(teller), reader);
        flow.holding = true;
        flow
    }

    #[inline]
    fn new(teller: Option<Teller>, reader: Reader) -> Self {
        Self {
            teller,
            reader,
            masks: Masks::default(),
            out: Outbox::default(),
            trailers: None,
            end: End::Open,
            holding: false,
            anew: false,
            complete: false,
            settled: false,
            spoke: None,
        }
    }

    /// What looks at the readable bytes; nothing does where they cannot be read.
    pub(super) fn sight(&mut self) -> Option<&mut Sight> {
        match &mut self.reader {
            Reader::Blind => None,
            Reader::Plain(sight) => Some(sight),
            Reader::Gzip(inflate) => Some(inflate.sight()),
        }
    }

    /// Whether what looks at the bytes sees all of them.
    pub(super) fn is_readable(&self) -> bool {
        match &self.reader {
            Reader::Blind => false,
            Reader::Plain(_) => true,
            Reader::Gzip(inflate) => inflate.is_readable(),
        }
    }

    /// The error that ended the body.
    pub(super) fn failure(&self) -> Option<&BoxError> {
        match &self.end {
            End::Failed(error) => error.as_ref(),
            _ => None,
        }
    }

    /// Whether nothing more comes from below.
    #[inline]
    pub(super) fn is_over(&self) -> bool {
        !matches!(self.end, End::Open)
    }

    /// Bytes that are held.
    pub(super) fn waiting(&self) -> usize {
        let inflating = if let Reader::Gzip(inflate) = &self.reader { inflate.waiting() } else { 0 };
        self.out.bytes() + self.masks.held() + inflating
    }

    /// There is no body, or none that anybody waits for.
    pub(super) fn complete(mut self) -> Self {
        self.complete = true;
        self
    }

    /// The beginning was judged: from here on nothing is held. `settled`: as a fault.
    pub(super) fn release(&mut self, settled: bool) {
        (self.holding, self.settled) = (false, settled);
        if let Reader::Gzip(inflate) = &mut self.reader
            && inflate.release()
        {
            while let Some(waited) = inflate.waited() {
                give_on(&mut self.masks, self.teller.as_ref(), &mut self.out, waited);
            }
        }
        self.look_for_errors();
    }

    /// A gzip'd error that is held and shows the key: its inflated form, masked, in its place. Whether that could be
    /// done; else the body ends in an error where the key stands.
    /// `shown`: it shows the key in a form that is looked for in errors alone.
    pub(super) fn replace_if_shown(&mut self, text: &[u8], cut: bool, shown: bool) -> Option<usize> {
        let Reader::Gzip(inflate) = &self.reader else { return None };
        if !shown && !inflate.shows_key() {
            return None;
        }
        if cut || !inflate.is_readable() || !matches!(self.end, End::Ended) {
            if shown || !self.anew {
                self.end = End::Failed(Some(KeyInCompressedBody.into()));
            }
            return None;
        }
        (self.reader, self.anew) = (Reader::Blind, false);
        self.out.clear();
        self.out.push(Bytes::copy_from_slice(text));
        Some(text.len())
    }

    /// Whether it goes on with other bytes than it came with.
    pub(super) fn is_packed_anew(&self) -> bool {
        self.anew
    }

    /// Whether it was stopped because of the key, and nothing was handed up.
    pub(super) fn is_stopped(&self) -> bool {
        self.out.bytes() == 0 && self.failure().is_some_and(|error| error.is::<KeyInCompressedBody>())
    }

    /// Takes the next frame from below, if there is one.
    pub(super) fn poll_intake<B>(&mut self, mut body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<()>
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let frame = ready!(body.as_mut().poll_frame(cx));
        self.take_in(frame, &body);
        Poll::Ready(())
    }

    /// Takes a frame from below, or that there is none.
    pub(super) fn take_in<B>(&mut self, frame: Option<Result<Frame<B::Data>, B::Error>>, body: &B)
    where
        B: Body,
        B::Error: Into<BoxError>,
    {
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return self.fail(error.into()),
            None => {
                self.finish();
                self.end = End::Ended;
                return;
            }
        };
        match frame.into_data() {
            Ok(mut data) => {
                self.take(data.copy_to_bytes(data.remaining()));
                // Whoever counts bytes, or asks for the end, polls no further: the rest must be ready now.
                if self.is_over() {
                } else if body.is_end_stream() {
                    self.finish();
                    self.end = End::Ended;
                } else if body.size_hint().upper() == Some(0) {
                    self.finish();
                }
            }
            Err(frame) => {
                if let Ok(mut trailers) = frame.into_trailers() {
                    self.finish();
                    if let Some(teller) = &self.teller {
                        mask_headers(teller.secret(), &mut trailers, |_, _| {});
                        mask_every(teller.pool(), &mut trailers);
                    }
                    self.trailers = Some(Box::new(trailers));
                    self.end = End::Ended;
                }
            }
        }
    }

    /// The next chunk for the caller.
    #[inline]
    pub(super) fn chunk(&mut self) -> Option<Bytes> {
        self.out.pop()
    }

    /// What comes behind all chunks.
    #[inline]
    pub(super) fn trailers(&mut self) -> Option<HeaderMap> {
        self.trailers.take().map(|trailers| *trailers)
    }

    /// The error behind all chunks, once.
    pub(super) fn take_failure(&mut self) -> Option<BoxError> {
        match &mut self.end {
            End::Failed(error) => error.take(),
            _ => None,
        }
    }

    pub(super) fn is_end_stream<B: Body>(&self, body: &B) -> bool {
        let over = match &self.end {
            End::Open => body.is_end_stream(),
            End::Ended => true,
            End::Failed(error) => error.is_none(),
        };
        over && self.trailers.is_none() && self.waiting() == 0
    }

    pub(super) fn size_hint<B: Body>(&self, body: &B) -> SizeHint {
        let waiting = self.waiting() as u64;
        match &self.end {
            // Nobody knows how long it will be.
            End::Open if self.anew => SizeHint::new(),
            // Trailers go in chunks alone.
            End::Ended if self.trailers.is_none() => SizeHint::with_exact(waiting),
            End::Ended | End::Failed(_) => SizeHint::new(),
            End::Open => {
                let below = body.size_hint();
                let mut hint = SizeHint::new();
                // The upper bound first: it may not be below the lower one.
                if let Some(upper) = below.upper() {
                    hint.set_upper(upper.saturating_add(waiting));
                }
                hint.set_lower(below.lower().saturating_add(waiting));
                hint
            }
        }
    }

    fn take(&mut self, chunk: Bytes) {
        match &mut self.reader {
            Reader::Blind => self.out.push(chunk),
            Reader::Plain(sight) => {
                sight.see(&chunk);
                let errs = self.settled || sight.errs();
                let chunk = if errs { hide_every(self.teller.as_ref(), chunk) } else { chunk };
                give_on(&mut self.masks, self.teller.as_ref(), &mut self.out, chunk);
            }
            Reader::Gzip(inflate) => match inflate.take(chunk) {
                Inflated::Waits => {}
                Inflated::Passes(chunk) => {
                    while let Some(waited) = inflate.waited() {
                        give_on(&mut self.masks, self.teller.as_ref(), &mut self.out, waited);
                    }
                    give_on(&mut self.masks, self.teller.as_ref(), &mut self.out, chunk);
                }
                // Nothing is held back of what went on before: that was flushed, or was nothing.
                Inflated::Anew(chunk) => {
                    if !std::mem::replace(&mut self.anew, true) {
                        tracing::warn!(name: "keypool.key_echoed", "the provider echoed the key in a compressed answer: masked");
                    }
                    self.out.push(chunk);
                }
                // An error that is held may yet be replaced.
                Inflated::ShowsKey if self.holding && inflate.sight().error.is_some() => {}
                Inflated::ShowsKey => {
                    if inflate.is_broken() {
                        tracing::warn!(name: "keypool.unreadable", "the provider sent as gzip what is none: stopped");
                    } else {
                        tracing::warn!(name: "keypool.key_echoed", "the provider echoed the key in a compressed answer: stopped");
                    }
                    self.complete = true;
                    self.tell_usage();
                    self.end = End::Failed(Some(KeyInCompressedBody.into()));
                }
            },
        }
        self.look_for_errors();
    }

    /// All data came.
    fn finish(&mut self) {
        if std::mem::replace(&mut self.complete, true) {
            return;
        }
        self.flush(false);
        self.hear_the_end();
        self.judge_whole();
        self.tell_usage();
    }

    fn fail(&mut self, error: BoxError) {
        self.flush(true);
        if let Some(teller) = &self.teller
            && !self.holding
            && !self.settled
        {
            teller.judge(&judging::broken_body(&error));
            self.settled = true;
        }
        self.complete = true;
        self.tell_usage();
        self.end = End::Failed(Some(error));
    }

    /// Gives on what was held back.
    fn flush(&mut self, broken: bool) {
        if let Reader::Gzip(inflate) = &mut self.reader {
            if broken {
                inflate.abandon();
            }
            while let Some(chunk) = inflate.waited() {
                give_on(&mut self.masks, self.teller.as_ref(), &mut self.out, chunk);
            }
            if let Some(last) = inflate.end(broken) {
                self.out.push(last);
            }
        }
        self.masks.finish(broken, |chunk| self.out.push(chunk));
    }
}

/// Gives on what may pass of a chunk as it came, masked.
#[inline]
fn give_on(masks: &mut Masks, teller: Option<&Teller>, out: &mut Outbox, chunk: Bytes) {
    match teller {
        Some(teller) => masks.pass(teller.shown(), chunk, |chunk| out.push(chunk)),
        None => out.push(chunk),
    }
}
