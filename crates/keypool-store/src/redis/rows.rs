//! The form in which records and quotas are stored on the server.

use std::{sync::Arc, time::Duration};

use tower_keypool::{
    Unit,
    store::{Amounts, Record},
};

use crate::window::RECORD_KEPT_MS;

/// A stored record: its writer, the time and its JSON.
pub(super) struct Row<'a> {
    pub(super) writer: &'a str,
    at_ms: i64,
    pub(super) record: Record,
}

impl<'a> Row<'a> {
    /// Returns `None` for a record of a newer version.
    pub(super) fn parse(value: &'a str) -> Option<Self> {
        let mut parts = value.splitn(3, ' ');
        let (writer, at_ms, json) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { writer, at_ms: at_ms.parse().ok()?, record: serde_json::from_str(json).ok()? })
    }

    pub(super) fn is_expired(&self, now_ms: i64) -> bool {
        match &self.record {
            Record::Open { until_ms, .. } => until_ms.is_some_and(|until| until <= now_ms),
            Record::Closed { .. } => self.at_ms + RECORD_KEPT_MS <= now_ms,
            Record::Limit { learned_ms, .. } => learned_ms + RECORD_KEPT_MS <= now_ms,
            _ => false,
        }
    }
}

/// Returns the name under which a record replaces the one before. `None` for records that are not stored.
pub(super) fn target(record: &Record) -> Option<String> {
    let target = match record {
        Record::Open { target, .. } | Record::Closed { target } => serde_json::to_string(target),
        Record::Limit { project, model, limit, .. } => serde_json::to_string(&(project, model, limit.unit, limit.span)),
        Record::Project { key, .. } => serde_json::to_string(key),
        _ => return None,
    };
    target.ok()
}

/// Returns the name of a quota, which is unambiguous for any project and model.
pub(super) fn quota_name(project: &str, model: &str) -> String {
    format!("{}/{project}/{model}", project.len())
}

fn parse_quota(name: &str) -> Option<(&str, &str)> {
    let (length, rest) = name.split_once('/')?;
    let (project, model) = rest.split_at_checked(length.parse().ok()?)?;
    Some((project, model.strip_prefix('/')?))
}

/// Returns the number of a unit in the scripts.
pub(super) fn unit_number(unit: Unit) -> u64 {
    match unit {
        Unit::InputTokens => 2,
        Unit::OutputTokens => 3,
        Unit::Tokens => 4,
        _ => 1,
    }
}

/// Converts the counts of a quota to records.
pub(super) fn counts(quota: &str, windows: Vec<(u64, Vec<i64>)>, days: Vec<(i32, Vec<u64>)>) -> Vec<Record> {
    let Some((project, model)) = parse_quota(quota) else { return Vec::new() };
    let name = (Arc::<str>::from(project), Arc::<str>::from(model));
    let amounts = |of: [u64; 3]| {
        let [requests, input_tokens, output_tokens] = of;
        Amounts { requests, input_tokens, output_tokens }
    };
    let windows = windows.into_iter().map(|(span, entries)| {
        let (project, model) = name.clone();
        let entries = entries.as_chunks::<4>().0.iter();
        let starts = entries.map(|[at_ms, of @ ..]| (*at_ms, amounts(of.map(|amount| amount as u64)))).collect();
        Record::Starts { project, model, span: Duration::from_millis(span), starts }
    });
    let days = days.into_iter().map(|(date, of)| {
        let (project, model) = name.clone();
        Record::Day { project, model, date, used: amounts(of.try_into().unwrap_or_default()) }
    });
    windows.chain(days).collect()
}
