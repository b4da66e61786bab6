//! `keypool tenants`: who may ask, each with a token of its own.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use std::{path::Path, time::UNIX_EPOCH};

use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde_json::json;
use tower_keypool::{
    Clock,
    config::{KeySpec, Name, is_key_for_path},
};

use super::{
    Failure, say, say_json,
    table::{Columns, moment, moment_if},
};
use crate::{
    config::{is_model, moment_of},
    database::{KeptTenant, Place, Records, tenants},
    edits::HOLDS_A_KEY,
    gateway::{
        capability::{Capability, hash_of},
        tenant::DEFAULT,
    },
};

/// List who may ask beside whoever has the gateway's one token, or change that; a gateway that runs takes each change
/// within 2 s.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct Tenants {
    #[command(subcommand)]
    task: Option<Task>,

    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Add one, and print its token: this once, since only its hash is kept
    #[command(after_help = "\
Examples:
  keypool tenants add alice
  keypool tenants add ci --models 'gemini-2.5-flash*' --rpm 30 --expires 2027-01-31
  keypool tenants add ci --json | jq -r .token")]
    Add(Box<Add>),
    /// List them
    #[command(after_help = "\
Examples:
  keypool tenants list --json")]
    List(List),
    /// Revoke their tokens; what belongs to them stays theirs, should they be added again
    #[command(after_help = "\
Examples:
  keypool tenants revoke alice
  keypool tenants revoke alice ci --json")]
    Revoke(Revoke),
}

const EXAMPLES: &str = "\
Examples:
  keypool tenants add alice
  keypool tenants add ci --models 'gemini-2.5-flash*' --rpm 30 --tpd 2000000 --expires 2027-01-31
  keypool tenants
  keypool tenants revoke alice

In keypool.toml the same are [[tenants]]. Minutes and days are the clock's (UTC), and limits hold over all processes that \
share the database.

Exit codes: 0 done, 1 the database cannot be read or written, 2 the command line is wrong, or no tenant is called so.";

#[derive(Debug, Args)]
struct Add {
    /// What it is called: letters, digits and the marks `-`, `_` and `.`, 64 at most
    name: String,

    /// Models that it may ask, with * at the end for all that begin so [default: all]
    #[arg(long, value_name = "MODEL,…", value_delimiter = ',')]
    models: Vec<String>,

    /// Requests a minute
    #[arg(long, value_name = "N")]
    rpm: Option<u64>,

    /// Requests a day
    #[arg(long, value_name = "N")]
    rpd: Option<u64>,

    /// Tokens a minute, of prompts and answers
    #[arg(long, value_name = "N")]
    tpm: Option<u64>,

    /// Tokens a day, of prompts and answers
    #[arg(long, value_name = "N")]
    tpd: Option<u64>,

    /// When its token ends: 2027-01-31, or 2027-01-31T12:00:00Z
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,

    /// Give one that is there another token, and these rights
    #[arg(long)]
    replace: bool,

    #[command(flatten)]
    database: Place,

    /// Print name and token as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct List {
    #[command(flatten)]
    database: Place,

    /// As JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Revoke {
    /// What they are called
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,

    #[command(flatten)]
    database: Place,

    /// Print what became of it as JSON
    #[arg(long)]
    json: bool,
}

impl Tenants {
    pub(super) fn run(self) -> Result<(), Failure> {
        super::runtime()?.block_on(async {
            match self.task {
                None => self.list.run().await,
                Some(Task::List(list)) => list.run().await,
                Some(Task::Add(add)) => add.run().await,
                Some(Task::Revoke(revoke)) => revoke.run().await,
            }
        })
    }
}

async fn records(place: &Place) -> Result<Records, Failure> {
    Ok(Records::Kept(place.open().await?))
}

fn now() -> i64 {
    let since = Clock::system().wall().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Whether a name is none for a configuration, which takes none that may be a key, or a word of it begins as keys do and is as
/// long.
fn holds_a_key(name: &str) -> bool {
    let begins = |at: usize| at == 0 || !name.as_bytes()[at - 1].is_ascii_alphanumeric();
    let mut words = name.char_indices().filter(|(at, _)| begins(*at));
    serde_json::from_value::<Name>(name.into()).is_err() || words.any(|(at, _)| is_key_for_path(Path::new(&name[at..])))
}

impl Add {
    async fn run(self) -> Result<(), Failure> {
        let Self { name, models, rpm, rpd, tpm, tpd, expires, replace, database, json } = self;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            return Err(Failure::config(anyhow!("a tenant's name has 1 to 64 letters, digits, - _ and .")));
        }
        let shows_a_key = || Failure::config(anyhow!(HOLDS_A_KEY));
        if holds_a_key(&name) {
            return Err(shows_a_key());
        }
        if name == DEFAULT {
            return Err(Failure::config(anyhow!("{DEFAULT} is whoever has the gateway's one token")));
        }
        if models.iter().any(|model| !is_model(model)) {
            return Err(Failure::config(anyhow!("--models: expected names of models, at most with a * at the end")));
        }
        let expires = match expires.as_deref() {
            None => None,
            Some(text) => Some(moment_of(text).ok_or_else(|| {
                Failure::config(anyhow!("--expires: expected a day such as 2027-01-31, or 2027-01-31T12:00:00Z"))
            })?),
        };
        if expires.is_some_and(|ends| ends <= now()) {
            return Err(Failure::config(anyhow!(
                "--expires: that is past already (a day stands for its beginning, in UTC)"
            )));
        }
        // One that is wrong is no reason to refuse it: the gateway keeps to the stricter limits of both all the same.
        let loaded = database.inputs().load().ok();
        let keys = loaded.iter().flat_map(|loaded| &loaded.keys.keys);
        if keys.map(KeySpec::secret).any(|secret| !secret.is_empty() && name.contains(secret)) {
            return Err(shows_a_key());
        }
        let configured = loaded.map(|loaded| loaded.tenants).unwrap_or_default();
        if configured.iter().any(|tenant| tenant.name == name) {
            return Err(Failure::config(anyhow!(
                "{name} is a tenant of the configuration already: choose another name"
            )));
        }
        let database = database.open().await?;
        let said = name.clone();
        if database.edit_keys(move |book| book.holds_secret(&said)).await.map_err(Failure::run)? {
            return Err(shows_a_key());
        }
        let records = Records::Kept(database);
        let known = tenants::all(&records).await.map_err(Failure::run)?;
        if !replace && known.iter().any(|known| known.name == name && known.revoked.is_none()) {
            return Err(Failure::config(anyhow!("{name} is there already; --replace gives it another token")));
        }
        let token = Capability::new().map_err(|error| Failure::run(anyhow!("no random numbers: {error}")))?;
        let token = format!("kp-{}", token.text());
        let token_hash = hash_of(token.as_bytes());
        let created = now();
        let tenant = KeptTenant { name, token_hash, models, rpm, tpm, rpd, tpd, expires, created, revoked: None };
        tenants::keep(&records, &tenant).await.map_err(Failure::run)?;
        if json {
            say_json(&json!({ "name": tenant.name, "token": token }));
            return Ok(());
        }
        eprintln!("{} may ask with this token, which is shown this once:", tenant.name);
        say(&token);
        Ok(())
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        // Without a database there are none, and none is made.
        let site = self.database.site().map_err(|errors| super::config::wrong(&errors))?;
        let records = if site.path().is_some_and(|path| !path.exists()) {
            Records::default()
        } else {
            Records::Kept(self.database.look().await?)
        };
        let all = tenants::all(&records).await.map_err(Failure::run)?;
        let now = now();
        let state = |tenant: &KeptTenant| match tenant.revoked {
            Some(_) => "revoked",
            None if tenant.expires.is_some_and(|ends| now >= ends) => "ended",
            None => "active",
        };
        if self.json {
            let list: Vec<_> = all
                .iter()
                .map(|tenant| {
                    json!({
                        "name": tenant.name, "state": state(tenant), "models": tenant.models,
                        "rpm": tenant.rpm, "rpd": tenant.rpd, "tpm": tenant.tpm, "tpd": tenant.tpd,
                        "created": moment(tenant.created), "expires": tenant.expires.map(moment),
                        "revoked": tenant.revoked.map(moment),
                    })
                })
                .collect();
            say_json(&list);
            return Ok(());
        }
        let mut table = Columns::new(["tenant", "state", "models", "limits", "created", "expires"]);
        for tenant in &all {
            let limits = [("rpm", tenant.rpm), ("rpd", tenant.rpd), ("tpm", tenant.tpm), ("tpd", tenant.tpd)];
            let limits: Vec<String> =
                limits.iter().filter_map(|(name, amount)| Some(format!("{name}={}", (*amount)?))).collect();
            let or_all = |list: &[String], all: &str| if list.is_empty() { all.to_owned() } else { list.join(", ") };
            table.row([
                tenant.name.clone(),
                state(tenant).to_owned(),
                or_all(&tenant.models, "all"),
                or_all(&limits, "none"),
                moment(tenant.created),
                moment_if(tenant.expires),
            ]);
        }
        say(&table.to_string());
        Ok(())
    }
}

impl Revoke {
    async fn run(self) -> Result<(), Failure> {
        let records = records(&self.database).await?;
        let known = tenants::all(&records).await.map_err(Failure::run)?;
        let mut revoked = Vec::new();
        for name in &self.names {
            let tenant = known.iter().find(|known| known.name == *name);
            let tenant = tenant.ok_or_else(|| Failure::config(anyhow!("no tenant is called {name}")))?;
            revoked.push(KeptTenant { revoked: Some(now()), ..tenant.clone() });
        }
        for tenant in &revoked {
            tenants::keep(&records, tenant).await.map_err(Failure::run)?;
            if !self.json {
                eprintln!("{} may ask no more", tenant.name);
            }
        }
        if self.json {
            say_json(
                &revoked.iter().map(|tenant| json!({ "name": tenant.name, "change": "revoked" })).collect::<Vec<_>>(),
            );
        }
        Ok(())
    }
}
