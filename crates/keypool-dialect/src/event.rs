//! An answer, event by event: what Gemini's answers are decoded into, and dialects' answers are written from.

use crate::{Call, Error, ErrorKind};

/// A piece of an answer. `choice` counts answers from 0 where several were asked for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// It begins, and has this id at Gemini.
    Start {
        /// May be empty.
        id: String,
    },
    /// Text.
    Text {
        /// Of which answer.
        choice: u32,
        /// More of it.
        text: String,
    },
    /// What the model thinks.
    Thought {
        /// Of which answer.
        choice: u32,
        /// More of it.
        text: String,
    },
    /// The model calls a tool.
    Call {
        /// Of which answer.
        choice: u32,
        /// With the id that the caller gets.
        call: Call,
    },
    /// An image or sound.
    Media {
        /// Of which answer.
        choice: u32,
        /// Its type.
        mime: String,
        /// In base64.
        data: String,
    },
    /// How likely tokens were.
    Logprobs {
        /// Of which answer.
        choice: u32,
        /// Each.
        tokens: Vec<Token>,
    },
    /// Where the text was found on the web.
    Sources {
        /// Of which answer.
        choice: u32,
        /// What was searched for.
        queries: Vec<String>,
        /// What was found.
        sources: Vec<Source>,
    },
    /// One answer is over.
    Finish {
        /// Which.
        choice: u32,
        /// Why.
        reason: Finish,
    },
    /// What it cost so far: the last one counts.
    Usage(Usage),
}

/// Why an answer is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model is done.
    Stop,
    /// A limit of tokens was reached.
    Length,
    /// Tools are called.
    Calls,
    /// The provider withheld the rest.
    Filtered,
}

/// What an answer cost, in tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of the request, cached ones among them.
    pub input: u64,
    /// Of these from a cache.
    pub cached: u64,
    /// Of these of sound.
    pub input_audio: u64,
    /// Of the answer, thoughts among them.
    pub output: u64,
    /// Of these thoughts.
    pub thoughts: u64,
}

/// A token and how likely it was.
#[derive(Clone, Debug)]
pub struct Token {
    /// Its text.
    pub text: String,
    /// The logarithm of its probability.
    pub logprob: f64,
    /// What might have stood in its place.
    pub top: Vec<(String, f64)>,
}

/// A page that a stretch of the text stands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where the stretch begins, in letters.
    pub start: usize,
    /// Where it ends.
    pub end: usize,
    /// The page's address.
    pub url: String,
    /// Its title.
    pub title: String,
}

/// What an answer turned out to be, once all of it was read.
///
/// While it [has not begun](crate::Answer::has_begun), one that [is retryable](Self::is_retryable) is worth
/// [another attempt](crate::Answer::restart), over another key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// A whole answer.
    Complete,
    /// The model stopped, and said nothing (thoughts apart).
    Empty,
    /// The model's call or answer was malformed; Gemini's word for it (`MALFORMED_FUNCTION_CALL`).
    Malformed(String),
    /// The provider withheld all of it; Gemini's word for why (`SAFETY`).
    Blocked(String),
    /// The answer has no end.
    Truncated,
}

impl Outcome {
    /// Whether another attempt may come out better.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Empty | Self::Malformed(_) | Self::Truncated)
    }

    /// Why this is no answer; `None` where what came can be given to the caller.
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
