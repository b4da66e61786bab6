//! What holds where a setting is not set, in the words of its own description: "…; 1.0 unless set."

use serde_json::Value;

const MARK: &str = "unless set";

/// What stands in the place of the setting at this path, such as `keys[0].weight`; `None` where nothing does, or its
/// description does not say.
pub(super) fn stands_for(schema: &Value, path: &str) -> Option<String> {
    let setting = path.split('.').try_fold(schema, |at, step| below(schema, at, step))?;
    said_of(setting["description"].as_str()?)
}

/// The setting of this name; of a list's, with its number behind.
fn below<'a>(schema: &'a Value, at: &'a Value, step: &str) -> Option<&'a Value> {
    let (name, listed) = step.split_once('[').map_or((step, false), |(name, _)| (name, true));
    let table = resolved(schema, at);
    let setting = table["properties"].get(name).or_else(|| table.get("additionalProperties"))?;
    if listed { resolved(schema, setting).get("items") } else { Some(setting) }
}

/// What a reference is to, or one of several forms that has settings in it.
fn resolved<'a>(schema: &'a Value, at: &'a Value) -> &'a Value {
    if let Some(reference) = at["$ref"].as_str() {
        return schema.pointer(reference.trim_start_matches('#')).unwrap_or(at);
    }
    let forms = at["anyOf"].as_array().into_iter().flatten().map(|form| resolved(schema, form));
    forms.into_iter().find(|form| form.get("properties").is_some()).unwrap_or(at)
}

/// The clause that says it, without its mark.
fn said_of(description: &str) -> Option<String> {
    let description = description.replace('\n', " ");
    let clauses = description.split("; ").flat_map(|clause| clause.split(". "));
    let clause = clauses.map(str::trim).find(|clause| clause.to_ascii_lowercase().contains(MARK))?;
    let at = clause.to_ascii_lowercase().find(MARK)?;
    let said = format!("{}{}", clause[..at].trim_end(), clause[at + MARK.len()..].trim_end());
    Some(said.trim_matches(['.', ',', ' ']).to_owned()).filter(|said| !said.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::schema;

    #[test]
    fn a_description_says_what_holds_unless_it_is_set() {
        let schema = schema();
        for (path, said) in [
            ("keys[3].weight", "1.0"),
            ("keys[0].max_concurrent_requests", "unlimited"),
            ("keys[0].priority", "0 for `free` and no tier, 10 for any paid one"),
            ("providers[0].keys[1].zone", "the provider's"),
            ("batch.model", "gemini-2.5-flash, for Gemini"),
            ("retry.deadline", "no end"),
        ] {
            assert_eq!(stands_for(&schema, path).as_deref(), Some(said), "{path}");
        }
        for path in ["keys[0].secret_file", "nothing.here", "exits.\"a b\".proxy"] {
            assert_eq!(stands_for(&schema, path), None, "{path}");
        }
    }
}
