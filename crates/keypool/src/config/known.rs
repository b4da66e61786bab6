//! Limits that are known of models by tier: what the configuration says, over the table that ships with the provider.

use serde_json::{Value, json};
use tower_keypool::{Gemini, Limits, Tier, config::Document};

use super::{Config, ProviderName};

/// What is known of a model, and of those whose name begins with it, in a tier.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Known {
    model: String,
    tier: String,
    limits: Limits,
    /// Where it stands, or when the table was last looked at.
    origin: String,
}

/// All that holds. What the configuration says of a model wins over all that the table has of it.
pub(super) fn known(config: &Config, document: &Document<'_>) -> Vec<Known> {
    let mut rows = Vec::new();
    if config.limits.assume_known != Some(true) {
        return rows;
    }
    let own = &config.limits.known;
    let is_said = |model: &str, tier: &Tier| {
        let fits = |name: &str| model.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        own.iter().any(|(name, tiers)| fits(name) && tiers.keys().any(|held| Tier::of_name(held).is_same(tier)))
    };
    if config.gateway.provider == ProviderName::Gemini {
        let origin = format!("known in {}", Gemini::KNOWN_LIMITS_AS_OF);
        let shipped = Gemini::known_limits_table().filter(|(model, tier, _)| !is_said(model, tier));
        rows.extend(shipped.map(|(model, tier, limits)| Known {
            model: model.to_owned(),
            tier: tier.name().to_owned(),
            limits,
            origin: origin.clone(),
        }));
    }
    for (model, tiers) in own {
        rows.extend(tiers.iter().map(|(tier, amounts)| Known {
            model: model.clone(),
            tier: tier.clone(),
            limits: amounts.limits(),
            origin: document.origin(&format!("limits.known.\"{model}\".{tier}")).to_string(),
        }));
    }
    rows.sort_by(|a, b| (&a.model, &a.tier).cmp(&(&b.model, &b.tier)));
    rows
}

/// Limits, each as text.
pub(super) fn amounts(limits: &Limits) -> Vec<String> {
    limits.iter().map(|limit| format!("{} {limit}", limit.amount)).collect()
}

impl Known {
    pub(super) fn json(&self) -> Value {
        json!({ "model": self.model, "tier": self.tier, "limits": amounts(&self.limits), "origin": self.origin })
    }
}

impl std::fmt::Display for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let limits = if self.limits.is_empty() { "nothing".to_owned() } else { amounts(&self.limits).join(", ") };
        write!(f, "{:<70} # {}", format!("{}, {}: {limits}", self.model, self.tier), self.origin)
    }
}
