//! What an answer is made of, where that is not text alone.

use crate::Text;

/// What the model is to give.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Medium<'a> {
    /// Text, and calls.
    #[default]
    Text,
    /// Images, with words between them.
    Images(Canvas),
    /// Its words, spoken.
    Speech(Speech<'a>),
}

/// How an image is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Canvas {
    /// Width to height, such as `16:9`; `None` is the model's to choose.
    pub aspect: Option<&'static str>,
    /// `2K` or `4K`; `None`: about a thousand pixels.
    pub size: Option<&'static str>,
}

/// How words are to be spoken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Speech<'a> {
    /// The upstream's name of a voice.
    pub voice: Text<'a>,
    /// In which manner.
    pub style: Option<Text<'a>>,
}
