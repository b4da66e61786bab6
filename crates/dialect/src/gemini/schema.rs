//! JSON schemas, as the upstream takes them.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::{Text, tree::Tree};

/// Deep enough for every schema; what is deeper stays as it is.
const DEEPEST: usize = 100;

/// A schema as `responseJsonSchema` and `parametersJsonSchema` take it. They take JSON Schema itself, but for
/// - `$schema`, which some models refuse, and `const`, which none looks at: an `enum` of one says the same;
/// - a `$ref` with anything beside it: it stands in an `anyOf` of one then; one whose `#` was lost gets it back;
/// - `allOf` of one, as generators write it for the same reason;
/// - `null` in an `enum`, which holds strings and numbers: it is a type of its own.
pub(super) fn taken(schema: &RawValue) -> Cow<'_, RawValue> {
    let text = schema.get();
    let has_odd_null = text.contains("\"enum\"") && text.contains("null");
    if !has_odd_null && !ODD.iter().any(|odd| text.contains(odd)) {
        return Cow::Borrowed(schema);
    }
    let Some(mut tree) = Tree::of(schema) else { return Cow::Borrowed(schema) };
    rewrite(&mut tree, 0);
    tree.raw().map_or(Cow::Borrowed(schema), Cow::Owned)
}

/// What makes a second look worth it.
const ODD: [&str; 4] = ["\"const\"", "\"$schema\"", "\"$ref\"", "\"allOf\""];

/// Fields whose own fields are names that somebody chose.
const NAMED: [&str; 4] = ["properties", "$defs", "definitions", "patternProperties"];
/// Fields that hold values, not schemas.
const VALUES: [&str; 4] = ["enum", "default", "examples", "example"];

fn rewrite(schema: &mut Tree<'_>, depth: usize) {
    if depth > DEEPEST {
        return;
    }
    match schema {
        Tree::List(items) => {
            for item in items {
                rewrite(item, depth + 1);
            }
        }
        Tree::Object(fields) => {
            fields.retain(|(name, _)| &**name != "$schema");
            if fields.iter().any(|(name, _)| &**name == "const") {
                // The narrower of the two.
                fields.retain(|(name, _)| &**name != "enum");
            }
            for (name, value) in fields.iter_mut().filter(|(name, _)| &**name == "const") {
                *name = "enum".into();
                let only = std::mem::replace(value, Tree::List(Vec::new()));
                *value = Tree::List(vec![only]);
            }
            for (name, value) in fields.iter_mut() {
                if let (true, Tree::String(place)) = (&**name == "$ref", value)
                    && place.starts_with('/')
                {
                    *place = format!("#{place}").into();
                }
            }
            part_reference(fields);
            part_null(fields);
            for (name, value) in fields {
                match &**name {
                    name if NAMED.contains(&name) => {
                        if let Tree::Object(named) = value {
                            for (_, schema) in named {
                                rewrite(schema, depth + 1);
                            }
                        }
                    }
                    name if VALUES.contains(&name) => {}
                    _ => rewrite(value, depth + 1),
                }
            }
        }
        Tree::Plain(_) | Tree::String(_) => {}
    }
}

/// Puts a reference, or an `allOf` of one, that something stands beside into an `anyOf` of one.
fn part_reference<'a>(fields: &mut Vec<(Text<'a>, Tree<'a>)>) {
    let stands_beside = |name: &str| !name.starts_with('$') && name != "allOf";
    let Some(at) = fields.iter().position(|(name, value)| match value {
        Tree::String(_) => &**name == "$ref",
        Tree::List(all) => &**name == "allOf" && all.len() == 1,
        _ => false,
    }) else {
        return;
    };
    let is_reference = &*fields[at].0 == "$ref";
    let has = |wanted: &str| fields.iter().any(|(name, _)| &**name == wanted);
    if has("anyOf") || (is_reference && !fields.iter().any(|(name, _)| stands_beside(name))) {
        return;
    }
    let (name, value) = std::mem::replace(&mut fields[at], ("anyOf".into(), Tree::List(Vec::new())));
    fields[at].1 = if is_reference { Tree::List(vec![Tree::Object(vec![(name, value)])]) } else { value };
}

/// Takes `null` out of an `enum`.
fn part_null<'a>(fields: &mut Vec<(Text<'a>, Tree<'a>)>) {
    let null = Tree::Plain(serde_json::Value::Null);
    let Some(at) = fields.iter().position(|(name, _)| &**name == "enum") else { return };
    let Tree::List(values) = &mut fields[at].1 else { return };
    let before = values.len();
    values.retain(|value| *value != null);
    if values.len() == before {
        return;
    }
    let nothing_else = values.is_empty();
    // What describes stays where it was.
    let describes = |name: &str| matches!(name, "description" | "title" | "default") || name.starts_with('$');
    let (mut outside, mut inside): (Vec<_>, Vec<_>) =
        std::mem::take(fields).into_iter().partition(|(name, _)| describes(name));
    let null: (Text<'a>, Tree<'a>) = ("type".into(), Tree::String("null".into()));
    if nothing_else {
        outside.push(null);
        *fields = outside;
        return;
    }
    for (name, value) in &mut inside {
        if let (true, Tree::List(kinds)) = (&**name == "type", value) {
            kinds.retain(|kind| *kind != Tree::String("null".into()));
        }
    }
    outside.push(("anyOf".into(), Tree::List(vec![Tree::Object(inside), Tree::Object(vec![null])])));
    *fields = outside;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(schema: &str) -> String {
        taken(serde_json::from_str(schema).unwrap()).get().to_owned()
    }

    #[test]
    fn a_constant_is_an_enum_of_one() {
        assert_eq!(
            of(
                r#"{"$schema":"x","type":"object","properties":{"z":{"const":"a"},"const":{"type":"string"}},"anyOf":[{"const":1}]}"#
            ),
            r#"{"type":"object","properties":{"z":{"enum":["a"]},"const":{"type":"string"}},"anyOf":[{"enum":[1]}]}"#
        );
        assert_eq!(of(r#"{"const":1,"enum":[1,2]}"#), r#"{"enum":[1]}"#);
        assert_eq!(of(r#"{"default":{"const":1}}"#), r#"{"default":{"const":1}}"#);
    }

    #[test]
    fn a_reference_stands_alone() {
        for (schema, expected) in [
            (r##"{"$ref":"#/$defs/a","description":"d"}"##, r##"{"anyOf":[{"$ref":"#/$defs/a"}],"description":"d"}"##),
            (r##"{"title":"t","allOf":[{"$ref":"#/$defs/a"}]}"##, r##"{"title":"t","anyOf":[{"$ref":"#/$defs/a"}]}"##),
            (r##"{"$ref":"#/$defs/a","$defs":{"a":{}}}"##, r##"{"$ref":"#/$defs/a","$defs":{"a":{}}}"##),
            // Somebody's own property of that name.
            (r#"{"properties":{"$ref":{"type":"string"}}}"#, r#"{"properties":{"$ref":{"type":"string"}}}"#),
            (
                r##"{"properties":{"x":{"$ref":"#","default":1}}}"##,
                r##"{"properties":{"x":{"anyOf":[{"$ref":"#"}],"default":1}}}"##,
            ),
            // As one client writes them to providers that it takes for another.
            (r#"{"items":{"$ref":"/$defs/a"}}"#, r##"{"items":{"$ref":"#/$defs/a"}}"##),
            (r#"{"$ref":"/$defs/a","title":"t"}"#, r##"{"anyOf":[{"$ref":"#/$defs/a"}],"title":"t"}"##),
            (r#"{"allOf":[{"type":"object"},{"type":"null"}]}"#, r#"{"allOf":[{"type":"object"},{"type":"null"}]}"#),
        ] {
            assert_eq!(of(schema), expected);
        }
    }

    #[test]
    fn null_is_a_type_and_no_word() {
        for (schema, expected) in [
            (
                r#"{"type":["string","null"],"enum":["a",null],"description":"d"}"#,
                r#"{"description":"d","anyOf":[{"type":["string"],"enum":["a"]},{"type":"null"}]}"#,
            ),
            (r#"{"enum":["a","b"]}"#, r#"{"enum":["a","b"]}"#),
            // As generators write that there is nothing.
            (r#"{"enum":[null]}"#, r#"{"type":"null"}"#),
            (r#"{"const":null,"type":"null","title":"t"}"#, r#"{"title":"t","type":"null"}"#),
            (
                r#"{"properties":{"a":{"const":null,"default":null}}}"#,
                r#"{"properties":{"a":{"default":null,"type":"null"}}}"#,
            ),
            (
                r#"{"enum":["a",null],"anyOf":[{"type":"string"},{"type":"null"}]}"#,
                r#"{"anyOf":[{"enum":["a"],"anyOf":[{"type":"string"},{"type":"null"}]},{"type":"null"}]}"#,
            ),
            (r#"{"properties":{"enum":{"type":"null"}}}"#, r#"{"properties":{"enum":{"type":"null"}}}"#),
        ] {
            assert_eq!(of(schema), expected);
        }
    }

    #[test]
    fn any_other_stays_as_it_is() {
        let schema = r#"{ "type":"object", "additionalProperties": false, "anyOf": [{"enum": ["a"]}, {}] }"#;
        assert_eq!(of(schema), schema);
    }
}
