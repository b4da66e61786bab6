//! What belongs to somebody and is named in a request's body.
//!
//! Most bodies name nothing: one pass, for words of which one stands in every body that names something, tells that. One
//! that may is read as JSON, whose strings may be written in many ways.

use std::sync::LazyLock;

use aho_corasick::packed::{Config, Searcher};
use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::spelled;

/// A letter or a sign that is written as its number.
const ESCAPES: [&str; 6] = ["\\u002", "\\u003", "\\u004", "\\u005", "\\u006", "\\u007"];

/// Of these words at least one stands in every body that names something.
const NAMING: [&str; 15] = [
    "fileUri",
    "file_uri",
    "fileName",
    "file_name",
    "fileSearchStore",
    "file_search_store",
    "file_id",
    "achedContent",
    "ached_content",
    "revious_interaction",
    "reviousInteraction",
    "tunedModel",
    "uri\"",
    "uri'",
    "uri:",
];
static WORDS: LazyLock<Searcher> = LazyLock::new(|| any_of(&[&NAMING[..], &ESCAPES].concat()));
/// And of these in every body that asks a model. Google's reader takes names in simple quotes, and without any.
const ASKING: [&str; 8] = ["odel\"", "odel'", "odel:", "odel :", "odel  ", "odel\t", "odel\n", "odel\r"];
/// In one pass for whoever wants to know of both.
static WORDS_AND_MODELS: LazyLock<Searcher> = LazyLock::new(|| any_of(&[&NAMING[..], &ASKING, &ESCAPES].concat()));

/// And of these in every body to the compatible endpoint that names something by its address.
static ADDRESSES: LazyLock<Searcher> =
    LazyLock::new(|| any_of(&["url\"", "url'", "url:", "url ", "url\t", "url\n", "url\r"]));

fn any_of(words: &[&str]) -> Searcher {
    // Where the processor has no vectors, slowly.
    let slow = || Config::new().only_rabin_karp(true).builder().extend(words).build();
    Searcher::new(words).or_else(slow).expect("a few words")
}

/// Whether a body may name something.
pub(super) fn may_name(body: &[u8]) -> bool {
    WORDS.find(body).is_some()
}

/// The same of a body to the compatible endpoint.
pub(super) fn may_name_compatible(body: &[u8]) -> bool {
    may_name(body) || ADDRESSES.find(body).is_some()
}

/// Whether a body may name something or ask a model.
pub(super) fn may_name_or_ask(body: &[u8]) -> bool {
    WORDS_AND_MODELS.find(body).is_some()
}

/// Every name in a body, each once; `compatible`: of a request to the compatible endpoint, which calls files by ids.
///
/// # Errors
/// Where it is no JSON, so that nobody can tell.
pub(super) fn names_in(body: &[u8], compatible: bool) -> Result<Vec<String>, serde_json::Error> {
    let mut found = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(body);
    Reading { key: Key::Any, compatible, found: &mut found }.deserialize(&mut json)?;
    json.end()?;
    found.sort_unstable();
    found.dedup();
    Ok(found)
}

/// Fields of a request itself that name who is to answer in the place of a model.
const AGENTS: [&str; 4] = ["agent", "agents", "base_agent", "baseAgent"];

/// Every model that a body asks, and every agent: one that cannot be read is called nothing.
pub(super) fn models_in(body: &[u8]) -> Result<Vec<String>, serde_json::Error> {
    fn walk(value: &serde_json::Value, found: &mut Vec<String>) {
        match value {
            serde_json::Value::Array(items) => items.iter().for_each(|item| walk(item, found)),
            serde_json::Value::Object(fields) => {
                for (name, value) in fields.iter().filter(|(name, _)| !OPAQUE.contains(&name.as_str())) {
                    match value.as_str() {
                        Some(model) if matches!(name.as_str(), "model" | "baseModel" | "base_model") => {
                            found.push(model.to_owned());
                        }
                        _ => walk(value, found),
                    }
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    let asked: serde_json::Value = serde_json::from_slice(body)?;
    walk(&asked, &mut found);
    let agents = AGENTS.iter().filter_map(|field| asked.get(field)).filter(|agent| !agent.is_null());
    found.extend(agents.map(|agent| agent.as_str().unwrap_or_default().to_owned()));
    Ok(found)
}

/// What the value of a field may name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Key {
    /// Nothing, unless a field within does.
    Any,
    /// Something by its name or address.
    Name,
    /// A cached beginning, by its name or its id alone.
    Cached,
    /// An interaction by its id.
    Interaction,
    /// A file of the compatible endpoint by its id.
    Compatible,
}

impl Key {
    fn of(name: &str, compatible: bool) -> Self {
        match name {
            "fileUri"
            | "file_uri"
            | "fileName"
            | "file_name"
            | "uri"
            | "model"
            | "tunedModel"
            | "tuned_model"
            | "fileSearchStoreNames"
            | "file_search_store_names"
            | "fileSearchStore"
            | "file_search_store" => Self::Name,
            "cachedContent" | "cached_content" => Self::Cached,
            "url" | "image_url" | "file_url" if compatible => Self::Name,
            "previousInteractionId" | "previous_interaction_id" => Self::Interaction,
            "input_file_id" | "file_id" if compatible => Self::Compatible,
            _ => Self::Any,
        }
    }
}

/// Fields in which the provider reads nothing: what somebody sends along, schemas, and what functions take and give.
const OPAQUE: [&str; 12] = [
    "data",
    "args",
    "arguments",
    "parameters",
    "parametersJsonSchema",
    "parameters_json_schema",
    "responseSchema",
    "response_schema",
    "responseJsonSchema",
    "response_json_schema",
    "response",
    "result",
];

struct Reading<'f> {
    key: Key,
    compatible: bool,
    found: &'f mut Vec<String>,
}

impl Reading<'_> {
    fn within(&mut self, key: Key) -> Reading<'_> {
        Reading { key, compatible: self.compatible, found: self.found }
    }
}

impl<'de> DeserializeSeed<'de> for Reading<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reading<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        let or = |names: Vec<String>, other: &dyn Fn() -> String| if names.is_empty() { vec![other()] } else { names };
        self.found.extend(match self.key {
            Key::Any => Vec::new(),
            Key::Cached if text.trim().is_empty() => Vec::new(),
            Key::Name => spelled::names_in(text),
            Key::Cached => or(spelled::names_in(text), &|| format!("cachedContents/{}", text.trim())),
            Key::Interaction => vec![format!("interactions/{}", text.trim_start_matches("interactions/"))],
            Key::Compatible => or(spelled::names_in(text), &|| format!("openai/files/{text}")),
        });
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        let key = self.key;
        while items.next_element_seed(self.within(key))?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        while let Some(name) = fields.next_key::<std::borrow::Cow<'de, str>>()? {
            if OPAQUE.contains(&&*name) {
                fields.next_value::<IgnoredAny>()?;
                continue;
            }
            let key = Key::of(&name, self.compatible);
            fields.next_value_seed(self.within(key))?;
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bytes<E: serde::de::Error>(self, _: &[u8]) -> Result<(), E> {
        Err(E::custom("bytes"))
    }
}

/// Looks whether anything may be named in a body that comes in pieces.
#[derive(Debug, Default)]
pub(super) struct Behind {
    /// It goes to the compatible endpoint.
    compatible: bool,
    /// The end of what came before: a word may be cut in two.
    tail: Vec<u8>,
}

/// The longest word is shorter.
const OVERLAP: usize = 24;

impl Behind {
    /// Of a body to that endpoint, or not.
    pub(super) fn of(compatible: bool) -> Self {
        Self { compatible, tail: Vec::new() }
    }
}

impl crate::outgoing::Watch for Behind {
    fn passes(&mut self, data: &[u8]) -> bool {
        let may_name = if self.compatible { may_name_compatible } else { may_name };
        let first = self.tail.is_empty();
        self.tail.extend_from_slice(&data[..data.len().min(OVERLAP)]);
        let fine = !may_name(data) && (first || !may_name(&self.tail));
        let from = if data.len() >= OVERLAP { data } else { &self.tail };
        self.tail = from[from.len().saturating_sub(OVERLAP)..].to_vec();
        fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outgoing::Watch as _;

    fn names(body: &str) -> Vec<String> {
        let found = names_in(body.as_bytes(), true).unwrap();
        assert!(found.is_empty() || may_name(body.as_bytes()), "not looked at: {body}");
        found
    }

    #[test]
    fn names_are_found_however_they_are_written() {
        for (body, expected) in [
            (r#"{"contents":[{"parts":[{"fileData":{"fileUri":"https://h/v1beta/files/a"}}]}]}"#, &["files/a"][..]),
            (r#"{"contents":[{"parts":[{"file_data":{"file_uri":"files\/a"}}]}]}"#, &["files/a"]),
            (r#"{"contents":[{"parts":[{"file_data":{"file_\u0075ri":"files/a"}}]}]}"#, &["files/a"]),
            (r#"{"x":{"fil\u0065Uri":"\u0066iles/a","fileUri":"files/b"}}"#, &["files/a", "files/b"]),
            (r#"{"cachedContent":"cachedContents/c","model":"models/m"}"#, &["cachedContents/c"]),
            (r#"{"previous_interaction_id":"i1","model":"m"}"#, &["interactions/i1"]),
            (r#"{"batch":{"inputConfig":{"fileName":"files/in"}}}"#, &["files/in"]),
            (r#"{"tools":[{"fileSearch":{"fileSearchStoreNames":["fileSearchStores/s"]}}]}"#, &["fileSearchStores/s"]),
            (r#"{"model":"tunedModels/t"}"#, &["tunedModels/t"]),
            (r#"{"input":[{"type":"video","uri":"https://h/v1beta/files/v"}]}"#, &["files/v"]),
            (r#"{"input_file_id":"file-9"}"#, &["openai/files/file-9"]),
            (r#"{"contents":[{"parts":[{"text":"fileUri: files/a, cachedContent"}]}]}"#, &[]),
            (r#"{"fileData":{"fileUri":"https://www.youtube.com/watch?v=x"}}"#, &[]),
            (r#"{"functionCall":{"name":"f","args":{"fileUri":"files/a"}}}"#, &[]),
            (r#"{"cachedContent":"c"}"#, &["cachedContents/c"]),
            (r#"{"cachedContent":""}"#, &[]),
            (r#"{"fileData":{"fileUri":" HTTPS://h/v1beta/./files/a"}}"#, &["files/a"]),
        ] {
            assert_eq!(names(body), expected, "{body}");
        }
    }

    #[test]
    fn the_compatible_endpoint_names_by_addresses_too() {
        let found = |body: &str, compatible| names_in(body.as_bytes(), compatible).unwrap();
        for body in [
            r#"{"image_url":{"url":"https://h/v1beta/files/a"}}"#,
            r#"{"image_url" : "files/a"}"#,
            r#"{"file":{"file_\u0075rl":"files/a"}}"#,
        ] {
            assert!(may_name_compatible(body.as_bytes()), "{body}");
            assert_eq!(found(body, true), ["files/a"], "{body}");
            assert!(found(body, false).is_empty(), "{body}");
        }
        assert!(!may_name_compatible(br#"{"messages":[{"content":"curls"}]}"#));
        let mut behind = Behind::of(true);
        assert!(behind.passes(&[b'.'; 100]) && !behind.passes(br#"{"url":"files/a"}"#));
    }

    #[test]
    fn a_model_is_noticed_however_it_is_written() {
        for (body, models) in [
            (r#"{"model":"m"}"#, &["m"][..]),
            (r#"{"x":[{"base_model" :"models/b"}],"generateContentRequest":{"m\u006fdel":"m"}}"#, &["m", "models/b"]),
            (r#"{"contents":[{"role":"model","parts":[{"text":"a model"}]}]}"#, &[]),
            (r#"{"contents":[{"parts":[{"text":"a model"}]}]}"#, &[]),
            (r#"{"agent":"a","model":"m"}"#, &["a", "m"]),
            (r#"{"agent":{"name":"a"},"model":"m"}"#, &["", "m"]),
            (r#"{"labels":{"agent":"a"},"agent":null,"model":"m"}"#, &["m"]),
        ] {
            let mut found = models_in(body.as_bytes()).unwrap();
            found.sort();
            assert_eq!(found, models, "{body}");
            assert!(found.is_empty() || may_name_or_ask(body.as_bytes()), "{body}");
        }
        assert!(!may_name_or_ask(br#"{"contents":[{"parts":[{"text":"a model that thinks"}]}]}"#));
        for body in ["{'model':'m'}", "{model:'m'}", "{model : \"m\"}", "{model\n:\"m\"}"] {
            assert!(may_name_or_ask(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn what_is_no_json_cannot_be_told() {
        assert!(names_in(b"{'fileUri':'files/a'}", false).is_err());
        assert!(names_in(b"{\"a\":1} {\"fileUri\":\"files/a\"}", false).is_err());
        assert!(names_in("[".repeat(10_000).as_bytes(), false).is_err());
        assert!(may_name(b"{'fileUri':'files/a'}"));
        assert!(!may_name(br#"{"contents":[{"parts":[{"text":"While the tile is cached, \u00e9"}]}]}"#));
    }

    #[test]
    fn what_comes_late_is_noticed_wherever_it_is_cut() {
        let body = br#"......................................{"fileUri":"files/a"}"#;
        for at in 0..body.len() {
            let mut behind = Behind::default();
            assert!(!(behind.passes(&body[..at]) && behind.passes(&body[at..])), "{at}");
        }
        let mut one_by_one = Behind::default();
        assert!(!body.chunks(1).all(|byte| one_by_one.passes(byte)));
        let mut fine = Behind::default();
        assert!(fine.passes(&[b'.'; 100]) && fine.passes(b"\"data\":\"AAAA\""));
    }
}
