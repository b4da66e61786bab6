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

/// The names that a text may stand for.
pub type Spelling = fn(&str) -> Vec<String>;

/// A letter or a sign that is written as its number.
pub const ESCAPES: [&str; 6] = ["\\u002", "\\u003", "\\u004", "\\u005", "\\u006", "\\u007"];

/// Of these words, or [those](ESCAPES), at least one stands in every body that names something.
pub const MENTIONING: [&str; 15] = [
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
static WORDS: LazyLock<Searcher> = LazyLock::new(|| any_word_of(&[&MENTIONING[..], &ESCAPES].concat()));
/// And of these in every body to the compatible endpoint that names something by its address.
static ADDRESSES: LazyLock<Searcher> =
    LazyLock::new(|| any_word_of(&["url\"", "url'", "url:", "url ", "url\t", "url\n", "url\r"]));

/// Looks for any of a few words.
///
/// # Panics
/// Where there are none.
pub fn any_word_of(words: &[&str]) -> Searcher {
    // Where the processor has no vectors, slowly.
    let slow = || Config::new().only_rabin_karp(true).builder().extend(words).build();
    Searcher::new(words).or_else(slow).expect("a few words")
}

/// Whether a body may name something.
pub fn may_mention(body: &[u8]) -> bool {
    WORDS.find(body).is_some() || is_wide(body)
}

/// Whether it may be text of two or four bytes a letter, which no search for words finds anything in and some servers read.
/// JSON begins with a letter of ASCII, so that one of the first four bytes is zero then, whatever mark stands before it.
pub fn is_wide(body: &[u8]) -> bool {
    body.iter().take(4).any(|byte| *byte == 0)
}

/// The same of a body to the compatible endpoint.
pub fn may_mention_compatible(body: &[u8]) -> bool {
    may_mention(body) || ADDRESSES.find(body).is_some()
}

/// Every name in a body, each once; `compatible`: of a request to the compatible endpoint, which calls files by ids; `spelled`: the names
/// that a text in such a place may stand for.
///
/// # Errors
/// Where it is no JSON, so that nobody can tell.
pub fn mentioned_in(body: &[u8], compatible: bool, spelled: Spelling) -> Result<Vec<String>, serde_json::Error> {
    let mut found = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(body);
    Reading { key: Key::Any, spelled, compatible, found: &mut found }.deserialize(&mut json)?;
    json.end()?;
    found.sort_unstable();
    found.dedup();
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
    /// Who is to answer in the place of a model, by its name or its id alone.
    Agent,
    /// Where it works.
    Environment,
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
            "agent" | "base_agent" | "baseAgent" => Self::Agent,
            "environment" | "environment_id" | "environmentId" => Self::Environment,
            "input_file_id" | "file_id" if compatible => Self::Compatible,
            _ => Self::Any,
        }
    }
}

/// Fields in which the provider reads nothing: what somebody sends along, schemas, and what functions take and give.
pub const OPAQUE: [&str; 12] = [
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

/// The name of something that may be called by its id alone.
fn below(collection: &str, text: &str) -> String {
    let id = text.trim().strip_prefix(collection).and_then(|rest| rest.strip_prefix('/')).unwrap_or(text.trim());
    format!("{collection}/{id}")
}

struct Reading<'f> {
    key: Key,
    spelled: Spelling,
    compatible: bool,
    found: &'f mut Vec<String>,
}

impl Reading<'_> {
    fn within(&mut self, key: Key) -> Reading<'_> {
        Reading { key, spelled: self.spelled, compatible: self.compatible, found: self.found }
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
            Key::Name => (self.spelled)(text),
            Key::Cached => or((self.spelled)(text), &|| format!("cachedContents/{}", text.trim())),
            Key::Interaction => vec![format!("interactions/{}", text.trim_start_matches("interactions/"))],
            Key::Agent => vec![below("agents", text)],
            Key::Environment => vec![below("environments", text)],
            Key::Compatible => or((self.spelled)(text), &|| format!("openai/files/{text}")),
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
