//! `keypool stats` and `keypool health`

use std::{collections::BTreeMap, process::ExitCode};

use clap::Args;
use serde::Serialize;
use serde_json::json;
use tower_keypool::store::BreakerTarget;

use super::{
    WRONG, block_on,
    keys::{NO_KEY, rows},
    opened::{Opened, Source},
    output::{Json, count, left, print, print_json, table},
};
use crate::{
    config::{Inputs, matches},
    key_row::{KeyRow, KeyState},
    usage::{self, Sum},
};

const STATS_EXIT_CODES: &str =
    "Exit codes: 0 done, 1 the database cannot be used, 2 the command line or the configuration is wrong.";

/// Show totals: keys by state, unavailable models, and today's usage.
#[derive(Args)]
#[command(after_help = STATS_EXIT_CODES)]
pub(super) struct Stats {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    output: Json,
}

/// Number of keys in each state.
#[derive(Clone, Debug, Default, Serialize)]
struct States {
    provider: String,
    keys: usize,
    usable: usize,
    partly: usize,
    half_open: usize,
    cooling: usize,
    disabled: usize,
    models_out: Vec<ModelOut>,
}

/// A model that is unavailable with all keys.
#[derive(Clone, Debug, Serialize)]
struct ModelOut {
    model: String,
    seconds_left: Option<u64>,
}

impl States {
    fn of(provider: &str, rows: &[KeyRow]) -> Self {
        let count = |state| rows.iter().filter(|row| row.provider == provider && row.state == state).count();
        Self {
            provider: provider.to_owned(),
            keys: rows.iter().filter(|row| row.provider == provider).count(),
            usable: count(KeyState::Usable),
            partly: count(KeyState::Partly),
            half_open: count(KeyState::HalfOpen),
            cooling: count(KeyState::Cooling),
            disabled: count(KeyState::Disabled),
            models_out: Vec::new(),
        }
    }
}

/// Returns the models that are at a limit or cooling down with each key that can be used for others.
fn out_of_quota(provider: &str, rows: &[KeyRow]) -> Vec<ModelOut> {
    let usable = |row: &&KeyRow| matches!(row.state, KeyState::Usable | KeyState::Partly | KeyState::HalfOpen);
    let keys: Vec<&KeyRow> = rows.iter().filter(|row| row.provider == provider).filter(usable).collect();
    let may_use = |key: &KeyRow, model: &str| {
        key.models.as_ref().is_none_or(|models| models.iter().any(|pattern| matches(pattern, model)))
    };
    // The longest time of each model with one key, then the shortest with all keys.
    let mut models: BTreeMap<&str, Vec<Option<u64>>> = BTreeMap::new();
    for key in &keys {
        let mut of_key: BTreeMap<&str, Option<u64>> = BTreeMap::new();
        for (model, left) in key.unavailable_models().filter(|(model, _)| *model != "*" && may_use(key, model)) {
            let longest = of_key.entry(model).or_default();
            *longest = left.max(*longest);
        }
        for (model, left) in of_key {
            models.entry(model).or_default().push(left);
        }
    }
    let out =
        models.into_iter().filter(|(model, left)| left.len() == keys.iter().filter(|key| may_use(key, model)).count());
    out.map(|(model, left)| ModelOut { model: model.to_owned(), seconds_left: left.into_iter().flatten().min() })
        .collect()
}

impl Stats {
    pub(super) fn run(self, mut inputs: Inputs) -> anyhow::Result<ExitCode> {
        self.source.set(&mut inputs);
        block_on(Some(2), async {
            let opened = Opened::read(&inputs).await?;
            let rows = rows(&opened).await?;
            let mut providers = Vec::new();
            for provider in opened.pools.iter() {
                let breakers = provider.pool.snapshot(0, 0).breakers;
                let of_models = breakers.iter().filter_map(|breaker| match &breaker.target {
                    BreakerTarget::Model(model) => {
                        Some(ModelOut { model: model.to_string(), seconds_left: breaker.seconds_left })
                    }
                    _ => None,
                });
                let models_out = of_models.chain(out_of_quota(&provider.name, &rows)).collect();
                providers.push(States { models_out, ..States::of(&provider.name, &rows) });
            }
            let mut today = Sum::default();
            let mut database = None;
            if let Some(sqlite) = &opened.stores.sqlite {
                let day = usage::today(opened.pools.own().pool.provider().zone());
                today = usage::of_day(sqlite, day).await?;
                database = Some(json!({ "path": sqlite.path().display().to_string(), "size_bytes": sqlite.size()? }));
            }
            if self.output.json {
                print_json(&json!({ "providers": providers, "today": today, "database": database }));
                return Ok(ExitCode::SUCCESS);
            }
            let cells = providers.iter().map(|states| {
                let numbers =
                    [states.keys, states.usable, states.partly, states.half_open, states.cooling, states.disabled];
                let [keys, usable, partly, half_open, cooling, disabled] = numbers.map(|number| number.to_string());
                [states.provider.clone(), keys, usable, partly, half_open, cooling, disabled]
            });
            print(table(["provider", "keys", "usable", "partly", "half-open", "cooling", "disabled"], cells));
            for ModelOut { model, seconds_left } in providers.iter().flat_map(|states| &states.models_out) {
                let until = seconds_left.map(|seconds| format!(", {} left", left(seconds))).unwrap_or_default();
                print(format_args!("model {model} is unavailable with all keys{until}"));
            }
            match &opened.stores.sqlite {
                Some(sqlite) => print(format_args!(
                    "today: {} requests, {} input tokens, {} output tokens\ndatabase: {}, {} bytes",
                    today.requests,
                    today.input_tokens,
                    today.output_tokens,
                    sqlite.path().display(),
                    sqlite.size()?
                )),
                None => print("there is no database, so today's usage is unknown"),
            }
            Ok(ExitCode::SUCCESS)
        })
    }
}

const HEALTH_EXIT_CODES: &str = "Exit codes: 0 all keys are usable, 1 some are, or the database cannot be used, 2 none is, or the command line or \
the configuration is wrong.";

/// Check whether keys are usable, for scripts. Cooling keys count as usable, disabled keys do not.
#[derive(Args)]
#[command(after_help = HEALTH_EXIT_CODES)]
pub(super) struct Health {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    output: Json,
}

impl Health {
    pub(super) fn run(self, mut inputs: Inputs) -> anyhow::Result<ExitCode> {
        self.source.set(&mut inputs);
        block_on(Some(2), async {
            let opened = Opened::read(&inputs).await?;
            let rows = rows(&opened).await?;
            let (disabled, usable): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.is_disabled());
            if self.output.json {
                let out = disabled.iter().map(
                    |row| json!({ "id": row.id, "listed_at": row.listed_at, "why": row.why(usize::MAX), "advice": row.advice() }),
                );
                let out: Vec<_> = out.collect();
                print_json(&json!({ "keys": rows.len(), "usable": usable.len(), "disabled": out }));
            } else {
                print(format_args!("{} of {} usable", usable.len(), count(rows.len(), "key")));
                if rows.is_empty() {
                    print(NO_KEY);
                }
                for row in &disabled {
                    print(row.sentence());
                }
            }
            Ok(match (usable.len(), disabled.len()) {
                (0, _) => ExitCode::from(WRONG),
                (_, 0) => ExitCode::SUCCESS,
                _ => ExitCode::FAILURE,
            })
        })
    }
}
