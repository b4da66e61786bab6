//! Tools, of which this dialect has more kinds than functions: each that can be is one for the model.

use std::{borrow::Cow, collections::HashSet};

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use crate::{
    Conversation, Fault, Ignored, Text, Tool,
    fields::Field,
    openai::takes_something,
    origins::{Grammar, Origins, front, taking_text},
};

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
    format: Option<Grammar<'a>>,
    strict: Option<bool>,
    /// Where a search looks, how much it reads, and for whom.
    #[serde(borrow)]
    filters: Option<&'a RawValue>,
    #[serde(borrow)]
    search_context_size: Option<&'a RawValue>,
    #[serde(borrow)]
    user_location: Option<&'a RawValue>,
}

/// What is asked for where a search on the web is.
const SEARCH: &str = "tools.web_search";
/// A tool that takes a text.
const CUSTOM: &str = "custom";

/// Reads `tools`.
pub(super) fn read<'a>(
    field: &Field<'a>,
    conversation: &mut Conversation<'a>,
    (origins, ignored): (&mut Origins, &mut Ignored),
    strict: bool,
) -> Result<(), Fault> {
    let tools = field.read::<Vec<WireTool<'a>>>()?;
    // Their names stay as they are, whatever comes before them.
    let plain = tools.iter().filter(|tool| matches!(&*tool.kind, "function" | CUSTOM));
    let mut used: HashSet<String> = plain.filter_map(|tool| tool.name.as_ref().map(ToString::to_string)).collect();
    for (index, tool) in tools.into_iter().enumerate() {
        let place = format!("tools[{index}]");
        let of_it = tool.tools.iter().flatten();
        if of_it.chain([&tool]).any(|tool| tool.strict == Some(true)) {
            // Arguments follow the schema as well as the model can.
            ignored.add("tools.strict");
        }
        match (&*tool.kind, tool.name.is_some()) {
            ("namespace", true) => {
                let namespace = tool.name.unwrap_or_default();
                if let Some(about) = tool.description.filter(|about| !about.trim().is_empty()) {
                    let front = front(&namespace);
                    conversation.system.push(format!("Functions that begin with {front}: {}", &*about).into());
                }
                for (number, tool) in tool.tools.unwrap_or_default().into_iter().enumerate() {
                    let place = format!("{place}.tools[{number}]");
                    let tool = one(tool, Some(&namespace), (origins, &mut used), || place);
                    tool.map(|tool| conversation.tools.push(tool)).or_else(|fault| ignored.unless(strict, fault))?;
                }
            }
            ("web_search" | "web_search_2025_08_26" | "web_search_preview" | "web_search_preview_2025_03_11", _) => {
                if tool.filters.is_some_and(|filters| filters.get() != "null") {
                    let place = format!("{place}.filters");
                    ignored.unless(strict, Fault::invalid(format!("{place} cannot be had")).at(place))?;
                }
                let given = [("search_context_size", tool.search_context_size), ("user_location", tool.user_location)];
                ignored.within(SEARCH, given);
                conversation.search = Some(SEARCH);
            }
            _ => {
                let tool = one(tool, None, (origins, &mut used), || place);
                tool.map(|tool| conversation.tools.push(tool)).or_else(|fault| ignored.unless(strict, fault))?;
            }
        }
    }
    Ok(())
}

/// They as a response repeats them: with what they left unsaid, since typed clients look for it (openai-php).
pub(super) fn repeated(said: &RawValue) -> Option<Value> {
    let mut tools = serde_json::from_str(said.get()).ok()?;
    complete(&mut tools);
    Some(tools)
}

fn complete(tools: &mut Value) {
    for tool in tools.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        let (unsaid, usual) = match tool.get("type").and_then(Value::as_str) {
            Some("function") => (["description", "parameters"], ("strict", json!(true))),
            Some(kind) if kind.starts_with("web_search") => {
                (["filters", "user_location"], ("search_context_size", json!("medium")))
            }
            Some("namespace") => {
                tool.get_mut("tools").into_iter().for_each(complete);
                continue;
            }
            _ => continue,
        };
        for name in unsaid {
            tool.entry(name).or_insert(Value::Null);
        }
        let said = tool.entry(usual.0).or_insert(Value::Null);
        if said.is_null() {
            *said = usual.1;
        }
    }
}

/// One that is called; `used`: the names of others.
fn one<'a>(
    tool: WireTool<'a>,
    namespace: Option<&Text<'a>>,
    (origins, used): (&mut Origins, &mut HashSet<String>),
    place: impl FnOnce() -> String,
) -> Result<Tool<'a>, Fault> {
    let custom = &*tool.kind == CUSTOM;
    let Some(name) = tool.name.filter(|_| custom || &*tool.kind == "function") else {
        let place = format!("{}.type", place());
        let what = format!("{place}: only function, custom, namespace and web_search can be had, not {}", tool.kind);
        return Err(Fault::invalid(what).at(place));
    };
    let name = match namespace {
        Some(namespace) => origins.in_namespace(namespace, &name, custom, used).into(),
        None => name,
    };
    if custom {
        if namespace.is_none() {
            origins.takes_text(&name);
        }
        return Ok(taking_text(name, tool.description.as_deref(), tool.format));
    }
    let says = |schema: &&RawValue| schema.get() != "null" && takes_something(schema);
    let parameters = tool.parameters.filter(says).map(Cow::Borrowed);
    Ok(Tool { name, description: tool.description, parameters })
}
