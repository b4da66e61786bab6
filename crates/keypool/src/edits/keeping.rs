//! How the secrets of keys by hand are kept.

use tower_keypool::{
    config::KeySpec,
    store::{Keeping, KeptSecret},
};

use super::{EditError, named};
use crate::database::{Database, SecretKey};

/// How a secret is kept in this database, and the file of the key that encrypts it, if that was made just now. `instead`:
/// the key, as it was typed, whose secret it takes the place of.
///
/// # Errors
/// When it cannot be kept there, or what is kept there is encrypted with a key that is not at hand: a second one beside
/// that is what nobody asked for.
pub async fn keep(
    spec: &KeySpec,
    plain: bool,
    database: &Database,
    instead: Option<&str>,
) -> Result<(KeptSecret, Option<String>), EditError> {
    let (keeping, made) = keeping(plain, database, instead).await?;
    Ok((keeping.keep(spec.secret())?, made))
}

/// How secrets are kept in this database.
pub(super) async fn keeping(
    plain: bool,
    database: &Database,
    instead: Option<&str>,
) -> Result<(Keeping, Option<String>), EditError> {
    let is_server = database.path().is_none();
    if plain && is_server {
        return Err(EditError::wrong("--plain: in Redis secrets are always encrypted (with KEYPOOL_SECRET_KEY)"));
    }
    if plain {
        return Ok((Keeping::Plain, None));
    }
    let wrong = |error: tower_keypool::store::StoreError| EditError::Wrong(error.to_string());
    // What is in the book by now had its key before: another command may make the first one at the same time.
    let book = database.command_keys().await?;
    let mut key = SecretKey::of(database.path()).map_err(wrong)?;
    let replaced = instead.and_then(|typed| named(&book, typed).ok());
    let kept = book.keys().map(|(_, key)| &key.record).filter(|record| Some(&record.id) != replaced.as_ref());
    key.opens(kept).map_err(wrong)?;
    let keeping = key.keeping();
    let (keeping, made) = if is_server { keeping.map_err(wrong)? } else { keeping? };
    let made = made.then(|| key.file().map(|file| file.display().to_string())).flatten();
    Ok((keeping, made))
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
        assert_eq!(kept.unwrap().1, None, "it is kept with theirs");
    }
}
