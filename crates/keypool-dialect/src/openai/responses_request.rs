//! Parsing of a request to the Responses API, without stored state.

use serde_json::{Value, json};

use super::{chat_request, responses_response};
use crate::{
    Call, Conversation, Effort, Error, Part, Role,
    content::{self, Content},
    conversation::Transcript,
    fields::{self, Fields, Notes},
    media,
    request::Request,
    tools::{self, known_as},
};

pub(crate) fn read(mut fields: Fields, request: &mut Request, notes: &mut Notes) -> Result<(), Error> {
    let Request { conversation, reply, .. } = request;
    fields.check_path("input")?;
    reply.settings = responses_response::settings(&fields);
    refuse_stored(&mut fields, notes)?;
    conversation.read(&mut fields, notes)?;
    let sampling = &mut conversation.sampling;
    sampling.logprobs = fields.count("top_logprobs")?.filter(|top| *top > 0);
    for include in fields.take::<Vec<String>>("include")?.unwrap_or_default() {
        if include == "message.output_text.logprobs" {
            sampling.logprobs.get_or_insert(0);
        } else {
            notes.ignore("include");
        }
    }
    read_reasoning(&mut fields, conversation, notes)?;
    read_text(&mut fields, conversation, notes)?;
    conversation.read_messages(fields, ["instructions", "input"], read_item, notes)
}

/// Refuses references to stored state, because nothing is stored here. This applies in any mode: ignoring a reference
/// would lead to a wrong response.
fn refuse_stored(fields: &mut Fields, notes: &mut Notes) -> Result<(), Error> {
    let refers = ["previous_response_id", "conversation", "prompt"].into_iter().find(|name| fields.refers(name));
    if let Some(name) = refers {
        return Err(Error::invalid(name, "nothing is stored here: send the whole conversation as input"));
    }
    if fields.peek("store") == Some(&json!(true)) {
        fields.raw("store");
        let why = "responses are not stored here: send store: false, and the whole conversation as input";
        notes.refuse(Error::invalid("store", why))?;
    }
    Ok(())
}

fn read_reasoning(fields: &mut Fields, conversation: &mut Conversation, notes: &mut Notes) -> Result<(), Error> {
    let Some(mut reasoning) = fields.take::<Fields>("reasoning")? else { return Ok(()) };
    conversation.thinking.effort = Effort::take(&mut reasoning, "effort", "reasoning.effort")?;
    for name in ["generate_summary", "summary"] {
        let shown = reasoning.take::<String>(name)?.map(|summary| summary != "none");
        conversation.thinking.shown = shown.or(conversation.thinking.shown);
    }
    reasoning.finish("reasoning", notes)
}

fn read_text(fields: &mut Fields, conversation: &mut Conversation, notes: &mut Notes) -> Result<(), Error> {
    // The field of chat completions.
    let mut format = fields.raw("response_format");
    if let Some(mut text) = fields.take::<Fields>("text")? {
        format = text.raw("format").or(format);
        text.finish("text", notes)?;
    }
    if let Some(format) = format {
        conversation.format = tools::read_format(format, "text.format")?;
    }
    Ok(())
}

fn read_item(mut value: Value, place: &str, transcript: &mut Transcript<'_>) -> Result<(), Error> {
    let id = |value: &mut Value| {
        content::needed(value, "call_id", place).or_else(|missing| fields::take_text(value, "id").ok_or(missing))
    };
    let default = if value["role"].is_null() && value["id"].is_string() { "item_reference" } else { "message" };
    let kind = value["type"].as_str().unwrap_or(default).to_owned();
    match &*kind {
        "message" if value.is_string() => {
            content::say(Role::User, Content::List(vec![value]), place, transcript)?;
        }
        // Messages of chat completions are accepted, too, because clients of both APIs send them.
        "message" => chat_request::read_message(value, place, transcript)?,
        "function_call" | "custom_tool_call" => {
            let name = content::needed(&mut value, "name", place)?;
            let name = known_as(value["namespace"].as_str(), &name);
            let args = match fields::take_text(&mut value, "input").filter(|_| kind == "custom_tool_call") {
                Some(input) => json!({ "input": input }),
                None => content::arguments(fields::take(&mut value, "arguments")),
            };
            transcript.call(Call { id: id(&mut value)?, name, args, signature: None }, place.to_owned());
        }
        "function_call_output" | "custom_tool_call_output" => {
            let id = id(&mut value)?;
            let output: Option<Content> = fields::read(fields::take(&mut value, "output"), &format!("{place}.output"))?;
            let (output, media) = content::result(output, &format!("{place}.output"), transcript.notes)?;
            transcript.result(&id, (output, false), media, &format!("{place}.call_id"))?;
        }
        "image_generation_call" => {
            let mime = format!("image/{}", value["output_format"].as_str().unwrap_or("png"));
            if let Some(data) = fields::take_text(&mut value, "result").filter(|data| !data.is_empty()) {
                transcript.say(Role::Model, Part::Media(media::base64(mime, data)));
            }
        }
        // Thoughts are not sent back, and search results are already in the text that the model wrote from them.
        "reasoning" | "web_search_call" | "compaction" | "compaction_summary" | "context_compaction" => {}
        "item_reference" => {
            return Err(Error::invalid(format!("{place}.type"), "not stored: send the item itself, with store: false"));
        }
        kind if content::is_part(&value)
            || ["role", "content"].iter().any(|name| !value[name].is_null())
            || ["configuration_update", "compaction_trigger", "tool_search_output"].contains(&kind) =>
        {
            let why = format!("{kind:?} is not supported; send message, function_call and function_call_output");
            transcript.notes.refuse(Error::invalid(format!("{place}.type"), why))?;
        }
        // Everything else from another provider is passed to the model as text.
        kind => {
            let role = if kind.ends_with("_output") || kind.ends_with("_response") { Role::User } else { Role::Model };
            transcript.say(role, Part::Text(content::as_text(&value)));
        }
    }
    Ok(())
}
