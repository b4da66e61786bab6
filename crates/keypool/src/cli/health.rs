//! `keypool health`: whether keys are usable, or a gateway is well, as an exit code.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use anyhow::anyhow;
use clap::Args;
use serde_json::json;

use super::{Failure, say, say_json};
use crate::{
    config::count,
    database::Whose,
    probe,
    standing::{Configured, State},
    telemetry::plain,
};

/// Whether the keys are usable, as the database tells: for cron and monitoring.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Health {
    #[command(flatten)]
    database: Whose,

    /// Ask a running gateway instead, as a container's health check: http(s)://HOST:PORT, with the path of a page, or
    /// /-/health [default: where the configuration and the environment let a gateway listen]
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    url: Option<String>,

    /// As JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  keypool health || echo 'look at the keys'
  keypool health --url http://127.0.0.1:5000/-/ready
  keypool health --json | jq -r '.keys[] | \"\\(.id): \\(.reason)\"'

Exit codes: 0 every key is usable, 1 some are not, or not for every model, 2 none is (or the command line is wrong, or \
the database cannot be read). With --url: 0 the gateway answers with 200, 1 it does not.";

impl Health {
    pub(super) fn run(self) -> Result<(), Failure> {
        if let Some(url) = &self.url {
            let url = if url.is_empty() {
                self.database.inputs().own_url().map_err(|problem| Failure::config(anyhow!("{problem}")))?
            } else {
                url.clone()
            };
            probe::address(&url).map_err(Failure::config)?;
            let asked = super::runtime()?.block_on(probe::ask(&url));
            if self.json {
                let (status, said) = match &asked {
                    Ok(said) => ("answers", said.clone()),
                    Err(error) => ("does not answer", format!("{error:#}")),
                };
                say_json(&json!({ "status": status, "url": url, "said": said }));
            }
            let said = asked.map_err(Failure::run)?;
            if !self.json {
                say(&plain(&said));
            }
            return Ok(());
        }
        let none = |error| Failure::with(2, error);
        let (standings, _) =
            super::runtime()?.block_on(Configured::of(&self.database).look(&self.database)).map_err(none)?;
        let all = standings.present().count();
        let whole = standings.present().filter(|key| key.state == State::Usable).count();
        let some = standings.present().filter(|key| matches!(key.state, State::Usable | State::Partly)).count();
        let (code, word) = match (all, whole, some) {
            (_, _, 0) => (2, "no key is usable"),
            (all, whole, _) if all == whole => (0, "all is well"),
            _ => (1, "degraded"),
        };
        let ailing: Vec<_> = standings.present().filter(|key| key.state != State::Usable).collect();
        if self.json {
            let keys: Vec<_> =
                ailing.iter().map(|key| json!({ "id": key.id, "state": key.state, "reason": key.reason })).collect();
            say_json(&json!({ "status": word, "total": all, "usable": whole, "partly": some - whole, "keys": keys }));
        } else {
            say(&format!("{word}: {whole} of {} usable", count(all, "key")));
            for key in ailing {
                say(&format!("  {} is {}: {}", plain(&key.id), key.state.name(), plain(&key.reason)));
            }
        }
        if code == 0 { Ok(()) } else { Err(Failure::with(code, anyhow!("{word}"))) }
    }
}
