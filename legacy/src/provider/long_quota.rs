//! Quotas of a day or longer, told by a sentence and without a time: what is at its end for hours is not asked for again
//! after ten seconds.

use super::{
    complaint::{Complaint, Hit},
    wording::{places, stands},
};

/// Whose first sentence has one of these speaks of a month or a week. No figure of it is a window to count by.
const MONTH: [&str; 12] = [
    "per month",
    "/ month",
    "/month",
    "monthly limit",
    "monthly usage",
    "monthly token limit",
    "monthly quota",
    "monthly rate limit",
    "monthly capacity",
    "per billing period",
    "monthly request limit",
    "weekly",
];
/// Of a day, or of some hours.
const DAY: [&str; 16] = [
    "daily rate limit",
    "per day",
    "per-day",
    "/ day",
    "/day",
    "daily limit",
    "daily quota",
    "daily free",
    "daily token",
    "daily request",
    "number of daily",
    "for the day",
    "usage limit",
    "(rpd)",
    " tpd ",
    "rpd limit",
];
/// Of a minute or less, whatever else it speaks of: an account or a model may be named like a week.
const SHORT: [&str; 8] = ["per minute", "per min", "/ minute", "/min", "per second", "(rpm)", "(tpm)", "per-min"];

/// The first sentence of a 429, which names the limit. The later ones advertise plans.
fn sentence(said: &Complaint) -> Option<&str> {
    let own = said.own();
    // What is behind this says which limit it was.
    let sentence = own.split_once("details:").map_or(own, |(_, details)| details);
    sentence.split(". ").next().filter(|_| said.status == 429)
}

/// Whether it names a limit of a minute or less.
pub(super) fn is_of_a_minute(said: &Complaint) -> bool {
    sentence(said).is_some_and(|sentence| SHORT.iter().any(|word| stands(sentence, word)))
}

/// The quota that it names.
pub(super) fn hit_of(said: &Complaint) -> Option<Hit> {
    let sentence = sentence(said)?;
    let is = |word: &str| places(sentence, word).any(|at| !is_denied(&sentence[..at]));
    let has = |words: &[&str]| words.iter().any(|word| is(word));
    match () {
        () if is_of_a_minute(said) => None,
        () if has(&MONTH) => Some(Hit::Month),
        () if has(&DAY) => Some(Hit::Day),
        () => None,
    }
}

/// Whether what follows is what it was not: `(not your usage limit)`. Between may stand whose it would be, and no more than that.
fn is_denied(before: &str) -> bool {
    let mut words = before.split_whitespace().rev().take(4);
    let whose = |word: &str| {
        ["a", "an", "any", "the", "your", "our", "this", "account", "plan"].contains(&word) || word.ends_with("'s")
    };
    words.find(|word| !whose(word)).is_some_and(|word| word.trim_start_matches('(') == "not")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_is_not_is_denied() {
        for before in [
            "server is temporarily limiting requests (not your ",
            "this is not a ",
            "not your account's ",
            "this is not ",
            "not the plan's ",
        ] {
            assert!(is_denied(before), "{before}");
        }
        for before in [
            "you have reached your ",
            "this is not an outage: you reached your ",
            "it is not a bug: your ",
            "requests may not exceed your ",
            "this is no fault but your ",
            "not ours but the ",
            "",
        ] {
            assert!(!is_denied(before), "{before}");
        }
    }
}
