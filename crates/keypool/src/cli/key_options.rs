//! Options of a key on the command line, which are those of key files; and where its secret is read.

use std::io::{IsTerminal, Read};

use clap::Args;
use serde_json::{Map, Value};
use tower_keypool::{
    Key, Secret,
    config::{KeyEntry, Loaded as LoadedKeys},
};

use super::output::wrong;
use crate::config::Loaded;

/// Options of a key. An empty value takes an option back.
#[derive(Args)]
pub(super) struct KeyOptions {
    /// The project that owns the quota: its keys share limits and cooldowns
    #[arg(long, alias = "owner", value_name = "NAME")]
    project: Option<String>,
    /// Whether the account pays: free, paid or unknown
    #[arg(long, value_name = "TIER")]
    tier: Option<String>,
    /// Keys of a lower number are used first [default: 0, of paid keys 10]
    #[arg(long, value_name = "NUMBER")]
    priority: Option<String>,
    /// Its share of the requests compared with others [default: 1]
    #[arg(long, value_name = "NUMBER")]
    weight: Option<String>,
    /// Requests a minute of its project, for each model
    #[arg(long, value_name = "NUMBER")]
    rpm: Option<String>,
    /// Prompt tokens a minute of its project, for each model
    #[arg(long, value_name = "NUMBER")]
    tpm: Option<String>,
    /// Requests a day of its project, for each model
    #[arg(long, value_name = "NUMBER")]
    rpd: Option<String>,
    /// The only models that it may be used for; a name may end in *
    #[arg(long, alias = "models", value_name = "MODEL,…")]
    model: Option<String>,
    /// Requests at the same time at most
    #[arg(long, value_name = "NUMBER")]
    concurrent: Option<String>,
    /// The shortest time from start to start of its requests: seconds, or 500ms, 2s, 1m
    #[arg(long, value_name = "TIME")]
    interval: Option<String>,
    /// The time zone in which its project's days end, such as America/Los_Angeles
    #[arg(long, value_name = "ZONE")]
    zone: Option<String>,
    /// What people call it
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,
    /// Where it is from
    #[arg(long, value_name = "TEXT")]
    source: Option<String>,
    /// The exit that its requests leave by: a name of [exits]
    #[arg(long, value_name = "NAME")]
    exit: Option<String>,
    /// The account that pays for its project
    #[arg(long, value_name = "NAME")]
    billing_account: Option<String>,
}

impl KeyOptions {
    /// The options that were given, by their names in key files.
    fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let options = [
            ("project", &self.project),
            ("tier", &self.tier),
            ("priority", &self.priority),
            ("weight", &self.weight),
            ("rpm", &self.rpm),
            ("tpm", &self.tpm),
            ("rpd", &self.rpd),
            ("models", &self.model),
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

    /// Sets the options in those of a key, and takes those back that are empty.
    pub(super) fn apply(&self, options: &mut Map<String, Value>) {
        for (name, value) in self.given() {
            match (value.trim(), value.trim().parse::<u64>()) {
                ("", _) => drop(options.remove(name)),
                (_, Ok(number)) => drop(options.insert(name.to_owned(), number.into())),
                (text, _) => drop(options.insert(name.to_owned(), text.into())),
            }
        }
    }

    /// Notes an exit that the configuration does not describe.
    pub(super) fn note_exit(&self, loaded: &Loaded) {
        if let Some(exit) =
            self.exit.as_deref().filter(|exit| !exit.is_empty() && !loaded.config.exits.contains_key(*exit))
        {
            super::output::note(format_args!(
                "the configuration describes no exit {exit}: the key is not used until [exits] has it"
            ));
        }
    }
}

/// Checks the options of a key, with its secret among them, as a key file's are checked.
pub(super) fn check(options: &Map<String, Value>, loaded: &Loaded) -> anyhow::Result<Key> {
    let entry = serde_json::from_value::<KeyEntry>(Value::Object(options.clone()))?;
    let mut read = LoadedKeys::default();
    read.add_entry("the database", entry, &loaded.environment);
    match (read.keys.pop(), read.problems.pop()) {
        (Some(key), _) => Ok(key),
        (None, problem) => Err(wrong(problem.map_or_else(String::new, |problem| problem.message))),
    }
}

/// Reads a key: from the terminal without showing it, or from standard input.
pub(super) fn read_secret(given: Option<&str>, loaded: &Loaded) -> anyhow::Result<Secret> {
    let text = match given {
        Some("-") | None if !std::io::stdin().is_terminal() => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(|error| wrong(format!("standard input: {error}")))?;
            text
        }
        Some("-") | None => rpassword::prompt_password("API key (not shown): ")?,
        Some(_) => {
            return Err(wrong(
                "a key on the command line is seen by everybody on this machine: leave it out to be asked, or use - to read it \
                 from standard input",
            ));
        }
    };
    let secret =
        Secret::new(text.trim()).map_err(|_| wrong("that is no key: expected one word of visible ASCII letters"))?;
    if secret.expose() == loaded.token.expose() {
        return Err(wrong("that is the token that clients send to the gateway, and no key of a provider"));
    }
    Ok(secret)
}
