//! The events of a response: decoded from Gemini's response, encoded in the caller's dialect.

use crate::{Call, Error, ErrorKind};

/// A part of a response. `choice` is the index of the candidate if several were requested.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// The start of the response.
    Start {
        /// Gemini's response id; may be empty.
        id: String,
    },
    /// Text.
    Text {
        /// Index of the candidate.
        choice: u32,
        /// The text that is added.
        text: String,
    },
    /// A summary of the model's thoughts.
    Thought {
        /// Index of the candidate.
        choice: u32,
        /// The text that is added.
        text: String,
    },
    /// A tool call by the model.
    Call {
        /// Index of the candidate.
        choice: u32,
        /// The call, with the id that the caller gets.
        call: Call,
    },
    /// An image or sound.
    Media {
        /// Index of the candidate.
        choice: u32,
        /// The media type.
        mime: String,
        /// The data in base64.
        data: String,
    },
    /// Log probabilities of the last tokens.
    Logprobs {
        /// Index of the candidate.
        choice: u32,
        /// The tokens in order.
        tokens: Vec<Token>,
    },
    /// The web pages on which the text is based.
    Sources {
        /// Index of the candidate.
        choice: u32,
        /// The search queries.
        queries: Vec<String>,
        /// The pages, each with the part of the text that it supports.
        sources: Vec<Source>,
    },
    /// The end of a candidate.
    Finish {
        /// Index of the candidate.
        choice: u32,
        /// The reason.
        reason: Finish,
    },
    /// The tokens used so far. Only the last of these events counts.
    Usage(Usage),
}

/// The reason why a candidate ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model stopped.
    Stop,
    /// The token limit was reached.
    Length,
    /// The model called functions.
    Calls,
    /// The provider blocked the response or the rest of it.
    Filtered,
}

/// Token counts of a request and its response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the request, cached ones included.
    pub input: u64,
    /// Tokens of the request that came from a cache.
    pub cached: u64,
    /// Tokens of the request that are audio.
    pub input_audio: u64,
    /// Tokens of the response, thoughts included.
    pub output: u64,
    /// Tokens of the thoughts.
    pub thoughts: u64,
}

/// A token and its log probability.
#[derive(Clone, Debug)]
pub struct Token {
    /// The text.
    pub text: String,
    /// The natural logarithm of the probability.
    pub logprob: f64,
    /// The most likely alternatives with their log probabilities.
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

/// The result of an attempt, after the whole response was read.
///
/// If it [is retryable](Self::is_retryable) and the answer [has not begun](crate::ResponseTranslator::has_begun), make
/// [another attempt](crate::ResponseTranslator::restart) with another key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The response is complete.
    Complete,
    /// The model stopped without any output, or with thoughts only.
    Empty,
    /// The model's call or output was malformed; contains Gemini's `finishReason`.
    Malformed(String),
    /// The provider blocked the whole response; contains Gemini's reason, such as `SAFETY`.
    Blocked(String),
    /// The response ended without a `finishReason`.
    Truncated,
}

impl Outcome {
    /// Reports whether another attempt may succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Empty | Self::Malformed(_) | Self::Truncated)
    }

    /// Returns the error for the caller; `None` if the response can be passed to the caller.
    pub(crate) fn error(&self) -> Option<Error> {
        match self {
            Self::Complete | Self::Empty | Self::Blocked(_) => None,
            Self::Malformed(reason) => Some(Error::new(
                ErrorKind::MalformedAnswer,
                format!("the model's response was malformed ({reason}) and cannot be used: send the request again"),
            )),
            Self::Truncated => {
                Some(Error::new(ErrorKind::BadUpstream, "the provider's response broke off before its end"))
            }
        }
    }
}
