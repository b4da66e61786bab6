//! JSON schemas, as the upstream takes them.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::tree::Tree;

/// Deep enough for every schema; what is deeper stays as it is.
const DEEPEST: usize = 100;

/// A schema as `responseJsonSchema` and `parametersJsonSchema` take it. They take JSON Schema itself; but `$schema` is
/// refused there by some models, and `const` is not looked at by any: an `enum` of one says the same.
pub(super) fn taken(schema: &RawValue) -> Cow<'_, RawValue> {
    let text = schema.get();
    if !text.contains("\"const\"") && !text.contains("\"$schema\"") {
        return Cow::Borrowed(schema);
    }
    let Some(mut tree) = Tree::of(schema) else { return Cow::Borrowed(schema) };
    rewrite(&mut tree, 0);
    tree.raw().map_or(Cow::Borrowed(schema), Cow::Owned)
}

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
            for (name, value) in fields {
                match &**name {
                    "const" => {
                        *name = "enum".into();
                        let only = std::mem::replace(value, Tree::List(Vec::new()));
                        *value = Tree::List(vec![only]);
                    }
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
    fn any_other_stays_as_it_is() {
        let schema = r##"{ "type":"object", "additionalProperties": false, "$defs": {"a": {"$ref": "#/$defs/a"}} }"##;
        assert_eq!(of(schema), schema);
    }
}
