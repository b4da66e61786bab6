//! A reader of JSON that follows protobuf's rules, for the request messages of the API and of its OpenAI-compatible
//! endpoints, which are listed in `messages.json`. `any` is any JSON value, unchecked; `Struct` is any object. Enum
//! values are in the order of their numbers.
//!
//! Field names may be in snake case or camel case, a list with one item may be given as the item, numbers may be
//! strings, and enum values may be in any case or be numbers. [`read`] normalizes all of this: snake case, lists,
//! numbers, upper case, no nulls.

use std::collections::HashMap;
use std::sync::LazyLock;

use base64::alphabet;
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::refusal::{ApiError, bad_request};

static SCHEMA: LazyLock<Schema> =
    LazyLock::new(|| serde_json::from_str(include_str!("messages.json")).expect("a schema"));

#[derive(Deserialize)]
struct Schema {
    messages: HashMap<String, HashMap<String, Field>>,
    enums: HashMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Field {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    repeated: bool,
    oneof: Option<String>,
}

/// Returns the name of a type in error messages.
fn type_name(kind: &str) -> String {
    match kind {
        "string" | "bytes" | "float" | "int32" | "bool" => format!("TYPE_{}", kind.to_ascii_uppercase()),
        "Struct" | "map<string, Schema>" => "type.googleapis.com/google.protobuf.Struct".to_owned(),
        _ => format!("type.googleapis.com/google.ai.generativelanguage.v1beta.{kind}"),
    }
}

/// Returns the values of an enum, in the order of their numbers.
pub(crate) fn enum_values(name: &str) -> &'static [String] {
    &SCHEMA.enums[name]
}

/// Reads a request as a message of this name.
///
/// # Errors
/// 400, which lists every unknown field and every invalid value.
pub(crate) fn read(message: &str, value: &Value) -> Result<Value, ApiError> {
    let mut reader = Reader::default();
    let Value::Object(fields) = value else {
        let kind = if value.is_array() { "a list" } else { "a scalar" };
        let why =
            format!("Invalid JSON payload received. Unknown name \"\": Root element must be a message, not {kind}.");
        return Err(bad_request(&[(String::new(), why)]));
    };
    let read = reader.message(&SCHEMA.messages[message], fields, "");
    if reader.violations.is_empty() { Ok(read) } else { Err(bad_request(&reader.violations)) }
}

#[derive(Default)]
struct Reader {
    /// The field and the description of each violation.
    violations: Vec<(String, String)>,
}

impl Reader {
    fn message(&mut self, known: &HashMap<String, Field>, given: &Map<String, Value>, at: &str) -> Value {
        let (mut read, mut set_oneofs) = (Map::new(), Vec::new());
        for (name, value) in given {
            let found =
                known.get_key_value(name).or_else(|| known.iter().find(|(known, _)| camel_case(known) == *name));
            let Some((own_name, field)) = found else {
                let place = if at.is_empty() { String::new() } else { format!(" at '{at}'") };
                let why = format!("Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find field.");
                self.violations.push((at.to_owned(), why));
                continue;
            };
            if value.is_null() {
                continue;
            }
            if let Some(oneof) = &field.oneof {
                if set_oneofs.contains(&oneof) {
                    let why = format!(
                        "Invalid value at '{at}' (oneof), oneof field '{oneof}' is already set. Cannot set '{name}'"
                    );
                    self.violations.push((at.to_owned(), why));
                }
                set_oneofs.push(oneof);
            }
            let at = if at.is_empty() { own_name.clone() } else { format!("{at}.{own_name}") };
            let value = match value {
                Value::Array(items) if field.repeated => {
                    let items = items.iter().enumerate();
                    items.map(|(index, item)| self.value(&field.kind, item, &format!("{at}[{index}]"))).collect()
                }
                single if field.repeated => json!([self.value(&field.kind, single, &at)]),
                value => self.value(&field.kind, value, &at),
            };
            read.insert(own_name.clone(), value);
        }
        Value::Object(read)
    }

    fn value(&mut self, kind: &str, value: &Value, at: &str) -> Value {
        let read = match (kind, value) {
            ("any", _)
            | (_, Value::Null)
            | ("string", Value::String(_))
            | ("bool", Value::Bool(_))
            | ("Struct", Value::Object(_)) => Some(value.clone()),
            ("bytes", Value::String(text)) => is_base64(text).then(|| value.clone()),
            ("float", _) => float(value),
            ("int32", _) => int32(value).map(Value::from),
            ("map<string, Schema>", Value::Object(fields)) => {
                let values = fields.iter();
                let value =
                    |(key, value): (&String, _)| (key.clone(), self.value("Schema", value, &format!("{at}[{key}]")));
                Some(values.map(value).collect())
            }
            _ => match (SCHEMA.enums.get(kind), SCHEMA.messages.get(kind), value) {
                (Some(values), _, _) => enum_value(value, values).map(Value::from),
                (_, Some(message), Value::Object(fields)) => Some(self.message(message, fields, at)),
                _ => None,
            },
        };
        read.unwrap_or_else(|| {
            let shown = match (kind, value) {
                ("bytes", Value::String(_)) => format!("Base64 decoding failed for {value}"),
                _ => value.to_string(),
            };
            let why = format!("Invalid value at '{at}' ({}), {shown}", type_name(kind));
            self.violations.push((at.to_owned(), why));
            Value::Null
        })
    }
}

/// Reads a float. `NaN` and the infinities stay strings, since JSON has no numbers for them.
fn float(value: &Value) -> Option<Value> {
    match value {
        Value::Number(_) => Some(value.clone()),
        Value::String(text) if matches!(&**text, "NaN" | "Infinity" | "-Infinity") => Some(value.clone()),
        Value::String(text) => {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
            text.parse::<f64>().ok().filter(|_| digits).map(Value::from)
        }
        _ => None,
    }
}

fn int32(value: &Value) -> Option<i32> {
    match value {
        Value::String(text) => text.parse().ok(),
        number => {
            let number = number.as_f64()?;
            let fits = number.fract() == 0.0 && (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number);
            fits.then_some(number as i32)
        }
    }
}

fn enum_value<'a>(value: &Value, values: &'a [String]) -> Option<&'a str> {
    let found = match value {
        Value::String(name) => values.iter().find(|known| known.eq_ignore_ascii_case(name)),
        number => values.get(usize::try_from(number.as_u64()?).ok()?),
    };
    found.map(String::as_str)
}

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);
static ALPHABETS: [GeneralPurpose; 2] =
    [GeneralPurpose::new(&alphabet::STANDARD, LENIENT), GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT)];

/// Reports whether a text is Base64 of one alphabet, padded or not. White space is ignored, as in the real parser.
fn is_base64(text: &str) -> bool {
    let digits = text.replace(|character: char| character.is_ascii_whitespace(), "");
    ALPHABETS.iter().any(|alphabet| alphabet.decode(&digits).is_ok())
}

/// Converts a name to camel case. A leading underscore is kept.
fn camel_case(name: &str) -> String {
    let (start, rest) = name.split_at(1);
    let words = rest.split('_').enumerate();
    let words =
        words.map(|(index, word)| if index == 0 { word.to_owned() } else { word[..1].to_uppercase() + &word[1..] });
    words.fold(start.to_owned(), |camel, word| camel + &word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_are_normalized() {
        let request = json!({
            "contents": { "role": "user", "parts": { "text": "x" } },
            "generationConfig": { "candidateCount": "2", "temperature": "1e-1", "stop_sequences": "a", "topK": 2.0 },
            "toolConfig": { "functionCallingConfig": { "mode": "any" } },
            "safetySettings": [{ "category": 7 }],
            "tools": null,
        });
        let read = read("GenerateContentRequest", &request).unwrap();
        let expected = json!({
            "contents": [{ "role": "user", "parts": [{ "text": "x" }] }],
            "generation_config": { "candidate_count": 2, "temperature": 0.1, "stop_sequences": ["a"], "top_k": 2 },
            "tool_config": { "function_calling_config": { "mode": "ANY" } },
            "safety_settings": [{ "category": "HARM_CATEGORY_HARASSMENT" }],
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn base64_has_one_alphabet_and_the_right_padding() {
        for good in ["", "aGk=", "aGk", "aG k=", "a-_b", "a+/b"] {
            assert!(is_base64(good), "{good}");
        }
        for bad in ["a", "a+_b", "aGk==", "aG!k", "====", "=aGk"] {
            assert!(!is_base64(bad), "{bad}");
        }
    }

    #[test]
    fn every_type_that_a_field_names_is_defined() {
        const SCALARS: [&str; 8] =
            ["any", "Struct", "string", "bytes", "float", "int32", "bool", "map<string, Schema>"];
        for Field { kind, .. } in SCHEMA.messages.values().flat_map(HashMap::values) {
            let is_known = SCHEMA.messages.contains_key(kind) || SCHEMA.enums.contains_key(kind);
            assert!(is_known || SCALARS.contains(&&**kind), "{kind}");
        }
        assert_eq!(SCHEMA.enums["HarmCategory"].len(), 12);
    }
}
