//! The provider's names for its quotas.

use crate::Tier;

/// What a limit limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Axis {
    RequestsPerMinute,
    TokensPerMinute,
    RequestsPerDay,
    TokensPerDay,
}

/// Which family of methods a quota belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Generate,
    Embed,
}

/// `quotaId` and metric (without the service's prefix). Those of free
/// projects and of paid `GenerateContent` are on record; the paid names of
/// embeddings and of tier 3 are built alike.
pub(crate) fn quota_name(axis: Axis, family: Family, tier: Tier) -> (String, &'static str) {
    let free = tier == Tier::Free;
    let suffix = match tier {
        Tier::Free => "-FreeTier",
        Tier::Tier1 => "",
        Tier::Tier2 => "-PaidTier2",
        Tier::Tier3 => "-PaidTier3",
    };
    let plain = if free { "-FreeTier" } else { "" };
    match (family, axis) {
        (Family::Generate, Axis::RequestsPerMinute) => (
            format!("GenerateRequestsPerMinutePerProjectPerModel{plain}"),
            if free { "generate_content_free_tier_requests" } else { "generate_requests_per_model" },
        ),
        (Family::Generate, Axis::RequestsPerDay) => (
            format!("GenerateRequestsPerDayPerProjectPerModel{plain}"),
            if free { "generate_content_free_tier_requests" } else { "generate_requests_per_model_per_day" },
        ),
        (Family::Generate, Axis::TokensPerMinute) => (
            if free {
                "GenerateContentInputTokensPerModelPerMinute-FreeTier".to_owned()
            } else {
                format!("GenerateContentPaidTierInputTokensPerModelPerMinute{suffix}")
            },
            token_metric(tier),
        ),
        (Family::Generate, Axis::TokensPerDay) => {
            (format!("GenerateContentInputTokensPerModelPerDay{plain}"), token_metric(tier))
        }
        (Family::Embed, axis) => (
            match axis {
                Axis::RequestsPerMinute => {
                    format!("EmbedContentRequestsPerMinutePerProjectPerModel{plain}")
                }
                Axis::RequestsPerDay => {
                    format!("EmbedContentRequestsPerDayPerProjectPerModel{plain}")
                }
                Axis::TokensPerMinute => {
                    format!("EmbedContentInputTokensPerMinutePerProjectPerModel{plain}")
                }
                Axis::TokensPerDay => {
                    format!("EmbedContentInputTokensPerDayPerProjectPerModel{plain}")
                }
            },
            match (axis, free) {
                (Axis::RequestsPerMinute | Axis::RequestsPerDay, true) => "embed_content_free_tier_requests",
                (Axis::RequestsPerMinute | Axis::RequestsPerDay, false) => "embed_content_paid_tier_requests",
                (_, true) => "embed_content_free_tier_input_token_count",
                (_, false) => "embed_content_paid_tier_input_token_count",
            },
        ),
    }
}

fn token_metric(tier: Tier) -> &'static str {
    match tier {
        Tier::Free => "generate_content_free_tier_input_token_count",
        Tier::Tier1 => "generate_content_paid_tier_input_token_count",
        Tier::Tier2 => "generate_content_paid_tier_2_input_token_count",
        Tier::Tier3 => "generate_content_paid_tier_3_input_token_count",
    }
}
