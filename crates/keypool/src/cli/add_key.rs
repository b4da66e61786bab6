//! `keypool add-key`

use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, json};

use super::{
    block_on,
    key_options::{self, KeyOptions},
    opened::database,
    output::{Json, print, print_json, quoted, warn, wrong},
};
use crate::{config::Inputs, key_sources, store::Stores};

/// Add a key to the database. A running gateway uses it within 2 s.
///
/// The key is encrypted with KEYPOOL_SECRET_KEY. If that is not set, it is encrypted with the master key in the file
/// next to the database, which keypool creates.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AddKey {
    /// Use - to read the key from standard input; without it, keypool prompts for the key and does not show it
    #[arg(value_name = "-")]
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
        let secret = key_options::read_secret(self.key.as_deref())?;
        let mut options = Map::new();
        options.insert("secret".to_owned(), secret.expose().into());
        options.extend(self.id.map(|id| ("id".to_owned(), id.into())));
        self.options.apply(&mut options);
        let (key, stored) = key_sources::stored_from(options, &loaded).map_err(wrong)?;
        block_on(Some(1), async {
            let stores = Stores::open_database(&loaded).await?;
            let database = database(&stores)?;
            if let Some(same) = key_sources::with_secret(database, secret.expose()).await? {
                let id = quoted(same.id.as_str());
                return Err(wrong(format!(
                    "the database has this key already, as {id}: change it with `keypool keys set {id}`"
                )));
            }
            if database.key(&stored.id).await?.is_some() {
                let id = quoted(stored.id.as_str());
                return Err(wrong(format!(
                    "the database has another key named {id}: choose another --id, or change its secret with `keypool keys replace {id}`"
                )));
            }
            let listed = loaded.keys(&loaded.pools()[0]);
            let mut same =
                listed.keys.iter().filter(|other| other.has_secret(secret.expose()) || other.id() == key.id());
            if let Some(place) = same.find_map(|other| listed.place(&other.id())) {
                warn(format_args!("{place} lists this key, too, and takes precedence over the database"));
            }
            database.put_key(stored).await?;
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
