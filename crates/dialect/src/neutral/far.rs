//! What stands elsewhere and would have to be fetched.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;

use super::Conversation;
use crate::{Fault, Part, Text};

/// An image or document of which a request holds the URL alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Far<'a> {
    /// `http:` or `https:`.
    pub url: Text<'a>,
    /// The field of the request.
    pub place: String,
}

impl Far<'_> {
    /// The answer where nothing is fetched.
    pub fn refused(&self) -> Fault {
        let why = "what a URL names is not fetched from elsewhere: send it itself, in base64 (as a data URL where one stands here)";
        Fault::invalid(format!("{}: {why}", self.place)).at(&*self.place)
    }
}

impl<'a> Conversation<'a> {
    /// What stands elsewhere.
    pub fn far(&self) -> impl Iterator<Item = &Far<'a>> {
        self.turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match part {
            Part::Far(far) => Some(far),
            _ => None,
        })
    }

    /// Puts what was fetched in its place, in the order of [`far`](Self::far): each its type, and its bytes.
    pub fn bring(&mut self, near: impl IntoIterator<Item = (&'static str, Bytes)>) {
        let far = self.turns.iter_mut().flat_map(|turn| &mut turn.parts).filter(|part| matches!(part, Part::Far(_)));
        for (part, (mime, bytes)) in far.zip(near) {
            *part = Part::Blob { mime: mime.into(), data: STANDARD.encode(bytes).into() };
        }
    }
}
