//! `[batch]`: what `keypool batch` goes by.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower_keypool::config::{Document, Interval, Whole};

/// A year, in seconds.
const YEAR: u64 = 366 * 86_400;

/// `[batch]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BatchSection {
    /// The model of tasks that name none; gemini-2.5-flash unless set, for Gemini.
    #[schemars(regex(pattern = r"\S"))]
    pub model: Option<String>,
    /// What the model goes by in tasks that say nothing of it.
    pub system: Option<String>,
    /// How free answers are, 0 to 2, to tasks that say nothing of it.
    #[schemars(range(min = 0.0, max = 2.0))]
    pub temperature: f64,
    /// So many slots a key, each with one task at a time; 4 where only rate_limit_per_slot is set.
    pub workers_per_key: Option<Whole<1, 1_000>>,
    /// So long from a slot's start to its next; 12 s where only workers_per_key is set.
    pub rate_limit_per_slot: Option<Interval<0, 3_600>>,
    /// At most so many requests at a time, without slots; unless set what the limits can keep busy.
    pub concurrency: Option<Whole<1, 50_000>>,
    /// How often a task is tried again after a fault of its own or the model's. Faults of keys are not counted.
    pub max_retries: Whole<0, 100>,
    /// Whether what the provider calls invalid is sent again.
    pub retry_invalid: bool,
    /// How long the run waits for a key; as long as it takes unless set.
    pub max_wait: Option<Interval<0, YEAR>>,
    /// How long one answer may take, to its end.
    pub timeout: Interval<1_000, 86_400>,
    /// From line to line of the progress, where there is no terminal.
    pub monitor_interval: Interval<100, 3_600>,
    /// US dollars for a million tokens of prompts, for the estimated cost; unless set a list price of 2025-07 that was not verified, where one is known.
    #[schemars(range(min = 0.0))]
    pub price_input: Option<f64>,
    /// US dollars for a million tokens of answers; unless set a list price of 2025-07 that was not verified, where one is known.
    #[schemars(range(min = 0.0))]
    pub price_output: Option<f64>,
}

impl Default for BatchSection {
    fn default() -> Self {
        Self {
            model: None,
            system: None,
            temperature: 1.0,
            workers_per_key: None,
            rate_limit_per_slot: None,
            concurrency: None,
            max_retries: Whole(3),
            retry_invalid: false,
            max_wait: None,
            timeout: Interval::seconds(600),
            monitor_interval: Interval::seconds(2),
            price_input: None,
            price_output: None,
        }
    }
}

impl BatchSection {
    /// Says what its types do not.
    pub(super) fn check(&self, document: &mut Document<'_>) {
        if self.model.as_deref().is_some_and(|model| model.trim().is_empty()) {
            document.problem("batch.model", "expected a model's name");
        }
        if !(0.0..=2.0).contains(&self.temperature) {
            document.problem("batch.temperature", "expected 0 to 2");
        }
        for (place, price) in [("batch.price_input", self.price_input), ("batch.price_output", self.price_output)] {
            if price.is_some_and(|price| !(price.is_finite() && price >= 0.0)) {
                document.problem(place, "expected US dollars, 0 or more");
            }
        }
    }
}
