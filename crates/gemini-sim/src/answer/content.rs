//! What an answer says.

use serde_json::{Value, json};

use super::{PIXEL, example};
use crate::proto_json::{field, items, whole};
use crate::strict::{calling_mode, modalities};
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

/// Three samples, in base64.
const SOUND: &str = "AAABAAIA";

/// The content of one candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Text(String),
    /// Function calls: one, or several at once.
    Calls(Vec<Call>),
    /// Something else than text.
    Blob {
        mime: &'static str,
        /// In base64.
        data: &'static str,
    },
}

/// A function call, and what must come back with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: String,
    pub(crate) args: Value,
    signature: Option<String>,
}

/// What this model signs a call of this function with: always the same, so that the simulator knows its own again.
pub(crate) fn signature(model: &str, name: &str) -> String {
    // Base64 as it stands, of a length that needs no padding.
    let plain: String = format!("{model}/{name}").chars().filter(char::is_ascii_alphanumeric).collect();
    let length = plain.len().div_ceil(4) * 4;
    format!("{plain:A<length$}")
}

const WORDS: [&str; 8] = ["simulated ", "answers ", "are ", "plain ", "words ", "in ", "one ", "order "];

impl AnswerText {
    pub(crate) fn text(&self, request: &Value) -> String {
        match self {
            Self::Words(count) => {
                let text: String = WORDS.iter().copied().cycle().take(*count).collect();
                text.trim_end().to_owned()
            }
            Self::Fixed(text) => text.clone(),
            Self::Echo => last_text(request),
        }
    }
}

impl Content {
    /// What this request makes the model say: a call where it must call, or may
    /// and is asked to (`name()` in the last text, each a call), JSON where it
    /// asks for JSON, else the answer's text up to a stop sequence; either cut
    /// at `maxOutputTokens`. The flag says whether it was cut. The first call is
    /// signed for `signer`, a model that signs.
    pub(crate) fn of(request: &Value, answer: &AnswerText, signer: Option<&str>) -> (Self, bool) {
        for wished in modalities(request) {
            let (mime, data) = match wished {
                "IMAGE" => ("image/png", PIXEL),
                "AUDIO" => ("audio/L16;codec=pcm;rate=24000", SOUND),
                _ => continue,
            };
            return (Self::Blob { mime, data }, false);
        }
        let called = forced_function(request).map_or_else(|| asked_functions(request), |name| vec![name]);
        if !called.is_empty() {
            let call = |(index, name): (usize, String)| Call {
                args: schema_of(request, &name).map_or_else(|| json!({}), |schema| example::of(schema, "simulated")),
                signature: signer.filter(|_| index == 0).map(|model| signature(model, &name)),
                name,
            };
            return (Self::Calls(called.into_iter().enumerate().map(call).collect()), false);
        }
        let config = field(request, "generationConfig", "generation_config");
        let config = config.unwrap_or(&Value::Null);
        let text = answer.text(request);
        let mime = field(config, "responseMimeType", "response_mime_type");
        let schema = field(config, "responseJsonSchema", "response_json_schema");
        let schema = schema.or_else(|| field(config, "responseSchema", "response_schema"));
        match (mime.and_then(Value::as_str), schema) {
            (Some("application/json"), schema) => {
                let value = schema.map_or_else(|| json!({ "answer": text }), |schema| example::of(schema, &text));
                Self::within(config, value.to_string())
            }
            // One of the words, bare.
            (Some("text/x.enum"), Some(schema)) => match example::of(schema, &text) {
                Value::String(word) => Self::within(config, word),
                other => Self::within(config, other.to_string()),
            },
            _ => Self::within(config, stopped(config, text)),
        }
    }

    /// As much of a text as `maxOutputTokens` lets through, JSON too: half of
    /// it is none.
    fn within(config: &Value, text: String) -> (Self, bool) {
        let most = field(config, "maxOutputTokens", "max_output_tokens").and_then(whole);
        match most.and_then(|most| u64::try_from(most).ok()) {
            Some(most) if tokens_of_text(&text) > most => {
                let kept = usize::try_from(most.saturating_mul(4)).unwrap_or(usize::MAX);
                (Self::Text(text.chars().take(kept).collect()), true)
            }
            _ => (Self::Text(text), false),
        }
    }

    /// How many candidates this request wants of it; a picture or a sound is
    /// one.
    pub(crate) fn copies(&self, request: &Value) -> usize {
        let config = field(request, "generationConfig", "generation_config").unwrap_or(&Value::Null);
        let wished = field(config, "candidateCount", "candidate_count").and_then(whole).unwrap_or(1);
        match self {
            Self::Blob { .. } => 1,
            _ => usize::try_from(wished).unwrap_or(1).clamp(1, 8),
        }
    }

    pub(crate) fn tokens(&self) -> u64 {
        match self {
            Self::Text(text) => tokens_of_text(text),
            Self::Calls(calls) => calls.iter().map(|call| tokens_of_text(&call.name).max(1)).sum(),
            Self::Blob { .. } => 1_290,
        }
    }

    pub(crate) fn parts(&self) -> Vec<Value> {
        match self {
            Self::Text(text) => vec![json!({ "text": text })],
            Self::Blob { mime, data } => vec![json!({ "inlineData": { "mimeType": mime, "data": data } })],
            Self::Calls(calls) => calls.iter().map(Call::part).collect(),
        }
    }

    /// The content in at most `most` pieces, none of them empty.
    pub(crate) fn split(&self, most: usize) -> Vec<Self> {
        let text = match self {
            Self::Text(text) => text,
            Self::Calls(calls) if calls.len() <= most => {
                return calls.iter().map(|call| Self::Calls(vec![call.clone()])).collect();
            }
            Self::Calls(_) | Self::Blob { .. } => return vec![self.clone()],
        };
        let characters: Vec<char> = text.chars().collect();
        let pieces = most.clamp(1, characters.len().max(1));
        (0..pieces)
            .map(|piece| {
                let from = characters.len() * piece / pieces;
                let to = characters.len() * (piece + 1) / pieces;
                Self::Text(characters[from..to].iter().collect())
            })
            .collect()
    }
}

impl Call {
    fn part(&self) -> Value {
        let mut part = json!({ "functionCall": { "name": self.name, "args": self.args } });
        if let Some(signature) = &self.signature {
            part["thoughtSignature"] = signature.clone().into();
        }
        part
    }
}

/// The text in front of the first stop sequence.
fn stopped(config: &Value, text: String) -> String {
    let stops = items(field(config, "stopSequences", "stop_sequences")).into_iter();
    let stops = stops.filter_map(Value::as_str).filter(|stop| !stop.is_empty());
    match stops.filter_map(|stop| text.find(stop)).min() {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

fn last_text(request: &Value) -> String {
    let last = items(request.get("contents")).pop();
    let parts = items(last.and_then(|content| content.get("parts"))).into_iter();
    parts.filter_map(|part| part.get("text")?.as_str()).collect()
}

fn forced_function(request: &Value) -> Option<String> {
    if calling_mode(request) != Some("ANY") {
        return None;
    }
    let config = field(request, "toolConfig", "tool_config")?;
    let config = field(config, "functionCallingConfig", "function_calling_config")?;
    let allowed = items(field(config, "allowedFunctionNames", "allowed_function_names"));
    if let Some(name) = allowed.first().and_then(|name| name.as_str()) {
        return Some(name.to_owned());
    }
    Some(declared(request).first()?.get("name")?.as_str()?.to_owned())
}

/// The functions that the last text asks for, in its order.
fn asked_functions(request: &Value) -> Vec<String> {
    if calling_mode(request) == Some("NONE") {
        return Vec::new();
    }
    let text = last_text(request);
    let names = declared(request).into_iter().filter_map(|function| function["name"].as_str());
    let mut asked = Vec::new();
    for name in names {
        let is_whole = |at: &usize| !text[..*at].ends_with(|before: char| before.is_alphanumeric() || before == '_');
        let call = format!("{name}()");
        asked.extend(text.match_indices(&call).map(|(at, _)| at).filter(is_whole).map(|at| (at, name)));
    }
    asked.sort_unstable();
    asked.into_iter().map(|(_, name)| name.to_owned()).collect()
}

/// The functions of all tools.
fn declared(request: &Value) -> Vec<&Value> {
    let tools = items(request.get("tools")).into_iter();
    tools.flat_map(|tool| items(field(tool, "functionDeclarations", "function_declarations"))).collect()
}

/// What a function's arguments are to look like.
fn schema_of<'a>(request: &'a Value, name: &str) -> Option<&'a Value> {
    let function = declared(request).into_iter().find(|function| function["name"] == name)?;
    field(function, "parametersJsonSchema", "parameters_json_schema").or_else(|| function.get("parameters"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_join_to_the_whole() {
        let content = Content::Text("çà et là, voilà".into());
        for most in [1, 2, 7, 15, 50] {
            let pieces = content.split(most);
            assert!(pieces.len() <= most.max(1));
            let joined: String = pieces
                .iter()
                .map(|piece| match piece {
                    Content::Text(text) => text.as_str(),
                    _ => "",
                })
                .collect();
            assert_eq!(Content::Text(joined), content);
        }
    }

    #[test]
    fn a_small_budget_cuts_the_text() {
        let request = json!({ "generationConfig": { "maxOutputTokens": 2 } });
        let (content, cut) = Content::of(&request, &AnswerText::Words(24), None);
        assert_eq!(content.tokens(), 2);
        assert!(cut);
    }

    #[test]
    fn a_small_budget_cuts_json_as_well() {
        let config = json!({ "responseMimeType": "application/json", "maxOutputTokens": "3" });
        let (content, cut) = Content::of(&json!({ "generationConfig": config }), &AnswerText::Words(24), None);
        let Content::Text(text) = &content else { panic!("{content:?}") };
        assert!(cut && serde_json::from_str::<Value>(text).is_err(), "{text}");
        assert_eq!(content.tokens(), 3);
    }

    #[test]
    fn a_word_of_a_list_comes_without_quotes() {
        let choice = json!({ "type": "STRING", "enum": ["red", "blue"] });
        let config = json!({ "responseMimeType": "text/x.enum", "responseSchema": choice });
        let content = Content::of(&json!({ "generationConfig": config }), &AnswerText::Words(24), None).0;
        assert_eq!(content, Content::Text("red".into()));
    }

    #[test]
    fn a_text_ends_at_the_first_stop_sequence() {
        let request = json!({ "generationConfig": { "stopSequences": ["words", "are", ""] } });
        let (content, cut) = Content::of(&request, &AnswerText::Words(24), None);
        assert_eq!((content, cut), (Content::Text("simulated answers ".into()), false));
    }

    #[test]
    fn any_mode_calls_the_allowed_function() {
        let mut request = json!({
            "tools": [{ "functionDeclarations": [{ "name": "first" }, { "name": "second" }] }],
            "toolConfig": { "functionCallingConfig": { "mode": "ANY" } },
        });
        assert_eq!(called(&request, None).0, ["first"]);
        request["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] = json!(["second"]);
        assert_eq!(called(&request, None).0, ["second"]);
    }

    /// The names that are called, and which of them are signed.
    fn called(request: &Value, signer: Option<&str>) -> (Vec<String>, Vec<bool>) {
        match Content::of(request, &AnswerText::Words(3), signer).0 {
            Content::Calls(calls) => calls.into_iter().map(|call| (call.name, call.signature.is_some())).unzip(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_the_text_asks_for_is_called_at_once_and_the_first_call_is_signed() {
        let asks = |text: &str, mode: &str| {
            json!({
                "contents": [{ "role": "user", "parts": [{ "text": text }] }],
                "tools": [{ "functionDeclarations": [{ "name": "time" }, { "name": "weather" }] }],
                "toolConfig": { "functionCallingConfig": { "mode": mode } },
            })
        };
        let request = asks("weather() here, weather() there, and time()", "AUTO");
        let (names, signed) = called(&request, Some("gemini-3-pro"));
        assert_eq!(names, ["weather", "weather", "time"]);
        assert_eq!(signed, [true, false, false]);
        let content = Content::of(&request, &AnswerText::Words(3), None).0;
        assert_eq!(content.split(5).len(), 3, "each in a piece of its own, where there may be as many");
        assert_eq!(content.split(2).len(), 1);
        for (text, mode) in [("the weather, my overtime()", "AUTO"), ("weather()", "NONE")] {
            assert!(
                matches!(Content::of(&asks(text, mode), &AnswerText::Words(3), None).0, Content::Text(_)),
                "{text}"
            );
        }
    }
}
