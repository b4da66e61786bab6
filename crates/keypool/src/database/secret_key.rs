//! The key that secrets in the database are encrypted with: `KEYPOOL_SECRET_KEY`, else a file beside the database that
//! is made when the first secret is to be kept. Whoever has a copy of the database alone has no key. Of several keys in
//! either place the first encrypts, and each opens.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use tower_keypool::{
    config::{Environment, Origin, Problem, read_text},
    store::{BookKey, Keeping, KeptSecret, KeyBook, KeyRecord, StoreError, Vault},
};

use super::vaults::Vaults;

/// Where it is given.
const VARIABLE: &str = "KEYPOOL_SECRET_KEY";

/// What opens the secrets of a database.
#[derive(Debug)]
pub struct SecretKey {
    given: Option<Vaults>,
    beside: Option<Vaults>,
    /// None: there is no place for one beside a server.
    file: Option<PathBuf>,
}

impl SecretKey {
    /// That of the database at this path, of a server without one, as far as there is one.
    ///
    /// # Errors
    /// When what is given, or what lies beside it, is no key or cannot be read.
    pub fn of(database: Option<&Path>) -> Result<Self, StoreError> {
        let wrong = |problem: Problem| StoreError::new(problem.to_string());
        let given = given(&Environment::process()).map_err(wrong)?;
        let (beside, file) = match database.map(file_of) {
            None => (None, None),
            Some(file) => (beside(&file).map_err(wrong)?, Some(file)),
        };
        Ok(Self { given, beside, file })
    }

    /// What is wrong with the key that is given, and with the one beside the database at this path.
    pub fn problems(environment: &Environment, database: Option<&Path>) -> Vec<Problem> {
        let beside = database.and_then(|database| beside(&file_of(database)).err());
        given(environment).err().into_iter().chain(beside).collect()
    }

    /// The file beside the database, where it is there.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref().filter(|_| self.beside.is_some())
    }

    /// The secret of a key that the database keeps.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn reveal(&self, record: &KeyRecord) -> Result<Option<String>, StoreError> {
        self.open(record).map_err(|error| if is_sealed(record) { self.way_out(record) } else { error })
    }

    /// What a person can do about a secret that cannot be opened.
    fn way_out(&self, record: &KeyRecord) -> StoreError {
        let id = &record.id;
        let file = self.file.as_ref().map(|file| file.display().to_string());
        let what = match (&self.given, &self.beside, file) {
            (None, None, None) => format!("is encrypted: set {VARIABLE} to the key it was encrypted with"),
            (None, None, Some(file)) => format!(
                "is encrypted, and {file}, which opens it, is not there: put it back from a copy, or set {VARIABLE} to what \
                 stood in it"
            ),
            (Some(_), None, Some(file)) => format!(
                "cannot be decrypted: {VARIABLE} is another key than it was encrypted with, and {file} is not there: put \
                 either back as it was"
            ),
            (Some(_), ..) => format!("cannot be decrypted: {VARIABLE} is another key than it was encrypted with"),
            (None, _, file) => format!(
                "cannot be decrypted: {} holds another key than it was encrypted with: put it back from a copy, or set \
                 {VARIABLE}",
                file.unwrap_or_default()
            ),
        };
        StoreError::new(format!(
            "the stored secret of {id} {what}; where that key is lost, give the secret again (keypool keys remove {id}, then \
             keypool add-key)"
        ))
    }

    fn open(&self, record: &KeyRecord) -> Result<Option<String>, StoreError> {
        let with = |vault: Option<&Vault>| record.secret.reveal(&record.id, &record.hash, vault);
        // What was kept with the one before is still to be had.
        let mut vaults = self.vaults();
        let first = with(vaults.next());
        vaults.fold(first, |told, vault| told.or_else(|_| with(Some(vault))))
    }

    /// What may open a secret; the first encrypts.
    fn vaults(&self) -> impl Iterator<Item = &Vault> {
        [&self.given, &self.beside].into_iter().flatten().flat_map(Vaults::iter)
    }

    /// How many keys are at hand.
    pub fn how_many(&self) -> usize {
        self.vaults().count()
    }

    /// Encrypts what is encrypted in this book with the first key at hand, whichever of them opens it.
    ///
    /// # Errors
    /// When none opens one of them: then nothing in the book was changed.
    pub fn encrypt_anew(&self, book: &mut KeyBook) -> Result<Anew, StoreError> {
        let mut anew = Anew::default();
        let mut kept = Vec::new();
        for (hash, BookKey { record, .. }) in book.keys().filter(|(_, key)| is_sealed(&key.record)) {
            let first = self.vaults().next();
            if record.secret.reveal(&record.id, hash, first).is_ok() {
                anew.before += 1;
            } else if let (Some(secret), Some(vault)) = (self.reveal(record)?, first) {
                kept.push((hash.to_owned(), KeptSecret::Sealed(vault.seal(hash, &secret)?)));
            }
        }
        anew.now = kept.len();
        for (hash, secret) in kept {
            book.keep(&hash, secret);
        }
        Ok(anew)
    }

    /// Whether it opens all that is encrypted in these: of two keys that one database needs one is lost sooner or later.
    ///
    /// # Errors
    /// When it does not, and how it would.
    pub fn opens<'a>(&self, records: impl IntoIterator<Item = &'a KeyRecord>) -> Result<(), StoreError> {
        let mut sealed = records.into_iter().filter(|record| is_sealed(record));
        sealed.try_for_each(|record| self.reveal(record).map(drop)).map_err(|error| {
            StoreError::new(format!("a second key would be needed to open this database's secrets: {error}"))
        })
    }

    /// How many of these are encrypted while there is none that could open them.
    pub fn cannot_try<'a>(&self, records: impl IntoIterator<Item = &'a KeyRecord>) -> usize {
        if self.is_there() { 0 } else { records.into_iter().filter(|record| is_sealed(record)).count() }
    }

    /// Whether there is any.
    pub fn is_there(&self) -> bool {
        self.given.is_some() || self.beside.is_some()
    }

    /// How new secrets are kept. Makes the file where nothing is given; `true`: it was made just now.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn keeping(&mut self) -> Result<(Keeping, bool), StoreError> {
        if let Some(vault) = self.vaults().next() {
            return Ok((Keeping::Sealed(vault.clone()), false));
        }
        let Some(file) = &self.file else {
            return Err(StoreError::new(format!(
                "in Redis secrets are always encrypted: set {VARIABLE}, the same on every machine (`openssl rand -hex 32` \
                 makes one)"
            )));
        };
        let failed = |error: io::Error| {
            let what = format!("cannot make {} (or set {VARIABLE})", file.display());
            StoreError::because(what, error)
        };
        let made = make(file).map_err(failed)?;
        let text = read_text(file).map_err(failed)?;
        let vaults = Vaults::of(&text).map_err(|error| StoreError::new(format!("{}: {error}", file.display())))?;
        let keeping = Keeping::Sealed(vaults.first().clone());
        self.beside = Some(vaults);
        Ok((keeping, made))
    }
}

/// Secrets that are encrypted with the first key: since now, and before.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anew {
    /// Another opened them until now.
    pub now: usize,
    /// They were.
    pub before: usize,
}

fn is_sealed(record: &KeyRecord) -> bool {
    matches!(record.secret, KeptSecret::Sealed(_))
}

/// Files begun by this process.
static MADE: AtomicU64 = AtomicU64::new(0);

/// Makes the file, whole and for its owner alone; `false`: another process was faster.
fn make(file: &Path) -> io::Result<bool> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    let mut new = file.as_os_str().to_owned();
    // Nor do two threads of one process write the same one.
    new.push(format!(".{}-{}", std::process::id(), MADE.fetch_add(1, Relaxed)));
    let new = PathBuf::from(new);
    let made = make_by_way_of(&new, file, &key);
    if made.is_err() {
        // A half of it opens nothing.
        let _ = fs::remove_file(&new);
    }
    made
}

fn make_by_way_of(new: &Path, file: &Path, key: &[u8]) -> io::Result<bool> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(new)?;
    #[cfg(unix)]
    out.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    for byte in key {
        write!(out, "{byte:02x}")?;
    }
    writeln!(out)?;
    // A secret must not be there without what opens it.
    out.sync_all()?;
    let made = match fs::hard_link(new, file) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        // A file system without links.
        Err(_) if !file.exists() => return fs::rename(new, file).map(|()| true),
        linked => linked.map(|()| true),
    };
    fs::remove_file(new)?;
    made
}

/// Where the key lies where none is given.
fn file_of(database: &Path) -> PathBuf {
    let mut file = database.as_os_str().to_owned();
    file.push(".key");
    file.into()
}

/// The key that a variable holds, or its file.
fn given(environment: &Environment) -> Result<Option<Vaults>, Problem> {
    let Some(variable) = environment.first_secret([VARIABLE.to_owned()])? else { return Ok(None) };
    Vaults::of(&variable.value).map(Some).map_err(|error| Problem::new(variable.origin(), "", error))
}

/// The key that lies beside a database.
fn beside(file: &Path) -> Result<Option<Vaults>, Problem> {
    let wrong = |what: String| Problem::new(Origin::file(file, 0), "", what);
    close_to_others(file);
    match read_text(file) {
        Ok(text) => Vaults::of(&text).map(Some).map_err(|error| {
            let what = "put it back from a copy; the secrets of keys in the database were encrypted with it";
            wrong(format!("{error}: {what}"))
        }),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        // Whoever may not even look for it has no database there, and that is said where it is asked for.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && fs::symlink_metadata(file).is_err() => {
            Ok(None)
        }
        Err(error) => Err(wrong(format!("it cannot be read: {error}"))),
    }
}

/// It was copied by hand, say: whoever reads it opens the secrets. A link leads to what is somebody else's to look after.
fn close_to_others(file: &Path) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let is_open = |found: &fs::Metadata| found.is_file() && found.permissions().mode() & 0o077 != 0;
        if fs::symlink_metadata(file).is_ok_and(|found| is_open(&found))
            && fs::set_permissions(file, fs::Permissions::from_mode(0o600)).is_err()
        {
            tracing::warn!("{} is open to others, who may read it: chmod 600", file.display());
        }
    }
    let _ = file;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn one_that_is_open_to_others_is_closed_to_them() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keypool.db.key");
        assert!(make(&file).unwrap());
        for mode in [0o666, 0o640, 0o600] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert!(beside(&file).unwrap().is_some());
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn of_two_who_make_it_at_once_one_does() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keypool.db.key");
        assert!(make(&file).unwrap());
        let first = fs::read_to_string(&file).unwrap();
        assert!(!make(&file).unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), first);
        assert!(Vault::new(&first).is_ok());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }
}
