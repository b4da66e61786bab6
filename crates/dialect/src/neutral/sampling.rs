//! How the next turn is drawn, and what form it has.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::Text;

/// How words are drawn. What is `None` is the upstream's to choose.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling<'a> {
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// 0 to 1.
    pub top_p: Option<f64>,
    /// The most likely words, so many of them.
    pub top_k: Option<u32>,
    /// The same seed, mostly the same answer.
    pub seed: Option<i64>,
    /// Tokens of the answer, thoughts included.
    pub most: Option<u64>,
    /// The answer ends before one of these.
    pub stop: Vec<Text<'a>>,
    /// So many answers.
    pub answers: Option<u32>,
    /// -2 to 2.
    pub presence_penalty: Option<f64>,
    /// -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// How likely each token was; and so many that were likely, too.
    pub logprobs: Option<u32>,
}

impl<'a> Sampling<'a> {
    /// The answer ends before one of these. Nothing ends nothing, and the upstream takes no such word: whether one was left
    /// out.
    pub(crate) fn stop_at(&mut self, mut words: Vec<Text<'a>>) -> bool {
        let said = words.len();
        words.retain(|word| !word.is_empty());
        let left_out = words.len() < said;
        self.stop = words;
        left_out
    }
}

/// What form the answer has.
#[derive(Clone, Debug, Default)]
pub enum Format<'a> {
    /// Text.
    #[default]
    Text,
    /// Some JSON.
    Json,
    /// JSON of this schema.
    Schema(Cow<'a, RawValue>),
}

/// How much is thought before an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thinking {
    /// How much; `None` is the upstream's to choose.
    pub effort: Option<Effort>,
    /// The field of the request that says so.
    pub place: &'static str,
    /// Thoughts are wished for in the answer.
    pub shown: Option<bool>,
}

/// How much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effort {
    /// Not at all, or as little as the model can.
    Off,
    /// Hardly.
    Minimal,
    /// A little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// So many tokens at most.
    Tokens(u32),
}
