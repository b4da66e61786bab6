//! The parts and blocks of messages, of all dialects at once, because histories move between dialects.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    Call, Error, Media, Part, Role,
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
        let text = |(mut part, place): (Value, String)| match if part.is_object() { part["text"].take() } else { part }
        {
            Value::String(text) => Ok(text),
            _ => Err(Error::invalid(place, "only text is allowed here")),
        };
        self.parts(place).map(text).collect()
    }
}

/// A part of any dialect.
#[derive(Deserialize)]
struct WirePart {
    #[serde(rename = "type", default)]
    kind: String,
    text: Option<String>,
    refusal: Option<String>,
    #[serde(alias = "video_url")]
    image_url: Option<ImageUrl>,
    detail: Option<String>,
    input_audio: Option<Recording>,
    file: Option<File>,
    #[serde(flatten)]
    flat_file: File,
    source: Option<Value>,
    title: Option<String>,
    context: Option<String>,
    id: Option<String>,
    name: Option<String>,
    input: Option<Value>,
    tool_use_id: Option<String>,
    content: Option<Content>,
    is_error: Option<bool>,
    citations: Option<Value>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a URL")]
enum ImageUrl {
    Flat(String),
    Nested { url: String, detail: Option<String> },
}

/// Sound in a request.
#[derive(Deserialize)]
struct Recording {
    data: String,
    format: String,
}

#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names of the wire format")]
struct File {
    file_data: Option<String>,
    file_id: Option<String>,
    file_url: Option<String>,
    filename: Option<String>,
}

/// Reads the content of a message into the transcript.
pub(crate) fn say(role: Role, content: Content, place: &str, transcript: &mut Transcript<'_>) -> Result<(), Error> {
    for (part, place) in content.parts(place) {
        read_part(role, part, &place, transcript)?;
    }
    Ok(())
}

fn read_part(role: Role, value: Value, place: &str, transcript: &mut Transcript<'_>) -> Result<(), Error> {
    let kind = value["type"].as_str().unwrap_or_default().to_owned();
    let missing = |what: &str| Error::invalid(format!("{place}.{what}"), "Field required");
    match &*kind {
        "tool_use" => {
            let wire: WirePart = fields::read(value, place)?;
            let id = wire.id.ok_or_else(|| missing("id"))?;
            let name = wire.name.ok_or_else(|| missing("name"))?;
            let args = arguments(wire.input.unwrap_or_default());
            transcript.call(Call { id, name, args, signature: None }, place.to_owned());
        }
        "tool_result" => {
            let wire: WirePart = fields::read(value, place)?;
            let id = wire.tool_use_id.ok_or_else(|| missing("tool_use_id"))?;
            let (output, media) = result(wire.content, &format!("{place}.content"), transcript.notes)?;
            let failed = wire.is_error == Some(true);
            transcript.result(&id, (output, failed), media, &format!("{place}.tool_use_id"))?;
        }
        // Thoughts are not sent back: Gemini needs only the signature, which is kept with the call. Search results are
        // already in the text that the model wrote from them.
        "thinking" | "redacted_thinking" | "reasoning" | "fallback" | "web_search_tool_result" => {}
        "server_tool_use" if value["name"] == "web_search" => {}
        // The model gets tools that another provider ran, and summaries of earlier turns, as text.
        kind if kind.ends_with("_tool_result") || kind.ends_with("_tool_use") || kind == "compaction" => {
            transcript.say(role, Part::Text(as_text(&value)));
        }
        kind if !is_part(&value) => {
            let why = format!("{kind:?} is not supported; send text, an image, sound or a document");
            transcript.notes.refuse(Error::invalid(format!("{place}.type"), why))?;
        }
        _ => {
            for part in parts(value, place, transcript.notes)? {
                transcript.say(role, part);
            }
        }
    }
    Ok(())
}

/// Reads a tool result as lines of text and media. An unknown part becomes text, so that the conversation can go on.
pub(crate) fn result(content: Option<Content>, place: &str, notes: &mut Notes) -> Result<(String, Vec<Part>), Error> {
    let (mut output, mut media) = (String::new(), Vec::new());
    for (part, place) in content.into_iter().flat_map(|content| content.parts(place)) {
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
        Value::String(text) => serde_json::from_str(&text).unwrap_or(Value::String(text)),
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

fn is_part(value: &Value) -> bool {
    match value["type"].as_str() {
        Some(kind) => KINDS.split_whitespace().any(|known| known == kind),
        None => value.is_string() || value["text"].is_string(),
    }
}

/// Reads a part of text or media.
fn parts(value: Value, place: &str, notes: &mut Notes) -> Result<Vec<Part>, Error> {
    if let Value::String(text) = value {
        return Ok(vec![Part::Text(text)]);
    }
    let wire: WirePart = fields::read(value, place)?;
    let missing = |what: &str| Error::invalid(format!("{place}.{what}"), "is missing");
    if wire.citations.is_some_and(|citations| citations["enabled"] == true) {
        let why = "citations of sent documents are not supported; leave it out";
        notes.refuse(Error::invalid(format!("{place}.citations"), why))?;
    }
    let one = |media: Media| vec![Part::Media(media)];
    Ok(match &*wire.kind {
        "refusal" => vec![Part::Text(wire.refusal.ok_or_else(|| missing("refusal"))?)],
        "image_url" | "video_url" | "input_image" => match (wire.image_url, wire.flat_file.file_id) {
            (None, None) => return Err(missing("image_url")),
            (None, Some(id)) => one(media::from_file_id(&id, &format!("{place}.file_id"))?),
            (Some(url), _) => {
                let (url, detail, field) = match url {
                    ImageUrl::Flat(url) => (url, wire.detail, "image_url"),
                    ImageUrl::Nested { url, detail } => (url, detail, "image_url.url"),
                };
                if detail.is_some_and(|detail| detail != "auto") {
                    notes.ignore("image_url.detail");
                }
                one(media::from_url(&url, &format!("{place}.{field}"))?)
            }
        },
        "input_audio" => one(recording(wire.input_audio.ok_or_else(|| missing("input_audio"))?, place)?),
        "file" | "input_file" => one(match wire.file {
            Some(nested) => file(nested, &format!("{place}.file"))?,
            None => file(wire.flat_file, place)?,
        }),
        "image" | "document" => {
            let line = |name: &str, text: Option<String>| {
                text.filter(|text| !text.is_empty()).map_or_else(String::new, |text| format!("{name}: {text}\n"))
            };
            let about = line("Title", wire.title) + &line("Context", wire.context);
            let about = (!about.is_empty()).then(|| Part::Text(format!("Document\n{about}")));
            let source = wire.source.ok_or_else(|| missing("source"))?;
            about.into_iter().chain(sourced(source, &format!("{place}.source"))?).collect()
        }
        "search_result" => {
            let source = wire.source.as_ref().and_then(Value::as_str).ok_or_else(|| missing("source"))?;
            let content = wire.content.ok_or_else(|| missing("content"))?;
            let text = content.texts(&format!("{place}.content"))?.join("\n");
            let title = wire.title.unwrap_or_default();
            vec![Part::Text(format!("Search result\nTitle: {title}\nSource: {source}\n{text}\n"))]
        }
        _ => vec![Part::Text(wire.text.ok_or_else(|| missing("text"))?)],
    })
}

fn recording(Recording { data, format }: Recording, place: &str) -> Result<Media, Error> {
    match &*data {
        "" => Err(Error::invalid(format!("{place}.input_audio.data"), "is empty")),
        _ => Ok(media::base64(format!("audio/{format}"), data)),
    }
}

fn file(file: File, place: &str) -> Result<Media, Error> {
    match (file.file_data, file.file_id, file.file_url) {
        (Some(data), ..) => media::from_file(data, file.filename.as_deref(), &format!("{place}.file_data")),
        (None, Some(id), _) => media::from_file_id(&id, &format!("{place}.file_id")),
        (None, None, Some(url)) => media::from_url(&url, &format!("{place}.file_url")),
        (None, None, None) => Err(Error::invalid(format!("{place}.file_data"), "is missing")),
    }
}

/// Reads the source of Anthropic's image or document blocks.
fn sourced(source: Value, place: &str) -> Result<Vec<Part>, Error> {
    #[derive(Deserialize)]
    struct Source {
        #[serde(rename = "type", default)]
        kind: String,
        media_type: Option<String>,
        data: Option<String>,
        url: Option<String>,
        file_id: Option<String>,
        content: Option<Content>,
    }
    let source: Source = fields::read(source, place)?;
    let missing = |what: &str| Error::invalid(format!("{place}.{what}"), "Field required");
    let media = match &*source.kind {
        "base64" => {
            let mime = source.media_type.ok_or_else(|| missing("media_type"))?;
            media::base64(mime, source.data.filter(|data| !data.is_empty()).ok_or_else(|| missing("data"))?)
        }
        "url" => media::from_url(&source.url.ok_or_else(|| missing("url"))?, &format!("{place}.url"))?,
        "file" => media::from_file_id(&source.file_id.ok_or_else(|| missing("file_id"))?, &format!("{place}.file_id"))?,
        "text" => return Ok(vec![Part::Text(source.data.ok_or_else(|| missing("data"))?)]),
        "content" => {
            let content = source.content.ok_or_else(|| missing("content"))?;
            return Ok(content.texts(&format!("{place}.content"))?.into_iter().map(Part::Text).collect());
        }
        _ => return Err(Error::invalid(format!("{place}.type"), "expected base64, text, url, file or content")),
    };
    Ok(vec![Part::Media(media)])
}
