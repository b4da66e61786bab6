//! A key's secret from whoever types it: a prompt that does not show it, standard input, or the command line.

use std::io::{IsTerminal, Read};

use anyhow::anyhow;
use tower_keypool::{
    config::{KeySpec, Origin},
    store::{KeptSecret, KeyBook},
};

use super::Failure;
use crate::{
    database::{Database, SecretKey},
    gateway::token::PLACEHOLDER,
};

/// Reads it: from the command line, which is warned of, or where that says `-` or nothing from a prompt or from
/// standard input.
pub(super) fn ask(given: Option<&str>) -> Result<KeySpec, Failure> {
    let text = match given {
        Some(key) if key != "-" => {
            eprintln!(
                "keypool: warning: a key on the command line stands in the shell's history and in the list of \
                 processes; `-` reads it from standard input"
            );
            key.to_owned()
        }
        _ if std::io::stdin().is_terminal() => {
            rpassword::prompt_password("API key (it is not shown): ").map_err(Failure::run)?
        }
        _ => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(Failure::run)?;
            text
        }
    };
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    match (lines.next(), lines.next()) {
        (None, _) => Err(Failure::config(anyhow!("there is no key on standard input"))),
        (Some(_), Some(_)) => {
            Err(Failure::config(anyhow!("that is more than one line: `keypool import -` takes many keys")))
        }
        (Some(line), None) => read(line),
    }
}

/// A key, if it is one.
pub(super) fn read(text: &str) -> Result<KeySpec, Failure> {
    KeySpec::read(text, &[PLACEHOLDER], Origin::named("command line"))
        .map_err(|error| Failure::config(anyhow!("that is no API key: {error}")))
}

/// Whether a word of the command line may be a key, so that it is not printed.
pub(super) fn may_be(word: &str) -> bool {
    let mixed = word.bytes().any(|byte| byte.is_ascii_digit()) && word.bytes().any(|byte| byte.is_ascii_alphabetic());
    let begins = ["AIza", "AQ.", "sk-"].iter().any(|prefix| word.starts_with(prefix));
    begins || (mixed && !word.contains(['/', '\\']) && KeySpec::read(word, &[], Origin::Default).is_ok())
}

/// How a secret is kept in this database, and what is to be said of that.
pub(super) fn keep(spec: &KeySpec, plain: bool, database: &Database) -> Result<(KeptSecret, Option<String>), Failure> {
    let is_server = database.path().is_none();
    if plain && is_server {
        return Err(Failure::config(anyhow!(
            "--plain: in Redis secrets are always encrypted (with KEYPOOL_SECRET_KEY)"
        )));
    }
    if plain {
        return Ok((KeptSecret::Plain(spec.secret().to_owned()), None));
    }
    let mut key = SecretKey::of(database.path()).map_err(Failure::config)?;
    let (keeping, made) = key.keeping().map_err(if is_server { Failure::config } else { Failure::run })?;
    let kept = keeping.keep(spec.secret()).map_err(Failure::run)?;
    let made = made.then(|| key.file().map(|file| file.display().to_string())).flatten();
    Ok((kept, made))
}

/// Said once, when the file is made.
pub(super) fn made(file: &str) -> String {
    format!(
        "secrets are encrypted with the key in {file}, made just now for you alone; keep a copy of it, apart from \
         copies of the database (or set KEYPOOL_SECRET_KEY)"
    )
}

/// The key that is meant by what was typed: a name, or the secret itself, which is not printed.
pub(super) fn named(book: &KeyBook, typed: &str) -> Result<String, Failure> {
    if let Some(key) = book.by_hash(&KeySpec::new(typed, Origin::Default).hash()) {
        return Ok(key.record.id.clone());
    }
    match book.find(typed) {
        Err(_) if KeySpec::read(typed, &[], Origin::Default).is_ok() => Err(Failure::config(anyhow!(
            "the database has no such key (what was typed may be a secret, and is not shown); `keypool keys` lists \
             them by name"
        ))),
        Err(error) => Err(Failure::config(error)),
        Ok(key) => Ok(key.record.id.clone()),
    }
}
