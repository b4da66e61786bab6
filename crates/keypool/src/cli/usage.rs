//! `keypool usage`

use std::{collections::BTreeMap, process::ExitCode};

use clap::Args;
use jiff::civil::Date;
use serde::Serialize;

use super::{
    block_on,
    opened::{database, must_exist},
    output::{Json, print, print_json, table},
};
use crate::{
    config::Inputs,
    store::Stores,
    usage::{self, Sum, UsageBy},
};

/// Show requests and tokens by key, project, model, day or tenant. Days are in the provider's time zone, and in UTC for
/// tenants. Requests that a provider refused are counted with the tokens of their prompts.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Usage {
    /// The day to show [default: today]
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with = "days", value_parser = date)]
    day: Option<Date>,
    /// The number of days to show, up to today; 400 days are kept
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(1..=400))]
    days: Option<i32>,
    /// The field to group by
    #[arg(long, value_name = "WHAT", default_value = "key")]
    by: UsageBy,
    /// Print CSV
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    output: Json,
}

const EXAMPLES: &str = "\
Examples:
  keypool usage --by model
  keypool usage --days 30 --by day --csv > month.csv

Exit codes: 0 done, 1 the database cannot be used, 2 the command line or the configuration is wrong.";

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    by: BTreeMap<&'static str, &'a str>,
    #[serde(flatten)]
    sum: &'a Sum,
}

fn date(text: &str) -> Result<Date, &'static str> {
    text.parse().map_err(|_| "expected a day, such as 2026-06-15")
}

impl Usage {
    pub(super) fn run(self, inputs: &Inputs) -> anyhow::Result<ExitCode> {
        let loaded = inputs.load()?;
        must_exist(&loaded)?;
        let provider = loaded.pools()[0].builder()?.build()?;
        let today = usage::today(if self.by == UsageBy::Tenant { "UTC" } else { provider.provider().zone() });
        let days = match (self.day, self.days) {
            (Some(day), _) => usage::days_of(day)..=usage::days_of(day),
            (None, days) => today - days.unwrap_or(1) + 1..=today,
        };
        let rows = block_on(Some(1), async {
            let stores = Stores::open_database(&loaded).await?;
            Ok(usage::rows(database(&stores)?, self.by, days).await?)
        })?;
        let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
        for row in rows {
            let name = if self.by == UsageBy::Day { Some(row.day) } else { row.name };
            if let Some(name) = name {
                sums.entry(name).or_default().add(&row.sum);
            }
        }
        self.print(&sums)?;
        Ok(ExitCode::SUCCESS)
    }

    fn print(&self, sums: &BTreeMap<String, Sum>) -> anyhow::Result<()> {
        let name = self.by.as_str();
        let names = [name, "requests", "input_tokens", "output_tokens"];
        let cells = |by: &str, sum: &Sum| {
            let [requests, input, output] =
                [sum.requests, sum.input_tokens, sum.output_tokens].map(|number| number.to_string());
            [by.to_owned(), requests, input, output]
        };
        if self.output.json {
            let row = |(by, sum)| Row { by: BTreeMap::from([(name, by)]), sum };
            print_json(&sums.iter().map(|(by, sum)| row((by.as_str(), sum))).collect::<Vec<_>>());
        } else if self.csv {
            let mut writer = csv::Writer::from_writer(Vec::new());
            writer.write_record(names)?;
            for (by, sum) in sums {
                writer.write_record(cells(by, sum))?;
            }
            print(String::from_utf8(writer.into_inner()?)?.trim_end());
        } else if sums.is_empty() {
            print("no usage is recorded for this time");
        } else {
            let mut all = Sum::default();
            for sum in sums.values() {
                all.add(sum);
            }
            let rows = sums.iter().map(|(by, sum)| cells(by, sum)).chain([cells("all", &all)]);
            print(table([name, "requests", "input tokens", "output tokens"], rows));
        }
        Ok(())
    }
}
