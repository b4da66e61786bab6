//! Keys with encrypted secrets.

use rusqlite::{Connection, OptionalExtension, Row};
use serde_json::Value;
use tower_keypool::{KeyId, Secret};

use super::{
    MasterKey, SqliteError, SqliteStore, records,
    secrets::{self, Cipher},
};

/// A stored key. Its disabling is not part of it, but a [`Record`](tower_keypool::store::Record) of the pool.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StoredKey {
    /// The id by which it is found.
    pub id: KeyId,
    /// The secret.
    pub secret: Secret,
    /// The project that owns the quota.
    pub project: Option<String>,
    /// Other options, which only the caller interprets.
    pub options: Value,
}

impl StoredKey {
    /// Creates a key to put, without a project and options.
    pub fn new(id: KeyId, secret: Secret) -> Self {
        Self { id, secret, project: None, options: Value::Null }
    }
}

/// Methods about keys. "Errors of the file" can occur in every method: the database is damaged, locked or cannot be
/// written, or the disk is full.
impl SqliteStore {
    /// Returns all keys, ordered by id.
    ///
    /// # Errors
    /// Errors of the file; [`SqliteErrorKind::MasterKey`](super::SqliteErrorKind::MasterKey) if another process changed
    /// the master key.
    pub async fn keys(&self) -> Result<Vec<StoredKey>, SqliteError> {
        self.read_long(|connection, shared| {
            let transaction = connection.unchecked_transaction()?;
            let cipher = shared.ciphers.of(&transaction)?;
            let mut read = transaction.prepare("SELECT * FROM keys ORDER BY id")?;
            let mut rows = read.query([])?;
            let mut keys = Vec::new();
            while let Some(row) = rows.next()? {
                keys.push(stored_key(row, &cipher)?);
            }
            Ok(keys)
        })
        .await
    }

    /// Returns the key with this id.
    ///
    /// # Errors
    /// The same as those of [`keys`](Self::keys).
    pub async fn key(&self, id: &KeyId) -> Result<Option<StoredKey>, SqliteError> {
        let id = id.clone();
        self.read(move |connection, shared| {
            let transaction = connection.unchecked_transaction()?;
            let cipher = shared.ciphers.of(&transaction)?;
            let mut read = transaction.prepare_cached("SELECT * FROM keys WHERE id = ?")?;
            let mut rows = read.query([id.as_str()])?;
            rows.next()?.map(|row| stored_key(row, &cipher)).transpose()
        })
        .await
    }

    /// Puts a key, or replaces the secret, project and options of the one with the same id.
    ///
    /// # Errors
    /// The same as those of [`keys`](Self::keys).
    pub async fn put_key(&self, key: StoredKey) -> Result<(), SqliteError> {
        self.put_keys(vec![key]).await
    }

    /// Puts keys in one transaction, for which requests wait; with 100,000 keys it takes about 1 s.
    ///
    /// # Errors
    /// The same as those of [`keys`](Self::keys). No key is put then.
    pub async fn put_keys(&self, keys: Vec<StoredKey>) -> Result<(), SqliteError> {
        let ciphers = self.0.ciphers.clone();
        self.change(move |connection, time| {
            let (cipher, now) = (ciphers.of(connection)?, time.wall_ms());
            let put = "INSERT INTO keys VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT DO UPDATE
                 SET secret = ?2, project = ?3, options = ?4, updated_ms = ?5";
            let mut put = connection.prepare_cached(put)?;
            for StoredKey { id, secret, project, options } in &keys {
                let secret = cipher.encrypt(id.as_str(), secret.expose())?;
                put.execute((id.as_str(), secret, project, options.to_string(), now))?;
            }
            count_change(connection)
        })
        .await
    }

    /// Removes a key with its cooldowns; its usage stays. Reports whether the key existed.
    ///
    /// # Errors
    /// Errors of the file.
    pub async fn remove_key(&self, id: &KeyId) -> Result<bool, SqliteError> {
        let id = id.clone();
        self.change(move |connection, _| {
            records::forget(connection, &id)?;
            let removed = connection.execute("DELETE FROM keys WHERE id = ?", [id.as_str()])? > 0;
            if removed {
                count_change(connection)?;
            }
            Ok(removed)
        })
        .await
    }

    /// Returns a number that grows with each change of keys or tenants, by any process.
    ///
    /// # Errors
    /// Errors of the file.
    pub async fn keys_revision(&self) -> Result<u64, SqliteError> {
        self.read(|connection, _| {
            let mut read = connection.prepare_cached("SELECT value FROM meta WHERE name = 'keys_revision'")?;
            Ok(read.query_row([], |row| row.get::<_, i64>(0)).optional()?.unwrap_or(0) as u64)
        })
        .await
    }

    /// Encrypts all secrets with another master key, in one transaction. If the master key is in the file beside the
    /// database, that file is replaced; otherwise pass the new key from now on. Other processes must be restarted with
    /// the new key.
    ///
    /// # Errors
    /// The same as those of [`keys`](Self::keys). Nothing is changed then.
    pub async fn rekey(&self, key: MasterKey) -> Result<(), SqliteError> {
        let path = self.path().to_owned();
        let is_beside = self.0.options.master_key.is_none();
        let ciphers = self.0.ciphers.clone();
        self.on_writer(move |writer| {
            if is_beside {
                key.write(&secrets::beside(&path, ".key.next"))?;
            }
            writer.transaction(|writer| ciphers.change(&writer.connection, &key))?;
            if is_beside {
                secrets::rename(&secrets::beside(&path, ".key.next"), &secrets::beside(&path, ".key"))?;
            }
            Ok(())
        })
        .await
    }
}

/// Increments the number by which processes notice that keys or tenants changed.
pub(super) fn count_change(connection: &Connection) -> Result<(), SqliteError> {
    let count = "INSERT INTO meta VALUES ('keys_revision', 1) ON CONFLICT DO UPDATE SET value = value + 1";
    connection.execute(count, [])?;
    Ok(())
}

fn stored_key(row: &Row<'_>, cipher: &Cipher) -> Result<StoredKey, SqliteError> {
    let id: String = row.get("id")?;
    let secret = cipher.decrypt(&id, row.get_ref("secret")?.as_blob().unwrap_or_default())?;
    Ok(StoredKey {
        secret: Secret::new(&secret)?,
        id: KeyId::new(id),
        project: row.get("project")?,
        options: serde_json::from_str(row.get_ref("options")?.as_str().unwrap_or_default())?,
    })
}
