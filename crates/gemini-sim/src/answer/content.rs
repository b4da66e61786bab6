//! What the simulated model says.

use serde_json::{Value, json};

use super::example::example;
use crate::check::{calling_mode, functions};
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

/// The content of a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Text(String),
    /// `functionCall` parts.
    Calls(Vec<Value>),
}

impl Content {
    /// What a prompt makes the model say, and whether `maxOutputTokens` cut it: a call where it must call, or may and
    /// the last text says `name()`; JSON where it asks for JSON; else the answer's text up to a stop sequence.
    pub(crate) fn of(prompt: &Value, answer: &AnswerText) -> (Self, bool) {
        let called = forced_function(prompt).map_or_else(|| requested_functions(prompt), |name| vec![name]);
        if !called.is_empty() {
            let call = |name: &&str| {
                let schema = parameters(prompt, name);
                let args = schema.map_or_else(|| json!({}), |schema| example(schema, "simulated"));
                json!({ "functionCall": { "name": name, "args": args } })
            };
            return (Self::Calls(called.iter().map(call).collect()), false);
        }
        let config = &prompt["generation_config"];
        let text = answer.text(prompt);
        let schema = config.get("response_json_schema").or_else(|| config.get("response_schema"));
        let text = match (config["response_mime_type"].as_str(), schema) {
            (Some("application/json"), Some(schema)) => example(schema, &text).to_string(),
            (Some("application/json"), None) => json!({ "answer": text }).to_string(),
            _ => before_stop(config, text),
        };
        match config["max_output_tokens"].as_u64() {
            Some(most) if tokens_of_text(&text) > most => {
                (Self::Text(text.chars().take(most as usize * 4).collect()), true)
            }
            _ => (Self::Text(text), false),
        }
    }

    pub(crate) fn tokens(&self) -> u64 {
        match self {
            Self::Text(text) => tokens_of_text(text),
            Self::Calls(calls) => calls.iter().map(|call| tokens_of_text(&call.to_string())).sum(),
        }
    }

    /// The parts of the content, in at most `most` pieces, none of them empty.
    pub(crate) fn pieces(&self, most: usize) -> Vec<Value> {
        match self {
            Self::Text(text) => {
                let characters: Vec<char> = text.chars().collect();
                let count = most.clamp(1, characters.len().max(1));
                let bound = |piece: usize| characters.len() * piece / count;
                let piece = |index| String::from_iter(&characters[bound(index)..bound(index + 1)]);
                (0..count).map(|index| json!([{ "text": piece(index) }])).collect()
            }
            Self::Calls(calls) if calls.len() <= most => calls.iter().map(|call| json!([call])).collect(),
            Self::Calls(calls) => vec![json!(calls)],
        }
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
fn forced_function(prompt: &Value) -> Option<&str> {
    let allowed = &prompt["tool_config"]["function_calling_config"]["allowed_function_names"][0];
    let name = allowed.as_str().or_else(|| functions(prompt).next()?["name"].as_str());
    name.filter(|_| calling_mode(prompt) == Some("ANY"))
}

/// The functions that the last text asks for as `name()`, in its order.
fn requested_functions(prompt: &Value) -> Vec<&str> {
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
    requested.into_iter().map(|(_, name)| name).collect()
}

/// The schema of a function's arguments.
fn parameters<'a>(prompt: &'a Value, name: &str) -> Option<&'a Value> {
    let function = functions(prompt).find(|function| function["name"] == name)?;
    function.get("parameters_json_schema").or_else(|| function.get("parameters"))
}
