//! Tokens that open a gateway: none of them is taken as a key, which would be sent to the provider.

use std::collections::BTreeSet;

use tower_keypool::config::{
    KeySpec,
    key_file::{KeyFile, LineError, Skipped},
};

use super::EditError;

/// Whether a secret is none of these tokens.
///
/// # Errors
/// That it is one, without showing it.
pub fn no_token(spec: &KeySpec, tokens: &BTreeSet<String>) -> Result<(), EditError> {
    if tokens.contains(&spec.hash()) {
        return Err(EditError::Wrong(format!("that is no API key: {}", LineError::ClientToken)));
    }
    Ok(())
}

/// Takes these tokens out of a key file, as lines that hold no key.
pub fn without_tokens(file: &mut KeyFile, tokens: &BTreeSet<String>) {
    let KeyFile { entries, skipped, .. } = file;
    entries.retain(|entry| {
        let is_key = !tokens.contains(&entry.spec.hash());
        if !is_key {
            skipped.push(Skipped { line: entry.line, entry: entry.entry, error: LineError::ClientToken });
        }
        is_key
    });
}
