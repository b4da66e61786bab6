//! Prompts and their options.

use std::sync::Arc;

use serde_json::{Value, value::RawValue};

use super::{Error, ErrorKind};
use crate::raw::{RawObject, is_null, object};

/// A prompt: a text, or a whole request body of the provider, with [options](PromptOptions).
///
/// ```
/// use keypool_batch::Prompt;
/// use serde_json::json;
///
/// let prompt = Prompt::text("Name three rivers.").model("gemini-2.5-flash").system("Be brief.").temperature(0.2);
/// let whole = Prompt::request(&json!({ "contents": [{ "parts": [{ "text": "Name three rivers." }] }] }))?;
/// # drop((prompt, whole));
/// # Ok::<(), keypool_batch::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Prompt {
    pub(crate) content: Content,
    pub(crate) options: PromptOptions,
}

/// The content of a prompt.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Text(Arc<str>),
    /// A request body: Gemini's with `contents`, or one with `messages`.
    Request(Arc<RawObject>),
}

/// Options of a prompt. They do not change fields that a whole request body sets.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct PromptOptions {
    pub(crate) model: Option<Arc<str>>,
    pub(crate) system: Option<Arc<str>>,
    pub(crate) temperature: Option<f64>,
    pub(crate) max_output_tokens: Option<u32>,
    pub(crate) json: JsonFormat,
}

/// The JSON format that is requested from the provider.
#[derive(Clone, Debug, Default)]
pub(crate) enum JsonFormat {
    #[default]
    Off,
    Any,
    Schema(Arc<Value>),
}

impl Prompt {
    /// Creates a prompt from a text.
    pub fn text(text: impl Into<Arc<str>>) -> Self {
        Self { content: Content::Text(text.into()), options: PromptOptions::new() }
    }

    /// Creates a prompt from a whole request body of the provider: an object with `contents` (Gemini) or `messages`
    /// (OpenAI, Anthropic). Its `model` is the prompt's model.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if it is not such an object, or asks for more than one answer.
    pub fn request(request: &Value) -> Result<Self, Error> {
        Self::of_object(object(&crate::raw::raw(request)).unwrap_or_default())
            .map_err(|message| Error::new(ErrorKind::Invalid, message))
    }

    pub(crate) fn of_object(mut request: RawObject) -> Result<Self, String> {
        request.retain(|_, value| !is_null(value));
        if !["contents", "messages"].iter().any(|name| request.get(*name).is_some_and(|value| is_list(value))) {
            return Err("expected an object with the list `contents` or `messages`".to_owned());
        }
        check_count(&request)?;
        let mut options = PromptOptions::new();
        if let Some(model) = request.remove("model") {
            let model: Arc<str> =
                serde_json::from_str(model.get()).map_err(|_| "`model` is not a string".to_owned())?;
            options = options.model(model);
        }
        Ok(Self { content: Content::Request(Arc::new(request)), options })
    }

    /// Replaces the options. The model is kept if the new options do not name one.
    pub fn options(mut self, options: PromptOptions) -> Self {
        let model = self.options.model.take();
        self.options = options.or(&PromptOptions { model, ..PromptOptions::default() });
        self
    }

    /// Sets the model, see [`PromptOptions::model`].
    pub fn model(mut self, model: impl Into<Arc<str>>) -> Self {
        self.options = self.options.model(model);
        self
    }

    /// Sets the system instruction, see [`PromptOptions::system`].
    pub fn system(mut self, system: impl Into<Arc<str>>) -> Self {
        self.options = self.options.system(system);
        self
    }

    /// Sets the temperature, see [`PromptOptions::temperature`].
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.options = self.options.temperature(temperature);
        self
    }

    /// Sets the maximum number of output tokens, see [`PromptOptions::max_output_tokens`].
    pub fn max_output_tokens(mut self, tokens: u32) -> Self {
        self.options = self.options.max_output_tokens(tokens);
        self
    }

    /// Returns the size of the content, in bytes.
    pub(crate) fn size(&self) -> usize {
        match &self.content {
            Content::Text(text) => text.len(),
            Content::Request(request) => request.iter().map(|(name, value)| name.len() + value.get().len()).sum(),
        }
    }

    /// Returns the approximate number of tokens: a quarter of the bytes. Media, which are long strings without spaces,
    /// have fewer and are left out.
    pub(crate) fn tokens(&self) -> u64 {
        const LONG: usize = 4_096;
        let is_text = |part: &&str| part.as_bytes().get(..LONG).is_none_or(|start| start.contains(&b' '));
        let bytes: usize = match &self.content {
            Content::Text(text) => text.len(),
            Content::Request(request) => {
                request.values().flat_map(|value| value.get().split('"')).filter(is_text).map(str::len).sum()
            }
        };
        bytes as u64 / 4
    }
}

impl From<&str> for Prompt {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl PromptOptions {
    /// Creates empty options, which leave the provider's defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the model.
    pub fn model(mut self, model: impl Into<Arc<str>>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Sets the system instruction.
    pub fn system(mut self, system: impl Into<Arc<str>>) -> Self {
        self.system = Some(system.into());
        self
    }

    /// Sets the temperature, 0 or more; the maximum of providers is 1 or 2.
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Sets the maximum number of output tokens, including thoughts; at least 1. Anthropic requires a number; its
    /// default here is 8192.
    pub fn max_output_tokens(mut self, tokens: u32) -> Self {
        self.max_output_tokens = Some(tokens);
        self
    }

    /// Requests JSON of any form. For OpenAI and Anthropic, the system instruction gets the sentence "Answer in JSON."
    pub fn json(mut self) -> Self {
        self.json = JsonFormat::Any;
        self
    }

    /// Requests JSON that matches this JSON Schema. For Anthropic, this sets `output_config`.
    pub fn json_schema(mut self, schema: Value) -> Self {
        self.json = JsonFormat::Schema(Arc::new(schema));
        self
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] if the temperature is negative or not finite, or `max_output_tokens` is 0.
    pub fn check(&self) -> Result<(), Error> {
        let invalid = |message: String| Err(Error::new(ErrorKind::Invalid, message));
        match (self.temperature, self.max_output_tokens) {
            (Some(temperature), _) if !temperature.is_finite() || temperature < 0.0 => {
                invalid(format!("the temperature {temperature} is not a number of 0 or more"))
            }
            (_, Some(0)) => invalid("max_output_tokens is 0: expected 1 or more".to_owned()),
            _ => Ok(()),
        }
    }

    /// Returns these options, with `defaults` for those that are not set.
    pub(crate) fn or(self, defaults: &Self) -> Self {
        Self {
            model: self.model.or_else(|| defaults.model.clone()),
            system: self.system.or_else(|| defaults.system.clone()),
            temperature: self.temperature.or(defaults.temperature),
            max_output_tokens: self.max_output_tokens.or(defaults.max_output_tokens),
            json: if matches!(self.json, JsonFormat::Off) { defaults.json.clone() } else { self.json },
        }
    }
}

/// Refuses a request for several answers: all of them cost tokens, and only the first one is read.
fn check_count(request: &RawObject) -> Result<(), String> {
    let configs = ["generationConfig", "generation_config"].map(|name| object(request.get(name)?));
    let candidates =
        configs.iter().flatten().flat_map(|config| [config.get("candidateCount"), config.get("candidate_count")]);
    let counts = candidates.chain([request.get("n")]).flatten();
    match counts
        .map(|count| count.get().trim_matches('"'))
        .find(|count| count.parse::<f64>().is_ok_and(|count| count > 1.0))
    {
        Some(count) => Err(format!("the request asks for {count} answers: expected 1, since a task has one result")),
        None => Ok(()),
    }
}

fn is_list(value: &RawValue) -> bool {
    value.get().starts_with('[')
}
