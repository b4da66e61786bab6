//! `keypool add-key`

use std::process::ExitCode;

use clap::Args;
use keypool_store::sqlite::StoredKey;
use serde_json::{Map, Value, json};
use tower_keypool::KeyId;

use super::{
    block_on,
    key_options::{self, KeyOptions},
    opened::database,
    output::{Json, print, print_json, quoted, warn, wrong},
};
use crate::{config::Inputs, store::Stores};

/// Add a key to the database. A running gateway uses it within 2 s.
///
/// The key is encrypted with KEYPOOL_SECRET_KEY. If that is not set, it is encrypted with the master key in the file
/// next to the database, which keypool creates.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AddKey {
    /// Use - to read the key from standard input; without it, keypool prompts for the key and does not show it
    #[arg(value_name = "-", allow_hyphen_values = true)]
    key: Option<String>,
    /// The id of the key, which logs show [default: k- and 12 hexadecimal digits of its hash]
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    #[command(flatten)]
    options: KeyOptions,
    #[command(flatten)]
    output: Json,
}

const EXAMPLES: &str = "\
Examples:
  keypool add-key --id work --tier free --project project-a
  pass show gemini | keypool add-key - --rpm 10 --rpd 250

Exit codes: 0 the key was added, 1 the database cannot be used, 2 the command line or the key is wrong, or the database has the \
key already.";

impl AddKey {
    pub(super) fn run(self, inputs: &Inputs) -> anyhow::Result<ExitCode> {
        let loaded = inputs.load()?;
        let secret = key_options::read_secret(self.key.as_deref(), &loaded)?;
        let mut options = Map::new();
        options.insert("secret".to_owned(), secret.expose().into());
        if let Some(id) = self.id {
            options.insert("id".to_owned(), id.into());
        }
        self.options.apply(&mut options);
        let key = key_options::check(&options, &loaded)?;
        block_on(Some(1), async {
            let stores = Stores::open(&loaded).await?;
            let database = database(&stores)?;
            for stored in database.keys().await? {
                if stored.secret.expose() == secret.expose() {
                    let id = quoted(stored.id.as_str());
                    return Err(wrong(format!(
                        "the database has this key already, as {id}: change it with `keypool keys set {id}`"
                    )));
                }
                if stored.id == key.id() {
                    let id = quoted(stored.id.as_str());
                    return Err(wrong(format!(
                        "the database has another key named {id}: choose another --id, or change its secret with `keypool keys replace {id}`"
                    )));
                }
            }
            let listed = loaded.keys(&loaded.pools()[0]);
            let mut same =
                listed.keys.iter().filter(|other| other.has_secret(secret.expose()) || other.id() == key.id());
            if let Some(place) = same.find_map(|other| listed.place(&other.id())) {
                warn(format_args!("{place} lists this key, too, and takes precedence over the database"));
            }
            database.put_key(stored(key.id(), secret, options)).await?;
            self.options.warn_of_unknown_exit(&loaded);
            let path = database.path().display();
            if self.output.json {
                print_json(&json!({ "id": key.id(), "project": key.project_name(), "database": path.to_string() }));
            } else {
                print(format_args!("added {} to {path}", key.id()));
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Converts a key for the database, which has separate columns for the id, the secret and the project.
pub(super) fn stored(id: KeyId, secret: tower_keypool::Secret, mut options: Map<String, Value>) -> StoredKey {
    options.remove("secret");
    options.remove("id");
    let project = options.remove("project").and_then(|project| match project {
        Value::String(project) => Some(project),
        Value::Null => None,
        other => Some(other.to_string()),
    });
    let mut stored = StoredKey::new(id, secret);
    stored.project = project;
    stored.options = Value::Object(options);
    stored
}
