//! What a model may call: `tools` and `toolConfig`.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::schema;
use crate::{Conversation, Text, Tool, ToolChoice};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tools<'r> {
    function_declarations: Vec<Declaration<'r>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'r> {
    name: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<Cow<'r, RawValue>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ToolConfig<'r> {
    function_calling_config: Calling<'r>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Calling<'r> {
    mode: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allowed_function_names: &'r [Text<'r>],
}

/// The tools of a conversation.
pub(super) fn tools<'r>(conversation: &'r Conversation<'_>) -> Option<[Tools<'r>; 1]> {
    let tools = &conversation.tools;
    (!tools.is_empty()).then(|| [Tools { function_declarations: tools.iter().map(declaration).collect() }])
}

/// Whether the model may call them, or must.
pub(super) fn tool_config<'r>(conversation: &'r Conversation<'_>) -> Option<ToolConfig<'r>> {
    let calling = calling(&conversation.tool_choice).filter(|_| !conversation.tools.is_empty());
    calling.map(|function_calling_config| ToolConfig { function_calling_config })
}

fn declaration<'r>(tool: &'r Tool<'_>) -> Declaration<'r> {
    Declaration {
        name: &tool.name,
        description: tool.description.as_deref().filter(|text| !text.is_empty()),
        parameters_json_schema: tool.parameters.as_deref().map(schema::taken),
    }
}

fn calling<'r>(choice: &'r ToolChoice<'_>) -> Option<Calling<'r>> {
    let (mode, names): (_, &[_]) = match choice {
        ToolChoice::Unset => return None,
        ToolChoice::Never => ("NONE", &[]),
        ToolChoice::May(names) if names.is_empty() => ("AUTO", &[]),
        // Names are taken in this mode, not in AUTO.
        ToolChoice::May(names) => ("VALIDATED", names),
        ToolChoice::Must(names) => ("ANY", names),
    };
    Some(Calling { mode, allowed_function_names: names })
}
