//! What was used on which day.

use std::ops::RangeInclusive;

use tower_keypool::{KeyId, store::Amounts};

use super::{SqliteError, SqliteStore, quota::amounts, writer::Writer};

/// Which usage is asked for, and by what it is summed up.
///
/// ```
/// use keypool_store::sqlite::UsageQuery;
///
/// // Of each key the sum of a week.
/// let query = UsageQuery::of_days(20_450..=20_456).by_key();
/// ```
#[derive(Clone, Debug)]
pub struct UsageQuery {
    days: RangeInclusive<i32>,
    by: [bool; 4],
    key: Option<KeyId>,
    project: Option<String>,
}

/// The columns by which usage may be summed up.
const COLUMNS: [&str; 4] = ["date", "key", "project", "model"];

/// A sum of usage.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UsageRow {
    /// In days since 1970-01-01 in the project's zone, if summed up by day.
    pub date: Option<i32>,
    /// The key, if summed up by key.
    pub key: Option<KeyId>,
    /// The project, if summed up by project.
    pub project: Option<String>,
    /// The model, if summed up by model.
    pub model: Option<String>,
    /// How much.
    pub used: Amounts,
}

impl UsageQuery {
    /// One sum of these days, in days since 1970-01-01. Usage is kept for 400 days.
    pub fn of_days(days: RangeInclusive<i32>) -> Self {
        Self { days, by: [false; 4], key: None, project: None }
    }

    /// A sum for each day.
    #[must_use]
    pub fn by_day(self) -> Self {
        self.by(0)
    }

    /// A sum for each key.
    #[must_use]
    pub fn by_key(self) -> Self {
        self.by(1)
    }

    /// A sum for each project.
    #[must_use]
    pub fn by_project(self) -> Self {
        self.by(2)
    }

    /// A sum for each model.
    #[must_use]
    pub fn by_model(self) -> Self {
        self.by(3)
    }

    /// Of one key only.
    #[must_use]
    pub fn key(self, key: KeyId) -> Self {
        Self { key: Some(key), ..self }
    }

    /// Of one project only.
    #[must_use]
    pub fn project(self, project: impl Into<String>) -> Self {
        Self { project: Some(project.into()), ..self }
    }

    fn by(mut self, column: usize) -> Self {
        self.by[column] = true;
        self
    }
}

impl SqliteStore {
    /// What was used, in the order of day, key, project and model.
    ///
    /// # Errors
    /// Those of the file.
    pub async fn usage(&self, query: UsageQuery) -> Result<Vec<UsageRow>, SqliteError> {
        self.on_writer(|writer| writer.transaction(Writer::fold)).await?;
        self.read_long(move |connection, _| {
            let columns: Vec<_> =
                COLUMNS.iter().zip(query.by).map(|(column, by)| if by { *column } else { "NULL" }).collect();
            let groups: Vec<_> =
                COLUMNS.iter().zip(query.by).filter(|(_, by)| *by).map(|(column, _)| *column).collect();
            let groups = if groups.is_empty() { "NULL".to_owned() } else { groups.join(", ") };
            let mut read = connection.prepare(&format!(
                "SELECT {}, sum(requests), sum(input_tokens), sum(output_tokens), sum(images)
                 FROM usage JOIN quotas ON quotas.id = quota
                 WHERE date BETWEEN ? AND ? AND ifnull(key = ?3, ?3 IS NULL) AND ifnull(project = ?4, ?4 IS NULL)
                 GROUP BY {groups} ORDER BY {groups}",
                columns.join(", ")
            ))?;
            let key = query.key.as_ref().map(KeyId::as_str);
            let rows = read.query_map((query.days.start(), query.days.end(), key, &query.project), |row| {
                let key = row.get::<_, Option<String>>(1)?.map(KeyId::new);
                let (date, project, model) = (row.get(0)?, row.get(2)?, row.get(3)?);
                Ok(UsageRow { date, key, project, model, used: amounts(row, 4)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}
