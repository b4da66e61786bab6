//! Usage by day.

use std::ops::RangeInclusive;

use tower_keypool::{KeyId, store::Amounts};

use super::{SqliteError, SqliteStore, quota::amounts, writer::Writer};

/// A query for usage: which days are summed, and how they are grouped.
///
/// ```
/// use keypool_store::sqlite::UsageQuery;
///
/// // The sum of a week for each key.
/// let query = UsageQuery::of_days(20_450..=20_456).by_key();
/// ```
#[derive(Clone, Debug)]
pub struct UsageQuery {
    days: RangeInclusive<i32>,
    by: [bool; 4],
}

/// The columns by which usage may be grouped.
const COLUMNS: [&str; 4] = ["date", "key", "project", "model"];

/// A sum of usage.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsageRow {
    /// The day, in days since 1970-01-01 in the project's zone, if grouped by day.
    pub date: Option<i32>,
    /// The key, if grouped by key.
    pub key: Option<KeyId>,
    /// The project, if grouped by project.
    pub project: Option<String>,
    /// The model, if grouped by model.
    pub model: Option<String>,
    /// The sum of the usage.
    pub used: Amounts,
}

impl UsageQuery {
    /// Asks for one sum over these days, in days since 1970-01-01. Usage is kept for 400 days.
    pub fn of_days(days: RangeInclusive<i32>) -> Self {
        Self { days, by: [false; 4] }
    }

    /// Groups by day.
    #[must_use]
    pub fn by_day(self) -> Self {
        self.by(0)
    }

    /// Groups by key.
    #[must_use]
    pub fn by_key(self) -> Self {
        self.by(1)
    }

    /// Groups by project.
    #[must_use]
    pub fn by_project(self) -> Self {
        self.by(2)
    }

    /// Groups by model.
    #[must_use]
    pub fn by_model(self) -> Self {
        self.by(3)
    }

    fn by(mut self, column: usize) -> Self {
        self.by[column] = true;
        self
    }
}

impl SqliteStore {
    /// Returns the usage, in the order of day, key, project and model.
    ///
    /// # Errors
    /// Errors of the file.
    pub async fn usage(&self, query: UsageQuery) -> Result<Vec<UsageRow>, SqliteError> {
        self.on_writer(|writer| writer.transaction(Writer::fold)).await?;
        self.read_long(move |connection, _| {
            let columns: Vec<_> =
                COLUMNS.iter().zip(query.by).map(|(column, by)| if by { *column } else { "NULL" }).collect();
            let groups: Vec<_> =
                COLUMNS.iter().zip(query.by).filter(|(_, by)| *by).map(|(column, _)| *column).collect();
            let groups = if groups.is_empty() { "NULL".to_owned() } else { groups.join(", ") };
            let mut read = connection.prepare(&format!(
                "SELECT {}, sum(requests), sum(input_tokens), sum(output_tokens)
                 FROM usage JOIN quotas ON quotas.id = quota
                 WHERE date BETWEEN ? AND ? GROUP BY {groups} ORDER BY {groups}",
                columns.join(", ")
            ))?;
            let rows = read.query_map((query.days.start(), query.days.end()), |row| {
                let key = row.get::<_, Option<String>>(1)?.map(KeyId::new);
                let (date, project, model) = (row.get(0)?, row.get(2)?, row.get(3)?);
                Ok(UsageRow { date, key, project, model, used: amounts(row, 4)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}
