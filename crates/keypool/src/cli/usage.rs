//! `keypool usage`: what was used on a day, and which keys are out for today.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;
use tower_keypool::VerdictKind;

use super::{Failure, say, say_json, table::Columns};
use crate::{
    config::count,
    database::{
        DatabaseError, Records, Whose,
        used::{Line, Use, Used},
    },
    standing::{Calendar, Configured, Standings, State, Sum, now_ms},
    telemetry::plain,
};

/// What was used on a day, by key or by model, and which keys are out for today.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Usage {
    /// Which day, as the provider counts the key's days: 2026-06-15, today or yesterday
    #[arg(long, value_name = "DAY", default_value = "today")]
    day: String,

    /// A line for each key, for each model, or for each tenant and model (days of UTC; requests of clients, however many
    /// attempts they took)
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = By::Key)]
    by: By,

    #[command(flatten)]
    database: Whose,

    /// As JSON
    #[arg(long)]
    json: bool,

    /// As CSV; by key and by model the last column says which are out for today
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum By {
    Key,
    Model,
    Tenant,
}

const EXAMPLES: &str = "\
Examples:
  keypool usage
  keypool usage --day yesterday --by model
  keypool usage --day 2026-06-15 --csv > usage.csv

Days are the provider's (for Gemini they end at the Pacific midnight); those of a key with a zone of its own end there.

Exit codes: 0 done, 1 the database cannot be read, 2 the command line is wrong, or there is no such database.";

/// By day and name.
type Rows = BTreeMap<(String, String), Sum>;

impl Sum {
    fn faults(&self) -> u64 {
        self.errors.values().sum()
    }

    /// `3 rate_limited, 1 suspended`
    fn told(&self) -> String {
        let told: Vec<String> = self.errors.iter().map(|(kind, n)| format!("{n} {}", word(*kind))).collect();
        told.join(", ")
    }

    fn cells(&self) -> [String; 4] {
        [self.requests.to_string(), self.input_tokens.to_string(), self.output_tokens.to_string(), self.told()]
    }
}

fn word(kind: VerdictKind) -> String {
    serde_json::to_value(kind).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// A lane, as it is shown.
fn model(lane: &str) -> &str {
    match lane {
        "" => "(no model)",
        "*" => "(other models)",
        model => model,
    }
}

impl Usage {
    pub(super) fn run(self) -> Result<(), Failure> {
        if self.by == By::Tenant {
            return self.by_tenant();
        }
        let configured = Configured::of(&self.database);
        let usual = &configured.calendar;
        let day = self.date(usual).ok_or_else(|| {
            Failure::config(anyhow!("--day: expected a date such as {}, today or yesterday", usual.today()))
        })?;
        let looked = super::runtime()?.block_on(async {
            let store = self.database.look().await?;
            let standings = Standings::of(Some(&store), &configured).await?;
            let (first, last) = standings.days.span(&self.day).unwrap_or_else(|| (day.clone(), day.clone()));
            Ok::<_, DatabaseError>((store.usage(&first, &last).await?, standings))
        });
        let (used, standings) = looked?;
        // What was used bears the name that the key had then.
        let names: HashMap<&str, &str> = standings.keys.iter().map(|key| (&*key.hash, &*key.id)).collect();
        let (mut rows, mut total) = (Rows::new(), Sum::default());
        for record in &used {
            // Today is not the same date for all.
            if self.date(standings.days.of(&record.key)).as_deref() == Some(&*record.day) {
                let now = || names.get(&*record.key).copied().unwrap_or(&record.id);
                let name = if self.by == By::Key { now() } else { model(&record.lane) };
                rows.entry((record.day.to_string(), name.to_owned())).or_default().add(record);
                total.add(record);
            }
        }
        rows.retain(|_, sum| sum.requests != 0 || sum.faults() > 0 || sum.input_tokens + sum.output_tokens > 0);
        let today = day == usual.today();
        let out = out(&standings);
        if self.csv {
            let out = if today { out } else { Vec::new() };
            return self.print_csv(&day, rows, &out);
        }
        if self.json {
            let named = |((day, name), sum): (&(String, String), &Sum)| {
                let mut row = serde_json::to_value(sum).unwrap_or_default();
                row["day"] = json!(day);
                row[if self.by == By::Key { "key" } else { "model" }] = json!(name);
                row
            };
            say_json(&json!({
                "day": day,
                "by": self.by,
                "rows": rows.iter().map(named).collect::<Vec<_>>(),
                "total": total,
                "out_for_today": today.then(|| {
                    let row = |(key, model, why): &Out| {
                        json!({ "key": key, "model": model, "why": why })
                    };
                    out.iter().map(row).collect::<Vec<_>>()
                }),
            }));
            return Ok(());
        }
        let first = if self.by == By::Key { "key" } else { "model" };
        let mut table = Columns::new([first, "requests", "tokens in", "tokens out", "errors"]);
        for ((date, name), sum) in &rows {
            let [requests, input, output, errors] = sum.cells();
            let name = if *date == day { name.clone() } else { format!("{name} ({date})") };
            table.row([name, requests, input, output, errors]);
        }
        if rows.is_empty() {
            say(&format!("nothing was used on {day}"));
        } else {
            let [requests, input, output, errors] = total.cells();
            table.row(["all".to_owned(), requests, input, output, errors]);
            say(&format!("{day}\n{table}"));
        }
        if today {
            let keys: BTreeSet<&String> = out.iter().map(|(key, ..)| key).collect();
            say(&format!(
                "out for today: {}",
                if out.is_empty() { "none".to_owned() } else { count(keys.len(), "key") }
            ));
            for (key, model, why) in &out {
                say(&format!("  {} for {}: {}", plain(key), plain(model), plain(why)));
            }
        }
        Ok(())
    }

    fn by_tenant(&self) -> Result<(), Failure> {
        let day = Calendar::utc().day(&self.day);
        let day = day.ok_or_else(|| Failure::config(anyhow!("--day: expected a date, today or yesterday")))?;
        let lines = super::runtime()?.block_on(async {
            let records = Records::Kept(self.database.look().await?);
            Ok::<_, DatabaseError>(Used::default().read(&records, "", (&day, &day), now_ms()).await?)
        })?;
        if self.json {
            let row = |(line, used): (&Line, &Use)| {
                let mut row = serde_json::to_value(used).unwrap_or_default();
                row["day"] = json!(line.day);
                row["tenant"] = json!(line.tenant);
                row["model"] = json!(line.model);
                row
            };
            say_json(&json!({ "day": day, "by": self.by, "rows": lines.iter().map(row).collect::<Vec<_>>() }));
            return Ok(());
        }
        let header = ["tenant", "model", "requests", "failed", "tokens in", "tokens out"];
        let rows = lines.iter().map(|(line, used)| {
            let Use { requests, failed, input_tokens, output_tokens } = *used;
            let numbers = [requests, failed, input_tokens, output_tokens].map(|number| number.to_string());
            let [requests, failed, input, output] = numbers;
            [line.tenant.clone(), model(&line.model).to_owned(), requests, failed, input, output]
        });
        if self.csv {
            let mut csv = csv::Writer::from_writer(Vec::new());
            let names = ["day", "tenant", "model", "requests", "failed", "input_tokens", "output_tokens"];
            csv.write_record(names).map_err(Failure::run)?;
            for row in rows {
                let cells = row.iter().map(|text| cell(text));
                csv.write_record(std::iter::once(day.clone()).chain(cells)).map_err(Failure::run)?;
            }
            let text = csv.into_inner().map_err(|error| Failure::run(anyhow!("{error}")))?;
            say(String::from_utf8_lossy(&text).trim_end());
            return Ok(());
        }
        let mut table = Columns::new(header);
        rows.for_each(|row| table.row(row));
        say(&if lines.is_empty() { format!("nothing was used on {day}") } else { format!("{day} (UTC)\n{table}") });
        Ok(())
    }

    fn date(&self, calendar: &Calendar) -> Option<String> {
        calendar.day(&self.day)
    }

    fn print_csv(&self, today: &str, mut rows: Rows, out: &[Out]) -> Result<(), Failure> {
        let mut csv = csv::Writer::from_writer(Vec::new());
        let first = if self.by == By::Key { "key" } else { "model" };
        let header =
            ["day", first, "requests", "input_tokens", "output_tokens", "errors", "errors_by_kind", "out_for_today"];
        csv.write_record(header).map_err(Failure::run)?;
        let mut outs: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (key, model, why) in out {
            let (name, other) = if self.by == By::Key { (key, model) } else { (model, key) };
            outs.entry(name).or_default().push(format!("{other}: {why}"));
        }
        // Who is out may have used nothing.
        let used: BTreeSet<String> = rows.keys().map(|(_, name)| name.clone()).collect();
        for name in outs.keys().filter(|name| !used.contains(**name)) {
            rows.insert((today.to_owned(), (*name).to_owned()), Sum::default());
        }
        for ((day, name), sum) in &rows {
            let [requests, input, output, kinds] = sum.cells();
            let faults = sum.faults().to_string();
            let out = outs.get(name.as_str()).map(|out| out.join("; ")).unwrap_or_default();
            let cells = [day.clone(), cell(name), requests, input, output, faults, kinds, cell(&out)];
            csv.write_record(cells).map_err(Failure::run)?;
        }
        let text = csv.into_inner().map_err(|error| Failure::run(anyhow!("{error}")))?;
        say(String::from_utf8_lossy(&text).trim_end());
        Ok(())
    }
}

/// A name as a cell of CSV.
fn cell(name: &str) -> String {
    // A spreadsheet takes a cell that begins so for a formula.
    plain(&if name.starts_with(['=', '+', '-', '@']) { format!("'{name}") } else { name.to_owned() })
}

/// Key, model and why.
type Out = (String, String, String);

fn out(standings: &Standings) -> Vec<Out> {
    let mut out = Vec::new();
    for key in standings.present() {
        if matches!(key.state, State::Faulty | State::Disabled) {
            let why = format!("{}: {}", key.state.name(), key.reason);
            out.push((key.id.clone(), "all models".to_owned(), why));
            continue;
        }
        for of in &key.out_for_today {
            let name = of.model.as_deref().map_or("all models", model);
            out.push((key.id.clone(), name.to_owned(), of.why.clone()));
        }
    }
    out
}
