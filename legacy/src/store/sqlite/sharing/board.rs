//! A renewal is one transaction: it reads what others changed, does what is asked, and writes what that changed.

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension, Transaction};

use super::{
    super::{failure::Failure, gap, migrate, write::number},
    SharedDesk,
    life::Life,
    notes::{self, Unfolded},
};
use crate::{
    share::{Changes, HolderId, HolderRow, Renewal, Reply, Rest, Server, Shelf},
    store::StoreError,
};

/// One more run of a process; its number.
pub(super) fn next_run(connection: &mut Connection) -> Result<u64, Failure> {
    let to = migrate::turn(connection)?;
    let number: i64 = to.query_row("UPDATE run SET epoch = epoch + 1 RETURNING epoch", [], |row| row.get(0))?;
    to.commit()?;
    Ok(u64::try_from(number).unwrap_or(0))
}

pub(super) fn renew(
    connection: &mut Connection,
    desk: &mut SharedDesk,
    renewal: &mut Renewal,
    life: &Life,
    file: &str,
    now: impl FnOnce() -> i64,
) -> Result<Reply, Failure> {
    let to = migrate::turn(connection)?;
    let lost = read_first(&to, desk)?;
    if desk.version == 0 && life.among_strangers {
        // Made just now, since somebody deleted the one on which they work.
        desk.shelf.begin_again();
    }
    // Now that no other works on it: time must not run back from one renewal to the next.
    let now = now();
    if lost {
        doubt(&to, desk, life, now)?;
    }
    let others = desk.shelf.holders(now).into_iter().filter(|(holder, _)| *holder != renewal.holder);
    let mut buried = Vec::new();
    for (holder, ended) in others.collect::<Vec<_>>() {
        let dead = life.is_dead(&holder);
        if dead || ended {
            desk.shelf.read_notes(&holder, notes::of(&to, &holder)?);
        }
        if dead {
            notes::bury(&to, &holder)?;
            buried.push(holder);
        }
    }
    renewal.buried.extend(buried.iter().cloned());
    let reply = desk.shelf.apply(renewal, Server { now, identity: file });
    let changes = desk.shelf.changes((!reply.stale).then_some(renewal))?;
    write(&to, &changes, desk.version + 1)?;
    let before = desk.holder.as_ref().filter(|before| **before != renewal.holder);
    // Whoever took this process for dead took its notes as well.
    let folded = if let Some(before) = before {
        // It goes on under another name.
        notes::bury(&to, before)?;
        Some(Unfolded::default())
    } else if reply.stale && desk.unfolded.is_buried(&to, &renewal.holder)? {
        Some(Unfolded::default())
    } else {
        notes::fold(&to, &desk.unfolded, &renewal.holder, renewal.noted)?
    };
    to.commit()?;
    if let Some(left) = folded {
        desk.unfolded = left;
    }
    if desk.holder.as_ref() != Some(&renewal.holder) {
        desk.holder = Some(renewal.holder.clone());
    }
    desk.version += 1;
    desk.shelf.written(changes);
    for dead in &buried {
        life.forget(dead);
    }
    Ok(reply)
}

/// Reads it to change it. Whether it lost something, as a file says to who reads it first.
pub(super) fn read_first(to: &Transaction<'_>, desk: &mut SharedDesk) -> Result<bool, Failure> {
    let first = desk.shelf.is_empty();
    read(to, desk)?;
    Ok(first && gap::take(to)?)
}

/// It lost something. What it knows of those who worked on it holds.
pub(super) fn doubt(to: &Transaction<'_>, desk: &mut SharedDesk, life: &Life, now: i64) -> Result<(), Failure> {
    tracing::warn!(
        name: "keypool.counts_gone",
        "the database is a copy, or was begun in the place of one that broke: what was used since it was made it does not know; \
         what limits may have allowed counts as used, of days until they end. Where the file that was last worked on is still \
         there, put that in its place"
    );
    let mut gone = HashSet::new();
    for (holder, ended) in desk.shelf.holders(now) {
        if ended || life.is_gone(&holder) {
            desk.shelf.read_notes(&holder, notes::of(to, &holder)?);
            gone.insert(holder);
        }
    }
    desk.shelf.doubt(&gone, now);
    Ok(())
}

/// Reads what changed since it was read last.
pub(super) fn read(from: &Transaction<'_>, desk: &mut SharedDesk) -> Result<(), Failure> {
    let head = from
        .prepare_cached("SELECT version, head FROM board")?
        .query_row([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)));
    let Some((version, head)) = head.optional()? else {
        desk.shelf.begin();
        desk.version = 0;
        return Ok(());
    };
    if version == desk.version && !desk.shelf.is_empty() {
        return Ok(());
    }
    if version < desk.version || desk.shelf.is_empty() {
        // Another file in this one's place, or nothing read yet.
        (desk.shelf, desk.version) = (Shelf::default(), 0);
    }
    desk.shelf.read_head(&head).map_err(|error| Failure::unreadable("board", &error))?;
    let mut facts = from.prepare_cached(
        "SELECT revision, scope, until, generation, why FROM board_facts WHERE revision > ?1 ORDER BY revision",
    )?;
    let facts = facts.query_map([number(desk.shelf.revision())], |row| {
        let revision = row.get::<_, i64>(0)?.cast_unsigned();
        Ok((row.get(1)?, Rest { until: row.get(2)?, generation: row.get(3)?, why: row.get(4)?, revision }))
    })?;
    let facts = facts.collect::<Result<Vec<(String, Rest)>, _>>()?;
    desk.shelf.read_facts(facts.into_iter());
    let mut units = from.prepare_cached("SELECT unit, record FROM board_units WHERE version > ?1")?;
    let mut rows = units.query([desk.version])?;
    while let Some(row) = rows.next()? {
        let (unit, record) = (row.get_ref(0)?.as_str().map_err(bad)?, row.get_ref(1)?.as_str().map_err(bad)?);
        desk.shelf.read_unit(unit, record).map_err(|error| Failure::unreadable("board_units", &error))?;
    }
    let mut rows = from.prepare_cached("SELECT holder, record, until, untold FROM board_holders")?;
    let mut rows = rows.query([])?;
    let mut holders = Vec::new();
    while let Some(row) = rows.next()? {
        let untold = serde_json::from_str(row.get_ref(3)?.as_str().map_err(bad)?).map_err(|error| of_holder(&error))?;
        let holder = HolderId::from(row.get_ref(0)?.as_str().map_err(bad)?);
        holders.push((holder, HolderRow { record: row.get(1)?, until: row.get(2)?, untold }));
    }
    desk.shelf.read_holders(holders).map_err(|error| of_holder(&error))?;
    let mut rosters = from.prepare_cached("SELECT roster FROM board_rosters")?;
    let known = rosters.query_map([], |row| row.get::<_, i64>(0))?.collect::<Result<Vec<_>, _>>()?;
    for roster in &known {
        if desk.shelf.lacks_roster(roster.cast_unsigned()) {
            let mut one = from.prepare_cached("SELECT units FROM board_rosters WHERE roster = ?1")?;
            let units: String = one.query_row([roster], |row| row.get(0))?;
            let read = desk.shelf.read_roster(roster.cast_unsigned(), &units);
            read.map_err(|error| Failure::unreadable("board_rosters", &error))?;
        }
    }
    desk.shelf.keep_rosters(|roster| known.contains(&roster.cast_signed()));
    desk.version = version;
    Ok(())
}

fn of_holder(error: &serde_json::Error) -> Failure {
    Failure::unreadable("board_holders", error)
}

fn bad(error: rusqlite::types::FromSqlError) -> Failure {
    Failure::Said(StoreError::because("a record of the board cannot be read", error))
}

pub(super) fn write(to: &Transaction<'_>, changes: &Changes, version: i64) -> Result<(), Failure> {
    to.prepare_cached("INSERT INTO board VALUES (1, ?1, ?2) ON CONFLICT (one) DO UPDATE SET version = ?1, head = ?2")?
        .execute((version, &changes.head))?;
    let mut gone = to.prepare_cached("DELETE FROM board_facts WHERE revision = ?1")?;
    for revision in &changes.facts_gone {
        gone.execute([number(*revision)])?;
    }
    let mut fact = to.prepare_cached("INSERT INTO board_facts VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (scope, rest) in &changes.facts {
        fact.execute((number(rest.revision), scope, rest.until, rest.generation, &rest.why))?;
    }
    let mut unit = to.prepare_cached("INSERT OR REPLACE INTO board_units VALUES (?1, ?2, ?3)")?;
    for (name, record) in &changes.units {
        unit.execute((name.as_str(), version, record))?;
    }
    for (holder, row) in &changes.holders {
        let untold = serde_json::to_string(&row.untold)?;
        to.prepare_cached("INSERT OR REPLACE INTO board_holders VALUES (?1, ?2, ?3, ?4)")?.execute((
            holder.as_str(),
            row.until,
            &row.record,
            untold,
        ))?;
    }
    for holder in &changes.holders_gone {
        to.prepare_cached("DELETE FROM board_holders WHERE holder = ?1")?.execute([holder.as_str()])?;
    }
    for (roster, units) in &changes.rosters {
        to.prepare_cached("INSERT OR REPLACE INTO board_rosters VALUES (?1, ?2)")?
            .execute((roster.cast_signed(), units))?;
    }
    for roster in &changes.rosters_gone {
        to.prepare_cached("DELETE FROM board_rosters WHERE roster = ?1")?.execute([roster.cast_signed()])?;
    }
    Ok(())
}
