//! Translation between OpenAI's and Anthropic's APIs and Gemini's, with one intermediate form, the [`Conversation`].
//!
//! A [`Frontend`] parses a request into a [`Conversation`]. That is encoded as a [`NativeRequest`] for Gemini. A
//! [`Decoder`] turns Gemini's response, whole or streamed, into [`Event`]s, and a [`ResponseTranslator`] writes these in
//! the caller's dialect. This crate does no I/O: bytes in, bytes out.
//!
//! ```
//! use keypool_dialect::{Frontend, Mode, Outcome};
//!
//! let body = br#"{"model": "gemini-2.5-flash", "stream": true, "user": "u-1",
//!                 "messages": [{"role": "user", "content": "Hello"}]}"#;
//! let request = Frontend::Chat.parse(body, Mode::Strict)?;
//! assert_eq!(request.ignored(), ["user"]);
//!
//! let native = request.encode()?;
//! assert_eq!(native.path, "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse");
//! assert_eq!(&native.body[..], br#"{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}"#);
//!
//! // `native` is sent to Gemini, whose response arrives in chunks.
//! let mut answer = request.answer("0a1b", 1_800_000_000);
//! let mut sent = Vec::new();
//! for chunk in [
//!     &b"data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"Hi\"}]}}]}\r\n"[..],
//!     b"\r\ndata: {\"candidates\": [{\"finishReason\": \"STOP\"}]}\r\n\r\n",
//! ] {
//!     sent.extend_from_slice(&answer.push(chunk)?);
//! }
//! if answer.outcome().is_retryable() && !answer.has_begun() {
//!     // `native` is sent again with another key.
//!     answer.restart(&request.conversation.model);
//! }
//! assert_eq!(answer.outcome(), Outcome::Complete);
//! sent.extend_from_slice(&answer.finish()?);
//! assert!(sent.ends_with(b"data: [DONE]\n\n"));
//! # Ok::<(), keypool_dialect::Error>(())
//! ```

pub mod anthropic;
mod content;
mod conversation;
mod error;
mod event;
mod fields;
mod foreign;
mod gemini;
mod ids;
mod media;
mod multipart;
pub mod openai;
mod request;
mod sse;
mod tools;
mod translator;

pub use conversation::{
    Call, Conversation, Effort, Format, Media, MediaData, Modality, Origin, Part, Role, Sampling, Thinking, Tool,
    ToolChoice, ToolResult, Turn,
};
pub use error::{Error, ErrorKind};
pub use event::{Event, Finish, Outcome, Source, Token, Usage};
pub use foreign::without_gateway_parts;
pub use gemini::{Decoder, NativeRequest};
pub use multipart::model_of_form;
pub use request::{Frontend, Mode, Request};
pub use translator::ResponseTranslator;
