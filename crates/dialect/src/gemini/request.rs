//! A conversation as `generateContent` takes it.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{medium, name, nonsense, schema, thinking};
use crate::{
    Call, Conversation, Fault, Format, Medium, Part, Returned, Role, Sampling, Segments, Speech, Text, Tool,
    ToolChoice, Turn, segments::Whole,
};

/// What stands in for a signature that is lost: the model then goes on without its earlier thoughts.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'r> {
    /// Where it stands inside of another message.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_instruction: Option<Content<'r>>,
    contents: Vec<Content<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tools: Option<[Tools<'r>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation_config: Option<Config<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cached_content: Option<&'r str>,
}

#[derive(Serialize)]
struct Content<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    parts: Vec<Wire<'r>>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Said<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inline_data: Option<Blob<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_data: Option<File<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_call: Option<FunctionCall<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    function_response: Option<FunctionResponse<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thought_signature: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speech_metadata: Option<medium::Manner<'r>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Blob<'r> {
    mime_type: &'r str,
    data: Said<'r>,
}

/// A text, or its beginning that stands for it.
#[derive(Serialize)]
#[serde(untagged)]
enum Said<'r> {
    Blank(&'static str),
    Text(&'r Text<'r>),
    Whole(Whole<'r>),
}

impl<'r> From<&'r Text<'r>> for Said<'r> {
    fn from(text: &'r Text<'r>) -> Self {
        Whole::of(text).map_or(Self::Text(text), Self::Whole)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct File<'r> {
    file_uri: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    mime_type: Option<&'r str>,
}

#[derive(Serialize)]
struct FunctionCall<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'r str>,
    name: &'r str,
    args: &'r RawValue,
}

#[derive(Serialize)]
struct FunctionResponse<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'r str>,
    name: &'r str,
    response: Response<'r>,
}

/// An object, as it must be.
#[derive(Serialize)]
#[serde(untagged)]
enum Response<'r> {
    Itself(&'r RawValue),
    Said { result: &'r Text<'r> },
    Failed { error: &'r Text<'r> },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tools<'r> {
    function_declarations: Vec<Declaration<'r>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Declaration<'r> {
    name: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters_json_schema: Option<Cow<'r, RawValue>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ToolConfig<'r> {
    function_calling_config: Calling<'r>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Calling<'r> {
    mode: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    allowed_function_names: &'r [Text<'r>],
}

#[derive(Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "as they stand on the wire")]
struct Config<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'r [Text<'r>],
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<Schema<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<thinking::Config>,
    #[serde(flatten)]
    medium: medium::Config<'r>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Schema<'r>(Cow<'r, RawValue>);

impl PartialEq for Schema<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

/// The body of `generateContent` and `streamGenerateContent`. What is large in `source`, the caller's body that the
/// conversation was read from, is not copied.
///
/// # Errors
/// When the model cannot do what is asked.
pub fn generate(conversation: &Conversation<'_>, source: Bytes) -> Result<Vec<Bytes>, Fault> {
    write(conversation, &request(conversation)?, source)
}

/// The body of `countTokens` for the same.
///
/// # Errors
/// When the model cannot do what is asked.
pub fn counted(conversation: &Conversation<'_>, source: Bytes) -> Result<Vec<Bytes>, Fault> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Count<'r> {
        generate_content_request: Request<'r>,
    }
    let mut request = request(conversation)?;
    request.model = Some(format!("models/{}", name(&conversation.model)));
    write(conversation, &Count { generate_content_request: request }, source)
}

/// About how many tokens a request that was written so will be counted as. Its images are not: their base64 would be a
/// hundred times what they cost. Nor are escapes, which some clients write for all that is not ASCII.
pub fn about_tokens(conversation: &Conversation<'_>, pieces: &[Bytes]) -> u64 {
    /// Of an image, or some seconds of sound.
    const BLOB: u64 = 1_100;
    let parts = conversation.turns.iter().flat_map(|turn| &turn.parts);
    let mut length: usize = conversation.system.iter().map(Text::surplus).sum();
    let mut blobs = 0;
    for part in parts {
        match part {
            Part::Blob { data, .. } => {
                blobs += 1;
                length += data.len();
            }
            Part::Text(text) | Part::Returned(Returned { content: text, .. }) => length += text.surplus(),
            _ => {}
        }
    }
    let written: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
    written.saturating_sub(length as u64) / 4 + blobs * BLOB
}

fn write(conversation: &Conversation<'_>, request: &impl Serialize, source: Bytes) -> Result<Vec<Bytes>, Fault> {
    let mut segments = Segments::from(source);
    let said = conversation.turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match part {
        Part::Text(text) | Part::Blob { data: text, .. } => Some(text),
        _ => None,
    });
    for whole in conversation.system.iter().chain(said).filter_map(Whole::of) {
        // Else it would be cut.
        segments.will_hold(whole).ok_or_else(nonsense)?;
    }
    serde_json::to_writer(&mut segments, request).map_err(|_| nonsense())?;
    Ok(segments.into_pieces())
}

fn request<'r>(conversation: &'r Conversation<'r>) -> Result<Request<'r>, Fault> {
    if let Some(far) = conversation.far().next() {
        return Err(far.refused());
    }
    let Conversation { model, system, turns, tools, tool_choice, sampling, format, medium, thinking, cached, .. } =
        conversation;
    let signs = thinking::wants_signatures(model);
    let mut contents: Vec<Content<'r>> = turns.iter().filter_map(|turn| content(turn, signs)).collect();
    let calls_first = turns.first().is_some_and(|turn| turn.role == Role::Model && turn.parts.iter().any(is_call));
    if contents.is_empty() || calls_first {
        // A call must follow somebody's words, and nothing at all cannot be answered.
        contents.insert(0, Content { role: Some("user"), parts: vec![blank()] });
    }
    if let Medium::Speech(Speech { style: Some(style), .. }) = medium
        && let Some(parts) = contents.first_mut().map(|content| &mut content.parts)
    {
        if medium::style_stands_apart(model) {
            for part in parts {
                part.speech_metadata = Some(medium::Manner { style });
            }
        } else {
            parts.insert(0, text(style));
        }
    }
    let system: Vec<Wire<'r>> = system.iter().filter(|said| !said.is_empty()).map(|said| text(said)).collect();
    let config =
        Config { medium: medium::config(medium), ..config(sampling, format, thinking::config(model, *thinking)?) };
    Ok(Request {
        model: None,
        system_instruction: (!system.is_empty()).then_some(Content { role: None, parts: system }),
        contents,
        tools: (!tools.is_empty()).then(|| [Tools { function_declarations: tools.iter().map(declaration).collect() }]),
        tool_config: calling(tool_choice)
            .filter(|_| !tools.is_empty())
            .map(|function_calling_config| ToolConfig { function_calling_config }),
        generation_config: (config != Config::default()).then_some(config),
        cached_content: cached.as_deref(),
    })
}

fn config<'r>(sampling: &'r Sampling<'_>, format: &'r Format<'_>, thinking: Option<thinking::Config>) -> Config<'r> {
    let (response_mime_type, response_json_schema) = match format {
        Format::Text => (None, None),
        Format::Json => (Some("application/json"), None),
        Format::Schema(schema) => (Some("application/json"), Some(Schema(schema::taken(schema)))),
    };
    Config {
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        // It has 32 bits there; the same seed is still the same seed.
        seed: sampling.seed.map(|seed| seed as i32),
        max_output_tokens: sampling.most,
        stop_sequences: &sampling.stop,
        candidate_count: sampling.answers.filter(|answers| *answers != 1),
        presence_penalty: sampling.presence_penalty,
        frequency_penalty: sampling.frequency_penalty,
        response_logprobs: sampling.logprobs.map(|_| true),
        logprobs: sampling.logprobs.filter(|top| *top > 0),
        response_mime_type,
        response_json_schema,
        thinking_config: thinking,
        medium: medium::Config::default(),
    }
}

fn text<'r>(said: &'r Text<'r>) -> Wire<'r> {
    Wire { text: Some(said.into()), ..Wire::default() }
}

/// An empty text is refused.
fn blank() -> Wire<'static> {
    Wire { text: Some(Said::Blank(" ")), ..Wire::default() }
}

fn is_call(part: &Part<'_>) -> bool {
    matches!(part, Part::Call(_))
}

/// A turn; `None` where nothing was said in it.
fn content<'r>(turn: &'r Turn<'r>, signs: bool) -> Option<Content<'r>> {
    let said = |part: &&'r Part<'r>| !matches!(part, Part::Text(text) if text.is_empty());
    let mut parts: Vec<Wire<'r>> = turn.parts.iter().filter(said).map(part).collect();
    if signs && let Some(first) = parts.iter_mut().find(|part| part.function_call.is_some()) {
        // Of calls at once the first is signed.
        first.thought_signature.get_or_insert(NO_SIGNATURE);
    }
    match (parts.is_empty(), turn.role) {
        (true, Role::Model) => return None,
        (true, Role::User) => parts.push(blank()),
        (false, _) => {}
    }
    let role = match turn.role {
        Role::User => "user",
        Role::Model => "model",
    };
    Some(Content { role: Some(role), parts })
}

fn part<'r>(part: &'r Part<'r>) -> Wire<'r> {
    match part {
        Part::Text(said) => text(said),
        Part::Blob { mime, data } => {
            Wire { inline_data: Some(Blob { mime_type: mime, data: data.into() }), ..Wire::default() }
        }
        Part::File { uri, mime } => {
            Wire { file_data: Some(File { file_uri: uri, mime_type: mime.as_deref() }), ..Wire::default() }
        }
        Part::Call(Call { id, name, args, signature }) => Wire {
            function_call: Some(FunctionCall { id: id.as_deref(), name, args }),
            thought_signature: signature.as_deref(),
            ..Wire::default()
        },
        // Refused before.
        Part::Far(_) => blank(),
        Part::Returned(returned) => Wire { function_response: Some(response(returned)), ..Wire::default() },
    }
}

fn response<'r>(returned: &'r Returned<'r>) -> FunctionResponse<'r> {
    let content = &returned.content;
    let object = content.may_begin_with('{').then(|| content.trim());
    // A reference inside is taken for one to a declared function, and refused.
    let object = object.filter(|text| text.starts_with('{') && !text.contains("\"$ref\""));
    let response = match object.and_then(|text| serde_json::from_str(text).ok()) {
        _ if returned.failed => Response::Failed { error: content },
        Some(object) => Response::Itself(object),
        None => Response::Said { result: content },
    };
    FunctionResponse { id: returned.id.as_deref(), name: &returned.name, response }
}

fn declaration<'r>(tool: &'r Tool<'_>) -> Declaration<'r> {
    Declaration {
        name: &tool.name,
        description: tool.description.as_deref().filter(|text| !text.is_empty()),
        parameters_json_schema: tool.parameters.as_deref().map(schema::taken),
    }
}

fn calling<'r>(choice: &'r ToolChoice<'_>) -> Option<Calling<'r>> {
    let (mode, names): (_, &[_]) = match choice {
        ToolChoice::Unset => return None,
        ToolChoice::Never => ("NONE", &[]),
        ToolChoice::May(names) if names.is_empty() => ("AUTO", &[]),
        // Names are taken in this mode, not in AUTO.
        ToolChoice::May(names) => ("VALIDATED", names),
        ToolChoice::Must(names) => ("ANY", names),
    };
    Some(Calling { mode, allowed_function_names: names })
}
