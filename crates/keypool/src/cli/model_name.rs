//! Names of models that somebody typed: what can be none is said at once, and not once for each task.

use std::path::Path;

use anyhow::anyhow;
use tower_keypool::config::is_key_for_path;

use super::Failure;
use crate::config::{Loaded, ProviderName};

/// Looks at the model of a command, and at those that may take its place.
pub(super) fn check(model: Option<&str>, loaded: &Loaded) -> Result<(), Failure> {
    let all = model.map(|model| ("--model", model)).into_iter();
    let fallback = loaded.config.pool.fallback.iter().map(|model| ("--fallback", model.as_str()));
    all.chain(fallback).try_for_each(|(option, name)| one(option, name, loaded.config.gateway.provider))
}

fn one(option: &str, name: &str, provider: ProviderName) -> Result<(), Failure> {
    if is_key_for_path(Path::new(name)) {
        return Err(Failure::config(anyhow!(
            "{option}: that looks like a key, and is not shown; a model is called such as gemini-2.5-flash, and keys come \
             with --keys FILE or `keypool add-key`"
        )));
    }
    let named = match provider {
        ProviderName::Gemini => keypool_client::check_model(name).map_err(|error| error.to_string()),
        // Whatever stands in a body.
        _ if name.trim().is_empty() || name.contains(char::is_control) => {
            Err(format!("{name:?} is no name of a model"))
        }
        _ => Ok(()),
    };
    named.map_err(|why| Failure::config(anyhow!("{option}: {why}")))
}
