//! The events of an answer: decoded from Gemini's answer, encoded in the caller's dialect.

use crate::{Call, Error, ErrorKind};

/// A part of an answer. `choice` is the index of the answer where several were asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The answer begins.
    Start {
        /// Gemini's id of it; may be empty.
        id: String,
    },
    /// Text.
    Text {
        /// Index of the answer.
        choice: u32,
        /// The text that is added.
        text: String,
    },
    /// A summary of the model's thoughts.
    Thought {
        /// Index of the answer.
        choice: u32,
        /// The text that is added.
        text: String,
    },
    /// The model calls a tool.
    Call {
        /// Index of the answer.
        choice: u32,
        /// The call, with the id that the caller gets.
        call: Call,
    },
    /// An image or sound.
    Media {
        /// Index of the answer.
        choice: u32,
        /// The media type.
        mime: String,
        /// The data in base64.
        data: String,
    },
    /// Log probabilities of the last tokens.
    Logprobs {
        /// Index of the answer.
        choice: u32,
        /// The tokens in order.
        tokens: Vec<Token>,
    },
    /// The web pages that the text is based on.
    Sources {
        /// Index of the answer.
        choice: u32,
        /// The search queries.
        queries: Vec<String>,
        /// The pages, with the part of the text that each supports.
        sources: Vec<Source>,
    },
    /// An answer ends.
    Finish {
        /// Index of the answer.
        choice: u32,
        /// The reason.
        reason: Finish,
    },
    /// The tokens used so far; the last event counts.
    Usage(Usage),
}

/// The reason for the end of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model stopped.
    Stop,
    /// The limit of tokens was reached.
    Length,
    /// The model called functions.
    Calls,
    /// The provider blocked the answer, or the rest of it.
    Filtered,
}

/// Numbers of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the request, cached ones included.
    pub input: u64,
    /// Tokens of the request that came from a cache.
    pub cached: u64,
    /// Tokens of the request that are audio.
    pub input_audio: u64,
    /// Tokens of the answer, thoughts included.
    pub output: u64,
    /// Tokens of the thoughts.
    pub thoughts: u64,
}

/// A token and its log probability.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its text.
    pub text: String,
    /// Its natural log probability.
    pub logprob: f64,
    /// The likeliest alternatives with their log probabilities.
    pub top: Vec<(String, f64)>,
}

/// A web page and the part of the text that it supports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Start of the part, in characters.
    pub start: usize,
    /// End of the part, in characters.
    pub end: usize,
    /// The URL of the page.
    pub url: String,
    /// The title of the page.
    pub title: String,
}

/// The result of an attempt, once the whole answer was read.
///
/// While it [has not begun](crate::Answer::has_begun), one that [is retryable](Self::is_retryable) is worth
/// [another attempt](crate::Answer::restart), over another key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The answer is complete.
    Complete,
    /// The model stopped without an answer: no text, or thoughts alone.
    Empty,
    /// The model's call or answer was malformed; holds Gemini's `finishReason`.
    Malformed(String),
    /// The provider blocked the whole answer; holds Gemini's reason, such as `SAFETY`.
    Blocked(String),
    /// The answer ended without a `finishReason`.
    Truncated,
}

impl Outcome {
    /// Whether another attempt may succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Empty | Self::Malformed(_) | Self::Truncated)
    }

    /// The error for the caller; `None` if the answer can be given to the caller.
    pub(crate) fn error(&self) -> Option<Error> {
        match self {
            Self::Complete | Self::Empty | Self::Blocked(_) => None,
            Self::Malformed(reason) => Some(Error::new(
                ErrorKind::MalformedAnswer,
                format!(
                    "the model's answer was malformed ({reason}), nothing of it can be used: send the request again"
                ),
            )),
            Self::Truncated => {
                Some(Error::new(ErrorKind::BadUpstream, "the provider's answer broke off before its end"))
            }
        }
    }
}
