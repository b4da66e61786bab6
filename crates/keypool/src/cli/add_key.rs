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
    output::{Json, say, say_json, wrong},
};
use crate::{config::Inputs, store::Stores};

/// Keep a key in the database, for all commands on this machine; a running gateway uses it within 2 s.
///
/// Its secret is encrypted with KEYPOOL_SECRET_KEY, or with the key in the file beside the database, which is made with it.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AddKey {
    /// Nothing: you are asked for the key, and it is not shown; -: it is read from standard input
    #[arg(value_name = "-", allow_hyphen_values = true)]
    key: Option<String>,
    /// Its name in logs [default: k- and 12 hexadecimal digits of its hash]
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

Exit codes: 0 it is in the database, 1 the database cannot be used, 2 the command line is wrong, that is no key, or it is \
there already.";

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
                    let id = stored.id;
                    return Err(wrong(format!(
                        "the key is there already, as {id}: `keypool keys set {id}` changes it"
                    )));
                }
                if stored.id == key.id() {
                    let id = stored.id;
                    return Err(wrong(format!(
                        "{id} is another key: `keypool keys replace {id}` gives it a new secret"
                    )));
                }
            }
            database.put_key(stored(key.id(), secret, options)).await?;
            self.options.note_exit(&loaded);
            let path = database.path().display();
            if self.output.json {
                say_json(&json!({ "id": key.id(), "project": key.project_name(), "database": path.to_string() }));
            } else {
                say(format_args!("added {} to {path}", key.id()));
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// A key as the database keeps it: the id, the secret and the project have columns of their own.
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
