//! What a session costs: the provider tells it with its answers, of each by itself.

use std::sync::{Mutex, PoisonError};

use memchr::memmem;
use serde::Deserialize;
use tower_keypool::{Lease, Usage};

/// What a session cost so far, in tokens: those it was asked with, and those of its answers.
#[derive(Debug, Default)]
pub(super) struct Spent(Mutex<(u64, u64)>);

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "usageMetadata")]
    cost: Option<Cost>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
#[expect(clippy::struct_field_names, reason = "as they stand on the wire")]
struct Cost {
    #[serde(alias = "total_input_tokens")]
    prompt_token_count: u64,
    #[serde(alias = "total_tool_use_tokens")]
    tool_use_prompt_token_count: u64,
    #[serde(alias = "candidatesTokenCount", alias = "total_output_tokens")]
    response_token_count: u64,
    #[serde(alias = "total_thought_tokens")]
    thoughts_token_count: u64,
    #[serde(alias = "total_tokens")]
    total_token_count: u64,
}

impl Cost {
    /// What is not told apart is the answer's.
    fn parts(&self) -> (u64, u64) {
        let input = self.prompt_token_count.saturating_add(self.tool_use_prompt_token_count);
        let output = self.response_token_count.saturating_add(self.thoughts_token_count);
        (input, output.max(self.total_token_count.saturating_sub(input)))
    }
}

const COMPLETED: &str = "interaction.completed";

/// An event, or several.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "event_type", default)]
    kind: String,
    usage: Option<Cost>,
    #[serde(default)]
    events: Vec<Self>,
}

impl Event {
    /// What an interaction cost, at its end.
    fn cost(&self) -> Option<&Cost> {
        let own = self.usage.as_ref().filter(|_| self.kind == COMPLETED);
        own.or_else(|| self.events.iter().find_map(Self::cost))
    }
}

/// What a message of the provider's says that an answer cost.
fn cost_in(message: &[u8]) -> Option<(u64, u64)> {
    if memmem::find(message, COMPLETED.as_bytes()).is_some() {
        let event: Event = serde_json::from_slice(message).ok()?;
        return event.cost().map(Cost::parts);
    }
    memmem::find(message, b"\"usageMetadata\"")?;
    let message: Message = serde_json::from_slice(message).ok()?;
    message.cost.map(|cost| cost.parts())
}

impl Spent {
    /// What a message tells of its cost counts, and in the pool all that the session cost by then.
    pub(super) fn told(&self, message: &[u8], lease: &Lease) -> Option<(u64, u64)> {
        let (input, output) = cost_in(message)?;
        let mut usage = Usage::default();
        {
            let mut spent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *spent = (spent.0.saturating_add(input), spent.1.saturating_add(output));
            (usage.input_tokens, usage.output_tokens) = (Some(spent.0), Some(spent.1));
        }
        lease.usage(usage);
        Some((input, output))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_told_in_several_ways() {
        for (message, parts) in [
            (r#"{"usageMetadata":{"promptTokenCount":7,"responseTokenCount":5,"totalTokenCount":12}}"#, Some((7, 5))),
            (
                r#"{"serverContent":{"turnComplete":true},"usageMetadata":{"promptTokenCount":7,"toolUsePromptTokenCount":1,
                   "responseTokenCount":5,"thoughtsTokenCount":3,"totalTokenCount":16,"promptTokensDetails":[{"x":1}]}}"#,
                Some((8, 8)),
            ),
            (r#"{"usageMetadata":{"totalTokenCount":2}}"#, Some((0, 2))),
            (r#"{"usageMetadata":null}"#, None),
            (r#"{"usageMetadata":{"totalTokenCount":-1}}"#, None),
            (r#"{"serverContent":{"modelTurn":{"parts":[{"text":"\"usageMetadata\""}]}}}"#, None),
            (r#"{"serverContent":{}}"#, None),
            (r#""usageMetadata""#, None),
            (
                r#"{"event_type":"interaction.completed","usage":{"total_input_tokens":9,"total_tokens":12}}"#,
                Some((9, 3)),
            ),
            (
                r#"{"events":[{"event_type":"step.stop","usage":{"total_tokens":1}},
                   {"event_type":"interaction.completed","usage":{"total_output_tokens":3}}]}"#,
                Some((0, 3)),
            ),
            (r#"{"event_type":"step.stop","usage":{"total_tokens":1}}"#, None),
        ] {
            assert_eq!(cost_in(message.as_bytes()), parts, "{message}");
        }
    }
}
