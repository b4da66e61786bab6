//! What answers cost, about.

use serde::Serialize;

/// What a million tokens cost, in US dollars.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Prices {
    /// Of the prompt.
    pub input: f64,
    /// Of the answer, thoughts included.
    pub output: f64,
}

/// List prices of [`Prices::AS_OF`], of the paid tier, for text, written down from memory: nobody has compared them with the
/// provider's page, then or since. A name stands for all that begin with it and a `-`.
const KNOWN: &[(&str, Prices)] = &[
    ("gemini-2.5-flash-lite", Prices { input: 0.10, output: 0.40 }),
    ("gemini-2.5-flash", Prices { input: 0.30, output: 2.50 }),
    ("gemini-2.5-pro", Prices { input: 1.25, output: 10.0 }),
];

impl Prices {
    /// The month of the list prices that are known, which were not verified: what is reckoned by them is an estimate.
    pub const AS_OF: &str = "2025-07";
    /// What is said of an estimate by these.
    pub(crate) const LISTED: &str = "list prices of 2025-07, not verified";
    /// And of one by others.
    pub(crate) const GIVEN: &str = "prices that were set";

    /// What is known of a model; `None` where nothing is.
    pub fn known(model: &str) -> Option<Self> {
        let fits = |name: &str| model.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        KNOWN.iter().find(|(name, _)| fits(name)).map(|(_, prices)| *prices)
    }

    /// What so many tokens cost.
    pub fn of(&self, input: u64, output: u64) -> f64 {
        (input as f64 * self.input + output as f64 * self.output) / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_says_its_date() {
        assert!(Prices::LISTED.contains(Prices::AS_OF));
        assert!((Prices::known("gemini-2.5-flash-lite-preview").unwrap().input - 0.10).abs() < 1e-9);
        assert_eq!(Prices::known("gemini-2.5-flasher"), None);
    }
}
