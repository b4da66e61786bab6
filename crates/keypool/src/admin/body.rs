//! Bodies of JSON. What is wrong in one is named by its field and place; what stands there is not repeated, since it may be
//! a secret.

use memchr::{memchr_iter, memrchr};
use serde::de::DeserializeOwned;

use super::{Asked, answer::Fault};

/// What a body says.
pub(super) fn body<T: DeserializeOwned>(asked: &Asked) -> Result<T, Fault> {
    read(&asked.body).map_err(Fault::wrong)
}

/// The same where nothing need be said.
pub(super) fn body_or_none<T: DeserializeOwned + Default>(asked: &Asked) -> Result<T, Fault> {
    if asked.body.is_empty() { Ok(T::default()) } else { body(asked) }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    // A list would be read as the fields in their order.
    let begin = body.iter().position(|byte| !byte.is_ascii_whitespace());
    if let Some(begin) = begin.filter(|begin| body[*begin] == b'[') {
        return Err(at("", "expected an object", place_of(&body[..begin])));
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut json);
    let (field, error) = match read {
        Ok(read) => match json.end() {
            Ok(()) => return Ok(read),
            Err(error) => (String::new(), error),
        },
        Err(error) => (field_of(error.path()), error.into_inner()),
    };
    let what = if error.is_data() { expected(&error.to_string()) } else { "this is no JSON".to_owned() };
    Err(at(&field, &what, (error.line(), error.column())))
}

fn at(field: &str, what: &str, (line, column): (usize, usize)) -> String {
    let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
    format!("{field}{what} (line {line}, column {column} of the body; see /-/admin/openapi.json)")
}

/// The line and column of what stands behind this.
fn place_of(before: &[u8]) -> (usize, usize) {
    let line = memchr_iter(b'\n', before).count() + 1;
    (line, before.len() - memrchr(b'\n', before).map_or(0, |last| last + 1) + 1)
}

/// A field, by the names on the way to it.
fn field_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment as S;
    let mut field = String::new();
    for segment in path {
        match segment {
            S::Seq { index } => field.extend(["[", &index.to_string(), "]"]),
            S::Map { key } => {
                if !field.is_empty() {
                    field.push('.');
                }
                field.push_str(if is_harmless(key) { key } else { "…" });
            }
            S::Enum { .. } | S::Unknown => {}
        }
    }
    field
}

/// Whether nobody's key looks like this.
fn is_harmless(name: &str) -> bool {
    let letters = name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    !name.is_empty() && (letters && name.len() <= 24 || plain && name.len() <= 12)
}

/// What was expected, of what serde says: what there was in its place stands before that.
fn expected(said: &str) -> String {
    let said = said.rsplit_once(" at line ").map_or(said, |(said, _)| said);
    if said.starts_with("missing field ") || said.starts_with("duplicate field ") {
        return said.to_owned();
    }
    let Some((before, expected)) = said.rsplit_once(", expected ") else {
        return "it is not what is expected".to_owned();
    };
    let expected = match expected {
        "u16" => "a number from 0 to 65535",
        "u64" => "a number, 0 or more",
        "f32" => "a number",
        "a map" => "an object",
        of if of.starts_with("struct ") => "an object",
        other => other,
    };
    if before.starts_with("unknown field ") {
        format!("there is no such field, expected {expected}")
    } else {
        format!("expected {expected}")
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::words::{NewKey, Said, Why},
        *,
    };

    #[test]
    fn what_is_wrong_is_named_by_its_field_and_place_and_never_by_what_it_says() {
        let secret = "AIzaSyTEST-of-a-body-000000000000000000";
        let wrong = |body: &str| read::<NewKey>(body.as_bytes()).err().expect("it is wrong");
        for (body, said) in [
            (r#"{"secret":5}"#.to_owned(), "secret: expected a string (line 1, column 11 of the body"),
            (
                "{\n\"secrt\":\"x\"}".to_owned(),
                "secrt: there is no such field, expected one of `secret`, `id`, `said` (line 2, ",
            ),
            (r#"{"id":"a"}"#.to_owned(), "missing field `secret` (line 1, "),
            (format!(r#"{{"secret":"x","{secret}":1}}"#), "…: there is no such field, expected one of "),
            (format!(r#"{{"secret":"x","said":{{"weight":"{secret}"}}}}"#), "said.weight: expected a number (line 1, "),
            (
                format!(r#"{{"secret":"x","said":{{"limits":{{"rpm":"{secret}, expected u16"}}}}}}"#),
                "said.limits.rpm: expected a number, 0 or more (",
            ),
            (
                r#"{"secret":"x","said":{"priority":-1}}"#.to_owned(),
                "said.priority: expected a number from 0 to 65535 (",
            ),
            (r#"{"secret":"x","said":{"labels":{"a":1}}}"#.to_owned(), "said.labels.a: expected a string ("),
            // Nobody says what a list of them means.
            (format!(r#"{{"secret":"x","said":["{secret}",3]}}"#), "said: expected an object (line 1, "),
            (r#"{"secret":"x","said":{"limits":["m",5]}}"#.to_owned(), "said.limits: expected an object ("),
            (r#"{"secret":"x","said":null}"#.to_owned(), "said: expected an object ("),
            (r#"{"secret":"x","secret":"y"}"#.to_owned(), "duplicate field `secret` ("),
            (format!(r#"{{"secret":"{secret}"#), "this is no JSON (line 1, "),
            (format!(r#"{{"secret":"{secret}"}}x"#), "this is no JSON (line 1, "),
            (format!(r#""{secret}""#), "expected an object (line 1, "),
            (format!(r#"["{secret}"]"#), "expected an object (line 1, column 1 of the body"),
            ("\n []".to_owned(), "expected an object (line 2, column 2 of the body"),
        ] {
            let told = wrong(&body);
            assert!(told.contains(said) && !told.contains(secret), "{body}: {told}");
        }
        assert!(read::<Why>(b"[]").is_err());
        assert!(read::<Why>(b"null").is_err() && read::<Said>(br#"{"weight":null}"#).is_ok());
    }
}
