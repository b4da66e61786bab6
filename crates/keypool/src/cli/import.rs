//! `keypool import`

use std::{collections::HashMap, process::ExitCode};

use clap::Args;
use keypool_store::{
    SqliteStore,
    sqlite::{Import as Imported, StoredKey},
};
use serde_json::{Map, Value, json};
use tower_keypool::{Key, Secret, config::KeyEntry};

use super::{
    add_key::stored,
    block_on, key_options,
    opened::{database, must_exist},
    output::{Json, moment, print, print_json, table, warn, wrong},
};
use crate::{
    config::{Inputs, Loaded, NO_EXIT},
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
    #[arg(value_name = "FILE|-", required_unless_present = "history")]
    files: Vec<String>,
    /// The origin of the keys, for the history and their labels [default: the name of the file]
    #[arg(long, value_name = "TEXT")]
    source: Option<String>,
    /// List earlier imports
    #[arg(long, conflicts_with_all = ["files", "source"])]
    history: bool,
    #[command(flatten)]
    output: Json,
}

const EXAMPLES: &str = "\
Examples:
  keypool import keys.txt more.csv --source mail
  vault kv get -field=keys gemini | keypool import - --source vault
  keypool import --history

Exit codes: 0 done, even if bad lines were skipped, 1 the database cannot be used, 2 the command line is wrong, or a file has no \
key.";

impl Import {
    pub(super) fn run(self, inputs: &Inputs) -> anyhow::Result<ExitCode> {
        let loaded = inputs.load()?;
        if self.history {
            must_exist(&loaded)?;
        }
        block_on(Some(1), async {
            let stores = Stores::open(&loaded).await?;
            let database = database(&stores)?;
            if self.history {
                self.print_history(&database.imports(1_000).await?);
                return Ok(ExitCode::SUCCESS);
            }
            let mut code = ExitCode::SUCCESS;
            let mut imports = Vec::new();
            for file in &self.files {
                let (import, problems) = self.import(file, database, &loaded).await?;
                if import.added + import.merged == 0 {
                    code = ExitCode::from(super::WRONG);
                    warn(format_args!("{}: the file has no key", shown(file)));
                }
                if self.output.json {
                    let mut import = as_json(&import);
                    import["problems"] =
                        problems.iter().map(|(place, message)| json!({ "place": place, "message": message })).collect();
                    import["file"] = shown(file).into();
                    imports.push(import);
                    continue;
                }
                for (place, message) in &problems {
                    warn(format_args!("{place}: {message}"));
                }
                let Imported { added, merged, rejected, .. } = &import;
                print(format_args!(
                    "{}: {added} added, {merged} merged with existing keys, {rejected} rejected",
                    shown(file)
                ));
            }
            if self.output.json {
                print_json(&imports);
            }
            Ok(code)
        })
    }

    /// Imports a file. Returns the import, and the place and message of each problem.
    async fn import(
        &self,
        file: &str,
        database: &SqliteStore,
        loaded: &Loaded,
    ) -> anyhow::Result<(Imported, Vec<(String, String)>)> {
        let path = if file == "-" { "/dev/stdin" } else { file };
        if let Err(error) = std::fs::metadata(path) {
            return Err(wrong(format!("{}: the file cannot be read: {error}", shown(file))));
        }
        let read = loaded.pools()[0].read_keys(path);
        let place = |place: &str| place.replace("/dev/stdin:", "standard input, line ");
        let mut problems: Vec<(String, String)> =
            read.problems.iter().map(|problem| (place(&problem.place), place(&problem.message))).collect();
        // A key that is listed twice is a problem, and is counted once.
        let mut rejected = read.problems.iter().filter(|problem| problem.skips_entry).count() as u64;
        let source = self.source.clone().unwrap_or_else(|| shown(file).to_owned());
        let before = database.keys().await?;
        let by_secret: HashMap<&str, &StoredKey> = before.iter().map(|key| (key.secret.expose(), key)).collect();
        let mut keys = Vec::new();
        for key in &read.keys {
            let at = read.place(&key.id()).unwrap_or_default();
            match merged(key, at, &source, &by_secret, &before, loaded) {
                Ok(stored) => {
                    keys.push(stored);
                    if !loaded.has_exit_of(key) {
                        problems.push((place(at), NO_EXIT.to_owned()));
                    }
                }
                Err(error) => {
                    rejected += 1;
                    problems.push((place(at), error.to_string()));
                }
            }
        }
        let import = database.import_keys(source, keys, rejected).await?;
        Ok((import, problems))
    }

    fn print_history(&self, imports: &[Imported]) {
        if self.output.json {
            print_json(&imports.iter().map(as_json).collect::<Vec<_>>());
        } else if imports.is_empty() {
            print("no keys have been imported yet");
        } else {
            let rows = imports.iter().map(|import| {
                let [added, merged, rejected] = [import.added, import.merged, import.rejected].map(|n| n.to_string());
                [moment(import.at_ms), import.source.clone(), added, merged, rejected]
            });
            print(table(["time", "source", "added", "merged", "rejected"], rows));
        }
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
) -> anyhow::Result<StoredKey> {
    let mut options = KeyEntry::options(key);
    let secret = options.get("secret").and_then(Value::as_str).unwrap_or_default().to_owned();
    anyhow::ensure!(secret != loaded.token.expose(), "this is the gateway's own token, not a key of a provider");
    label(&mut options, place, source);
    let (id, options) = if let Some(there) = by_secret.get(&*secret) {
        let mut all = there.options.as_object().cloned().unwrap_or_default();
        all.extend(there.project.iter().map(|project| ("project".to_owned(), project.as_str().into())));
        all.extend(options);
        (there.id.clone(), all)
    } else {
        let is_taken = before.iter().any(|stored| stored.id == key.id());
        anyhow::ensure!(!is_taken, "the database has another key named {}", key.id());
        (key.id(), options)
    };
    drop(key_options::check(&options, loaded)?);
    Ok(stored(id, Secret::new(&secret)?, options))
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

fn shown(file: &str) -> &str {
    if file == "-" { "standard input" } else { file }
}

fn as_json(import: &Imported) -> Value {
    json!({
        "time": moment(import.at_ms),
        "source": import.source,
        "added": import.added,
        "merged": import.merged,
        "rejected": import.rejected,
    })
}
