//! An answer on its way from Gemini to the caller.

use bytes::Bytes;

use crate::{Conversation, Error, Event, Frontend, Outcome, Usage, gemini::Decoder, request::Reply, sse};

/// Writes an answer in a dialect: a whole one at its end, a stream's events as they come.
pub(crate) trait Writer: Send {
    /// Takes an event.
    fn event(&mut self, event: &Event, out: &mut Vec<u8>);

    /// The answer is whole.
    ///
    /// # Errors
    /// When it is none in this dialect.
    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Error>;

    /// The stream ends in an error.
    fn error(&mut self, error: &Error, out: &mut Vec<u8>);

    /// Shows that the stream is alive.
    fn ping(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b": keep-alive\n\n");
    }
}

/// An answer, decoded from Gemini's and encoded for the caller: [`Request::answer`](crate::Request::answer) makes one.
///
/// Of a stream the beginning is held back until the model says something. Until then ([`has_begun`](Self::has_begun)) an
/// answer that turns out to be none can be given up, and [another attempt](Self::restart) made.
pub struct Answer {
    frontend: Frontend,
    stream: bool,
    decoder: Decoder,
    writer: Box<dyn Writer>,
    parser: sse::Parser,
    /// Events that were not written yet.
    held: Vec<Event>,
    shows_thoughts: bool,
    begun: bool,
    over: bool,
    usage: Usage,
    media_type: &'static str,
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer").field("frontend", &self.frontend).field("begun", &self.begun).finish_non_exhaustive()
    }
}

impl Answer {
    pub(crate) fn new(frontend: Frontend, conversation: &Conversation, reply: &Reply, meta: (&str, i64)) -> Self {
        let (unique, created) = meta;
        Self {
            frontend,
            stream: conversation.stream,
            decoder: Decoder::new(conversation, frontend.call_prefix(), unique),
            writer: frontend.writer(conversation.stream, reply, unique, created),
            parser: sse::Parser::default(),
            held: Vec::new(),
            shows_thoughts: conversation.thinking.shown == Some(true),
            begun: false,
            over: false,
            usage: Usage::default(),
            media_type: if conversation.stream { "text/event-stream" } else { reply.media_type() },
        }
    }

    /// Takes Gemini's whole answer.
    ///
    /// # Errors
    /// An error that it holds, or 502 when it makes no sense.
    pub fn whole(&mut self, body: &[u8]) -> Result<(), Error> {
        let mut events = Vec::new();
        self.decoder.decode_whole(body, &mut events)?;
        self.take(events, &mut Vec::new());
        Ok(())
    }

    /// Takes a chunk of Gemini's stream, which may end anywhere, and gives what it is in the caller's dialect.
    ///
    /// # Errors
    /// An error that it holds, or 502 when it makes no sense, while the answer has not begun. Later ones go into the stream,
    /// which [is over](Self::is_over) then.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Bytes, Error> {
        let mut out = Vec::new();
        if self.over {
            return Ok(Bytes::new());
        }
        let mut events = Vec::new();
        let Self { parser, decoder, .. } = self;
        let decoded = parser.push(chunk, |data| decoder.decode(data, &mut events));
        self.take(events, &mut out);
        match decoded {
            Ok(()) => Ok(out.into()),
            Err(error) => self.end_with(error, out),
        }
    }

    fn end_with(&mut self, error: Error, mut out: Vec<u8>) -> Result<Bytes, Error> {
        self.over = true;
        if !self.begun {
            return Err(error);
        }
        self.writer.error(&error, &mut out);
        Ok(out.into())
    }

    fn take(&mut self, events: Vec<Event>, out: &mut Vec<u8>) {
        for event in events {
            if let Event::Usage(usage) = &event {
                self.usage = *usage;
            }
            self.begun |= self.stream
                && match &event {
                    Event::Text { text, .. } => !text.trim().is_empty(),
                    Event::Call { .. } | Event::Media { .. } => true,
                    _ => false,
                };
            let is_thought = matches!(event, Event::Thought { .. }) && self.shows_thoughts;
            self.held.push(event);
            if self.begun || (self.stream && is_thought) {
                self.write_held(out);
            }
        }
    }

    fn write_held(&mut self, out: &mut Vec<u8>) {
        for event in self.held.drain(..) {
            self.writer.event(&event, out);
        }
    }

    /// What the answer turned out to be, once all of it was taken.
    pub fn outcome(&self) -> Outcome {
        self.decoder.outcome()
    }

    /// Whether something of it went out that the caller could take for the answer. Thoughts are no part of that.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Gives up what came, before the answer [has begun](Self::has_begun): what is taken next is another attempt's, by
    /// this model. In a stream its thoughts follow those that went out.
    pub fn restart(&mut self, model: &str) {
        self.decoder.restart(model);
        self.parser = sse::Parser::default();
        self.held.retain(|event| matches!(event, Event::Start { .. }));
        self.over = false;
    }

    /// Whether no more is to be read: the stream ended in an error.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// No more comes from Gemini. Gives the whole answer, or what is left of a stream.
    ///
    /// An [empty](Outcome::Empty) answer is given as it is. See [`outcome`](Self::outcome) first for whether another attempt
    /// is worth it.
    ///
    /// # Errors
    /// When what came is no answer, and it has not begun. Otherwise the error is the stream's end.
    pub fn finish(&mut self) -> Result<Bytes, Error> {
        if self.over {
            return Ok(Bytes::new());
        }
        let mut out = Vec::new();
        let mut events = Vec::new();
        if self.stream {
            let (stray, open) = self.parser.finish();
            let decoded = if open.is_empty() { Ok(()) } else { self.decoder.decode(&open, &mut events) };
            // An error may stand behind the last event, as it is.
            let stray = serde_json::from_slice(&stray).unwrap_or_default();
            if let Some(error) = Error::in_gemini_answer(&stray).or(decoded.err()) {
                return self.end_with(error, out);
            }
        }
        if let Some(error) = self.decoder.outcome().error() {
            return self.end_with(error, out);
        }
        self.decoder.finish(&mut events);
        self.take(events, &mut out);
        self.write_held(&mut out);
        if let Err(error) = self.writer.end(&mut out) {
            return self.end_with(error, Vec::new());
        }
        self.begun = true;
        self.over = true;
        Ok(out.into())
    }

    /// A stream that went out breaks off by this error, such as one of the connection: what tells the caller.
    pub fn fail(&mut self, error: &Error) -> Bytes {
        let mut out = Vec::new();
        self.over = true;
        self.writer.error(error, &mut out);
        out.into()
    }

    /// Shows the caller of a stream that it is alive while nothing comes.
    pub fn ping(&mut self) -> Bytes {
        let mut out = Vec::new();
        self.writer.ping(&mut out);
        out.into()
    }

    /// What it has cost so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Thought signatures of the calls so far, by the ids that the caller got: for
    /// [`restore_signatures`](Conversation::restore_signatures) when the calls come back.
    pub fn take_signatures(&mut self) -> Vec<(String, String)> {
        self.decoder.take_signatures()
    }

    /// The `Content-Type` of what the caller gets.
    pub fn media_type(&self) -> &'static str {
        self.media_type
    }
}
