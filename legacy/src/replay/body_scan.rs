//! What is looked for in a body while its chunks stream past.

use super::{model_scan::ModelScan, text_scan::TextScan};

/// Looks for the model, and how much of it is text: for either, or for both.
#[derive(Debug)]
pub(super) struct BodyScan {
    model: Option<ModelScan>,
    text: Option<TextScan>,
}

impl BodyScan {
    pub(super) fn new(model: Option<ModelScan>, text: Option<TextScan>) -> Option<Self> {
        (model.is_some() || text.is_some()).then_some(Self { model, text })
    }

    /// Reads the next chunk.
    pub(super) fn feed(&mut self, chunk: &[u8]) {
        if let Some(model) = self.model.as_mut().filter(|model| !model.is_finished()) {
            model.feed(chunk);
        }
        if let Some(text) = &mut self.text {
            text.feed(chunk);
        }
    }

    /// All that was asked for is known, or will not be.
    pub(super) fn is_settled(&self) -> bool {
        self.model.as_ref().is_none_or(ModelScan::is_settled) && self.text.as_ref().is_none_or(TextScan::is_settled)
    }

    /// The top level names a model more than once.
    pub(super) fn named_twice(&self) -> bool {
        self.model.as_ref().is_some_and(ModelScan::named_twice)
    }

    pub(super) fn model(&self) -> Option<&ModelScan> {
        self.model.as_ref()
    }

    pub(super) fn text(&self) -> Option<&TextScan> {
        self.text.as_ref()
    }
}
