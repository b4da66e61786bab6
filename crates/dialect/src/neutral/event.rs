//! What a model says, piece by piece.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::Signature;
use crate::Text;

/// A piece of an answer. `choice` is which of several answers it belongs to.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The upstream's id of the answer, before anything else where there is one.
    Begin {
        /// Unique at the upstream.
        id: Text<'a>,
    },
    /// Text.
    Text {
        /// Of which answer.
        choice: u32,
        /// The next of it.
        text: Text<'a>,
    },
    /// What the model thought.
    Thought {
        /// Of which answer.
        choice: u32,
        /// The next of it.
        text: Text<'a>,
    },
    /// A whole call of a tool.
    Call {
        /// Of which answer.
        choice: u32,
        /// The upstream's own id.
        id: Option<Text<'a>>,
        /// The tool's name.
        name: Text<'a>,
        /// An object.
        args: Cow<'a, RawValue>,
        /// What the upstream wants back with it.
        signature: Option<Signature<'a>>,
    },
    /// An image or sound.
    Blob {
        /// Of which answer.
        choice: u32,
        /// Such as `image/png`.
        mime: Text<'a>,
        /// In base64.
        data: Text<'a>,
    },
    /// How likely the tokens were.
    Logprobs {
        /// Of which answer.
        choice: u32,
        /// Token by token.
        tokens: Vec<Chosen<'a>>,
    },
    /// Where what was said was found, once all of it is.
    Sources {
        /// Of which answer.
        choice: u32,
        /// What was looked for.
        queries: Vec<String>,
        /// In the order of what was said.
        sources: Vec<Source>,
    },
    /// An answer is over.
    Finish {
        /// Which.
        choice: u32,
        /// Why.
        why: Finish,
    },
    /// What it cost so far, all answers together; a later one replaces it.
    Usage(Usage),
}

impl Event<'_> {
    /// Whether it is a piece of what was asked for, and not about it.
    pub(crate) fn is_of_the_answer(&self) -> bool {
        !matches!(self, Self::Begin { .. } | Self::Usage(_) | Self::Logprobs { .. })
    }
}

/// A page of the web that says what an answer does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// From which letter of the answer on.
    pub start: usize,
    /// Up to this one, which is none of it.
    pub end: usize,
    /// The page.
    pub url: String,
    /// What it is called.
    pub title: String,
}

/// A token that was chosen.
#[derive(Clone, Debug)]
pub struct Chosen<'a> {
    /// It.
    pub token: Likely<'a>,
    /// Those that were likely, itself among them.
    pub top: Vec<Likely<'a>>,
}

/// A token and how likely it was.
#[derive(Clone, Debug)]
pub struct Likely<'a> {
    /// Its text.
    pub text: Text<'a>,
    /// The natural logarithm of its probability.
    pub logprob: f64,
}

/// Why an answer is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// It was complete, or a stop sequence came.
    Stop,
    /// It was long enough.
    Length,
    /// A tool is called.
    Calls,
    /// The upstream will not say it.
    Filtered,
}

/// Tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Of all that went in, those from a cache included.
    pub input: u64,
    /// Of those, how many came from a cache.
    pub cached: u64,
    /// Of what went in, sound.
    pub input_audio: u64,
    /// Of all that came out, thoughts included.
    pub output: u64,
    /// Of those, thoughts.
    pub thoughts: u64,
}

impl Usage {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cached: self.cached.saturating_add(other.cached),
            input_audio: self.input_audio.saturating_add(other.input_audio),
            output: self.output.saturating_add(other.output),
            thoughts: self.thoughts.saturating_add(other.thoughts),
        }
    }
}
