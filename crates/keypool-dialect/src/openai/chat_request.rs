//! A request for a chat completion.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{responses_request, tools};
use crate::{
    Call, Conversation, Effort, Error, Modality, Part, Role, Tool, ToolChoice, anthropic,
    conversation::Transcript,
    fields::{self, Fields, Notes, TextOr},
    media,
    request::Reply,
};

/// Fields that change nothing about an answer here.
const NEVER_MATTER: [&str; 12] = [
    "user",
    "store",
    "metadata",
    "service_tier",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "prediction",
    "cache_control",
    "keep_alive",
    // Mastra's own setting gets into the body.
    "strictJsonSchema",
];

pub(crate) fn read(
    mut fields: Fields<'_>,
    conversation: &mut Conversation,
    reply: &mut Reply,
    notes: &mut Notes,
) -> Result<(), Error> {
    if !fields.has("messages") && fields.has("input") {
        // Cursor sends a response's body here, and expects a chat's answer.
        reply.include_usage |= read_stream_options(&mut fields, notes)?;
        return responses_request::read(fields, conversation, reply, notes);
    }
    if !fields.has("messages") && fields.has("contents") {
        let why = "is a field of Gemini's own API: send this to /v1beta/models/{model}:generateContent";
        return Err(Error::invalid("contents", why));
    }
    let messages: Vec<&RawValue> = fields.take("messages")?.ok_or_else(|| Error::invalid("messages", "is missing"))?;
    conversation.model = fields.take("model")?.unwrap_or_default();
    conversation.stream = fields.take("stream")?.unwrap_or_default();
    reply.include_usage = read_stream_options(&mut fields, notes)?;
    read_sampling(&mut fields, conversation, notes)?;
    read_tools(&mut fields, conversation, reply, notes)?;
    if let Some(format) = fields.raw("response_format") {
        conversation.format = tools::read_format(format, "response_format")?;
    }
    read_thinking(&mut fields, conversation)?;
    if let Some(modalities) = fields.take::<Vec<String>>("modalities")? {
        if modalities.iter().any(|modality| !matches!(&**modality, "text" | "image")) {
            notes
                .refuse(Error::invalid("modalities", "only text and image are supported here; use /v1/audio/speech"))?;
        }
        if modalities.iter().any(|modality| modality == "image") {
            conversation.modality = Modality::Image { aspect_ratio: None, size: None };
        }
    }
    if let Some(options) = fields.raw("web_search_options") {
        if !matches!(options.get(), "{}") {
            notes.ignore("web_search_options");
        }
        conversation.web_search = true;
    }
    let mut transcript = Transcript::default();
    // Anthropic's word, which some clients keep.
    if let Some(system) = fields.raw("system") {
        for text in texts(system, "system")? {
            transcript.system(text);
        }
    }
    fields.ignore(&NEVER_MATTER, notes);
    fields.finish(&[("logit_bias", &[]), ("audio", &[])], notes)?;
    conversation.check_tool_choice(notes)?;
    read_messages(messages, transcript, conversation, notes)
}

fn read_stream_options(fields: &mut Fields<'_>, notes: &mut Notes) -> Result<bool, Error> {
    #[derive(Deserialize)]
    struct StreamOptions {
        include_usage: Option<bool>,
        include_obfuscation: Option<bool>,
    }
    /// As routers ask for it.
    #[derive(Deserialize)]
    struct UsageOption {
        include: Option<bool>,
    }
    let options: Option<StreamOptions> = fields.take("stream_options")?;
    if options.as_ref().is_some_and(|options| options.include_obfuscation == Some(true)) {
        notes.ignore("stream_options.include_obfuscation");
    }
    let usage: Option<UsageOption> = fields.take("usage")?;
    Ok(options.is_some_and(|options| options.include_usage == Some(true))
        || usage.is_some_and(|usage| usage.include == Some(true)))
}

fn read_sampling(fields: &mut Fields<'_>, conversation: &mut Conversation, notes: &mut Notes) -> Result<(), Error> {
    let sampling = &mut conversation.sampling;
    let older = fields.limit("max_tokens", notes)?;
    sampling.max_tokens = fields.limit("max_completion_tokens", notes)?.or(older);
    sampling.temperature = fields.number("temperature")?;
    sampling.top_p = fields.number("top_p")?;
    sampling.set_top_k(fields.integer("top_k")?, notes)?;
    sampling.seed = fields.integer("seed")?;
    match fields.integer("n")? {
        None | Some(1) => {}
        Some(0) => notes.ignore("n"),
        Some(count) => match u32::try_from(count) {
            Ok(count) => sampling.candidates = Some(count),
            Err(_) => return Err(Error::invalid("n", "expected 1 at least")),
        },
    }
    for name in ["presence_penalty", "frequency_penalty"] {
        // Some models refuse the very field.
        let penalty = match fields.number(name)? {
            Some(0.0) => {
                notes.ignore(name);
                None
            }
            penalty => penalty,
        };
        if name == "presence_penalty" {
            sampling.presence_penalty = penalty;
        } else {
            sampling.frequency_penalty = penalty;
        }
    }
    if let Some(stop) = fields.raw("stop") {
        let words =
            if stop.get().starts_with('[') { fields::read(stop, "stop")? } else { vec![fields::read(stop, "stop")?] };
        sampling.stop_at(words, "stop", notes)?;
    }
    if fields.take("logprobs")?.unwrap_or_default() {
        sampling.logprobs = Some(0);
    }
    match (fields.integer("top_logprobs")?, &mut sampling.logprobs) {
        (None, _) => {}
        (Some(0), None) => notes.ignore("top_logprobs"),
        (Some(_), None) => return Err(Error::invalid("top_logprobs", "needs logprobs: true")),
        (Some(top), Some(logprobs)) => {
            *logprobs = u32::try_from(top).map_err(|_| Error::invalid("top_logprobs", "expected 0 to 20"))?;
        }
    }
    Ok(())
}

fn read_tools(
    fields: &mut Fields<'_>,
    conversation: &mut Conversation,
    reply: &mut Reply,
    notes: &mut Notes,
) -> Result<(), Error> {
    /// As `functions` has them.
    #[derive(Deserialize)]
    struct Function {
        name: String,
        description: Option<String>,
        parameters: Option<Box<RawValue>>,
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    if let Some(tools) = fields.take("tools")? {
        tools::read(tools, conversation, &mut reply.origins, notes)?;
    }
    if let Some(functions) = fields.take::<Vec<Function>>("functions")? {
        conversation.single_call |= !functions.is_empty();
        reply.legacy_functions = !functions.is_empty();
        conversation.tools.extend(functions.into_iter().map(|Function { name, description, parameters }| Tool {
            name,
            description,
            parameters,
        }));
    }
    if let Some(parallel) = fields.take::<bool>("parallel_tool_calls")? {
        conversation.single_call |= !parallel;
    }
    if let Some(choice) = fields.raw("tool_choice") {
        tools::read_choice(choice, conversation, &reply.origins, notes)?;
    }
    if let Some(choice) = fields.raw("function_call") {
        conversation.tool_choice = match choice.get() {
            "\"none\"" => ToolChoice::Never,
            "\"auto\"" => ToolChoice::May(Vec::new()),
            _ => ToolChoice::Must(vec![fields::read::<Named>(choice, "function_call")?.name]),
        };
    }
    Ok(())
}

/// How much is thought: said in any of four ways.
fn read_thinking(fields: &mut Fields<'_>, conversation: &mut Conversation) -> Result<(), Error> {
    /// As OpenRouter has it.
    #[derive(Deserialize)]
    struct Reasoning {
        effort: Option<String>,
        max_tokens: Option<u32>,
        exclude: Option<bool>,
        enabled: Option<bool>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Extra {
        google: Option<Google>,
    }
    /// As Google's own compatible endpoint has it.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Google {
        cached_content: Option<String>,
        thinking_config: Option<ThinkingConfig>,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct ThinkingConfig {
        #[serde(alias = "includeThoughts")]
        include_thoughts: Option<bool>,
        #[serde(alias = "thinkingBudget")]
        thinking_budget: Option<i64>,
        #[serde(alias = "thinkingLevel")]
        thinking_level: Option<String>,
    }
    let thinking = &mut conversation.thinking;
    if let Some(effort) = fields.take::<String>("reasoning_effort")? {
        thinking.effort = Some(Effort::read(&effort, "reasoning_effort")?);
        thinking.field = "reasoning_effort";
    }
    if let Some(value) = fields.raw("thinking") {
        anthropic::request::read_thinking(value, thinking)?;
    }
    if let Some(reasoning) = fields.take::<Reasoning>("reasoning")? {
        thinking.field = "reasoning";
        let effort = reasoning.effort.map(|effort| Effort::read(&effort, "reasoning.effort")).transpose()?;
        let off = (reasoning.enabled == Some(false)).then_some(Effort::Off);
        thinking.effort = off.or(reasoning.max_tokens.map(Effort::Tokens)).or(effort).or(thinking.effort);
        let wanted = reasoning.enabled == Some(true) || thinking.effort.is_some_and(|effort| effort != Effort::Off);
        thinking.shown = Some(wanted && reasoning.exclude != Some(true));
    }
    let nested = fields.take::<Extra>("extra_body")?.and_then(|extra| extra.google);
    let Some(google) = fields.take::<Google>("google")?.or(nested) else { return Ok(()) };
    conversation.cached_content = google.cached_content;
    let Some(config) = google.thinking_config else { return Ok(()) };
    const LEVEL: &str = "extra_body.google.thinking_config.thinking_level";
    thinking.shown = config.include_thoughts.or(thinking.shown);
    if config.thinking_budget.is_some() || config.thinking_level.is_some() {
        thinking.field = "extra_body.google.thinking_config";
        thinking.effort = match (config.thinking_budget, config.thinking_level) {
            (Some(0), _) => Some(Effort::Off),
            // -1 lets the model decide.
            (Some(budget), _) => u32::try_from(budget).ok().map(Effort::Tokens),
            (None, Some(level)) => Some(Effort::read(&level.to_ascii_lowercase(), LEVEL)?),
            (None, None) => None,
        };
    }
    Ok(())
}

/// A message of a chat.
#[derive(Deserialize)]
pub(crate) struct Message<'a> {
    role: Option<String>,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
    refusal: Option<String>,
    name: Option<String>,
    #[serde(borrow)]
    tool_calls: Option<Vec<&'a RawValue>>,
    tool_call_id: Option<String>,
    function_call: Option<Function>,
    #[serde(borrow)]
    audio: Option<&'a RawValue>,
    #[serde(borrow)]
    images: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Function {
    name: String,
    #[serde(default)]
    arguments: Arguments,
}

/// Arguments are text; some clients send the object.
#[derive(Default, Deserialize)]
#[serde(from = "Box<RawValue>")]
struct Arguments(String);

impl From<Box<RawValue>> for Arguments {
    fn from(value: Box<RawValue>) -> Self {
        Self(serde_json::from_str(value.get()).unwrap_or_else(|_| value.get().to_owned()))
    }
}

#[derive(Deserialize)]
struct ToolCall {
    #[serde(default)]
    id: Option<String>,
    function: Option<Function>,
    custom: Option<Custom>,
    extra_content: Option<Extra>,
    provider_specific_fields: Option<Signed>,
}

/// A call of a tool that takes a text.
#[derive(Deserialize)]
struct Custom {
    name: String,
    #[serde(default)]
    input: String,
}

/// Where Google's own compatible endpoint has the thought signature.
#[derive(Deserialize)]
struct Extra {
    google: Option<Signed>,
}

#[derive(Deserialize)]
struct Signed {
    thought_signature: Option<String>,
}

fn read_messages(
    messages: Vec<&RawValue>,
    mut transcript: Transcript,
    conversation: &mut Conversation,
    notes: &mut Notes,
) -> Result<(), Error> {
    if messages.is_empty() {
        return Err(Error::invalid("messages", "expected one message at least"));
    }
    for (index, value) in messages.into_iter().enumerate() {
        let place = format!("messages[{index}]");
        let message: Message<'_> = fields::read(value, &place)?;
        read_message(message, &place, &mut transcript, notes)?;
    }
    transcript.finish(conversation, notes)
}

pub(crate) fn read_message(
    message: Message<'_>,
    place: &str,
    transcript: &mut Transcript,
    notes: &mut Notes,
) -> Result<(), Error> {
    let role = message.role.unwrap_or_default();
    if message.name.is_some() && role != "function" {
        notes.ignore("messages.name");
    }
    if message.audio.is_some_and(|audio| audio.get() != "null") {
        notes.refuse(Error::invalid(format!("{place}.audio"), "earlier audio answers are not kept; send its text"))?;
    }
    let content_place = format!("{place}.content");
    let content = message.content.filter(|content| content.get() != "null");
    if content.is_none() && !matches!(&*role, "assistant" | "model" | "tool" | "function") {
        return Err(Error::invalid(content_place, "expected a string or a list of parts"));
    }
    match &*role {
        "system" | "developer" => {
            let said = content.map(|content| texts(content, &content_place)).transpose()?;
            said.into_iter().flatten().for_each(|text| transcript.system(text));
        }
        "user" => say(Role::User, content, &content_place, transcript, notes)?,
        "assistant" | "model" => {
            say(Role::Model, content, &content_place, transcript, notes)?;
            if let Some(refusal) = message.refusal {
                transcript.say(Role::Model, Part::Text(refusal));
            }
            if let Some(images) = message.images.filter(|images| !matches!(images.get(), "null" | "[]")) {
                drawn(images, transcript, notes);
            }
            for (number, value) in message.tool_calls.unwrap_or_default().into_iter().enumerate() {
                let place = format!("{place}.tool_calls[{number}]");
                let call = call(fields::read(value, &place)?, &place)?;
                transcript.call(call, place);
            }
            if let Some(Function { name, arguments }) = message.function_call {
                let args = tools::object(&arguments.0);
                let call = Call { id: String::new(), name, args, signature: None };
                transcript.call(call, format!("{place}.function_call"));
            }
        }
        "function" => {
            let name = message.name.ok_or_else(|| Error::invalid(format!("{place}.name"), "is missing"))?;
            let said = content.map(|content| texts(content, &content_place)).transpose()?.unwrap_or_default();
            transcript.result_by_name(&name, said.concat());
        }
        "tool" => {
            let field = format!("{place}.tool_call_id");
            let id = message.tool_call_id.ok_or_else(|| Error::invalid(&*field, "is missing"))?;
            let (said, media) = result_content(content, &content_place, notes)?;
            transcript.result(&id, (said, false), media, &field, notes)?;
        }
        other => {
            let short: String = other.chars().take(40).collect();
            let why = format!("{short:?} is not one of system, developer, user, assistant and tool");
            return Err(Error::invalid(format!("{place}.role"), why));
        }
    }
    Ok(())
}

fn call(call: ToolCall, place: &str) -> Result<Call, Error> {
    let beside = call.extra_content.and_then(|extra| extra.google).or(call.provider_specific_fields);
    let signature = beside.and_then(|signed| signed.thought_signature).filter(|signature| !signature.is_empty());
    let (name, args) = match (call.function, call.custom) {
        (Some(Function { name, arguments }), _) => (name, tools::object(&arguments.0)),
        (None, Some(Custom { name, input })) => (name, tools::text_arguments(&input)),
        (None, None) => return Err(Error::invalid(format!("{place}.function"), "is missing")),
    };
    Ok(Call { id: call.id.unwrap_or_default(), name, args, signature })
}

/// What a tool answered: its text, and media beside it.
pub(crate) fn result_content(
    content: Option<&RawValue>,
    place: &str,
    notes: &mut Notes,
) -> Result<(String, Vec<Part>), Error> {
    let Some(content) = content else { return Ok(Default::default()) };
    let list = match fields::text_or_list(content, place)? {
        TextOr::Text(text) => return Ok((text, Vec::new())),
        TextOr::List(list) => list,
    };
    let (mut said, mut media) = (String::new(), Vec::new());
    for (number, value) in list.into_iter().enumerate() {
        match part(value, &format!("{place}[{number}]"), notes)? {
            Some(Part::Text(text)) => said.push_str(&text),
            Some(part) => media.push(part),
            None => said.push_str(&anthropic::request::result_text(value)),
        }
    }
    Ok((said, media))
}

fn say(
    role: Role,
    content: Option<&RawValue>,
    place: &str,
    transcript: &mut Transcript,
    notes: &mut Notes,
) -> Result<(), Error> {
    let Some(content) = content else { return Ok(()) };
    let list = match fields::text_or_list(content, place)? {
        TextOr::Text(text) => {
            transcript.say(role, Part::Text(text));
            return Ok(());
        }
        TextOr::List(list) => list,
    };
    if list.is_empty() && role == Role::User {
        return Err(Error::invalid(place, "expected one part at least"));
    }
    for (number, value) in list.into_iter().enumerate() {
        let place = format!("{place}[{number}]");
        match part(value, &place, notes)? {
            Some(part) => transcript.say(role, part),
            // Clients made for Anthropic's API send its blocks.
            None => anthropic::request::read_block(role, value, &place, transcript, notes)?,
        }
    }
    Ok(())
}

#[derive(Deserialize)]
struct WirePart<'a> {
    #[serde(rename = "type", default)]
    kind: String,
    text: Option<String>,
    refusal: Option<String>,
    #[serde(borrow)]
    image_url: Option<&'a RawValue>,
    input_audio: Option<Recording>,
    file: Option<File>,
    detail: Option<String>,
    file_data: Option<String>,
    file_id: Option<String>,
    file_url: Option<String>,
    filename: Option<String>,
}

/// Sound that came with a request.
#[derive(Deserialize)]
struct Recording {
    data: String,
    format: String,
}

#[derive(Default, Deserialize)]
#[expect(clippy::struct_field_names, reason = "as they stand on the wire")]
struct File {
    file_data: Option<String>,
    file_id: Option<String>,
    file_url: Option<String>,
    filename: Option<String>,
}

/// A part of a message, as chat completions and responses have them; `None`: it is none of theirs.
pub(crate) fn part(value: &RawValue, place: &str, notes: &mut Notes) -> Result<Option<Part>, Error> {
    if value.get().starts_with('"') {
        return Ok(Some(Part::Text(fields::read(value, place)?)));
    }
    let wire: WirePart<'_> = fields::read(value, place)?;
    let missing = |what: &str| Error::invalid(format!("{place}.{what}"), "is missing");
    let part = match &*wire.kind {
        "text" | "input_text" | "output_text" | "summary_text" => Part::Text(wire.text.ok_or_else(|| missing("text"))?),
        "" if wire.text.is_some() => Part::Text(wire.text.unwrap_or_default()),
        "refusal" => Part::Text(wire.refusal.ok_or_else(|| missing("refusal"))?),
        "image_url" | "input_image" => {
            let id = wire.file_id.as_deref();
            if let (None, Some(id)) = (wire.image_url, id) {
                return media::from_file_id(id, &format!("{place}.file_id")).map(|media| Some(Part::Media(media)));
            }
            Part::Media(image(wire.image_url.ok_or_else(|| missing("image_url"))?, wire.detail, place, notes)?)
        }
        "input_audio" => Part::Media(recording(wire.input_audio.ok_or_else(|| missing("input_audio"))?, place)?),
        "file" | "input_file" => {
            let flat = File {
                file_data: wire.file_data,
                file_id: wire.file_id,
                file_url: wire.file_url,
                filename: wire.filename,
            };
            Part::Media(file(wire.file.unwrap_or(flat), place)?)
        }
        _ => return Ok(None),
    };
    Ok(Some(part))
}

/// An image by its URL: `{"url": …}`, or the URL itself.
fn image(value: &RawValue, detail: Option<String>, place: &str, notes: &mut Notes) -> Result<crate::Media, Error> {
    #[derive(Deserialize)]
    struct ImageUrl {
        url: String,
        detail: Option<String>,
    }
    let (url, detail) = if value.get().starts_with('"') {
        (fields::read(value, &format!("{place}.image_url"))?, detail)
    } else {
        let ImageUrl { url, detail } = fields::read(value, &format!("{place}.image_url"))?;
        (url, detail)
    };
    if detail.is_some_and(|detail| detail != "auto") {
        notes.ignore("image_url.detail");
    }
    media::from_url(&url, &format!("{place}.image_url"))
}

fn recording(Recording { data, format }: Recording, place: &str) -> Result<crate::Media, Error> {
    if format.is_empty() || !format.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Error::invalid(format!("{place}.input_audio.format"), "expected wav, mp3, flac, ogg or the like"));
    }
    if data.is_empty() {
        return Err(Error::invalid(format!("{place}.input_audio.data"), "is empty"));
    }
    if data.starts_with("data:") {
        return media::from_url(&data, &format!("{place}.input_audio.data"));
    }
    Ok(media::base64(&format!("audio/{format}"), &data))
}

fn file(file: File, place: &str) -> Result<crate::Media, Error> {
    match (file.file_data, file.file_id, file.file_url) {
        (Some(data), ..) => media::from_file(&data, file.filename.as_deref(), &format!("{place}.file_data")),
        (None, Some(id), _) => media::from_file_id(&id, &format!("{place}.file_id")),
        (None, None, Some(url)) => media::from_url(&url, &format!("{place}.file_url")),
        (None, None, None) => Err(Error::invalid(format!("{place}.file_data"), "is missing")),
    }
}

/// Images as an answer of ours has them; others have other things under that name.
fn drawn(images: &RawValue, transcript: &mut Transcript, notes: &mut Notes) {
    for value in serde_json::from_str::<Vec<&RawValue>>(images.get()).unwrap_or_default() {
        match part(value, "messages.images", notes) {
            Ok(Some(part @ Part::Media(_))) => transcript.say(Role::Model, part),
            _ => notes.ignore("messages.images"),
        }
    }
}

/// What is text alone.
pub(crate) fn texts(value: &RawValue, place: &str) -> Result<Vec<String>, Error> {
    #[derive(Deserialize)]
    struct Text {
        text: Option<String>,
    }
    let list = match fields::text_or_list(value, place)? {
        TextOr::Text(text) => return Ok(vec![text]),
        TextOr::List(list) => list,
    };
    let text = |(number, value): (usize, &RawValue)| {
        let place = format!("{place}[{number}]");
        if value.get().starts_with('"') {
            return fields::read(value, &place);
        }
        let Text { text } = fields::read(value, &place)?;
        text.ok_or_else(|| Error::invalid(place, "only text goes here"))
    };
    list.into_iter().enumerate().map(text).collect()
}
