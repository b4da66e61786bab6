//! What an account pays: as an answer says, else as somebody said, else as what it allows lets one guess.

use http::HeaderMap;
use tower_keypool::{Base, Limits, Provider, Span, Tier, Unit, Verdict, Violation};

/// What `OpenAI` and Anthropic allow, as their pages said in 2025-07.
const OPENAI: &str = "api.openai.com";
const OPENAI_FREE: [u64; 2] = [3, 200];
const OPENAI_PAID: u64 = 500;
const ANTHROPIC_FREE: u64 = 5;
const ANTHROPIC_PAID: u64 = 50;

const OF_OPENAI: &str = "x-ratelimit-limit-requests";
const OF_ANTHROPIC: &str = "anthropic-ratelimit-requests-limit";

/// What an account pays, and how that is known.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pays {
    pub(super) tier: String,
    pub(super) by: String,
}

/// What is known of a key beside its answers.
pub(super) struct Asked<'a> {
    pub(super) provider: &'a dyn Provider,
    pub(super) configured: Option<&'a Tier>,
    /// The model that was asked for last.
    pub(super) model: Option<&'a str>,
}

impl Pays {
    /// Of the answers' heads, and what the last of them says.
    pub(super) fn of(asked: &Asked<'_>, heads: &[&HeaderMap], last: &Verdict) -> Self {
        if let Some(tier) = last.news_of().and_then(|news| news.tier.as_ref()) {
            return Self::new(tier.name(), "the quota that its answer names");
        }
        if let Some(tier) = asked.configured {
            return Self::new(tier.name(), "as it is configured");
        }
        match asked.provider.name() {
            "gemini" => by_quota(asked, last),
            "openai" => by_header(heads, OF_OPENAI, |most| of_openai(asked.provider.base(), most)),
            "anthropic" => by_header(heads, OF_ANTHROPIC, of_anthropic),
            _ => Self::unknown("no answer of this provider's is known to tell it"),
        }
    }

    fn new(tier: &str, by: impl Into<String>) -> Self {
        Self { tier: tier.to_owned(), by: by.into() }
    }

    fn unknown(why: &str) -> Self {
        Self::new("unknown", format!("{why}; say it with tier=, or `keypool keys set ID --tier free`"))
    }
}

/// A 429 without a tier's name, by how much its limit is.
fn by_quota(asked: &Asked<'_>, last: &Verdict) -> Pays {
    let hits = last.news_of().map(|news| &*news.violations).unwrap_or_default();
    let of = |tier: &Tier| asked.provider.known_limits(asked.model.unwrap_or_default(), tier);
    for tier in [Tier::Free, Tier::Paid] {
        let known = of(&tier);
        if let Some(hit) = hits.iter().find(|hit| known.as_ref().is_some_and(|known| has(known, hit))) {
            let what = if hit.unit == Unit::Requests { "requests" } else { "tokens" };
            let most = hit.amount.unwrap_or_default();
            return Pays::new(
                tier.name(),
                format!("guessed: its limit of {most} {what} a minute is that of this tier"),
            );
        }
    }
    Pays::unknown("a 429 would tell, whose quota has FreeTier or PaidTier in its name: its list of models does not")
}

fn has(known: &Limits, hit: &Violation) -> bool {
    let is_same = |unit: Unit| unit == hit.unit || (unit == Unit::Tokens && hit.unit == Unit::InputTokens);
    hit.span == Span::MINUTE
        && known.iter().any(|limit| is_same(limit.unit) && limit.span == hit.span && Some(limit.amount) == hit.amount)
}

/// How many requests a head allows.
fn by_header(heads: &[&HeaderMap], name: &'static str, tier: impl Fn(u64) -> Option<&'static str>) -> Pays {
    let most = heads.iter().rev().find_map(|head| head.get(name)?.to_str().ok()?.trim().parse::<u64>().ok());
    let Some(most) = most else {
        return Pays::unknown(&format!("an answer with {name} would tell, and these had none"));
    };
    match tier(most) {
        Some(tier) => Pays::new(tier, format!("guessed: {name} is {most}")),
        None => Pays::unknown(&format!("{name} is {most}, which tells no tier here")),
    }
}

/// Others with the same API have figures of their own.
fn of_openai(base: &Base, most: u64) -> Option<&'static str> {
    match most {
        _ if base.authority().host() != OPENAI => None,
        most if OPENAI_FREE.contains(&most) => Some("free"),
        OPENAI_PAID.. => Some("paid"),
        _ => None,
    }
}

fn of_anthropic(most: u64) -> Option<&'static str> {
    match most {
        1..=ANTHROPIC_FREE => Some("free"),
        ANTHROPIC_PAID.. => Some("paid"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use tower_keypool::{OpenAi, VerdictKind};

    use super::*;

    #[test]
    fn only_openais_own_figures_tell_its_tiers() {
        let pays = |base: &str, most: &str| {
            let (provider, mut head) = (OpenAi::at(base).unwrap(), HeaderMap::new());
            head.insert(OF_OPENAI, most.parse().unwrap());
            let asked = Asked { provider: &provider, configured: None, model: None };
            Pays::of(&asked, &[&head], &Verdict::new(VerdictKind::Success))
        };
        for (most, tier) in [("3", "free"), ("200", "free"), ("500", "paid"), ("10000", "paid"), ("77", "unknown")] {
            let pays = pays("https://api.openai.com/v1", most);
            assert_eq!(pays.tier, tier, "{pays:?}");
            assert!(pays.by.contains(&format!("{OF_OPENAI} is {most}")), "{pays:?}");
        }
        // Another's free tier.
        assert_eq!(pays("https://api.groq.example/openai/v1", "14400").tier, "unknown");
    }
}
