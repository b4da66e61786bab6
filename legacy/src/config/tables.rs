//! Where a table stands and nothing else: serde would take a list's items for its fields, one after the other, and a date
//! for a table with one.

use std::ops::Range;

use toml::{Spanned, de::DeValue};

/// `*` is any name, or any place in a list; `limits` are the windows of one model, wherever they are said.
const TABLES: &[&str] = &[
    "admin",
    "batch",
    "exits.*",
    "gateway",
    "keys.*",
    "keys.*.labels",
    "keys.*.limits.*",
    "keys.*.limits.*.windows.*",
    "limits",
    "limits.default.*",
    "limits.default.*.windows.*",
    "limits.known.*.*",
    "limits.known.*.*.windows.*",
    "log",
    "models.*",
    "models.*.limits.*",
    "models.*.limits.*.windows.*",
    "pool",
    "providers.*",
    "providers.*.keys.*",
    "providers.*.keys.*.labels",
    "providers.*.keys.*.limits.*",
    "providers.*.keys.*.limits.*.windows.*",
    "rests",
    "rests.blocked",
    "rests.model_unavailable",
    "rests.other",
    "rests.overloaded",
    "rests.quota_exhausted",
    "rests.rate_limited",
    "rests.suspect",
    "rests.unreachable",
    "retry",
    "store",
    "tenants.*",
];

/// The lists and dates that stand where a table belongs.
pub(super) fn no_tables(tree: &Spanned<DeValue<'_>>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let patterns: Vec<Vec<&str>> = TABLES.iter().map(|pattern| pattern.split('.').collect()).collect();
    look(tree, &patterns.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut found);
    found
}

/// `patterns`: what may follow from here on.
fn look(node: &Spanned<DeValue<'_>>, patterns: &[&[&str]], found: &mut Vec<Range<usize>>) {
    let below = |name: &str| -> Vec<&[&str]> {
        let behind = patterns.iter().filter_map(|pattern| pattern.split_first());
        behind.filter(|(first, _)| **first == "*" || **first == name).map(|(_, rest)| rest).collect()
    };
    let is_table = patterns.iter().any(|pattern| pattern.is_empty());
    match node.get_ref() {
        DeValue::Array(_) | DeValue::Datetime(_) if is_table => found.push(node.span()),
        DeValue::Table(table) => {
            for (key, value) in table {
                look(value, &below(key.get_ref()), found);
            }
        }
        DeValue::Array(items) if !patterns.is_empty() => {
            items.iter().for_each(|item| look(item, &below("*"), found));
        }
        _ => {}
    }
}
