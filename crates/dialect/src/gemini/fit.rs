//! What a model cannot do beside all else that is asked of it.

use super::{thinking, tools};
use crate::{Conversation, Ignored};

/// Leaves out what this model cannot do and an answer may do without: a search on the web, and unless somebody is strict,
/// thoughts.
pub fn fit(conversation: &mut Conversation<'_>, ignored: &mut Ignored, strict: bool) {
    if let Some(place) = conversation.search.filter(|_| !tools::may_search(conversation)) {
        conversation.search = None;
        ignored.add(place);
    }
    let thinking = conversation.thinking;
    if !strict && thinking::config(&conversation.model, thinking).is_err() {
        conversation.thinking.effort = None;
        ignored.add(thinking.place);
    }
}
