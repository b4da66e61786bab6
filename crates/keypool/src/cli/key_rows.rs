//! What commands say about a key: why it is not used, for how long, and what to do.

use serde_json::Value;
use tower_keypool::{Unit, limit::LimitSource, pool::BreakerState};

use super::output::{left, plain, short};
use crate::key_row::{BreakerRow, KeyRow, KeyState, LimitRow};

/// Maximum number of characters of a reason in tables and lines.
pub(super) const SHORT: usize = 60;

fn short_model(model: &str) -> &str {
    match model {
        "*" => "any",
        model => model.strip_prefix("gemini-").unwrap_or(model),
    }
}

impl BreakerRow {
    /// Returns the model, if the breaker is for one.
    fn model(&self) -> Option<&str> {
        let model = self.target.rsplit_once(" for ").map(|(_, model)| model);
        model.filter(|_| self.key_state() == KeyState::Partly)
    }

    /// Describes the breaker: its model, the time left, and at most `max` characters of the reason.
    fn text(&self, max: usize) -> String {
        let model = self.model().map(|model| format!("{}: ", short_model(model))).unwrap_or_default();
        let until = self.seconds_left.map(|seconds| format!("{} left, ", left(seconds))).unwrap_or_default();
        let class = self.class.map(|class| class.as_str().replace('_', " "));
        let why = match (class, &self.reason) {
            (Some(class), Some(reason)) if !reason.is_empty() => format!("{class}: {}", short(reason, max)),
            (Some(class), _) => class,
            (None, reason) => reason.clone().unwrap_or_else(|| "by hand".to_owned()),
        };
        plain(&format!("{model}{until}{why}"))
    }
}

impl KeyRow {
    /// Reports whether only the operator can enable the key again.
    pub(super) fn is_disabled(&self) -> bool {
        self.state == KeyState::Disabled
    }

    /// Returns the breakers, the most severe first.
    fn by_severity(&self) -> Vec<&BreakerRow> {
        let mut breakers: Vec<&BreakerRow> = self.breakers.iter().collect();
        breakers.sort_by_key(|breaker| std::cmp::Reverse((breaker.key_state(), breaker.seconds_left)));
        breakers
    }

    /// Returns the row as JSON, with `why` and `advice`.
    pub(super) fn json(&self) -> Value {
        let mut value = serde_json::to_value(self).unwrap_or_default();
        value["why"] = self.why(usize::MAX).into();
        value["advice"] = self.advice().into();
        value
    }

    /// Describes the state, the reason and the action in one sentence.
    pub(super) fn sentence(&self) -> String {
        let parts = [format!("{} ({}): {}", self.id, self.listed_at, self.state.as_str()), self.why(SHORT)];
        let text = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
        [text, self.advice()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("; ")
    }

    /// Returns the models that the key cannot be used for now, with the number of seconds left if that is known.
    pub(super) fn unavailable_models(&self) -> impl Iterator<Item = (&str, Option<u64>)> {
        let full = self.limits.iter().filter(|limit| limit.is_full());
        let full = full.map(|limit| (limit.model.as_str(), limit.opens_in_seconds));
        let partly = self.breakers.iter().filter(|breaker| breaker.key_state() == KeyState::Partly);
        partly.filter_map(|breaker| Some((breaker.model()?, breaker.seconds_left))).chain(full)
    }

    /// Describes why the key is not used and for how long, including full limits, with at most `max` characters of each
    /// reason.
    pub(super) fn why(&self, max: usize) -> String {
        let mut parts: Vec<String> = self.by_severity().into_iter().map(|breaker| breaker.text(max)).collect();
        let mut full: Vec<&LimitRow> = self.limits.iter().filter(|limit| limit.is_full()).collect();
        full.sort_by_key(|limit| limit.opens_in());
        parts.extend(
            full.iter().map(|limit| format!("{} full, {} left", short_model(&limit.model), left(limit.opens_in()))),
        );
        parts.join("; ")
    }

    /// Returns advice for the operator; empty if there is none.
    pub(super) fn advice(&self) -> String {
        let advice = self.by_severity().into_iter().find_map(|breaker| breaker.advice.clone());
        let by_hand =
            || self.breakers.iter().any(|breaker| breaker.class.is_none() && breaker.state == BreakerState::Disabled);
        advice.unwrap_or_else(|| if by_hand() { format!("keypool keys enable {}", self.id) } else { String::new() })
    }

    /// Describes in one line how much of the fullest limits is used, and how many more limits there are.
    pub(super) fn used(&self) -> String {
        let mut limits: Vec<&LimitRow> = self.limits.iter().filter(|limit| limit.used > 0).collect();
        if limits.is_empty() {
            limits.extend(self.limits.first());
        }
        let share = |limit: &LimitRow| (limit.used * 1_000).checked_div(limit.limit).unwrap_or(0);
        limits.sort_by_key(|limit| std::cmp::Reverse(share(limit)));
        let shown = 2;
        let mut parts: Vec<String> = limits.iter().take(shown).map(|limit| limit.text()).collect();
        if limits.len() > shown {
            parts.push(format!("+{}", limits.len() - shown));
        }
        parts.join(", ")
    }
}

impl LimitRow {
    fn opens_in(&self) -> u64 {
        self.opens_in_seconds.unwrap_or(0)
    }

    fn text(&self) -> String {
        let model = short_model(&self.model);
        let unit = match self.unit {
            Unit::Requests => String::new(),
            unit => format!(" {}", unit.to_string().replace('_', " ")),
        };
        let span = if self.span == "minute" { "min" } else { &self.span };
        let source = match self.source {
            LimitSource::Learned => " learned",
            LimitSource::Assumed => " assumed",
            _ => "",
        };
        format!("{model} {}/{}{unit}/{span}{source}", self.used, self.limit)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_says_why_it_is_not_used_and_what_to_do() {
        let row: KeyRow = serde_json::from_value(json!({ "id": "a", "state": "cooling",
            "breakers": [
                { "scope": "project_model", "target": "project p for m", "state": "cooling", "seconds_left": 41, "class": "rate_limit" },
                { "scope": "billing_account", "target": "billing account acme", "state": "cooling", "class": "billing", "advice": "pay" }],
            "limits": [{ "model": "m", "unit": "requests", "span": "minute", "limit": 10, "used": 10, "source": "learned", "opens_in_seconds": 4 }],
        }))
        .expect("a row");
        assert_eq!(row.why(SHORT), "billing; m: 41 s left, rate limit; m full, 4 s left");
        let long = "x".repeat(300);
        let row_of = |reason: &str| {
            let breaker =
                json!({ "scope": "key", "target": "key a", "state": "disabled", "class": "billing", "reason": reason });
            serde_json::from_value::<KeyRow>(json!({ "id": "a", "state": "disabled", "breakers": [breaker] }))
                .expect("a row")
        };
        assert!(row_of(&long).json()["why"].as_str().is_some_and(|why| why.contains(&long)));
        assert_eq!((row.advice(), row.used()), ("pay".to_owned(), "m 10/10/min learned".to_owned()));
    }
}
