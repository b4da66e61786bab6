//! Batches: each one call.

use std::sync::LazyLock;

use redis::Value;

use super::days::Days;
use crate::{
    redis::{Link, RedisError, Script},
    store::{Batch, KeptSecret, KeyBook, KeyRecord, Run, StoreError, UnitRecord, UsageRecord},
};

pub(super) static WRITE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("write.lua")));

/// A batch is given more time than a question: it may be large.
const PATIENCE: u32 = 5;

/// What of a batch is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    Whole,
    /// Counts of windows are the board's, and there is more than one run.
    ButCounts,
}

/// The script's answer where it does not find what was written before.
pub(super) fn is_lost(answer: &Value) -> bool {
    matches!(answer, Value::Int(3))
}

/// The same where what was written before is there again, since it was not.
pub(super) fn is_again(answer: &Value) -> bool {
    matches!(answer, Value::Int(4))
}

pub(super) fn failed(error: RedisError) -> StoreError {
    StoreError::of_server("the batch was not written", error)
}

/// What the script is told.
pub(super) fn words(
    (id, writer): (&str, &str),
    now: i64,
    batch: &Batch,
    part: Part,
    days: &Days,
) -> Result<Vec<String>, StoreError> {
    let mut words = vec![id.to_owned(), now.to_string()];
    for record in &batch.keys {
        key(&mut words, record)?;
    }
    if part == Part::Whole {
        counts(&mut words, batch)?;
    }
    for id in &batch.rests_gone {
        words.extend(["R".to_owned(), id.name()]);
    }
    for rest in &batch.rests {
        words.extend(["r".to_owned(), rest.id.name(), text(rest)?]);
    }
    for (model, other) in &batch.quota_models {
        words.extend(["q".to_owned(), model.clone(), other.clone()]);
    }
    days.announce(&mut words, batch, writer);
    batch.usage.iter().for_each(|record| usage(&mut words, record));
    for import in &batch.imports {
        words.extend(["i".to_owned(), text(import)?]);
    }
    Ok(words)
}

pub(super) async fn run(link: &Link, words: &[String]) -> Result<Value, StoreError> {
    let arguments: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
    let written = link.run(&WRITE, &arguments, link.patience() * PATIENCE).await;
    written.map_err(failed)
}

/// What a book changed, but for what commands said of keys.
pub(super) fn book(words: &mut Vec<String>, book: &KeyBook) -> Result<(), StoreError> {
    for changed in book.changed() {
        key(words, &changed.record)?;
        if !changed.is_kept() {
            words.extend(["K".to_owned(), changed.record.hash.clone()]);
        }
    }
    for import in book.imports() {
        words.extend(["i".to_owned(), text(import)?]);
    }
    Ok(())
}

/// What one process's windows count, and its run.
fn counts(words: &mut Vec<String>, batch: &Batch) -> Result<(), StoreError> {
    for (owner, lane) in &batch.units_gone {
        let unit = UnitRecord { owner: owner.clone(), lane: lane.clone(), ..Default::default() };
        words.extend(["U".to_owned(), unit.name()]);
    }
    for unit in &batch.units {
        words.extend(["u".to_owned(), unit.name(), text(unit)?]);
    }
    match &batch.run {
        Some(Run::Begun { epoch, crashes }) => words.extend(["b".to_owned(), epoch.to_string(), text(crashes)?]),
        Some(Run::Ended) => words.push("e".to_owned()),
        None => {}
    }
    Ok(())
}

fn key(words: &mut Vec<String>, key: &KeyRecord) -> Result<(), StoreError> {
    if matches!(key.secret, KeptSecret::Plain(_)) {
        return Err(StoreError::new(format!(
            "the secret of {} is not written: in Redis secrets are always encrypted (set KEYPOOL_SECRET_KEY)",
            key.id
        )));
    }
    let secret = if key.secret.is_elsewhere() { String::new() } else { text(&key.secret)? };
    let record = KeyRecord { secret: KeptSecret::Elsewhere, ..key.clone() };
    words.extend(["k".to_owned(), key.hash.clone(), text(&record)?, key.created.to_string(), secret]);
    let time = |at: Option<i64>| at.map_or_else(String::new, |at| at.to_string());
    words.extend([time(key.last_success), time(key.last_failure), key.consecutive_failures.to_string()]);
    Ok(())
}

pub(super) fn usage(words: &mut Vec<String>, record: &UsageRecord) {
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let sums = [
        ("requests", record.requests),
        ("input_tokens", number(record.input_tokens)),
        ("output_tokens", number(record.output_tokens)),
    ];
    let errors = record.errors.iter().map(|(kind, count)| (kind.word(), number(*count)));
    let sums: Vec<(&str, i64)> = sums.into_iter().chain(errors).filter(|sum| sum.1 != 0).collect();
    let whose = format!("{}\n{}", record.key, record.lane);
    let last = record.last_success.map_or_else(String::new, |at| at.to_string());
    words.extend(["d".to_owned(), record.day.to_string(), whose, record.id.to_string(), last, sums.len().to_string()]);
    words.extend(sums.into_iter().flat_map(|(name, more)| [name.to_owned(), more.to_string()]));
}

pub(super) fn text(record: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(record).map_err(|error| StoreError::because("a record cannot be written", error))
}
