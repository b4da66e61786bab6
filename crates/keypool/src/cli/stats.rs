//! `keypool stats`: totals, each key's, and what the gateways that run hold.

use std::collections::BTreeMap;

use super::{
    Failure, say, say_json,
    table::{Columns, moment},
};
use crate::{
    config::count,
    database::{
        DatabaseError, Records, Whose,
        processes::{self, Process},
    },
    standing::{Configured, Standings, State},
};
use clap::Args;
use serde::Serialize;
use serde_json::json;

/// What the database knows of all that was ever used: totals, and each key's. Of each gateway that runs on it, as it
/// said within the last seconds: its memory, how much of that these keys take, and how many of their requests spilled to
/// keys of a later priority since it began.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Stats {
    #[command(flatten)]
    database: Whose,

    /// As JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  keypool stats
  keypool stats --json | jq .total
  keypool stats --json | jq '.processes[] | {name, memory_bytes, spills}'

Exit codes: 0 done, 1 the database cannot be read, 2 the command line is wrong, or there is no such database.";

#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Total {
    requests: i64,
    input_tokens: u64,
    output_tokens: u64,
    errors: u64,
    requests_today: i64,
}

impl Stats {
    pub(super) fn run(self) -> Result<(), Failure> {
        let looked = super::runtime()?.block_on(async {
            let store = self.database.look().await?;
            let standings = Standings::of(Some(&store), &Configured::of(&self.database)).await?;
            let used = store.usage("0000-00-00", "9999-12-31").await?;
            Ok::<_, DatabaseError>((used, standings, processes::all(&Records::Kept(store)).await?))
        });
        let (used, standings, running) = looked?;
        let (mut total, mut keys) = (Total::default(), BTreeMap::<String, Total>::new());
        for key in standings.present() {
            keys.entry(key.id.clone()).or_default();
        }
        for record in &used {
            for sum in [&mut total, keys.entry(record.id.to_string()).or_default()] {
                sum.requests += record.requests;
                sum.input_tokens = sum.input_tokens.saturating_add(record.input_tokens);
                sum.output_tokens = sum.output_tokens.saturating_add(record.output_tokens);
                sum.errors += record.errors.values().sum::<u64>();
                if *record.day == *standings.days.of(&record.key).today() {
                    sum.requests_today += record.requests;
                }
            }
        }
        let mut states: BTreeMap<State, usize> = BTreeMap::new();
        standings.present().for_each(|key| *states.entry(key.state).or_default() += 1);
        let days = used.iter().map(|record| &record.day).min().cloned();
        if self.json {
            let states: BTreeMap<&str, usize> = states.iter().map(|(state, n)| (state.name(), *n)).collect();
            say_json(&json!({ "since": days, "states": states, "total": total, "keys": keys, "processes": running }));
            return Ok(());
        }
        let states: Vec<String> = states.iter().map(|(state, n)| format!("{n} {}", state.name())).collect();
        let all = count(standings.present().count(), "key");
        let since = days.map_or_else(|| "never used".to_owned(), |day| format!("since {day}"));
        say(&format!("{all}: {}; {since}", states.join(", ")));
        let mut table =
            Columns::new(["key", "requests", "today", "tokens in", "tokens out", "errors", "share of requests"]);
        for (name, sum) in keys.iter().chain([(&"all".to_owned(), &total)]) {
            let share = 100.0 * sum.requests as f64 / total.requests.max(1) as f64;
            table.row([
                name.clone(),
                sum.requests.to_string(),
                sum.requests_today.to_string(),
                sum.input_tokens.to_string(),
                sum.output_tokens.to_string(),
                sum.errors.to_string(),
                format!("{share:.1} %"),
            ]);
        }
        say(&table.to_string());
        say(&of_processes(&running));
        Ok(())
    }
}

/// What each process of the database last said of itself.
fn of_processes(running: &[Process]) -> String {
    if running.is_empty() {
        return "memory and spills: no gateway runs on this database".to_owned();
    }
    let mut table = Columns::new(["gateway", "listens on", "since", "memory", "of it keys", "spills"]);
    let told = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    for process in running {
        table.row([
            process.name.clone(),
            process.listen.clone(),
            moment(process.started),
            process.memory_bytes.map_or_else(|| "-".to_owned(), size),
            process.pool_bytes.map_or_else(|| "-".to_owned(), |bytes| size(bytes as u64)),
            told(process.spills),
        ]);
    }
    table.to_string()
}

fn size(bytes: u64) -> String {
    match bytes as f64 / 1024.0 {
        kib if kib < 1024.0 => format!("{kib:.1} KiB"),
        kib => format!("{:.1} MiB", kib / 1024.0),
    }
}
