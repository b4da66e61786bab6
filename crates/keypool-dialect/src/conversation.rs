//! The intermediate form: what is asked of a model, whichever dialect it came in.

use serde_json::Value;

use crate::{
    Error,
    fields::{self, Fields, Notes},
    ids,
};

/// What a model is asked to go on with.
#[derive(Clone, Debug, Default)]
pub struct Conversation {
    /// The model, as the caller names it.
    pub model: String,
    /// System messages that stand before all others.
    pub system: Vec<String>,
    /// Who said what. Results of tools stand right behind their calls.
    pub turns: Vec<Turn>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether it may, or must.
    pub tool_choice: ToolChoice,
    /// At most one call at once.
    pub single_call: bool,
    /// The model may search the web.
    pub web_search: bool,
    /// How tokens are sampled.
    pub sampling: Sampling,
    /// What form the answer has.
    pub format: Format,
    /// What the answer is made of.
    pub modality: Modality,
    /// How much the model thinks, and whether that is shown.
    pub thinking: Thinking,
    /// A cached beginning, by its name at Gemini (`cachedContents/…`).
    pub cached_content: Option<String>,
    /// The answer is streamed.
    pub stream: bool,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The user; results of tools come from here, too.
    User,
    /// The model.
    Model,
}

/// What one of them said.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Who.
    pub role: Role,
    /// What.
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
    /// What a tool answered.
    Result(ToolResult),
}

/// An image, sound or document.
#[derive(Clone, Debug)]
pub struct Media {
    /// Its type, such as `image/png`; none where only Gemini knows it.
    pub mime: Option<String>,
    /// Where it is.
    pub data: MediaData,
}

/// Where an image, sound or document is.
#[derive(Clone, Debug)]
pub enum MediaData {
    /// Here, in base64.
    Base64(String),
    /// At Gemini, or where Gemini looks itself: a file's URI, `gs://…`, a video at youtube.com.
    GeminiUri(String),
    /// On the web. Whoever may fetch it puts [`Base64`](Self::Base64) in its place before the request is encoded.
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
    /// The caller's id of it: empty where a dialect has none.
    pub id: String,
    /// The tool's name.
    pub name: String,
    /// Its arguments, an object.
    pub args: Value,
    /// Gemini's thought signature, which must go back with the call.
    pub signature: Option<String>,
}

/// What a tool answered.
#[derive(Clone, Debug)]
pub struct ToolResult {
    /// The caller's id of the call.
    pub call_id: String,
    /// The tool's name.
    pub name: String,
    /// What it said.
    pub content: String,
    /// It failed.
    pub failed: bool,
}

/// A function that the model may call.
#[derive(Clone, Debug)]
pub struct Tool {
    /// Its name, which no other has.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// A JSON schema of its arguments.
    pub parameters: Option<Value>,
    /// What it is to the caller, where that is no plain function of this name.
    pub origin: Option<Origin>,
}

/// A tool that takes a text, or stands in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name there.
    pub name: String,
    /// It takes a text, not arguments.
    pub takes_text: bool,
}

/// Whether the model may call a tool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ToolChoice {
    /// Nothing is said.
    #[default]
    Unset,
    /// It may not.
    Never,
    /// It may: any, or one of these.
    May(Vec<String>),
    /// It must: any, or one of these.
    Must(Vec<String>),
}

/// How tokens are sampled.
#[derive(Clone, Debug, Default)]
pub struct Sampling {
    /// As Gemini has it, 0 to 2.
    pub temperature: Option<f64>,
    /// As Gemini has it, 0 to 1.
    pub top_p: Option<f64>,
    /// As Gemini has it, 1 at least.
    pub top_k: Option<u32>,
    /// As Gemini has it.
    pub seed: Option<i64>,
    /// Tokens of the answer at most, thoughts among them.
    pub max_tokens: Option<u64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Answers; 1 where nothing is said.
    pub candidates: Option<u32>,
    /// As Gemini has it.
    pub presence_penalty: Option<f64>,
    /// As Gemini has it.
    pub frequency_penalty: Option<f64>,
    /// Log probabilities are told, of so many alternatives a token.
    pub logprobs: Option<u32>,
}

/// What form the answer has.
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

/// What the answer is made of.
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
        /// In which manner it speaks.
        style: Option<String>,
    },
}

/// How much the model thinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Thinking {
    /// How much; the model decides where nothing is said.
    pub effort: Option<Effort>,
    /// Whether thoughts are shown.
    pub shown: Option<bool>,
}

/// How much the model thinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Not at all, or as little as the model can.
    Off,
    /// Least.
    Minimal,
    /// Little.
    Low,
    /// Some.
    Medium,
    /// Much.
    High,
    /// Tokens at most.
    Tokens(u32),
}

impl Effort {
    /// The effort that a word of a field means.
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
    /// What all dialects have, under the dialect's names of the limit of tokens and of the stop texts.
    pub(crate) fn read(fields: &mut Fields, limit: &str, stop: &str, notes: &mut Notes) -> Result<Self, Error> {
        let top_k = match fields.integer("top_k")? {
            // As other servers say that there is none.
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
            max_tokens: fields.limit(limit, notes)?,
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

    /// Fills in thought signatures that the caller's messages did not carry, by the ids of the calls.
    ///
    /// Gemini hands out a signature with a call and wants it back. Ids of calls are too short to carry it, so whoever
    /// holds [`signatures`](crate::Answer::take_signatures) of earlier answers gives them back here. A call whose
    /// signature nobody has goes out with Gemini's own stand-in for one.
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

    /// A tool is there where one must be called, and each that is named.
    pub(crate) fn check_tool_choice(&mut self, notes: &mut Notes) -> Result<(), Error> {
        const FIELD: &str = "tool_choice";
        let (ToolChoice::Must(names) | ToolChoice::May(names)) = &self.tool_choice else { return Ok(()) };
        let is_there = |name: &str| self.tools.iter().any(|tool| tool.name == name);
        let why = match names.iter().find(|name| !is_there(name)) {
            Some(missing) => format!("no function {:?} is among tools", missing.chars().take(64).collect::<String>()),
            None if self.tools.is_empty() && matches!(self.tool_choice, ToolChoice::Must(_)) => {
                "a tool must be called, and tools has none".to_owned()
            }
            None => return Ok(()),
        };
        self.tool_choice = ToolChoice::Unset;
        notes.refuse(Error::invalid(FIELD, why))
    }
}

/// Puts a conversation together from messages in their order.
///
/// System messages before all others are Gemini's `systemInstruction`; later ones stand at their place as the user's
/// words, so that what was sent before stays the beginning of what is sent next. Gemini wants the results of calls right
/// behind them, so each is put there, wherever it came.
#[derive(Debug)]
pub(crate) struct Transcript<'n> {
    pub(crate) notes: &'n mut Notes,
    system: Vec<String>,
    turns: Vec<Turn>,
    calls: Vec<Called>,
    /// A result came: what the model says next is a new turn.
    answered: bool,
}

#[derive(Debug)]
struct Called {
    id: String,
    name: String,
    /// The field that has the call.
    field: String,
    result: Option<Vec<Part>>,
}

impl<'n> Transcript<'n> {
    pub(crate) fn new(notes: &'n mut Notes) -> Self {
        Self { notes, system: Vec::new(), turns: Vec::new(), calls: Vec::new(), answered: false }
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

    /// A call at `field`. Without an id it is answered by name, or by nobody.
    pub(crate) fn call(&mut self, call: Call, field: String) {
        self.calls.push(Called { id: call.id.clone(), name: call.name.clone(), field, result: None });
        self.say(Role::Model, Part::Call(call));
    }

    /// A result at `field`: text, and media that go with it. Calls of one id are answered in their order.
    pub(crate) fn result(
        &mut self,
        id: &str,
        (content, failed): (String, bool),
        media: Vec<Part>,
        field: &str,
    ) -> Result<(), Error> {
        self.answered = true;
        let short: String = id.chars().take(64).collect();
        let waiting = |called: &&mut Called| called.id == id && called.result.is_none();
        if let Some(called) = self.calls.iter_mut().find(waiting) {
            let result = ToolResult { call_id: id.to_owned(), name: called.name.clone(), content, failed };
            called.result = Some(std::iter::once(Part::Result(result)).chain(media).collect());
        } else if self.calls.iter().any(|called| called.id == id) {
            self.notes.refuse(Error::invalid(field, format_args!("the call {short:?} has its result already")))?;
        } else {
            let why = format!("no call before it has the id {short:?}; send the call, too, or leave the result out");
            self.notes.refuse(Error::invalid(field, why))?;
            let text = format!("Result of an earlier tool call ({short}):\n{content}");
            self.say(Role::User, Part::Text(text));
            for part in media {
                self.say(Role::User, part);
            }
        }
        Ok(())
    }

    /// A result for the last call of this name that waits for one, or the last of all: the older form has no ids.
    pub(crate) fn result_by_name(&mut self, name: &str, content: String) {
        self.answered = true;
        let waits = |called: &Called| called.result.is_none();
        let of_it = self.calls.iter().rposition(|called| called.name == name && waits(called));
        match of_it.or_else(|| self.calls.iter().rposition(waits)) {
            Some(at) => {
                let called = &mut self.calls[at];
                let (call_id, name) = (called.id.clone(), called.name.clone());
                called.result = Some(vec![Part::Result(ToolResult { call_id, name, content, failed: false })]);
            }
            None => self.say(Role::User, Part::Text(format!("{name}: {content}"))),
        }
    }

    /// Lays the conversation out.
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

/// Stands in for the result of a call that has none.
fn no_result(called: Called, notes: &mut Notes) -> Result<Part, Error> {
    let Called { id: call_id, name, field, .. } = called;
    // The older form has no ids to hold a result against its call.
    if !call_id.is_empty() {
        let short: String = call_id.chars().take(64).collect();
        let why = format!("the call {short:?} has no result; send one, or leave the call out");
        notes.refuse(Error::invalid(field, why))?;
    }
    let content = "No result was recorded for this call.".to_owned();
    Ok(Part::Result(ToolResult { call_id, name, content, failed: false }))
}
