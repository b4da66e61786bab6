//! Keys as commands change them, beside whatever process works on the file.

use rusqlite::{Connection, Row, Transaction, params};

use super::{Sqlite, failure::Failure, fold, migrate, read, sharing, write};
use crate::store::{BookKey, Image, KeyBook, KeyNews, KeySettings, StoreError};

const SETTINGS: &str = "SELECT hash, revision, said FROM key_settings WHERE revision > ?1";
const REVISION: &str = "SELECT revision FROM key_settings ORDER BY revision DESC LIMIT 1";

impl Sqlite {
    /// The keys, to be looked at.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn key_book(&self) -> Result<KeyBook, StoreError> {
        self.run(|desk| {
            let connection = migrate::view(&desk.connection)?;
            book(&connection)
        })
        .await
    }

    /// The same without those of which it has no secret and commands said nothing: all that a process adds to the keys
    /// that it is given.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn command_keys(&self) -> Result<KeyBook, StoreError> {
        self.run(|desk| {
            let connection = migrate::view(&desk.connection)?;
            let next = revision(&connection)? + 1;
            Ok(KeyBook::new(read::command_keys(&connection)?, settings(&connection, 0)?, next))
        })
        .await
    }

    /// Hashes of the keys that pools have had from files, variables or programs and that did not leave: a small part of
    /// what [`key_book`](Self::key_book) reads.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn keys_from_elsewhere(&self) -> Result<Vec<String>, StoreError> {
        self.run(|desk| {
            let connection = migrate::view(&desk.connection)?;
            read::elsewhere(&connection)
        })
        .await
    }

    /// Changes keys, in one transaction, whoever else works on the file. Nothing is written where `edit` changed
    /// nothing.
    ///
    /// ```
    /// use tower_keypool::store::{KeptSecret, KeySettings, Sqlite};
    ///
    /// # let folder = tempfile::tempdir().unwrap();
    /// # let path = folder.path().join("keypool.db");
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let store = Sqlite::open(&path)?;
    /// // The hash of the secret: `KeySpec::hash`.
    /// let said = KeySettings { hash: "5e88…".into(), id: Some("work".into()), weight: Some(1.5), ..Default::default() };
    /// let secret = KeptSecret::Reference("env:WORK_KEY".into());
    /// store.edit_keys(|book| book.add(said, secret, 1_781_550_000_000)).await?.unwrap();
    /// store.edit_keys(|book| book.disable("work", "by hand")).await?.unwrap();
    /// assert_eq!(store.key_book().await?.find("work").unwrap().disabled(), Some("by hand"));
    /// # Ok::<(), tower_keypool::store::StoreError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// When they cannot be read or written.
    pub async fn edit_keys<T: Send + 'static>(
        &self,
        edit: impl FnOnce(&mut KeyBook) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(move |desk| {
            desk.last_through_power_cuts(true)?;
            // From the first look on nobody else writes.
            let to = migrate::turn(&mut desk.connection)?;
            let mut book = book(&to)?;
            let outcome = edit(&mut book);
            save(&book, &to)?;
            to.commit()?;
            if book.changed().next().is_some() || !book.imports().is_empty() {
                desk.settle();
            }
            Ok(outcome)
        })
        .await
    }

    /// What commands said of keys after this revision; 0: all of it. Cheap where that is nothing.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn key_news(&self, after: u64) -> Result<KeyNews, StoreError> {
        self.run(move |desk| {
            let connection = migrate::view(&desk.connection)?;
            let revision = revision(&connection)?;
            let settings = if revision > after { settings(&connection, after)? } else { Vec::new() };
            Ok(KeyNews { revision, settings })
        })
        .await
    }

    /// All that it holds, to be looked at while another process may work on it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn look(&self) -> Result<Image, StoreError> {
        self.run(|desk| {
            let connection = migrate::view(&desk.connection)?;
            let mut image = read::image(&connection)?;
            for batch in fold::journal(&connection)? {
                image.apply(&batch);
            }
            image.see(sharing::seen(&connection)?);
            // What is used of the days before is in the tables, and asked for by day.
            image.usage.clear();
            Ok(image)
        })
        .await
    }
}

/// What is known of a secret that was replaced while no pool was there to see it is known of the new one.
pub(super) fn carry(connection: &mut Connection) -> Result<(), Failure> {
    let replaced: Vec<KeySettings> =
        settings(connection, 0)?.into_iter().filter(|said| !said.replaces.is_empty()).collect();
    if replaced.is_empty() {
        return Ok(());
    }
    let to = migrate::turn(connection)?;
    for said in &replaced {
        carry_over(said, &to)?;
    }
    to.commit()?;
    Ok(())
}

fn book(connection: &Connection) -> Result<KeyBook, Failure> {
    let next = revision(connection)? + 1;
    Ok(KeyBook::new(read::keys(connection)?, settings(connection, 0)?, next))
}

fn revision(connection: &Connection) -> Result<u64, Failure> {
    let mut statement = connection.prepare_cached(REVISION)?;
    let mut rows = statement.query([])?;
    Ok(match rows.next()? {
        Some(row) => read::count(row.get(0)?),
        None => 0,
    })
}

fn settings(connection: &Connection, after: u64) -> Result<Vec<KeySettings>, Failure> {
    let mut statement = connection.prepare_cached(SETTINGS)?;
    let mut rows = statement.query([write::number(after)])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let one = one(row)?;
        if one.is_none() {
            tracing::warn!(
                name: "keypool.record_skipped",
                "what the database {} says of a key cannot be read by this version, and is left out",
                connection.path().unwrap_or_default()
            );
        }
        all.extend(one);
    }
    Ok(all)
}

fn one(row: &Row<'_>) -> Result<Option<KeySettings>, Failure> {
    let Ok(said) = serde_json::from_str::<KeySettings>(&row.get::<_, String>(2)?) else {
        return Ok(None);
    };
    Ok(Some(KeySettings { hash: row.get(0)?, revision: read::count(row.get(1)?), ..said }))
}

fn save(book: &KeyBook, to: &Transaction<'_>) -> Result<(), Failure> {
    for key in book.changed() {
        write::keys(to, std::slice::from_ref(&key.record))?;
        if !key.is_kept() {
            to.execute(
                "UPDATE api_keys SET secret_form = 'elsewhere', secret = NULL WHERE hash = ?1",
                [&key.record.hash],
            )?;
        }
        if let Some(said) = &key.settings {
            to.prepare_cached("INSERT OR REPLACE INTO key_settings VALUES (?1, ?2, ?3)")?.execute(params![
                key.record.hash,
                write::number(book.revision()),
                serde_json::to_string(said)?,
            ])?;
            carry_over(said, to)?;
        }
    }
    for key in book.lifted() {
        lift(key, to)?;
    }
    for import in book.imports() {
        write::import(to, import)?;
    }
    Ok(())
}

/// Secrets that were replaced, by their hashes, with those that took their place.
pub(super) fn replaced(connection: &Connection) -> Result<Vec<(String, String)>, Failure> {
    let mut all = Vec::new();
    for said in settings(connection, 0)? {
        for old in &said.replaces {
            let left = "SELECT count(*) FROM api_keys WHERE hash = ?1 AND state = 'removed'";
            if connection.query_row(left, [old], |row| row.get::<_, u32>(0))? > 0 {
                all.push((old.clone(), said.hash.clone()));
            }
        }
    }
    Ok(all)
}

fn carry_over(said: &KeySettings, to: &Transaction<'_>) -> Result<(), Failure> {
    for old in &said.replaces {
        let left = "SELECT count(*) FROM api_keys WHERE hash = ?1 AND state = 'removed'";
        if to.query_row(left, [old], |row| row.get::<_, u32>(0))? == 0 {
            // It is a key again.
            continue;
        }
        // That the old secret was refused says nothing of the new one.
        to.execute("DELETE FROM rests WHERE whom = ?1 AND scope = 'key' AND kind = 'invalid_key'", [old])?;
        to.execute(
            "UPDATE OR IGNORE rests SET whom = ?2 WHERE whom = ?1 AND scope IN ('key', 'key_lane')",
            [old, &said.hash],
        )?;
        let (from, into) = (format!("key:{old}"), format!("key:{}", said.hash));
        to.execute("UPDATE OR IGNORE rests SET whom = ?2 WHERE whom = ?1", [&from, &into])?;
        to.execute("UPDATE OR IGNORE windows SET owner = ?2 WHERE owner = ?1", [&from, &into])?;
        for (table, column, whom) in [("rests", "whom", old), ("rests", "whom", &from), ("windows", "owner", &from)] {
            to.execute(&format!("DELETE FROM {table} WHERE {column} = ?1"), [whom])?;
        }
    }
    Ok(())
}

/// The rests of a key that was enabled, and those of its owner.
fn lift(key: &BookKey, to: &Transaction<'_>) -> Result<(), Failure> {
    let hash = &key.record.hash;
    let owner = key.record.owner.clone().unwrap_or_else(|| format!("key:{hash}"));
    to.execute("DELETE FROM rests WHERE whom = ?1 AND scope IN ('key', 'key_lane')", [hash])?;
    to.execute("DELETE FROM rests WHERE whom = ?1 AND scope IN ('owner', 'owner_lane')", [&owner])?;
    if let Some(account) = key.settings.as_ref().and_then(|said| said.billing_account.as_ref()) {
        to.execute("DELETE FROM rests WHERE whom = ?1 AND scope = 'billing_account'", [account])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
