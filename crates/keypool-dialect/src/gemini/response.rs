//! The decoder of `generateContent` responses and of stream events.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{names::Names, request, sources::Grounded, thinking};
use crate::{
    Call, Conversation, Error, ErrorKind, Event, Finish, Outcome, Token, Usage, content,
    fields::{json_text, take, take_text},
    ids,
};

/// A decoder of the response to a conversation into [`Event`]s.
#[derive(Debug)]
pub struct Decoder {
    model: String,
    names: Names,
    prefix: &'static str,
    unique: String,
    single_call: bool,
    searches: bool,
    answer_by_call: bool,
    started: bool,
    choices: BTreeMap<u32, Choice>,
    /// Gemini's reason for blocking the request itself.
    block_reason: Option<String>,
    signatures: Vec<(String, String)>,
}

#[derive(Debug, Default)]
struct Choice {
    calls: usize,
    /// Whether it has text, media or a call.
    says: bool,
    has_parts: bool,
    /// Text that is dropped if the answer comes as a call.
    aside: String,
    has_answer: bool,
    finish: Option<String>,
    grounded: Grounded,
}

impl Choice {
    /// Reports whether its output is malformed and has no call that can be used.
    fn is_malformed(&self) -> bool {
        self.calls == 0 && self.finish.as_deref().is_some_and(is_malformed)
    }

    /// Adds the text beside calls, unless the answer came as a call.
    fn say_aside(&mut self, choice: u32, events: &mut Vec<Event>) {
        let text = std::mem::take(&mut self.aside);
        if !text.is_empty() && !self.has_answer {
            events.push(Event::Text { choice, text });
        }
    }
}

impl Decoder {
    /// Creates a decoder for the response to this conversation. Ids of calls start with `prefix` and `unique`. `unique`
    /// is a text of letters and digits that no other response has.
    pub fn new(conversation: &Conversation, prefix: &'static str, unique: &str) -> Self {
        Self {
            model: conversation.model.clone(),
            names: Names::new(conversation),
            prefix,
            unique: unique.chars().filter(char::is_ascii_alphanumeric).collect(),
            single_call: conversation.single_call,
            searches: conversation.searches(),
            answer_by_call: request::answer_by_call(conversation).is_some(),
            started: false,
            choices: BTreeMap::new(),
            block_reason: None,
            signatures: Vec::new(),
        }
    }

    /// Decodes a whole response, or the data of one stream event.
    ///
    /// # Errors
    /// Gemini's error in the JSON, or 502 if it cannot be parsed.
    pub fn decode(&mut self, json: &[u8], events: &mut Vec<Event>) -> Result<(), Error> {
        if json.trim_ascii() == b"[DONE]" {
            return Ok(());
        }
        match serde_json::from_str(&json_text(json)) {
            Ok(answer) => self.answer(answer, events),
            // Ignore invalid data after a complete response.
            Err(_) if self.outcome() == Outcome::Complete => Ok(()),
            Err(_) => Err(Error::bad_upstream()),
        }
    }

    /// Takes a response, or a list of them.
    pub(crate) fn answer(&mut self, mut answer: Value, events: &mut Vec<Event>) -> Result<(), Error> {
        if let Value::Array(answers) = answer {
            return answers.into_iter().try_for_each(|answer| self.answer(answer, events));
        }
        if let Some(error) = Error::in_gemini_answer(&answer) {
            return Err(error);
        }
        if answer.is_object() && !std::mem::replace(&mut self.started, true) {
            events.push(Event::Start { id: answer["responseId"].as_str().unwrap_or_default().to_owned() });
        }
        if answer["usageMetadata"].is_object() {
            events.push(Event::Usage(usage(&answer["usageMetadata"])));
        }
        if let Value::Array(candidates) = take(&mut answer, "candidates") {
            candidates.into_iter().try_for_each(|candidate| self.candidate(candidate, events))?;
        }
        if let Some(reason) = answer["promptFeedback"]["blockReason"].as_str() {
            self.block_reason = Some(reason.to_owned());
            for choice in self.choices.values_mut() {
                choice.finish.get_or_insert_with(|| reason.to_owned());
            }
        }
        Ok(())
    }

    /// Decodes a whole response. A missing `finishReason` counts as `STOP`, because some models omit it.
    ///
    /// # Errors
    /// The same as those of [`decode`](Self::decode).
    pub fn decode_whole(&mut self, json: &[u8], events: &mut Vec<Event>) -> Result<(), Error> {
        self.decode(json, events)?;
        for choice in self.choices.values_mut().filter(|choice| choice.has_parts) {
            choice.finish.get_or_insert_with(|| "STOP".to_owned());
        }
        Ok(())
    }

    fn candidate(&mut self, mut candidate: Value, events: &mut Vec<Event>) -> Result<(), Error> {
        let choice = candidate["index"].as_u64().unwrap_or_default() as u32;
        if let Value::Array(parts) = take(&mut take(&mut candidate, "content"), "parts") {
            for part in parts {
                self.part(choice, part, events);
            }
        }
        let state = self.choices.entry(choice).or_default();
        if candidate["logprobsResult"].is_object() {
            events.push(Event::Logprobs { choice, tokens: tokens(&candidate["logprobsResult"]) });
        }
        if self.searches && candidate["groundingMetadata"].is_object() {
            state.grounded.grounding = take(&mut candidate, "groundingMetadata");
        }
        match candidate["finishReason"].as_str() {
            None | Some("" | "FINISH_REASON_UNSPECIFIED") => {}
            // The account can no longer use the API, but another key may work.
            Some("PUP_LIMITED_DISABLED") => {
                return Err(Error::new(ErrorKind::Unavailable, "the provider has disabled the API key that was used"));
            }
            // Set by a call without a name: kept.
            Some(_) if state.is_malformed() => {}
            Some(reason) => state.finish = Some(reason.to_owned()),
        }
        Ok(())
    }

    fn part(&mut self, choice: u32, mut part: Value, events: &mut Vec<Event>) {
        // Read for each response: a fallback may have changed the model.
        let answers_by_call = self.answer_by_call && thinking::refuses_tools_beside_json(&self.model);
        let state = self.choices.entry(choice).or_default();
        state.has_parts = true;
        let thought = part["thought"] == true;
        if let Value::Object(mut function) = take(&mut part, "functionCall") {
            let name = function.get("name").and_then(Value::as_str).unwrap_or_default();
            if name.is_empty() {
                // Gemini would refuse the conversation with such a call in it.
                state.finish =
                    state.finish.take().or_else(|| (!state.says).then(|| "MALFORMED_FUNCTION_CALL".to_owned()));
                return;
            }
            let name = self.names.at_caller(name).to_owned();
            let args = content::arguments(function.get_mut("args").map(Value::take).unwrap_or_default());
            if answers_by_call && name == request::ANSWER {
                if !std::mem::replace(&mut state.has_answer, true) {
                    state.says = true;
                    events.push(Event::Text { choice, text: args.to_string() });
                }
                return;
            }
            state.say_aside(choice, events);
            if state.calls > 0 && self.single_call {
                return;
            }
            let number = (choice, state.calls);
            state.calls += 1;
            state.says = true;
            let own_id = function.get("id").and_then(Value::as_str);
            let id = ids::call_id(self.prefix, &self.unique, number, &self.model, own_id);
            let signature = part["thoughtSignature"].as_str().map(str::to_owned);
            self.signatures.extend(signature.clone().map(|signature| (id.clone(), signature)));
            events.push(Event::Call { choice, call: Call { id, name, args, signature } });
        } else if part["inlineData"].is_object() {
            // Images of thoughts are not part of the response.
            if !thought {
                state.says = true;
                let mut field = |name: &str| take_text(&mut part["inlineData"], name).unwrap_or_default();
                events.push(Event::Media { choice, mime: field("mimeType"), data: field("data") });
            }
        } else {
            let text = take_text(&mut part, "text").unwrap_or_default();
            state.says |= !thought && !text.trim().is_empty();
            match (text.is_empty(), thought) {
                (true, _) => {}
                (false, false) if answers_by_call => state.aside.push_str(&text),
                (false, true) => events.push(Event::Thought { choice, text }),
                (false, false) => {
                    if self.searches {
                        state.grounded.text.push_str(&text);
                    }
                    events.push(Event::Text { choice, text });
                }
            }
        }
    }

    /// Adds the last events at the end of the response.
    pub fn finish(&mut self, events: &mut Vec<Event>) {
        for (&choice, state) in &mut self.choices {
            state.say_aside(choice, events);
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

    /// Returns the result of the attempt. It is final after the whole response was decoded.
    pub fn outcome(&self) -> Outcome {
        if self.choices.is_empty() {
            return self.block_reason.clone().map_or(Outcome::Truncated, Outcome::Blocked);
        }
        if self.choices.values().any(|choice| choice.finish.is_none()) {
            return Outcome::Truncated;
        }
        if self.choices.values().any(|choice| choice.says && !choice.is_malformed()) {
            return Outcome::Complete;
        }
        let malformed = self.choices.values().find(|choice| choice.is_malformed());
        let finish = malformed.or_else(|| self.choices.values().next());
        match finish.and_then(|choice| choice.finish.as_deref()) {
            Some(reason) if malformed.is_some() => Outcome::Malformed(reason.to_owned()),
            Some("STOP" | "NO_IMAGE") => Outcome::Empty,
            Some("MAX_TOKENS" | "CONTINUATION") | None => Outcome::Complete,
            Some(reason) => Outcome::Blocked(reason.to_owned()),
        }
    }

    /// Prepares for another response to the same conversation, by `model`.
    pub(crate) fn restart(&mut self, model: &str) {
        model.clone_into(&mut self.model);
        self.choices.clear();
        self.signatures.clear();
        self.block_reason = None;
    }

    /// Takes the thought signatures of the calls so far, each with its call id.
    pub fn take_signatures(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.signatures)
    }
}

/// Reports whether a `finishReason` means that the model's output was malformed.
fn is_malformed(reason: &str) -> bool {
    reason.starts_with("MALFORMED_")
        || matches!(reason, "UNEXPECTED_TOOL_CALL" | "TOO_MANY_TOOL_CALLS" | "MISSING_THOUGHT_SIGNATURE")
}

/// Reads `usageMetadata`. Unexpected number formats of relays never cause an error.
fn usage(metadata: &Value) -> Usage {
    let number = |value: &Value| {
        let number = value.as_f64().or_else(|| value.as_str()?.parse().ok());
        number.unwrap_or_default() as u64
    };
    let count = |name: &str| number(&metadata[name]);
    let details = metadata["promptTokensDetails"].as_array().into_iter().flatten();
    let audio = details.filter(|details| details["modality"] == "AUDIO").map(|details| number(&details["tokenCount"]));
    Usage {
        input: count("promptTokenCount").saturating_add(count("toolUsePromptTokenCount")),
        cached: count("cachedContentTokenCount"),
        input_audio: audio.fold(0, u64::saturating_add),
        output: count("candidatesTokenCount").saturating_add(count("thoughtsTokenCount")),
        thoughts: count("thoughtsTokenCount"),
    }
}

/// Reads `logprobsResult`.
fn tokens(result: &Value) -> Vec<Token> {
    /// OpenAI's log probability of a practically impossible token.
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
