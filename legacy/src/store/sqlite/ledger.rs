//! The ledger in the file.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Sqlite, failure::Failure, migrate, write};
use crate::store::{
    Ledger, LedgerEntry, Placing, StoreError,
    ledger::{Count, DRAWN, Draw},
};

const COLUMNS: &str = "SELECT name, whose, value, until, revision FROM ledger";

fn entry(row: &Row<'_>) -> rusqlite::Result<LedgerEntry> {
    Ok(LedgerEntry {
        name: row.get(0)?,
        whose: row.get(1)?,
        value: row.get(2)?,
        until: row.get(3)?,
        revision: row.get::<_, i64>(4)?.unsigned_abs(),
    })
}

fn one(connection: &Connection, kind: &str, name: &str, now: i64) -> Result<Option<LedgerEntry>, Failure> {
    let asked = format!("{COLUMNS} WHERE kind = ?1 AND name = ?2");
    let found = connection.prepare_cached(&asked)?.query_row([kind, name], entry).optional()?;
    Ok(found.filter(|entry| entry.is_there(now)))
}

fn revision(connection: &Connection, kind: &str) -> Result<u64, Failure> {
    let asked = "SELECT revision FROM ledger WHERE kind = ?1 ORDER BY revision DESC LIMIT 1";
    let found: Option<i64> = connection.prepare_cached(asked)?.query_row([kind], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or(0).unsigned_abs())
}

fn put(connection: &Connection, kind: &str, entry: &LedgerEntry, revision: u64) -> Result<(), Failure> {
    let LedgerEntry { name, whose, value, until, .. } = entry;
    connection.prepare_cached("INSERT OR REPLACE INTO ledger VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(params![
        kind,
        name,
        whose,
        value,
        until,
        write::number(revision)
    ])?;
    Ok(())
}

/// How much was drawn of a count.
fn drawn(connection: &Connection, name: &str, now: i64) -> Result<u64, Failure> {
    Ok(one(connection, DRAWN, name, now)?.and_then(|entry| entry.value.parse().ok()).unwrap_or(0))
}

fn put_drawn(connection: &Connection, name: String, drawn: u64, until: i64) -> Result<(), Failure> {
    let entry = LedgerEntry { name, value: drawn.to_string(), until: Some(until), ..LedgerEntry::default() };
    put(connection, DRAWN, &entry, 0)
}

/// What ended goes, some at a time.
fn sweep(connection: &Connection, now: i64) -> Result<(), Failure> {
    let ended = "DELETE FROM ledger WHERE (kind, name) IN (SELECT kind, name FROM ledger WHERE until <= ?1 LIMIT 100)";
    connection.prepare_cached(ended)?.execute([now])?;
    Ok(())
}

impl Ledger for Sqlite {
    async fn keep(&self, kind: &str, entries: Vec<LedgerEntry>, placing: Placing, now: i64) -> Result<(), StoreError> {
        let kind = kind.to_owned();
        self.run(move |desk| {
            let to = migrate::turn(&mut desk.connection)?;
            let mut next = revision(&to, &kind)?;
            for mut entry in entries {
                let held = if placing == Placing::Claim { one(&to, &kind, &entry.name, now)? } else { None };
                if held.as_ref().is_some_and(|held| held.whose != entry.whose) {
                    continue;
                }
                if let Some(held) = held {
                    entry.value = held.value;
                }
                next += 1;
                put(&to, &kind, &entry, next)?;
            }
            sweep(&to, now)?;
            to.commit()?;
            Ok(())
        })
        .await
    }

    async fn kept(&self, kind: &str, names: Vec<String>, now: i64) -> Result<Vec<LedgerEntry>, StoreError> {
        let kind = kind.to_owned();
        self.run(move |desk| {
            let view = migrate::view(&desk.connection)?;
            let mut found = Vec::new();
            for name in &names {
                found.extend(one(&view, &kind, name, now)?);
            }
            Ok(found)
        })
        .await
    }

    async fn kept_of(&self, kind: &str, whose: &str, prefix: &str, now: i64) -> Result<Vec<LedgerEntry>, StoreError> {
        let (kind, whose) = (kind.to_owned(), whose.to_owned());
        let (from, to) = (prefix.to_owned(), format!("{prefix}{}", char::MAX));
        self.run(move |desk| {
            let asked = format!(
                "{COLUMNS} WHERE kind = ?1 AND whose = ?2 AND name BETWEEN ?3 AND ?4 AND (until IS NULL OR until > ?5) \
                 ORDER BY name"
            );
            let view = migrate::view(&desk.connection)?;
            let mut statement = view.prepare_cached(&asked)?;
            let found = statement.query_map(params![kind, whose, from, to, now], entry)?;
            Ok(found.collect::<Result<_, _>>()?)
        })
        .await
    }

    async fn forget(&self, kind: &str, names: Vec<String>) -> Result<(), StoreError> {
        let kind = kind.to_owned();
        self.run(move |desk| {
            let to = migrate::turn(&mut desk.connection)?;
            for name in &names {
                to.prepare_cached("DELETE FROM ledger WHERE kind = ?1 AND name = ?2")?.execute([&kind, name])?;
            }
            to.commit()?;
            Ok(())
        })
        .await
    }

    async fn revision(&self, kind: &str) -> Result<u64, StoreError> {
        let kind = kind.to_owned();
        self.run(move |desk| revision(&*migrate::view(&desk.connection)?, &kind)).await
    }

    async fn draw(&self, name: &str, Draw { want, most, until, now }: Draw) -> Result<u64, StoreError> {
        let name = name.to_owned();
        self.run(move |desk| {
            let to = migrate::turn(&mut desk.connection)?;
            let drawn = drawn(&to, &name, now)?;
            let granted = want.min(most.saturating_sub(drawn));
            if granted > 0 {
                put_drawn(&to, name, drawn.saturating_add(granted), until)?;
                sweep(&to, now)?;
            }
            to.commit()?;
            Ok(granted)
        })
        .await
    }

    async fn count(&self, counts: Vec<Count>, now: i64) -> Result<Vec<u64>, StoreError> {
        self.run(move |desk| {
            if counts.iter().all(|count| count.by == 0) {
                let view = migrate::view(&desk.connection)?;
                return counts.iter().map(|count| drawn(&view, &count.name, now)).collect();
            }
            let to = migrate::turn(&mut desk.connection)?;
            let mut sums = Vec::with_capacity(counts.len());
            for Count { name, by, until } in counts {
                let before = drawn(&to, &name, now)?;
                let sum = before.saturating_add_signed(by);
                if sum != before {
                    put_drawn(&to, name, sum, until)?;
                }
                sums.push(sum);
            }
            sweep(&to, now)?;
            to.commit()?;
            Ok(sums)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ledger;

    #[tokio::test]
    async fn sqlite_conforms_and_remembers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keypool.db");
        ledger::conforms(Sqlite::open(&path).unwrap()).await;
        let before = Sqlite::open(&path).unwrap();
        let draw = Draw { want: 6, most: 10, until: 2_000, now: 1_000 };
        assert_eq!(before.draw("day", draw).await.unwrap(), 6);
        drop(before);
        let after = Sqlite::open(&path).unwrap();
        assert_eq!(after.draw("day", draw).await.unwrap(), 4);
        assert_eq!(after.draw("day", Draw { now: 2_000, until: 3_000, ..draw }).await.unwrap(), 6, "another window");
        assert_eq!(after.kept("other", vec!["files/a".to_owned()], 0).await.unwrap()[0].whose, "z");
    }
}
