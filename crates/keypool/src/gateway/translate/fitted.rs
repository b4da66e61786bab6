//! The same request in the words of another model: what one generation is asked for so, another refuses.

use bytes::Bytes;
use keypool_dialect::{Caller, Conversation, Ignored, gemini};

/// What a request was read from, so that it can be written again when it steps down, or when its name stands for another
/// model than the first. Nothing is written before.
pub(super) struct Fitted {
    caller: &'static dyn Caller,
    strict: bool,
    bytes: Bytes,
    /// What was fetched for it, which is not fetched again.
    near: Vec<(&'static str, Bytes)>,
    /// The first model was to search the web: what was left out for that one, the answer names, and no other does it.
    searches: bool,
}

impl Fitted {
    /// Of a conversation that its first model can have.
    pub(super) fn of(
        conversation: &Conversation<'_>,
        (caller, strict): (&'static dyn Caller, bool),
        bytes: Bytes,
        near: Vec<(&'static str, Bytes)>,
    ) -> Self {
        Self { caller, strict, bytes, near, searches: conversation.search.is_some() }
    }

    /// The body for this model. Thoughts that it cannot have are left out whoever is strict: whoever named the models that
    /// stand for each other would rather have its answer than none.
    pub(super) fn write(&self, model: &str) -> Option<Vec<Bytes>> {
        let mut conversation = self.caller.conversation(&self.bytes, self.strict).ok()?.conversation;
        conversation.model = model.to_owned().into();
        if !self.searches {
            conversation.search = None;
        }
        gemini::fit(&mut conversation, &mut Ignored::default(), false).ok()?;
        conversation.bring(self.near.iter().cloned());
        gemini::generate(&conversation, self.bytes.clone()).ok()
    }
}
