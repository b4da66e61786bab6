//! `keypool import`

use std::{collections::HashMap, process::ExitCode};

use clap::Args;
use keypool_store::{SqliteStore, sqlite::StoredKey};
use serde::Serialize;
use serde_json::{Map, Value};
use tower_keypool::{
    Key,
    config::{KeyEntry, Problem},
};

use super::{
    block_on,
    opened::database,
    output::{Json, print, print_json, warn, wrong},
};
use crate::{
    config::{Inputs, Loaded, NO_EXIT},
    key_sources,
    store::Stores,
};

/// Copy keys from files into the database.
///
/// A file has one key per line, followed by its options, or is CSV, TSV or JSON. Bad lines are reported and skipped. If
/// the database has a key already, the options in the file replace its options. The files are not needed afterwards.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Import {
    /// The key files; - reads standard input
    #[arg(value_name = "FILE|-", required = true)]
    files: Vec<String>,
    /// The origin of the keys, for their labels [default: the name of the file]
    #[arg(long, value_name = "TEXT")]
    source: Option<String>,
    #[command(flatten)]
    output: Json,
}

const EXAMPLES: &str = "\
Examples:
  keypool import keys.txt more.csv --source mail
  vault kv get -field=keys gemini | keypool import - --source vault

Exit codes: 0 done, even if bad lines were skipped, 1 the database cannot be used, 2 the command line is wrong, or a file has no \
key.";

/// The result of the import of a file.
#[derive(Serialize)]
struct Imported {
    file: String,
    /// The origin of its keys.
    source: String,
    /// Number of keys that were new.
    added: usize,
    /// Number of keys that the database had already.
    merged: usize,
    rejected: usize,
    problems: Vec<Problem>,
}

impl Import {
    pub(super) fn run(self, inputs: &Inputs) -> anyhow::Result<ExitCode> {
        let loaded = inputs.load()?;
        block_on(Some(1), async {
            let stores = Stores::open_database(&loaded).await?;
            let database = database(&stores)?;
            let mut code = ExitCode::SUCCESS;
            let mut imports = Vec::new();
            for file in &self.files {
                let import = self.import(file, database, &loaded).await?;
                if import.added + import.merged == 0 {
                    code = ExitCode::from(super::WRONG);
                    warn(format_args!("{}: the file has no key", import.file));
                }
                if self.output.json {
                    imports.push(import);
                    continue;
                }
                for problem in &import.problems {
                    warn(problem);
                }
                let Imported { file, added, merged, rejected, .. } = &import;
                print(format_args!("{file}: {added} added, {merged} merged with existing keys, {rejected} rejected"));
            }
            if self.output.json {
                print_json(&imports);
            }
            Ok(code)
        })
    }

    async fn import(&self, file: &str, database: &SqliteStore, loaded: &Loaded) -> anyhow::Result<Imported> {
        let (path, shown) = if file == "-" { ("/dev/stdin", "standard input") } else { (file, file) };
        if let Err(error) = std::fs::metadata(path) {
            return Err(wrong(format!("{shown}: the file cannot be read: {error}")));
        }
        let read = loaded.pools()[0].read_keys(path);
        let source = self.source.clone().unwrap_or_else(|| shown.to_owned());
        let mut import = Imported {
            file: shown.to_owned(),
            source,
            added: 0,
            merged: 0,
            // A key that is listed twice is a problem, and is counted once.
            rejected: read.problems.iter().filter(|problem| problem.skips_entry).count(),
            problems: read.problems.clone(),
        };
        let before = database.keys().await?;
        let by_secret: HashMap<&str, &StoredKey> = before.iter().map(|key| (key.secret.expose(), key)).collect();
        let mut stored_keys = Vec::new();
        for key in &read.keys {
            let at = read.place(&key.id()).unwrap_or_default();
            match merged(key, at, &import.source, &by_secret, &before, loaded) {
                Ok(stored) => {
                    let is_known = by_secret.contains_key(stored.secret.expose());
                    *(if is_known { &mut import.merged } else { &mut import.added }) += 1;
                    stored_keys.push(stored);
                    if !loaded.has_exit_of(key) {
                        import.problems.push(Problem::new(at, NO_EXIT));
                    }
                }
                Err(error) => {
                    import.rejected += 1;
                    import.problems.push(Problem::of_entry(at, error));
                }
            }
        }
        for text in import.problems.iter_mut().flat_map(|problem| [&mut problem.place, &mut problem.message]) {
            *text = text.replace("/dev/stdin:", "standard input, line ");
        }
        database.put_keys(stored_keys).await?;
        Ok(import)
    }
}

/// Returns the key to store. It keeps the options of a stored key with the same secret, unless the file sets them.
fn merged(
    key: &Key,
    place: &str,
    source: &str,
    by_secret: &HashMap<&str, &StoredKey>,
    before: &[StoredKey],
    loaded: &Loaded,
) -> Result<StoredKey, String> {
    let mut options = KeyEntry::options(key);
    label(&mut options, place, source);
    let known = options.get("secret").and_then(Value::as_str).and_then(|secret| by_secret.get(secret));
    if let Some(known) = known {
        let mut all = key_sources::options_of(known);
        options.remove("id");
        all.extend(options);
        options = all;
    } else if before.iter().any(|stored| stored.id == key.id()) {
        return Err(format!("the database has another key named {}", key.id()));
    }
    Ok(key_sources::stored_from(options, loaded)?.1)
}

/// Removes the place in the file from the label, and sets the source.
fn label(options: &mut Map<String, Value>, place: &str, source: &str) {
    if let Some(label) = options.remove("label").as_ref().and_then(Value::as_str) {
        let own = label.strip_suffix(&format!(" ({place})")).unwrap_or(if label == place { "" } else { label });
        if !own.is_empty() {
            options.insert("label".to_owned(), own.into());
        }
    }
    options.insert("source".to_owned(), source.into());
}
