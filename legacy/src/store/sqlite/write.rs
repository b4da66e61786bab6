//! Batches: each one transaction.

use rusqlite::{Transaction, params};

use super::{Desk, failure::Failure, fold, migrate, numbers::Numbers};
use crate::store::{Batch, ImportRecord, KeptSecret, KeyRecord, RestId, RestRecord, Run, UnitRecord, UsageRecord};

pub(super) fn batch(desk: &mut Desk, batch: &Batch) -> Result<(), Failure> {
    desk.last_through_power_cuts(batch.is_lasting())?;
    // Where this fails, what it told is not there.
    let mut numbers = std::mem::take(&mut desk.numbers);
    let Desk { connection, writer, .. } = desk;
    let to = migrate::turn(connection)?;
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
    fold::note(batch, *writer, &mut numbers, &to)?;
    if fold::is_due(&numbers, batch) {
        fold::fold(&to, Some(*writer))?;
        numbers = Numbers::default();
    }
    to.commit()?;
    desk.numbers = numbers;
    Ok(())
}

/// Nobody writes for a while: the tables are to say all of it.
pub(super) fn rest_of(desk: &mut Desk) -> Result<(), Failure> {
    desk.last_through_power_cuts(false)?;
    fold::fold_journal(&mut desk.connection, Some(desk.writer))?;
    desk.numbers = Numbers::default();
    Ok(())
}

/// Keys, rests, quotas and imports.
pub(super) fn but_counts(to: &Transaction<'_>, batch: &Batch) -> Result<(), Failure> {
    keys(to, &batch.keys)?;
    for id in &batch.rests_gone {
        rest_gone(to, id)?;
    }
    for record in &batch.rests {
        rest(to, record)?;
    }
    for (model, other) in &batch.quota_models {
        to.prepare_cached("INSERT OR REPLACE INTO quota_models VALUES (?1, ?2)")?.execute([model, other])?;
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

pub(super) fn keys(to: &Transaction<'_>, keys: &[KeyRecord]) -> Result<(), Failure> {
    if keys.is_empty() {
        return Ok(());
    }
    let mut put = to.prepare_cached(
        "INSERT INTO api_keys VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)
         ON CONFLICT (hash) DO UPDATE SET id = excluded.id,
           secret_form = CASE excluded.secret_form WHEN 'elsewhere' THEN secret_form ELSE excluded.secret_form END,
           secret = CASE excluded.secret_form WHEN 'elsewhere' THEN secret ELSE excluded.secret END,
           tier = excluded.tier, priority = excluded.priority, weight = excluded.weight,
           weight_now = excluded.weight_now, ramp = excluded.ramp, owner = excluded.owner, consumer = excluded.consumer,
           source = excluded.source, state = excluded.state, reason = excluded.reason,
           consecutive_failures = CASE
             WHEN max(coalesce(excluded.last_success, 0), coalesce(excluded.last_failure, 0))
               < max(coalesce(last_success, 0), coalesce(last_failure, 0)) THEN consecutive_failures
             ELSE excluded.consecutive_failures END,
           last_success = max(coalesce(last_success, excluded.last_success), coalesce(excluded.last_success, last_success)),
           last_failure = max(coalesce(last_failure, excluded.last_failure), coalesce(excluded.last_failure, last_failure))",
    )?;
    for key in keys {
        let (form, secret) = match &key.secret {
            KeptSecret::Elsewhere => ("elsewhere", None),
            KeptSecret::Reference(name) => ("reference", Some(name.as_bytes())),
            KeptSecret::Sealed(sealed) => ("sealed", Some(&sealed[..])),
            KeptSecret::Plain(secret) => ("plain", Some(secret.as_bytes())),
        };
        put.execute(params![
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
    }
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
        "INSERT INTO key_usage (day, key, lane, id, requests, input_tokens, output_tokens)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (day, key, lane) DO UPDATE SET
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
    if let Some(at) = usage.last_success {
        to.prepare_cached(
            "UPDATE api_keys SET last_success = ?2 WHERE hash = ?1 AND coalesce(last_success, ?2 - 1) < ?2",
        )?
        .execute(params![usage.key, at])?;
    }
    for (kind, count) in &usage.errors {
        to.prepare_cached(
            "INSERT INTO key_errors VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (day, key, lane, kind) DO UPDATE SET count = count + excluded.count",
        )?
        .execute(params![usage.day, usage.key, usage.lane, kind.word(), number(*count)])?;
    }
    if !usage.errors.is_empty() {
        to.prepare_cached(
            "UPDATE key_usage SET errors = (
               SELECT json_group_object(kind, count) FROM key_errors WHERE day = ?1 AND key = ?2 AND lane = ?3
             ) WHERE day = ?1 AND key = ?2 AND lane = ?3",
        )?
        .execute(params![usage.day, usage.key, usage.lane])?;
    }
    Ok(())
}

pub(super) fn import(to: &Transaction<'_>, import: &ImportRecord) -> Result<(), Failure> {
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
