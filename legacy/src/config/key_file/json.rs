//! JSON: an array of keys, each a text or an object with the key and a line's options; or an object that holds the
//! array as `keys`.

use std::{fmt, path::Path};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use super::{FileError, LineError, Read, Spot, line, near, option, table::KEY};
use crate::config::{KeySpec, Origin, origin::Lines};

#[derive(Deserialize)]
struct Wrapped<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// An object's fields as they stand there.
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}

pub(super) fn parse(
    path: &Path,
    bytes: &[u8],
    not_keys: &[&str],
    origin: impl Fn(usize) -> Origin,
) -> Result<Vec<Read>, FileError> {
    let items = match serde_json::from_slice::<Vec<&RawValue>>(bytes) {
        Ok(items) => Ok(items),
        Err(error) => serde_json::from_slice::<Wrapped<'_>>(bytes).map(|held| held.keys).map_err(|_| error),
    };
    // The parser's own words may quote the file.
    let items = items.map_err(|error| FileError::Malformed {
        path: path.to_owned(),
        line: error.line(),
        expected: "a JSON array of keys, each a text or an object with a field named key, such as \
                   [\"AIza…\", {\"key\": \"AIza…\", \"id\": \"work\"}]",
    })?;
    let mut lines = Lines::of(bytes);
    let read = |(n, item): (usize, &RawValue)| {
        let line = lines.at(item.get().as_ptr() as usize - bytes.as_ptr() as usize);
        (Spot { line, entry: Some(n + 1) }, spec(item, not_keys, origin(line)))
    };
    Ok(items.into_iter().enumerate().map(read).collect())
}

fn spec(item: &RawValue, not_keys: &[&str], origin: Origin) -> Result<Option<KeySpec>, LineError> {
    let fields = match serde_json::from_str(item.get()) {
        Ok(Value::String(secret)) => {
            line::check(&secret, not_keys)?;
            return Ok(Some(KeySpec::new(secret, origin)));
        }
        Ok(Value::Object(_)) => serde_json::from_str::<Fields>(item.get()).map_err(|_| LineError::NotAKey)?.0,
        _ => return Err(LineError::NotAKey),
    };
    if fields.iter().filter(|(name, _)| KEY.contains(&name.as_str())).count() > 1 {
        return Err(LineError::Twice(KEY[0]));
    }
    let secret = KEY.iter().find_map(|key| fields.iter().find(|(name, _)| name == key));
    let secret = secret.and_then(|(_, value)| value.as_str()).ok_or(LineError::NoKey)?;
    line::check(secret, not_keys)?;
    let mut spec = KeySpec::new(secret, origin);
    let mut seen = Vec::with_capacity(fields.len());
    for (n, (name, value)) in fields.iter().enumerate().filter(|(_, (name, _))| !KEY.contains(&name.as_str())) {
        if name == "labels" {
            labels(&mut spec, value)?;
            continue;
        }
        let unknown =
            || LineError::UnknownMember(n + 1, near::near(name, option::names().chain(KEY).chain(["labels"])));
        let option = option::known(name).ok_or_else(unknown)?;
        if seen.contains(&option) {
            return Err(LineError::Twice(option));
        }
        seen.push(option);
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return Err(LineError::Value { option, expected: "a text or a number" }),
        };
        option::set(&mut spec, option, &text)?;
    }
    Ok(Some(spec))
}

fn labels(spec: &mut KeySpec, value: &Value) -> Result<(), LineError> {
    let wrong = LineError::Value { option: "label", expected: "an object of texts" };
    for (name, value) in value.as_object().ok_or(wrong)? {
        option::put_label(spec, name, value.as_str().ok_or(wrong)?)?;
    }
    Ok(())
}
