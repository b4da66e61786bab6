//! How the secrets of keys by hand are kept.

use tower_keypool::{
    config::KeySpec,
    store::{Keeping, KeptSecret, KeyBook},
};

use super::{EditError, named};
use crate::database::{Database, SecretKey};

/// A secret as it is to be kept, until the book has it.
#[derive(Debug)]
pub struct Kept {
    secret: KeptSecret,
    ring: Ring,
    /// The file of the key that encrypts it, if that was made just now.
    pub made: Option<String>,
}

impl Kept {
    /// By the name of the place where it stands.
    pub fn by_reference(place: KeptSecret) -> Self {
        Self { secret: place, ring: Ring::default(), made: None }
    }

    /// How it is kept.
    pub fn secret(&self) -> &KeptSecret {
        &self.secret
    }

    /// The same for this book, which is open. `instead`: the key whose secret it takes the place of.
    ///
    /// # Errors
    /// When all was encrypted anew meanwhile: nobody may have the key any more that this one was encrypted with.
    pub fn for_book(&self, book: &KeyBook, instead: Option<&str>) -> Result<KeptSecret, EditError> {
        self.ring.opens(book, instead)?;
        Ok(self.secret.clone())
    }
}

/// What opened all that is encrypted in a database when somebody looked; none where nothing is to be encrypted.
#[derive(Debug, Default)]
pub(super) struct Ring(Option<SecretKey>);

impl Ring {
    pub(super) fn opens(&self, book: &KeyBook, instead: Option<&str>) -> Result<(), EditError> {
        self.0.as_ref().map_or(Ok(()), |key| opens(key, book, instead))
    }
}

fn opens(key: &SecretKey, book: &KeyBook, instead: Option<&str>) -> Result<(), EditError> {
    let kept = book.keys().map(|(_, key)| &key.record).filter(|record| Some(&*record.id) != instead);
    key.opens(kept).map_err(|error| EditError::Wrong(error.to_string()))
}

/// How a secret is kept in this database. `instead`: the key, as it was typed, whose secret it takes the place of.
///
/// # Errors
/// When it cannot be kept there, or what is kept there is encrypted with a key that is not at hand: a second one beside
/// that is what nobody asked for.
pub async fn keep(spec: &KeySpec, plain: bool, database: &Database, instead: Option<&str>) -> Result<Kept, EditError> {
    let (keeping, ring, made) = keeping(plain, database, instead).await?;
    Ok(Kept { secret: keeping.keep(spec.secret())?, ring, made })
}

/// How secrets are kept in this database, and the file of the key that encrypts them, if that was made just now.
pub(super) async fn keeping(
    plain: bool,
    database: &Database,
    instead: Option<&str>,
) -> Result<(Keeping, Ring, Option<String>), EditError> {
    let is_server = database.path().is_none();
    if plain && is_server {
        return Err(EditError::wrong("--plain: in Redis secrets are always encrypted (with KEYPOOL_SECRET_KEY)"));
    }
    if plain {
        return Ok((Keeping::Plain, Ring::default(), None));
    }
    let wrong = |error: tower_keypool::store::StoreError| EditError::Wrong(error.to_string());
    // What is in the book by now had its key before: another command may make the first one at the same time.
    let book = database.command_keys().await?;
    let mut key = SecretKey::of(database.path()).map_err(wrong)?;
    let replaced = instead.and_then(|typed| named(&book, typed).ok());
    opens(&key, &book, replaced.as_deref())?;
    let keeping = key.keeping();
    let (keeping, made) = if is_server { keeping.map_err(wrong)? } else { keeping? };
    let made = made.then(|| key.file().map(|file| file.display().to_string())).flatten();
    Ok((keeping, Ring(Some(key)), made))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tower_keypool::{config::Origin, store::Vault};

    use super::*;
    use crate::{database::Site, edits};

    fn spec(n: usize) -> KeySpec {
        KeySpec::read(&format!("AIzaSyTEST-key-of-{n}-kept-at-once-0000"), &[], Origin::named("a test")).unwrap()
    }

    #[tokio::test]
    async fn another_command_may_keep_the_first_key_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keypool.db");
        let database = Database::open(Site::File { path: path.clone(), named: true }).await.unwrap();
        let text = "5a".repeat(32);
        let theirs = Keeping::Sealed(Vault::new(&text).unwrap()).keep(spec(1).secret()).unwrap();
        let (goes_on, waits) = mpsc::channel();
        // The database is theirs until they have kept it, and the key lies beside it before that.
        let other = database.edit_keys(move |book| {
            waits.recv().unwrap();
            edits::add(book, &spec(1), theirs.clone(), 0).map(drop)
        });
        let ours = spec(2);
        let keep = keep(&ours, false, &database, None);
        let beside = async {
            std::fs::write(path.with_extension("db.key"), &text).unwrap();
            goes_on.send(()).unwrap();
        };
        let (other, kept, ()) = tokio::join!(biased; other, keep, beside);
        other.unwrap().unwrap();
        assert_eq!(kept.unwrap().made, None, "it is kept with theirs");
    }

    #[tokio::test]
    async fn what_was_encrypted_with_a_key_that_is_out_by_now_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keypool.db");
        let database = Database::open(Site::File { path: path.clone(), named: true }).await.unwrap();
        let beside = path.with_extension("db.key");
        let (old, new) = ("5a".repeat(32), "6b".repeat(32));
        std::fs::write(&beside, &old).unwrap();
        let first = keep(&spec(1), false, &database, None).await.unwrap();
        let add = |n: usize, kept: Kept| {
            edits::edit(&database, move |book| {
                let secret = kept.for_book(book, None)?;
                edits::add(book, &spec(n), secret, 0)
            })
        };
        add(1, first).await.unwrap();
        let late = keep(&spec(2), false, &database, None).await.unwrap();
        let of_many = keeping(false, &database, None).await.unwrap();

        std::fs::write(&beside, format!("{new}\n{old}\n")).unwrap();
        let both = SecretKey::of(Some(&path)).unwrap();
        let anew = database.edit_keys(move |book| both.encrypt_anew(book)).await.unwrap().unwrap();
        assert_eq!(anew.now, 1);

        let error = add(2, late).await.unwrap_err();
        assert!(matches!(error, EditError::Wrong(_)), "{error}");
        assert!(of_many.1.opens(&database.key_book().await.unwrap(), None).is_err());
        assert_eq!(database.key_book().await.unwrap().keys().count(), 1);
        // Asked again, it is encrypted with the new one.
        add(2, keep(&spec(2), false, &database, None).await.unwrap()).await.unwrap();
        std::fs::write(&beside, &new).unwrap();
        let book = database.key_book().await.unwrap();
        opens(&SecretKey::of(Some(&path)).unwrap(), &book, None).unwrap();
    }
}
