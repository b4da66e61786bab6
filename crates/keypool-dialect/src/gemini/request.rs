//! The encoder of a conversation as a `generateContent` request.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{bare_model, names::Names, schema, thinking};
use crate::{
    Conversation, Error, Format, Media, MediaData, Modality, Part, Role, Tool, ToolChoice, ToolResult, Turn,
    fields::{object, without_nulls},
    ids, media,
};

/// A thought signature for which Gemini skips the check.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// A request for Gemini's native API.
#[derive(Clone, Debug)]
pub struct NativeRequest {
    /// The path and query, such as `/v1beta/models/gemini-2.5-flash:generateContent`.
    pub path: String,
    /// The JSON body.
    pub body: Bytes,
}

impl NativeRequest {
    /// Encodes a conversation for `generateContent`, or for `streamGenerateContent` if it is streamed.
    ///
    /// # Errors
    /// 400 for an invalid model name, for media that is still a URL on the web, and for a JSON schema that the model
    /// cannot follow beside the tools.
    pub fn generate(conversation: &Conversation) -> Result<Self, Error> {
        let verb = if conversation.stream { ":streamGenerateContent?alt=sse" } else { ":generateContent" };
        Self::new(&conversation.model, verb, &encoded(conversation)?)
    }

    /// Encodes a conversation for `countTokens`.
    ///
    /// # Errors
    /// The same as those of [`generate`](Self::generate).
    pub fn count_tokens(conversation: &Conversation) -> Result<Self, Error> {
        let mut request = encoded(conversation)?;
        request["model"] = format!("models/{}", bare_model(&conversation.model)).into();
        Self::new(&conversation.model, ":countTokens", &object([("generateContentRequest", request)]))
    }

    /// Creates a request for a model's method.
    pub(super) fn new(model: &str, verb: &str, body: &Value) -> Result<Self, Error> {
        Ok(Self { path: path(model, verb)?, body: body.to_string().into() })
    }
}

/// Returns the body of `generateContent`.
fn encoded(conversation: &Conversation) -> Result<Value, Error> {
    let conversation = &*adapted(conversation)?;
    Encoder { conversation, names: Names::new(conversation) }.encode()
}

/// An encoder of a conversation.
struct Encoder<'c> {
    /// The [adapted] conversation.
    conversation: &'c Conversation,
    names: Names,
}

impl Encoder<'_> {
    fn encode(&self) -> Result<Value, Error> {
        let Conversation { system, cached_content, .. } = self.conversation;
        let parts: Vec<Value> = system.iter().filter(|text| !text.is_empty()).map(|text| text_part(text)).collect();
        let instruction = if parts.is_empty() { Value::Null } else { object([("parts", parts.into())]) };
        Ok(object([
            ("systemInstruction", instruction),
            ("contents", self.contents()?.into()),
            ("tools", self.tools().into()),
            ("toolConfig", self.tool_config().into()),
            ("generationConfig", self.generation_config()),
            ("cachedContent", cached_content.clone().into()),
        ]))
    }

    fn contents(&self) -> Result<Vec<Value>, Error> {
        let Conversation { model, turns, modality, .. } = self.conversation;
        let mut contents = Vec::with_capacity(turns.len() + 1);
        for turn in turns {
            contents.push(self.content(turn)?);
        }
        if contents.first().is_none_or(|content| content["role"] != "user") {
            // Gemini requires the first turn to be the user's.
            contents.insert(0, json!({ "role": "user", "parts": [text_part(" ")] }));
        }
        if thinking::wants_user_turn_last(model) && contents.last().is_some_and(|last| last["role"] == "model") {
            contents.push(json!({ "role": "user", "parts": [text_part("Continue.")] }));
        }
        if let Modality::Speech { style: Some(style), .. } = modality
            && let Some(parts) = contents[0]["parts"].as_array_mut()
        {
            if style_stands_apart(model) {
                for part in parts {
                    part["speechMetadata"] = json!({ "style": style });
                }
            } else {
                parts.insert(0, text_part(style));
            }
        }
        Ok(contents)
    }

    fn content(&self, turn: &Turn) -> Result<Value, Error> {
        let model = &self.conversation.model;
        let mut parts = Vec::with_capacity(turn.parts.len());
        let mut unsigned = true;
        for part in turn.parts.iter().filter(|part| !matches!(part, Part::Text(text) if text.is_empty())) {
            let mut wire = self.part(part)?;
            if turn.role == Role::Model {
                // Only the first of several parallel calls has a signature.
                let is_call = matches!(part, Part::Call(_));
                let wanted = is_call && unsigned && thinking::wants_signatures(model);
                if (wanted || thinking::wants_all_signed(model)) && wire.get("thoughtSignature").is_none() {
                    wire["thoughtSignature"] = NO_SIGNATURE.into();
                }
                unsigned &= !is_call;
            }
            parts.push(wire);
        }
        if parts.is_empty() {
            // Gemini rejects a turn without parts, and an empty text.
            parts.push(text_part(" "));
        }
        let role = if turn.role == Role::Model { "model" } else { "user" };
        Ok(object([("role", role.into()), ("parts", parts.into())]))
    }

    fn part(&self, part: &Part) -> Result<Value, Error> {
        Ok(match part {
            Part::Text(text) => text_part(text),
            Part::Media(Media { mime, data }) => match data {
                MediaData::Base64(data) => {
                    let mime = media::gemini_mime(mime.as_deref().unwrap_or_default(), data);
                    json!({ "inlineData": { "mimeType": mime, "data": data } })
                }
                MediaData::GeminiUri(uri) => {
                    object([("fileData", without_nulls(json!({ "fileUri": uri, "mimeType": mime })))])
                }
                MediaData::Remote { field, .. } => {
                    let why = "URLs are not fetched here; send the data itself, as base64 or a data URL";
                    return Err(Error::invalid(&**field, why));
                }
            },
            Part::Call(call) => {
                let (id, name) = (ids::own_id(&call.id), self.names.at_gemini(&call.name));
                let signature = call.signature.as_deref().filter(|_| ids::fits(&call.id, &self.conversation.model));
                let function = without_nulls(json!({ "id": id, "name": name, "args": call.args }));
                object([("functionCall", function), ("thoughtSignature", signature.into())])
            }
            Part::Result(ToolResult { call_id, name, content, failed }) => {
                // Gemini would interpret a `$ref` as a reference to a declared function and reject it.
                let text = Some(content.trim()).filter(|text| text.starts_with('{') && !text.contains("\"$ref\""));
                let json = text.and_then(|text| serde_json::from_str(text).ok()).filter(|json| !has_large_number(json));
                let output = match json {
                    _ if *failed => json!({ "error": content }),
                    Some(json) => json,
                    None => json!({ "result": content }),
                };
                let (id, name) = (ids::own_id(call_id), self.names.at_gemini(name));
                let response = object([("id", id.into()), ("name", name.into()), ("response", output)]);
                object([("functionResponse", response)])
            }
        })
    }

    fn tools(&self) -> Option<Value> {
        if self.conversation.tools.is_empty() {
            return self.conversation.searches().then(|| json!([{ "googleSearch": {} }]));
        }
        let declaration = |tool: &Tool| {
            without_nulls(json!({
                "name": self.names.at_gemini(&tool.name),
                "description": tool.description.as_deref().filter(|text| !text.is_empty()),
                "parametersJsonSchema": schema::of_arguments(tool.parameters.as_ref()),
            }))
        };
        let declared: Vec<Value> = self.conversation.tools.iter().map(declaration).collect();
        Some(Value::Array(vec![object([("functionDeclarations", declared.into())])]))
    }

    fn tool_config(&self) -> Option<Value> {
        let (mode, names) = match &self.conversation.tool_choice {
            _ if self.conversation.tools.is_empty() => return None,
            ToolChoice::Unset => return None,
            ToolChoice::Never => ("NONE", &[][..]),
            ToolChoice::May(names) if names.is_empty() => ("AUTO", &[][..]),
            // Gemini accepts names in this mode, but not in AUTO.
            ToolChoice::May(names) => ("VALIDATED", &names[..]),
            ToolChoice::Must(names) => ("ANY", &names[..]),
        };
        let allowed =
            (!names.is_empty()).then(|| names.iter().map(|name| self.names.at_gemini(name)).collect::<Vec<_>>());
        let calling = without_nulls(json!({ "mode": mode, "allowedFunctionNames": allowed }));
        Some(json!({ "functionCallingConfig": calling }))
    }

    fn generation_config(&self) -> Value {
        let Conversation { model, sampling, format, modality, thinking, .. } = self.conversation;
        let (mime_type, schema) = match format {
            Format::Text => (None, None),
            Format::Json => (Some("application/json"), None),
            Format::Schema(schema) => (Some("application/json"), Some(schema::adapted(schema))),
        };
        let (modalities, image, speech) = match modality {
            Modality::Text => (None, None, None),
            Modality::Image { aspect_ratio, size } => {
                let image = without_nulls(json!({ "aspectRatio": aspect_ratio, "imageSize": size }));
                (Some(json!(["TEXT", "IMAGE"])), Some(image), None)
            }
            Modality::Speech { voice, .. } => {
                let voice = json!({ "voiceConfig": { "prebuiltVoiceConfig": { "voiceName": voice } } });
                (Some(json!(["AUDIO"])), None, Some(voice))
            }
        };
        without_nulls(json!({
            "temperature": sampling.temperature,
            "topP": sampling.top_p, "topK": sampling.top_k,
            // Gemini's seed has 32 bits; equal seeds stay equal.
            "seed": sampling.seed.map(|seed| seed as i32),
            "maxOutputTokens": sampling.max_tokens,
            "stopSequences": (!sampling.stop.is_empty()).then_some(&sampling.stop),
            "candidateCount": sampling.candidates.filter(|count| *count != 1),
            "presencePenalty": sampling.presence_penalty, "frequencyPenalty": sampling.frequency_penalty,
            "responseLogprobs": sampling.logprobs.map(|_| true), "logprobs": sampling.logprobs.filter(|top| *top > 0),
            "responseMimeType": mime_type, "responseJsonSchema": schema,
            "thinkingConfig": thinking::config(model, *thinking),
            "responseModalities": modalities, "imageConfig": image, "speechConfig": speech,
        }))
    }
}

/// Reports whether a value has a number of which a double, as Gemini reads all numbers, may lose digits.
fn has_large_number(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_f64().is_some_and(|number| number.abs() >= 9e15),
        Value::Array(items) => items.iter().any(has_large_number),
        Value::Object(members) => members.values().any(has_large_number),
        _ => false,
    }
}

/// The name of the function whose call is the answer.
pub(super) const ANSWER: &str = "final_answer";

/// Returns the schema of the answer if the answer can be a function call, for models that reject JSON output beside
/// tools.
pub(super) fn answer_by_call(conversation: &Conversation) -> Option<&Value> {
    let Conversation { tools, tool_choice, format: Format::Schema(schema), .. } = conversation else { return None };
    let is_free = matches!(tool_choice, ToolChoice::Unset | ToolChoice::May(_));
    let is_object = schema["type"] == "object" || schema::of_arguments(Some(schema))["properties"].is_object();
    let fits = is_object && tools.iter().all(|tool| tool.name != ANSWER);
    (is_free && fits && !tools.is_empty()).then_some(schema)
}

/// Returns the conversation as its model accepts it: a function call has no response format, and models before the
/// third generation reject JSON output beside tools.
fn adapted(conversation: &Conversation) -> Result<Cow<'_, Conversation>, Error> {
    let Conversation { model, tools, tool_choice, format, .. } = conversation;
    let must_call = !tools.is_empty() && matches!(tool_choice, ToolChoice::Must(_));
    let has_tools = !tools.is_empty() || conversation.searches();
    let is_refused = must_call || has_tools && thinking::refuses_tools_beside_json(model);
    if matches!(format, Format::Text) || !is_refused {
        return Ok(Cow::Borrowed(conversation));
    }
    let mut adapted = Conversation { format: Format::Text, ..conversation.clone() };
    match (tool_choice, answer_by_call(conversation)) {
        _ if must_call => {}
        (ToolChoice::Never, _) => {
            adapted.tools.clear();
            adapted.format = format.clone();
        }
        (choice, Some(schema)) => {
            adapted.tool_choice = ToolChoice::Must(match choice {
                ToolChoice::May(names) if !names.is_empty() => [&names[..], &[ANSWER.to_owned()]].concat(),
                _ => Vec::new(),
            });
            let description = "Gives the final answer. Call it when no other function is needed any more.";
            let (description, parameters) = (Some(description.to_owned()), Some(schema.clone()));
            adapted.tools.push(Tool { name: ANSWER.to_owned(), description, parameters, origin: None });
        }
        _ if matches!(format, Format::Json) => {
            let ask = "Unless you call a function, answer with one JSON object alone, without Markdown around it.";
            adapted.system.push(ask.to_owned());
        }
        _ => {
            let why = format!("{model} cannot follow this JSON schema beside these tools; leave one of them out");
            return Err(Error::invalid("tools", why));
        }
    }
    Ok(Cow::Owned(adapted))
}

/// Reports whether the speaking style goes into a separate field. Models before 3.5 expect it before the text; later
/// ones would speak it.
fn style_stands_apart(model: &str) -> bool {
    let version = bare_model(model).strip_prefix("gemini-").and_then(|rest| rest.split('-').next());
    version.and_then(|version| version.parse::<f32>().ok()).is_some_and(|version| version >= 3.5)
}

fn text_part(text: &str) -> Value {
    json!({ "text": text })
}

/// Returns the path of a model's method.
fn path(model: &str, verb: &str) -> Result<String, Error> {
    let name = bare_model(model);
    if name.is_empty() || name.len() > 256 || name.bytes().all(|byte| byte == b'.') {
        return Err(Error::invalid("model", "expected the name of a model, such as gemini-2.5-flash"));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    let escaped = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    let name: String = name.bytes().map(escaped).collect();
    Ok(format!("/v1beta/models/{name}{verb}"))
}
