//! What the simulated model says.

use serde_json::{Value, json};

use super::example::example;
use crate::check::{calling_mode, functions, modalities};
use crate::tokens::tokens_of_text;

/// The text of generated answers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerText {
    /// This many words.
    Words(usize),
    /// This text.
    Fixed(String),
    /// The text of the request's last content: shows that a body came through
    /// unharmed.
    Echo,
}

impl AnswerText {
    pub(crate) fn text(&self, prompt: &Value) -> String {
        const WORDS: [&str; 8] = ["simulated", "answers", "are", "plain", "words", "in", "one", "order"];
        match self {
            Self::Words(count) => WORDS.iter().copied().cycle().take(*count).collect::<Vec<_>>().join(" "),
            Self::Fixed(text) => text.clone(),
            Self::Echo => last_text(prompt),
        }
    }
}

/// A PNG of one pixel.
const PIXEL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
/// Three samples of sound.
const SOUND: &str = "AAABAAIA";

/// The content of one candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Text(String),
    Calls(Vec<FunctionCall>),
    /// A picture or a sound, in base64.
    Blob {
        mime_type: &'static str,
        data: &'static str,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FunctionCall {
    pub(crate) name: String,
    pub(crate) args: Value,
    signature: Option<String>,
}

/// The thought signature of a call: always the same for a model and a function, so that the simulator recognises it.
pub(crate) fn signature(model: &str, function: &str) -> String {
    // Base64 as it stands, of a length that needs no padding.
    let plain: String = format!("{model}/{function}").chars().filter(char::is_ascii_alphanumeric).collect();
    let length = plain.len().div_ceil(4) * 4;
    format!("{plain:A<length$}")
}

impl Content {
    /// What a prompt makes the model say, and whether `maxOutputTokens` cut it: a picture or a sound where it asks for
    /// one; a call where it must call, or may and the last text says `name()`; JSON where it asks for JSON; else the
    /// answer's text up to a stop sequence. `signing_model`: the model's name where it signs its calls.
    pub(crate) fn of(prompt: &Value, answer: &AnswerText, signing_model: Option<&str>) -> (Self, bool) {
        let modalities = modalities(prompt);
        if modalities.contains(&"IMAGE") {
            return (Self::Blob { mime_type: "image/png", data: PIXEL }, false);
        }
        if modalities.contains(&"AUDIO") {
            return (Self::Blob { mime_type: "audio/L16;codec=pcm;rate=24000", data: SOUND }, false);
        }
        let called = forced_function(prompt).map_or_else(|| requested_functions(prompt), |name| vec![name]);
        if !called.is_empty() {
            let call = |(index, name): (usize, String)| FunctionCall {
                args: parameters(prompt, &name).map_or_else(|| json!({}), |schema| example(schema, "simulated")),
                // The first of several calls is signed.
                signature: signing_model.filter(|_| index == 0).map(|model| signature(model, &name)),
                name,
            };
            return (Self::Calls(called.into_iter().enumerate().map(call).collect()), false);
        }
        let config = &prompt["generation_config"];
        let text = answer.text(prompt);
        let schema = config.get("response_json_schema").or_else(|| config.get("response_schema"));
        let text = match (config["response_mime_type"].as_str(), schema) {
            (Some("application/json"), Some(schema)) => example(schema, &text).to_string(),
            (Some("application/json"), None) => json!({ "answer": text }).to_string(),
            (Some("text/x.enum"), Some(schema)) => match example(schema, &text) {
                Value::String(word) => word,
                other => other.to_string(),
            },
            _ => before_stop(config, text),
        };
        match config["max_output_tokens"].as_u64() {
            Some(most) if tokens_of_text(&text) > most => {
                (Self::Text(text.chars().take(most as usize * 4).collect()), true)
            }
            _ => (Self::Text(text), false),
        }
    }

    /// How many candidates a prompt asks for. A picture or a sound is one.
    pub(crate) fn candidates(&self, prompt: &Value) -> u64 {
        match self {
            Self::Blob { .. } => 1,
            _ => prompt["generation_config"]["candidate_count"].as_u64().unwrap_or(1).clamp(1, 8),
        }
    }

    pub(crate) fn tokens(&self) -> u64 {
        match self {
            Self::Text(text) => tokens_of_text(text),
            Self::Calls(calls) => calls.iter().map(|call| tokens_of_text(&call.name).max(1)).sum(),
            Self::Blob { .. } => 1_290,
        }
    }

    /// As the native API shows it.
    pub(crate) fn parts(&self) -> Vec<Value> {
        match self {
            Self::Text(text) => vec![json!({ "text": text })],
            Self::Blob { mime_type, data } => vec![json!({ "inlineData": { "mimeType": mime_type, "data": data } })],
            Self::Calls(calls) => calls.iter().map(FunctionCall::part).collect(),
        }
    }

    /// The content in at most `most` pieces, none of them empty.
    pub(crate) fn split(&self, most: usize) -> Vec<Self> {
        match self {
            Self::Text(text) => {
                let characters: Vec<char> = text.chars().collect();
                let pieces = most.clamp(1, characters.len().max(1));
                let bound = |piece: usize| characters.len() * piece / pieces;
                let piece = |index| characters[bound(index)..bound(index + 1)].iter().collect();
                (0..pieces).map(|index| Self::Text(piece(index))).collect()
            }
            Self::Calls(calls) if calls.len() <= most => {
                calls.iter().map(|call| Self::Calls(vec![call.clone()])).collect()
            }
            Self::Calls(_) | Self::Blob { .. } => vec![self.clone()],
        }
    }
}

impl FunctionCall {
    fn part(&self) -> Value {
        let mut part = json!({ "functionCall": { "name": self.name, "args": self.args } });
        if let Some(signature) = &self.signature {
            part["thoughtSignature"] = signature.clone().into();
        }
        part
    }
}

/// The text before the first stop sequence.
fn before_stop(config: &Value, mut text: String) -> String {
    let stops = config["stop_sequences"].as_array().into_iter().flatten();
    let stops = stops.filter_map(Value::as_str).filter(|stop| !stop.is_empty());
    if let Some(end) = stops.filter_map(|stop| text.find(stop)).min() {
        text.truncate(end);
    }
    text
}

fn last_text(prompt: &Value) -> String {
    let last = prompt["contents"].as_array().and_then(|contents| contents.last()).unwrap_or(&Value::Null);
    last["parts"].as_array().into_iter().flatten().filter_map(|part| part["text"].as_str()).collect()
}

/// The function that must be called.
fn forced_function(prompt: &Value) -> Option<String> {
    if calling_mode(prompt) != Some("ANY") {
        return None;
    }
    let allowed = &prompt["tool_config"]["function_calling_config"]["allowed_function_names"][0];
    allowed.as_str().or_else(|| functions(prompt).next()?["name"].as_str()).map(str::to_owned)
}

/// The functions that the last text asks for as `name()`, in its order.
fn requested_functions(prompt: &Value) -> Vec<String> {
    if calling_mode(prompt) == Some("NONE") {
        return Vec::new();
    }
    let text = last_text(prompt);
    let mut requested = Vec::new();
    for name in functions(prompt).filter_map(|function| function["name"].as_str()) {
        let is_whole = |at: &usize| !text[..*at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
        let call = format!("{name}()");
        requested.extend(text.match_indices(&call).map(|(at, _)| at).filter(is_whole).map(|at| (at, name)));
    }
    requested.sort_unstable();
    requested.into_iter().map(|(_, name)| name.to_owned()).collect()
}

/// The schema of a function's arguments.
fn parameters<'a>(prompt: &'a Value, name: &str) -> Option<&'a Value> {
    let function = functions(prompt).find(|function| function["name"] == name)?;
    function.get("parameters_json_schema").or_else(|| function.get("parameters"))
}
