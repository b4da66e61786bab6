//! The intermediate form: what is asked of a model, whichever dialect it came in.

use std::collections::{HashMap, VecDeque};

use serde_json::Value;

use crate::{
    Error,
    fields::{self, Fields, Notes},
    ids,
};

/// A conversation, and what is asked of the model's next turn.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// The model, as the caller names it.
    pub model: String,
    /// Texts of the system messages at the beginning: `systemInstruction`.
    pub system: Vec<String>,
    /// The turns in order. Results of tools stand right after the turn that calls them.
    pub turns: Vec<Turn>,
    /// Functions that the model may call.
    pub tools: Vec<Tool>,
    /// Whether the model may, must or must not call a function.
    pub tool_choice: ToolChoice,
    /// Only the first of several parallel calls is kept.
    pub single_call: bool,
    /// The model may search the web.
    pub web_search: bool,
    /// How tokens are sampled.
    pub sampling: Sampling,
    /// Text, JSON, or JSON by a schema.
    pub format: Format,
    /// Text, images or speech.
    pub modality: Modality,
    /// How much the model thinks, and whether that is shown.
    pub thinking: Thinking,
    /// The name of a cached content at Gemini (`cachedContents/…`).
    pub cached_content: Option<String>,
    /// The answer is streamed.
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
    /// The model calls a tool.
    Call(Call),
    /// The result of a call.
    Result(ToolResult),
}

/// An image, sound or document.
#[derive(Clone, Debug)]
pub struct Media {
    /// The media type, such as `image/png`; `None` for a URI that only Gemini knows.
    pub mime: Option<String>,
    /// The data, or where it is.
    pub data: MediaData,
}

/// The data of an image, sound or document, or where it is.
#[derive(Clone, Debug)]
pub enum MediaData {
    /// The data in base64.
    Base64(String),
    /// A URI that Gemini reads itself: a file of its Files API, `gs://…`, a video at youtube.com.
    GeminiUri(String),
    /// A URL on the web. [`Encoder`](crate::Encoder) refuses it; replace it by [`Base64`](Self::Base64) to send it.
    Remote {
        /// Its URL.
        url: String,
        /// The field of the request that has it.
        field: String,
    },
}

/// A call of a tool.
#[derive(Clone, Debug)]
pub struct Call {
    /// The id in the caller's dialect; empty where the older form of functions is used, which has none.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Its arguments, an object.
    pub args: Value,
    /// Gemini's thought signature, which must go back with the call.
    pub signature: Option<String>,
}

/// The result of a call.
#[derive(Clone, Debug)]
pub struct ToolResult {
    /// The id of the call in the caller's dialect.
    pub call_id: String,
    /// The tool's name.
    pub name: String,
    /// The result as text.
    pub content: String,
    /// The tool reported an error.
    pub failed: bool,
}

/// A function that the model may call.
#[derive(Clone, Debug)]
pub struct Tool {
    /// The name that the model is told; unique in a conversation.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// The JSON schema of its arguments.
    pub parameters: Option<Value>,
    /// What the tool is in the caller's request, where it is not a plain function of this name.
    pub origin: Option<Origin>,
}

/// A tool of the caller's that is declared to Gemini as a function: a custom tool, or one in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its namespace.
    pub namespace: Option<String>,
    /// The name in the request.
    pub name: String,
    /// It is a custom tool: it takes a text instead of JSON arguments.
    pub takes_text: bool,
}

/// Whether the model may call a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// The request does not say.
    #[default]
    Unset,
    /// No function is called.
    Never,
    /// The model decides: among all functions, or among these if any are named.
    May(Vec<String>),
    /// A function is called: any, or one of these if any are named.
    Must(Vec<String>),
}

/// How tokens are sampled.
#[derive(Clone, Debug, Default)]
pub struct Sampling {
    /// 0 to 2.
    pub temperature: Option<f64>,
    /// 0 to 1.
    pub top_p: Option<f64>,
    /// At least 1.
    pub top_k: Option<u32>,
    /// Gemini takes its lowest 32 bits.
    pub seed: Option<i64>,
    /// Limit of the answer's tokens, thoughts included.
    pub max_tokens: Option<u64>,
    /// Texts at which the answer ends; at most 5.
    pub stop: Vec<String>,
    /// Number of answers; 1 by default.
    pub candidates: Option<u32>,
    /// -2 to 2.
    pub presence_penalty: Option<f64>,
    /// -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// Log probabilities are asked for, with this number of alternatives for each token.
    pub logprobs: Option<u32>,
}

/// The format of the answer.
#[derive(Clone, Debug, Default)]
pub enum Format {
    /// Text.
    #[default]
    Text,
    /// Any JSON.
    Json,
    /// JSON by this schema.
    Schema(Value),
}

/// The modality of the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Modality {
    /// Text.
    #[default]
    Text,
    /// Images, and text.
    Image {
        /// Such as `16:9`.
        aspect_ratio: Option<&'static str>,
        /// `2K` or `4K`.
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

/// How much the model thinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thinking {
    /// How much; the model decides if `None`.
    pub effort: Option<Effort>,
    /// Whether thoughts are shown.
    pub shown: Option<bool>,
}

/// How much the model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// No thinking, or as little as the model allows.
    Off,
    /// The least level.
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
    /// Reads a word of the field `field`.
    pub(crate) fn read(word: &str, field: &str) -> Result<Self, Error> {
        Ok(match word {
            "none" | "off" | "disabled" => Self::Off,
            "minimal" => Self::Minimal,
            "low" => Self::Low,
            "medium" => Self::Medium,
            "high" | "xhigh" | "max" => Self::High,
            _ => return Err(Error::invalid(field, "expected none, minimal, low, medium, high, xhigh or max")),
        })
    }
}

impl Sampling {
    /// Reads the fields that all dialects have, by any dialect's name.
    pub(crate) fn read(fields: &mut Fields, notes: &mut Notes) -> Result<Self, Error> {
        let stop = if fields.has("stop_sequences") { "stop_sequences" } else { "stop" };
        let mut max_tokens = None;
        for limit in ["max_output_tokens", "max_completion_tokens", "max_tokens"] {
            max_tokens = max_tokens.or(fields.limit(limit, notes)?);
        }
        let top_k = match fields.integer("top_k")? {
            // Other servers take these for "no limit".
            Some(0 | -1) => {
                notes.ignore("top_k");
                None
            }
            Some(top_k) => Some(u32::try_from(top_k).map_err(|_| Error::invalid("top_k", "expected 1 at least"))?),
            None => None,
        };
        let words: Vec<Option<String>> = match fields.raw(stop) {
            None => Vec::new(),
            Some(Value::String(word)) => vec![Some(word)],
            Some(words) => fields::read(words, stop)?,
        };
        let given = words.len();
        let words: Vec<String> = words.into_iter().flatten().filter(|word| !word.is_empty()).collect();
        if words.len() < given {
            notes.ignore(stop);
        }
        if words.len() > 5 {
            notes.refuse(Error::invalid(stop, "Gemini models take 5 at most"))?;
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
    /// Every image, sound and document.
    pub fn media_mut(&mut self) -> impl Iterator<Item = &mut Media> {
        self.turns.iter_mut().flat_map(|turn| &mut turn.parts).filter_map(|part| match part {
            Part::Media(media) => Some(media),
            _ => None,
        })
    }

    /// Adds the thought signatures of earlier calls that the caller's messages do not carry.
    ///
    /// Gemini sends a signature with a call and expects it back with the call. The id of a call is too short to carry it
    /// (64 letters), so the gateway keeps the [signatures](crate::Answer::take_signatures) of its answers by the ids, and
    /// `lookup` finds them. A call without its signature is sent with the value by which Gemini skips the check.
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

    /// Checks that the functions exist that the choice needs.
    pub(crate) fn check_tool_choice(&mut self, notes: &mut Notes) -> Result<(), Error> {
        const FIELD: &str = "tool_choice";
        let (ToolChoice::Must(names) | ToolChoice::May(names)) = &self.tool_choice else { return Ok(()) };
        let is_there = |name: &str| self.tools.iter().any(|tool| tool.name == name);
        let why = match names.iter().find(|name| !is_there(name)) {
            Some(missing) => format!("no function {missing:?} is among tools"),
            None if self.tools.is_empty() && matches!(self.tool_choice, ToolChoice::Must(_)) => {
                "a tool must be called, and tools has none".to_owned()
            }
            None => return Ok(()),
        };
        self.tool_choice = ToolChoice::Unset;
        notes.refuse(Error::invalid(FIELD, why))
    }
}

/// Builds the turns from the messages of a request, in order.
///
/// The system messages at the beginning become `systemInstruction`. Later ones become text of the user at their place, so
/// that the turns of one request are the beginning of the turns of the next, and Gemini's cache works. Gemini expects the
/// results of calls right after the calls, so each result is moved there.
#[derive(Debug)]
pub(crate) struct Transcript<'n> {
    pub(crate) notes: &'n mut Notes,
    system: Vec<String>,
    turns: Vec<Turn>,
    calls: Vec<Called>,
    /// Calls that have no result yet, by their ids.
    waiting: HashMap<String, VecDeque<usize>>,
    /// A result came since the last part: the next part begins a new turn.
    answered: bool,
}

#[derive(Debug)]
struct Called {
    id: String,
    name: String,
    /// The field of the request that holds the call.
    field: String,
    result: Option<Vec<Part>>,
}

impl<'n> Transcript<'n> {
    pub(crate) fn new(notes: &'n mut Notes) -> Self {
        Self {
            notes,
            system: Vec::new(),
            turns: Vec::new(),
            calls: Vec::new(),
            waiting: HashMap::new(),
            answered: false,
        }
    }

    /// A system or developer message.
    pub(crate) fn system(&mut self, text: String) {
        if self.turns.is_empty() {
            self.system.push(text);
        } else if !text.is_empty() {
            self.say(Role::User, Part::Text(text));
        }
    }

    pub(crate) fn say(&mut self, role: Role, part: Part) {
        match self.turns.last_mut() {
            Some(last) if last.role == role && !self.answered => last.parts.push(part),
            _ => self.turns.push(Turn { role, parts: vec![part] }),
        }
        self.answered = false;
    }

    /// Adds the call at `field`. A call without an id (the older form) gets its result by its name.
    pub(crate) fn call(&mut self, call: Call, field: String) {
        self.waiting.entry(call.id.clone()).or_default().push_back(self.calls.len());
        self.calls.push(Called { id: call.id.clone(), name: call.name.clone(), field, result: None });
        self.say(Role::Model, Part::Call(call));
    }

    /// Adds the result at `field`, with media that belong to it. Several calls of one id get their results in order.
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
            self.notes.refuse(Error::invalid(field, format_args!("the call {id:?} has its result already")))?;
        } else {
            let why = format!("no call before it has the id {id:?}; send the call, too, or leave the result out");
            self.notes.refuse(Error::invalid(field, why))?;
            let text = format!("Result of an earlier tool call ({id}):\n{content}");
            self.say(Role::User, Part::Text(text));
            for part in media {
                self.say(Role::User, part);
            }
        }
        Ok(())
    }

    /// Adds a result to the last call of this name that has none, or else to the last call that has none.
    pub(crate) fn result_by_name(&mut self, name: &str, content: String) {
        self.answered = true;
        // A client that uses the older form makes one call at once.
        let mut waiting: Vec<&mut Called> = self.calls.iter_mut().rev().take(64).collect();
        waiting.retain(|called| called.result.is_none());
        let of_it = waiting.iter().position(|called| called.name == name).unwrap_or_default();
        match waiting.into_iter().nth(of_it) {
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

/// The neutral result of a call that has none.
fn no_result(called: Called, notes: &mut Notes) -> Result<Part, Error> {
    let Called { id: call_id, name, field, .. } = called;
    // A call of the older form has no id; its result may be missing.
    if !call_id.is_empty() {
        let why = format!("the call {call_id:?} has no result; send one, or leave the call out");
        notes.refuse(Error::invalid(field, why))?;
    }
    let content = "No result was recorded for this call.".to_owned();
    Ok(Part::Result(ToolResult { call_id, name, content, failed: false }))
}
