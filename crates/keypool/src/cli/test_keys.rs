//! `keypool test-keys`: every key is asked for, how it stands with its provider.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::anyhow;
use clap::Args;
use serde_json::{Value, json};

use super::{Failure, model_name, say, say_json, secret, serve, source::Source, table::Columns};
use crate::{
    client::Calls,
    config::{Loaded, count},
    database::{Site, Stored},
    edits,
    examine::{self, Finding, Group, Manner, Standing},
    telemetry::plain,
};

/// Ask the provider about every key that `keypool serve` would have: which are good, and what to do about the others.
///
/// Each is asked for its list of models, and, for Gemini, to count the tokens of one word: neither costs quota. At most
/// four keys of a provider are asked at a time, those of one owner one after the other. A key whose quota is used up is
/// good. Keys that are switched off are not asked.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TestKeys {
    /// How often a call is made again that failed for no fault of the key's
    #[arg(long, value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=20))]
    max_retries: u32,

    /// Seconds to pause before that
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5, value_parser = seconds)]
    retry_delay: f64,

    /// The model to count tokens by [default: batch.model, else gemini-2.5-flash, else one of the key's own list]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,

    /// Ask those that are switched off, too
    #[arg(long)]
    all: bool,

    /// Switch keys off whose fault is for good (invalid, suspended), in the database; a gateway that runs follows within
    /// 2 s. `keypool keys enable` takes it back
    #[arg(long)]
    fix: bool,

    /// As JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    pool: Source,
}

const EXAMPLES: &str = "\
Examples:
  keypool test-keys
  keypool test-keys --fix                         and switch off what is invalid or suspended
  keypool test-keys --json | jq -r '.keys[] | select(.usable | not) | \"\\(.id): \\(.advice)\"'
  keypool test-keys --keys new.txt --max-retries 5 --retry-delay 2

Exit codes: 0 every key is usable, 1 some are not, 2 none is (or the command line or the configuration is wrong).";

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=3_600.0).contains(seconds));
    seconds.ok_or_else(|| "expected seconds, 0 to 3600".to_owned())
}

/// What became of keys whose fault is for good.
#[derive(Debug, Default)]
struct Fixed {
    disabled: Vec<String>,
    /// The database says nothing of keys of `[[providers]]`.
    left: Vec<String>,
}

impl TestKeys {
    pub(super) fn run(self) -> Result<(), Failure> {
        let loaded = self.pool.inputs([]).load().map_err(|errors| super::config::wrong(&errors))?;
        let site = Site::of(&loaded.store);
        let runtime = super::runtime()?;
        let stored = match runtime.block_on(Stored::look(&site)) {
            Err(error) if !loaded.keys.is_empty() => {
                eprintln!("keypool: note: the keys of the database {site} are not looked at: {error}");
                None
            }
            looked => looked.map_err(Failure::run)?,
        };
        let shut = stored.as_ref().map_or(0, Stored::shut);
        let loaded = loaded.with(&Stored::sources(stored));
        if loaded.keys.is_empty() && loaded.beside.is_empty() {
            return Err(Failure::config(serve::NoKey::of(&loaded)));
        }
        model_name::check(self.model.as_deref(), &loaded)?;
        for note in loaded.notes() {
            eprintln!("keypool: note: {}", plain(&secret::masked(note.to_string())));
        }
        let (asked, off) = self.groups(&loaded);
        let manner = Manner {
            max_retries: self.max_retries,
            retry_delay: Duration::from_secs_f64(self.retry_delay),
            model: self.model.clone().or_else(|| loaded.config.batch.model.clone()),
        };
        let calls = Calls::new(&loaded.roots, &loaded.exits.ways);
        let found = runtime.block_on(examine::examine(asked, &calls, &manner));
        let fixed = self.fix.then(|| self.fix(&loaded, &found)).transpose();
        let (fixed, unfixed) = match fixed {
            Ok(fixed) => (fixed, None),
            // What was found is told all the same.
            Err(failure) => (None, Some(failure)),
        };
        if self.json {
            say_json(&told(&found, &off, fixed.as_ref()));
        } else {
            tell(&found, &off, fixed.as_ref());
        }
        if shut > 0 {
            eprintln!(
                "keypool: note: {} of the database cannot be opened here, and were not asked",
                count(shut, "key")
            );
        }
        if let Some(Failure { code, error }) = unfixed {
            return Err(Failure { code, error: error.context("nothing was switched off") });
        }
        let usable = found.iter().filter(|key| key.usable).count();
        match found.len() + shut {
            all if usable == all && all > 0 => Ok(()),
            _ if usable == 0 => Err(Failure::with(2, anyhow!("no key is usable"))),
            all => Err(Failure::with(1, anyhow!("{} of {} not usable", all - usable, count(all, "key")))),
        }
    }

    /// Keys to ask, by provider; and those that are switched off.
    fn groups(&self, loaded: &Loaded) -> (Vec<Group>, Vec<Value>) {
        let own = Group {
            name: loaded.provider.name().to_owned(),
            provider: loaded.provider.clone(),
            keys: loaded.keys.keys.clone(),
        };
        let beside = loaded.beside.iter().map(|beside| Group {
            name: beside.name.clone(),
            provider: beside.provider.clone(),
            keys: beside.keys().keys.clone(),
        });
        let mut off = Vec::new();
        let mut groups: Vec<Group> = std::iter::once(own).chain(beside).collect();
        for group in &mut groups {
            group.keys.retain(|key| {
                let Some(reason) = key.disabled.as_ref().filter(|_| !self.all) else { return true };
                off.push(json!({
                    "id": key.key().key_id().to_string(),
                    "provider": group.name,
                    "verdict": Standing::Disabled,
                    "reason": reason,
                }));
                false
            });
        }
        (groups, off)
    }

    /// Switches off what is of no use any more.
    fn fix(&self, loaded: &Loaded, found: &[Finding]) -> Result<Fixed, Failure> {
        let mut fixed = Fixed::default();
        let (own, beside): (Vec<&Finding>, Vec<&Finding>) = found
            .iter()
            .filter(|key| key.for_good)
            .partition(|key| loaded.keys.keys.iter().any(|own| own.hash() == key.hash));
        fixed.left = beside.into_iter().map(|key| key.id.clone()).collect();
        if own.is_empty() {
            return Ok(fixed);
        }
        let reason = |key: &Finding| match &*key.code {
            "" => format!("test-keys: {}", key.verdict.name()),
            code => format!("test-keys: {code}"),
        };
        let bad: Vec<(String, String)> = own.into_iter().map(|key| (key.id.clone(), reason(key))).collect();
        let configured = loaded.keys.keys.clone();
        let runtime = super::runtime()?;
        // What is to be noted of the configuration was told.
        let store = runtime.block_on(self.pool.database.open_at(Site::of(&loaded.store)))?;
        let edited = runtime.block_on(store.edit_keys(move |book| {
            let mut disabled = Vec::with_capacity(bad.len());
            // With those that are good: `health` counts what the database knows of, and these alone would be all.
            edits::note(book, &configured);
            for (id, reason) in &bad {
                let id = edits::find(book, &configured, id)?;
                book.disable(&id, reason).map_err(Failure::config)?;
                disabled.push(id);
            }
            Ok::<_, Failure>(disabled)
        }));
        fixed.disabled = edited.map_err(Failure::run)??;
        Ok(fixed)
    }
}

fn tell(found: &[Finding], off: &[Value], fixed: Option<&Fixed>) {
    let several = found.windows(2).any(|two| two[0].provider != two[1].provider);
    let mut table = Columns::new(["key", "verdict", "models", "tier", "owner", "latency", "what to do"]);
    for key in found {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        let id = if several { format!("{} ({})", key.id, key.provider) } else { key.id.clone() };
        let code = match (key.status, &*key.code) {
            (_, "") | (Some(200), _) => String::new(),
            (None, code) => format!(": {code}"),
            (Some(status), code) => format!(": {status} {code}"),
        };
        table.row([
            id,
            format!("{}{code}", key.verdict.name()),
            models(&key.models),
            key.tier.clone(),
            or_none(&key.owner),
            key.latency.map_or_else(|| "-".to_owned(), |took| format!("{} ms", took.as_millis())),
            key.advice.clone(),
        ]);
    }
    say(&table.to_string());
    if !off.is_empty() {
        say(&format!("{} switched off and not asked (--all asks)", count(off.len(), "key")));
    }
    let mut kinds: BTreeMap<Standing, usize> = BTreeMap::new();
    for key in found {
        *kinds.entry(key.verdict).or_default() += 1;
    }
    let unknown: BTreeSet<&str> =
        found.iter().filter(|key| key.tier == "unknown" && key.usable).map(|key| &*key.tier_by).collect();
    for why in unknown {
        say(&format!("tier unknown: {}", plain(why)));
    }
    let kinds: Vec<String> = kinds.iter().map(|(kind, n)| format!("{n} {}", kind.name())).collect();
    say(&format!("{}: {}", count(found.len(), "key"), kinds.join(", ")));
    match fixed {
        Some(fixed) => {
            for id in &fixed.disabled {
                let id = plain(id);
                say(&format!("{id} is switched off (`keypool keys enable {id}` takes it back)"));
            }
            for id in &fixed.left {
                say(&format!("{} is a key of [[providers]]: take it out of the configuration", plain(id)));
            }
            if fixed.disabled.is_empty() && fixed.left.is_empty() {
                say("nothing to fix: no key's fault is for good");
            }
        }
        None if found.iter().any(|key| key.for_good) => say("--fix switches off what is invalid or suspended"),
        None => {}
    }
}

/// `12: gemini-2.5-flash, gemini-2.5-pro, …`.
fn models(names: &[String]) -> String {
    let first = names.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len() {
        0 => "-".to_owned(),
        1..=3 => first,
        many => format!("{many}: {first}, …"),
    }
}

fn told(found: &[Finding], off: &[Value], fixed: Option<&Fixed>) -> Value {
    let mut keys: Vec<Value> = found.iter().map(|key| json!(key)).collect();
    for key in &mut keys {
        let id = key["id"].as_str().unwrap_or_default().to_owned();
        key["disabled_now"] = fixed.is_some_and(|fixed| fixed.disabled.contains(&id)).into();
    }
    json!({
        "total": found.len(),
        "usable": found.iter().filter(|key| key.usable).count(),
        "keys": keys,
        "not_asked": off,
    })
}
