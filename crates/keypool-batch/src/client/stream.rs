//! Answers as streams.

use std::{pin::Pin, time::Duration};

use futures_util::StreamExt;
use http::Response;
use serde_json::Value;
use sse_stream::SseStream;
use tower_keypool::{Attempts, Base, BoxError};

use super::{Answer, AnswerBody, Error, ErrorKind, Reader, error::wrong_address};

/// An answer as a stream. Call [`next`](Self::next) until it returns `None`, then [`finish`](Self::finish).
///
/// ```no_run
/// # async fn run(client: keypool_batch::Client) -> Result<(), keypool_batch::Error> {
/// let mut stream = client.stream(&keypool_batch::Prompt::text("Tell a story.").model("gemini-2.5-flash")).await?;
/// while let Some(text) = stream.next().await {
///     print!("{}", text?);
/// }
/// let answer = stream.finish()?;
/// # drop(answer);
/// # Ok(())
/// # }
/// ```
pub struct AnswerStream {
    events: Pin<Box<SseStream<AnswerBody>>>,
    reader: Reader,
    attempts: Attempts,
    base: Base,
    timeout: Duration,
    /// Whether an event has arrived.
    begun: bool,
    ended: bool,
}

impl AnswerStream {
    pub(super) fn new(answer: Response<AnswerBody>, reader: Reader, base: Base, timeout: Duration) -> Self {
        let attempts = answer.extensions().get::<Attempts>().cloned().unwrap_or_default();
        let events = Box::pin(SseStream::new(answer.into_body()));
        Self { events, reader, attempts, base, timeout, begun: false, ended: false }
    }

    /// Returns the next piece of text, or `None` at the end. The client's timeout applies to each piece.
    ///
    /// # Errors
    /// If the connection or the provider failed. The stream has then ended.
    pub async fn next(&mut self) -> Option<Result<String, Error>> {
        while !self.ended {
            match self.event().await {
                Ok(Some(event)) => {
                    let text = self.reader.read(&event);
                    if !text.is_empty() {
                        return Some(Ok(text));
                    }
                }
                Ok(None) => self.ended = true,
                Err(error) => {
                    self.ended = true;
                    return Some(Err(error.with_attempts(self.attempts.clone())));
                }
            }
        }
        None
    }

    async fn event(&mut self) -> Result<Option<Value>, Error> {
        loop {
            let next = tokio::time::timeout(self.timeout, self.events.next()).await;
            let Some(received) = next.map_err(|elapsed| Error::from_transport(&elapsed, &self.base))? else {
                return Ok(None);
            };
            let event = received.map_err(|error| match error {
                sse_stream::Error::Body(error) => Error::from_transport(&*BoxError::from(error), &self.base),
                error => Error::new(ErrorKind::Unreadable, format!("the answer is not an event stream: {error}")),
            })?;
            let Some(data) = event.data.filter(|data| !data.trim().is_empty()) else { continue };
            self.begun = true;
            if data.trim() == "[DONE]" {
                return Ok(None);
            }
            let value: Value = serde_json::from_str(&data)
                .map_err(|error| Error::new(ErrorKind::Unreadable, format!("an event is not JSON: {error}")))?;
            if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
                let message = error["message"].as_str().map_or_else(|| error.to_string(), str::to_owned);
                return Err(Error::new(ErrorKind::Provider, message));
            }
            return Ok(Some(value));
        }
    }

    /// Returns the answer, as far as it was read.
    ///
    /// # Errors
    /// [`ErrorKind::Closed`] if the provider has not ended the answer with a reason; [`ErrorKind::Unreadable`] if the
    /// response had no event.
    pub fn finish(self) -> Result<Answer, Error> {
        if !self.reader.has_ended() {
            let error = if self.begun {
                Error::new(ErrorKind::Closed, "the stream ended before the answer was complete")
            } else {
                Error::new(ErrorKind::Unreadable, wrong_address("no event stream", &self.base))
            };
            return Err(error.with_attempts(self.attempts));
        }
        Ok(self.reader.into_answer(self.attempts))
    }
}

impl std::fmt::Debug for AnswerStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerStream").field("attempts", &self.attempts).finish_non_exhaustive()
    }
}
