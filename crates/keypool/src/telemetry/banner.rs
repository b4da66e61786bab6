//! What is said at the start: the address, the keys, what is assumed, and how to try it.

use std::{fmt, net::SocketAddr, path::Path};

use tower_keypool::{Base, Provider, Tier};

use super::assumed::{Amounts, Assumed};
use crate::{
    gateway::token::PLACEHOLDER,
    keyfile::{Entry, KeyFile, Merged, Skipped},
};

/// More lines than this are counted, not shown.
const SHOWN: usize = 20;

/// The start of `serve`, as text.
pub struct Banner<'a> {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where requests go.
    pub upstream: &'a Base,
    /// Where the keys come from.
    pub path: &'a Path,
    /// What was there.
    pub file: &'a KeyFile,
    /// What is known of limits where the file gives none.
    pub provider: &'a dyn Provider,
    /// Whether clients need a token that somebody chose (it is not shown).
    pub own_token: bool,
}

impl fmt::Display for Banner<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "keypool {} listens on {}", env!("CARGO_PKG_VERSION"), self.url())?;
        writeln!(f, "requests go to {}", self.upstream)?;
        self.keys(f)?;
        self.limits(f)?;
        writeln!(f, "counts are in memory: after a restart, what was used today is not known")?;
        self.snippet(f)
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
        format!("http://{address}")
    }

    fn keys(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KeyFile { entries, skipped, merged } = self.file;
        write!(f, "{} from {}", count(entries.len(), "key"), self.path.display())?;
        if !skipped.is_empty() {
            write!(f, ", {} skipped", count(skipped.len(), "line"))?;
        }
        if !merged.is_empty() {
            write!(f, ", {} there twice", count(merged.len(), "key"))?;
        }
        writeln!(f)?;
        for Skipped { line, error } in skipped.iter().take(SHOWN) {
            writeln!(f, "  line {line} is skipped: {error}")?;
        }
        more(f, skipped.len(), "lines are skipped")?;
        for Merged { line, into } in merged.iter().take(SHOWN) {
            writeln!(f, "  line {line} is the key of line {into} again")?;
        }
        more(f, merged.len(), "keys are there twice")?;
        for Entry { line, id, tier, owner, limits, .. } in entries.iter().take(SHOWN) {
            write!(f, "  line {line}: {id}")?;
            match tier {
                Some(Tier::Free) => f.write_str(", free")?,
                Some(Tier::Paid) => f.write_str(", paid")?,
                Some(Tier::Named(name)) => write!(f, ", {name}")?,
                _ => {}
            }
            if let Some(owner) = owner {
                write!(f, ", owner {owner}")?;
            }
            if !limits.is_empty() {
                write!(f, ", {}", Amounts(limits))?;
            }
            writeln!(f)?;
        }
        more(f, entries.len(), "keys")
    }

    fn limits(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let owned = self.file.entries.iter().filter(|entry| entry.owner.is_some()).count();
        write!(f, "{}", Assumed { file: self.file, provider: self.provider })?;
        let alone = self.file.entries.len() - owned;
        if alone > 1 {
            writeln!(f, "keys of one project share one quota: give them the same owner= ({alone} keys name none)")?;
        }
        Ok(())
    }

    fn snippet(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url();
        let header = if self.own_token {
            "\"x-goog-api-key: $KEYPOOL_TOKEN\"".to_owned()
        } else {
            format!("'x-goog-api-key: {PLACEHOLDER}'")
        };
        writeln!(f, "try it:")?;
        writeln!(f, "  curl -H {header} {url}/v1beta/models/gemini-2.5-flash:generateContent \\")?;
        writeln!(f, "    -d '{{\"contents\":[{{\"parts\":[{{\"text\":\"Hello\"}}]}}]}}'")?;
        let token =
            if self.own_token { "os.environ[\"KEYPOOL_TOKEN\"]".to_owned() } else { format!("\"{PLACEHOLDER}\"") };
        write!(f, "  python: genai.Client(api_key={token}, http_options={{\"base_url\": \"{url}\"}})")
    }
}

fn count(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

fn more(f: &mut fmt::Formatter<'_>, all: usize, what: &str) -> fmt::Result {
    match all.saturating_sub(SHOWN) {
        0 => Ok(()),
        rest => writeln!(f, "  and {rest} more {what}"),
    }
}
