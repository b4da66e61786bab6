//! Keys from a file into a pool that runs.

use std::path::Path;

use super::key_file::{FileError, KeyFile, LineError, Merged, Skipped};
use crate::{error::KeyError, key::KeyId, pool::KeyPool, store::ImportRecord};

/// What became of the lines of a key file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// Keys that the pool did not have.
    pub added: Vec<KeyId>,
    /// Lines whose key the pool had already.
    pub known: Vec<(usize, KeyId)>,
    /// Lines whose key stands further up in the file.
    pub merged: Vec<Merged>,
    /// Lines that hold no key that can be used, and why.
    pub rejected: Vec<Skipped>,
}

impl KeyPool {
    /// Adds the keys of a file: a key a line with options behind it, CSV or TSV with a header, or a JSON array. `source` is
    /// their label of that name, unless a line says another. What is there twice is one key, and is reported. Where the
    /// pool was opened on a [store](crate::store), the store's history has it; the secrets stay in the file, as with
    /// [`add`](KeyPool::add).
    ///
    /// ```
    /// use tower_keypool::{Gemini, Key, KeyPool};
    ///
    /// # let folder = std::env::temp_dir().join(format!("keypool-import-{}", std::process::id()));
    /// # std::fs::create_dir_all(&folder)?;
    /// # let path = folder.join("keys.txt");
    /// std::fs::write(&path, "AIza-not-a-real-key-001 id=work\nAIza-not-a-real-key-002 rpm=ten\n")?;
    /// let pool = KeyPool::builder(Gemini::new()).key(Key::new("AIza-not-a-real-key-000")).build()?;
    ///
    /// let imported = pool.import_keys_from_file(&path, "mail")?;
    /// assert_eq!(imported.added, ["work".into()]);
    /// assert_eq!(imported.rejected[0].line, 2);
    /// # std::fs::remove_dir_all(&folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`FileError`] when the file is missing, unreadable, or holds no key at all. A line that is wrong costs no other.
    pub fn import_keys_from_file(&self, path: impl AsRef<Path>, source: &str) -> Result<Imported, FileError> {
        let KeyFile { path, entries, skipped, merged, lines } = KeyFile::load(path.as_ref(), &[])?;
        let mut imported = Imported { merged, rejected: skipped, ..Imported::default() };
        for entry in entries {
            let refused = |error| Skipped { line: entry.line, entry: entry.entry, error };
            let mut spec = entry.spec;
            spec.labels.entry("source".to_owned()).or_insert_with(|| source.to_owned());
            match self.add_unless_known(spec.key()) {
                Ok((id, true)) => imported.added.push(id),
                Ok((id, false)) => imported.known.push((entry.line, id)),
                Err(KeyError::DuplicateId { .. }) => {
                    imported.rejected.push(refused(LineError::IdTaken { by: 0 }));
                }
                Err(_) => imported.rejected.push(refused(LineError::Refused)),
            }
        }
        imported.rejected.sort_unstable_by_key(|rejected| (rejected.line, rejected.entry));
        self.note_import(|time| ImportRecord {
            time,
            from: std::path::absolute(&path).unwrap_or(path).display().to_string(),
            source: source.to_owned(),
            lines: lines as u64,
            added: imported.added.len() as u64,
            duplicate: (imported.known.len() + imported.merged.len()) as u64,
            rejected: imported.rejected.iter().map(|line| (line.line as u64, line.why())).collect(),
        });
        Ok(imported)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        key::Key,
        provider::Gemini,
        store::{MemoryStore, Store},
    };

    #[test]
    fn duplicates_are_merged_and_reported_and_bad_lines_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.csv");
        let secret = |n: usize| format!("AIza-not-a-real-key-{n:05}");
        let text = format!(
            "key,id,rpm,source\n{},a,10,\n{},b,,mail\n{},,,\nshort,,,\n{},taken,,\nPLACEHOLDER_GEMINI_TOKEN,,,\n",
            secret(1),
            secret(0),
            secret(1),
            secret(2)
        );
        std::fs::write(&path, text).unwrap();
        let pool = KeyPool::builder(Gemini::new())
            .keys([Key::new(secret(0)).id("zero"), Key::new(secret(9)).id("taken")])
            .build()
            .unwrap();
        let imported = pool.import_keys_from_file(&path, "web").unwrap();
        assert_eq!(imported.added, [KeyId::from("a")]);
        assert_eq!(imported.known, [(3, KeyId::from("zero"))]);
        assert_eq!(imported.merged, [Merged { line: 4, entry: None, into: 2, into_entry: None }]);
        let lines: Vec<(usize, LineError)> = imported.rejected.iter().map(|line| (line.line, line.error)).collect();
        let wrong = [LineError::TooShort(5), LineError::IdTaken { by: 0 }, LineError::ClientToken];
        assert_eq!(lines, [(5, wrong[0]), (6, wrong[1]), (7, wrong[2])]);
        let snapshot = pool.snapshot();
        let added = snapshot.keys.iter().find(|key| key.id == KeyId::from("a")).unwrap();
        assert_eq!(added.labels["source"], "web");
        assert!(!format!("{imported:?}").contains("not-a-real"));
        let again = pool.import_keys_from_file(&path, "web").unwrap();
        assert_eq!((again.added.len(), again.known.len()), (0, 2));
    }

    #[tokio::test]
    async fn the_stores_history_has_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.txt");
        let secret = |n: usize| format!("AIza-not-a-real-key-{n:05}");
        std::fs::write(&path, format!("# mine\n\n{}\n{}\n{}\nshort\n", secret(0), secret(1), secret(1))).unwrap();
        let store = MemoryStore::new();
        let builder = KeyPool::builder(Gemini::new()).key(Key::new(secret(0)));
        let pool = builder.open(store.clone()).await.unwrap();
        pool.import_keys_from_file(&path, "web").unwrap();
        pool.flush().await.unwrap();
        let imports = store.imports().await.unwrap();
        assert_eq!(imports.len(), 1, "{imports:?}");
        let ImportRecord { time, from, source, lines, added, duplicate, rejected } = &imports[0];
        assert!(*time > 1_700_000_000_000 && *from == path.display().to_string(), "{imports:?}");
        assert_eq!((source.as_str(), *lines, *added, *duplicate), ("web", 5, 1, 2));
        assert_eq!(rejected, &[(6, LineError::TooShort(5).to_string())]);
        let image = store.load().await.unwrap();
        assert!(image.keys.len() == 2 && image.keys.values().all(|key| key.secret.is_elsewhere()));
    }
}
