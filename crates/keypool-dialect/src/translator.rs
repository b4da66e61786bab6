//! Translation of a response, from Gemini's bytes to the caller's.

use bytes::Bytes;

use crate::{
    Conversation, Error, Event, Frontend, Outcome, Usage, fields::json_text, gemini::Decoder, request::Reply, sse,
};

/// Writes a response in a dialect: a stream event by event, a whole response at its end.
pub(crate) trait Writer: Send {
    /// Writes or collects an event.
    fn event(&mut self, event: &Event, out: &mut Vec<u8>);

    /// Writes the end of a stream, or the whole response.
    ///
    /// # Errors
    /// If the dialect cannot express how the response ended.
    fn end(&mut self, out: &mut Vec<u8>) -> Result<(), Error>;

    /// Ends the stream with an error.
    fn error(&mut self, error: &Error, out: &mut Vec<u8>);

    /// Writes a keep-alive.
    fn ping(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b": keep-alive\n\n");
    }
}

/// A decoder of Gemini's response and encoder for the caller. Created by [`Request::answer`](crate::Request::answer).
///
/// The start of a stream is held back until text, a call or media arrives from the model. Until the answer has
/// [begun](Self::has_begun), it can be dropped for [another attempt](Self::restart).
pub struct ResponseTranslator {
    frontend: Frontend,
    stream: bool,
    decoder: Decoder,
    writer: Box<dyn Writer>,
    parser: sse::Parser,
    /// Events that are not written yet.
    held: Vec<Event>,
    shows_thoughts: bool,
    begun: bool,
    over: bool,
    usage: Usage,
    media_type: &'static str,
}

impl std::fmt::Debug for ResponseTranslator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResponseTranslator")
            .field("frontend", &self.frontend)
            .field("begun", &self.begun)
            .finish_non_exhaustive()
    }
}

impl ResponseTranslator {
    pub(crate) fn new(frontend: Frontend, conversation: &Conversation, reply: Reply) -> Self {
        Self {
            frontend,
            stream: conversation.stream,
            media_type: if conversation.stream { "text/event-stream" } else { reply.media_type() },
            decoder: Decoder::new(conversation, frontend.call_prefix(), &reply.unique),
            writer: frontend.writer(conversation.stream, reply),
            parser: sse::Parser::default(),
            held: Vec::new(),
            shows_thoughts: conversation.thinking.shown == Some(true),
            begun: false,
            over: false,
            usage: Usage::default(),
        }
    }

    /// Takes Gemini's whole response.
    ///
    /// # Errors
    /// Gemini's error in the body, or 502 for a body that cannot be parsed.
    pub fn whole(&mut self, body: &[u8]) -> Result<(), Error> {
        let mut events = Vec::new();
        self.decoder.decode_whole(body, &mut events)?;
        self.take(events, &mut Vec::new());
        Ok(())
    }

    /// Takes a chunk of Gemini's stream, which may be cut anywhere, and returns the bytes for the caller.
    ///
    /// # Errors
    /// Gemini's error in the stream, or 502 for bytes that cannot be parsed, if the answer has not begun. If it has,
    /// the error is written into the stream, which [is finished](Self::is_finished) then.
    pub fn push(&mut self, chunk: &[u8]) -> Result<Bytes, Error> {
        if self.over {
            return Ok(Bytes::new());
        }
        let mut events = Vec::new();
        let Self { parser, decoder, .. } = self;
        let decoded = parser.push(chunk, |data| decoder.decode(data, &mut events));
        self.write(events, decoded)
    }

    fn write(&mut self, events: Vec<Event>, decoded: Result<(), Error>) -> Result<Bytes, Error> {
        let mut out = Vec::new();
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

    /// Returns the result of this attempt. It is final after all of Gemini's response was taken.
    pub fn outcome(&self) -> Outcome {
        self.decoder.outcome()
    }

    /// Reports whether text, a call or media was returned for the caller. Thoughts do not count.
    pub fn has_begun(&self) -> bool {
        self.begun
    }

    /// Starts with the response of another attempt, by `model`, and drops the one before. Only allowed before the answer
    /// has [begun](Self::has_begun). In a stream the new thoughts follow those already sent. The first attempt needs it
    /// only if its model is not the conversation's.
    pub fn restart(&mut self, model: &str) {
        self.decoder.restart(model);
        self.parser = sse::Parser::default();
        self.held.retain(|event| matches!(event, Event::Start { .. }));
        self.over = false;
    }

    /// Reports whether the answer is finished or ended with an error: read no more of Gemini's bytes.
    pub fn is_finished(&self) -> bool {
        self.over
    }

    /// Reads the rest of a stream after Gemini's last byte. After this the [`outcome`](Self::outcome) is final.
    ///
    /// # Errors
    /// The same as those of [`push`](Self::push).
    pub fn close(&mut self) -> Result<Bytes, Error> {
        let mut events = Vec::new();
        let (stray, open) = self.parser.finish();
        let text = json_text(&stray);
        // Plain JSON can follow the last event if it is an error, and some relays send plain JSON instead of events.
        let mut values = serde_json::Deserializer::from_str(&text).into_iter().map_while(Result::ok);
        let mut decoded = values.try_for_each(|answer| self.decoder.answer(answer, &mut events));
        if !open.is_empty() {
            decoded = decoded.and_then(|()| self.decoder.decode(&open, &mut events));
        }
        self.write(events, decoded)
    }

    /// Returns the whole response, or the end of a stream, after Gemini's last byte.
    ///
    /// An [empty](Outcome::Empty) response is returned unchanged: check [`outcome`](Self::outcome) before.
    ///
    /// # Errors
    /// If the response is unusable and the answer has not begun. If it has, the stream ends with the error.
    pub fn finish(&mut self) -> Result<Bytes, Error> {
        if self.over {
            return Ok(Bytes::new());
        }
        let mut out = self.close()?.to_vec();
        if self.over {
            return Ok(out.into());
        }
        let mut events = Vec::new();
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

    /// Ends a partly sent stream with an error, such as a lost connection. Returns the event for the caller.
    pub fn fail(&mut self, error: &Error) -> Bytes {
        let mut out = Vec::new();
        self.over = true;
        self.writer.error(error, &mut out);
        out.into()
    }

    /// Returns a keep-alive event or comment for a stream.
    pub fn ping(&mut self) -> Bytes {
        let mut out = Vec::new();
        self.writer.ping(&mut out);
        out.into()
    }

    /// Returns the tokens used so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Takes the thought signatures of the calls so far, each with the call id that the caller gets. Keep them for
    /// [`restore_signatures`](Conversation::restore_signatures).
    pub fn take_signatures(&mut self) -> Vec<(String, String)> {
        self.decoder.take_signatures()
    }

    /// Returns the `Content-Type` for the caller.
    pub fn media_type(&self) -> &'static str {
        self.media_type
    }
}
