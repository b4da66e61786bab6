//! What a conversation names that may be somebody's, whichever dialect it was held in.

use keypool_client::names::is_of_one_model;
use keypool_dialect::{Conversation, Part, gemini};
use tower_keypool::Demand;

use super::spelled;

/// Stands for what is named in a way that cannot be read here: nobody has anything of this name.
const UNREAD: &str = "?";

/// Every name in a conversation: of files, of a cached beginning, of a tuned model.
pub(in crate::gateway) fn names_of(conversation: &Conversation<'_>) -> Vec<String> {
    let mut names: Vec<String> = tuned(&conversation.model).into_iter().collect();
    if let Some(cached) = conversation.cached.as_ref().filter(|cached| !cached.trim().is_empty()) {
        let found = spelled::names_in(cached);
        if found.is_empty() {
            names.push(format!("cachedContents/{}", cached.trim()));
        }
        names.extend(found);
    }
    for part in conversation.turns.iter().flat_map(|turn| &turn.parts) {
        let Part::File { uri, .. } = part else { continue };
        let found = spelled::names_in(uri);
        if found.is_empty() && uri.to_ascii_lowercase().contains("googleapis.com") {
            names.push(UNREAD.to_owned());
        }
        names.extend(found);
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// The demand of what names these: it keeps its model, where something of them was made for that alone.
pub(in crate::gateway) fn naming(demand: Demand, names: &[String]) -> Demand {
    if names.iter().any(|name| is_of_one_model(name)) { demand.keeps_model() } else { demand }
}

/// Whether it names nothing of anybody's, nor a file that somebody else may keep to himself.
pub(in crate::gateway) fn names_nothing(conversation: &Conversation<'_>) -> bool {
    let mut parts = conversation.turns.iter().flat_map(|turn| &turn.parts);
    conversation.cached.is_none() && !parts.any(|part| matches!(part, Part::File { .. }))
}

/// The name of a tuned model, where it is one that is asked.
pub(in crate::gateway) fn tuned(model: &str) -> Option<String> {
    let name = gemini::name(model);
    let id = name.strip_prefix("tunedModels/")?;
    let plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte));
    Some(if plain { name } else { UNREAD }.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuned_model_is_somebodys() {
        for (model, name) in [
            ("tunedModels/t-1", Some("tunedModels/t-1")),
            (" models/tunedModels/t ", Some("tunedModels/t")),
            ("tunedModels/t/../u", Some(UNREAD)),
            ("tunedModels/", Some(UNREAD)),
            ("gemini-2.5-flash", None),
            ("tunedModels%2Ft", None),
        ] {
            assert_eq!(tuned(model).as_deref(), name, "{model}");
        }
    }
}
