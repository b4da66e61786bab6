//! What belongs to somebody and is named in a request's body, in whatever spelling; and which models are asked.

use std::{fmt, sync::LazyLock};

use aho_corasick::packed::Searcher;
pub(super) use keypool_client::names::may_mention as may_name;
pub(in crate::gateway) use keypool_client::names::may_mention_compatible as may_name_compatible;
use keypool_client::names::{ESCAPES, MENTIONING, OPAQUE, any_word_of, is_wide, mentioned_in};

use serde::{
    Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::spelled;

/// And of these in every body that asks a model. Google's reader takes names in simple quotes, and without any.
const ASKING: [&str; 8] = ["odel\"", "odel'", "odel:", "odel :", "odel  ", "odel\t", "odel\n", "odel\r"];
/// In one pass for whoever wants to know of both.
static WORDS_AND_MODELS: LazyLock<Searcher> =
    LazyLock::new(|| any_word_of(&[&MENTIONING[..], &ASKING, &ESCAPES].concat()));

/// Whether a body may name something or ask a model.
pub(super) fn may_name_or_ask(body: &[u8]) -> bool {
    WORDS_AND_MODELS.find(body).is_some() || is_wide(body)
}

/// Every name in a body, each once; `compatible`: of a request to the compatible endpoint, which calls files by ids.
///
/// # Errors
/// Where it is no JSON, so that nobody can tell.
pub(super) fn names_in(body: &[u8], compatible: bool) -> Result<Vec<String>, serde_json::Error> {
    mentioned_in(body, compatible, spelled::names_in)
}

/// Fields of a request itself that name who is to answer in the place of a model.
const AGENTS: [&str; 4] = ["agent", "agents", "base_agent", "baseAgent"];

/// Every model that a body asks, and every agent: one that cannot be read is called nothing. Of a field that stands there
/// twice both are found: others may read the first.
pub(super) fn models_in(body: &[u8]) -> Result<Vec<String>, serde_json::Error> {
    asked_in(body, |name, whole| match name {
        "model" | "baseModel" | "base_model" => Names::Model,
        name if whole && AGENTS.contains(&name) => Names::Agent,
        _ => Names::Nothing,
    })
}

/// Whether the requests of a batch stand in a file.
pub(super) fn asks_from_a_file(body: &[u8]) -> Result<bool, serde_json::Error> {
    let files = asked_in(body, |name, _| match name {
        "fileName" | "file_name" => Names::File,
        _ => Names::Nothing,
    })?;
    Ok(!files.is_empty())
}

fn asked_in(body: &[u8], field: Field) -> Result<Vec<String>, serde_json::Error> {
    let mut found = Vec::new();
    let mut json = serde_json::Deserializer::from_slice(body);
    Asked { names: Names::Nothing, whole: true, field, found: &mut found }.deserialize(&mut json)?;
    json.end()?;
    Ok(found)
}

/// What a field of this name names; of the request itself, or within.
type Field = fn(&str, bool) -> Names;

/// What a value names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Names {
    Nothing,
    Model,
    Agent,
    File,
}

/// A value on the way to what is asked in it.
struct Asked<'f> {
    names: Names,
    /// It is the request itself.
    whole: bool,
    field: Field,
    found: &'f mut Vec<String>,
}

impl Asked<'_> {
    fn within(&mut self, names: Names) -> Asked<'_> {
        Asked { names, whole: false, field: self.field, found: self.found }
    }

    /// It is no text.
    fn no_text(self) {
        if self.names == Names::Agent {
            self.found.push(String::new());
        }
    }
}

impl<'de> DeserializeSeed<'de> for Asked<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        value.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Asked<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        if self.names != Names::Nothing {
            self.found.push(text.to_owned());
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        self.no_text();
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        self.no_text();
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        self.no_text();
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        self.no_text();
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(self.within(Names::Nothing))?.is_some() {}
        self.no_text();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        while let Some(name) = fields.next_key::<String>()? {
            let names = (self.field)(&name, self.whole);
            if OPAQUE.contains(&&*name) {
                fields.next_value::<IgnoredAny>()?;
            } else {
                fields.next_value_seed(self.within(names))?;
            }
        }
        self.no_text();
        Ok(())
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
    fn text_of_two_bytes_a_letter_is_looked_at_and_is_no_json() {
        let body = r#"{"fileUri":"files/a"}"#;
        for wide in [
            body.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>(),
            body.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        ] {
            assert!(may_name(&wide) && may_name_compatible(&wide) && may_name_or_ask(&wide));
            assert!(!Behind::of(false).passes(&wide));
            assert!(names_in(&wide, false).is_err());
        }
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
            (r#"{"model":"m","model":"n","config":{"model":1,"temperature":0.5,"seed":-1}}"#, &["m", "n"]),
            (r#"{"agent":true,"agents":["a"],"m\u006fdel":{"model":"m"}}"#, &["", "", "m"]),
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
