//! A key's secret from whoever types it: a prompt that does not show it, standard input, or the command line.

use std::{
    io::{IsTerminal, Read},
    path::Path,
};

use anyhow::anyhow;
use tower_keypool::config::{KeySpec, Origin, is_key_for_path};

use super::{
    Failure,
    hidden::{self, Signals},
};
use crate::{edits, telemetry::plain};

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
            let typed = hidden::ask("API key (it is not shown): ", Signals::End)?;
            if typed.trim().is_empty() {
                return Err(hidden::nothing());
            }
            typed
        }
        _ => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).map_err(Failure::run)?;
            let text = String::from_utf8(bytes);
            text.map_err(|_| Failure::config(anyhow!("what comes on standard input is no text (UTF-8)")))?
        }
    };
    let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.is_empty());
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
    Ok(edits::read(text, "command line")?)
}

/// Whether a word of the command line may be a key, so that it is not printed.
pub(super) fn may_be(word: &str) -> bool {
    let mixed = word.bytes().any(|byte| byte.is_ascii_digit()) && word.bytes().any(|byte| byte.is_ascii_alphabetic());
    let begins = ["AIza", "AQ.", "sk-"].iter().any(|prefix| word.starts_with(prefix));
    begins || (mixed && !word.contains(['/', '\\']) && KeySpec::read(word, &[], Origin::Default).is_ok())
}

/// A message without what looks like a key where the command line or a variable names a path, a host or the like.
pub(super) fn masked(message: String) -> String {
    let words = std::env::args_os().skip(1).chain(std::env::vars_os().map(|(_, value)| value));
    let words = words.map(|word| word.to_string_lossy().into_owned());
    let parts =
        words.flat_map(|word| word.split(['=', '/', '\\', ',', ' ', '@', ':']).map(str::to_owned).collect::<Vec<_>>());
    let secrets = parts.filter(|part| is_key_for_path(Path::new(part)));
    secrets.fold(message, |message, secret| message.replace(&secret, "***"))
}

/// Said once, when the file is made.
pub(super) fn made(file: &str) -> String {
    format!(
        "secrets are encrypted with the key in {}, made just now for you alone; keep a copy of it, apart from copies of \
         the database (or set KEYPOOL_SECRET_KEY)",
        plain(file)
    )
}
