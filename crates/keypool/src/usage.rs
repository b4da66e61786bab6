//! The recorded usage of keys and tenants, for commands and the admin API.

use std::{collections::BTreeMap, ops::RangeInclusive};

use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};
use keypool_store::{
    SqliteStore,
    sqlite::{SqliteError, UsageQuery},
};
use serde::{Deserialize, Serialize};

use crate::tenants;

/// The grouping of usage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UsageBy {
    #[default]
    Key,
    Project,
    Model,
    Day,
    Tenant,
}

impl UsageBy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Project => "project",
            Self::Model => "model",
            Self::Day => "day",
            Self::Tenant => "tenant",
        }
    }
}

/// Total usage.
#[derive(Clone, Debug, Default, Serialize, utoipa::ToSchema)]
pub struct Sum {
    pub requests: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
}

impl Sum {
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.input_tokens += other.input_tokens;
        self.output_tokens += other.output_tokens;
    }
}

/// The usage of a key, project, model or tenant on one day.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct UsageRow {
    /// The date in the project's time zone; for tenants in UTC.
    pub day: String,
    /// The key, project, model or tenant; null if grouped by day.
    pub name: Option<String>,
    #[serde(flatten)]
    pub sum: Sum,
}

/// Returns the usage on these days, with a row for each group and day.
///
/// # Errors
/// If the database cannot be read.
pub async fn rows(
    database: &SqliteStore,
    by: UsageBy,
    days: RangeInclusive<i32>,
) -> Result<Vec<UsageRow>, SqliteError> {
    let query = UsageQuery::of_days(days).by_day().by_project();
    let query = match by {
        UsageBy::Key => query.by_key(),
        UsageBy::Model => query.by_model(),
        _ => query,
    };
    let mut sums: BTreeMap<(i32, Option<String>), Sum> = BTreeMap::new();
    for row in database.usage(query).await? {
        // A tenant's usage is stored as a project of its own, in addition to the project of the key that served it.
        let tenant = row.project.as_deref().and_then(tenants::of_counted).map(str::to_owned);
        if tenant.is_some() != (by == UsageBy::Tenant) {
            continue;
        }
        let name = match by {
            UsageBy::Key => row.key.as_ref().map(ToString::to_string),
            UsageBy::Project => row.project.clone(),
            UsageBy::Model => row.model.clone(),
            UsageBy::Tenant => tenant,
            UsageBy::Day => None,
        };
        sums.entry((row.date.unwrap_or_default(), name)).or_default().add(&Sum {
            requests: row.used.requests,
            input_tokens: row.used.input_tokens,
            output_tokens: row.used.output_tokens,
        });
    }
    let row = |((day, name), sum)| UsageRow { day: date_of(day).to_string(), name, sum };
    Ok(sums.into_iter().map(row).collect())
}

/// Returns the total usage of all keys on a day.
///
/// # Errors
/// If the database cannot be read.
pub async fn of_day(database: &SqliteStore, day: i32) -> Result<Sum, SqliteError> {
    let rows = rows(database, UsageBy::Day, day..=day).await?;
    Ok(rows.into_iter().next().map(|row| row.sum).unwrap_or_default())
}

const EPOCH: Date = jiff::civil::date(1970, 1, 1);

/// Returns the number of days since 1970-01-01.
pub fn days_of(date: Date) -> i32 {
    EPOCH.until(date).map_or(0, |span| span.get_days())
}

/// Returns the date of a number of days since 1970-01-01.
pub fn date_of(days: i32) -> Date {
    EPOCH.checked_add(days.days()).unwrap_or(EPOCH)
}

/// Returns today's date in a time zone, in days since 1970-01-01.
pub fn today(zone: &str) -> i32 {
    let zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    days_of(Timestamp::now().to_zoned(zone).date())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        let date = jiff::civil::date(2026, 11, 29);
        assert_eq!(days_of(date), 20_786);
        assert_eq!(date_of(20_786), date);
    }
}
