//! Tools, of which this dialect has more kinds than functions: each that can be is one for the model.

use std::{borrow::Cow, collections::HashMap};

use serde::Deserialize;
use serde_json::{
    json,
    value::{RawValue, to_raw_value},
};

use crate::{Conversation, Fault, Ignored, Text, Tool, fields::Field};

#[derive(Deserialize)]
struct WireTool<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
    /// Of a namespace.
    #[serde(borrow)]
    tools: Option<Vec<WireTool<'a>>>,
    /// How a custom tool's input is.
    #[serde(borrow)]
    format: Option<Input<'a>>,
    /// Where a search looks.
    #[serde(borrow)]
    filters: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Input<'a> {
    #[serde(borrow)]
    syntax: Option<Text<'a>>,
    #[serde(borrow)]
    definition: Option<Text<'a>>,
}

/// What the caller knows of a function's name as something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    /// It takes a text, not arguments.
    pub(super) custom: bool,
}

/// What functions are to the caller that are no plain ones, by the names that the model has for them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins(HashMap<String, Origin>);

/// The one argument of a tool that takes a text.
const INPUT: &str = "input";
/// What is asked for where a search on the web is.
const SEARCH: &str = "tools.web_search";

/// Reads `tools`.
pub(super) fn read<'a>(
    field: &Field<'a>,
    conversation: &mut Conversation<'a>,
    (origins, ignored): (&mut Origins, &mut Ignored),
    strict: bool,
) -> Result<(), Fault> {
    for (index, tool) in field.read::<Vec<WireTool<'a>>>()?.into_iter().enumerate() {
        let place = format!("tools[{index}]");
        match (&*tool.kind, tool.name.is_some()) {
            ("namespace", true) => {
                let namespace = tool.name.unwrap_or_default();
                if let Some(about) = tool.description.filter(|about| !about.trim().is_empty()) {
                    let front = joined(&namespace, "");
                    conversation.system.push(format!("Functions that begin with {front}: {}", &*about).into());
                }
                for (number, tool) in tool.tools.unwrap_or_default().into_iter().enumerate() {
                    let place = format!("{place}.tools[{number}]");
                    let tool = one(tool, Some(&namespace), origins, || place);
                    tool.map(|tool| conversation.tools.push(tool)).or_else(|fault| ignored.unless(strict, fault))?;
                }
            }
            ("web_search" | "web_search_2025_08_26" | "web_search_preview" | "web_search_preview_2025_03_11", _) => {
                if tool.filters.is_some_and(|filters| filters.get() != "null") {
                    let place = format!("{place}.filters");
                    ignored.unless(strict, Fault::invalid(format!("{place} cannot be had")).at(place))?;
                }
                conversation.search = Some(SEARCH);
            }
            _ => {
                let tool = one(tool, None, origins, || place);
                tool.map(|tool| conversation.tools.push(tool)).or_else(|fault| ignored.unless(strict, fault))?;
            }
        }
    }
    Ok(())
}

/// One that is called.
fn one<'a>(
    tool: WireTool<'a>,
    namespace: Option<&Text<'a>>,
    origins: &mut Origins,
    place: impl FnOnce() -> String,
) -> Result<Tool<'a>, Fault> {
    let custom = &*tool.kind == "custom";
    let Some(name) = tool.name.filter(|_| custom || &*tool.kind == "function") else {
        let place = format!("{}.type", place());
        return Err(Fault::invalid(format!("{place}: only functions can be had, not {}", tool.kind)).at(place));
    };
    let known = match namespace {
        Some(namespace) => joined(namespace, &name).into(),
        None => name.clone(),
    };
    if custom || namespace.is_some() {
        let namespace = namespace.map(ToString::to_string);
        origins.0.insert(known.to_string(), Origin { namespace, name: name.to_string(), custom });
    }
    if custom {
        let mut about = tool.description.as_deref().unwrap_or_default().to_owned();
        if let Some(Input { syntax: Some(syntax), definition: Some(definition) }) = tool.format {
            about.extend(["\nThe input is text by this grammar (", &*syntax, "):\n", &*definition]);
        }
        let parameters =
            json!({ "type": "object", "properties": { INPUT: { "type": "string" } }, "required": [INPUT] });
        let parameters = to_raw_value(&parameters).ok().map(Cow::Owned);
        return Ok(Tool { name: known, description: Some(about.into()), parameters });
    }
    let parameters = tool.parameters.filter(|schema| schema.get() != "null").map(Cow::Borrowed);
    Ok(Tool { name: known, description: tool.description, parameters })
}

/// What the model knows a namespace's function as.
fn joined(namespace: &str, name: &str) -> String {
    let between = if namespace.ends_with(['_', '.']) { "" } else { "." };
    format!("{namespace}{between}{name}")
}

/// The same of one that was called before.
pub(super) fn known<'a>(namespace: Option<Text<'a>>, name: Text<'a>) -> Text<'a> {
    match namespace {
        Some(namespace) => joined(&namespace, &name).into(),
        None => name,
    }
}

/// A text as the arguments of a tool that takes one.
pub(super) fn arguments(input: &str) -> Cow<'static, RawValue> {
    let arguments = to_raw_value(&json!({ INPUT: input }));
    Cow::Owned(arguments.unwrap_or_else(|_| RawValue::NULL.to_owned()))
}

/// That text again. A model may forget where it is to stand: then it is all of them.
pub(super) fn input(arguments: &str) -> String {
    #[derive(Deserialize)]
    struct Arguments {
        input: String,
    }
    serde_json::from_str(arguments).map_or_else(|_| arguments.to_owned(), |Arguments { input }| input)
}

impl Origins {
    /// What the function that the model calls so is to the caller, where that is no plain one.
    pub(super) fn of(&self, name: &str) -> Option<&Origin> {
        self.0.get(name)
    }
}
