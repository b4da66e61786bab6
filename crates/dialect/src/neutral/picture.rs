//! Images by a description.

use super::{Canvas, Usage};
use crate::Text;

/// Images that are wished for.
#[derive(Clone, Debug, Default)]
pub struct Drawing<'a> {
    /// The model's name, as the caller has it.
    pub model: Text<'a>,
    /// What is to be seen.
    pub prompt: Text<'a>,
    /// How many, 1 to 10.
    pub count: u32,
    /// Of what form.
    pub canvas: Canvas,
    /// What they are drawn from, beside the description.
    pub originals: Vec<Picture>,
}

/// Images that came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drawn {
    /// Each.
    pub pictures: Vec<Picture>,
    /// What they cost.
    pub usage: Usage,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Such as `image/png`.
    pub mime: String,
    /// In base64.
    pub data: String,
}
