//! An answer on its way: heard in the upstream's dialect, said in the caller's.

use bytes::Bytes;

use crate::{Event, Events, Fault, Kind, Voice};

/// Understands an upstream's answer.
pub trait Listener: Send {
    /// This model answers, which may be another than the one that the request was written for at first.
    fn answers(&mut self, _model: &str) {}

    /// Hears a whole answer, or one event of a stream.
    ///
    /// # Errors
    /// A fault that stands in it, or that it makes no sense.
    fn hear(&mut self, json: &[u8], say: &mut dyn FnMut(Event<'_>)) -> Result<(), Fault>;

    /// No more comes.
    ///
    /// # Errors
    /// Where more should have come.
    fn end(&mut self, say: &mut dyn FnMut(Event<'_>)) -> Result<(), Fault>;

    /// The same of an answer that came whole: that it is at its end nobody need say.
    ///
    /// # Errors
    /// Where it said nothing.
    fn end_of_whole(&mut self, say: &mut dyn FnMut(Event<'_>)) -> Result<(), Fault> {
        self.end(say)
    }
}

/// Hears an answer and says it.
pub struct Exchange {
    listener: Box<dyn Listener>,
    voice: Box<dyn Voice>,
    events: Events,
    over: bool,
    failed: bool,
    /// Something of the answer itself was said.
    begun: bool,
    stillborn: Option<Fault>,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("events", &self.events).field("over", &self.over).finish_non_exhaustive()
    }
}

impl Exchange {
    /// Between these two.
    pub fn new(listener: Box<dyn Listener>, voice: Box<dyn Voice>) -> Self {
        Self { listener, voice, events: Events::default(), over: false, failed: false, begun: false, stillborn: None }
    }

    /// This model answers: said before anything is heard, where it is known.
    pub fn answers(&mut self, model: &str) {
        self.listener.answers(model);
    }

    /// A whole answer, whole.
    ///
    /// # Errors
    /// A fault that stands in it, or that it makes no sense.
    pub fn whole(mut self, body: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::with_capacity(body.len() + 512);
        let Self { listener, voice, .. } = &mut self;
        listener.hear(body, &mut |event| voice.say(event, &mut out))?;
        listener.end_of_whole(&mut |event| voice.say(event, &mut out))?;
        if let Some(fault) = voice.refuses() {
            return Err(fault);
        }
        voice.end(&mut out);
        if out.is_empty() {
            return Err(Fault::new(Kind::BadGateway, "the model gave nothing of what was asked for"));
        }
        Ok(out)
    }

    /// What a whole answer will be, as a header says it.
    pub fn media_type(&self) -> &'static str {
        self.voice.media_type()
    }

    /// The next chunk of a stream. A fault in it is said, too.
    pub fn hear(&mut self, chunk: Bytes, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        self.events.feed(chunk);
        if let Err(fault) = self.try_hear(out) {
            self.fail(&fault, out);
        }
    }

    fn try_hear(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        while let Some(event) = self.events.pull()? {
            self.hear_one(event.as_bytes(), out)?;
        }
        Ok(())
    }

    fn hear_one(&mut self, json: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let Self { listener, voice, begun, .. } = self;
        listener.hear(json, &mut |event| {
            *begun |= event.is_of_the_answer();
            voice.say(event, out);
        })
    }

    /// The stream has ended.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        if let Err(fault) = self.try_end(out) {
            return self.fail(&fault, out);
        }
        self.voice.end(out);
        self.over = true;
    }

    fn try_end(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        let tail = self.events.tail().trim_ascii();
        if tail.starts_with(b"{") || tail.starts_with(b"[") {
            // Instead of an event: the upstream's errors come so, too.
            let tail = tail.to_vec();
            self.hear_one(&tail, out)?;
        } else if !tail.is_empty() {
            // The last event, though nobody closed it.
            self.events.feed(Bytes::from_static(b"\n\n"));
            self.try_hear(out)?;
        }
        let voice = &mut self.voice;
        self.listener.end(&mut |event| voice.say(event, out))?;
        voice.refuses().map_or(Ok(()), Err)
    }

    /// The stream broke off.
    pub fn broke(&mut self, out: &mut Vec<u8>) {
        self.fail(&Fault::new(Kind::BadGateway, "the upstream's answer broke off"), out);
    }

    /// It ends with this.
    pub fn fail(&mut self, fault: &Fault, out: &mut Vec<u8>) {
        if !self.over {
            (self.over, self.failed) = (true, true);
            if !self.begun {
                self.stillborn = Some(fault.clone());
            }
            self.voice.fail(fault, out);
        }
    }

    /// Nothing came for a while.
    pub fn pause(&mut self, out: &mut Vec<u8>) {
        if !self.over {
            self.voice.pause(out);
        }
    }

    /// Whether anything of the answer itself was said, or all that will be.
    pub fn has_begun(&self) -> bool {
        self.begun || self.over
    }

    /// Why it ended before anything of the answer was said: whoever holds back what was written tells this instead.
    pub fn stillborn(&mut self) -> Option<Fault> {
        self.stillborn.take()
    }

    /// Whether it ended with a fault.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Whether all is said.
    pub fn is_over(&self) -> bool {
        self.over
    }
}
