//! Which limits are assumed at the start, and where they come from.

use std::{collections::BTreeMap, fmt};

use tower_keypool::{Limits, Provider, Tier};

use crate::keyfile::{Entry, KeyFile};

/// The models that people mostly ask for: a tier's limits are shown for these.
const SHOWN: [&str; 3] = ["gemini-2.5-pro", "gemini-2.5-flash", "gemini-2.5-flash-lite"];

/// What is assumed of the keys of a file.
pub(super) struct Assumed<'a> {
    pub(super) file: &'a KeyFile,
    pub(super) provider: &'a dyn Provider,
}

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
        let entries = &self.file.entries;
        let given = entries.iter().filter(|entry| !entry.limits.is_empty()).count();
        let unknown = entries.iter().filter(|entry| entry.limits.is_empty() && entry.tier.is_none()).count();
        writeln!(f, "limits:")?;
        if given > 0 {
            writeln!(f, "  {} as the file gives them", keys(given))?;
        }
        for (tier, held) in by_tier(entries) {
            write!(f, "  {} {tier}:", keys(held.len()))?;
            let mut told = SHOWN.iter().filter_map(|model| Some((model, self.provider.known_limits(model, &held[0])?)));
            let mut comma = "";
            for (model, limits) in &mut told {
                write!(f, "{comma} {model} {}", Amounts(&limits))?;
                comma = ";";
            }
            writeln!(
                f,
                "{}",
                if comma.is_empty() { " not known, learned" } else { "; until an answer says otherwise" }
            )?;
        }
        if unknown > 0 {
            writeln!(f, "  {} not known, learned from the first answer that names one", keys(unknown))?;
        }
        Ok(())
    }
}

/// The tiers of the keys without limits of their own.
fn by_tier(entries: &[Entry]) -> BTreeMap<String, Vec<Tier>> {
    let mut tiers: BTreeMap<String, Vec<Tier>> = BTreeMap::new();
    for tier in entries.iter().filter(|entry| entry.limits.is_empty()).filter_map(|entry| entry.tier.clone()) {
        let name = match &tier {
            Tier::Free => "free",
            Tier::Paid => "paid",
            Tier::Named(name) => name,
            _ => continue,
        };
        tiers.entry(name.to_owned()).or_default().push(tier);
    }
    tiers
}

fn keys(n: usize) -> String {
    format!("{n} key{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use tower_keypool::Gemini;

    use super::*;

    #[test]
    fn what_is_given_stands_beside_what_is_usual_and_what_is_not_known() {
        let text = "\
            AIza-test-key-000000000000001 rpm=3 rpd=7\n\
            AIza-test-key-000000000000002 tier=free\n\
            AIza-test-key-000000000000003 tier=free\n\
            AIza-test-key-000000000000004 tier=tier-9\n\
            AIza-test-key-000000000000005\n";
        let file = KeyFile::parse(text.as_bytes(), &[]);
        assert!(file.skipped.is_empty(), "{:?}", file.skipped);
        let gemini = Gemini::new();
        let told = Assumed { file: &file, provider: &gemini }.to_string();
        assert_eq!(Amounts(&file.entries[0].limits).to_string(), "3 requests/minute, 7 requests/day");
        assert!(told.contains("1 key as the file gives them"), "{told}");
        assert!(told.contains("2 keys free: gemini-2.5-pro 5 requests/minute, 250000 input tokens/minute; "), "{told}");
        assert!(told.contains("gemini-2.5-flash 10 requests/minute"), "{told}");
        assert!(told.contains("1 key tier-9: not known, learned"), "{told}");
        assert!(told.contains("1 key not known, learned from the first answer"), "{told}");
    }
}
