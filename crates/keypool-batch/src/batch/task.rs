//! Tasks: prompts with ids and their own fields.

use std::{fmt, sync::Arc};

use hmac_sha256::Hash;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::{
    client::Prompt,
    json::compact,
    raw::{RawObject, is_null, object, raw},
};

/// A prompt with an id and its own fields, which are copied to the result.
///
/// ```
/// use keypool_batch::Task;
///
/// let task = Task::new("Name three rivers.").id("rivers").field("topic", "geography");
/// let read = Task::from_json(r#"{"id": "rivers", "prompt": "Name three rivers.", "topic": "geography"}"#)?;
/// assert_eq!(format!("{task:?}"), format!("{read:?}"));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Task {
    pub(super) id: Option<TaskId>,
    pub(super) prompt: Prompt,
    pub(super) fields: RawObject,
}

/// The id of a task: a text or a whole number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum TaskId {
    /// A whole number.
    Number(i64),
    /// A text.
    Text(Arc<str>),
}

/// Top-level fields of a request body of Gemini.
const GEMINI: &str = "contents systemInstruction system_instruction generationConfig generation_config safetySettings \
    safety_settings tools toolConfig tool_config cachedContent cached_content labels";

/// Top-level fields of a request body with `messages`, of OpenAI, Anthropic and compatible providers.
const MESSAGES: &str = "messages system temperature top_p top_k min_p n max_tokens max_completion_tokens stop \
    stop_sequences presence_penalty frequency_penalty repetition_penalty logit_bias logprobs top_logprobs seed \
    response_format output_config tools tool_choice parallel_tool_calls reasoning_effort reasoning thinking verbosity \
    modalities audio prediction service_tier metadata user safety_identifier prompt_cache_key web_search_options \
    chat_template_kwargs";

/// Names of the limit of output tokens.
pub(super) const LIMITS: [&str; 3] = ["max_output_tokens", "max_tokens", "max_completion_tokens"];

impl Task {
    /// Creates a task from a prompt.
    pub fn new(prompt: impl Into<Prompt>) -> Self {
        Self { id: None, prompt: prompt.into(), fields: RawObject::new() }
    }

    /// Sets the id; default: its place in the input, counted from 0. The second of two tasks with the same id is an
    /// error.
    pub fn id(mut self, id: impl Into<TaskId>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Adds a field of its own.
    pub fn field(mut self, name: impl Into<String>, value: impl Serialize) -> Self {
        self.fields.insert(name.into(), raw(&value));
        self
    }

    /// Parses a task from JSON: a string, or an object with `prompt` or a whole request body (`request`, or its
    /// `contents` or `messages` at the top level), and `id`, `model`, `system`, `temperature`, `max_output_tokens`.
    /// Other fields are the task's own. Lines for the batch APIs of Gemini (`key`, `request`), OpenAI (`custom_id`,
    /// `body`) and Anthropic (`custom_id`, `params`) are accepted, too.
    ///
    /// # Errors
    /// A description of the problem.
    pub fn from_json(json: &str) -> Result<Self, String> {
        // A line of the input is one line; its number is known.
        let why = |error: serde_json::Error| format!("not JSON: {error}").replace(" line 1 column", " column");
        let value: &RawValue = serde_json::from_str(json).map_err(why)?;
        if value.get().starts_with('"') {
            return Self::of_text(&text(value, "it")?);
        }
        let Some(mut fields) = object(value) else { return Err("a task must be a string or an object".to_owned()) };
        fields.retain(|_, value| !is_null(value));
        let body = ["body", "params"].into_iter().find(|name| fields.contains_key(*name));
        let body = body.filter(|_| fields.contains_key("custom_id") && !fields.contains_key("prompt"));
        if body == Some("body") {
            fields.remove("method");
            fields.remove("url");
        }
        let request = fields.remove("request").or_else(|| fields.remove(body?));
        let mut names = ["id", "custom_id"].into_iter().chain(request.is_some().then_some("key"));
        let id = match names.find(|name| fields.contains_key(*name)) {
            Some(name) => Some(
                serde_json::from_str(fields.remove(name).unwrap_or_default().get())
                    .map_err(|_| format!("`{name}` must be a string or a number"))?,
            ),
            None => None,
        };
        let prompt = match (fields.remove("prompt"), request) {
            (Some(_), Some(_)) => return Err("the task has both `prompt` and `request`".to_owned()),
            (Some(prompt), None) => Self::of_text(&text(&prompt, "`prompt`")?)?.prompt,
            (None, Some(request)) => {
                Prompt::of_object(object(&request).ok_or_else(|| "`request` is not an object".to_owned())?)?
            }
            (None, None) => Prompt::of_object(take_request(&mut fields)?)?,
        };
        let mut options = prompt.options.clone();
        if let Some(model) = fields.remove("model") {
            options = options.model(text(&model, "`model`")?);
        }
        if let Some(system) = fields.remove("system") {
            options = options.system(text(&system, "`system`")?);
        }
        if let Some(number) = fields.remove("temperature") {
            options = options.temperature(temperature(number.get())?);
        }
        for name in LIMITS {
            if let Some(number) = fields.remove(name) {
                options = options.max_output_tokens(tokens(name, number.get())?);
            }
        }
        options.check().map_err(|error| error.to_string())?;
        Ok(Self { id, prompt: prompt.options(options), fields })
    }

    pub(super) fn of_text(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("the prompt is empty".to_owned());
        }
        Ok(Self::new(text))
    }

    /// Returns a hash of the prompt and the task's own options, without those of the run. A task whose hash has changed
    /// is a new task.
    pub(super) fn hash(&self) -> u64 {
        let options = &self.prompt.options;
        let mut hash = Hash::new();
        match &self.prompt.content {
            crate::client::Content::Text(text) => hash.update(text.as_bytes()),
            crate::client::Content::Request(request) => hash.update(compact(raw(&**request).get())),
        }
        hash.update(raw(&(&options.model, &options.system, options.temperature, options.max_output_tokens)).get());
        digest(hash)
    }
}

/// Returns the hash of a text.
pub(super) fn hash_text(text: &str) -> u64 {
    let mut hash = Hash::new();
    hash.update(text);
    digest(hash)
}

/// Returns the first bytes of a digest.
pub(super) fn digest(hash: Hash) -> u64 {
    u64::from_be_bytes(*hash.finalize().first_chunk().expect("a SHA-256 has 32 bytes"))
}

/// Takes the fields of a request that are beside those of the task.
fn take_request(fields: &mut RawObject) -> Result<RawObject, String> {
    let known = if fields.contains_key("contents") {
        GEMINI
    } else if fields.contains_key("messages") {
        MESSAGES
    } else {
        return Err("the task has none of `prompt`, `request`, `contents` and `messages`".to_owned());
    };
    Ok(known.split_ascii_whitespace().filter_map(|name| fields.remove_entry(name)).collect())
}

/// Parses the temperature of a task, 0 or more.
pub(super) fn temperature(number: &str) -> Result<f64, String> {
    let value = number.trim().parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0);
    value.ok_or_else(|| format!("`temperature` is not a number of 0 or more: {number}"))
}

pub(super) fn tokens(name: &str, number: &str) -> Result<u32, String> {
    let value = number.trim().parse().ok().filter(|tokens| *tokens > 0);
    value.ok_or_else(|| format!("`{name}` is not a whole number of 1 or more: {number}"))
}

fn text(value: &RawValue, what: &str) -> Result<String, String> {
    serde_json::from_str(value.get()).map_err(|_| format!("{what} is not a string"))
}

impl From<Prompt> for Task {
    fn from(prompt: Prompt) -> Self {
        Self::new(prompt)
    }
}

impl From<&str> for TaskId {
    fn from(id: &str) -> Self {
        Self::Text(id.into())
    }
}

impl From<String> for TaskId {
    fn from(id: String) -> Self {
        Self::Text(id.into())
    }
}

impl From<i64> for TaskId {
    fn from(id: i64) -> Self {
        Self::Number(id)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for TaskId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Box::<RawValue>::deserialize(deserializer)?;
        let json = value.get();
        if json.starts_with('"') {
            return serde_json::from_str::<String>(json).map(Self::from).map_err(serde::de::Error::custom);
        }
        if !json.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
            return Err(serde::de::Error::custom("an id must be a string or a number"));
        }
        // A number that does not fit an `i64` is kept as text.
        Ok(json.parse().map_or_else(|_| Self::Text(json.into()), Self::Number))
    }
}
