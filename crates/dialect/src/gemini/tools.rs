//! What a model may call: `tools` and `toolConfig`.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{by_call, names::Names, schema, thinking};
use crate::{Conversation, Format, Medium, Tool, ToolChoice};

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tools<'r> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    function_declarations: Vec<Declaration<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    google_search: Option<Search>,
}

/// There is nothing to say about it.
#[derive(Serialize)]
struct Search {}

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
    allowed_function_names: Vec<&'r str>,
}

/// Whether words that stand beside a call are no answer: one has a form, which they have not.
pub(super) fn answers_beside_calls(conversation: &Conversation<'_>) -> bool {
    !matches!(conversation.format, Format::Text) && !conversation.tools.is_empty()
}

/// Whether it is to search, and the model can beside all else that is asked: it does not beside functions, and older ones
/// not where the answer has a form.
pub(super) fn may_search(conversation: &Conversation<'_>) -> bool {
    let Conversation { model, tools, format, medium, search, .. } = conversation;
    let formed = !matches!(format, Format::Text) && thinking::has_tools_or_form(model);
    search.is_some() && tools.is_empty() && !formed && *medium == Medium::Text && thinking::searches(model)
}

/// Whether none may be called beside a form that the model would not have beside tools: then none need be told of.
fn are_left_out(conversation: &Conversation<'_>) -> bool {
    conversation.tool_choice == ToolChoice::Never
        && !matches!(conversation.format, Format::Text)
        && thinking::has_tools_or_form(&conversation.model)
}

/// The tools of a conversation.
pub(super) fn tools<'r>(conversation: &'r Conversation<'_>, names: &'r Names) -> Option<[Tools<'r>; 1]> {
    let tools = &conversation.tools;
    let answer = names.answer.as_ref().map(|(name, way)| Declaration {
        name,
        description: Some(by_call::ABOUT),
        parameters_json_schema: by_call::parameters(&conversation.format, *way),
    });
    let declared = tools.iter().map(|tool| declaration(tool, names)).chain(answer);
    let some = !tools.is_empty() && !are_left_out(conversation);
    if some {
        return Some([Tools { function_declarations: declared.collect(), ..Tools::default() }]);
    }
    may_search(conversation).then(|| [Tools { google_search: Some(Search {}), ..Tools::default() }])
}

/// Whether the model may call them, or must.
pub(super) fn tool_config<'r>(conversation: &'r Conversation<'_>, names: &'r Names) -> Option<ToolConfig<'r>> {
    let tells = !conversation.tools.is_empty() && !are_left_out(conversation);
    let calling = if let Some((answer, _)) = &names.answer {
        let mut allowed = allowed(&conversation.tool_choice, names);
        if !allowed.is_empty() {
            allowed.push(answer);
        }
        Some(Calling { mode: "ANY", allowed_function_names: allowed })
    } else {
        calling(&conversation.tool_choice, names)
    };
    calling.filter(|_| tells).map(|function_calling_config| ToolConfig { function_calling_config })
}

fn declaration<'r>(tool: &'r Tool<'_>, names: &'r Names) -> Declaration<'r> {
    Declaration {
        name: names.there(&tool.name),
        description: tool.description.as_deref().filter(|text| !text.is_empty()),
        parameters_json_schema: tool.parameters.as_deref().map(schema::taken),
    }
}

/// Those that a choice names.
fn allowed<'r>(choice: &'r ToolChoice<'_>, names: &'r Names) -> Vec<&'r str> {
    match choice {
        ToolChoice::Unset | ToolChoice::Never => Vec::new(),
        ToolChoice::May(some) | ToolChoice::Must(some) => some.iter().map(|name| names.there(name)).collect(),
    }
}

fn calling<'r>(choice: &'r ToolChoice<'_>, names: &'r Names) -> Option<Calling<'r>> {
    let mode = match choice {
        ToolChoice::Unset => return None,
        ToolChoice::Never => "NONE",
        ToolChoice::May(some) if some.is_empty() => "AUTO",
        // Names are taken in this mode, not in AUTO.
        ToolChoice::May(_) => "VALIDATED",
        ToolChoice::Must(_) => "ANY",
    };
    Some(Calling { mode, allowed_function_names: allowed(choice, names) })
}
