//! The key that secrets in the database are encrypted with: `KEYPOOL_SECRET_KEY`, else a file beside the database that
//! is made when the first secret is to be kept. Whoever has a copy of the database alone has no key.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use tower_keypool::{
    config::Environment,
    store::{Keeping, KeyRecord, StoreError, Vault},
};

/// Where it is given.
const VARIABLE: &str = "KEYPOOL_SECRET_KEY";

/// What opens the secrets of a database.
#[derive(Debug)]
pub struct SecretKey {
    given: Option<Vault>,
    beside: Option<Vault>,
    /// None: there is no place for one beside a server.
    file: Option<PathBuf>,
}

impl SecretKey {
    /// That of the database at this path, of a server without one, as far as there is one.
    ///
    /// # Errors
    /// When what is given, or what lies beside it, is no key or cannot be read.
    pub fn of(database: Option<&Path>) -> Result<Self, StoreError> {
        let environment = Environment::process();
        let given = environment.first_secret([VARIABLE.to_owned()]);
        let given = given.map_err(|problem| StoreError::new(problem.to_string()))?;
        let vault = |key: &str, from: &str| Vault::new(key).map_err(|error| StoreError::because(from, error));
        let given = given.map(|variable| vault(&variable.value, &variable.name)).transpose()?;
        let file = database.map(|database| {
            let mut file = database.as_os_str().to_owned();
            file.push(".key");
            PathBuf::from(file)
        });
        let beside = match file.as_ref().map(|file| (fs::read_to_string(file), file.display().to_string())) {
            Some((Ok(text), shown)) => Some(vault(&text, &shown)?),
            Some((Err(error), shown)) if error.kind() != io::ErrorKind::NotFound => {
                return Err(StoreError::because(shown, error));
            }
            _ => None,
        };
        Ok(Self { given, beside, file })
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
        let with = |vault: Option<&Vault>| record.secret.reveal(&record.id, &record.hash, vault);
        match (&self.given, &self.beside) {
            // What was kept before it was given is still to be had.
            (Some(given), Some(beside)) => with(Some(given)).or_else(|_| with(Some(beside))),
            (given, beside) => with(given.as_ref().or(beside.as_ref())),
        }
    }

    /// How new secrets are kept. Makes the file where nothing is given; `true`: it was made just now.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn keeping(&mut self) -> Result<(Keeping, bool), StoreError> {
        if let Some(vault) = self.given.as_ref().or(self.beside.as_ref()) {
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
        let text = fs::read_to_string(file).map_err(failed)?;
        let vault = Vault::new(&text).map_err(|error| StoreError::because(file.display().to_string(), error))?;
        self.beside = Some(vault.clone());
        Ok((Keeping::Sealed(vault), made))
    }
}

/// Makes the file, whole and for its owner alone; `false`: another process was faster.
fn make(file: &Path) -> io::Result<bool> {
    let mut key = [0; 32];
    getrandom::fill(&mut key).map_err(|error| io::Error::other(error.to_string()))?;
    let mut new = file.as_os_str().to_owned();
    new.push(format!(".{}", std::process::id()));
    let new = PathBuf::from(new);
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut out = options.open(&new)?;
    #[cfg(unix)]
    out.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    for byte in key {
        write!(out, "{byte:02x}")?;
    }
    writeln!(out)?;
    // A secret must not be there without what opens it.
    out.sync_all()?;
    let made = match fs::hard_link(&new, file) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        // A file system without links.
        Err(_) if !file.exists() => return fs::rename(&new, file).map(|()| true),
        linked => linked.map(|()| true),
    };
    fs::remove_file(&new)?;
    made
}

#[cfg(test)]
mod tests {
    use super::*;

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
