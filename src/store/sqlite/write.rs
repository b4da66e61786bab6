//! Batches: each one transaction.

use std::sync::Arc;

use rusqlite::{Connection, Transaction, params};

use super::{
    failure::Failure,
    fold::{self, Pending},
};
use crate::store::{Batch, ImportRecord, KeptSecret, KeyRecord, RestId, RestRecord, Run, UnitRecord, UsageRecord};

pub(super) fn batch(connection: &mut Connection, pending: &mut Pending, batch: &Arc<Batch>) -> Result<(), Failure> {
    lasting(connection, batch)?;
    let to = connection.transaction()?;
    but_counts(&to, batch)?;
    match &batch.run {
        Some(Run::Begun { epoch, crashes }) => {
            let crashes = serde_json::to_string(crashes)?;
            to.execute("UPDATE run SET running = 1, epoch = ?1, crashes = ?2", params![number(*epoch), crashes])?;
        }
        Some(Run::Ended) => {
            to.execute("UPDATE run SET running = 0", [])?;
        }
        None => {}
    }
    let due = pending.is_due(batch);
    if due {
        pending.fold(batch, &to)?;
    } else {
        fold::note(batch, &to)?;
    }
    to.commit()?;
    if due {
        pending.clear();
    } else {
        pending.push(batch);
    }
    Ok(())
}

/// Counts outlive the process as soon as they are with the system; anything else the machine, too.
pub(super) fn lasting(connection: &Connection, batch: &Batch) -> Result<(), Failure> {
    connection.pragma_update(None, "synchronous", if batch.is_lasting() { "FULL" } else { "NORMAL" })?;
    Ok(())
}

/// Keys, rests and imports.
pub(super) fn but_counts(to: &Transaction<'_>, batch: &Batch) -> Result<(), Failure> {
    for record in &batch.keys {
        key(to, record)?;
    }
    for id in &batch.rests_gone {
        rest_gone(to, id)?;
    }
    for record in &batch.rests {
        rest(to, record)?;
    }
    for record in &batch.imports {
        import(to, record)?;
    }
    Ok(())
}

pub(super) fn unit_gone(to: &Transaction<'_>, owner: &str, lane: &str) -> Result<(), Failure> {
    to.prepare_cached("DELETE FROM windows WHERE lane = ?1 AND owner = ?2")?.execute([lane, owner])?;
    Ok(())
}

fn key(to: &Transaction<'_>, key: &KeyRecord) -> Result<(), Failure> {
    let (form, secret) = match &key.secret {
        KeptSecret::Elsewhere => ("elsewhere", None),
        KeptSecret::Reference(name) => ("reference", Some(name.as_bytes())),
        KeptSecret::Sealed(sealed) => ("sealed", Some(&sealed[..])),
        KeptSecret::Plain(secret) => ("plain", Some(secret.as_bytes())),
    };
    to.prepare_cached(
        "INSERT INTO api_keys VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
         ON CONFLICT (hash) DO UPDATE SET id = excluded.id,
           secret_form = CASE excluded.secret_form WHEN 'elsewhere' THEN secret_form ELSE excluded.secret_form END,
           secret = CASE excluded.secret_form WHEN 'elsewhere' THEN secret ELSE excluded.secret END,
           tier = excluded.tier, priority = excluded.priority, weight = excluded.weight,
           weight_now = excluded.weight_now, ramp = excluded.ramp, owner = excluded.owner, consumer = excluded.consumer,
           source = excluded.source, state = excluded.state, reason = excluded.reason,
           last_success = excluded.last_success, last_failure = excluded.last_failure,
           consecutive_failures = excluded.consecutive_failures",
    )?
    .execute(params![
        key.hash,
        key.id,
        form,
        secret,
        key.tier,
        key.priority,
        key.weight,
        key.weight_now,
        key.ramp,
        key.owner,
        key.consumer,
        key.source,
        key.state.name(),
        key.reason,
        key.last_success,
        key.last_failure,
        key.consecutive_failures,
        key.created,
    ])?;
    Ok(())
}

pub(super) fn unit(to: &Transaction<'_>, unit: &UnitRecord) -> Result<(), Failure> {
    to.prepare_cached("INSERT OR REPLACE INTO windows VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        unit.lane,
        unit.owner,
        number(unit.epoch),
        serde_json::to_string(&unit.windows)?,
        serde_json::to_string(&unit.credit)?,
        serde_json::to_string(&unit.learned)?,
    ])?;
    Ok(())
}

fn rest(to: &Transaction<'_>, rest: &RestRecord) -> Result<(), Failure> {
    to.prepare_cached(
        "INSERT OR REPLACE INTO rests
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    )?
    .execute(params![
        rest.id.scope.word(),
        rest.id.whom,
        rest.id.lane.as_deref().unwrap_or_default(),
        rest.kind.word(),
        rest.code,
        rest.advice,
        rest.since,
        rest.ends,
        rest.at_midnight,
        rest.step,
        rest.strikes,
        rest.probe.map(|probe| probe.0),
        rest.probe.map(|probe| number(probe.1)),
        rest.confirming,
        rest.held,
        rest.raised,
    ])?;
    Ok(())
}

fn rest_gone(to: &Transaction<'_>, id: &RestId) -> Result<(), Failure> {
    to.prepare_cached("DELETE FROM rests WHERE scope = ?1 AND whom = ?2 AND lane = ?3")?.execute(params![
        id.scope.word(),
        id.whom,
        id.lane.as_deref().unwrap_or_default(),
    ])?;
    Ok(())
}

pub(super) fn usage(to: &Transaction<'_>, usage: &UsageRecord) -> Result<(), Failure> {
    to.prepare_cached(
        "INSERT INTO key_usage VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (day, key, lane) DO UPDATE SET
           id = excluded.id, requests = requests + excluded.requests,
           input_tokens = input_tokens + excluded.input_tokens, output_tokens = output_tokens + excluded.output_tokens",
    )?
    .execute(params![
        usage.day,
        usage.key,
        usage.lane,
        usage.id,
        usage.requests,
        number(usage.input_tokens),
        number(usage.output_tokens),
    ])?;
    for (kind, count) in &usage.errors {
        to.prepare_cached(
            "INSERT INTO key_errors VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (day, key, lane, kind) DO UPDATE SET count = count + excluded.count",
        )?
        .execute(params![usage.day, usage.key, usage.lane, kind.word(), number(*count)])?;
    }
    Ok(())
}

fn import(to: &Transaction<'_>, import: &ImportRecord) -> Result<(), Failure> {
    to.prepare_cached(
        "INSERT INTO import_history (time, origin, source, lines, added, duplicate, rejected)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        import.time,
        import.from,
        import.source,
        number(import.lines),
        number(import.added),
        number(import.duplicate),
        serde_json::to_string(&import.rejected)?,
    ])?;
    Ok(())
}

/// As SQLite has numbers.
pub(super) fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
