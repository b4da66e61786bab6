//! `keypool usage`

use std::{collections::BTreeMap, process::ExitCode};

use clap::{Args, ValueEnum};
use jiff::{ToSpan as _, civil::Date, tz::TimeZone};
use keypool_store::{
    SqliteStore,
    sqlite::{UsageQuery, UsageRow},
};
use serde::Serialize;
use tower_keypool::KeyId;

use super::{
    block_on,
    opened::{database, must_exist},
    output::{Json, print, print_json, table},
};
use crate::{config::Inputs, store::Stores, tenants};

/// Show requests and tokens by key, project, model, day or tenant. Days are in the provider's time zone, and in UTC for
/// tenants.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Usage {
    /// The day to show [default: today]
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with = "days")]
    day: Option<Date>,
    /// The number of days to show, up to today; 400 days are kept
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i32).range(1..=400))]
    days: Option<i32>,
    /// The field to group by
    #[arg(long, value_name = "WHAT", default_value = "key")]
    by: By,
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

#[derive(Clone, Copy, ValueEnum)]
enum By {
    Key,
    Project,
    Model,
    Day,
    Tenant,
}

/// Total usage.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Sum {
    pub requests: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub images: u64,
}

impl Sum {
    fn add(&mut self, row: &UsageRow) {
        self.requests += row.used.requests;
        self.input_tokens += row.used.input_tokens;
        self.output_tokens += row.used.output_tokens;
        self.images += row.used.images;
    }

    fn cells(&self) -> [String; 4] {
        [self.requests, self.input_tokens, self.output_tokens, self.images].map(|number| number.to_string())
    }
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    by: BTreeMap<&'static str, &'a str>,
    #[serde(flatten)]
    sum: &'a Sum,
}

impl Usage {
    pub(super) fn run(self, inputs: &Inputs) -> anyhow::Result<ExitCode> {
        let loaded = inputs.load()?;
        must_exist(&loaded)?;
        let provider = loaded.pools()[0].builder()?.build()?;
        let today = today(if matches!(self.by, By::Tenant) { "UTC" } else { provider.provider().zone() });
        let days = match (self.day, self.days) {
            (Some(day), _) => days_of(day)..=days_of(day),
            (None, days) => today - days.unwrap_or(1) + 1..=today,
        };
        let sums = block_on(Some(1), async {
            let stores = Stores::open(&loaded).await?;
            sums(database(&stores)?, UsageQuery::of_days(days), self.by).await
        })?;
        self.print(&sums)?;
        Ok(ExitCode::SUCCESS)
    }

    fn print(&self, sums: &BTreeMap<String, Sum>) -> anyhow::Result<()> {
        let name = match self.by {
            By::Key => "key",
            By::Project => "project",
            By::Model => "model",
            By::Day => "day",
            By::Tenant => "tenant",
        };
        let names = [name, "requests", "input_tokens", "output_tokens", "images"];
        let cells = |by: &str, sum: &Sum| {
            let [requests, input, output, images] = sum.cells();
            [by.to_owned(), requests, input, output, images]
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
                all.requests += sum.requests;
                all.input_tokens += sum.input_tokens;
                all.output_tokens += sum.output_tokens;
                all.images += sum.images;
            }
            let rows = sums.iter().map(|(by, sum)| cells(by, sum)).chain([cells("all", &all)]);
            print(table([name, "requests", "input tokens", "output tokens", "images"], rows));
        }
        Ok(())
    }
}

/// Returns the usage, grouped by a field. Requests of a tenant are also counted under a separate key, which belongs to
/// no provider.
async fn sums(database: &SqliteStore, query: UsageQuery, by: By) -> anyhow::Result<BTreeMap<String, Sum>> {
    let query = query.by_key();
    let query = match by {
        By::Key | By::Tenant => query,
        By::Project => query.by_project(),
        By::Model => query.by_model(),
        By::Day => query.by_day(),
    };
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    for row in database.usage(query).await? {
        let key = row.key.as_ref().map(KeyId::as_str).unwrap_or_default();
        let tenant = tenants::of_counted(key);
        let name = match (by, tenant) {
            (By::Tenant, Some(tenant)) => Some(tenant.to_owned()),
            (By::Tenant, None) | (_, Some(_)) => None,
            (By::Key, None) => Some(key.to_owned()),
            (By::Project, None) => row.project.clone(),
            (By::Model, None) => row.model.clone(),
            (By::Day, None) => row.date.and_then(date_of),
        };
        if let Some(name) = name {
            sums.entry(name).or_default().add(&row);
        }
    }
    Ok(sums)
}

/// Returns the total usage of all keys on a day.
pub(super) async fn of_day(database: &SqliteStore, day: i32) -> anyhow::Result<Sum> {
    let mut all = Sum::default();
    for row in database.usage(UsageQuery::of_days(day..=day).by_key()).await? {
        if row.key.as_ref().and_then(|key| tenants::of_counted(key.as_str())).is_none() {
            all.add(&row);
        }
    }
    Ok(all)
}

const EPOCH: Date = Date::constant(1970, 1, 1);

fn days_of(date: Date) -> i32 {
    EPOCH.until(date).map_or(0, |span| span.get_days())
}

fn date_of(days: i32) -> Option<String> {
    Some(EPOCH.checked_add(days.days()).ok()?.to_string())
}

/// Returns today's date in a time zone, in days since 1970-01-01.
pub(super) fn today(zone: &str) -> i32 {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    days_of(jiff::Timestamp::now().to_zoned(zone).date())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        let day: Date = "2026-11-29".parse().expect("a day");
        assert_eq!(days_of(day), 20_786);
        assert_eq!(date_of(20_786).as_deref(), Some("2026-11-29"));
    }
}
