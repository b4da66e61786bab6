//! The encoder: a conversation as `generateContent` takes it.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    bare_model,
    names::Names,
    schema, thinking,
    wire::{
        Blob, Calling, Content, Declaration, File, FunctionCall, FunctionResponse, GenerationConfig, ImageConfig,
        Prebuilt, Request, Response, Search, SpeechConfig, SpeechMetadata, ToolConfig, Tools, VoiceConfig, WirePart,
    },
};
use crate::{
    Conversation, Error, ErrorKind, Format, Media, MediaData, Modality, Part, Role, Sampling, ToolChoice, ToolResult,
    Turn, ids, media,
};

/// What stands in for a thought signature that is lost: the model goes on without its earlier thoughts.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// A request for Gemini's native API.
#[derive(Clone, Debug)]
pub struct NativeRequest {
    /// Its path and query, such as `/v1beta/models/gemini-2.5-flash:generateContent`.
    pub path: String,
    /// Its body, JSON.
    pub body: Bytes,
    /// About how many tokens it will be counted as.
    pub estimated_tokens: u64,
}

/// Encodes a conversation for Gemini.
#[derive(Debug)]
pub struct Encoder<'c> {
    conversation: &'c Conversation,
    names: Names,
}

impl<'c> Encoder<'c> {
    /// Of this conversation.
    pub fn new(conversation: &'c Conversation) -> Self {
        Self { conversation, names: Names::new(conversation) }
    }

    /// `generateContent`, or `streamGenerateContent` where the conversation is to be streamed.
    ///
    /// # Errors
    /// 400 for what the model cannot do, a name that is no model's, and media that nobody fetched.
    pub fn generate(&self) -> Result<NativeRequest, Error> {
        let verb = if self.conversation.stream { ":streamGenerateContent?alt=sse" } else { ":generateContent" };
        self.encode(verb, &self.request()?)
    }

    /// `countTokens` of the same.
    ///
    /// # Errors
    /// As [`generate`](Self::generate).
    pub fn count_tokens(&self) -> Result<NativeRequest, Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Count<'r> {
            generate_content_request: Request<'r>,
        }
        let mut request = self.request()?;
        request.model = Some(format!("models/{}", bare_model(&self.conversation.model)));
        self.encode(":countTokens", &Count { generate_content_request: request })
    }

    fn encode(&self, verb: &str, request: &impl Serialize) -> Result<NativeRequest, Error> {
        let path = path(&self.conversation.model, verb)?;
        let body = serde_json::to_vec(request).map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))?;
        let estimated_tokens = self.estimate(body.len());
        Ok(NativeRequest { path, body: body.into(), estimated_tokens })
    }

    /// Four bytes a token. An image or sound is not counted by its base64.
    fn estimate(&self, length: usize) -> u64 {
        const TOKENS_OF_MEDIA: u64 = 1_100;
        let parts = self.conversation.turns.iter().flat_map(|turn| &turn.parts);
        let data = parts.filter_map(|part| match part {
            Part::Media(Media { data: MediaData::Base64(data), .. }) => Some(data.len()),
            _ => None,
        });
        let (count, bytes) = data.fold((0, 0), |(count, bytes), more| (count + 1, bytes + more));
        length.saturating_sub(bytes) as u64 / 4 + count * TOKENS_OF_MEDIA
    }

    fn request(&self) -> Result<Request<'_>, Error> {
        let Conversation { system, cached_content, .. } = self.conversation;
        let system: Vec<WirePart<'_>> =
            system.iter().filter(|text| !text.is_empty()).map(|text| text_part(text)).collect();
        Ok(Request {
            model: None,
            system_instruction: (!system.is_empty()).then_some(Content { role: None, parts: system }),
            contents: self.contents()?,
            tools: self.tools().map(|tools| [tools]),
            tool_config: self.tool_config(),
            generation_config: self.generation_config()?,
            cached_content: cached_content.as_deref(),
        })
    }

    fn contents(&self) -> Result<Vec<Content<'_>>, Error> {
        let Conversation { model, turns, modality, .. } = self.conversation;
        let mut contents = Vec::with_capacity(turns.len() + 1);
        for turn in turns {
            contents.extend(self.content(turn)?);
        }
        if contents.first().is_none_or(|content| content.role != Some("user")) {
            // What a model says must follow somebody's words.
            contents.insert(0, Content { role: Some("user"), parts: vec![text_part(" ")] });
        }
        if let Modality::Speech { style: Some(style), .. } = modality
            && let Some(first) = contents.first_mut()
        {
            if style_stands_apart(model) {
                first.parts.iter_mut().for_each(|part| part.speech_metadata = Some(SpeechMetadata { style }));
            } else {
                first.parts.insert(0, text_part(style));
            }
        }
        Ok(contents)
    }

    /// A turn; `None` where the model said nothing in it.
    fn content<'r>(&'r self, turn: &'r Turn) -> Result<Option<Content<'r>>, Error> {
        let model = &self.conversation.model;
        let mut parts = Vec::with_capacity(turn.parts.len());
        let mut unsigned = true;
        for part in turn.parts.iter().filter(|part| !matches!(part, Part::Text(text) if text.is_empty())) {
            let mut wire = self.part(part)?;
            if turn.role == Role::Model {
                // Of calls at once the first is signed.
                let is_call = wire.function_call.is_some();
                let wanted = is_call && unsigned && thinking::wants_signatures(model);
                if wanted || thinking::wants_all_signed(model) {
                    wire.thought_signature.get_or_insert(NO_SIGNATURE);
                }
                unsigned &= !is_call;
            }
            parts.push(wire);
        }
        let role = match turn.role {
            Role::Model if parts.is_empty() => return Ok(None),
            Role::Model => "model",
            Role::User => "user",
        };
        if parts.is_empty() {
            // Gemini refuses an empty text.
            parts.push(text_part(" "));
        }
        Ok(Some(Content { role: Some(role), parts }))
    }

    fn part<'r>(&'r self, part: &'r Part) -> Result<WirePart<'r>, Error> {
        Ok(match part {
            Part::Text(text) => text_part(text),
            Part::Media(Media { mime, data }) => match data {
                MediaData::Base64(data) => {
                    let mime_type = media::gemini_mime(mime.as_deref().unwrap_or_default(), data);
                    WirePart { inline_data: Some(Blob { mime_type, data }), ..WirePart::default() }
                }
                MediaData::GeminiUri(file_uri) => {
                    let file = File { file_uri, mime_type: mime.as_deref() };
                    WirePart { file_data: Some(file), ..WirePart::default() }
                }
                MediaData::Remote { field, .. } => {
                    let why = "URLs are not fetched here; send the data itself, as base64 or a data URL";
                    return Err(Error::invalid(&**field, why));
                }
            },
            Part::Call(call) => WirePart {
                function_call: Some(FunctionCall {
                    id: ids::own_id(&call.id),
                    name: self.names.there(&call.name),
                    args: &call.args,
                }),
                thought_signature: call.signature.as_deref().filter(|_| ids::fits(&call.id, &self.conversation.model)),
                ..WirePart::default()
            },
            Part::Result(result) => {
                WirePart { function_response: Some(self.function_response(result)), ..WirePart::default() }
            }
        })
    }

    fn function_response<'r>(&'r self, result: &'r ToolResult) -> FunctionResponse<'r> {
        let content = result.content.trim();
        // Gemini takes a reference inside for one to a declared function, and refuses it.
        let object = Some(content).filter(|text| text.starts_with('{') && !text.contains("\"$ref\""));
        let object = object.and_then(|text| {
            // All of it is read once, which bounds its depth.
            serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
            serde_json::from_str::<&RawValue>(text).ok()
        });
        let response = match object {
            _ if result.failed => Response::Failed { error: &result.content },
            Some(object) => Response::Object(object),
            None => Response::Text { result: &result.content },
        };
        FunctionResponse { id: ids::own_id(&result.call_id), name: self.names.there(&result.name), response }
    }

    /// Whether none may be called beside a form that the model refuses beside tools: then none need be declared.
    fn leaves_tools_out(&self) -> bool {
        let Conversation { model, tool_choice, format, .. } = self.conversation;
        *tool_choice == ToolChoice::Never && !matches!(format, Format::Text) && thinking::has_tools_or_format(model)
    }

    fn tools(&self) -> Option<Tools<'_>> {
        let Conversation { tools, .. } = self.conversation;
        if tools.is_empty() || self.leaves_tools_out() {
            let search = || Tools { google_search: Some(Search {}), ..Tools::default() };
            return may_search(self.conversation).then(search);
        }
        let mut declared: Vec<Declaration<'_>> = tools
            .iter()
            .map(|tool| Declaration {
                name: self.names.there(&tool.name),
                description: tool.description.as_deref().filter(|text| !text.is_empty()),
                parameters_json_schema: tool.parameters.as_deref().map(schema::adapted),
            })
            .collect();
        declared.extend(self.names.answer.as_deref().map(|name| Declaration {
            name,
            description: Some("Gives the final answer. Call it once no other function is needed any more."),
            parameters_json_schema: answer_parameters(&self.conversation.format),
        }));
        Some(Tools { function_declarations: declared, google_search: None })
    }

    fn tool_config(&self) -> Option<ToolConfig<'_>> {
        let Conversation { tools, tool_choice, .. } = self.conversation;
        if tools.is_empty() || self.leaves_tools_out() {
            return None;
        }
        let (mode, names) = match tool_choice {
            ToolChoice::Unset => ("AUTO", &[][..]),
            ToolChoice::Never => ("NONE", &[][..]),
            ToolChoice::May(names) if names.is_empty() => ("AUTO", &[][..]),
            // Gemini takes names in this mode, not in AUTO.
            ToolChoice::May(names) => ("VALIDATED", &names[..]),
            ToolChoice::Must(names) => ("ANY", &names[..]),
        };
        let mut allowed_function_names: Vec<&str> = names.iter().map(|name| self.names.there(name)).collect();
        let mode = match &self.names.answer {
            Some(answer) => {
                if !allowed_function_names.is_empty() {
                    allowed_function_names.push(answer);
                }
                "ANY"
            }
            None if *tool_choice == ToolChoice::Unset => return None,
            None => mode,
        };
        Some(ToolConfig { function_calling_config: Calling { mode, allowed_function_names } })
    }

    fn generation_config(&self) -> Result<Option<GenerationConfig<'_>>, Error> {
        let Conversation { model, sampling, format, modality, thinking, tools, tool_choice, .. } = self.conversation;
        let Sampling { temperature, top_p, top_k, seed, max_tokens, stop, candidates, .. } = sampling;
        let must_call = matches!(tool_choice, ToolChoice::Must(_)) && !tools.is_empty();
        let (response_mime_type, response_json_schema) = match format {
            // A call has no form.
            _ if must_call || self.names.answer.is_some() => (None, None),
            Format::Text => (None, None),
            Format::Json => (Some("application/json"), None),
            Format::Schema(schema) => (Some("application/json"), Some(schema::adapted(schema))),
        };
        let (response_modalities, image_config, speech_config): (&[&str], _, _) = match modality {
            Modality::Text => (&[], None, None),
            Modality::Image { aspect_ratio, size } => {
                let config = ImageConfig { aspect_ratio: *aspect_ratio, image_size: *size };
                (&["TEXT", "IMAGE"], (aspect_ratio.is_some() || size.is_some()).then_some(config), None)
            }
            Modality::Speech { voice, .. } => {
                let voice_config = VoiceConfig { prebuilt_voice_config: Prebuilt { voice_name: voice } };
                (&["AUDIO"], None, Some(SpeechConfig { voice_config }))
            }
        };
        let config = GenerationConfig {
            temperature: *temperature,
            top_p: *top_p,
            top_k: *top_k,
            // Gemini has 32 bits; the same seed is still the same seed.
            seed: seed.map(|seed| seed as i32),
            max_output_tokens: *max_tokens,
            stop_sequences: stop,
            candidate_count: candidates.filter(|count| *count != 1),
            presence_penalty: sampling.presence_penalty,
            frequency_penalty: sampling.frequency_penalty,
            response_logprobs: sampling.logprobs.map(|_| true),
            logprobs: sampling.logprobs.filter(|top| *top > 0),
            response_mime_type,
            response_json_schema,
            thinking_config: thinking::config(model, *thinking)?,
            response_modalities,
            image_config,
            speech_config,
        };
        Ok(config.says_something().then_some(config))
    }
}

/// Whether the model is to search the web, and can beside all else that is asked: not beside functions, and older ones not
/// where the answer has a form.
pub(super) fn may_search(conversation: &Conversation) -> bool {
    let Conversation { model, tools, format, modality, web_search, .. } = conversation;
    let formed = !matches!(format, Format::Text) && thinking::has_tools_or_format(model);
    *web_search && tools.is_empty() && !formed && *modality == Modality::Text && thinking::searches(model)
}

/// The arguments that are an answer in a form: the form itself where it is an object's, else the JSON as text.
fn answer_parameters(format: &Format) -> Option<Box<RawValue>> {
    match format {
        Format::Schema(schema) if is_object(schema) => Some(schema::adapted(schema)),
        Format::Schema(schema) => {
            let about = format!("The whole answer as JSON text, by this schema: {}", schema.get());
            answer_as_text(&about)
        }
        Format::Json | Format::Text => answer_as_text("The whole answer: one JSON object, as text."),
    }
}

fn answer_as_text(about: &str) -> Option<Box<RawValue>> {
    let json = serde_json::json!({ "type": "string", "description": about });
    let parameters = serde_json::json!({ "type": "object", "properties": { "json": json }, "required": ["json"] });
    serde_json::value::to_raw_value(&parameters).ok()
}

fn is_object(schema: &RawValue) -> bool {
    #[derive(serde::Deserialize)]
    struct Root {
        #[serde(rename = "type")]
        kind: Option<serde_json::Value>,
    }
    serde_json::from_str::<Root>(schema.get()).is_ok_and(|root| root.kind.is_some_and(|kind| kind == "object"))
}

/// Where a manner of speaking stands: models before 3.5 read it in front of the words, later ones would speak it.
fn style_stands_apart(model: &str) -> bool {
    let version = bare_model(model).strip_prefix("gemini-").and_then(|rest| rest.split('-').next());
    version.and_then(|version| version.parse::<f32>().ok()).is_some_and(|version| version >= 3.5)
}

/// The path of a verb of a model.
pub(crate) fn path(model: &str, verb: &str) -> Result<String, Error> {
    use std::fmt::Write as _;

    let model = bare_model(model);
    let (collection, name) = match model.split_once('/') {
        Some(("tunedModels", name)) => ("tunedModels", name),
        _ => ("models", model),
    };
    if name.is_empty() || name.len() > 256 || name.bytes().all(|byte| byte == b'.') {
        return Err(Error::invalid("model", "expected the name of a model, such as gemini-2.5-flash"));
    }
    let mut path = format!("/v1beta/{collection}/");
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path.push_str(verb);
    Ok(path)
}

fn text_part(text: &str) -> WirePart<'_> {
    WirePart { text: Some(text), ..WirePart::default() }
}
