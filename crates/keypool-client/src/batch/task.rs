//! What is to be answered.

use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, value::RawValue};
use sha2::{Digest, Sha256};

use super::{Json, request, written::Fields};

/// What is to be answered: a prompt, or a whole request in the provider's own form.
///
/// ```
/// use keypool_client::batch::Task;
///
/// let task = Task::prompt("What is a key?").id("q-1").model("gemini-2.5-pro").field("course", "locks");
/// let same = Task::from_json(r#"{"id": "q-1", "prompt": "What is a key?", "model": "gemini-2.5-pro", "course": "locks"}"#)?;
/// assert_eq!(task, same);
/// # Ok::<(), keypool_client::batch::InvalidTask>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Task {
    pub(crate) id: Option<Id>,
    pub(crate) ask: Ask,
    pub(crate) model: Option<Arc<str>>,
    pub(crate) system: Option<String>,
    pub(crate) temperature: Option<f64>,
    /// Carried through.
    pub(crate) fields: Fields,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ask {
    Prompt(String),
    /// The body as it goes out.
    Request(Fields),
}

/// What a task is called: a text or a number. `17` and `"17"` are the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// A name of its own.
    Text(Box<str>),
    /// A number of its own, or its place in the input.
    Number(u64),
    /// A number of its own that is no place in any input (`-5`, `1.50`), as it was written: two that are written
    /// otherwise are two tasks.
    Written(WrittenNumber),
}

/// A number as it was written in JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrittenNumber(Box<str>);

impl WrittenNumber {
    /// What was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Id {
    /// A word that stands for it.
    pub(crate) fn hash(&self) -> u64 {
        match self {
            Self::Text(text) => word_of([text.as_bytes()]),
            Self::Number(number) => word_of([number.to_string().as_bytes()]),
            Self::Written(number) => word_of([number.as_str().as_bytes()]),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Written(number) => f.write_str(number.as_str()),
        }
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
            // It was read as JSON.
            Self::Written(number) => match serde_json::from_str::<&RawValue>(number.as_str()) {
                Ok(raw) => raw.serialize(serializer),
                Err(_) => serializer.serialize_str(number.as_str()),
            },
        }
    }
}

impl From<&str> for Id {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Id {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<u64> for Id {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

/// Why something is no task.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidTask(pub(crate) String);

impl Task {
    /// A prompt.
    pub fn prompt(prompt: impl Into<String>) -> Self {
        Self::of(Ask::Prompt(prompt.into()))
    }

    /// A whole request in the provider's own form.
    pub fn request(request: Map<String, Value>) -> Self {
        Self::of(Ask::Request(Json::from(Value::Object(request)).into_fields()))
    }

    fn of(ask: Ask) -> Self {
        Self { id: None, ask, model: None, system: None, temperature: None, fields: Fields::new() }
    }

    /// What it is called; its place in the input unless set.
    #[must_use]
    pub fn id(mut self, id: impl Into<Id>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The model that it asks; the batch's unless set.
    #[must_use]
    pub fn model(mut self, model: impl Into<Arc<str>>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// What the model goes by; the batch's unless set.
    #[must_use]
    pub fn system(mut self, instruction: impl Into<String>) -> Self {
        self.system = Some(instruction.into());
        self
    }

    /// How free the answer is; the batch's unless set.
    #[must_use]
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Something that is carried through to the result.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), value.into().into());
        self
    }

    /// A JSON text or object: see [`from_value`](Self::from_value). What is carried through or sent has its numbers as they
    /// stand in it, however many digits they have.
    ///
    /// # Errors
    /// When it is neither, or an object that asks nothing.
    pub fn from_json(text: &str) -> Result<Self, InvalidTask> {
        Self::of_json(Json::read(text).map_err(|error| InvalidTask(format!("no JSON: {error}")))?)
    }

    /// A text, or an object: `prompt` or a whole request (`request`, `contents`, `messages`), and `id`, `model`, `system`,
    /// `temperature`. What else it has is carried through; beside `contents` or `messages` the fields of such a request belong to
    /// it (one that is not known goes into `request`). What a request says itself of system and temperature holds. Lines for providers' own batch APIs (`custom_id` and `body`,
    /// `key` and `request`) are understood.
    ///
    /// # Errors
    /// When it is neither, or asks nothing.
    pub fn from_value(value: Value) -> Result<Self, InvalidTask> {
        Self::of_json(value.into())
    }

    fn of_json(json: Json) -> Result<Self, InvalidTask> {
        let wrong = |what: &str| InvalidTask(what.to_owned());
        let mut fields = match &*json {
            Value::String(prompt) if prompt.trim().is_empty() => return Err(wrong("its prompt is empty")),
            Value::String(prompt) => return Ok(Self::prompt(prompt)),
            Value::Object(_) => json.into_fields(),
            other => return Err(InvalidTask(format!("neither a text nor an object: {}", short(other)))),
        };
        let own = fields.contains_key("prompt");
        let ask = if let Some(prompt) = fields.remove("prompt") {
            match prompt.into_value() {
                Value::String(prompt) if prompt.trim().is_empty() => return Err(wrong("its prompt is empty")),
                Value::String(prompt) => Ask::Prompt(prompt),
                _ => return Err(wrong("its prompt is no text")),
            }
        } else if let Some(name) =
            ["request", "body"].into_iter().find(|name| fields.get(*name).is_some_and(|value| value.is_object()))
        {
            Ask::Request(fields.remove(name).map(Json::into_fields).unwrap_or_default())
        } else if fields.contains_key("contents") || fields.contains_key("messages") {
            let gemini = fields.contains_key("contents");
            let (request, kept) = fields.into_iter().partition(|(name, _)| request::has(gemini, name));
            fields = kept;
            Ask::Request(request)
        } else {
            return Err(wrong("it has no prompt (nor request, contents or messages)"));
        };
        let mut task = Self::of(ask);
        if !own && let Some(url) = fields.remove("url") {
            // Of a line for a batch API: where all of them go.
            drop((url, fields.remove("method")));
        }
        let names = if own { &IDS[..1] } else { &IDS };
        for name in names {
            if task.id.is_none()
                && let Some(id) = fields.remove(*name).filter(|id| !id.is_null())
            {
                task.id = Some(id_of(&id).ok_or_else(|| wrong("its id is neither a text nor a number"))?);
            }
        }
        let text = |value: Option<Json>, name: &str| match value.map(Json::into_value) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(InvalidTask(format!("its {name} is no text"))),
        };
        task.model = text(fields.remove("model"), "model")?.map(Into::into);
        task.system = text(fields.remove("system"), "system")?;
        task.temperature = match fields.remove("temperature") {
            None => None,
            Some(value) if value.is_null() => None,
            Some(value) => {
                // One beyond any value is none, whatever stands for it.
                let is_finite = |number: &str| number.parse().is_ok_and(f64::is_finite);
                let number = value.as_f64().filter(|_| value.exact().is_none_or(is_finite));
                Some(number.ok_or_else(|| wrong("its temperature is no number"))?)
            }
        };
        if let Ask::Request(request) = &task.ask
            && task.model.is_none()
        {
            task.model = request.get("model").and_then(|model| model.as_str()).map(Into::into);
        }
        task.fields = fields;
        Ok(task)
    }

    /// A word that stands for what it asks: another prompt under the same id is another task.
    pub(crate) fn content(&self) -> u64 {
        let ask = match &self.ask {
            Ask::Prompt(prompt) => prompt.clone().into_bytes(),
            Ask::Request(request) => serde_json::to_vec(request).unwrap_or_default(),
        };
        let temperature = self.temperature.map(f64::to_bits).unwrap_or_default().to_le_bytes();
        let model = self.model.as_deref().unwrap_or_default().as_bytes();
        let system = self.system.as_deref().unwrap_or_default().as_bytes();
        if model.is_empty() && system.is_empty() && self.temperature.is_none() {
            return word_of([&*ask]);
        }
        word_of([&*ask, b"\0", model, b"\0", system, b"\0", &temperature])
    }
}

/// The id that a value stands for. A number that a value would write otherwise is what was written: two that differ in the
/// last digit are two tasks.
pub(crate) fn id_of(id: &Json) -> Option<Id> {
    match &**id {
        Value::String(text) => Some(Id::Text(text.as_str().into())),
        Value::Number(number) => {
            let written = || id.exact().map_or_else(|| number.to_string(), str::to_owned);
            let whole = number.as_u64().filter(|_| id.exact().is_none());
            Some(whole.map_or_else(|| Id::Written(WrittenNumber(written().into())), Id::Number))
        }
        _ => None,
    }
}

/// What may be an id; the first where a task has a prompt of its own.
const IDS: [&str; 3] = ["id", "custom_id", "key"];

/// The first 64 bits of a hash: two tasks in ten million share one with a chance of three in a million.
fn word_of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut hash = Sha256::new();
    pieces.into_iter().for_each(|piece| hash.update(piece));
    let word: [u8; 8] = hash.finalize()[..8].try_into().unwrap_or_default();
    u64::from_be_bytes(word)
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(60).collect()
}

impl From<&str> for Task {
    fn from(prompt: &str) -> Self {
        Self::prompt(prompt)
    }
}

impl From<String> for Task {
    fn from(prompt: String) -> Self {
        Self::prompt(prompt)
    }
}
