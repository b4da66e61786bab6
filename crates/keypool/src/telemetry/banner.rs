//! What is said at the start: the address, the keys, what is assumed, and how to try it.

use std::{fmt, net::SocketAddr};

use tower_keypool::Base;

use super::{
    assumed::{Amounts, Assumed},
    snippet::Snippet,
};
use crate::config::{Beside, Loaded, by_place};

/// More keys than this are counted, not shown.
const SHOWN: usize = 20;
/// More than so many values that are not used: each is named by its line, since somebody has to find it.
const NOTED: usize = 1_000;

/// The start of `serve`, as text.
#[derive(Debug)]
pub struct Banner<'a> {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where requests go.
    pub upstream: &'a Base,
    /// What it goes by.
    pub loaded: &'a Loaded,
    /// Where counts outlive the process, if they do.
    pub kept_in: Option<&'a str>,
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (version, scheme, address) = (env!("CARGO_PKG_VERSION"), self.scheme(), self.address);
        writeln!(f, "keypool {version} listens on {scheme}://{address}")?;
        writeln!(f, "requests go to {}", self.upstream)?;
        self.keys(f)?;
        self.limits(f)?;
        match self.kept_in {
            Some(place) => writeln!(f, "counts, rests and disabled keys are kept in {place}")?,
            None => writeln!(
                f,
                "counts are in memory: after a restart, what was used today is not known (--db FILE keeps them)"
            )?,
        }
        let url = self.url();
        let (provider, own_token) = (self.loaded.config.gateway.provider, self.loaded.own_token);
        Snippet { url: &url, provider, own_token }.fmt(f)
    }
}

impl Banner<'_> {
    /// An address that a client on this machine can use.
    fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("{}://{address}", self.scheme())
    }

    fn scheme(&self) -> &'static str {
        if self.loaded.certified.is_some() { "https" } else { "http" }
    }

    fn keys(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = &self.loaded.keys;
        writeln!(f, "{}", by_place(keys))?;
        let notes = || self.loaded.notes();
        for note in notes().take(NOTED) {
            writeln!(f, "  {note}")?;
        }
        more(f, notes().count().saturating_sub(NOTED), "values are not used or there twice")?;
        for key in keys.keys.iter().take(SHOWN) {
            let origins: Vec<String> = key.origins.iter().map(ToString::to_string).collect();
            write!(f, "  {}: {}", origins.join(" and "), key.key().key_id())?;
            if let Some(tier) = &key.tier {
                write!(f, ", {}", tier.name())?;
            }
            if let Some(owner) = &key.owner {
                write!(f, ", owner {owner}")?;
            }
            for (model, limits) in &key.limits {
                let of = if model == "*" { String::new() } else { format!("{model} ") };
                write!(f, ", {of}{}", Amounts(limits))?;
            }
            writeln!(f)?;
        }
        more(f, keys.keys.len().saturating_sub(SHOWN), "keys")?;
        for Beside { name, provider, .. } in &self.loaded.beside {
            // How many it has is not known before its database is read.
            writeln!(f, "beside it: {name}, at {} (/to/{name}/…)", provider.base())?;
        }
        Ok(())
    }

    fn limits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = &self.loaded.keys.keys;
        if keys.is_empty() {
            return Ok(());
        }
        write!(f, "{}", Assumed(self.loaded))?;
        let alone = keys.iter().filter(|key| key.owner.is_none()).count();
        if alone > 1 {
            writeln!(f, "keys of one project share one quota: give them the same owner= ({alone} keys name none)")?;
        }
        Ok(())
    }
}

/// Those that are not shown.
fn more(f: &mut fmt::Formatter<'_>, rest: usize, what: &str) -> fmt::Result {
    if rest == 0 { Ok(()) } else { writeln!(f, "  and {rest} more {what}") }
}
