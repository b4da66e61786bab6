//! Quotas of a day or longer, told by a sentence and without a time: what is at its end for hours is not asked for again
//! after ten seconds.

use super::{
    complaint::{Complaint, Hit},
    wording::stands,
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
    let has = |words: &[&str]| words.iter().any(|word| stands(sentence, word));
    match () {
        () if is_of_a_minute(said) => None,
        () if has(&MONTH) => Some(Hit::Month),
        () if has(&DAY) => Some(Hit::Day),
        () => None,
    }
}
