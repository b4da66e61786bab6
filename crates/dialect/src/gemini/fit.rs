//! What a model cannot do beside all else that is asked of it.

use super::{thinking, tools};
use crate::{Conversation, Fault, Ignored};

/// Leaves out what this model cannot do and an answer may do without: a search that stands beside functions, and unless
/// somebody is strict, one that is chosen or asked for by itself, and thoughts.
///
/// # Errors
/// Where somebody is strict, and such a search cannot be had.
pub fn fit(conversation: &mut Conversation<'_>, ignored: &mut Ignored, strict: bool) -> Result<(), Fault> {
    if let Some(place) = conversation.search.filter(|_| !tools::may_search(conversation)) {
        conversation.search = None;
        let why = "a search cannot be had beside functions, nor from older models beside a form or at all";
        let is_one_of_several = place.starts_with("tools") && !conversation.tools.is_empty();
        ignored.unless(strict && !is_one_of_several, Fault::invalid(format!("{place}: {why}")).at(place))?;
    }
    let thinking = conversation.thinking;
    if !strict && thinking::config(&conversation.model, thinking).is_err() {
        conversation.thinking.effort = None;
        ignored.add(thinking.place);
    }
    Ok(())
}
