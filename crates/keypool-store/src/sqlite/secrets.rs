//! Encryption of stored secrets with a master key that is not in the database.

use std::{
    fmt, fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use rusqlite::{Connection, OptionalExtension};

use super::error::{SqliteError, SqliteErrorKind};

const NONCE: usize = 24;

/// Id and text of an encrypted value that tells a wrong master key from a damaged secret. No key has an empty id.
const CHECK: (&str, &str) = ("", "keypool");

/// The 32 bytes that encrypt the secrets of a database. `Debug` shows `***`.
///
/// ```
/// use keypool_store::sqlite::MasterKey;
///
/// let key = MasterKey::parse("000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f")?;
/// assert_eq!(format!("{key:?}"), "MasterKey(***)");
/// # Ok::<(), keypool_store::sqlite::SqliteError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// Parses 64 hexadecimal digits, or base64 of 32 bytes; surrounding white space is ignored.
    ///
    /// # Errors
    /// [`SqliteErrorKind::MasterKey`] for anything else. The error does not show the text.
    pub fn parse(text: &str) -> Result<Self, SqliteError> {
        let text = text.trim();
        let encoding = if text.len() == 64 { HEXLOWER_PERMISSIVE } else { BASE64 };
        let bytes = encoding.decode(text.as_bytes()).ok();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or_else(|| {
            let what = "it is not 64 hexadecimal digits or base64 of 32 bytes; `openssl rand -hex 32` makes one";
            SqliteError::new(SqliteErrorKind::MasterKey, what)
        })
    }

    /// Reads a file that contains the key in one of the forms of [`parse`](Self::parse).
    ///
    /// # Errors
    /// [`SqliteErrorKind::MasterKey`] if the file cannot be read or contains anything else.
    pub fn read(path: &Path) -> Result<Self, SqliteError> {
        let text = fs::read_to_string(path).map_err(|error| {
            SqliteError::new(SqliteErrorKind::MasterKey, format!("it cannot be read: {error}")).at(path)
        })?;
        Self::parse(&text).map_err(|error| error.at(path))
    }

    /// Generates a random key.
    ///
    /// # Errors
    /// [`SqliteErrorKind::Io`] if the system provides no random bytes.
    pub fn generate() -> Result<Self, SqliteError> {
        let mut bytes = [0; 32];
        fill(&mut bytes)?;
        Ok(Self(bytes))
    }

    /// Returns the key as 64 hexadecimal digits. Do not log them.
    pub fn expose(&self) -> String {
        HEXLOWER_PERMISSIVE.encode(&self.0)
    }

    /// Writes a file that only its owner can read, replacing an existing one.
    pub(super) fn write(&self, path: &Path) -> Result<(), SqliteError> {
        let failed = |error: std::io::Error| SqliteError::io(path, &error);
        let new = beside(path, ".tmp");
        let mut file = create_private(&new).map_err(failed)?;
        file.write_all(format!("{}\n", self.expose()).as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        rename(&new, path)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(***)")
    }
}

/// Encrypts and decrypts secrets; each encrypted secret is bound to the id of its key.
#[derive(Clone)]
pub(super) struct Cipher(XChaCha20Poly1305);

impl Cipher {
    pub(super) fn new(key: &MasterKey) -> Self {
        Self(XChaCha20Poly1305::new(&key.0.into()))
    }

    /// Returns a nonce followed by the encrypted secret.
    pub(super) fn encrypt(&self, id: &str, secret: &str) -> Result<Vec<u8>, SqliteError> {
        let mut nonce = [0; NONCE];
        fill(&mut nonce)?;
        let payload = Payload { msg: secret.as_bytes(), aad: id.as_bytes() };
        let encrypted = self.0.encrypt(&XNonce::from(nonce), payload);
        let encrypted = encrypted.map_err(|_| SqliteError::new(SqliteErrorKind::Io, "a secret cannot be encrypted"))?;
        Ok([&nonce[..], &encrypted].concat())
    }

    pub(super) fn decrypt(&self, id: &str, encrypted: &[u8]) -> Result<String, SqliteError> {
        let secret = encrypted.split_first_chunk::<NONCE>().and_then(|(nonce, encrypted)| {
            let payload = Payload { msg: encrypted, aad: id.as_bytes() };
            String::from_utf8(self.0.decrypt(&XNonce::from(*nonce), payload).ok()?).ok()
        });
        secret.ok_or_else(|| {
            let what = format!("the secret of key {id} cannot be decrypted although the master key is correct");
            SqliteError::new(SqliteErrorKind::Damaged, what)
        })
    }

    /// Reports whether this cipher encrypts the secrets of a database; `None` if the database has no master key yet.
    pub(super) fn matches(&self, connection: &Connection) -> Result<Option<bool>, SqliteError> {
        let row = "SELECT value FROM meta WHERE name = 'master_key_check'";
        let check: Option<Vec<u8>> = connection.query_row(row, [], |row| row.get(0)).optional()?;
        Ok(check.map(|check| self.decrypt(CHECK.0, &check).is_ok_and(|text| text == CHECK.1)))
    }

    /// Stores the value that marks this cipher's key as the master key of the database.
    pub(super) fn store_check(&self, connection: &Connection) -> Result<(), SqliteError> {
        let set = "INSERT OR REPLACE INTO meta VALUES ('master_key_check', ?)";
        connection.execute(set, [self.encrypt(CHECK.0, CHECK.1)?])?;
        Ok(())
    }
}

/// The cipher of an open database; after a change of the master key, the old and the new one.
#[derive(Clone)]
pub(super) struct Ciphers(Arc<RwLock<Vec<Cipher>>>);

impl Ciphers {
    pub(super) fn new(cipher: Cipher) -> Self {
        Self(Arc::new(RwLock::new(vec![cipher])))
    }

    /// Returns the cipher that encrypts the secrets in this transaction.
    pub(super) fn of(&self, connection: &Connection) -> Result<Cipher, SqliteError> {
        for cipher in &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            if cipher.matches(connection)? == Some(true) {
                return Ok(cipher.clone());
            }
        }
        let what = "another process changed it; restart with the new one";
        Err(SqliteError::new(SqliteErrorKind::MasterKey, what))
    }

    /// Encrypts all secrets with another master key.
    pub(super) fn change(&self, connection: &Connection, key: &MasterKey) -> Result<(), SqliteError> {
        let (old, new) = (self.of(connection)?, Cipher::new(key));
        let mut read = connection.prepare("SELECT id, secret FROM keys")?;
        let secrets = read.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        for (id, secret) in secrets.collect::<Result<Vec<_>, _>>()? {
            let secret = new.encrypt(&id, &old.decrypt(&id, &secret)?)?;
            connection.prepare_cached("UPDATE keys SET secret = ? WHERE id = ?")?.execute((secret, &id))?;
        }
        new.store_check(connection)?;
        // Keep both: the transaction may be rolled back.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = vec![old, new];
        Ok(())
    }
}

/// Returns the cipher of a database that is open for writing. Its master key is the given one, or the one in the file
/// beside the database, which is created for a new database.
pub(super) fn open(connection: &Connection, path: &Path, given: Option<&MasterKey>) -> Result<Cipher, SqliteError> {
    let file = beside(path, ".key");
    let key = match given {
        Some(key) => key.clone(),
        None if file.exists() => MasterKey::read(&file)?,
        None => {
            let key = MasterKey::generate()?;
            if Cipher::new(&key).matches(connection)?.is_some() {
                let what = format!(
                    "{} is missing; restore it, or set the key that it contained (in keypool: KEYPOOL_SECRET_KEY)",
                    file.display()
                );
                return Err(SqliteError::new(SqliteErrorKind::MasterKey, what));
            }
            key.write(&file)?;
            key
        }
    };
    let cipher = Cipher::new(&key);
    match cipher.matches(connection)? {
        Some(true) => Ok(cipher),
        None => cipher.store_check(connection).map(|()| cipher),
        Some(false) => {
            // The process was stopped during a change of the master key, after the commit.
            let next = beside(path, ".key.next");
            if given.is_none() && next.exists() {
                let cipher = Cipher::new(&MasterKey::read(&next)?);
                if cipher.matches(connection)? == Some(true) {
                    rename(&next, &file)?;
                    return Ok(cipher);
                }
            }
            Err(SqliteError::new(
                SqliteErrorKind::MasterKey,
                "it does not match the database; use the one that encrypted its secrets",
            ))
        }
    }
}

/// Returns the path with `end` appended to its file name.
pub(super) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Creates an empty file that only its owner can read, or truncates an existing file.
pub(super) fn create_private(path: &Path) -> std::io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Renames a file durably: it keeps its new name after a power failure.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), SqliteError> {
    let renamed = fs::rename(from, to).and_then(|()| {
        let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Other systems cannot open a folder as a file.
        if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
    });
    renamed.map_err(|error| SqliteError::io(to, &error))
}

fn fill(bytes: &mut [u8]) -> Result<(), SqliteError> {
    getrandom::fill(bytes)
        .map_err(|error| SqliteError::new(SqliteErrorKind::Io, format!("the system provides no random bytes: {error}")))
}

/// Returns a random number.
pub(super) fn random() -> Result<i64, SqliteError> {
    let mut bytes = [0; 8];
    fill(&mut bytes)?;
    Ok(i64::from_le_bytes(bytes))
}
