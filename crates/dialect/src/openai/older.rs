//! The older form of tools, which `OpenAI` serves still: `functions` for `tools`, `function_call` for `tool_choice`, one call
//! without an id in an answer, and a message of the role `function` that answers it by its name.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::tool::{Function, takes_something};
use crate::{Event, Fault, Finish, Text, Tool, ToolChoice, fields::Field};

/// Reads `functions`.
pub(super) fn functions<'a>(field: &Field<'a>) -> Result<Vec<Tool<'a>>, Fault> {
    let tool = |function: Function<'a>| Tool {
        name: function.name,
        description: function.description,
        parameters: function.parameters.filter(|schema| takes_something(schema)).map(Cow::Borrowed),
    };
    Ok(field.read::<Vec<Function<'a>>>()?.into_iter().map(tool).collect())
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow)]
    name: Text<'a>,
}

/// Reads `function_call` of a request.
pub(super) fn choice<'a>(field: &Field<'a>) -> Result<ToolChoice<'a>, Fault> {
    if !field.value.get().starts_with('"') {
        return Ok(ToolChoice::Must(vec![field.read::<Named<'a>>()?.name]));
    }
    match &*field.read::<Text<'a>>()? {
        "none" => Ok(ToolChoice::Never),
        "auto" => Ok(ToolChoice::May(Vec::new())),
        other => {
            let short: String = other.chars().take(40).collect();
            let why = format!("function_call: expected auto, none or a function's name, not {short:?}");
            Err(Fault::invalid(why).at("function_call"))
        }
    }
}

/// A call, as an answer has it.
#[derive(Serialize)]
pub(super) struct FunctionCall {
    name: String,
    arguments: String,
}

impl FunctionCall {
    /// From an event that is a call.
    pub(super) fn of(event: &Event<'_>) -> Option<Self> {
        let Event::Call { name, args, .. } = event else { return None };
        Some(Self { name: name.to_string(), arguments: args.get().to_owned() })
    }
}

/// `finish_reason`.
pub(super) fn reason(why: Finish) -> &'static str {
    if why == Finish::Calls { "function_call" } else { super::completion::reason(why) }
}
