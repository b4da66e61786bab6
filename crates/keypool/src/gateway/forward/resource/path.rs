//! What a path says of a request beside what it is [about](super::named).

/// Whether a call of a model makes something that lasts.
pub(super) fn makes(path: &str) -> bool {
    ["LongRunning", "atchGenerateContent", "syncBatch", "reateTunedModel", "/openai/"]
        .iter()
        .any(|word| path.contains(word))
}

/// Whether a body to this path says who is to answer, and where, in words that stand anywhere.
pub(super) fn says_who_answers(path: &str) -> bool {
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    matches!(last, "interactions" | "agents" | "triggers" | "environments")
}

/// Whether tokens of the provider's own are made at this path.
pub(super) fn makes_tokens(path: &str) -> bool {
    let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    let of_tokens = |segment: &str| {
        let collection = segment.split(':').next().unwrap_or_default();
        collection.replace('_', "").eq_ignore_ascii_case("authtokens")
    };
    path.split('/').any(of_tokens)
}

/// The model that a path names for a call.
pub(in crate::gateway::forward) fn model_of(path: &str) -> Option<String> {
    let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    let mut segments = path.split('/');
    let collection = segments.by_ref().find(|segment| matches!(*segment, "models" | "tunedModels"))?;
    let name = segments.next()?.split_once(':')?.0;
    Some(if collection == "models" { name.to_owned() } else { format!("{collection}/{name}") })
}
