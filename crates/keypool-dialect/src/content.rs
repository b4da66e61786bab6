//! The parts and blocks of messages, of all dialects at once, because histories move between dialects.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    Call, Error, Media, Part, Role,
    anthropic::response::IMAGE,
    conversation::Transcript,
    fields::{self, Notes},
    media,
};

/// The content of a message: text or parts.
#[derive(Clone, Deserialize)]
#[serde(untagged, expecting = "expected a string or a list of parts")]
pub(crate) enum Content {
    Text(String),
    List(Vec<Value>),
    One(Map<String, Value>),
}

impl Content {
    /// Returns the parts, each with the path of its field.
    pub(crate) fn parts(self, place: &str) -> impl Iterator<Item = (Value, String)> {
        let parts = match self {
            Self::Text(text) => vec![Value::String(text)],
            Self::List(parts) => parts,
            Self::One(part) => vec![Value::Object(part)],
        };
        parts.into_iter().enumerate().map(move |(number, part)| (part, format!("{place}[{number}]")))
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Self::List(parts) if parts.is_empty())
    }

    /// Returns the texts of content that must not have other parts.
    pub(crate) fn texts(self, place: &str) -> Result<Vec<String>, Error> {
        let text = |(mut part, place): (Value, String)| match part {
            Value::String(text) => Ok(text),
            part if is_foreign(&part) => Ok(as_text(&part)),
            _ => fields::take_text(&mut part, "text").ok_or_else(|| Error::invalid(place, "only text is allowed here")),
        };
        self.parts(place).map(text).collect()
    }
}

/// Reads the content of a message into the transcript.
pub(crate) fn say(role: Role, content: Content, place: &str, transcript: &mut Transcript<'_>) -> Result<(), Error> {
    for (part, place) in content.parts(place) {
        read_part(role, part, &place, transcript)?;
    }
    Ok(())
}

/// Takes a text that the part at `place` must have.
pub(crate) fn needed(part: &mut Value, name: &str, place: &str) -> Result<String, Error> {
    fields::take_text(part, name).ok_or_else(|| Error::invalid(format!("{place}.{name}"), "Field required"))
}

/// Takes the content that the part at `place` may have.
pub(crate) fn content_of(part: &mut Value, place: &str) -> Result<Option<Content>, Error> {
    fields::read(fields::take(part, "content"), &format!("{place}.content"))
}

fn read_part(role: Role, mut value: Value, place: &str, transcript: &mut Transcript<'_>) -> Result<(), Error> {
    let kind = value["type"].as_str().unwrap_or_default().to_owned();
    match &*kind {
        "tool_use" => {
            let (id, name) = (needed(&mut value, "id", place)?, needed(&mut value, "name", place)?);
            let args = arguments(fields::take(&mut value, "input"));
            transcript.call(Call { id, name, args, signature: None }, place.to_owned());
        }
        "tool_result" => {
            let id = needed(&mut value, "tool_use_id", place)?;
            let content = content_of(&mut value, place)?;
            let (output, media) = result(content, &format!("{place}.content"), transcript.notes)?;
            let failed = match value["is_error"] {
                Value::Null => false,
                Value::Bool(failed) => failed,
                _ => return Err(Error::invalid(format!("{place}.is_error"), "expected true or false")),
            };
            transcript.result(&id, (output, failed), media, &format!("{place}.tool_use_id"))?;
        }
        // Thoughts are not sent back: Gemini needs only the signature, which is kept with the call. Search results are
        // already in the text that the model wrote from them.
        "thinking" | "redacted_thinking" | "reasoning" | "fallback" | "web_search_tool_result" => {}
        "server_tool_use" if value["name"] == "web_search" => {}
        _ if is_part(&value) => {
            if value["citations"]["enabled"] == true {
                let why = "citations of sent documents are not supported; leave it out";
                transcript.notes.refuse(Error::invalid(format!("{place}.citations"), why))?;
            }
            for part in parts(value, place, transcript.notes)? {
                transcript.say(role, if role == Role::Model { image_or(part) } else { part });
            }
        }
        // Everything else from another provider is passed to the model as text, as are the results for that provider's
        // tools.
        kind if role == Role::Model && !kind.is_empty() || is_foreign(&value) => {
            transcript.say(role, Part::Text(as_text(&value)));
        }
        kind => {
            let why = format!("{kind:?} is not supported; send text, an image, sound or a document");
            transcript.notes.refuse(Error::invalid(format!("{place}.type"), why))?;
        }
    }
    Ok(())
}

/// Returns the type and data of the image that a text consists of, as in our messages for Anthropic's clients.
pub(crate) fn image(text: &str) -> Option<(&str, &str)> {
    let (mime, data) = text.trim().strip_prefix(IMAGE)?.strip_suffix(')')?.split_once(";base64,")?;
    let is_base64 = data.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
    is_base64.then_some((mime, data))
}

fn image_or(part: Part) -> Part {
    let Part::Text(text) = &part else { return part };
    match image(text) {
        Some((mime, data)) => Part::Media(media::base64(mime.to_owned(), data.to_owned())),
        None => part,
    }
}

/// Reads a tool result as lines of text and media. An unknown part becomes text, so that the conversation can go on.
pub(crate) fn result(content: Option<Content>, place: &str, notes: &mut Notes) -> Result<(String, Vec<Part>), Error> {
    let (mut output, mut media) = (String::new(), Vec::new());
    for (part, place) in content.into_iter().flat_map(|content| content.parts(place)) {
        if part["citations"]["enabled"] == true {
            notes.ignore("citations");
        }
        let parts = if is_part(&part) { parts(part, &place, notes)? } else { vec![Part::Text(as_text(&part))] };
        for part in parts {
            match part {
                Part::Text(text) => {
                    if !output.is_empty() && !output.ends_with('\n') {
                        output.push('\n');
                    }
                    output.push_str(&text);
                }
                part => media.push(part),
            }
        }
    }
    if output.is_empty() && !media.is_empty() {
        output = format!("Number of files, which follow the results in the order of the calls: {}", media.len());
    }
    Ok((output, media))
}

/// Returns a part as a line of text.
pub(crate) fn as_text(part: &Value) -> String {
    match (&part["type"], part["tool_name"].as_str()) {
        (kind, Some(name)) if kind == "tool_reference" => format!("The tool {name} is available.\n"),
        _ => format!("{part}\n"),
    }
}

/// Returns the arguments of a call as an object. Clients send them as text; other values are wrapped in one.
pub(crate) fn arguments(value: Value) -> Value {
    let value = match value {
        Value::String(text) if text.trim().is_empty() => Value::Null,
        Value::String(text) => serde_json::from_str(&fields::json_text(text.as_bytes())).unwrap_or(Value::String(text)),
        value => value,
    };
    match value {
        Value::Object(_) => value,
        Value::Null => json!({}),
        value => json!({ "arguments": value }),
    }
}

/// Kinds of parts that are text or media.
const KINDS: &str = "text input_text output_text summary_text refusal image_url video_url input_image input_audio \
    file input_file image document search_result";

/// Reports whether a block is of a kind that clients send to another provider's tools.
fn is_foreign(block: &Value) -> bool {
    let kind = block["type"].as_str().unwrap_or_default();
    let known = ["compaction", "container_upload", "tool_addition", "tool_removal"];
    known.contains(&kind) || kind.ends_with("_tool_result")
}

pub(crate) fn is_part(value: &Value) -> bool {
    match value["type"].as_str() {
        Some(kind) => KINDS.split_whitespace().any(|known| known == kind),
        None => value.is_string() || value["text"].is_string(),
    }
}

/// Reads a part of text or media.
fn parts(mut value: Value, place: &str, notes: &mut Notes) -> Result<Vec<Part>, Error> {
    if let Value::String(text) = value {
        return Ok(vec![Part::Text(text)]);
    }
    let kind = value["type"].as_str().unwrap_or_default().to_owned();
    let media = match &*kind {
        "image_url" | "video_url" | "input_image" => {
            let name = if value["video_url"].is_null() { "image_url" } else { "video_url" };
            let detail = value[name]["detail"].as_str().or(value["detail"].as_str());
            if detail.is_some_and(|detail| detail != "auto") {
                notes.ignore("image_url.detail");
            }
            match fields::take_text(&mut value, "file_id").filter(|_| value[name].is_null()) {
                Some(id) => media::from_file_id(&id, &format!("{place}.file_id"))?,
                None if value[name].is_object() => {
                    let place = format!("{place}.{name}");
                    media::from_url(&needed(&mut value[name], "url", &place)?, &format!("{place}.url"))?
                }
                None => media::from_url(&needed(&mut value, name, place)?, &format!("{place}.{name}"))?,
            }
        }
        "input_audio" => {
            let (mut sound, place) = (fields::take(&mut value, "input_audio"), format!("{place}.input_audio"));
            let format = needed(&mut sound, "format", &place)?;
            media::base64(format!("audio/{format}"), data(&mut sound, &place)?)
        }
        "file" | "input_file" if value["file"].is_object() => file(&mut value["file"], &format!("{place}.file"))?,
        "file" | "input_file" => file(&mut value, place)?,
        "image" | "document" => {
            let line = |name: &str, label: &str| {
                let text = value[name].as_str().filter(|text| !text.is_empty());
                text.map_or_else(String::new, |text| format!("{label}: {text}\n"))
            };
            let about = line("title", "Title") + &line("context", "Context");
            let about = (!about.is_empty()).then(|| Part::Text(format!("Document\n{about}")));
            let source = sourced(fields::take(&mut value, "source"), &format!("{place}.source"), notes)?;
            return Ok(about.into_iter().chain(source).collect());
        }
        "search_result" => {
            let source = needed(&mut value, "source", place)?;
            let texts = content_of(&mut value, place)?.map(|content| content.texts(&format!("{place}.content")));
            let text = texts.transpose()?.unwrap_or_default().join("\n");
            let title = value["title"].as_str().unwrap_or_default();
            return Ok(vec![Part::Text(format!("Search result\nTitle: {title}\nSource: {source}\n{text}\n"))]);
        }
        kind => {
            let name = if kind == "refusal" { kind } else { "text" };
            return Ok(vec![Part::Text(needed(&mut value, name, place)?)]);
        }
    };
    Ok(vec![Part::Media(media)])
}

/// Takes the field `data`, which must not be empty.
fn data(part: &mut Value, place: &str) -> Result<String, Error> {
    let data = needed(part, "data", place)?;
    if data.is_empty() { Err(Error::invalid(format!("{place}.data"), "is empty")) } else { Ok(data) }
}

fn file(file: &mut Value, place: &str) -> Result<Media, Error> {
    if let Some(data) = fields::take_text(file, "file_data") {
        media::from_file(data, file["filename"].as_str(), &format!("{place}.file_data"))
    } else if let Some(id) = file["file_id"].as_str() {
        media::from_file_id(id, &format!("{place}.file_id"))
    } else if let Some(url) = file["file_url"].as_str() {
        media::from_url(url, &format!("{place}.file_url"))
    } else {
        Err(Error::invalid(format!("{place}.file_data"), "is missing"))
    }
}

/// Reads the source of Anthropic's image or document blocks.
fn sourced(mut source: Value, place: &str, notes: &mut Notes) -> Result<Vec<Part>, Error> {
    let kind = source["type"].as_str().unwrap_or_default().to_owned();
    let media = match &*kind {
        "base64" => media::base64(needed(&mut source, "media_type", place)?, data(&mut source, place)?),
        "url" => media::from_url(&needed(&mut source, "url", place)?, &format!("{place}.url"))?,
        "file" => media::from_file_id(&needed(&mut source, "file_id", place)?, &format!("{place}.file_id"))?,
        "text" => return Ok(vec![Part::Text(needed(&mut source, "data", place)?)]),
        "content" => {
            let (content, place) = (content_of(&mut source, place)?, format!("{place}.content"));
            let mut read = Vec::new();
            for (part, place) in content.into_iter().flat_map(|content| content.parts(&place)) {
                read.extend(parts(part, &place, notes)?);
            }
            return Ok(read);
        }
        _ => return Err(Error::invalid(format!("{place}.type"), "expected base64, text, url, file or content")),
    };
    Ok(vec![Part::Media(media)])
}
