//! `keypool keys`

use std::{collections::HashMap, process::ExitCode};

use clap::{Args, Subcommand};
use keypool_store::sqlite::{StoredKey, UsageQuery};
use serde_json::{Value, json};
use tower_keypool::{
    KeyId,
    store::{BreakerTarget, Record},
};

use super::{
    block_on,
    key_options::{self, KeyOptions},
    key_rows::SHORT,
    opened::{Opened, Source},
    output::{Json, plain, print, print_json, quoted, table, wrong},
};
use crate::{
    config::Inputs,
    key_row::{KeyRow, key_rows},
    key_sources, usage,
};

/// List all keys with their source, state and usage, or change one. A running gateway applies a change within 2 s.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Keys {
    #[command(subcommand)]
    change: Option<Change>,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    output: Json,
}

const EXAMPLES: &str = "\
Examples:
  keypool keys
  keypool keys show work
  keypool keys set work --weight 2 --rpd 250
  keypool keys disable work --reason 'costs too much'
  keypool keys enable work

Exit codes: 0 done, 1 the database cannot be used, 2 the command line or the configuration is wrong, or there is no such key.";

#[derive(Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is only one, at startup")]
enum Change {
    /// Show the options, the given limits and the state of one key
    Show {
        /// The id of the key
        id: String,
    },
    /// Change options of a key in the database; an empty value removes an option
    Set {
        /// The id of the key
        id: String,
        #[command(flatten)]
        options: KeyOptions,
    },
    /// Stop using a key until it is enabled; works for all keys, also those in files
    Disable {
        /// The id of the key
        id: String,
        /// The reason, which `keypool keys` shows
        #[arg(long, value_name = "TEXT", default_value = "with keypool keys disable")]
        reason: String,
    },
    /// Use a key again, and end its cooldowns and those of its project, billing account and exit
    Enable {
        /// The id of the key
        id: String,
    },
    /// Change the secret of a key in the database; its id, counts and options stay
    Replace {
        /// The id of the key
        id: String,
        /// Use - to read the secret from standard input; without it, keypool prompts for the secret and does not show
        /// it
        #[arg(value_name = "-")]
        key: Option<String>,
    },
    /// Remove a key from the database; its recorded usage stays
    Remove {
        /// The id of the key
        id: String,
    },
}

impl Keys {
    pub(super) fn run(self, mut inputs: Inputs) -> anyhow::Result<ExitCode> {
        self.source.set(&mut inputs);
        let json = self.output.json;
        block_on(Some(2), async {
            let opened = match self.change {
                None | Some(Change::Show { .. }) => Opened::read(&inputs).await?,
                Some(_) => Opened::open(&inputs).await?,
            };
            let (id, what) = match self.change {
                None => return list(&opened, json).await,
                Some(Change::Show { id }) => return show(&opened, &id, json).await,
                Some(Change::Set { id, options }) => set(&opened, id, &options).await?,
                Some(Change::Disable { id, reason }) => disable(&opened, id, reason).await?,
                Some(Change::Enable { id }) => enable(&opened, id).await?,
                Some(Change::Replace { id, key }) => replace(&opened, id, key.as_deref()).await?,
                Some(Change::Remove { id }) => remove(&opened, id).await?,
            };
            if json {
                print_json(&json!({ "id": id, "done": what }));
            } else {
                print(format_args!("{id} is {what}"));
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Returns all keys of all providers.
pub(super) async fn rows(opened: &Opened) -> anyhow::Result<Vec<KeyRow>> {
    let utc = usage::today("UTC");
    let used: HashMap<(i32, KeyId), u64> = match &opened.stores.sqlite {
        Some(database) => {
            let rows = database.usage(UsageQuery::of_days(utc - 1..=utc + 1).by_day().by_key()).await?;
            rows.into_iter().filter_map(|row| Some(((row.date?, row.key?), row.used.requests))).collect()
        }
        None => HashMap::new(),
    };
    let mut all = Vec::new();
    for provider in opened.pools.iter() {
        let today = usage::today(provider.pool.provider().zone());
        for mut row in key_rows(provider, &provider.pool.snapshot(0, usize::MAX), |_| true) {
            let id = KeyId::new(row.id.as_str());
            opened.place(&provider.name, &id).clone_into(&mut row.listed_at);
            row.used_today = opened.stores.sqlite.as_ref().map(|_| used.get(&(today, id)).copied().unwrap_or(0));
            all.push(row);
        }
    }
    Ok(all)
}

pub(super) const NO_KEY: &str = "there is no key: add one with `keypool add-key`, or name the gateway's source: --keys FILE, key.txt or \
    a variable such as GEMINI_API_KEY or OPENAI_API_KEY";

/// Returns a sentence for each key of a provider, or how to add one.
pub(super) async fn sentences(opened: &Opened, provider: &str) -> anyhow::Result<Vec<String>> {
    let rows = rows(opened).await?;
    let sentences: Vec<_> = rows.iter().filter(|row| row.provider == provider).map(KeyRow::sentence).collect();
    Ok(if sentences.is_empty() { vec![NO_KEY.to_owned()] } else { sentences })
}

/// Prints what is set for a key, and its state.
async fn show(opened: &Opened, id: &str, json: bool) -> anyhow::Result<ExitCode> {
    opened.find(&id.into())?;
    let rows = rows(opened).await?;
    let Some(row) = rows.iter().find(|row| row.id == id) else {
        return Err(skipped(id));
    };
    let value = row.json();
    if json {
        print_json(&value);
        return Ok(ExitCode::SUCCESS);
    }
    let limits = row.given.iter().map(|limit| {
        let model = if limit.model == "*" { "each model" } else { &limit.model };
        format!("{} {} per {} for {model}", limit.limit, limit.unit.to_string().replace('_', " "), limit.span)
    });
    let limits = limits.collect::<Vec<_>>().join(", ");
    let is_default = |name: &str, value: &Value| match name {
        "in_flight" | "started" | "succeeded" | "failed" | "in_database" | "breakers" | "limits" | "given" => true,
        "weight" => *value == 1,
        "priority" => *value == 0,
        "tier" => *value == "unknown",
        _ => matches!(value.as_str(), Some("")) || value.is_null(),
    };
    let fields = value.as_object().into_iter().flatten().filter(|(name, value)| !is_default(name, value));
    let fields = fields.map(|(name, value)| {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
            other => other.to_string(),
        };
        (name.replace('_', " "), text)
    });
    for (name, text) in fields.chain((!limits.is_empty()).then(|| ("given limits".to_owned(), limits))) {
        print(plain(&format!("{name}: {text}")));
    }
    Ok(ExitCode::SUCCESS)
}

fn skipped(id: &str) -> anyhow::Error {
    let id = quoted(id);
    wrong(format!("{id} is skipped, because it cannot be used: change it with `keypool keys set {id}`"))
}

async fn list(opened: &Opened, json: bool) -> anyhow::Result<ExitCode> {
    let rows = rows(opened).await?;
    if json {
        print_json(&rows.iter().map(KeyRow::json).collect::<Vec<_>>());
        return Ok(ExitCode::SUCCESS);
    }
    if rows.is_empty() {
        print(NO_KEY);
        return Ok(ExitCode::SUCCESS);
    }
    let cells = rows.iter().map(|row| {
        let why =
            [row.why(SHORT), row.advice()].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join(" → ");
        let used = row.used_today.map_or_else(|| "-".to_owned(), |used| used.to_string());
        let project = if row.project == row.id { "-".to_owned() } else { row.project.clone() };
        [row.id.clone(), row.listed_at.clone(), project, row.state.as_str().to_owned(), used, row.used(), why]
    });
    print(table(["key", "listed at", "project", "state", "today", "used/limit", "why, time left, what to do"], cells));
    Ok(ExitCode::SUCCESS)
}

/// Returns the key in the database, or an error with the place where the key is listed.
async fn of_database(opened: &Opened, id: &KeyId) -> anyhow::Result<StoredKey> {
    let (provider, place) = opened.find(id)?;
    let stored = opened.database()?.key(id).await?;
    let is_listed_elsewhere = place != "database" || *provider.name != *opened.pools.own().name;
    match stored {
        Some(stored) if !is_listed_elsewhere => Ok(stored),
        _ => Err(wrong(format!("{id} is listed in {place}: change it there (disable and enable work for all keys)"))),
    }
}

async fn set(opened: &Opened, id: String, given: &KeyOptions) -> anyhow::Result<(String, &'static str)> {
    let key = of_database(opened, &id.as_str().into()).await?;
    if given.is_empty() {
        return Err(wrong("there is nothing to set: name an option, such as --rpm 10"));
    }
    let mut options = key_sources::options_of(&key);
    given.apply(&mut options);
    opened.database()?.put_key(key_sources::stored_from(options, &opened.loaded).map_err(wrong)?.1).await?;
    given.warn_of_unknown_exit(&opened.loaded);
    Ok((id, "changed"))
}

async fn disable(opened: &Opened, id: String, reason: String) -> anyhow::Result<(String, &'static str)> {
    let key = KeyId::new(id.as_str());
    opened.find(&key)?;
    let target = BreakerTarget::Key(key);
    let record = Record::Open { target, until_ms: None, class: None, reason: Some(reason.into()) };
    opened.store()?.record(vec![record]).await?;
    Ok((id, "disabled"))
}

async fn enable(opened: &Opened, id: String) -> anyhow::Result<(String, &'static str)> {
    let key = KeyId::new(id.as_str());
    let (provider, _) = opened.find(&key)?;
    opened.store()?.load().await?;
    provider.pool.enable(&key).map_err(|_| skipped(&id))?;
    provider.pool.shutdown().await;
    anyhow::ensure!(!provider.pool.store_refuses_requests(), "the store is unavailable, so {id} is not enabled");
    Ok((id, "enabled"))
}

async fn replace(opened: &Opened, id: String, given: Option<&str>) -> anyhow::Result<(String, &'static str)> {
    let mut options = key_sources::options_of(&of_database(opened, &id.as_str().into()).await?);
    let secret = key_options::read_secret(given)?;
    let database = opened.database()?;
    if let Some(other) = key_sources::with_secret(database, secret.expose()).await? {
        return Err(wrong(format!("{} has this secret already: give another one", other.id)));
    }
    options.insert("secret".to_owned(), secret.expose().into());
    let (_, key) = key_sources::stored_from(options, &opened.loaded).map_err(wrong)?;
    let target = BreakerTarget::Key(key.id.clone());
    database.put_key(key).await?;
    // A cooldown of the old secret does not apply to the new one.
    opened.store()?.record(vec![Record::Closed { target }]).await?;
    Ok((id, "replaced"))
}

async fn remove(opened: &Opened, id: String) -> anyhow::Result<(String, &'static str)> {
    let key = of_database(opened, &id.as_str().into()).await?;
    opened.database()?.remove_key(&key.id).await?;
    Ok((id, "removed"))
}
