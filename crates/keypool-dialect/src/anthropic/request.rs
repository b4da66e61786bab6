//! Parsing of a request for a message.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    Conversation, Effort, Error, Role, Thinking,
    content::{self, Content},
    conversation::Transcript,
    fields::{self, Fields, Notes},
    tools,
};

pub(crate) fn read(mut fields: Fields, conversation: &mut Conversation, notes: &mut Notes) -> Result<(), Error> {
    fields.check_path("messages")?;
    conversation.read(&mut fields, notes)?;
    read_output(&mut fields, conversation, notes)?;
    if fields.refers("thread") {
        return Err(Error::invalid("thread", "nothing is stored here: send the whole conversation, without thread"));
    }
    conversation.read_messages(fields, ["system", "messages"], read_message, notes)
}

/// Reads the thinking effort and the response format.
fn read_output(fields: &mut Fields, conversation: &mut Conversation, notes: &mut Notes) -> Result<(), Error> {
    let thinking = &mut conversation.thinking;
    if let Some(value) = fields.raw("thinking") {
        read_thinking(value, thinking, notes)?;
    }
    // The older field.
    let mut format = fields.raw("output_format");
    if let Some(mut output) = fields.take::<Fields>("output_config")? {
        format = output.raw("format").or(format);
        // A budget is more exact than an effort.
        let effort = Effort::take(&mut output, "effort", "output_config.effort")?;
        thinking.effort = thinking.effort.or(effort);
        output.finish("output_config", notes)?;
    }
    if let Some(format) = format {
        conversation.format = tools::read_format(format, "output_config.format")?;
    }
    Ok(())
}

/// Reads `thinking`, which clients of other dialects also send.
pub(crate) fn read_thinking(value: Value, thinking: &mut Thinking, notes: &mut Notes) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct WireThinking {
        #[serde(rename = "type")]
        kind: String,
        budget_tokens: Option<u32>,
        display: Option<String>,
    }
    let WireThinking { kind, budget_tokens, display } = fields::read(value, "thinking")?;
    thinking.shown = Some(kind != "disabled" && display.as_deref() != Some("omitted"));
    match &*kind {
        "enabled" => thinking.effort = budget_tokens.map(Effort::Tokens).or(thinking.effort),
        "disabled" => thinking.effort = Some(Effort::Off),
        "adaptive" | "between_tools" => {}
        _ => notes.refuse(Error::invalid("thinking.type", "expected enabled, disabled, adaptive or between_tools"))?,
    }
    Ok(())
}

fn read_message(mut message: Value, place: &str, transcript: &mut Transcript<'_>) -> Result<(), Error> {
    let content = content::content_of(&mut message, place)?;
    let place = format!("{place}.content");
    let content = content.ok_or_else(|| Error::invalid(&*place, "Field required"))?;
    match message["role"].as_str().unwrap_or_default() {
        "user" if content.is_empty() || matches!(&content, Content::Text(text) if text.is_empty()) => {
            Err(Error::invalid(place, "user messages must have non-empty content"))
        }
        "user" => content::say(Role::User, content, &place, transcript),
        "assistant" => content::say(Role::Model, content, &place, transcript),
        "system" | "developer" => transcript.system(content, &place),
        _ => Err(Error::invalid(place.replace(".content", ".role"), "expected user or assistant")),
    }
}
