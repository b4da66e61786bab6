//! A request for a message.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::tools;
use crate::{
    Call, Conversation, Effort, Error, Format, Media, Part, Role, Thinking,
    conversation::Transcript,
    fields::{self, Fields, Notes, TextOr},
    media,
    openai::chat_request,
};

/// Fields that change nothing about an answer here; `context_management` shortens what is too long anyway.
const NEVER_MATTER: [&str; 9] = [
    "metadata",
    "service_tier",
    "cache_control",
    "inference_geo",
    "speed",
    "betas",
    "context_management",
    "anthropic_version",
    "anthropic_beta",
];

pub(crate) fn read(mut fields: Fields<'_>, conversation: &mut Conversation, notes: &mut Notes) -> Result<(), Error> {
    if !fields.has("messages") {
        for (name, path) in [("input", "/v1/responses"), ("contents", "/v1beta/models/{model}:generateContent")] {
            if fields.has(name) {
                return Err(Error::invalid(name, format_args!("is no field of /v1/messages: send this to {path}")));
            }
        }
    }
    let messages: Vec<&RawValue> =
        fields.take("messages")?.ok_or_else(|| Error::invalid("messages", "Field required"))?;
    conversation.model = fields.take("model")?.unwrap_or_default();
    conversation.stream = fields.take("stream")?.unwrap_or_default();
    let sampling = &mut conversation.sampling;
    sampling.max_tokens = fields.limit("max_tokens", notes)?;
    sampling.temperature = fields.number("temperature")?;
    sampling.top_p = fields.number("top_p")?;
    sampling.set_top_k(fields.integer("top_k")?, notes)?;
    if let Some(stop) = fields.take("stop_sequences")? {
        sampling.stop_at(stop, "stop_sequences", notes)?;
    }
    if let Some(value) = fields.take("tools")? {
        tools::read(value, conversation, notes)?;
    }
    if let Some(choice) = fields.raw("tool_choice") {
        tools::read_choice(choice, conversation, notes)?;
    }
    read_output(&mut fields, conversation)?;
    let mut transcript = Transcript::default();
    if let Some(system) = fields.raw("system") {
        chat_request::texts(system, "system")?.into_iter().for_each(|text| transcript.system(text));
    }
    if fields.has("thread") {
        return Err(Error::invalid("thread", "no conversation is stored here: send all of it, without thread"));
    }
    fields.ignore(&NEVER_MATTER, notes);
    fields.finish(&[], notes)?;
    conversation.check_tool_choice(notes)?;
    if messages.is_empty() {
        return Err(Error::invalid("messages", "at least one message is required"));
    }
    for (index, value) in messages.into_iter().enumerate() {
        read_message(value, &format!("messages.{index}"), &mut transcript, notes)?;
    }
    transcript.finish(conversation, notes)
}

/// Reads how much is thought, and what form the answer has.
fn read_output(fields: &mut Fields<'_>, conversation: &mut Conversation) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Output<'a> {
        effort: Option<String>,
        #[serde(borrow)]
        format: Option<WireFormat<'a>>,
    }
    #[derive(Deserialize)]
    struct WireFormat<'a> {
        #[serde(borrow)]
        schema: &'a RawValue,
    }
    if let Some(value) = fields.raw("thinking") {
        read_thinking(value, &mut conversation.thinking)?;
    }
    let output: Option<Output<'_>> = fields.take("output_config")?;
    let older: Option<WireFormat<'_>> = fields.take("output_format")?;
    let (effort, format) = output.map_or((None, None), |output| (output.effort, output.format));
    if let Some(format) = format.or(older) {
        conversation.format = Format::Schema(format.schema.to_owned());
    }
    if let Some(effort) = effort {
        const FIELD: &str = "output_config.effort";
        let effort = Effort::read(&effort, FIELD)?;
        // A budget says it more exactly.
        if conversation.thinking.effort.is_none() {
            conversation.thinking.effort = Some(effort);
            conversation.thinking.field = FIELD;
        }
    }
    Ok(())
}

/// Reads `thinking`, which other dialects' clients send, too.
pub(crate) fn read_thinking(value: &RawValue, thinking: &mut Thinking) -> Result<(), Error> {
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
        "enabled" => {
            thinking.effort = budget_tokens.map(Effort::Tokens).or(thinking.effort);
            thinking.field = "thinking";
        }
        "disabled" => thinking.effort = Some(Effort::Off),
        "adaptive" => {}
        _ => return Err(Error::invalid("thinking.type", "expected enabled, disabled or adaptive")),
    }
    Ok(())
}

fn read_message(value: &RawValue, place: &str, transcript: &mut Transcript, notes: &mut Notes) -> Result<(), Error> {
    #[derive(Deserialize)]
    struct Message<'a> {
        #[serde(default)]
        role: String,
        #[serde(borrow)]
        content: Option<&'a RawValue>,
    }
    let Message { role, content } = fields::read(value, place)?;
    let content_place = format!("{place}.content");
    let role = match &*role {
        "user" => Role::User,
        "assistant" => Role::Model,
        "system" | "developer" => {
            let texts = content.map(|content| chat_request::texts(content, &content_place)).transpose()?;
            texts.into_iter().flatten().for_each(|text| transcript.system(text));
            return Ok(());
        }
        _ => return Err(Error::invalid(format!("{place}.role"), "expected user or assistant")),
    };
    let Some(content) = content.filter(|content| content.get() != "null") else {
        return Err(Error::invalid(content_place, "Field required"));
    };
    let blocks = match fields::text_or_list(content, &content_place)? {
        TextOr::Text(text) if text.is_empty() && role == Role::User => {
            return Err(Error::invalid(place, "user messages must have non-empty content"));
        }
        TextOr::Text(text) => {
            transcript.say(role, Part::Text(text));
            return Ok(());
        }
        TextOr::List(blocks) => blocks,
    };
    if blocks.is_empty() && role == Role::User {
        return Err(Error::invalid(place, "user messages must have non-empty content"));
    }
    for (number, block) in blocks.into_iter().enumerate() {
        read_block(role, block, &format!("{content_place}.{number}"), transcript, notes)?;
    }
    Ok(())
}

#[derive(Deserialize)]
struct Block<'a> {
    #[serde(rename = "type", default)]
    kind: String,
    text: Option<String>,
    #[serde(borrow)]
    source: Option<&'a RawValue>,
    title: Option<String>,
    context: Option<String>,
    id: Option<String>,
    name: Option<String>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    tool_use_id: Option<String>,
    tool_name: Option<String>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    is_error: Option<bool>,
    citations: Option<serde_json::Value>,
}

/// Reads one block of a message.
pub(crate) fn read_block(
    role: Role,
    value: &RawValue,
    place: &str,
    transcript: &mut Transcript,
    notes: &mut Notes,
) -> Result<(), Error> {
    let block: Block<'_> = fields::read(value, place)?;
    let missing = |what: &str| Error::invalid(format!("{place}.{what}"), "Field required");
    if block.citations.is_some_and(|citations| citations["enabled"] == true) {
        let why = "citations of what was sent are not supported; leave it out";
        notes.refuse(Error::invalid(format!("{place}.citations"), why))?;
    }
    match &*block.kind {
        "tool_use" => {
            let id = block.id.ok_or_else(|| missing("id"))?;
            let name = block.name.ok_or_else(|| missing("name"))?;
            let args = match block.input.filter(|input| input.get() != "null") {
                None => RawValue::from_string("{}".to_owned()).unwrap_or_default(),
                Some(input) if input.get().starts_with('{') => input.to_owned(),
                Some(input) => crate::openai::tools::object(&fields::read::<String>(input, &format!("{place}.input"))?),
            };
            transcript.call(Call { id, name, args, signature: None }, place.to_owned());
        }
        "tool_result" => {
            let id = block.tool_use_id.ok_or_else(|| missing("tool_use_id"))?;
            let (said, media) = result(block.content, &format!("{place}.content"), notes)?;
            let failed = block.is_error == Some(true);
            transcript.result(&id, (said, failed), media, &format!("{place}.tool_use_id"), notes)?;
        }
        // What was thought does not go back: of thoughts Gemini wants the signature alone, which stands with the calls.
        "thinking" | "redacted_thinking" | "reasoning" | "compaction" | "fallback" => {}
        // What a search found stands in the text that was made of it.
        "web_search_tool_result" => {}
        "server_tool_use" if block.name.as_deref() == Some("web_search") => {}
        kind if kind.ends_with("_tool_result") || kind.ends_with("_tool_use") => {
            transcript.say(role, Part::Text(result_text(value)));
        }
        _ => {
            for part in parts(value, place, notes)? {
                transcript.say(role, part);
            }
        }
    }
    Ok(())
}

/// What a tool answered: its text, and media beside it. A block that nobody knows is told as text, so that a conversation that
/// has one can go on.
fn result(content: Option<&RawValue>, place: &str, notes: &mut Notes) -> Result<(String, Vec<Part>), Error> {
    let blocks = match content.filter(|content| content.get() != "null") {
        None => return Ok(Default::default()),
        Some(content) => match fields::text_or_list(content, place)? {
            TextOr::Text(text) => return Ok((text, Vec::new())),
            TextOr::List(blocks) => blocks,
        },
    };
    let (mut said, mut media) = (String::new(), Vec::new());
    for (number, value) in blocks.into_iter().enumerate() {
        let place = format!("{place}.{number}");
        let kind = fields::read::<Block<'_>>(value, &place)?.kind;
        if !matches!(&*kind, "text" | "image" | "document" | "search_result") {
            said.push_str(&result_text(value));
            continue;
        }
        for part in parts(value, &place, notes)? {
            match part {
                Part::Text(text) => said.push_str(&text),
                part => media.push(part),
            }
        }
    }
    Ok((said, media))
}

/// A block as a line of text.
pub(crate) fn result_text(value: &RawValue) -> String {
    match serde_json::from_str::<Block<'_>>(value.get()) {
        Ok(Block { kind, tool_name: Some(name), .. }) if kind == "tool_reference" => {
            format!("The tool {name} is available.\n")
        }
        _ => format!("{}\n", value.get()),
    }
}

/// What a block of text, image, document or found page is.
fn parts(value: &RawValue, place: &str, notes: &mut Notes) -> Result<Vec<Part>, Error> {
    let block: Block<'_> = fields::read(value, place)?;
    let missing = |what: &str| Error::invalid(format!("{place}.{what}"), "Field required");
    match &*block.kind {
        "text" => Ok(vec![Part::Text(block.text.ok_or_else(|| missing("text"))?)]),
        "image" | "document" => {
            let about = [("Title", block.title), ("Context", block.context)];
            let about =
                about.into_iter().filter_map(|(name, text)| Some((name, text.filter(|text| !text.is_empty())?)));
            let about: String = about.map(|(name, text)| format!("{name}: {text}\n")).collect();
            let about = (!about.is_empty()).then(|| Part::Text(format!("Document\n{about}")));
            let source = block.source.ok_or_else(|| missing("source"))?;
            Ok(about.into_iter().chain(sourced(source, &format!("{place}.source"))?).collect())
        }
        "search_result" => {
            let source = block.source.ok_or_else(|| missing("source"))?;
            let source: String = fields::read(source, &format!("{place}.source"))?;
            let title = block.title.unwrap_or_default();
            let content = block.content.ok_or_else(|| missing("content"))?;
            let said = chat_request::texts(content, &format!("{place}.content"))?.join("\n");
            Ok(vec![Part::Text(format!("Search result\nTitle: {title}\nSource: {source}\n{said}\n"))])
        }
        "tool_reference" => Ok(vec![Part::Text(result_text(value))]),
        kind => match chat_request::part(value, place, notes)? {
            Some(part) => Ok(vec![part]),
            None => {
                let short: String = kind.chars().take(40).collect();
                let why = format!("{short:?} is not supported; send text, an image or a document");
                notes.refuse(Error::invalid(format!("{place}.type"), why))?;
                Ok(Vec::new())
            }
        },
    }
}

/// The contents of an image or document.
fn sourced(source: &RawValue, place: &str) -> Result<Vec<Part>, Error> {
    #[derive(Deserialize)]
    struct Source<'a> {
        #[serde(rename = "type", default)]
        kind: String,
        media_type: Option<String>,
        data: Option<String>,
        url: Option<String>,
        file_id: Option<String>,
        #[serde(borrow)]
        content: Option<&'a RawValue>,
    }
    let source: Source<'_> = fields::read(source, place)?;
    let missing = |what: &str| Error::invalid(format!("{place}.{what}"), "Field required");
    let one = |media: Media| vec![Part::Media(media)];
    match &*source.kind {
        "base64" => {
            let mime = source.media_type.ok_or_else(|| missing("media_type"))?;
            let data = source.data.filter(|data| !data.is_empty()).ok_or_else(|| missing("data"))?;
            Ok(one(media::base64(&mime, &data)))
        }
        "text" => Ok(vec![Part::Text(source.data.ok_or_else(|| missing("data"))?)]),
        "url" => media::from_url(&source.url.ok_or_else(|| missing("url"))?, &format!("{place}.url")).map(one),
        "file" => {
            let id = source.file_id.ok_or_else(|| missing("file_id"))?;
            media::from_file_id(&id, &format!("{place}.file_id")).map(one)
        }
        "content" => {
            let content = source.content.ok_or_else(|| missing("content"))?;
            Ok(chat_request::texts(content, &format!("{place}.content"))?.into_iter().map(Part::Text).collect())
        }
        _ => Err(Error::invalid(format!("{place}.type"), "expected base64, text, url, file or content")),
    }
}
