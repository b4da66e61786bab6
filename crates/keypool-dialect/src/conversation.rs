//! The intermediate form of a request, independent of its dialect.

use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::Value;

use crate::{
    Error,
    content::Content,
    fields::{self, Fields, Notes},
    ids, tools,
};

/// A conversation, and the settings for the model's next turn.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// The model name that the caller sent.
    pub model: String,
    /// The texts of the system messages before the first turn, sent as `systemInstruction`.
    pub system: Vec<String>,
    /// The turns in order. Tool results follow directly after the turn with their calls.
    pub turns: Vec<Turn>,
    /// Functions that the model may call.
    pub tools: Vec<Tool>,
    /// Whether the model may, must or must not call a function.
    pub tool_choice: ToolChoice,
    /// Whether only the first of several parallel calls is kept.
    pub single_call: bool,
    /// Whether the model may search the web.
    pub web_search: bool,
    /// Sampling parameters.
    pub sampling: Sampling,
    /// Format of the response: text, JSON, or JSON that matches a schema.
    pub format: Format,
    /// Modality of the response: text, images or speech.
    pub modality: Modality,
    /// How much the model thinks, and whether its thoughts are shown.
    pub thinking: Thinking,
    /// The name of a cached content at Gemini (`cachedContents/…`).
    pub cached_content: Option<String>,
    /// Whether the response is streamed.
    pub stream: bool,
}

/// The author of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The user. Results of tools have this role, too.
    User,
    /// The model.
    Model,
}

/// Consecutive parts of one author.
#[derive(Clone, Debug)]
pub struct Turn {
    /// The author.
    pub role: Role,
    /// The parts.
    pub parts: Vec<Part>,
}

/// A part of a turn.
#[derive(Clone, Debug)]
pub enum Part {
    /// Text.
    Text(String),
    /// An image, sound or document.
    Media(Media),
    /// A tool call by the model.
    Call(Call),
    /// The result of a tool call.
    Result(ToolResult),
}

/// An image, sound or document.
#[derive(Clone, Debug)]
pub struct Media {
    /// The media type, such as `image/png`; `None` for a URI that only Gemini knows.
    pub mime: Option<String>,
    /// The data or its location.
    pub data: MediaData,
}

/// The data of an image, sound or document, or its location.
#[derive(Clone, Debug)]
pub enum MediaData {
    /// The data in base64.
    Base64(String),
    /// A URI that Gemini fetches itself: a file of its Files API, `gs://…`, or a video at youtube.com.
    GeminiUri(String),
    /// A URL on the web. [`NativeRequest::generate`](crate::NativeRequest::generate) rejects it; replace it with
    /// [`Base64`](Self::Base64) to send it.
    Remote {
        /// The URL.
        url: String,
        /// The request field that contains the URL.
        field: String,
    },
}

/// A tool call.
#[derive(Clone, Debug)]
pub struct Call {
    /// The id in the caller's dialect; empty in OpenAI's older form of functions, which has no ids.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// The arguments, a JSON object.
    pub args: Value,
    /// Gemini's thought signature, which must be sent back with the call.
    pub signature: Option<String>,
}

/// The result of a tool call.
#[derive(Clone, Debug)]
pub struct ToolResult {
    /// The id of the call in the caller's dialect.
    pub call_id: String,
    /// The tool's name.
    pub name: String,
    /// The result as text.
    pub content: String,
    /// Whether the tool reported an error.
    pub failed: bool,
}

/// A function that the model may call.
#[derive(Clone, Debug)]
pub struct Tool {
    /// The name that the model sees; unique in a conversation.
    pub name: String,
    /// The description of the function.
    pub description: Option<String>,
    /// The JSON schema of the arguments.
    pub parameters: Option<Value>,
    /// The tool in the caller's request, if it is not a plain function of this name.
    pub origin: Option<Origin>,
}

/// A caller's tool that is declared to Gemini as a function of another kind or name, such as a custom tool or one in a
/// namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The tool's namespace.
    pub namespace: Option<String>,
    /// The name in the request.
    pub name: String,
    /// Whether it is a custom tool, which takes text instead of JSON arguments.
    pub takes_text: bool,
}

/// Whether the model may, must or must not call a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// The request does not specify it.
    #[default]
    Unset,
    /// The model must not call a function.
    Never,
    /// The model may call a function: any function, or one of the listed names if the list is not empty.
    May(Vec<String>),
    /// The model must call a function: any function, or one of the listed names if the list is not empty.
    Must(Vec<String>),
}

/// Sampling parameters.
#[derive(Clone, Debug, Default)]
pub struct Sampling {
    /// Temperature, 0 to 2.
    pub temperature: Option<f64>,
    /// Nucleus sampling probability, 0 to 1.
    pub top_p: Option<f64>,
    /// Number of tokens to sample from, at least 1.
    pub top_k: Option<u32>,
    /// Seed; Gemini gets its lowest 32 bits.
    pub seed: Option<i64>,
    /// Maximum number of output tokens, thoughts included.
    pub max_tokens: Option<u64>,
    /// Texts at which the output stops; at most 5.
    pub stop: Vec<String>,
    /// Number of candidates; 1 by default.
    pub candidates: Option<u32>,
    /// Presence penalty, -2 to 2.
    pub presence_penalty: Option<f64>,
    /// Frequency penalty, -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// Number of alternatives for each token, if log probabilities are requested.
    pub logprobs: Option<u32>,
}

/// The format of the response.
#[derive(Clone, Debug, Default)]
pub enum Format {
    /// Text.
    #[default]
    Text,
    /// Any JSON.
    Json,
    /// JSON that matches this schema.
    Schema(Value),
}

/// The modality of the response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Modality {
    /// Text.
    #[default]
    Text,
    /// Images and text.
    Image {
        /// The aspect ratio, such as `16:9`.
        aspect_ratio: Option<&'static str>,
        /// The size, `2K` or `4K`.
        size: Option<&'static str>,
    },
    /// Speech.
    Speech {
        /// Gemini's name of the voice.
        voice: String,
        /// Instructions for the manner of speaking.
        style: Option<String>,
    },
}

/// How much the model thinks, and whether its thoughts are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thinking {
    /// The effort; the model decides if `None`.
    pub effort: Option<Effort>,
    /// Whether thoughts are shown.
    pub shown: Option<bool>,
}

/// How much the model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// No thinking, or the least that the model allows.
    Off,
    /// The lowest level.
    Minimal,
    /// A low level.
    Low,
    /// A medium level.
    Medium,
    /// The highest level.
    High,
    /// A budget of tokens.
    Tokens(u32),
}

impl Effort {
    /// Takes the field `name`, whose path is `place`.
    pub(crate) fn take(fields: &mut Fields, name: &str, place: &str) -> Result<Option<Self>, Error> {
        let Some(word) = fields.raw(name) else { return Ok(None) };
        Ok(Some(match &*word.as_str().unwrap_or_default().to_ascii_lowercase() {
            "none" | "off" | "disabled" => Self::Off,
            "minimal" => Self::Minimal,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" | "xhigh" | "max" => Self::High,
            _ => return Err(Error::invalid(place, "expected none, minimal, low, medium, high, xhigh or max")),
        }))
    }
}

impl Sampling {
    /// Reads the sampling fields that all dialects have, under each dialect's names.
    pub(crate) fn read(fields: &mut Fields, notes: &mut Notes) -> Result<Self, Error> {
        let stop = if fields.has("stop_sequences") { "stop_sequences" } else { "stop" };
        let mut max_tokens = None;
        for limit in ["max_output_tokens", "max_completion_tokens", "max_tokens"] {
            max_tokens = max_tokens.or(fields.limit(limit, notes)?);
        }
        let top_k = match fields.integer("top_k")? {
            // These mean "no limit" at other servers.
            Some(0 | -1) => {
                notes.ignore("top_k");
                None
            }
            Some(top_k) => Some(u32::try_from(top_k).map_err(|_| Error::invalid("top_k", "expected at least 1"))?),
            None => None,
        };
        let given: Vec<Option<String>> = match fields.raw(stop) {
            None => Vec::new(),
            Some(Value::String(word)) => vec![Some(word)],
            Some(words) => fields::read(words, stop)?,
        };
        let number = given.len();
        let words: Vec<String> = given.into_iter().flatten().filter(|word| !word.is_empty()).collect();
        if words.len() < number {
            notes.ignore(stop);
        }
        if words.len() > 5 {
            notes.refuse(Error::invalid(stop, "Gemini models accept at most 5"))?;
        }
        Ok(Self {
            temperature: fields.number("temperature")?,
            top_p: fields.number("top_p")?,
            top_k,
            max_tokens,
            stop: words.into_iter().take(5).collect(),
            ..Self::default()
        })
    }
}

impl Conversation {
    /// Reads the fields that all dialects have.
    pub(crate) fn read(&mut self, fields: &mut Fields, notes: &mut Notes) -> Result<(), Error> {
        self.model = fields.take("model")?.unwrap_or_default();
        self.stream = fields.take("stream")?.unwrap_or_default();
        self.sampling = Sampling::read(fields, notes)?;
        if let Some(tools) = fields.take("tools")? {
            tools::read(tools, "tools", self, notes)?;
        }
        if let Some(parallel) = fields.take::<bool>("parallel_tool_calls")? {
            self.single_call |= !parallel;
        }
        if let Some(choice) = fields.raw("tool_choice") {
            tools::read_choice(choice, self, notes)?;
        }
        Ok(())
    }

    /// Reads the instructions and the messages in the fields of these names, after all other fields.
    pub(crate) fn read_messages(
        &mut self,
        mut fields: Fields,
        [instructions, messages]: [&str; 2],
        read: fn(Value, &str, &mut Transcript<'_>) -> Result<(), Error>,
        notes: &mut Notes,
    ) -> Result<(), Error> {
        let mut transcript = Transcript::new(notes);
        if let Some(given) = fields.take::<Content>(instructions)? {
            transcript.system(given, instructions)?;
        }
        let given = match fields.raw(messages) {
            Some(Value::Array(given)) => given,
            // A text is one message of the Responses API.
            Some(one @ (Value::String(_) | Value::Object(_))) if messages == "input" => vec![one],
            Some(_) => return Err(Error::invalid(messages, "expected a list")),
            None => return Err(Error::invalid(messages, "Field required")),
        };
        fields.finish("", transcript.notes)?;
        self.check_tool_choice(transcript.notes)?;
        if given.is_empty() {
            return Err(Error::invalid(messages, "at least one message is required"));
        }
        for (index, message) in given.into_iter().enumerate() {
            read(message, &format!("{messages}[{index}]"), &mut transcript)?;
        }
        transcript.finish(self)
    }

    /// Iterates over all images, sounds and documents.
    pub fn media_mut(&mut self) -> impl Iterator<Item = &mut Media> {
        self.turns.iter_mut().flat_map(|turn| &mut turn.parts).filter_map(|part| match part {
            Part::Media(media) => Some(media),
            _ => None,
        })
    }

    /// Adds the thought signatures of earlier calls that are missing in the caller's messages.
    ///
    /// Gemini sends a signature with a call and expects it back with the call. A call's id (64 characters) is too short
    /// to contain it, so the gateway stores the [signatures](crate::ResponseTranslator::take_signatures) of its responses by id,
    /// and `lookup` finds them. A call without a known signature is sent with a value that makes Gemini skip the check.
    pub fn restore_signatures(&mut self, mut lookup: impl FnMut(&str) -> Option<String>) {
        for part in self.turns.iter_mut().flat_map(|turn| &mut turn.parts) {
            if let Part::Call(call) = part
                && call.signature.is_none()
                && ids::is_ours(&call.id)
            {
                call.signature = lookup(&call.id);
            }
        }
    }

    /// Reports whether the model may search the web. Gemini rejects that together with functions.
    pub(crate) fn searches(&self) -> bool {
        let allowed = self.tools.is_empty() && self.tool_choice != ToolChoice::Never;
        self.web_search && allowed && self.modality == Modality::Text
    }

    /// Checks that the functions named by the tool choice exist.
    pub(crate) fn check_tool_choice(&mut self, notes: &mut Notes) -> Result<(), Error> {
        const FIELD: &str = "tool_choice";
        let (ToolChoice::Must(names) | ToolChoice::May(names)) = &self.tool_choice else { return Ok(()) };
        let known: HashSet<&str> = self.tools.iter().map(|tool| &*tool.name).collect();
        let why = match names.iter().find(|name| !known.contains(&***name)) {
            Some(missing) => format!("no function {missing:?} is among tools"),
            None if self.tools.is_empty() && matches!(self.tool_choice, ToolChoice::Must(_)) => {
                "a tool call is required, but tools is empty".to_owned()
            }
            None => return Ok(()),
        };
        self.tool_choice = ToolChoice::Unset;
        notes.refuse(Error::invalid(FIELD, why))
    }
}

/// A builder of turns from the messages of a request, in order.
///
/// System messages before the first turn become `systemInstruction`. Later ones become user text at their position, so
/// that the turns of one request are a prefix of the next request's turns and Gemini's cache works. Gemini expects the
/// results of calls directly after the calls, so each result is moved there.
#[derive(Debug)]
pub(crate) struct Transcript<'n> {
    pub(crate) notes: &'n mut Notes,
    system: Vec<String>,
    turns: Vec<Turn>,
    calls: Vec<Called>,
    /// Calls that have no result yet, by their ids.
    waiting: HashMap<String, VecDeque<usize>>,
    /// Whether a result was added after the last part: the next part then starts a new turn.
    answered: bool,
}

#[derive(Debug)]
struct Called {
    id: String,
    name: String,
    /// The request field that contains the call.
    field: String,
    result: Option<Vec<Part>>,
}

impl<'n> Transcript<'n> {
    pub(crate) fn new(notes: &'n mut Notes) -> Self {
        let (system, turns, calls) = (Vec::new(), Vec::new(), Vec::new());
        Self { notes, system, turns, calls, waiting: HashMap::new(), answered: false }
    }

    /// Adds the system or developer message at `place`.
    pub(crate) fn system(&mut self, content: Content, place: &str) -> Result<(), Error> {
        for text in content.texts(place)? {
            if self.turns.is_empty() {
                self.system.push(text);
            } else if !text.is_empty() {
                self.say(Role::User, Part::Text(text));
            }
        }
        Ok(())
    }

    /// Adds a part; an empty text of the model is no turn.
    pub(crate) fn say(&mut self, role: Role, part: Part) {
        if role == Role::Model && matches!(&part, Part::Text(text) if text.is_empty()) {
            return;
        }
        match self.turns.last_mut() {
            Some(last) if last.role == role && !self.answered => last.parts.push(part),
            _ => self.turns.push(Turn { role, parts: vec![part] }),
        }
        self.answered = false;
    }

    /// Adds the call at `field`. A call without an id (the older form) is matched with its result by name.
    pub(crate) fn call(&mut self, call: Call, field: String) {
        self.waiting.entry(call.id.clone()).or_default().push_back(self.calls.len());
        self.calls.push(Called { id: call.id.clone(), name: call.name.clone(), field, result: None });
        self.say(Role::Model, Part::Call(call));
    }

    /// Adds the result at `field` with its media. Several calls with the same id get their results in order.
    pub(crate) fn result(
        &mut self,
        id: &str,
        (content, failed): (String, bool),
        media: Vec<Part>,
        field: &str,
    ) -> Result<(), Error> {
        self.answered = true;
        let waiting = self.waiting.get_mut(id);
        let has_calls = waiting.is_some();
        if let Some(at) = waiting.and_then(VecDeque::pop_front) {
            let called = &mut self.calls[at];
            let result = ToolResult { call_id: id.to_owned(), name: called.name.clone(), content, failed };
            called.result = Some(std::iter::once(Part::Result(result)).chain(media).collect());
        } else if has_calls {
            self.notes.refuse(Error::invalid(field, format_args!("the call {id:?} has a result already")))?;
        } else {
            let why = format!("no earlier call has the id {id:?}; send the call, too, or omit the result");
            self.notes.refuse(Error::invalid(field, why))?;
            let text = format!("Result of an earlier tool call ({id}):\n{content}");
            self.say(Role::User, Part::Text(text));
            for part in media {
                self.say(Role::User, part);
            }
        }
        Ok(())
    }

    /// Adds a result to the last call of this name without a result, or else to the last call without one.
    pub(crate) fn result_by_name(&mut self, name: &str, content: String) {
        self.answered = true;
        // In the older form there is one call at a time.
        let mut waiting: Vec<&mut Called> = self.calls.iter_mut().rev().take(64).collect();
        waiting.retain(|called| called.result.is_none());
        let index = waiting.iter().position(|called| called.name == name).unwrap_or_default();
        match waiting.into_iter().nth(index) {
            Some(called) => {
                let (call_id, name) = (called.id.clone(), called.name.clone());
                called.result = Some(vec![Part::Result(ToolResult { call_id, name, content, failed: false })]);
            }
            None => self.say(Role::User, Part::Text(format!("{name}: {content}"))),
        }
    }

    /// Writes the turns into the conversation.
    pub(crate) fn finish(self, conversation: &mut Conversation) -> Result<(), Error> {
        let mut calls = self.calls.into_iter();
        let turns = &mut conversation.turns;
        let mut media: Vec<Part> = Vec::new();
        for mut turn in self.turns {
            if turn.role == Role::User {
                turn.parts.splice(0..0, media.drain(..));
            } else if !media.is_empty() {
                turns.push(Turn { role: Role::User, parts: std::mem::take(&mut media) });
            }
            let count = turn.parts.iter().filter(|part| matches!(part, Part::Call(_))).count();
            turns.push(turn);
            let mut results = Vec::with_capacity(count);
            for called in calls.by_ref().take(count) {
                let mut parts = match called.result {
                    Some(parts) => parts,
                    None => vec![no_result(called, self.notes)?],
                };
                media.extend(parts.drain(1..));
                results.append(&mut parts);
            }
            if !results.is_empty() {
                turns.push(Turn { role: Role::User, parts: results });
            }
        }
        if !media.is_empty() {
            turns.push(Turn { role: Role::User, parts: media });
        }
        conversation.system.extend(self.system);
        Ok(())
    }
}

/// Returns a placeholder result for a call that has none.
fn no_result(called: Called, notes: &mut Notes) -> Result<Part, Error> {
    let Called { id: call_id, name, field, .. } = called;
    // A call of the older form has no id; its result may be missing.
    if !call_id.is_empty() {
        let why = format!("the call {call_id:?} has no result; send one, or omit the call");
        notes.refuse(Error::invalid(field, why))?;
    }
    let content = "No result was recorded for this call.".to_owned();
    Ok(Part::Result(ToolResult { call_id, name, content, failed: false }))
}
