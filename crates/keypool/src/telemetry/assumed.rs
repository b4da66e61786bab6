//! Which limits are assumed at the start, and where they come from.

use std::{collections::BTreeMap, fmt};

use tower_keypool::{Limits, Tier, config::KeySpec};

use crate::config::{Loaded, count};

/// The models that people mostly ask for: a tier's limits are shown for these.
const SHOWN: [&str; 3] = ["gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite"];

/// What is assumed of the keys of a configuration.
pub(super) struct Assumed<'a>(pub(super) &'a Loaded);

/// Limits, one behind the other.
pub(super) struct Amounts<'a>(pub(super) &'a Limits);

impl fmt::Display for Amounts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, limit) in self.0.iter().enumerate() {
            write!(f, "{}{} {limit}", if n > 0 { ", " } else { "" }, limit.amount)?;
        }
        Ok(())
    }
}

impl fmt::Display for Assumed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (config, specs) = (&self.0.config, &self.0.keys.keys);
        writeln!(f, "limits:")?;
        let by_model = !config.limits.default.is_empty() || config.models.iter().any(|model| !model.limits.is_empty());
        if by_model {
            writeln!(f, "  all keys as the configuration gives them by model and tier")?;
        }
        let (given, others): (Vec<&KeySpec>, Vec<&KeySpec>) = specs.iter().partition(|key| !key.limits.is_empty());
        if !given.is_empty() {
            writeln!(f, "  {} as they are given for each", count(given.len(), "key"))?;
        }
        let (usual, others): (Vec<&KeySpec>, Vec<&KeySpec>) = others.iter().partition(|key| !key.assumed.is_empty());
        let mut amounts: BTreeMap<String, usize> = BTreeMap::new();
        for key in usual {
            *amounts.entry(Amounts(&key.assumed).to_string()).or_default() += 1;
        }
        for (amount, held) in amounts {
            writeln!(f, "  {}: {amount}; until an answer says otherwise", count(held, "key"))?;
        }
        let known = config.limits.assume_known == Some(true);
        let (tiered, unknown): (Vec<&KeySpec>, Vec<&KeySpec>) =
            others.iter().partition(|key| known && key.tier.is_some());
        for (tier, held) in by_tier(&tiered) {
            write!(f, "  {} {tier}:", count(held.len(), "key"))?;
            let mut comma = "";
            for (model, limits) in SHOWN.iter().filter_map(|model| Some((model, self.known(model, &held[0])?))) {
                write!(f, "{comma} {model} {}", Amounts(&limits))?;
                comma = ";";
            }
            let end = if comma.is_empty() { " not known, learned" } else { "; until an answer says otherwise" };
            writeln!(f, "{end}")?;
        }
        if !unknown.is_empty() && !by_model {
            writeln!(f, "  {} not known, learned from the first answer that names one", count(unknown.len(), "key"))?;
        }
        let mut paces: BTreeMap<String, usize> = BTreeMap::new();
        for pace in specs.iter().filter_map(pace) {
            *paces.entry(pace).or_default() += 1;
        }
        for (pace, held) in paces {
            writeln!(f, "  {}: {pace}", count(held, "key"))?;
        }
        Ok(())
    }
}

impl Assumed<'_> {
    /// What the configuration says is known of a model, else what the provider's table does.
    fn known(&self, model: &str, tier: &Tier) -> Option<Limits> {
        let fits = |name: &str| model.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        let rows = self.0.config.limits.known.iter().filter(|(name, _)| fits(name)).flat_map(|(name, tiers)| {
            let of_tier = tiers.iter().filter(move |(held, _)| Tier::of_name(held).is_same(tier));
            of_tier.map(move |(held, amounts)| ((name.len(), held == tier.name()), amounts))
        });
        let own = rows.max_by_key(|row| row.0).map(|(_, amounts)| amounts.limits());
        own.or_else(|| self.0.provider.known_limits(model, tier)).filter(|limits| !limits.is_empty())
    }
}

/// How many requests a key may have at a time, and how far apart they begin; `None` where nothing is set.
fn pace(key: &KeySpec) -> Option<String> {
    let most = key.max_concurrent.map(|most| format!("{} at a time", count(usize::from(most), "request")));
    let apart = key.min_interval.map(|apart| format!("{apart:?} between two starts"));
    let paces: Vec<String> = most.into_iter().chain(apart).collect();
    (!paces.is_empty()).then(|| paces.join(", "))
}

fn by_tier(specs: &[&KeySpec]) -> BTreeMap<String, Vec<Tier>> {
    let mut tiers: BTreeMap<String, Vec<Tier>> = BTreeMap::new();
    for tier in specs.iter().filter_map(|key| key.tier.clone()) {
        tiers.entry(tier.name().to_owned()).or_default().push(tier);
    }
    tiers
}

#[cfg(test)]
mod tests {
    use tower_keypool::config::Environment;

    use super::*;
    use crate::config::Inputs;

    #[test]
    fn what_is_given_stands_beside_what_is_usual_and_what_is_not_known() {
        let folder = tempfile::tempdir().unwrap();
        let text = "\
            AIza-test-key-000000000000001 rpm=3 rpd=7\n\
            AIza-test-key-000000000000002 tier=free\n\
            AIza-test-key-000000000000003 tier=free\n\
            AIza-test-key-000000000000004 tier=tier-9\n\
            AIza-test-key-000000000000005 concurrent=2 interval=1.5s\n\
            AIza-test-key-000000000000007 tier=tier-1\n";
        std::fs::write(folder.path().join("keys.txt"), text).unwrap();
        let config = "[pool]\nkey_files = [\"keys.txt\"]\n[limits.known.\"gemini-2.5-pro\"]\nfree = { rpm = 4 }\npaid = { rpm = 70 }\n";
        let file = folder.path().join("keypool.toml");
        std::fs::write(&file, config).unwrap();
        let environment = Environment::of([("GEMINI_FREE_KEYS", "AIza-test-key-000000000000006")]);
        let inputs = Inputs { environment, ..Inputs::new(Some(file), Vec::new()) };
        let loaded = inputs.load().unwrap();
        let told = Assumed(&loaded).to_string();
        assert_eq!(Amounts(&loaded.keys.keys[0].limits["*"]).to_string(), "3 requests/minute, 7 requests/day");
        assert!(told.contains("1 key as they are given for each"), "{told}");
        assert!(told.contains("1 key: 60 requests/minute; until"), "{told}");
        assert!(told.contains("2 keys free: gemini-2.5-pro 4 requests/minute; "), "{told}");
        assert!(told.contains("gemini-2.5-flash 10 requests/minute"), "{told}");
        assert!(told.contains("1 key tier-1: gemini-2.5-pro 70 requests/minute; gemini-2.5-flash 1000"), "{told}");
        assert!(told.contains("1 key tier-9: not known, learned"), "{told}");
        assert!(told.contains("1 key: 2 requests at a time, 1.5s between two starts"), "{told}");
        assert!(told.contains("1 key not known, learned from the first answer"), "{told}");
    }
}
