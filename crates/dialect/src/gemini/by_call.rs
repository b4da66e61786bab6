//! An answer that is one more call, whose arguments have the form that is wished: models before the third generation refuse
//! tools beside a form.

use std::{borrow::Cow, collections::HashMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::schema;
use crate::{Conversation, Format, ToolChoice, tree::Tree};

/// What it is called, where no tool has that name.
pub(super) const ANSWER: &str = "final_answer";
pub(super) const ABOUT: &str = "Gives the final answer. Call it once no other function is needed any more.";

/// Where the form stands, which in arguments is an object's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The arguments have it.
    Itself,
    /// A field of theirs has it.
    Field,
    /// None is known but that it is JSON: a field of theirs is its text. An object of which nothing is known would come
    /// empty.
    Text,
}

const FIELD: &str = "answer";
const TEXT: &str = "json";
/// Arguments of which one is a text.
const OF_TEXT: &str = r#"{"type":"object","properties":{"json":{"type":"string","description":"The whole answer: one JSON object, as text."}},"required":["json"]}"#;

/// How the answer is a call of a model that refuses tools beside a form; `None` where it is none.
pub(super) fn way(conversation: &Conversation<'_>) -> Option<Way> {
    #[derive(Deserialize)]
    struct Root<'a> {
        #[serde(rename = "type", borrow)]
        kind: Option<&'a RawValue>,
        #[serde(rename = "$ref", borrow)]
        elsewhere: Option<&'a RawValue>,
    }
    let Conversation { tools, tool_choice, format, .. } = conversation;
    let may = matches!(tool_choice, ToolChoice::Unset | ToolChoice::May(_));
    if !may || tools.is_empty() {
        return None;
    }
    match format {
        Format::Text => None,
        Format::Json => Some(Way::Text),
        Format::Schema(form) => {
            let root: Option<Root<'_>> = serde_json::from_str(form.get()).ok();
            let is_object = root.is_some_and(|root| {
                root.elsewhere.is_none() && root.kind.is_some_and(|kind| kind.get() == "\"object\"")
            });
            Some(if is_object { Way::Itself } else { Way::Field })
        }
    }
}

/// The schema of the arguments.
pub(super) fn parameters<'r>(format: &'r Format<'_>, way: Way) -> Option<Cow<'r, RawValue>> {
    match (format, way) {
        (Format::Schema(form), Way::Itself) => Some(schema::taken(form)),
        (Format::Schema(form), _) => within(&schema::taken(form)).map(Cow::Owned),
        _ => RawValue::from_string(OF_TEXT.to_owned()).ok().map(Cow::Owned),
    }
}

/// A schema as that of a field. What others refer to by its place in the whole stays there.
fn within(form: &RawValue) -> Option<Box<RawValue>> {
    let mut tree = Tree::of(form)?;
    place(&mut tree);
    let mut defined = Vec::new();
    if let Tree::Object(fields) = &mut tree {
        defined = fields.extract_if(.., |(name, _)| matches!(&**name, "$defs" | "definitions")).collect();
    }
    let mut fields = vec![
        ("type".into(), Tree::String("object".into())),
        ("properties".into(), Tree::Object(vec![(FIELD.into(), tree)])),
        ("required".into(), Tree::List(vec![Tree::String(FIELD.into())])),
    ];
    fields.append(&mut defined);
    Tree::Object(fields).raw()
}

/// Refers to where the schema is now. The depth is what the parser allows.
fn place(schema: &mut Tree<'_>) {
    match schema {
        Tree::List(items) => items.iter_mut().for_each(place),
        Tree::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Tree::String(at) if &**name == "$ref" => {
                        let stays = ["#/$defs/", "#/definitions/"].iter().any(|front| at.starts_with(front));
                        if let (false, Some(rest)) = (stays, at.strip_prefix('#')) {
                            *at = format!("#/properties/{FIELD}{rest}").into();
                        }
                    }
                    value => place(value),
                }
            }
        }
        Tree::Plain(_) | Tree::String(_) => {}
    }
}

/// The answer that arguments are. A model may forget where it is to stand: then it is all of them.
pub(super) fn said(args: &RawValue, way: Way) -> String {
    let field = match way {
        Way::Itself => None,
        Way::Field => field(args, FIELD),
        Way::Text => field(args, TEXT),
    };
    match field {
        Some(text) if way == Way::Text && text.get().starts_with('"') => {
            serde_json::from_str(text.get()).unwrap_or_else(|_| text.get().to_owned())
        }
        Some(value) => value.get().to_owned(),
        None => args.get().to_owned(),
    }
}

fn field<'a>(args: &'a RawValue, wanted: &str) -> Option<&'a RawValue> {
    serde_json::from_str::<HashMap<String, &'a RawValue>>(args.get()).ok()?.remove(wanted)
}
