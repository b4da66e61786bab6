//! A file changes over: from a process that worked on it alone to several, and back. Counts go with it.

use std::collections::HashSet;

use rusqlite::{Connection, Transaction};

use super::{
    super::{failure::Failure, gap, keys, migrate, read as rows},
    SharedDesk, board,
    life::Life,
    notes,
};
use crate::{
    limit::{Limits, Span, Told, date_number},
    share::{HolderId, Seen},
    store::{Crash, Credit, UnitRecord, WindowRecord},
};

/// What a process that worked on the file alone knew of windows becomes the board's. `now`: by the wall clock.
pub(super) fn take_over(connection: &mut Connection, now: i64) -> Result<(), Failure> {
    let to = migrate::turn(connection)?;
    let (crashed, crashes): (bool, String) =
        to.query_row("SELECT running, crashes FROM run", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // Of runs before the last an owner that nobody used since still has what they started unseen.
    let crashes: Vec<Crash> = serde_json::from_str(&crashes).unwrap_or_default();
    let units: Vec<UnitRecord> = rows::units(&to)?.into_iter().filter(|unit| !unit.windows.is_empty()).collect();
    if units.is_empty() && !crashed {
        return Ok(());
    }
    let mut desk = SharedDesk::default();
    board::read(&to, &mut desk)?;
    for unit in &units {
        let counts = unit.windows.iter().map(|window| told(window, now)).collect();
        let unseen = crashes.iter().filter(|crash| crash.epoch >= unit.epoch).count() + usize::from(crashed);
        let unseen = (unseen > 0).then(|| times(unit.credit, unseen as u64).as_spent());
        desk.shelf.adopt(&unit.name(), counts, unseen, now);
    }
    let changes = desk.shelf.changes(None)?;
    board::write(&to, &changes, desk.version + 1)?;
    // Of limits that answers told each process learns from here.
    to.execute("UPDATE windows SET counts = '[]', credit = '{}'", [])?;
    to.execute("UPDATE run SET running = 0", [])?;
    to.commit()?;
    Ok(())
}

/// What commands said while no process was there to hear it. What counts for a secret that was replaced counts for the
/// new one, where no process that lives holds it; and of rests and keys that are off the tables are right.
pub(super) fn carry(connection: &mut Connection, desk: &mut SharedDesk, life: &Life, now: i64) -> Result<(), Failure> {
    let to = migrate::turn(connection)?;
    if !to.query_row("SELECT EXISTS (SELECT 1 FROM board)", [], |row| row.get(0))? && !gap::is_marked(&to)? {
        return Ok(());
    }
    // What is read here the first renewal need not read again.
    if board::read_first(&to, desk)? {
        board::doubt(&to, desk, life, now)?;
    }
    let (mut gone, mut alone) = (HashSet::new(), true);
    for (holder, ended) in desk.shelf.holders(now) {
        alone &= ended || life.is_gone(&holder);
        if ended || life.is_dead(&holder) {
            desk.shelf.read_notes(&holder, notes::of(&to, &holder)?);
            gone.insert(holder);
        }
    }
    let replaced = keys::replaced(&to)?;
    for (old, new) in &replaced {
        let called = desk.shelf.name_of(new);
        desk.shelf.rename((&format!("key:{old}"), &called), &gone, now);
    }
    if alone {
        // Of the rest the tables are right.
        desk.shelf.keep_names(&replaced);
    }
    let changes = desk.shelf.changes(None)?;
    board::write(&to, &changes, desk.version + 1)?;
    to.commit()?;
    desk.version += 1;
    desk.shelf.written(changes);
    Ok(())
}

/// What several processes knew of windows becomes that of one who works on the file alone. None of them lives any more.
pub(in crate::store::sqlite) fn give_over(connection: &mut Connection, now: i64) -> Result<(), Failure> {
    let to = migrate::turn(connection)?;
    let mut desk = SharedDesk::default();
    let shared: bool = to.query_row("SELECT EXISTS (SELECT 1 FROM board)", [], |row| row.get(0))?;
    if !shared {
        return Ok(());
    }
    board::read(&to, &mut desk)?;
    for (holder, _) in desk.shelf.holders(now) {
        desk.shelf.read_notes(&holder, notes::of(&to, &holder)?);
    }
    fold_all(&to)?;
    for (name, counts) in desk.shelf.abandon_all(now) {
        let Some((lane, owner)) = name.split_once('\n') else { continue };
        let windows: Vec<WindowRecord> = counts.into_iter().map(WindowRecord::of).collect();
        to.prepare_cached(
            "INSERT INTO windows VALUES (?1, ?2, 0, ?3, '{}', ?4)
             ON CONFLICT (lane, owner) DO UPDATE SET counts = excluded.counts, credit = '{}', epoch = 0",
        )?
        .execute((lane, owner, serde_json::to_string(&windows)?, serde_json::to_string(&Limits::new())?))?;
    }
    for table in ["board", "board_facts", "board_units", "board_holders", "board_rosters", "board_notes"] {
        to.execute(&format!("DELETE FROM {table}"), [])?;
    }
    to.commit()?;
    Ok(())
}

/// What units count that several processes share; to be looked at.
pub(in crate::store::sqlite) fn seen(from: &Transaction<'_>) -> Result<Vec<Seen>, Failure> {
    let mut desk = SharedDesk::default();
    if !from.query_row("SELECT EXISTS (SELECT 1 FROM board)", [], |row| row.get(0))? {
        return Ok(Vec::new());
    }
    board::read(from, &mut desk)?;
    for (holder, _) in desk.shelf.holders(0) {
        desk.shelf.read_notes(&holder, notes::of(from, &holder)?);
    }
    Ok(desk.shelf.seen())
}

fn times(credit: Credit, n: u64) -> Credit {
    let times = |amount: u64| amount.saturating_mul(n);
    Credit {
        requests: times(credit.requests),
        input_tokens: times(credit.input_tokens),
        output_tokens: times(credit.output_tokens),
        images: times(credit.images),
    }
}

fn fold_all(to: &Transaction<'_>) -> Result<(), Failure> {
    let holders: Vec<String> = {
        let mut rows = to.prepare("SELECT DISTINCT holder FROM board_notes")?;
        rows.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?
    };
    holders.iter().try_for_each(|holder| notes::bury(to, &HolderId::from(&**holder)))
}

/// What one process kept, as processes tell it each other; by the wall clock.
fn told(window: &WindowRecord, now: i64) -> Told {
    let mut moments = window.moments.clone();
    if window.held > 0 {
        moments.push((now, window.held));
    }
    let dates = window.days.iter().filter_map(|(day, count)| Some((date_number(day)?, *count)));
    let mut dates: Vec<_> = dates.collect();
    if window.limit.span == Span::Day {
        moments.clear();
    } else {
        dates.clear();
    }
    Told { limit: window.limit, moments, dates }
}
