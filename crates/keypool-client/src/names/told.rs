//! What an answer tells of things that belong to whoever asked.
//!
//! Only where the provider itself names them: what a model says, or somebody wrote, may look like a name, too.

use serde_json::Value;

use super::name_in;

/// Fields in which the provider's own words go on.
const WITHIN: [&str; 26] = [
    "file",
    "files",
    "cachedContents",
    "tunedModels",
    "batches",
    "operations",
    "operation",
    "interactions",
    "interaction",
    "fileSearchStores",
    "corpora",
    "documents",
    "document",
    "response",
    "metadata",
    "output",
    "dest",
    "generateVideoResponse",
    "generatedSamples",
    "generatedVideos",
    "video",
    "agents",
    "environments",
    "webhooks",
    "data",
    "generatedFiles",
];
/// Fields whose text is a name, or an address with one in it.
const NAMES: [&str; 10] = [
    "name",
    "auth_token",
    "uri",
    "downloadUri",
    "fileName",
    "responsesFile",
    "tunedModel",
    "documentName",
    // Of a batch at the compatible endpoint, whose files are called by native names.
    "output_file_id",
    "error_file_id",
];

/// The names in a whole answer; `collection` is what was asked for, whose things may be called by an id alone.
pub fn told_in(answer: &[u8], collection: Option<&str>) -> Vec<String> {
    let Ok(answer) = serde_json::from_slice::<Value>(answer) else { return Vec::new() };
    let mut found = Vec::new();
    walk(&answer, collection, 0, &mut found);
    found.sort_unstable();
    found.dedup();
    found
}

fn walk(value: &Value, collection: Option<&str>, depth: usize, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(item, collection, depth, found)),
        Value::Object(fields) if depth < 8 => {
            for (name, value) in fields {
                match value {
                    Value::String(text) if NAMES.contains(&name.as_str()) => found.extend(name_in(text)),
                    Value::String(id) if name == "environment_id" || name == "environmentId" => {
                        let id = id.strip_prefix("environments/").unwrap_or(id);
                        found.extend(is_plain(id).then(|| format!("environments/{id}")));
                    }
                    Value::String(id) if name == "id" => {
                        found.extend(collection.filter(|_| is_plain(id)).map(|of| format!("{of}/{id}")));
                        found.extend(name_in(id));
                    }
                    Value::Object(_) | Value::Array(_) if WITHIN.contains(&name.as_str()) => {
                        walk(value, collection, depth + 1, found);
                    }
                    _ => {}
                }
            }
        }
        _ => {}
    }
}

fn is_plain(id: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !id.is_empty() && id.bytes().all(plain)
}

/// How long something of this name is remembered after it was last named, in milliseconds; `None`: for good.
pub fn life(name: &str) -> Option<i64> {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    match name.split('/').next().unwrap_or_default() {
        // The provider deletes them after two days.
        "files" => Some(2 * DAY + DAY / 24),
        // By a handle of the Live API, known by its hash.
        "auth_tokens" | "sessions" => Some(2 * DAY),
        // Of other providers', who keep answers for a month.
        "cachedContents" | "models" | "operations" | "ids" => Some(60 * DAY),
        "batches" | "interactions" | "openai" => Some(120 * DAY),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_each_kind_of_answer() {
        for (answer, collection, expected) in [
            (
                r#"{"file":{"name":"files/a","uri":"https://h/v1beta/files/a","displayName":"files/x"}}"#,
                None,
                &["files/a"][..],
            ),
            (r#"{"name":"cachedContents/c","model":"models/m"}"#, None, &["cachedContents/c"]),
            (r#"{"files":[{"name":"files/a"},{"name":"files/b"}]}"#, None, &["files/a", "files/b"]),
            (r#"{"name":"models/veo/operations/o"}"#, None, &["models/veo/operations/o"]),
            (
                r#"{"name":"models/veo/operations/o","done":true,"response":{"generateVideoResponse":{"generatedSamples":[{"video":{"uri":"https://h/v1beta/files/v:download?alt=media"}}]}}}"#,
                None,
                &["files/v", "models/veo/operations/o"],
            ),
            (
                r#"{"name":"batches/b","metadata":{"output":{"responsesFile":"files/batch-b"}}}"#,
                None,
                &["batches/b", "files/batch-b"],
            ),
            (
                r#"{"id":"i1","object":"interaction","outputs":[{"type":"text","text":"files/x"}]}"#,
                Some("interactions"),
                &["interactions/i1"],
            ),
            (
                r#"{"event_type":"interaction.start","interaction":{"id":"i2"}}"#,
                Some("interactions"),
                &["interactions/i2"],
            ),
            (
                r#"{"id":"i3","environment_id":"e1","agent":"deep-research"}"#,
                Some("interactions"),
                &["environments/e1", "interactions/i3"],
            ),
            (r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"files/x"}}]}}]}"#, None, &[]),
            (r#"{"outputs":[{"name":"files/x","uri":"files/y"}]}"#, Some("interactions"), &[]),
            (
                r#"{"id":"batches/b","object":"batch","output_file_id":"files/batch-b","error_file_id":null}"#,
                Some("openai/batches"),
                &["batches/b", "files/batch-b"],
            ),
            ("no json", None, &[]),
        ] {
            assert_eq!(told_in(answer.as_bytes(), collection), expected, "{answer}");
        }
    }
}
