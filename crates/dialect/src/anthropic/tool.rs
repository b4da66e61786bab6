//! Tools and the choice among them.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Conversation, Fault, Ignored, Text, Tool, ToolChoice, fields::Field, neutral::CHOSEN};

#[derive(Deserialize)]
struct WireTool<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Text<'a>>,
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
    #[serde(borrow)]
    input_schema: Option<&'a RawValue>,
    strict: Option<bool>,
    /// What it may be given, which the model is told.
    #[serde(borrow)]
    input_examples: Option<Vec<&'a RawValue>>,
    /// Which tools are there from the beginning, who calls it, and how its input streams: nothing here does otherwise.
    #[serde(borrow)]
    defer_loading: Option<&'a RawValue>,
    #[serde(borrow)]
    allowed_callers: Option<&'a RawValue>,
    #[serde(borrow)]
    eager_input_streaming: Option<&'a RawValue>,
    /// Where a search looks, and where not.
    #[serde(borrow)]
    allowed_domains: Option<&'a RawValue>,
    #[serde(borrow)]
    blocked_domains: Option<&'a RawValue>,
    /// How often it may, and for whom.
    #[serde(borrow)]
    max_uses: Option<&'a RawValue>,
    #[serde(borrow)]
    user_location: Option<&'a RawValue>,
}

/// What is asked for where a search on the web is.
const SEARCH: &str = "tools.web_search";

/// Reads `tools`.
pub(super) fn tools<'a>(
    field: &Field<'a>,
    conversation: &mut Conversation<'a>,
    strict: bool,
    ignored: &mut Ignored,
) -> Result<(), Fault> {
    for (index, tool) in field.read::<Vec<WireTool<'a>>>()?.into_iter().enumerate() {
        if tool.kind.as_deref().is_some_and(|kind| kind.starts_with("web_search_2")) {
            for (name, domains) in
                [("allowed_domains", tool.allowed_domains), ("blocked_domains", tool.blocked_domains)]
            {
                if domains.is_some_and(|domains| !matches!(domains.get(), "null" | "[]")) {
                    let place = format!("tools[{index}].{name}");
                    ignored.unless(strict, Fault::invalid(format!("{place} cannot be had")).at(place))?;
                }
            }
            ignored.within(SEARCH, [("max_uses", tool.max_uses), ("user_location", tool.user_location)]);
            conversation.search = Some(SEARCH);
            continue;
        }
        if tool.kind.as_deref().is_some_and(|kind| kind != "custom") {
            // A tool of that provider's own.
            let kind = tool.kind.unwrap_or_default();
            let place = format!("tools[{index}].type");
            ignored.unless(strict, Fault::invalid(format!("{place}: {kind} cannot be had")).at(place))?;
            continue;
        }
        if tool.name.is_empty() {
            let place = format!("tools[{index}].name");
            return Err(Fault::invalid(format!("{place} is missing")).at(place));
        }
        if tool.strict == Some(true) {
            ignored.add("tools.strict");
        }
        let of_whole = [
            ("defer_loading", tool.defer_loading),
            ("allowed_callers", tool.allowed_callers),
            ("eager_input_streaming", tool.eager_input_streaming),
        ];
        ignored.within("tools", of_whole);
        let Some(schema) = tool.input_schema else {
            let place = format!("tools[{index}].input_schema");
            return Err(Fault::invalid(format!("{place} is missing")).at(place));
        };
        conversation.tools.push(Tool {
            name: tool.name,
            description: with_examples(tool.description, tool.input_examples.as_deref().unwrap_or_default()),
            parameters: Some(Cow::Borrowed(schema)),
        });
    }
    Ok(())
}

/// What a tool does, and what it may be given.
fn with_examples<'a>(about: Option<Text<'a>>, examples: &[&RawValue]) -> Option<Text<'a>> {
    if examples.is_empty() {
        return about;
    }
    let about = about.as_deref().map_or_else(String::new, |about| format!("{about}\n\n"));
    let examples: Vec<&str> = examples.iter().map(|example| example.get()).collect();
    Some(format!("{about}Examples of its input:\n{}", examples.join("\n")).into())
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    disable_parallel_tool_use: Option<bool>,
}

/// Reads `tool_choice`.
pub(super) fn choice<'a>(field: &Field<'a>, conversation: &mut Conversation<'a>) -> Result<(), Fault> {
    let Choice { kind, name, disable_parallel_tool_use } = field.read()?;
    conversation.one_call = disable_parallel_tool_use == Some(true);
    conversation.tool_choice = match (&*kind, name) {
        ("auto", _) => ToolChoice::May(Vec::new()),
        ("any", _) => ToolChoice::Must(Vec::new()),
        ("none", _) => ToolChoice::Never,
        ("tool", Some(name)) => ToolChoice::Must(vec![name]),
        ("tool", None) => return Err(Fault::invalid("tool_choice.name is missing").at("tool_choice.name")),
        _ => return Err(Fault::invalid("tool_choice.type: expected auto, any, tool or none").at("tool_choice.type")),
    };
    Ok(())
}

/// Whoever must search is one who may: that it is done the upstream does not let one say.
pub(super) fn choose_search(conversation: &mut Conversation<'_>) {
    let is_search = matches!(&conversation.tool_choice, ToolChoice::Must(names) if match &names[..] {
        [name] => &**name == "web_search",
        names => names.is_empty() && conversation.tools.is_empty(),
    });
    if is_search && conversation.search.is_some() && !conversation.tools.iter().any(|tool| &*tool.name == "web_search")
    {
        conversation.tool_choice = ToolChoice::Unset;
        conversation.search = Some(CHOSEN);
    }
}
