//! Parsing of a request for a chat completion.

use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Value, json};

use super::responses_request;
use crate::{
    Call, Conversation, Effort, Error, Modality, Part, Role, Sampling, ToolChoice, anthropic,
    content::{self, Content},
    conversation::Transcript,
    fields::{self, Fields, Notes},
    request::Request,
    tools,
};

pub(crate) fn read(mut fields: Fields, request: &mut Request, notes: &mut Notes) -> Result<(), Error> {
    request.reply.include_usage = read_stream_options(&mut fields, notes);
    if !fields.has("messages") && fields.has("input") {
        // Cursor sends the body of a Responses request here, and expects a chat completion.
        return responses_request::read(fields, request, notes);
    }
    fields.check_path("messages")?;
    request.conversation.read(&mut fields, notes)?;
    read_functions(&mut fields, request, notes)?;
    let conversation = &mut request.conversation;
    read_sampling(&mut fields, &mut conversation.sampling, notes)?;
    if let Some(format) = fields.raw("response_format") {
        conversation.format = tools::read_format(format, "response_format")?;
    }
    read_thinking(&mut fields, conversation, notes)?;
    read_google(&mut fields, conversation, notes)?;
    if let Some(modalities) = fields.take::<Vec<String>>("modalities")? {
        if modalities.iter().any(|modality| !matches!(&**modality, "text" | "image")) {
            let why = "only text and image are supported here; use /v1/audio/speech";
            notes.refuse(Error::invalid("modalities", why))?;
        }
        if modalities.iter().any(|modality| modality == "image") {
            conversation.modality = Modality::Image { aspect_ratio: None, size: None };
        }
    }
    conversation.web_search |= fields.has("web_search_options");
    if fields.raw("web_search_options").is_some() {
        notes.ignore("web_search_options");
    }
    // Some clients also send Anthropic's field `system` here.
    conversation.read_messages(fields, ["system", "messages"], read_message, notes)
}

fn read_stream_options(fields: &mut Fields, notes: &mut Notes) -> bool {
    let options = fields.raw("stream_options").unwrap_or_default();
    if options["include_obfuscation"] == true {
        notes.ignore("stream_options.include_obfuscation");
    }
    // The second form is the one of routers such as OpenRouter.
    options["include_usage"] == true || fields.raw("usage").unwrap_or_default()["include"] == true
}

/// Reads the sampling fields that only this dialect has.
fn read_sampling(fields: &mut Fields, sampling: &mut Sampling, notes: &mut Notes) -> Result<(), Error> {
    sampling.seed = fields.integer("seed")?;
    match fields.count("n")? {
        Some(0) => notes.ignore("n"),
        count => sampling.candidates = count,
    }
    let mut penalty = |name: &str| -> Result<Option<f64>, Error> {
        let penalty = fields.number(name)?;
        if penalty == Some(0.0) {
            // Some models reject the field, even with the value 0.
            notes.ignore(name);
        }
        Ok(penalty.filter(|penalty| *penalty != 0.0))
    };
    sampling.presence_penalty = penalty("presence_penalty")?;
    sampling.frequency_penalty = penalty("frequency_penalty")?;
    if fields.take("logprobs")?.unwrap_or_default() {
        sampling.logprobs = Some(0);
    }
    match (fields.count("top_logprobs")?, &mut sampling.logprobs) {
        (None, _) => {}
        (Some(0), None) => notes.ignore("top_logprobs"),
        (Some(_), None) => return Err(Error::invalid("top_logprobs", "needs logprobs: true")),
        (Some(top), Some(logprobs)) => *logprobs = top,
    }
    Ok(())
}

/// Reads the older form of tools: one call, without an id.
fn read_functions(fields: &mut Fields, request: &mut Request, notes: &mut Notes) -> Result<(), Error> {
    let Request { conversation, reply, .. } = request;
    if let Some(functions) = fields.take::<Vec<Value>>("functions")?.filter(|functions| !functions.is_empty()) {
        conversation.single_call = true;
        reply.legacy_functions = true;
        tools::read(functions, "functions", conversation, notes)?;
    }
    if let Some(choice) = fields.raw("function_call") {
        conversation.tool_choice = match (choice.as_str(), choice["name"].as_str()) {
            (Some("none"), _) => ToolChoice::Never,
            (Some("auto"), _) => ToolChoice::May(Vec::new()),
            (None, Some(name)) => ToolChoice::Must(vec![name.to_owned()]),
            _ => return Err(Error::invalid("function_call", "expected auto, none or a function's name")),
        };
    }
    Ok(())
}

/// Reads the thinking effort in the fields of OpenAI, Anthropic and OpenRouter.
fn read_thinking(fields: &mut Fields, conversation: &mut Conversation, notes: &mut Notes) -> Result<(), Error> {
    let thinking = &mut conversation.thinking;
    thinking.effort = Effort::take(fields, "reasoning_effort", "reasoning_effort")?;
    if let Some(value) = fields.raw("thinking") {
        anthropic::request::read_thinking(value, thinking, notes)?;
    }
    let Some(mut reasoning) = fields.take::<Fields>("reasoning")? else { return Ok(()) };
    thinking.effort = Effort::take(&mut reasoning, "effort", "reasoning.effort")?.or(thinking.effort);
    if let Some(tokens) = reasoning.integer("max_tokens")? {
        thinking.effort = Some(Effort::Tokens(tokens.clamp(0, i64::from(u32::MAX)) as u32));
    }
    let enabled = reasoning.take::<bool>("enabled")?;
    if enabled == Some(false) || thinking.effort == Some(Effort::Tokens(0)) {
        thinking.effort = Some(Effort::Off);
    }
    let excluded = reasoning.take::<bool>("exclude")?.unwrap_or_default();
    thinking.shown = Some(!excluded && thinking.effort != Some(Effort::Off));
    reasoning.finish("reasoning", notes)
}

/// Reads the additional fields of Google's own compatible endpoint.
fn read_google(fields: &mut Fields, conversation: &mut Conversation, notes: &mut Notes) -> Result<(), Error> {
    const THINKING: &str = "extra_body.google.thinking_config";
    let mut nested = None;
    if let Some(mut extra) = fields.take::<Fields>("extra_body")? {
        nested = extra.take("google")?;
        extra.finish("extra_body", notes)?;
    }
    let Some(mut google) = fields.take::<Fields>("google")?.or(nested) else { return Ok(()) };
    conversation.cached_content = google.take("cached_content")?;
    let thinking = &mut conversation.thinking;
    if let Some(mut config) = google.take::<Fields>("thinking_config")? {
        for name in ["include_thoughts", "includeThoughts"] {
            thinking.shown = config.take(name)?.or(thinking.shown);
        }
        for name in ["thinking_level", "thinkingLevel"] {
            thinking.effort = Effort::take(&mut config, name, THINKING)?.or(thinking.effort);
        }
        for name in ["thinking_budget", "thinkingBudget"] {
            if let Some(budget) = config.integer(name)? {
                // -1 lets the model decide.
                let tokens = u32::try_from(budget).ok();
                thinking.effort = tokens.map(|tokens| if tokens == 0 { Effort::Off } else { Effort::Tokens(tokens) });
            }
        }
        config.finish(THINKING, notes)?;
    }
    google.finish("extra_body.google", notes)
}

#[derive(Deserialize)]
struct Message {
    #[serde(default)]
    role: String,
    content: Option<Content>,
    refusal: Option<String>,
    name: Option<String>,
    tool_calls: Option<Vec<Value>>,
    tool_call_id: Option<String>,
    function_call: Option<Value>,
    audio: Option<Value>,
    images: Option<Vec<Value>>,
}

/// Reads one message.
pub(crate) fn read_message(message: Value, place: &str, transcript: &mut Transcript<'_>) -> Result<(), Error> {
    let message: Message = fields::read(message, place)?;
    let role = &*message.role;
    if message.name.is_some() && !matches!(role, "function" | "tool") {
        transcript.notes.ignore("messages.name");
    }
    if message.audio.is_some() {
        let why = "earlier audio is not stored; send its text";
        transcript.notes.refuse(Error::invalid(format!("{place}.audio"), why))?;
    }
    let content_place = format!("{place}.content");
    let missing = || Error::invalid(&*content_place, "expected a string or a list of parts");
    match role {
        "system" | "developer" => transcript.system(message.content.ok_or_else(missing)?, &content_place),
        "user" => match message.content.ok_or_else(missing)? {
            content if content.is_empty() => Err(Error::invalid(content_place, "expected at least one part")),
            content => content::say(Role::User, content, &content_place, transcript),
        },
        "assistant" | "model" => read_answer(message, place, transcript),
        "function" | "tool" => read_result(message, place, transcript),
        other => {
            let why = format!("{other:?} is not one of system, developer, user, assistant and tool");
            Err(Error::invalid(format!("{place}.role"), why))
        }
    }
}

/// Reads a message of the model.
fn read_answer(message: Message, place: &str, transcript: &mut Transcript<'_>) -> Result<(), Error> {
    let calls = message.tool_calls.unwrap_or_default();
    if let Some(content) = message.content {
        // Some clients send each call as a block, too.
        let ids: HashSet<&str> = calls.iter().filter_map(|call| call["id"].as_str()).collect();
        let is_call =
            |part: &Value| part["type"] == "tool_use" && part["id"].as_str().is_some_and(|id| ids.contains(id));
        let parts = content.parts("").map(|(part, _)| part).filter(|part| !is_call(part));
        content::say(Role::Model, Content::List(parts.collect()), &format!("{place}.content"), transcript)?;
    }
    if let Some(refusal) = message.refusal {
        transcript.say(Role::Model, Part::Text(refusal));
    }
    if let Some(images) = message.images {
        // Our responses contain images in this field.
        content::say(Role::Model, Content::List(images), &format!("{place}.images"), transcript)?;
    }
    // A call in the older form beside others is one of them.
    if let Some(function) = message.function_call.filter(|_| calls.is_empty()) {
        let place = format!("{place}.function_call");
        transcript.call(read_call(json!({ "function": function }), &place)?, place);
    }
    for (number, call) in calls.into_iter().enumerate() {
        let place = format!("{place}.tool_calls[{number}]");
        transcript.call(read_call(call, &place)?, place);
    }
    Ok(())
}

/// Reads the result of a call.
fn read_result(message: Message, place: &str, transcript: &mut Transcript<'_>) -> Result<(), Error> {
    let is_tool = message.role == "tool";
    let (output, media) = content::result(message.content, &format!("{place}.content"), transcript.notes)?;
    match (message.tool_call_id.filter(|_| is_tool), message.name) {
        (Some(id), _) => transcript.result(&id, (output, false), media, &format!("{place}.tool_call_id")),
        (None, Some(name)) => {
            transcript.result_by_name(&name, output);
            Ok(())
        }
        (None, None) => {
            let missing = if is_tool { "tool_call_id" } else { "name" };
            Err(Error::invalid(format!("{place}.{missing}"), "is missing"))
        }
    }
}

fn read_call(mut call: Value, place: &str) -> Result<Call, Error> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    // The thought signature is in the first field at Google's own compatible endpoint, and in the second at LiteLLM.
    let beside = [&call["extra_content"]["google"], &call["provider_specific_fields"]];
    let signature = beside.into_iter().find_map(|beside| text(&beside["thought_signature"]));
    let id = text(&call["id"]).unwrap_or_default();
    let mut function = fields::take(&mut call, "function");
    let (name, args) = if function.is_object() {
        (text(&function["name"]), content::arguments(fields::take(&mut function, "arguments")))
    } else {
        // A call of a custom tool.
        (text(&call["custom"]["name"]), json!({ "input": call["custom"]["input"] }))
    };
    let name = name.ok_or_else(|| Error::invalid(format!("{place}.function.name"), "is missing"))?;
    Ok(Call { id, name, args, signature })
}
