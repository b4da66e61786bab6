//! The usage of a project and model: its stored row, and the entries that the log adds.
//!
//! Two row ids of the log decide what an entry adds. Rows up to [`stored`](Quota) were included in the tables from
//! which the quota was read, so they add only to windows of up to a minute. Rows up to `folded` (in the writer's `Log`)
//! are included in the tables now, so only later rows add to the usage that is still to be written.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{Connection, OptionalExtension};
use serde::{Deserialize, Serialize};
use tower_keypool::{
    KeyId, Limit, Span,
    store::{Amounts, Candidate, Day, MIDNIGHT_GUARD, Record, ReservedAt},
};

use super::{
    error::SqliteError,
    windows::{Added, Windows, added},
};
use crate::window::MOST;

/// Number of days before the current one that are kept in memory.
const DAYS: i32 = 2;

/// A project and model.
pub(super) type Name = (Arc<str>, Arc<str>);

/// A reservation or correction in the log: project, model, key, the time and day that count it, the spans of its limits
/// except a minute, and the added amounts.
#[derive(Serialize, Deserialize)]
pub(super) struct LogEntry(Arc<str>, Arc<str>, KeyId, (i64, i32), Vec<i64>, Added);

/// The usage of one project and model.
pub(super) struct Quota {
    pub(super) id: i64,
    windows: Windows,
    /// The sums of the days with usage around the current one.
    days: Vec<(i32, Amounts)>,
    /// The last row of the log that was included in the tables when days and long windows were read from them.
    stored: i64,
    /// The usage of each day and key that is only in the log.
    unfolded: HashMap<(i32, KeyId), Added>,
}

impl LogEntry {
    /// Returns the entry for a reservation.
    pub(super) fn reserve(candidate: Candidate, at: ReservedAt, cost: &Amounts) -> Self {
        let Candidate { key, project, model, limits, .. } = candidate;
        let spans_ms = limits.iter().filter_map(|limit| match limit.span {
            Span::Sliding(span) if limit.span != Span::MINUTE => Some(span.as_millis() as i64),
            _ => None,
        });
        Self(project, model, key, (at.at_ms, at.date), spans_ms.collect(), columns(cost))
    }

    /// Returns the entry that corrects a reservation to the actual usage; `None` for other records.
    pub(super) fn correct(record: &Record) -> Option<Self> {
        let Record::Used { key, project, model, at, reserved, used } = record else { return None };
        let (reserved, used) = (columns(reserved), columns(used));
        let more = std::array::from_fn(|column| used[column] - reserved[column]);
        Some(Self(Arc::clone(project), Arc::clone(model), key.clone(), (at.at_ms, at.date), Vec::new(), more))
    }

    pub(super) fn name(&self) -> Name {
        (Arc::clone(&self.0), Arc::clone(&self.1))
    }
}

impl Quota {
    /// Creates an empty quota, and its row if it has none.
    pub(super) fn new(connection: &Connection, (project, model): &Name) -> Result<Self, SqliteError> {
        let find = "SELECT id FROM quotas WHERE project = ? AND model = ?";
        let found = connection.prepare_cached(find)?.query_row((project, model), |row| row.get(0)).optional()?;
        let id = if let Some(id) = found {
            id
        } else {
            let insert = "INSERT INTO quotas (project, model) VALUES (?, ?)";
            connection.prepare_cached(insert)?.insert((project, model))?
        };
        Ok(Self { id, windows: Windows::default(), days: Vec::new(), stored: 0, unfolded: HashMap::new() })
    }

    /// Reads all quotas with counts from the tables, which include the log up to the row `stored`.
    pub(super) fn read_all(
        connection: &Connection,
        stored: i64,
        today: i32,
    ) -> Result<HashMap<Name, Self>, SqliteError> {
        let mut days: HashMap<i64, Vec<(i32, Amounts)>> = HashMap::new();
        let mut read = connection.prepare(
            "SELECT quota, date, sum(requests), sum(input_tokens), sum(output_tokens)
             FROM usage WHERE date BETWEEN ? AND ? GROUP BY date, quota",
        )?;
        let mut rows = read.query((today - DAYS, today + 1))?;
        while let Some(row) = rows.next()? {
            days.entry(row.get(0)?).or_default().push((row.get(1)?, amounts(row, 2)?));
        }
        let mut models: HashMap<String, Arc<str>> = HashMap::new();
        let mut quotas = HashMap::new();
        let mut read = connection.prepare("SELECT id, project, model, windows FROM quotas")?;
        let mut rows = read.query([])?;
        while let Some(row) = rows.next()? {
            let (id, project) = (row.get(0)?, row.get_ref(1)?.as_str().unwrap_or_default());
            let windows: Windows = serde_json::from_str(row.get_ref(3)?.as_str().unwrap_or_default())?;
            let days = days.remove(&id).unwrap_or_default();
            if !windows.is_empty() || !days.is_empty() {
                let model = row.get(2)?;
                let model = Arc::clone(models.entry(model).or_insert_with_key(|model| model.as_str().into()));
                let quota = Self { id, windows, days, stored, unfolded: HashMap::new() };
                quotas.insert((project.into(), model), quota);
            }
        }
        Ok(quotas)
    }

    /// Returns the counts of the windows and days as records.
    pub(super) fn records(&mut self, (project, model): &Name, now: i64, today: i32) -> Vec<Record> {
        let name = || (Arc::clone(project), Arc::clone(model));
        self.windows.prune(now);
        let windows = self.windows.starts().map(|(span, starts)| {
            let (project, model) = name();
            Record::Starts { project, model, span, starts }
        });
        let days = self.days.iter().filter(|(date, _)| (today - 1..=today + 1).contains(date)).map(|(date, used)| {
            let (project, model) = name();
            Record::Day { project, model, date: *date, used: *used }
        });
        windows.chain(days).collect()
    }

    /// Returns the delay in milliseconds until there is room for a cost; 0 if there is room now. `now` is the time of
    /// the windows, `wall` that of the days.
    pub(super) fn opens_in(&mut self, limits: &[Limit], cost: &Amounts, now: i64, day: &Day, wall: i64) -> i64 {
        self.windows.prune(now);
        let sliding = limits.iter().map(|limit| self.windows.opens_in(limit, cost.needed(limit.unit), now));
        let daily = limits.iter().filter(|limit| limit.span == Span::Day && cost.needed(limit.unit) > 0).map(|limit| {
            let today = self.used_on(day.date).of(limit.unit);
            let (guard, cost) = (MIDNIGHT_GUARD.as_millis() as i64, cost.needed(limit.unit));
            let full = |used: u64| limit.amount == 0 || (used > 0 && used.saturating_add(cost) > limit.amount);
            if full(today) {
                return day.ends_ms + guard - wall;
            }
            // Within the guard after midnight, all of today's usage counts for yesterday, too.
            let yesterday = || self.used_on(day.date - 1).of(limit.unit);
            let in_guard = wall < day.starts_ms + guard;
            if in_guard && full(yesterday().saturating_add(today)) { day.starts_ms + guard - wall } else { 0 }
        });
        sliding.chain(daily).max().unwrap_or(0)
    }

    /// Counts an entry from a row of the log. `folded` is the last folded row.
    pub(super) fn count(&mut self, entry: &LogEntry, row: i64, folded: i64) {
        let LogEntry(_, _, key, (at_ms, date), spans_ms, more) = entry;
        self.windows.add(spans_ms, *at_ms, more, row <= self.stored);
        if row > self.stored {
            let sum = added(&self.used_on(*date), more);
            self.days.retain(|(day, _)| day != date && *day > date - DAYS);
            self.days.push((*date, sum));
        }
        if row > folded {
            let sum = self.unfolded.entry((*date, key.clone())).or_default();
            *sum = std::array::from_fn(|column| sum[column].saturating_add(more[column]));
        }
    }

    /// Reports whether some usage is only in the log.
    pub(super) fn is_unfolded(&self) -> bool {
        !self.unfolded.is_empty()
    }

    /// Reports whether all counts have expired.
    pub(super) fn is_over(&mut self, now: i64, today: i32) -> bool {
        self.windows.prune(now);
        self.windows.is_empty() && self.days.iter().all(|(date, _)| *date < today - DAYS)
    }

    /// Forgets the unfolded usage, because another process wrote it to the tables.
    pub(super) fn set_folded(&mut self) {
        self.unfolded.clear();
    }

    /// Writes the usage that is only in the log to the tables, except windows of up to a minute.
    pub(super) fn fold(&mut self, connection: &Connection) -> Result<(), SqliteError> {
        if let Some((windows, last_ms)) = self.windows.longer() {
            connection.prepare_cached("UPDATE quotas SET windows = ?, last_ms = ? WHERE id = ?")?.execute((
                serde_json::to_string(&windows)?,
                last_ms,
                self.id,
            ))?;
        }
        for ((date, key), [requests, input_tokens, output_tokens]) in self.unfolded.drain() {
            connection
                .prepare_cached(
                    "INSERT INTO usage VALUES (?, ?, ?, max(?, 0), max(?, 0), max(?, 0))
                     ON CONFLICT DO UPDATE SET requests = max(requests + ?4, 0),
                         input_tokens = max(input_tokens + ?5, 0),
                         output_tokens = max(output_tokens + ?6, 0)",
                )?
                .execute((date, self.id, key.as_str(), requests, input_tokens, output_tokens))?;
        }
        Ok(())
    }

    fn used_on(&self, date: i32) -> Amounts {
        self.days.iter().find(|(day, _)| *day == date).map_or_else(Amounts::default, |(_, sum)| *sum)
    }
}

/// Converts amounts to columns.
fn columns(amounts: &Amounts) -> Added {
    let Amounts { requests, input_tokens, output_tokens } = *amounts;
    [requests, input_tokens, output_tokens].map(|amount| amount.min(MOST) as i64)
}

/// Reads amounts from three columns, starting at `first`.
pub(super) fn amounts(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Amounts> {
    let column = |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, i64>(first + at)?.max(0) as u64);
    Ok(Amounts { requests: column(0)?, input_tokens: column(1)?, output_tokens: column(2)? })
}
