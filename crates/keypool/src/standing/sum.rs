//! What was used together.

use std::collections::BTreeMap;

use serde::Serialize;
use tower_keypool::{VerdictKind, store::UsageRecord};

/// Requests, tokens and errors of several records of use.
#[derive(Debug, Default, Serialize)]
pub struct Sum {
    /// That went out.
    pub requests: i64,
    /// That the provider counted as read.
    pub input_tokens: u64,
    /// And as written.
    pub output_tokens: u64,
    /// What went wrong.
    pub errors: BTreeMap<VerdictKind, u64>,
}

impl Sum {
    /// And this.
    pub fn add(&mut self, used: &UsageRecord) {
        self.requests += used.requests;
        self.input_tokens = self.input_tokens.saturating_add(used.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(used.output_tokens);
        for (kind, n) in &used.errors {
            *self.errors.entry(*kind).or_default() += n;
        }
    }
}
