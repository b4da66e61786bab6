//! Which fields a message has, and what may be in them.

use serde_json::{Map, Value, json};

use crate::proto_json::{number, word};
use crate::refusal::ApiError;

/// A message of the API: its type's name, and its fields by their protobuf
/// names. JSON may use those or their camelCase forms.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) name: &'static str,
    pub(crate) fields: &'static [(&'static str, Kind)],
}

/// What a field holds.
#[derive(Debug)]
pub(crate) enum Kind {
    Text,
    /// Base64 of either alphabet.
    Bytes,
    /// With a fraction, if need be.
    Number,
    /// Without one, of 32 bits.
    Whole,
    Flag,
    /// Anything, unchecked.
    Any,
    /// Any object.
    Struct,
    /// One of these words, in any case, or its number; the type's name goes before them.
    Word(&'static str, &'static [&'static str]),
    Message(&'static Message),
    /// A list of these. One alone is taken for a list of one, as by the real
    /// parser.
    List(&'static Kind),
    /// An object with any names and these values.
    Map(&'static Kind),
    /// One of the fields of this name, of which a message has one at most.
    OneOf(&'static str, &'static Kind),
}

struct Violation {
    field: String,
    description: String,
}

impl Message {
    /// Names every field of `value` that does not belong there.
    pub(crate) fn check(&self, value: &Value) -> Result<(), ApiError> {
        let mut found = Vec::new();
        match value {
            Value::Object(fields) => self.check_fields(fields, "", &mut found),
            other => found.push(Violation {
                field: String::new(),
                description: format!(
                    "Invalid JSON payload received. Unknown name \"\": Root element must be a \
message, not {}.",
                    sort_of(other)
                ),
            }),
        }
        if found.is_empty() {
            return Ok(());
        }
        let message: Vec<_> = found.iter().map(|v| v.description.as_str()).collect();
        let violations: Vec<_> = found
            .iter()
            .map(|violation| {
                let mut detail = json!({ "description": violation.description });
                if !violation.field.is_empty() {
                    detail["field"] = violation.field.clone().into();
                }
                detail
            })
            .collect();
        let error = ApiError::invalid_argument("malformed", message.join("\n"));
        Err(error.with([json!({
            "@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": violations,
        })]))
    }

    fn check_fields(&self, fields: &Map<String, Value>, at: &str, found: &mut Vec<Violation>) {
        let mut set: Vec<&str> = Vec::new();
        for (name, value) in fields {
            let known = self.fields.iter().find(|(proto, _)| proto == name || *name == camel(proto));
            if let Some((proto, kind)) = known {
                if let (Kind::OneOf(of, _), false) = (kind, value.is_null()) {
                    if set.contains(of) {
                        let why = format!("oneof field '{of}' is already set. Cannot set '{name}'");
                        let description = format!("Invalid value at '{at}' (oneof), {why}");
                        found.push(Violation { field: at.to_owned(), description });
                    }
                    set.push(of);
                }
                kind.check(value, &join(at, proto), found);
                continue;
            }
            let place = match at {
                "" => String::new(),
                at => format!(" at '{at}'"),
            };
            found.push(Violation {
                field: at.to_owned(),
                description: format!(
                    "Invalid JSON payload received. Unknown name \"{name}\"{place}: Cannot find \
field."
                ),
            });
        }
    }
}

impl Kind {
    fn check(&self, value: &Value, at: &str, found: &mut Vec<Violation>) {
        if value.is_null() {
            return;
        }
        let fits = match (self, value) {
            (Self::Any, _)
            | (Self::Text, Value::String(_))
            | (Self::Number, Value::Number(_))
            | (Self::Flag, Value::Bool(_))
            | (Self::Struct, Value::Object(_)) => true,
            (Self::Bytes, Value::String(text)) => is_base64(text),
            // 64-bit numbers travel as text.
            (Self::Number, Value::String(_)) => number(value).is_some(),
            (Self::Whole, Value::Number(number)) => number.as_f64().is_some_and(is_int32),
            (Self::Whole, Value::String(text)) => text.parse::<i32>().is_ok(),
            (Self::Word(_, words), Value::String(_) | Value::Number(_)) => word(value, words).is_some(),
            (Self::OneOf(_, kind), value) => {
                kind.check(value, at, found);
                true
            }
            (Self::Message(message), Value::Object(fields)) => {
                message.check_fields(fields, at, found);
                true
            }
            (Self::List(kind), Value::Array(items)) => {
                for (index, item) in items.iter().enumerate() {
                    kind.check(item, &format!("{at}[{index}]"), found);
                }
                true
            }
            (Self::List(kind), single) => {
                kind.check(single, at, found);
                true
            }
            (Self::Map(kind), Value::Object(fields)) => {
                for (name, value) in fields {
                    kind.check(value, &format!("{at}[{name}]"), found);
                }
                true
            }
            _ => false,
        };
        if !fits {
            let value = match (self, value) {
                (Self::Bytes, Value::String(_)) => format!("Base64 decoding failed for {value}"),
                _ => value.to_string(),
            };
            found.push(Violation {
                field: at.to_owned(),
                description: format!("Invalid value at '{at}' ({}), {value}", self.type_name()),
            });
        }
    }

    fn type_name(&self) -> String {
        let of = |name: &str| format!("type.googleapis.com/google.ai.generativelanguage.v1beta.{name}");
        match self {
            Self::Text | Self::Any => "TYPE_STRING".to_owned(),
            Self::Bytes => "TYPE_BYTES".to_owned(),
            Self::Number => "TYPE_FLOAT".to_owned(),
            Self::Whole => "TYPE_INT32".to_owned(),
            Self::Flag => "TYPE_BOOL".to_owned(),
            Self::Struct | Self::Map(_) => "type.googleapis.com/google.protobuf.Struct".to_owned(),
            Self::Word(name, _) => of(name),
            Self::Message(message) => of(message.name),
            Self::List(kind) | Self::OneOf(_, kind) => kind.type_name(),
        }
    }
}

fn is_int32(number: f64) -> bool {
    number.fract() == 0.0 && (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number)
}

/// Whether a text is base64: of one alphabet, padded or not. White space is passed over, as by the real parser.
fn is_base64(text: &str) -> bool {
    let body = text.trim_end_matches(|c: char| c == '=' || c.is_ascii_whitespace());
    let padding = text[body.len()..].matches('=').count();
    let (mut digits, mut plain, mut web) = (0, false, false);
    for byte in body.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
        match byte {
            b'+' | b'/' => plain = true,
            b'-' | b'_' => web = true,
            byte if byte.is_ascii_alphanumeric() => {}
            _ => return false,
        }
        digits += 1;
    }
    digits % 4 != 1 && padding <= 2 && (padding == 0 || (digits + padding).is_multiple_of(4)) && !(plain && web)
}

fn join(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

fn camel(proto: &str) -> String {
    let mut out = String::with_capacity(proto.len());
    let mut upper = false;
    for character in proto.chars() {
        if character == '_' {
            upper = true;
        } else if upper {
            out.push(character.to_ascii_uppercase());
            upper = false;
        } else {
            out.push(character);
        }
    }
    out
}

fn sort_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::super::GENERATE;
    use super::*;
    use crate::refusal::Wrapping;

    #[test]
    fn bytes_are_base64() {
        for text in ["", "aGk=", "aGk", "aG k\n=", "-_-_", "+/+/", "skip_thought_signature_validator"] {
            assert!(is_base64(text), "{text:?}");
        }
        for text in ["!!!", "a", "aGk==", "+-aa", "aGk=x", "=", "data:image/png;base64,aGk="] {
            assert!(!is_base64(text), "{text:?}");
        }
        let request = json!({"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "!!!"}}]}]});
        let expected =
            "Invalid value at 'contents[0].parts[0].inline_data.data' (TYPE_BYTES), Base64 decoding failed for \"!!!\"";
        assert!(complaint(&request).contains(expected), "{}", complaint(&request));
    }

    fn complaint(value: &Value) -> String {
        match GENERATE.check(value) {
            Ok(()) => String::new(),
            Err(error) => serde_json::from_str::<Value>(&error.line(Wrapping::Bare)).unwrap()["error"]["message"]
                .as_str()
                .unwrap()
                .to_owned(),
        }
    }

    #[test]
    fn both_spellings_and_single_items_are_taken() {
        let request = json!({
            "system_instruction": { "parts": { "text": "be brief" } },
            "generationConfig": { "maxOutputTokens": "12", "responseMimeType": "text/plain" },
            "contents": [{ "role": "user", "parts": [{ "text": "x" }] }],
            "cachedContent": null,
        });
        assert_eq!(complaint(&request), "");
    }

    #[test]
    fn an_unknown_name_is_named_with_its_place() {
        let request = json!({ "contents": [{ "parts": { "role": "user", "text": "x" } }] });
        assert_eq!(
            complaint(&request),
            "Invalid JSON payload received. Unknown name \"role\" at 'contents[0].parts': \
Cannot find field."
        );
        assert_eq!(
            complaint(&json!({ "google": 1 })),
            "Invalid JSON payload received. Unknown name \"google\": Cannot find field."
        );
    }

    #[test]
    fn a_schema_knows_no_additional_properties() {
        let request = json!({ "generationConfig": { "responseSchema": {
            "type": "OBJECT",
            "properties": { "a": { "type": "STRING", "additionalProperties": false } },
        } } });
        assert_eq!(
            complaint(&request),
            "Invalid JSON payload received. Unknown name \"additionalProperties\" at \
'generation_config.response_schema.properties[a]': Cannot find field."
        );
    }

    #[test]
    fn a_wrong_type_is_shown() {
        assert_eq!(
            complaint(&json!({ "contents": ["hello"] })),
            "Invalid value at 'contents[0]' \
(type.googleapis.com/google.ai.generativelanguage.v1beta.Content), \"hello\""
        );
        assert_eq!(
            complaint(&json!({ "contents": { "parts": { "text": 12 } } })),
            "Invalid value at 'contents.parts.text' (TYPE_STRING), 12"
        );
        assert_eq!(
            complaint(&json!({ "generationConfig": { "maxOutputTokens": 1.5, "temperature": 1.5 } })),
            "Invalid value at 'generation_config.max_output_tokens' (TYPE_INT32), 1.5"
        );
        assert_eq!(complaint(&json!({ "generationConfig": { "seed": 1.0, "topK": "40" } })), "");
    }

    #[test]
    fn a_part_holds_one_thing() {
        let both = json!({ "text": "x", "inlineData": { "mimeType": "image/png", "data": "aGk=" } });
        let expected =
            "Invalid value at 'contents[0].parts[0]' (oneof), oneof field 'data' is already set. Cannot set '";
        let told = complaint(&json!({ "contents": [{ "parts": [both] }] }));
        assert!(told.starts_with(expected), "{told}");
        let signed = json!({ "text": "x", "inlineData": null, "thoughtSignature": "aGk=", "thought": true });
        assert_eq!(complaint(&json!({ "contents": [{ "parts": [signed] }] })), "");
    }

    #[test]
    fn a_schema_has_a_type_that_there_is() {
        let of = |kind: Value| {
            let declared = json!([{ "name": "f", "parameters": { "type": kind } }]);
            complaint(&json!({ "tools": [{ "functionDeclarations": declared }] }))
        };
        assert_eq!(
            of(json!("FOO")),
            "Invalid value at 'tools[0].function_declarations[0].parameters.type' \
(type.googleapis.com/google.ai.generativelanguage.v1beta.Type), \"FOO\""
        );
        assert_eq!((of(json!("object")), of(json!("OBJECT")), of(json!(6))), Default::default());
    }
}
