//! Which keys a command works with, and where they lead: as `serve` has them.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use anyhow::Context;
use clap::Args;
use tower_keypool::{
    KeyPool,
    config::{Origin, Setting},
};

use super::{Failure, serve};
use crate::{
    config::{Inputs, Loaded},
    database::{Database, Keys, Place, Site},
};

/// Keys, and whose API they are for.
#[derive(Debug, Args)]
pub(super) struct Source {
    /// Key file (repeatable) [default: key.txt, if there is one] [env: KEYPOOL_KEYS, API_KEY_FILE]
    #[arg(long, value_name = "FILE")]
    keys: Vec<String>,

    /// Whose API the keys are for: gemini, openai or anthropic [default: gemini] [env: KEYPOOL_PROVIDER]
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,

    /// Where requests go: http(s)://host[:port][/path] [default: the provider's address] [env: KEYPOOL_UPSTREAM]
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,

    /// Certificates to trust in the place of Mozilla's, in PEM [env: KEYPOOL_CACERT]
    #[arg(long, value_name = "FILE")]
    cacert: Option<String>,

    #[command(flatten)]
    pub(super) database: Place,
}

/// An option, the setting that it stands for, and what it says.
pub(super) type Said = (&'static str, &'static str, Option<String>);

impl Source {
    /// The configuration, with these options over it, which win.
    pub(super) fn inputs(&self, more: impl IntoIterator<Item = Said>) -> Inputs {
        let files = (!self.keys.is_empty()).then(|| self.keys.join(","));
        let given = [
            ("--keys", "pool.key_files", files),
            ("--provider", "gateway.provider", self.provider.clone()),
            ("--upstream", "gateway.upstream", self.upstream.clone()),
            ("--cacert", "gateway.cacert", self.cacert.clone()),
        ];
        let flags = given.into_iter().chain(more);
        let flags = flags.filter_map(|(flag, path, value)| Some(Setting::new(path, value?, Origin::flag(flag))));
        Inputs::new(self.database.config().cloned(), flags.chain(self.database.flags()).collect())
    }
}

/// A text, or the file that is named behind an `@`.
pub(super) fn text_or_file(text: &str) -> Result<String, Failure> {
    match text.strip_prefix('@') {
        Some(path) => {
            tower_keypool::config::read_text(path).with_context(|| format!("--system {text}")).map_err(Failure::config)
        }
        None => Ok(text.to_owned()),
    }
}

/// A pool over all keys, and what it goes by.
pub(super) struct Opened {
    pub(super) pool: KeyPool,
    /// Where it counts, unless in memory alone.
    pub(super) database: Option<Database>,
    /// The keys of the database, to be followed, and what else it was made of.
    pub(super) keys: Keys,
    pub(super) inputs: Inputs,
}

/// The pool over all keys, those of the database included, which counts there. `loaded` has them from then on.
pub(super) async fn pool(mut inputs: Inputs, loaded: &mut Loaded) -> Result<Opened, Failure> {
    let site = Site::of(&loaded.store);
    let joined = serve::join(&site, &inputs, loaded).await?;
    let database = joined.database();
    let mut keys = Keys::new(&site, database.clone());
    match keys.begin().await {
        Ok(told) => *loaded = inputs.hear_beside(told, loaded.clone()),
        Err(error) => tracing::warn!("{error}; keys in the database are not used"),
    }
    if loaded.keys.is_empty() {
        return Err(Failure::config(serve::NoKey::of(loaded)));
    }
    Ok(Opened { pool: serve::pool(loaded, joined).await?, database, keys, inputs })
}
