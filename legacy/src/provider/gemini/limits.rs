//! What Gemini allows a project, where nobody configured or learned it.
//!
//! From ai.google.dev/gemini-api/docs/rate-limits as last published per model (2025-09), with what 429s named since
//! (2026-09: 250,000 tokens a minute free, 1,000,000 in tier 1). The provider no longer publishes such a table and
//! lowers figures without notice; a figure that is too high costs one 429 and is learned from it.
//!
//! Minutes only. A day's figure that is too low would cost the rest of a day, and no 429 would ever correct it; one
//! that is too high is learned just the same. So none is shipped.

use crate::{key::Tier, limit::Limits};

/// (model or its beginning, tier, requests a minute, input tokens a minute). The longest beginning wins.
const TABLE: &[(&str, Plan, u64, u64)] = &[
    ("gemini-2.0-flash", Plan::Free, 15, 1_000_000),
    ("gemini-2.0-flash", Plan::One, 2_000, 4_000_000),
    ("gemini-2.0-flash-lite", Plan::Free, 30, 1_000_000),
    ("gemini-2.0-flash-lite", Plan::One, 4_000, 4_000_000),
    ("gemini-2.5-flash", Plan::Free, 10, 250_000),
    ("gemini-2.5-flash", Plan::One, 1_000, 1_000_000),
    ("gemini-2.5-flash", Plan::Two, 2_000, 3_000_000),
    ("gemini-2.5-flash-lite", Plan::Free, 15, 250_000),
    ("gemini-2.5-flash-lite", Plan::One, 4_000, 4_000_000),
    ("gemini-2.5-pro", Plan::Free, 5, 250_000),
    ("gemini-2.5-pro", Plan::One, 150, 2_000_000),
    ("gemini-2.5-pro", Plan::Two, 1_000, 5_000_000),
    ("gemini-embedding", Plan::Free, 100, 30_000),
    ("gemini-embedding", Plan::One, 3_000, 1_000_000),
    ("gemma-3", Plan::Free, 30, 15_000),
];

/// When the table was last looked at, year and month.
pub(super) const AS_OF: &str = "2026-09";

/// The whole table.
pub(super) fn table() -> impl Iterator<Item = (&'static str, Tier, Limits)> {
    TABLE.iter().map(|(model, plan, requests, tokens)| {
        let tier = match plan {
            Plan::Free => Tier::Free,
            Plan::One => Tier::Paid,
            Plan::Two => Tier::Named("tier-2".to_owned()),
        };
        (*model, tier, Limits::new().per_minute(*requests).tokens_per_minute(*tokens))
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Plan {
    Free,
    One,
    Two,
}

/// Requests and tokens a minute of a model in a tier.
pub(super) fn known(model: &str, tier: &Tier) -> Option<Limits> {
    let plan = plan(tier)?;
    let fits = |name: &str| model.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    let rows = TABLE.iter().filter(|(name, of, ..)| *of == plan && fits(name));
    let (_, _, requests, tokens) = rows.max_by_key(|(name, ..)| name.len())?;
    // Variants for pictures, sound and speech have limits of their own.
    let other = ["image", "tts", "audio", "live"].iter().any(|kind| model.contains(kind));
    (!other).then(|| Limits::new().per_minute(*requests).tokens_per_minute(*tokens))
}

fn plan(tier: &Tier) -> Option<Plan> {
    match tier.level() {
        "free" => Some(Plan::Free),
        "1" => Some(Plan::One),
        "2" => Some(Plan::Two),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Span;

    fn per_minute(model: &str, tier: &Tier) -> Option<u64> {
        known(model, tier).map(|limits| limits.iter().map(|limit| limit.amount).min().unwrap())
    }

    #[test]
    fn the_longest_name_wins_and_variants_stay_out() {
        assert_eq!(per_minute("gemini-2.5-flash", &Tier::Free), Some(10));
        assert_eq!(per_minute("gemini-2.5-flash-lite", &Tier::Free), Some(15));
        assert_eq!(per_minute("gemini-2.5-flash-lite-preview-09-2025", &Tier::Free), Some(15));
        assert_eq!(per_minute("gemini-2.5-flash-preview-tts", &Tier::Free), None);
        assert_eq!(per_minute("gemini-2.5-flashy", &Tier::Free), None);
        assert_eq!(per_minute("gemini-2.5-pro", &Tier::Named("tier-2".into())), Some(1_000));
        assert_eq!(per_minute("gemini-2.5-pro", &Tier::Paid), Some(150));
        for name in ["tier-1", "1", "paid"] {
            assert_eq!(per_minute("gemini-2.5-pro", &Tier::Named(name.into())), Some(150), "{name}");
        }
        assert_eq!(per_minute("gemini-2.5-pro", &Tier::Named("gold".into())), None);
        assert_eq!(per_minute("gpt-x", &Tier::Paid), None);
    }

    #[test]
    fn no_day_is_ever_assumed() {
        for (model, ..) in TABLE {
            for tier in [Tier::Free, Tier::Paid, Tier::Named("2".into())] {
                let limits = known(model, &tier).unwrap_or_default();
                assert!(limits.iter().all(|limit| limit.span == Span::MINUTE));
            }
        }
    }
}
