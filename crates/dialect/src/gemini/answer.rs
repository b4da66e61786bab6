//! What `generateContent` answers, and each event of its stream.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    args::{compact, no_args},
    by_call,
    cost::Metadata,
    count::{logprob, or_default, or_nothing},
    fault::fault_in,
    few,
    names::Names,
    nonsense,
    sources::{Grounding, Said},
    thinking, tools,
};
use crate::{Chosen, Conversation, Event, Fault, Finish, Kind, Likely, Signature, Text, exchange};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(borrow, default, deserialize_with = "few::candidates")]
    candidates: Vec<Candidate<'a>>,
    #[serde(borrow)]
    prompt_feedback: Option<Feedback<'a>>,
    #[serde(default, deserialize_with = "or_nothing")]
    usage_metadata: Option<Metadata>,
    #[serde(borrow)]
    response_id: Option<Text<'a>>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(borrow)]
    content: Option<Content<'a>>,
    #[serde(borrow)]
    finish_reason: Option<Text<'a>>,
    #[serde(default, deserialize_with = "or_default")]
    index: u32,
    #[serde(borrow)]
    logprobs_result: Option<Logprobs<'a>>,
    #[serde(default, deserialize_with = "or_nothing")]
    grounding_metadata: Option<Grounding>,
}

#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow, default, deserialize_with = "few::parts")]
    parts: Vec<Part<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(borrow)]
    text: Option<Text<'a>>,
    #[serde(default, deserialize_with = "or_default")]
    thought: bool,
    #[serde(borrow)]
    thought_signature: Option<Text<'a>>,
    #[serde(borrow)]
    function_call: Option<FunctionCall<'a>>,
    #[serde(borrow)]
    inline_data: Option<Blob<'a>>,
}

#[derive(Deserialize)]
struct FunctionCall<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Blob<'a> {
    #[serde(borrow)]
    mime_type: Text<'a>,
    #[serde(borrow)]
    data: Text<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback<'a> {
    #[serde(borrow)]
    block_reason: Option<Text<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Logprobs<'a> {
    #[serde(borrow, default, deserialize_with = "or_default")]
    top_candidates: Vec<Top<'a>>,
    #[serde(borrow, default, deserialize_with = "or_default")]
    chosen_candidates: Vec<Token<'a>>,
}

#[derive(Deserialize)]
struct Top<'a> {
    #[serde(borrow, default)]
    candidates: Vec<Token<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token<'a> {
    #[serde(borrow, default)]
    token: Text<'a>,
    #[serde(default, deserialize_with = "logprob")]
    log_probability: f64,
}

/// Of whoever asks, not of what was asked: the account may not use the API any more (PROVIDERS.md, section 2).
const SWITCHED_OFF: &str = "PUP_LIMITED_DISABLED";

/// Who is switched off answers nothing: a longer answer is not searched.
const LONGEST_WITHOUT_TEXT: usize = 64 << 10;

/// Whether a whole answer says that the key may not be used any more: another one's may.
pub fn is_switched_off(body: &[u8]) -> bool {
    // Most answers are done here.
    let is_named = || body.windows(SWITCHED_OFF.len()).any(|word| word == SWITCHED_OFF.as_bytes());
    body.len() <= LONGEST_WITHOUT_TEXT
        && is_named()
        && serde_json::from_slice::<Answer<'_>>(body).is_ok_and(|answer| {
            answer.candidates.iter().any(|candidate| candidate.finish_reason.as_deref() == Some(SWITCHED_OFF))
        })
}

/// As much is kept of what is said where the answer is a call; no model's answer is longer.
const MOST_HELD: usize = 8 << 20;

/// Understands the answers.
#[derive(Debug, Default)]
pub struct Listener {
    one_call: bool,
    /// Whoever answers.
    model: String,
    /// Those of any model.
    names: Names,
    /// The model that answers refuses tools beside a form: its answer is a call where both are asked for.
    by_call: bool,
    beside_calls: bool,
    /// It is told where what is said was found.
    searches: bool,
    begun: bool,
    /// Each answer, and how it stands.
    choices: BTreeMap<u32, Choice>,
    blocked: bool,
    /// The key may not be used any more.
    key_is_off: bool,
}

#[derive(Debug, Default)]
struct Choice {
    calls: u32,
    has_parts: bool,
    finish: Option<Finish>,
    /// Words that are the answer only where no call is.
    held: String,
    /// What is said, where it is told where it was found.
    said: Said,
    /// What is said has the form that was asked for, as far as one sees.
    formed: bool,
    /// The call came that is the answer.
    answered: bool,
}

impl Listener {
    /// Of a request that names nothing. `one_call`: of calls at once only the first is heard.
    pub fn new(one_call: bool) -> Self {
        Self { one_call, ..Self::default() }
    }

    /// Of this conversation.
    pub fn of(conversation: &Conversation<'_>) -> Self {
        let beside_calls = tools::answers_beside_calls(conversation);
        let searches = tools::may_search(conversation);
        let (model, names) = (conversation.model.to_string(), Names::of_any(conversation));
        let by_call = thinking::has_tools_or_form(&model);
        Self { model, names, by_call, beside_calls, searches, ..Self::new(conversation.one_call) }
    }

    fn candidate(&mut self, candidate: Candidate<'_>, say: &mut dyn FnMut(Event<'_>)) {
        let choice = candidate.index;
        let state = self.choices.entry(choice).or_default();
        state.said.goes_on();
        for part in candidate.content.map(|content| content.parts).unwrap_or_default() {
            state.has_parts = true;
            state.said.part();
            let Part { text, thought, thought_signature: signature, function_call, inline_data } = part;
            if let Some(FunctionCall { id, name, args }) = function_call {
                let answer = self.names.answer.as_ref().filter(|_| self.by_call);
                if let Some((_, way)) = answer.filter(|(answer, _)| **answer == *name) {
                    if std::mem::replace(&mut state.answered, true) {
                        continue;
                    }
                    let text = args.map_or_else(|| "{}".into(), |args| by_call::said(&compact(args), *way));
                    say(Event::Text { choice, text: text.into() });
                    continue;
                }
                let name = self.names.here(&name).map_or(name, |here| here.to_owned().into());
                state.calls += 1;
                if state.calls == 1 || !self.one_call {
                    let args = match args {
                        Some(args) => compact(args),
                        None => no_args(),
                    };
                    let signature = signature.map(|signature| Signature::of(&self.model, signature));
                    say(Event::Call { choice, id, name, args, signature });
                }
            } else if let Some(Blob { mime_type: mime, data }) = inline_data {
                // What was drawn while thinking is no answer.
                if !thought {
                    say(Event::Blob { choice, mime, data });
                }
            } else if let Some(text) = text.filter(|text| !text.is_empty()) {
                if !thought && state.held.trim_start().is_empty() && begins_as_json(&text) {
                    state.formed = true;
                    state.held.clear();
                }
                let by_call = self.by_call && self.names.answer.is_some();
                if !thought && (by_call || self.beside_calls && !state.formed) {
                    if state.held.len() < MOST_HELD {
                        state.held.push_str(&text);
                    }
                    continue;
                }
                if self.searches && !thought {
                    state.said.say(&text);
                }
                say(if thought { Event::Thought { choice, text } } else { Event::Text { choice, text } });
            }
        }
        if let Some(Logprobs { top_candidates, chosen_candidates }) = candidate.logprobs_result {
            let mut tops = top_candidates.into_iter();
            let tokens = chosen_candidates
                .into_iter()
                .map(|token| Chosen {
                    token: token.into(),
                    top: tops
                        .next()
                        .map(|top| top.candidates)
                        .unwrap_or_default()
                        .into_iter()
                        .map(Into::into)
                        .collect(),
                })
                .collect();
            say(Event::Logprobs { choice, tokens });
        }
        if let Some(grounding) = candidate.grounding_metadata.filter(|_| self.searches) {
            state.said.was_found(grounding);
        }
        self.key_is_off |= candidate.finish_reason.as_deref() == Some(SWITCHED_OFF);
        if let Some(why) = candidate.finish_reason.as_deref().and_then(finish) {
            state.finish = Some(why);
        }
    }
}

impl exchange::Listener for Listener {
    fn answers(&mut self, model: &str) {
        self.by_call = thinking::has_tools_or_form(model);
        model.clone_into(&mut self.model);
    }

    fn hear(&mut self, json: &[u8], say: &mut dyn FnMut(Event<'_>)) -> Result<(), Fault> {
        // Not of Gemini's own; whether all came is asked at the end.
        if json.trim_ascii() == b"[DONE]" {
            return Ok(());
        }
        let answer: Answer<'_> = if json.trim_ascii_start().starts_with(b"[") {
            // Errors come inside of a list of one.
            let [answer]: [Answer<'_>; 1] = serde_json::from_slice(json).map_err(|_| nonsense())?;
            answer
        } else {
            serde_json::from_slice(json).map_err(|_| nonsense())?
        };
        if let Some(error) = answer.error {
            return Err(fault_in(error));
        }
        let parts = answer.candidates.iter().filter_map(|candidate| candidate.content.as_ref());
        if parts.map(|content| content.parts.len()).sum::<usize>() > few::MOST_PARTS {
            return Err(nonsense());
        }
        if !self.begun {
            self.begun = true;
            say(Event::Begin { id: answer.response_id.unwrap_or_default() });
        }
        if let Some(metadata) = answer.usage_metadata {
            say(Event::Usage(metadata.into()));
        }
        for candidate in answer.candidates {
            self.candidate(candidate, say);
        }
        if self.key_is_off {
            return Err(Fault::new(Kind::Overloaded, "the provider has switched the key off that was used: ask again"));
        }
        self.blocked |= answer.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some());
        Ok(())
    }

    fn end(&mut self, say: &mut dyn FnMut(Event<'_>)) -> Result<(), Fault> {
        if self.blocked && self.choices.is_empty() {
            say(Event::Finish { choice: 0, why: Finish::Filtered });
            return Ok(());
        }
        if self.choices.values().all(|choice| choice.finish.is_none()) {
            return Err(Fault::new(Kind::BadGateway, "the upstream's answer has no end"));
        }
        for (choice, state) in &mut self.choices {
            if state.calls == 0 && !state.answered && !state.held.is_empty() {
                say(Event::Text { choice: *choice, text: std::mem::take(&mut state.held).into() });
            }
            let sources = state.said.sources();
            if !sources.is_empty() {
                say(Event::Sources { choice: *choice, queries: state.said.queries(), sources });
            }
            let why = match state.finish {
                None | Some(Finish::Stop) if state.calls > 0 => Finish::Calls,
                None => Finish::Stop,
                Some(why) => why,
            };
            say(Event::Finish { choice: *choice, why });
        }
        Ok(())
    }

    fn end_of_whole(&mut self, say: &mut dyn FnMut(Event<'_>)) -> Result<(), Fault> {
        for choice in self.choices.values_mut().filter(|choice| choice.has_parts) {
            choice.finish.get_or_insert(Finish::Stop);
        }
        self.end(say)
    }
}

/// Whether a text that begins so may be an object, a list or a string.
fn begins_as_json(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[', '"'])
}

/// What a reason means; `None`: it is not over.
fn finish(reason: &str) -> Option<Finish> {
    Some(match reason {
        "" | "FINISH_REASON_UNSPECIFIED" => return None,
        "MAX_TOKENS" | "CONTINUATION" => Finish::Length,
        "STOP"
        | "MALFORMED_FUNCTION_CALL"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MISSING_THOUGHT_SIGNATURE"
        | "MALFORMED_RESPONSE"
        | "NO_IMAGE" => Finish::Stop,
        // SAFETY, RECITATION, LANGUAGE, BLOCKLIST, PROHIBITED_CONTENT, SPII, IMAGE_…, OTHER, and what comes to be.
        _ => Finish::Filtered,
    })
}

impl<'a> From<Token<'a>> for Likely<'a> {
    fn from(token: Token<'a>) -> Self {
        Self { text: token.token, logprob: token.log_probability }
    }
}
