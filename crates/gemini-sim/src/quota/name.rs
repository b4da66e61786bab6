//! The provider's names for its quotas.

use crate::Tier;

/// What a limit counts, and over which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    RequestsPerMinute,
    TokensPerMinute,
    RequestsPerDay,
    TokensPerDay,
}

/// How an error names a quota.
pub(crate) struct QuotaName {
    pub(crate) id: String,
    /// Without the service before it.
    pub(crate) metric: String,
}

impl QuotaName {
    /// The names of free projects and of paid `GenerateContent` are on record; those of paid embeddings and of tier 3
    /// are built alike.
    pub(crate) fn of(unit: Unit, tier: Tier, embeds: bool) -> Self {
        let free = tier == Tier::Free;
        let suffix = if free { "-FreeTier" } else { "" };
        let is_requests = matches!(unit, Unit::RequestsPerMinute | Unit::RequestsPerDay);
        let is_minute = matches!(unit, Unit::RequestsPerMinute | Unit::TokensPerMinute);
        let period = if is_minute { "Minute" } else { "Day" };
        let (id, metric) = match (embeds, is_requests) {
            (true, _) => {
                let tier = if free { "free" } else { "paid" };
                let (counted, metric) =
                    if is_requests { ("Requests", "requests") } else { ("InputTokens", "input_token_count") };
                (
                    format!("EmbedContent{counted}Per{period}PerProjectPerModel{suffix}"),
                    format!("embed_content_{tier}_tier_{metric}"),
                )
            }
            (false, true) => (
                format!("GenerateRequestsPer{period}PerProjectPerModel{suffix}"),
                match (free, is_minute) {
                    (true, _) => "generate_content_free_tier_requests",
                    (false, true) => "generate_requests_per_model",
                    (false, false) => "generate_requests_per_model_per_day",
                }
                .to_owned(),
            ),
            (false, false) => {
                let (tier_metric, tier_suffix) = match tier {
                    Tier::Free => ("free_tier", ""),
                    Tier::Tier1 => ("paid_tier", ""),
                    Tier::Tier2 => ("paid_tier_2", "-PaidTier2"),
                    Tier::Tier3 => ("paid_tier_3", "-PaidTier3"),
                };
                let paid = if !free && is_minute { "PaidTier" } else { "" };
                let suffix = if !free && is_minute { tier_suffix } else { suffix };
                (
                    format!("GenerateContent{paid}InputTokensPerModelPer{period}{suffix}"),
                    format!("generate_content_{tier_metric}_input_token_count"),
                )
            }
        };
        Self { id, metric }
    }
}
