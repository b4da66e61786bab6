//! Tools and the choice among them.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    Conversation, Error, Tool, ToolChoice,
    fields::{self, Notes},
};

#[derive(Deserialize)]
struct WireTool<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    name: String,
    description: Option<String>,
    #[serde(borrow)]
    input_schema: Option<&'a RawValue>,
    strict: Option<bool>,
    /// What it may be given, which the model is told.
    #[serde(borrow)]
    input_examples: Option<Vec<&'a RawValue>>,
    #[serde(borrow)]
    allowed_domains: Option<&'a RawValue>,
    #[serde(borrow)]
    blocked_domains: Option<&'a RawValue>,
    /// Which tools are there from the beginning, who calls it, how its input streams: nothing here does otherwise.
    #[serde(borrow)]
    defer_loading: Option<&'a RawValue>,
    #[serde(borrow)]
    allowed_callers: Option<&'a RawValue>,
    #[serde(borrow)]
    eager_input_streaming: Option<&'a RawValue>,
    /// As OpenAI nests a function.
    #[serde(borrow)]
    function: Option<&'a RawValue>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
}

/// Reads `tools`.
pub(crate) fn read(tools: Vec<&RawValue>, conversation: &mut Conversation, notes: &mut Notes) -> Result<(), Error> {
    for (index, value) in tools.into_iter().enumerate() {
        let place = format!("tools.{index}");
        let mut tool: WireTool<'_> = fields::read(value, &place)?;
        let kind = tool.kind.as_deref().unwrap_or("custom");
        if kind.starts_with("web_search_2") {
            for (name, domains) in
                [("allowed_domains", tool.allowed_domains), ("blocked_domains", tool.blocked_domains)]
            {
                if domains.is_some_and(|domains| !matches!(domains.get(), "null" | "[]")) {
                    let why = "a search cannot be limited to domains; leave it out";
                    notes.refuse(Error::invalid(format!("{place}.{name}"), why))?;
                }
            }
            conversation.web_search = true;
            continue;
        }
        if kind == "function" {
            if let Some(nested) = tool.function {
                tool = fields::read(nested, &place)?;
            }
        } else if kind != "custom" {
            let why = format!("{kind:?} is run by another provider; use a tool with an input_schema");
            notes.refuse(Error::invalid(format!("{place}.type"), why))?;
            continue;
        }
        if tool.name.is_empty() {
            return Err(Error::invalid(format!("{place}.name"), "Field required"));
        }
        let beside = [
            ("tools.strict", tool.strict == Some(true)),
            ("tools.defer_loading", tool.defer_loading.is_some()),
            ("tools.allowed_callers", tool.allowed_callers.is_some()),
            ("tools.eager_input_streaming", tool.eager_input_streaming.is_some()),
        ];
        beside.into_iter().filter(|(_, given)| *given).for_each(|(name, _)| notes.ignore(name));
        let Some(schema) = tool.input_schema.or(tool.parameters) else {
            return Err(Error::invalid(format!("{place}.input_schema"), "Field required"));
        };
        let examples: Vec<&str> = tool.input_examples.iter().flatten().map(|example| example.get()).collect();
        let mut description = tool.description;
        if !examples.is_empty() {
            let about = description.map_or_else(String::new, |about| format!("{about}\n\n"));
            description = Some(format!("{about}Examples of its input:\n{}", examples.join("\n")));
        }
        conversation.tools.push(Tool { name: tool.name, description, parameters: Some(schema.to_owned()) });
    }
    Ok(())
}

/// Reads `tool_choice`, once the tools are known.
pub(crate) fn read_choice(value: &RawValue, conversation: &mut Conversation, notes: &mut Notes) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Choice {
        #[serde(rename = "type")]
        kind: String,
        name: Option<String>,
        disable_parallel_tool_use: Option<bool>,
    }
    let choice: Choice = if value.get().starts_with('"') {
        Choice { kind: fields::read(value, "tool_choice")?, name: None, disable_parallel_tool_use: None }
    } else {
        fields::read(value, "tool_choice")?
    };
    conversation.single_call = choice.disable_parallel_tool_use == Some(true);
    let is_search = |name: &str| name == "web_search" && !conversation.tools.iter().any(|tool| tool.name == name);
    conversation.tool_choice = match (&*choice.kind, choice.name) {
        ("auto", _) => ToolChoice::May(Vec::new()),
        ("none", _) => ToolChoice::Never,
        // That a search is made cannot be said; that it may be is said by the tool.
        ("any", _) if conversation.web_search && conversation.tools.is_empty() => {
            notes.ignore("tool_choice");
            ToolChoice::Unset
        }
        ("tool", Some(name)) if conversation.web_search && is_search(&name) => {
            notes.ignore("tool_choice");
            ToolChoice::Unset
        }
        ("any" | "required", _) => ToolChoice::Must(Vec::new()),
        ("tool", Some(name)) => ToolChoice::Must(vec![name]),
        ("tool", None) => return Err(Error::invalid("tool_choice.name", "Field required")),
        _ => return Err(Error::invalid("tool_choice.type", "expected auto, any, tool or none")),
    };
    Ok(())
}
