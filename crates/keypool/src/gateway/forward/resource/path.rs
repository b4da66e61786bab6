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

/// Collections whose members are models.
const OF_MODELS: [&str; 3] = ["models", "tunedModels", "dynamic"];

/// The models that a path names for a call, as anybody may read it: with its escapes decoded, and behind any collection in
/// it. The last one is the one that a pool reads.
pub(super) fn models_of(path: &str) -> Vec<String> {
    let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let mut named = Vec::new();
    for (at, pair) in segments.windows(2).enumerate() {
        let [collection, member] = [pair[0], pair[1]];
        // A verb makes a call of it, wherever that stands.
        let is_call = segments[at + 1..].iter().any(|segment| segment.contains(':'));
        if is_call && OF_MODELS.contains(&collection) && !OF_MODELS.contains(&member) {
            let name = member.split(':').next().unwrap_or_default().trim();
            named.push(if collection == "models" { name.to_owned() } else { format!("{collection}/{name}") });
        }
    }
    named
}

/// The model that a path names for a call.
pub(in crate::gateway::forward) fn model_of(path: &str) -> Option<String> {
    models_of(path).pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_names_its_model_however_it_is_written() {
        for (path, models) in [
            ("/v1beta/models/m:generateContent", &["m"][..]),
            ("/v1beta/models/m%3AgenerateContent/", &["m"]),
            ("/v1beta/models/models%2Fm:generateContent", &["m"]),
            ("/v1beta/%6dodels%2Fmodels//m:generateContent", &["m"]),
            ("/v1beta/models/%20m:generateContent", &["m"]),
            ("/v1beta/models/a/models/m:generateContent", &["a", "m"]),
            ("/v1beta/models/a/m:generateContent", &["a"]),
            ("/v1beta/models/m:generateContent/x", &["m"]),
            ("/v1beta/models/m:generateContent/%20", &["m"]),
            ("/v1beta/tunedModels/t:generateContent", &["tunedModels/t"]),
            ("/v1beta/models/tunedModels%2Ft:generateContent", &["tunedModels/t"]),
            ("/v1beta/dynamic/d:generateContent", &["dynamic/d"]),
            ("/v1beta/models/m", &[]),
            ("/v1beta/models/m/operations/o", &[]),
            ("/v1beta/files/f:download", &[]),
        ] {
            assert_eq!(models_of(path), models, "{path}");
        }
    }
}
