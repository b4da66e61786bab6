//! `[exits.NAME]`: ways out to the provider, for keys that name one.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::PathBuf,
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower_keypool::{
    Exit,
    config::{Document, KeyEntry, KeySet, Name, Problem, SecretText, Source},
};

use super::{
    Config,
    reading::{Reading, UNREAD},
};
use crate::client::{WayOut, WaysOut};

/// A way out: exactly one of `proxy`, `proxy_env`, `proxy_file` and `local_address`. Keys go out by it that name it
/// (`exit = "NAME"`), and those of its owners.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    { "required": ["proxy"] },
    { "required": ["proxy_env"] },
    { "required": ["proxy_file"] },
    { "required": ["local_address"] },
]))]
pub struct ExitEntry {
    /// A proxy: http://host:port, https://host:port (TLS to the proxy itself, whose certificate is held to the same roots
    /// as the provider's) or socks5://host:port, with user:password@ before the host where it asks for them. Rather keep
    /// one with a password elsewhere: proxy_env, proxy_file.
    pub proxy: Option<SecretText>,
    /// The variable of the environment that holds it.
    pub proxy_env: Option<String>,
    /// The file that holds it, and nothing else; relative to this configuration's folder.
    pub proxy_file: Option<PathBuf>,
    /// An address of this machine to go out by.
    #[schemars(regex(pattern = "^[0-9A-Fa-f:.]+$"))]
    pub local_address: Option<String>,
    /// Owners whose keys go out by it, unless a key names another exit.
    pub owners: Vec<String>,
}

/// All of them, without fault.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exits {
    /// What they are.
    pub ways: WaysOut,
    /// Their names, also of those that something is wrong with.
    names: BTreeSet<String>,
    /// Whose keys go out by which.
    owners: BTreeMap<String, String>,
}

impl Exits {
    /// Gives keys the exit of their owner, where they name none. What names one that is not there is noted: no request
    /// goes out with it.
    pub(super) fn give(&self, keys: &mut KeySet) {
        for spec in &mut keys.keys {
            let of_owner = || self.of_owner(spec.owner.as_deref()).map(str::to_owned);
            spec.exit = spec.exit.take().or_else(of_owner);
            let unknown = spec.exit.as_deref().filter(|exit| !self.names.contains(*exit));
            if let Some(exit) = unknown {
                keys.notes.push(Problem::new(spec.origin(), "", said(exit)));
            }
        }
    }

    /// The exit of an owner's keys, where it has one.
    pub fn of_owner(&self, owner: Option<&str>) -> Option<&str> {
        self.owners.get(owner?).map(String::as_str)
    }

    /// Whether something says what this exit is.
    ///
    /// # Errors
    /// What is said of it where nothing does.
    pub fn knows(&self, exit: &str) -> Result<(), String> {
        if self.names.contains(exit) { Ok(()) } else { Err(said(exit)) }
    }

    /// What keys of the file `[[keys]]` at this place name that is not there.
    pub(super) fn check(&self, keys: &[KeyEntry], at: &str, document: &mut Document<'_>) {
        for (n, key) in keys.iter().enumerate() {
            let named = key.exit.as_ref().map(Name::as_str);
            if let Some(exit) = named.filter(|exit| !self.names.contains(*exit)) {
                document.problem(&format!("{at}[{n}].exit"), said(exit));
            }
        }
    }

    /// The same of keys that stand elsewhere.
    pub(super) fn problems<'a>(&'a self, sources: &'a [Source]) -> impl Iterator<Item = Problem> + 'a {
        let unknown = |exit: &&String| !self.names.contains(*exit);
        let keys = sources.iter().flat_map(|source| source.keys.iter().chain(source.said.values()));
        keys.filter_map(move |spec| {
            let exit = spec.exit.as_ref().filter(unknown)?;
            Some(Problem::new(spec.origin(), "exit", said(exit)))
        })
    }
}

fn said(exit: &str) -> String {
    let exit: String = exit.escape_debug().take(Exit::LONGEST).collect();
    format!("no [exits.{exit}] says what the exit {exit} of this key is")
}

/// All of them. What is wrong is noted.
pub(super) fn resolve(config: &Config, reading: &mut Reading<'_>) -> Exits {
    let mut owners = BTreeMap::new();
    let mut ways = Vec::new();
    for (name, entry) in &config.exits {
        let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        let place = if plain { format!("exits.{name}") } else { format!("exits.\"{name}\"") };
        let at = |field: &str| format!("{place}.{field}");
        if !Exit::is_valid(name) {
            reading.problem(&place, "an exit's name is 1 to 64 of A-Z a-z 0-9 . _ -");
        }
        for owner in &entry.owners {
            if owners.insert(owner.clone(), name.clone()).is_some_and(|other| other != *name) {
                reading.problem(&at("owners"), format!("the owner {} is another exit's already", owner.escape_debug()));
            }
        }
        let said = [
            entry.proxy.is_some() || entry.proxy_file.is_some(),
            entry.proxy_env.is_some(),
            entry.local_address.is_some(),
        ];
        if said.into_iter().filter(|said| *said).count() != 1 {
            reading.problem(&place, "expected exactly one of proxy, proxy_env, proxy_file and local_address");
            continue;
        }
        let way = if let Some(address) = &entry.local_address {
            let address = address.parse::<IpAddr>().ok();
            if address.is_none() {
                reading.problem(&at("local_address"), "expected an address of this machine, such as 192.0.2.1");
            }
            address.map(WayOut::Local)
        } else {
            let (field, text) = if let Some(variable) = &entry.proxy_env {
                ("proxy_env", reading.environment.get(variable).map(str::to_owned))
            } else {
                let names = (at("proxy"), at("proxy_file"));
                let given = entry.proxy.as_ref().map(SecretText::expose);
                let text = reading.secret((&names.0, &names.1), given, entry.proxy_file.as_deref());
                (if entry.proxy.is_some() { "proxy" } else { "proxy_file" }, text)
            };
            match text.as_deref().map(WayOut::proxy) {
                None => {
                    reading.problem(&at(field), "this variable is not set in the environment");
                    None
                }
                Some(Ok(way)) => Some(way),
                // That it cannot be read was noted.
                Some(Err(_)) if text.as_deref() == Some(UNREAD) => None,
                Some(Err(error)) => {
                    reading.problem(&at(field), error.to_string());
                    None
                }
            }
        };
        ways.extend(way.map(|way| (name.clone(), way)));
    }
    Exits { ways: ways.into_iter().collect(), names: config.exits.keys().cloned().collect(), owners }
}
