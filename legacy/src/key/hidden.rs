//! An error that quoted a key: what it and its sources say, without that.

use std::{error::Error as StdError, fmt};

use super::Secret;

/// What an error said, and what caused it.
pub(crate) struct Hidden {
    display: String,
    debug: String,
    source: Option<Box<Hidden>>,
}

impl Hidden {
    /// `None`: the key stands nowhere in it.
    pub(crate) fn of(error: &(dyn StdError + 'static), secret: &Secret) -> Option<Self> {
        let mut texts = Vec::new();
        let (mut next, mut found) = (Some(error), false);
        while let Some(current) = next {
            let texts_of = [current.to_string(), format!("{current:?}")];
            let masked = texts_of.map(|text| match secret.hidden_in(&text) {
                Some(masked) => (masked, true),
                None => (text, false),
            });
            found |= masked.iter().any(|(_, masked)| *masked);
            texts.push(masked.map(|(text, _)| text));
            next = current.source();
        }
        let link = |source, [display, debug]: [String; 2]| Some(Box::new(Self { display, debug, source }));
        let whole: Option<Box<Self>> = texts.into_iter().rev().fold(None, link);
        whole.filter(|_| found).map(|hidden| *hidden)
    }
}

impl fmt::Display for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.display)
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.debug)
    }
}

impl StdError for Hidden {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
