//! Limits as a file gives them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Interval, plain_values::Amount};
use crate::limit::{Limit, Limits, Span, Unit};

/// Limits of an owner for a model. Each is optional; all hold together. `{}`: none at all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Amounts {
    /// Requests in any minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpm: Option<Amount>,
    /// Requests a day of the owner's zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpd: Option<Amount>,
    /// Tokens of prompts in any minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm: Option<Amount>,
    /// Tokens of prompts a day of the owner's zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpd: Option<Amount>,
    /// Tokens of answers in any minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_tpm: Option<Amount>,
    /// Tokens of prompts and answers together in any minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_tpm: Option<Amount>,
    /// Images in any minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipm: Option<Amount>,
    /// Images a day of the owner's zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipd: Option<Amount>,
    /// Limits over other spans of time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<WindowEntry>,
}

/// A limit over a span of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowEntry {
    /// What is counted.
    #[schemars(schema_with = "unit_schema")]
    pub unit: Unit,
    /// In any span of this length, from a second to a day.
    pub span: Interval<1_000, 86_400>,
    /// How many at most.
    pub amount: Amount,
}

fn unit_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "enum": ["requests", "input_tokens", "output_tokens", "tokens", "images"] })
}

impl Amounts {
    /// The setting that limits the same in a minute, where it is set.
    pub(super) fn minute_of(&self, window: &WindowEntry) -> Option<&'static str> {
        let (amount, name) = match window.unit {
            Unit::Requests => (&self.rpm, "rpm"),
            Unit::InputTokens => (&self.tpm, "tpm"),
            Unit::OutputTokens => (&self.output_tpm, "output_tpm"),
            Unit::Tokens => (&self.total_tpm, "total_tpm"),
            Unit::Images => (&self.ipm, "ipm"),
        };
        (Span::Sliding(window.span.0) == Span::MINUTE && amount.is_some()).then_some(name)
    }

    /// As the pool takes them.
    pub fn limits(&self) -> Limits {
        let minute = Span::MINUTE;
        let named = [
            (&self.rpm, Unit::Requests, minute),
            (&self.rpd, Unit::Requests, Span::Day),
            (&self.tpm, Unit::InputTokens, minute),
            (&self.tpd, Unit::InputTokens, Span::Day),
            (&self.output_tpm, Unit::OutputTokens, minute),
            (&self.total_tpm, Unit::Tokens, minute),
            (&self.ipm, Unit::Images, minute),
            (&self.ipd, Unit::Images, Span::Day),
        ];
        let mut limits = Limits::new();
        for (amount, unit, span) in named {
            if let Some(Amount(amount)) = *amount {
                limits = limits.with(Limit { unit, span, amount });
            }
        }
        for window in &self.windows {
            let limit = Limit { unit: window.unit, span: Span::Sliding(window.span.0), amount: window.amount.0 };
            limits = limits.with(limit);
        }
        limits
    }
}
