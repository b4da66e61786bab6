//! The decoder: what `generateContent` answers, and each event of its stream.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::{names::Names, request, sources::Grounded};
use crate::{Call, Conversation, Error, ErrorKind, Event, Finish, Outcome, Token, Usage, ids};

/// Decodes the answer to a conversation into [`Event`]s.
#[derive(Debug)]
pub struct Decoder {
    model: String,
    names: Names,
    prefix: &'static str,
    unique: String,
    single_call: bool,
    searches: bool,
    started: bool,
    choices: BTreeMap<u32, Choice>,
    /// Gemini's word for why the request itself was refused.
    block_reason: Option<String>,
    signatures: Vec<(String, String)>,
}

#[derive(Debug, Default)]
struct Choice {
    calls: usize,
    has_text: bool,
    has_media: bool,
    has_parts: bool,
    finish: Option<String>,
    grounded: Grounded,
}

impl Decoder {
    /// Of the answer to this conversation. Ids of calls begin with `prefix` and `unique`, letters and digits that no other
    /// answer has.
    pub fn new(conversation: &Conversation, prefix: &'static str, unique: &str) -> Self {
        Self {
            model: conversation.model.clone(),
            names: Names::new(conversation),
            prefix,
            unique: unique.chars().filter(char::is_ascii_alphanumeric).collect(),
            single_call: conversation.single_call,
            searches: request::may_search(conversation),
            started: false,
            choices: BTreeMap::new(),
            block_reason: None,
            signatures: Vec::new(),
        }
    }

    /// Decodes a whole answer, or the data of one event of a stream.
    ///
    /// # Errors
    /// An error that it holds, or 502 when it makes no sense.
    pub fn decode(&mut self, json: &[u8], events: &mut Vec<Event>) -> Result<(), Error> {
        let json = json.trim_ascii();
        if json == b"[DONE]" {
            return Ok(());
        }
        let answer: WireAnswer = match serde_json::from_slice(json) {
            Ok(answer) => answer,
            Err(_) => return Err(Error::in_gemini_answer(json).unwrap_or_else(Error::bad_upstream)),
        };
        if answer.error.is_some() {
            return Err(Error::in_gemini_answer(json).unwrap_or_else(Error::bad_upstream));
        }
        if !std::mem::replace(&mut self.started, true) {
            events.push(Event::Start { id: answer.response_id.unwrap_or_default() });
        }
        if let Some(metadata) = answer.usage_metadata {
            events.push(Event::Usage(usage(&metadata)));
        }
        for candidate in answer.candidates {
            self.candidate(candidate, events)?;
        }
        if let Some(reason) = answer.prompt_feedback.and_then(|feedback| feedback.block_reason) {
            self.block_reason = Some(reason);
        }
        Ok(())
    }

    /// Decodes a whole answer that comes at once. Some models leave the reason out why it is over.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_whole(&mut self, json: &[u8], events: &mut Vec<Event>) -> Result<(), Error> {
        self.decode(json, events)?;
        for choice in self.choices.values_mut().filter(|choice| choice.has_parts) {
            choice.finish.get_or_insert_with(|| "STOP".to_owned());
        }
        Ok(())
    }

    fn candidate(&mut self, candidate: Candidate, events: &mut Vec<Event>) -> Result<(), Error> {
        let choice = candidate.index;
        for part in candidate.content.map(|content| content.parts).unwrap_or_default() {
            self.part(choice, part, events);
        }
        let state = self.choices.entry(choice).or_default();
        if let Some(logprobs) = candidate.logprobs_result {
            events.push(Event::Logprobs { choice, tokens: tokens(&logprobs) });
        }
        if let Some(grounding) = candidate.grounding_metadata.filter(|_| self.searches) {
            state.grounded.grounding = grounding;
        }
        match candidate.finish_reason.as_deref() {
            None | Some("" | "FINISH_REASON_UNSPECIFIED") => Ok(()),
            // The account may not use the API any more: another key may.
            Some("PUP_LIMITED_DISABLED") => {
                Err(Error::new(ErrorKind::Unavailable, "the provider has disabled the API key that was used"))
            }
            Some(_) => {
                state.finish = candidate.finish_reason;
                Ok(())
            }
        }
    }

    fn part(&mut self, choice: u32, part: WirePart, events: &mut Vec<Event>) {
        let state = self.choices.entry(choice).or_default();
        state.has_parts = true;
        if let Some(FunctionCall { id, name, args }) = part.function_call {
            if state.calls > 0 && self.single_call {
                return;
            }
            let number = (choice, state.calls);
            state.calls += 1;
            let id = ids::call_id(self.prefix, &self.unique, number, &self.model, id.as_deref());
            let signature = part.thought_signature;
            if let Some(signature) = &signature {
                self.signatures.push((id.clone(), signature.clone()));
            }
            let call = Call {
                id,
                name: self.names.here(&name).to_owned(),
                args: args.filter(Value::is_object).unwrap_or_else(|| json!({})),
                signature,
            };
            events.push(Event::Call { choice, call });
        } else if let Some(Blob { mime_type: mime, data }) = part.inline_data {
            // What was drawn while thinking is no answer.
            if !part.thought {
                state.has_media = true;
                events.push(Event::Media { choice, mime, data });
            }
        } else if let Some(text) = part.text.filter(|text| !text.is_empty()) {
            if part.thought {
                events.push(Event::Thought { choice, text });
                return;
            }
            state.has_text |= !text.trim().is_empty();
            if self.searches {
                state.grounded.text.push_str(&text);
            }
            events.push(Event::Text { choice, text });
        }
    }

    /// No more comes.
    pub fn finish(&mut self, events: &mut Vec<Event>) {
        for (&choice, state) in &mut self.choices {
            let sources = state.grounded.sources();
            if !sources.is_empty() {
                events.push(Event::Sources { choice, queries: state.grounded.queries(), sources });
            }
            let reason = match state.finish.as_deref().unwrap_or("STOP") {
                "MAX_TOKENS" | "CONTINUATION" => Finish::Length,
                "STOP" | "NO_IMAGE" if state.calls > 0 => Finish::Calls,
                "STOP" | "NO_IMAGE" => Finish::Stop,
                reason if is_malformed(reason) && state.calls > 0 => Finish::Calls,
                _ => Finish::Filtered,
            };
            events.push(Event::Finish { choice, reason });
        }
        if self.choices.is_empty() {
            events.push(Event::Finish { choice: 0, reason: Finish::Filtered });
        }
    }

    /// What the answer turned out to be, once all of it was read.
    pub fn outcome(&self) -> Outcome {
        if self.choices.is_empty() {
            return self.block_reason.clone().map_or(Outcome::Truncated, Outcome::Blocked);
        }
        let finishes = || self.choices.values().filter_map(|choice| Some((choice, choice.finish.as_deref()?)));
        let malformed = |(choice, finish): &(&Choice, &str)| is_malformed(finish) && choice.calls == 0;
        if let Some((_, reason)) = finishes().find(malformed) {
            return Outcome::Malformed(reason.to_owned());
        }
        if self.choices.values().all(|choice| choice.finish.is_none()) {
            return Outcome::Truncated;
        }
        let says = |choice: &Choice| choice.has_text || choice.has_media || choice.calls > 0;
        if self.choices.values().any(says) {
            return Outcome::Complete;
        }
        match finishes().next() {
            Some((_, "STOP" | "NO_IMAGE")) => Outcome::Empty,
            Some((_, "MAX_TOKENS" | "CONTINUATION")) | None => Outcome::Complete,
            Some((_, reason)) => Outcome::Blocked(reason.to_owned()),
        }
    }

    /// Thought signatures of the calls so far, by the calls' ids.
    pub fn take_signatures(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.signatures)
    }
}

/// What a model does wrong, none of which is an end.
fn is_malformed(reason: &str) -> bool {
    reason.starts_with("MALFORMED_")
        || matches!(reason, "UNEXPECTED_TOOL_CALL" | "TOO_MANY_TOOL_CALLS" | "MISSING_THOUGHT_SIGNATURE")
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireAnswer {
    #[serde(default, deserialize_with = "or_default")]
    candidates: Vec<Candidate>,
    prompt_feedback: Option<Feedback>,
    usage_metadata: Option<Value>,
    response_id: Option<String>,
    error: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback {
    block_reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    content: Option<Content>,
    finish_reason: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    index: u32,
    logprobs_result: Option<Value>,
    grounding_metadata: Option<Value>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default, deserialize_with = "or_default")]
    parts: Vec<WirePart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WirePart {
    text: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    thought: bool,
    thought_signature: Option<String>,
    function_call: Option<FunctionCall>,
    inline_data: Option<Blob>,
}

#[derive(Deserialize)]
struct FunctionCall {
    id: Option<String>,
    #[serde(default)]
    name: String,
    args: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Blob {
    #[serde(default)]
    mime_type: String,
    #[serde(default)]
    data: String,
}

/// `usageMetadata`. No answer is lost over its numbers.
fn usage(metadata: &Value) -> Usage {
    let count = |value: &Value| value["tokenCount"].as_u64().unwrap_or_default();
    let number = |name: &str| metadata[name].as_u64().unwrap_or_default();
    let details = metadata["promptTokensDetails"].as_array().into_iter().flatten();
    Usage {
        input: number("promptTokenCount").saturating_add(number("toolUsePromptTokenCount")),
        cached: number("cachedContentTokenCount"),
        input_audio: details.filter(|details| details["modality"] == "AUDIO").map(count).sum(),
        output: number("candidatesTokenCount").saturating_add(number("thoughtsTokenCount")),
        thoughts: number("thoughtsTokenCount"),
    }
}

/// `logprobsResult`.
fn tokens(result: &Value) -> Vec<Token> {
    /// What OpenAI says of a token that is as good as impossible.
    const NEVER: f64 = -9_999.0;
    let likely = |value: &Value| {
        let text = value["token"].as_str().unwrap_or_default().to_owned();
        (text, value["logProbability"].as_f64().unwrap_or(NEVER))
    };
    let chosen = result["chosenCandidates"].as_array().into_iter().flatten().enumerate();
    let token = |(number, chosen): (usize, &Value)| {
        let (text, logprob) = likely(chosen);
        let top = result["topCandidates"][number]["candidates"].as_array().into_iter().flatten();
        Token { text, logprob, top: top.map(likely).collect() }
    };
    chosen.map(token).collect()
}

/// The default where it is `null`, as some relays write what is not there.
fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
