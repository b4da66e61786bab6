//! JSON schemas as Gemini takes them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeMap};
use serde_json::{Value, value::RawValue};

/// A schema as `parametersJsonSchema` and `responseJsonSchema` take it. They take JSON Schema itself, but for
/// - `$schema`, which some models refuse, and `const`, which none looks at: an `enum` of one says the same;
/// - a `$ref` with anything beside it: it stands in an `anyOf` of one then; one whose `#` was lost gets it back;
/// - an `allOf` of one, as generators write it for the same reason;
/// - `null` in an `enum`, which holds strings and numbers: it is a type of its own.
pub(super) fn adapted(schema: &RawValue) -> Box<RawValue> {
    let text = schema.get();
    let odd = ["\"const\"", "\"$schema\"", "\"$ref\"", "\"allOf\""].iter().any(|odd| text.contains(odd))
        || (text.contains("\"enum\"") && text.contains("null"));
    let rewritten = || {
        let mut json: Json = serde_json::from_str(text).ok()?;
        rewrite(&mut json);
        serde_json::value::to_raw_value(&json).ok()
    };
    odd.then(rewritten).flatten().unwrap_or_else(|| schema.to_owned())
}

/// Fields whose own fields are names that somebody chose.
const NAMED: [&str; 4] = ["properties", "$defs", "definitions", "patternProperties"];
/// Fields that hold values, not schemas.
const VALUES: [&str; 4] = ["enum", "default", "examples", "example"];

/// The parser bounds the depth.
fn rewrite(schema: &mut Json) {
    match schema {
        Json::List(items) => items.iter_mut().for_each(rewrite),
        Json::Object(fields) => {
            fields.retain(|(name, _)| name != "$schema");
            if let Some(at) = fields.iter().position(|(name, _)| name == "const") {
                let (_, only) = std::mem::take(&mut fields[at]);
                fields[at] = ("enum".to_owned(), Json::List(vec![only]));
                let mut place = 0..;
                fields.retain(|(name, _)| place.next() == Some(at) || name != "enum");
            }
            for (name, value) in fields.iter_mut() {
                if let (true, Json::Plain(Value::String(place))) = (name == "$ref", value)
                    && place.starts_with('/')
                {
                    place.insert(0, '#');
                }
            }
            part_reference(fields);
            part_null(fields);
            for (name, value) in fields {
                if let (true, Json::Object(named)) = (NAMED.contains(&&**name), &mut *value) {
                    named.iter_mut().for_each(|(_, schema)| rewrite(schema));
                } else if !VALUES.contains(&&**name) {
                    rewrite(value);
                }
            }
        }
        Json::Plain(_) => {}
    }
}

/// Puts a reference that something stands beside, or an `allOf` of one, into an `anyOf` of one.
fn part_reference(fields: &mut [(String, Json)]) {
    let Some(at) = fields.iter().position(|(name, value)| match value {
        Json::Plain(Value::String(_)) => name == "$ref",
        Json::List(all) => name == "allOf" && all.len() == 1,
        _ => false,
    }) else {
        return;
    };
    let is_reference = fields[at].0 == "$ref";
    let alone = !fields.iter().any(|(name, _)| !name.starts_with('$') && name != "allOf");
    if fields.iter().any(|(name, _)| name == "anyOf") || (is_reference && alone) {
        return;
    }
    let (name, value) = std::mem::take(&mut fields[at]);
    let one = if is_reference { Json::List(vec![Json::Object(vec![(name, value)])]) } else { value };
    fields[at] = ("anyOf".to_owned(), one);
}

/// Takes `null` out of an `enum`.
fn part_null(fields: &mut Vec<(String, Json)>) {
    let null = |json: &Json| matches!(json, Json::Plain(Value::Null));
    let Some((_, Json::List(values))) = fields.iter_mut().find(|(name, _)| name == "enum") else { return };
    if !values.iter().any(null) {
        return;
    }
    values.retain(|value| !null(value));
    let nothing_else = values.is_empty();
    let of_null = ("type".to_owned(), Json::Plain("null".into()));
    let describes = |name: &str| matches!(name, "description" | "title" | "default") || name.starts_with('$');
    let (mut outside, mut inside): (Vec<_>, Vec<_>) =
        std::mem::take(fields).into_iter().partition(|(name, _)| describes(name));
    if nothing_else {
        outside.push(of_null);
    } else {
        if let Some((_, Json::List(types))) = inside.iter_mut().find(|(name, _)| name == "type") {
            types.retain(|kind| !matches!(kind, Json::Plain(Value::String(kind)) if kind == "null"));
        }
        outside.push(("anyOf".to_owned(), Json::List(vec![Json::Object(inside), Json::Object(vec![of_null])])));
    }
    *fields = outside;
}

/// JSON whose objects keep their order: a model answers in the order of a schema's properties.
enum Json {
    Plain(Value),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Default for Json {
    fn default() -> Self {
        Self::Plain(Value::Null)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Plain(value) => value.serialize(serializer),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Json;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("JSON")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
                Ok(Json::Plain(value.into()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
                Ok(Json::Plain(value.into()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
                Ok(Json::Plain(value.into()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
                Ok(Json::Plain(value.into()))
            }

            fn visit_str<E>(self, value: &str) -> Result<Json, E> {
                Ok(Json::Plain(value.into()))
            }

            fn visit_unit<E>(self) -> Result<Json, E> {
                Ok(Json::default())
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Json, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Json::List(items))
            }

            fn visit_map<A: de::MapAccess<'de>>(self, mut map: A) -> Result<Json, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Json::Object(fields))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}
