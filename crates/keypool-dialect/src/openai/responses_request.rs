//! A request for a response, without stored state.

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{chat_request, tools};
use crate::{
    Call, Conversation, Effort, Error, Part, Role, anthropic,
    conversation::Transcript,
    fields::{self, Fields, Notes, TextOr},
    media,
    request::{Origins, Reply},
};

/// Fields that change nothing about an answer here.
const NEVER_MATTER: [&str; 13] = [
    "user",
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
    "generate",
    "cache_control",
];

/// Values of fields that are as if nothing were said.
const NEUTRAL: [(&str, &[&str]); 3] =
    [("truncation", &["\"disabled\"", "\"auto\""]), ("background", &["false"]), ("store", &["false"])];

/// Fields that an answer repeats.
const ECHOED: [&str; 18] = [
    "background",
    "instructions",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

const LOGPROBS: &str = "message.output_text.logprobs";

pub(crate) fn read(
    mut fields: Fields<'_>,
    conversation: &mut Conversation,
    reply: &mut Reply,
    notes: &mut Notes,
) -> Result<(), Error> {
    if !fields.has("input") {
        for (name, path) in
            [("messages", "/v1/chat/completions"), ("contents", "/v1beta/models/{model}:generateContent")]
        {
            if fields.has(name) {
                return Err(Error::invalid(name, format_args!("is no field of /v1/responses: send this to {path}")));
            }
        }
    }
    for name in ECHOED {
        reply.echoed.extend(fields.peek::<Value>(name).map(|value| (name.to_owned(), value)));
    }
    refuse_stored(&mut fields, notes)?;
    let input = fields.raw("input").ok_or_else(|| Error::invalid("input", "is missing"))?;
    conversation.model = fields.take("model")?.unwrap_or_default();
    conversation.stream = fields.take("stream")?.unwrap_or_default();
    let sampling = &mut conversation.sampling;
    sampling.max_tokens = fields.limit("max_output_tokens", notes)?;
    sampling.temperature = fields.number("temperature")?;
    sampling.top_p = fields.number("top_p")?;
    sampling.set_top_k(fields.integer("top_k")?, notes)?;
    if let Some(top) = fields.integer("top_logprobs")?.and_then(|top| u32::try_from(top).ok()).filter(|top| *top > 0) {
        sampling.logprobs = Some(top);
    }
    for include in fields.take::<Vec<String>>("include")?.unwrap_or_default() {
        if include == LOGPROBS {
            sampling.logprobs.get_or_insert(0);
        } else {
            notes.ignore("include");
        }
    }
    read_reasoning(&mut fields, conversation)?;
    read_text(&mut fields, conversation, notes)?;
    if let Some(value) = fields.take("tools")? {
        tools::read(value, conversation, &mut reply.origins, notes)?;
    }
    if let Some(parallel) = fields.take::<bool>("parallel_tool_calls")? {
        conversation.single_call = !parallel;
    }
    if let Some(choice) = fields.raw("tool_choice") {
        tools::read_choice(choice, conversation, &reply.origins, notes)?;
    }
    let mut transcript = Transcript::default();
    if let Some(instructions) = fields.raw("instructions") {
        chat_request::texts(instructions, "instructions")?.into_iter().for_each(|text| transcript.system(text));
    }
    fields.ignore(&NEVER_MATTER, notes);
    fields.finish(&NEUTRAL, notes)?;
    conversation.check_tool_choice(notes)?;
    match fields::text_or_list(input, "input")? {
        TextOr::Text(text) => transcript.say(Role::User, Part::Text(text)),
        TextOr::List(items) if items.is_empty() => return Err(Error::invalid("input", "expected one item at least")),
        TextOr::List(items) => {
            for (index, value) in items.into_iter().enumerate() {
                read_item(value, &format!("input[{index}]"), &mut transcript, &reply.origins, notes)?;
            }
        }
    }
    transcript.finish(conversation, notes)
}

/// Nothing is stored here. Reading over what refers to it would give a wrong answer, so it is refused in any mode.
fn refuse_stored(fields: &mut Fields<'_>, notes: &mut Notes) -> Result<(), Error> {
    for name in ["previous_response_id", "conversation", "prompt"] {
        if fields.has(name) {
            return Err(Error::invalid(name, "nothing is stored here: send the whole conversation as input"));
        }
    }
    if fields.peek::<bool>("store") == Some(true) {
        fields.raw("store");
        let why = "responses are not stored here: send store: false, and the whole conversation as input";
        notes.refuse(Error::invalid("store", why))?;
    }
    Ok(())
}

fn read_reasoning(fields: &mut Fields<'_>, conversation: &mut Conversation) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Reasoning {
        effort: Option<String>,
        summary: Option<String>,
        generate_summary: Option<String>,
    }
    const EFFORT: &str = "reasoning.effort";
    let Some(Reasoning { effort, summary, generate_summary }) = fields.take("reasoning")? else { return Ok(()) };
    let thinking = &mut conversation.thinking;
    thinking.effort = effort.map(|effort| Effort::read(&effort, EFFORT)).transpose()?;
    thinking.field = EFFORT;
    thinking.shown = summary.or(generate_summary).map(|summary| summary != "none");
    Ok(())
}

fn read_text(fields: &mut Fields<'_>, conversation: &mut Conversation, notes: &mut Notes) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Output<'a> {
        #[serde(borrow)]
        format: Option<&'a RawValue>,
        verbosity: Option<String>,
    }
    if let Some(Output { format, verbosity }) = fields.take("text")? {
        if verbosity.is_some_and(|verbosity| verbosity != "medium") {
            notes
                .refuse(Error::invalid("text.verbosity", "not supported for Gemini models; say it in instructions"))?;
        }
        if let Some(format) = format.filter(|format| format.get() != "null") {
            conversation.format = tools::read_format(format, "text.format")?;
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    call_id: Option<String>,
    id: Option<String>,
    name: Option<String>,
    namespace: Option<String>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
    input: Option<String>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
    result: Option<String>,
    output_format: Option<String>,
}

fn read_item(
    value: &RawValue,
    place: &str,
    transcript: &mut Transcript,
    origins: &Origins,
    notes: &mut Notes,
) -> Result<(), Error> {
    if value.get().starts_with('"') {
        transcript.say(Role::User, Part::Text(fields::read(value, place)?));
        return Ok(());
    }
    let item: Item<'_> = fields::read(value, place)?;
    let missing = |what: &str| Error::invalid(format!("{place}.{what}"), "is missing");
    let id = || item.call_id.clone().or_else(|| item.id.clone()).ok_or_else(|| missing("call_id"));
    match item.kind.as_deref().unwrap_or("message") {
        // Chats' messages are read, too, as clients send them that know both APIs.
        "message" => chat_request::read_message(fields::read(value, place)?, place, transcript, notes)?,
        kind @ ("function_call" | "custom_tool_call") => {
            let name = origins.known(item.namespace.as_deref(), item.name.as_deref().ok_or_else(|| missing("name"))?);
            let args = if kind == "custom_tool_call" {
                tools::text_arguments(item.input.as_deref().ok_or_else(|| missing("input"))?)
            } else {
                let arguments = item.arguments.map_or("{}", RawValue::get);
                let text = serde_json::from_str::<String>(arguments).unwrap_or_else(|_| arguments.to_owned());
                tools::object(&text)
            };
            transcript.call(Call { id: id()?, name, args, signature: None }, place.to_owned());
        }
        "function_call_output" | "custom_tool_call_output" => {
            let output = item.output.ok_or_else(|| missing("output"))?;
            let (said, media) = chat_request::result_content(Some(output), &format!("{place}.output"), notes)?;
            transcript.result(&id()?, (said, false), media, &format!("{place}.call_id"), notes)?;
        }
        "image_generation_call" => {
            if let Some(data) = item.result {
                let mime = format!("image/{}", item.output_format.as_deref().unwrap_or("png"));
                transcript.say(Role::Model, Part::Media(media::base64(&mime, &data)));
            }
        }
        // What was thought does not go back; what a search found stands in the text that was made of it.
        "reasoning" | "web_search_call" | "compaction" | "compaction_summary" => {}
        "item_reference" => {
            return Err(Error::invalid(format!("{place}.type"), "nothing is stored here: send the item itself"));
        }
        // What another provider ran: the model is told of it.
        kind if kind.ends_with("_call") || kind.ends_with("_output") || kind.starts_with("mcp_") => {
            let role = if kind.ends_with("_output") { Role::User } else { Role::Model };
            transcript.say(role, Part::Text(anthropic::request::result_text(value)));
        }
        kind => {
            let short: String = kind.chars().take(40).collect();
            let why = format!("{short:?} is not supported; send message, function_call and function_call_output");
            notes.refuse(Error::invalid(format!("{place}.type"), why))?;
        }
    }
    Ok(())
}
