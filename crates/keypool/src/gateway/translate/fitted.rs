//! The same request in the words of another model: what one generation is asked for so, another refuses.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use keypool_dialect::{Caller, Conversation, Ignored, gemini};
use tower_keypool::ServedBy;

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
    left_out: LeftOut,
}

/// What of a request is left out for its first model, and for the one that it was written for last. A cheap handle.
#[derive(Clone, Debug)]
pub(super) struct LeftOut(Arc<ByModel>);

#[derive(Debug)]
struct ByModel {
    /// Whatever the model.
    always: Ignored,
    /// With what the first one cannot have.
    first: Ignored,
    last: Mutex<Option<(String, Ignored)>>,
}

impl LeftOut {
    /// For any model, and for the first one.
    pub(super) fn of(always: Ignored, first: Ignored) -> Self {
        Self(Arc::new(ByModel { always, first, last: Mutex::default() }))
    }

    fn noted(&self, model: &str, ignored: Ignored) {
        *self.0.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((model.to_owned(), ignored));
    }

    /// For whoever served, this.
    pub(super) fn for_model_of(&self, served_by: Option<&ServedBy>) -> Cow<'_, Ignored> {
        let used = served_by.and_then(ServedBy::used_model).map(gemini::name);
        let last = self.0.last.lock().unwrap_or_else(PoisonError::into_inner);
        match &*last {
            Some((model, ignored)) if used == Some(gemini::name(model)) => {
                let mut all = self.0.always.clone();
                ignored.names().for_each(|name| all.add(name));
                Cow::Owned(all)
            }
            _ => Cow::Borrowed(&self.0.first),
        }
    }
}

impl Fitted {
    /// Of a conversation that its first model can have.
    pub(super) fn of(
        conversation: &Conversation<'_>,
        (caller, strict): (&'static dyn Caller, bool),
        bytes: Bytes,
        near: Vec<(&'static str, Bytes)>,
        left_out: &LeftOut,
    ) -> Self {
        let left_out = left_out.clone();
        Self { caller, strict, bytes, near, searches: conversation.search.is_some(), left_out }
    }

    /// The body for this model. Thoughts that it cannot have are left out whoever is strict: whoever named the models that
    /// stand for each other would rather have its answer than none.
    pub(super) fn write(&self, model: &str) -> Option<Vec<Bytes>> {
        let mut conversation = self.caller.conversation(&self.bytes, self.strict).ok()?.conversation;
        conversation.model = model.to_owned().into();
        if !self.searches {
            conversation.search = None;
        }
        let mut ignored = Ignored::default();
        gemini::fit(&mut conversation, &mut ignored, false).ok()?;
        self.left_out.noted(model, ignored);
        conversation.bring(self.near.iter().cloned());
        gemini::generate(&conversation, self.bytes.clone()).ok()
    }
}
