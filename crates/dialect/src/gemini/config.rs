//! How words are drawn, and what form they have: `generationConfig`.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{medium, names::Names, schema, thinking};
use crate::{Conversation, Fault, Format, Text, ToolChoice};

#[derive(Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "as they stand on the wire")]
pub(super) struct Config<'r> {
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'r [Text<'r>],
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate_count: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    presence_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frequency_penalty: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_logprobs: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    logprobs: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_mime_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_json_schema: Option<Schema<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking_config: Option<thinking::Config>,
    #[serde(flatten)]
    medium: medium::Config<'r>,
}

#[derive(Serialize)]
#[serde(transparent)]
struct Schema<'r>(Cow<'r, RawValue>);

impl PartialEq for Schema<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

/// What a conversation wishes; `None` where it is what happens anyway.
///
/// # Errors
/// When the model cannot do what is asked.
pub(super) fn config<'r>(conversation: &'r Conversation<'_>, names: &Names) -> Result<Option<Config<'r>>, Fault> {
    let Conversation { model, sampling, format, medium, thinking, tools, tool_choice, .. } = conversation;
    let must_call = matches!(tool_choice, ToolChoice::Must(_)) && !tools.is_empty();
    let no_form = must_call || names.answer.is_some();
    let (response_mime_type, response_json_schema) = match format {
        Format::Text => (None, None),
        // A call has no form, and some models refuse both at once.
        _ if no_form => (None, None),
        Format::Json => (Some("application/json"), None),
        Format::Schema(schema) => (Some("application/json"), Some(Schema(schema::taken(schema)))),
    };
    let config = Config {
        temperature: sampling.temperature,
        top_p: sampling.top_p,
        top_k: sampling.top_k,
        // It has 32 bits there; the same seed is still the same seed.
        seed: sampling.seed.map(|seed| seed as i32),
        max_output_tokens: sampling.most,
        stop_sequences: &sampling.stop,
        candidate_count: sampling.answers.filter(|answers| *answers != 1),
        presence_penalty: sampling.presence_penalty,
        frequency_penalty: sampling.frequency_penalty,
        response_logprobs: sampling.logprobs.map(|_| true),
        logprobs: sampling.logprobs.filter(|top| *top > 0),
        response_mime_type,
        response_json_schema,
        thinking_config: thinking::config(model, *thinking)?,
        medium: medium::config(medium),
    };
    Ok((config != Config::default()).then_some(config))
}
