//! What a file holds, as records. A row that a later version wrote and this one cannot read is left out.

use std::{collections::BTreeMap, sync::Arc};

use rusqlite::{Connection, Row};
use serde::de::DeserializeOwned;

use super::{failure::Failure, fold, migrate, sharing};
use crate::{
    store::{Image, ImportRecord, KeptSecret, KeyRecord, KeyStanding, RestId, RestRecord, UnitRecord, UsageRecord},
    verdict::{Scope, VerdictKind},
};

// Columns are read by their place: by their names it would take twice as long.
const KEYS: &str = "SELECT hash, id, secret_form, secret, tier, priority, weight, weight_now, ramp, owner, consumer, \
    source, state, reason, last_success, last_failure, consecutive_failures, created FROM api_keys";
const SAID: &str = "WHERE secret_form <> 'elsewhere' OR hash IN (SELECT hash FROM key_settings)";
const UNITS: &str = "SELECT lane, owner, epoch, counts, credit, learned FROM windows";
const UNIT: &str = "SELECT lane, owner, epoch, counts, credit, learned FROM windows WHERE lane = ?1 AND owner = ?2";
const RESTS: &str = "SELECT scope, whom, lane, kind, code, advice, since, ends, at_midnight, step, strikes, probe_at, \
    probe_interval, confirming, held, raised FROM rests";

pub(super) fn image(connection: &Connection) -> Result<Image, Failure> {
    // As the table has them: nobody looks at their order.
    let keys = keys_by(connection, KEYS)?.into_iter().map(|record| (record.hash.clone(), record)).collect();
    let mut image = Image { keys, ..Image::default() };
    // What processes noted of their keys goes to its table once in a while.
    for used in sharing::unfolded(connection)? {
        if let Some(key) = image.keys.get_mut(&*used.key) {
            key.last_success = key.last_success.max(used.last_success);
        }
    }
    image.units = units(connection)?.into_iter().map(|record| (record.name(), record)).collect();
    let mut rests = connection.prepare(RESTS)?;
    let mut rows = rests.query([])?;
    while let Some(row) = rows.next()? {
        if let Some(record) = rest(row)? {
            image.rests.insert(record.id.name(), record);
        }
    }
    let mut models = connection.prepare("SELECT model, quota_model FROM quota_models")?;
    image.quota_models = models.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_, _>>()?;
    let run = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get::<_, String>(2)?));
    let (epoch, running, crashes) = connection.query_row("SELECT epoch, running, crashes FROM run", [], run)?;
    image.epoch = count(epoch);
    image.running = running;
    image.crashes = serde_json::from_str(&crashes).unwrap_or_default();
    Ok(image)
}

pub(super) fn units(connection: &Connection) -> Result<Vec<UnitRecord>, Failure> {
    let mut units = connection.prepare(UNITS)?;
    let mut rows = units.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.extend(unit(row)?);
    }
    Ok(found)
}

pub(super) fn keys(connection: &Connection) -> Result<Vec<KeyRecord>, Failure> {
    keys_by(connection, &format!("{KEYS} ORDER BY id"))
}

/// Those whose secret is kept, or of which commands said something.
pub(super) fn command_keys(connection: &Connection) -> Result<Vec<KeyRecord>, Failure> {
    keys_by(connection, &format!("{KEYS} {SAID} ORDER BY id"))
}

/// Hashes of those that are had from elsewhere and did not leave.
pub(super) fn elsewhere(connection: &Connection) -> Result<Vec<String>, Failure> {
    let sql = "SELECT hash FROM api_keys WHERE secret_form = 'elsewhere' AND state <> 'removed'";
    let mut keys = connection.prepare(sql)?;
    Ok(keys.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

fn keys_by(connection: &Connection, sql: &str) -> Result<Vec<KeyRecord>, Failure> {
    let mut keys = connection.prepare(sql)?;
    Ok(keys.query_map([], key)?.collect::<Result<_, _>>()?)
}

pub(super) fn usage(connection: &Connection, from: &str, to: &str) -> Result<Vec<UsageRecord>, Failure> {
    // Of one moment, though another process may fold its journal just now.
    let connection = migrate::view(connection)?;
    let mut statement = connection.prepare(
        "SELECT day, key, lane, id, requests, input_tokens, output_tokens FROM key_usage
         WHERE day BETWEEN ?1 AND ?2 ORDER BY day, key, lane",
    )?;
    let record = |row: &Row<'_>| {
        Ok(UsageRecord {
            day: row.get::<_, Arc<str>>(0)?,
            key: row.get::<_, Arc<str>>(1)?,
            lane: row.get::<_, Arc<str>>(2)?,
            id: row.get::<_, Arc<str>>(3)?,
            requests: row.get(4)?,
            input_tokens: count(row.get(5)?),
            output_tokens: count(row.get(6)?),
            ..UsageRecord::default()
        })
    };
    let mut records = statement.query_map([from, to], record)?.collect::<Result<Vec<_>, _>>()?;
    let mut errors =
        connection.prepare("SELECT day, key, lane, kind, count FROM key_errors WHERE day BETWEEN ?1 AND ?2")?;
    let mut rows = errors.query([from, to])?;
    while let Some(row) = rows.next()? {
        let (day, key, lane): (Arc<str>, Arc<str>, Arc<str>) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let at = records.binary_search_by(|record| (&record.day, &record.key, &record.lane).cmp(&(&day, &key, &lane)));
        if let (Ok(at), Some(kind)) = (at, of_word::<VerdictKind>(&row.get::<_, String>(3)?)) {
            records[at].errors.insert(kind, count(row.get(4)?));
        }
    }
    // What is in the journal is not in the tables yet.
    let mut sums: BTreeMap<_, _> = records.into_iter().map(|record| (place(&record), record)).collect();
    let noted = sharing::unfolded(&connection)?;
    for record in fold::journal(&connection)?.into_iter().flat_map(|batch| batch.usage).chain(noted) {
        // That one is the key's.
        let record = UsageRecord { last_success: None, ..record };
        if *record.day < *from || *record.day > *to {
            continue;
        }
        match sums.get_mut(&place(&record)) {
            Some(sum) => sum.add(&record),
            None => drop(sums.insert(place(&record), record)),
        }
    }
    Ok(sums.into_values().map(UsageRecord::told).collect())
}

fn place(record: &UsageRecord) -> (Arc<str>, Arc<str>, Arc<str>) {
    (Arc::clone(&record.day), Arc::clone(&record.key), Arc::clone(&record.lane))
}

pub(super) fn imports(connection: &Connection) -> Result<Vec<ImportRecord>, Failure> {
    let mut statement = connection.prepare(
        "SELECT time, origin, source, lines, added, duplicate, rejected FROM import_history ORDER BY number",
    )?;
    let record = |row: &Row<'_>| {
        Ok(ImportRecord {
            time: row.get(0)?,
            from: row.get(1)?,
            source: row.get(2)?,
            lines: count(row.get(3)?),
            added: count(row.get(4)?),
            duplicate: count(row.get(5)?),
            rejected: serde_json::from_str(&row.get::<_, String>(6)?).unwrap_or_default(),
        })
    };
    Ok(statement.query_map([], record)?.collect::<Result<_, _>>()?)
}

fn key(row: &Row<'_>) -> rusqlite::Result<KeyRecord> {
    let secret: Option<Vec<u8>> = row.get(3)?;
    let text = |secret: Option<Vec<u8>>| String::from_utf8(secret.unwrap_or_default()).unwrap_or_default();
    let secret = match row.get_ref(2)?.as_str()? {
        "reference" => KeptSecret::Reference(text(secret)),
        "sealed" => KeptSecret::Sealed(secret.unwrap_or_default()),
        "plain" => KeptSecret::Plain(text(secret)),
        _ => KeptSecret::Elsewhere,
    };
    Ok(KeyRecord {
        hash: row.get(0)?,
        id: row.get(1)?,
        secret,
        tier: row.get(4)?,
        priority: row.get(5)?,
        weight: row.get(6)?,
        weight_now: row.get(7)?,
        ramp: row.get(8)?,
        owner: row.get(9)?,
        consumer: row.get(10)?,
        source: row.get(11)?,
        state: KeyStanding::of_name(row.get_ref(12)?.as_str()?),
        reason: row.get(13)?,
        last_success: row.get(14)?,
        last_failure: row.get(15)?,
        consecutive_failures: row.get(16)?,
        created: row.get(17)?,
    })
}

/// How many rows of each table this version cannot read.
pub(super) fn left_out(connection: &Connection) -> Result<[(&'static str, usize); 3], Failure> {
    let rows =
        |table: &str| connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).map(count);
    let read = image(connection)?;
    let (units, rests) = (rows("windows")? as usize, rows("rests")? as usize);
    let journal = rows("journal")? as usize - fold::journal(connection)?.len();
    Ok([("windows", units - read.units.len()), ("rests", rests - read.rests.len()), ("journal", journal)])
}

/// What the table holds of an owner in a lane.
pub(super) fn unit_of(connection: &Connection, owner: &str, lane: &str) -> Result<Option<UnitRecord>, Failure> {
    let mut statement = connection.prepare_cached(UNIT)?;
    let mut rows = statement.query([lane, owner])?;
    Ok(match rows.next()? {
        Some(row) => unit(row)?,
        None => None,
    })
}

fn unit(row: &Row<'_>) -> rusqlite::Result<Option<UnitRecord>> {
    let json = |column| row.get::<_, String>(column);
    let (counts, credit, learned) = (json(3)?, json(4)?, json(5)?);
    let (Ok(windows), Ok(credit), Ok(learned)) =
        (serde_json::from_str(&counts), serde_json::from_str(&credit), serde_json::from_str(&learned))
    else {
        tracing::warn!(name: "keypool.record_skipped", "counts in the database that this version cannot read are left out");
        return Ok(None);
    };
    Ok(Some(UnitRecord {
        owner: row.get(1)?,
        lane: row.get(0)?,
        epoch: count(row.get(2)?),
        windows,
        credit,
        learned,
        lost: None,
    }))
}

fn rest(row: &Row<'_>) -> rusqlite::Result<Option<RestRecord>> {
    let (scope, kind): (String, String) = (row.get(0)?, row.get(3)?);
    let (Some(scope), Some(kind)) = (of_word::<Scope>(&scope), of_word::<VerdictKind>(&kind)) else {
        tracing::warn!(name: "keypool.record_skipped", scope, kind, "a rest in the database that this version does not know is left out");
        return Ok(None);
    };
    let bound = matches!(scope, Scope::KeyLane | Scope::OwnerLane | Scope::Lane);
    let lane: String = row.get(2)?;
    let probe: (Option<i64>, Option<i64>) = (row.get(11)?, row.get(12)?);
    Ok(Some(RestRecord {
        id: RestId { scope, whom: row.get(1)?, lane: bound.then_some(lane) },
        kind,
        code: row.get(4)?,
        advice: row.get(5)?,
        since: row.get(6)?,
        ends: row.get(7)?,
        at_midnight: row.get(8)?,
        step: row.get(9)?,
        strikes: row.get(10)?,
        probe: probe.0.zip(probe.1.map(count)),
        confirming: row.get(13)?,
        held: row.get(14)?,
        raised: row.get(15)?,
    }))
}

pub(super) fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

fn of_word<T: DeserializeOwned>(word: &str) -> Option<T> {
    serde_json::from_value(word.into()).ok()
}
