//! Tools and the choice among them.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    Fault, Format, Ignored, Text, Tool, ToolChoice,
    fields::Field,
    origins::{Grammar, Origins, taking_text},
};

#[derive(Deserialize)]
pub(super) struct WireTool<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    function: Option<Function<'a>>,
    #[serde(borrow)]
    custom: Option<Custom<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Function<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
    #[serde(borrow)]
    pub(super) description: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) parameters: Option<&'a RawValue>,
    strict: Option<bool>,
}

/// A tool that takes a text.
#[derive(Deserialize)]
struct Custom<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    format: Option<Input<'a>>,
}

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    grammar: Option<Grammar<'a>>,
}

/// Reads `tools`.
pub(super) fn tools<'a>(
    field: &Field<'a>,
    (origins, ignored): (&mut Origins, &mut Ignored),
    strict: bool,
) -> Result<Vec<Tool<'a>>, Fault> {
    let mut tools = Vec::new();
    for (index, tool) in field.read::<Vec<WireTool<'a>>>()?.into_iter().enumerate() {
        if let Some(Custom { name, description, format }) = tool.custom.filter(|_| &*tool.kind == "custom") {
            origins.takes_text(&name);
            let grammar = format.and_then(|format| format.grammar);
            tools.push(taking_text(name, description.as_deref(), grammar));
            continue;
        }
        let Some(function) = tool.function.filter(|_| &*tool.kind == "function") else {
            let place = format!("tools[{index}].type");
            let why = format!("{place}: only functions can be had, not {}", tool.kind);
            ignored.unless(strict, Fault::invalid(why).at(place))?;
            continue;
        };
        if function.strict == Some(true) {
            // Arguments follow the schema as well as the model can.
            ignored.add("tools.function.strict");
        }
        tools.push(Tool {
            name: function.name,
            description: function.description,
            parameters: function.parameters.filter(|schema| takes_something(schema)).map(Cow::Borrowed),
        });
    }
    Ok(tools)
}

/// Whether a schema says anything of what a function takes.
pub(crate) fn takes_something(schema: &RawValue) -> bool {
    let mut plain = schema.get().chars().filter(|letter| !letter.is_ascii_whitespace());
    !(plain.next() == Some('{') && plain.next() == Some('}'))
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    function: Option<Name<'a>>,
    #[serde(borrow)]
    custom: Option<Name<'a>>,
    #[serde(borrow)]
    allowed_tools: Option<Allowed<'a>>,
}

#[derive(Deserialize)]
struct Name<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

#[derive(Deserialize)]
struct Allowed<'a> {
    #[serde(borrow)]
    mode: Text<'a>,
    #[serde(borrow)]
    tools: Vec<Named<'a>>,
}

/// Reads `tool_choice`.
pub(crate) fn choice<'a>(field: &Field<'a>) -> Result<ToolChoice<'a>, Fault> {
    if field.value.get().starts_with('"') {
        return match &*field.read::<Text<'a>>()? {
            "none" => Ok(ToolChoice::Never),
            "auto" => Ok(ToolChoice::May(Vec::new())),
            "required" => Ok(ToolChoice::Must(Vec::new())),
            other => Err(unknown(other)),
        };
    }
    let Named { kind, function, custom, allowed_tools } = field.read()?;
    match (&*kind, function.or(custom), allowed_tools) {
        ("function" | "custom", Some(tool), _) => Ok(ToolChoice::Must(vec![tool.name])),
        ("allowed_tools", _, Some(Allowed { mode, tools })) => {
            // What is no function has no name, and is none of those that there are.
            let name = |tool: Named<'a>| tool.function.or(tool.custom).map_or(tool.kind, |tool| tool.name);
            let names = tools.into_iter().map(name).collect();
            match &*mode {
                "auto" => Ok(ToolChoice::May(names)),
                "required" => Ok(ToolChoice::Must(names)),
                other => Err(unknown(other)),
            }
        }
        (other, ..) => Err(unknown(other)),
    }
}

fn unknown(word: &str) -> Fault {
    let short: String = word.chars().take(40).collect();
    Fault::invalid(format!("tool_choice: {short:?} is not known")).at("tool_choice")
}

#[derive(Deserialize)]
struct WireFormat<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    json_schema: Option<JsonSchema<'a>>,
    /// Beside `json_object`: no field of theirs, but of many who serve other models in this dialect.
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct JsonSchema<'a> {
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
}

/// A schema that says what it is for, where it says nothing of that itself.
pub(crate) fn described<'a>(schema: &'a RawValue, about: Option<&Text<'_>>) -> Cow<'a, RawValue> {
    let members = || serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(schema.get()).ok();
    let about = about.filter(|about| !about.trim().is_empty());
    let Some((about, members)) = about.zip(members()).filter(|(_, members)| !members.contains_key("description"))
    else {
        return Cow::Borrowed(schema);
    };
    let about = serde_json::Value::from(&**about);
    let comma = if members.is_empty() { "" } else { "," };
    let rest = schema.get().trim_start().strip_prefix('{').unwrap_or_default();
    let described = RawValue::from_string(format!("{{\"description\":{about}{comma}{rest}"));
    described.map_or(Cow::Borrowed(schema), Cow::Owned)
}

/// Reads `response_format`.
pub(super) fn format<'a>(field: &Field<'a>) -> Result<Format<'a>, Fault> {
    let WireFormat { kind, json_schema, schema: beside } = field.read()?;
    match (&*kind, json_schema) {
        ("text", _) => Ok(Format::Text),
        ("json_schema", Some(JsonSchema { schema: Some(schema), description })) => {
            Ok(Format::Schema(described(schema, description.as_ref())))
        }
        ("json_object", _) => Ok(beside.map_or(Format::Json, |schema| Format::Schema(Cow::Borrowed(schema)))),
        ("json_schema", Some(_)) => {
            let place = "response_format.json_schema.schema";
            Err(Fault::invalid(format!("{place} is missing")).at(place))
        }
        ("json_schema", None) => {
            Err(Fault::invalid("response_format.json_schema is missing").at("response_format.json_schema"))
        }
        (other, _) => {
            let short: String = other.chars().take(40).collect();
            let place = "response_format.type";
            Err(Fault::invalid(format!("{place}: {short:?} cannot be had")).at(place))
        }
    }
}
