//! Texts as vectors.

use crate::Text;

/// Texts to be embedded.
#[derive(Clone, Debug)]
pub struct Embedding<'a> {
    /// The model's name, as the caller has it.
    pub model: Text<'a>,
    /// Each becomes a vector.
    pub texts: Vec<Text<'a>>,
    /// How long the vectors are; `None` is the model's to say.
    pub dimensions: Option<u32>,
    /// The vectors are wanted as base64 of little-endian 32-bit floats.
    pub packed: bool,
}

/// The vectors, in the texts' order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Embedded {
    /// One for each text.
    pub vectors: Vec<Vec<f32>>,
    /// Tokens of all texts, where the upstream says so.
    pub tokens: u64,
}
