//! What a model may call: `tools` and `toolConfig`.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{schema, thinking};
use crate::{Conversation, Format, Tool, ToolChoice};

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
    allowed_function_names: Vec<&'r str>,
}

/// The call that an answer is, where the model takes no form beside tools.
pub(super) const ANSWER: &str = "final_answer";
const ABOUT: &str = "Gives the final answer. Call it once no other function is needed any more.";

/// Whether the answer of a conversation is one more call, whose arguments have the form that is wished: models before the
/// third generation refuse tools beside a form.
pub fn answers_by_call(conversation: &Conversation<'_>) -> bool {
    form_of_call(conversation).is_some()
}

/// Whether words that stand beside a call are no answer: one has a form, which they have not.
pub fn answers_beside_calls(conversation: &Conversation<'_>) -> bool {
    !matches!(conversation.format, Format::Text) && !conversation.tools.is_empty()
}

/// The form of the arguments, which are an object.
fn form_of_call<'r>(conversation: &'r Conversation<'_>) -> Option<&'r RawValue> {
    #[derive(Deserialize)]
    struct Root {
        #[serde(rename = "type")]
        kind: String,
    }
    let Conversation { model, tools, tool_choice, format, .. } = conversation;
    let Format::Schema(schema) = format else { return None };
    let may = matches!(tool_choice, ToolChoice::Unset | ToolChoice::May(_));
    let is_free = tools.iter().all(|tool| &*tool.name != ANSWER);
    if !may || tools.is_empty() || !is_free || !thinking::has_tools_or_form(model) {
        return None;
    }
    let root: Root = serde_json::from_str(schema.get()).ok()?;
    (root.kind == "object").then_some(&**schema)
}

/// Whether none may be called beside a form that the model would not have beside tools: then none need be told of.
fn are_left_out(conversation: &Conversation<'_>) -> bool {
    conversation.tool_choice == ToolChoice::Never
        && !matches!(conversation.format, Format::Text)
        && thinking::has_tools_or_form(&conversation.model)
}

/// The tools of a conversation.
pub(super) fn tools<'r>(conversation: &'r Conversation<'_>) -> Option<[Tools<'r>; 1]> {
    let tools = &conversation.tools;
    let answer = form_of_call(conversation).map(|form| Declaration {
        name: ANSWER,
        description: Some(ABOUT),
        parameters_json_schema: Some(schema::taken(form)),
    });
    let some = !tools.is_empty() && !are_left_out(conversation);
    some.then(|| [Tools { function_declarations: tools.iter().map(declaration).chain(answer).collect() }])
}

/// Whether the model may call them, or must.
pub(super) fn tool_config<'r>(conversation: &'r Conversation<'_>) -> Option<ToolConfig<'r>> {
    let tells = !conversation.tools.is_empty() && !are_left_out(conversation);
    let calling = if answers_by_call(conversation) {
        let mut names = names(&conversation.tool_choice);
        if !names.is_empty() {
            names.push(ANSWER);
        }
        Some(Calling { mode: "ANY", allowed_function_names: names })
    } else {
        calling(&conversation.tool_choice)
    };
    calling.filter(|_| tells).map(|function_calling_config| ToolConfig { function_calling_config })
}

fn declaration<'r>(tool: &'r Tool<'_>) -> Declaration<'r> {
    Declaration {
        name: &tool.name,
        description: tool.description.as_deref().filter(|text| !text.is_empty()),
        parameters_json_schema: tool.parameters.as_deref().map(schema::taken),
    }
}

/// Those that a choice names.
fn names<'r>(choice: &'r ToolChoice<'_>) -> Vec<&'r str> {
    match choice {
        ToolChoice::Unset | ToolChoice::Never => Vec::new(),
        ToolChoice::May(names) | ToolChoice::Must(names) => names.iter().map(|name| &**name).collect(),
    }
}

fn calling<'r>(choice: &'r ToolChoice<'_>) -> Option<Calling<'r>> {
    let mode = match choice {
        ToolChoice::Unset => return None,
        ToolChoice::Never => "NONE",
        ToolChoice::May(names) if names.is_empty() => "AUTO",
        // Names are taken in this mode, not in AUTO.
        ToolChoice::May(_) => "VALIDATED",
        ToolChoice::Must(_) => "ANY",
    };
    Some(Calling { mode, allowed_function_names: names(choice) })
}
