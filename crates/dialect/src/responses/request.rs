//! A request for a response, field by field.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    item::{self, Item},
    tool,
};
use crate::{
    Asked, Conversation, Fault, Format, Ignored, OneOr, Text, ToolChoice,
    fields::{Field, Fields},
    neutral::CHOSEN,
    openai,
    origins::Origins,
};

/// Fields that change nothing about an answer here.
const NEVER_MATTER: [&str; 12] = [
    "user",
    "store",
    "metadata",
    // Codex says where it comes from.
    "client_metadata",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "stream_options",
    // Shortens what is too long anyway.
    "context_management",
    "max_tool_calls",
];

/// Fields that would change the answer and cannot be had, but for these values.
const ONLY_AS: [(&str, &[&str]); 5] = [
    // Changes nothing about what fits; of what does not the upstream says so.
    ("truncation", &[r#""disabled""#, r#""auto""#]),
    ("background", &["false"]),
    ("previous_response_id", &[]),
    ("conversation", &[]),
    ("prompt", &[]),
];

/// Fields that an answer repeats.
const ECHOED: [&str; 19] = [
    "background",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "temperature",
    "text",
    "tool_choice",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// What of an answer is told where it is asked for.
const LOGPROBS: &str = "message.output_text.logprobs";

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow)]
    format: Option<WireFormat<'a>>,
    #[serde(borrow)]
    verbosity: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct WireFormat<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    schema: Option<&'a RawValue>,
    #[serde(borrow)]
    description: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Reasoning<'a> {
    #[serde(borrow)]
    effort: Option<Text<'a>>,
    #[serde(borrow)]
    summary: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    name: Option<Text<'a>>,
    #[serde(borrow)]
    namespace: Option<Text<'a>>,
    #[serde(borrow)]
    mode: Option<Text<'a>>,
    #[serde(borrow, default)]
    tools: Vec<Named<'a>>,
}

pub(super) fn read(body: &[u8], strict: bool) -> Result<Asked<'_>, Fault> {
    let mut asked = Asked { usage_wanted: true, ..Asked::default() };
    let (fields, input) = Fields::read_with::<OneOr<'_, Item<'_>>>(body, "input")
        .map_err(|fault| item::strange_in(body).unwrap_or(fault))?;
    let mut chosen = None;
    for field in fields.given() {
        if ECHOED.contains(&&*field.name)
            && let Ok(value) = serde_json::from_str(field.value.get())
        {
            asked.repeated.echoed.insert(field.name.to_string(), value);
        }
        if *field.name == *"tool_choice" {
            chosen = Some(field);
        } else if !known(&field, &mut asked, strict)? {
            asked.ignored.unless(strict, field.refused())?;
        }
    }
    if asked.conversation.model.trim().is_empty() {
        return Err(Fault::invalid("you must provide a model").at("model"));
    }
    let Some(input) = input else { return Err(Fault::invalid("input is missing").at("input")) };
    let Asked { conversation, ignored, repeated, .. } = &mut asked;
    if let Some(field) = chosen {
        // What it names the tools say.
        conversation.tool_choice = choice(&field, conversation, &repeated.origins, (ignored, strict))?;
    }
    conversation.settle_choice(ignored, strict)?;
    item::read(input, (conversation, &repeated.origins), ignored)?;
    Ok(asked)
}

/// Whether a field can be had.
fn known<'a>(field: &Field<'a>, asked: &mut Asked<'a>, strict: bool) -> Result<bool, Fault> {
    let Asked { conversation, ignored, repeated, .. } = asked;
    let sampling = &mut conversation.sampling;
    match &*field.name {
        "model" => conversation.model = field.read()?,
        "instructions" => conversation.system.insert(0, field.read()?),
        "stream" => conversation.stream = field.read()?,
        "max_output_tokens" => sampling.most = Some(field.positive()?),
        "temperature" => sampling.temperature = Some(field.read()?),
        "top_p" => sampling.top_p = Some(field.read()?),
        "parallel_tool_calls" => conversation.one_call = !field.read::<bool>()?,
        "top_logprobs" => {
            let top: u32 = field.integer()?;
            if top > 0 {
                sampling.logprobs = Some(top);
            }
        }
        "include" => {
            let all: Vec<Text<'_>> = field.read()?;
            if all.iter().any(|one| &**one == LOGPROBS) {
                sampling.logprobs.get_or_insert(0);
            }
            if all.iter().any(|one| &**one != LOGPROBS) {
                ignored.add("include");
            }
        }
        "reasoning" => {
            let Reasoning { effort, summary } = field.read()?;
            conversation.thinking.effort =
                effort.map(|effort| openai::effort(&effort, "reasoning.effort")).transpose()?;
            conversation.thinking.place = "reasoning.effort";
            conversation.thinking.shown = summary.map(|_| true);
        }
        "text" => {
            let Output { format, verbosity } = field.read()?;
            if verbosity.is_some_and(|verbosity| &*verbosity != "medium") {
                let place = "text.verbosity";
                ignored.unless(strict, Fault::invalid(format!("{place} cannot be had")).at(place))?;
            }
            if let Some(WireFormat { kind, schema, description }) = format {
                conversation.format = match (&*kind, schema) {
                    ("text", _) => Format::Text,
                    ("json_object", _) => Format::Json,
                    ("json_schema", Some(schema)) => Format::Schema(openai::described(schema, description.as_ref())),
                    _ => return Err(Fault::invalid("text.format is not known").at("text.format")),
                };
            }
        }
        "tools" => {
            repeated.tools = tool::repeated(field.value);
            tool::read(field, conversation, (&mut repeated.origins, ignored), strict)?;
        }
        _ => return Ok(ignored.takes(field, &NEVER_MATTER, &ONLY_AS)),
    }
    Ok(true)
}

/// That a search is made the upstream does not let one say: it is one that may be. Of what is not allowed nothing is told.
fn choice<'a>(
    field: &Field<'a>,
    conversation: &mut Conversation<'a>,
    origins: &Origins,
    (ignored, strict): (&mut Ignored, bool),
) -> Result<ToolChoice<'a>, Fault> {
    if field.value.get().starts_with('"') {
        return openai::choice(field);
    }
    let unknown = || Fault::invalid("tool_choice is not known").at("tool_choice");
    let Named { kind, name, namespace, mode, tools } = field.read()?;
    let searches = conversation.search.is_some();
    let is_search = |kind: &str| searches && kind.starts_with("web_search");
    match (&*kind, name, mode.as_deref()) {
        (kind, None, None) if is_search(kind) => {
            conversation.search = Some(CHOSEN);
            Ok(ToolChoice::Unset)
        }
        ("function" | "custom", Some(name), _) => Ok(ToolChoice::Must(vec![origins.known(namespace, name)])),
        ("allowed_tools", _, Some("auto" | "required"))
            if !tools.is_empty() && tools.iter().all(|tool| is_search(&tool.kind)) =>
        {
            conversation.tools.clear();
            Ok(ToolChoice::Unset)
        }
        ("allowed_tools", _, Some(mode)) => {
            let searches = tools.iter().any(|tool| is_search(&tool.kind));
            let some = !tools.is_empty();
            let name = |tool: Named<'a>| Some(origins.known(tool.namespace, tool.name?));
            let names: Vec<Text<'a>> = tools.into_iter().filter_map(name).collect();
            if some && names.is_empty() {
                // All of them were left out, which says nothing of the others.
                return ignored.unless(strict, unknown()).map(|()| ToolChoice::Unset);
            }
            if !searches {
                conversation.search = None;
            }
            match mode {
                "auto" => Ok(ToolChoice::May(names)),
                "required" => Ok(ToolChoice::Must(names)),
                _ => Err(unknown()),
            }
        }
        ("function" | "custom" | "allowed_tools", ..) => Err(unknown()),
        // One that the provider runs, which is left out where that is allowed.
        _ => ignored.unless(strict, unknown()).map(|()| ToolChoice::Unset),
    }
}
