//! Command-line options of a key, which are the same as in key files, and the reading of its secret.

use std::io::{ErrorKind, IsTerminal, Read, Write as _};

use clap::Args;
use crossterm::{
    event::{self, Event, KeyCode, KeyModifiers},
    terminal,
};
use serde_json::{Map, Value};
use tower_keypool::Secret;

use super::{STOPPED, output::wrong};
use crate::config::Loaded;

/// Options of a key. An empty value removes an option.
#[derive(Args)]
pub(super) struct KeyOptions {
    /// The project that owns the quota; keys of one project share limits and cooldowns
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// The tier of the project: free, paid or unknown
    #[arg(long, value_name = "TIER")]
    tier: Option<String>,
    /// The priority; keys with a lower number are used first [default: 0, for paid keys 10]
    #[arg(long, value_name = "NUMBER")]
    priority: Option<String>,
    /// The share of requests relative to other keys [default: 1]
    #[arg(long, value_name = "NUMBER")]
    weight: Option<String>,
    /// The project's limit of requests per minute for each model
    #[arg(long, value_name = "NUMBER")]
    rpm: Option<String>,
    /// The project's limit of prompt tokens per minute for each model
    #[arg(long, value_name = "NUMBER")]
    tpm: Option<String>,
    /// The project's limit of requests per day for each model
    #[arg(long, value_name = "NUMBER")]
    rpd: Option<String>,
    /// The models that the key may be used for; a name may end in * [default: all]
    #[arg(long, value_name = "MODEL,…")]
    models: Option<String>,
    /// The maximum number of simultaneous requests
    #[arg(long, value_name = "NUMBER")]
    concurrent: Option<String>,
    /// The minimum time between the starts of two requests: seconds, or 500ms, 2s, 1m
    #[arg(long, value_name = "TIME")]
    interval: Option<String>,
    /// The time zone of the project's days, such as America/Los_Angeles
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// A description of the key
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// The origin of the key
    #[arg(long, value_name = "TEXT")]
    source: Option<String>,
    /// The exit (proxy) for requests with this key: a name in the section exits
    #[arg(long, value_name = "NAME")]
    exit: Option<String>,
    /// The billing account of the project
    #[arg(long, value_name = "NAME")]
    billing_account: Option<String>,
}

impl KeyOptions {
    /// Returns the given options under their names in key files.
    fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let options = [
            ("project", &self.project),
            ("tier", &self.tier),
            ("priority", &self.priority),
            ("weight", &self.weight),
            ("rpm", &self.rpm),
            ("tpm", &self.tpm),
            ("rpd", &self.rpd),
            ("models", &self.models),
            ("concurrent", &self.concurrent),
            ("interval", &self.interval),
            ("zone", &self.zone),
            ("label", &self.label),
            ("source", &self.source),
            ("exit", &self.exit),
            ("billing_account", &self.billing_account),
        ];
        options.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.given().next().is_none()
    }

    /// Sets the given options in those of a key, and removes options with an empty value.
    pub(super) fn apply(&self, options: &mut Map<String, Value>) {
        for (name, value) in self.given() {
            match (value.trim(), value.trim().parse::<u64>()) {
                ("", _) => drop(options.remove(name)),
                (_, Ok(number)) => drop(options.insert(name.to_owned(), number.into())),
                (text, _) => drop(options.insert(name.to_owned(), text.into())),
            }
        }
    }

    /// Warns of an exit that the configuration does not describe.
    pub(super) fn warn_of_unknown_exit(&self, loaded: &Loaded) {
        if let Some(exit) =
            self.exit.as_deref().filter(|exit| !exit.is_empty() && !loaded.config.exits.contains_key(*exit))
        {
            super::output::warn(format_args!(
                "the configuration has no exit {exit}: the key is not used until you add it to [exits]"
            ));
        }
    }
}

/// Reads a key: from the terminal without showing it, or from standard input.
pub(super) fn read_secret(given: Option<&str>) -> anyhow::Result<Secret> {
    let text = match given {
        Some("-") | None if !std::io::stdin().is_terminal() => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|error| wrong(format!("standard input: {error}")))?;
            text
        }
        Some("-") | None => prompt()?,
        Some(_) => {
            return Err(wrong(
                "other users of this machine can see a key on the command line: leave it out to be asked for it, or use - to \
                 read it from standard input",
            ));
        }
    };
    // An editor may have added the mark, and a shell the quotes.
    let text = text.trim_start_matches('\u{feff}').trim().trim_matches(['"', '\'', '`']);
    if text.split_whitespace().count() > 1 {
        return Err(wrong("expected one key without options: import several keys or options with `keypool import -`"));
    }
    // "=" at the end is part of a key.
    if text.trim_end_matches('=').contains('=') {
        return Err(wrong("expected a key without a name: import lines such as NAME=key with `keypool import -`"));
    }
    Secret::new(text).map_err(|_| wrong("this is not a key: expected visible ASCII characters without spaces"))
}

/// Reads a line from the terminal without showing it. In raw mode, Ctrl-C is a key and cannot leave the echo off.
fn prompt() -> anyhow::Result<String> {
    let _ = write!(std::io::stderr(), "API key (not shown): ");
    terminal::enable_raw_mode()?;
    let line = read_line();
    terminal::disable_raw_mode()?;
    let _ = writeln!(std::io::stderr());
    if line.as_ref().is_err_and(|error| error.kind() == ErrorKind::Interrupted) {
        std::process::exit(STOPPED.into());
    }
    line?.ok_or_else(|| wrong("no key was entered"))
}

/// Reads keys until Enter. Returns `None` after Ctrl-D or Escape, and an error after Ctrl-C.
fn read_line() -> std::io::Result<Option<String>> {
    let mut line = String::new();
    loop {
        let Event::Key(key) = event::read()? else { continue };
        if !key.is_press() && !key.is_repeat() {
            continue;
        }
        match key.code {
            KeyCode::Enter => return Ok(Some(line)),
            KeyCode::Esc => return Ok(None),
            KeyCode::Backspace => drop(line.pop()),
            KeyCode::Char(letter) if key.modifiers.contains(KeyModifiers::CONTROL) => match letter {
                'c' => return Err(ErrorKind::Interrupted.into()),
                'd' => return Ok(None),
                // Backspace in some terminals.
                'h' => drop(line.pop()),
                // Sent instead of Enter by a line feed that was pasted.
                'j' => return Ok(Some(line)),
                'u' => line.clear(),
                _ => {}
            },
            KeyCode::Char(letter) => line.push(letter),
            _ => {}
        }
    }
}
