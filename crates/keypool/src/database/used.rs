//! What each tenant used of which model, day by day: counted in memory, and written a moment later.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hashbrown::DefaultHashBuilder;
use serde::{Deserialize, Serialize};
use tower_keypool::store::{Ledger, LedgerEntry, Placing, StoreError};

use super::Records;
use crate::{config::count, standing::now_ms};

/// The kind of its entries: one a day for each life of a process.
const USED: &str = "used";
/// How often it is written, where there is anything new: so much is lost where a process is killed.
const ROUND: Duration = Duration::from_millis(250);
/// A write that takes longer is given up until the next round.
const PATIENCE: Duration = Duration::from_secs(5);
/// Tenants times models of a day that have a line of their own.
const MOST: usize = 1024;
/// Models of a tenant.
const MOST_MODELS: usize = 256;
/// All others'.
const OTHERS: &str = "*";
/// Between two tries of the last write.
const AGAIN: Duration = Duration::from_millis(100);
const DAY: i64 = 24 * 3_600_000;
/// For so long it is kept.
const KEPT: i64 = 400 * DAY;

/// What was used together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Use {
    /// Requests of clients, however many attempts they took.
    pub requests: u64,
    /// Of these, those without a good answer.
    pub failed: u64,
    /// Tokens of prompts, as answers told.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
}

impl Use {
    /// Adds another's.
    pub fn add(&mut self, more: &Self) {
        self.requests += more.requests;
        self.failed += more.failed;
        self.input_tokens = self.input_tokens.saturating_add(more.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(more.output_tokens);
    }

    fn less(&self, part: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(part.requests),
            failed: self.failed.saturating_sub(part.failed),
            input_tokens: self.input_tokens.saturating_sub(part.input_tokens),
            output_tokens: self.output_tokens.saturating_sub(part.output_tokens),
        }
    }
}

/// Looked up with each request: a hash costs a tenth of std's.
type ByName<T> = HashMap<Arc<str>, T, DefaultHashBuilder>;

/// By tenant and model.
type Models = ByName<ByName<Use>>;

/// What this process's requests used. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct Used(Arc<Mutex<Tally>>);

#[derive(Debug, Default)]
struct Tally {
    /// By days since 1970 in UTC.
    by_day: BTreeMap<i64, Models>,
    /// All that was booked, and as much of it as is kept.
    booked: Use,
    kept: Use,
}

/// A line of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Line {
    /// The date, in UTC: `2026-06-15`.
    pub day: String,
    /// Who asked.
    pub tenant: String,
    /// For what; `*`: models that have no line of their own, empty: none was named.
    pub model: String,
}

impl Used {
    fn days(&self) -> MutexGuard<'_, Tally> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has ended at this time, in Unix milliseconds.
    ///
    /// A model that no good answer has `confirmed`, not even by its beginning, has no line of its own: what callers make up
    /// fills nothing.
    pub fn book(&self, tenant: &Arc<str>, (model, confirmed): (&str, bool), cost: &Use, now: i64) {
        let mut days = self.days();
        days.booked.add(cost);
        let today = days.by_day.entry(now.div_euclid(DAY)).or_default();
        // Nearly each is there already.
        if let Some(held) = today.get_mut(tenant).and_then(|models| models.get_mut(model)) {
            held.add(cost);
            return;
        }
        let full = today.values().map(HashMap::len).sum::<usize>() >= MOST;
        let models = today.entry(Arc::clone(tenant)).or_default();
        let own = model.is_empty() || (confirmed && !full && models.len() < MOST_MODELS);
        let model = if own { model } else { OTHERS };
        match models.get_mut(model) {
            Some(held) => held.add(cost),
            None => drop(models.insert(model.into(), *cost)),
        }
    }

    /// Writes it every round, until the task is aborted. `process`: what this life of the process is called.
    pub async fn keep(self, records: Records, process: String) {
        loop {
            tokio::time::sleep(ROUND).await;
            self.flush(&records, &process, now_ms()).await;
        }
    }

    /// Writes what is new. `now`: in Unix milliseconds.
    pub async fn flush(&self, records: &Records, process: &str, now: i64) {
        // The next round has what this one could not keep.
        let _ = self.flush_within(records, process, now, PATIENCE).await;
    }

    /// Writes what is left before the process ends, for as long as that takes within `wait`, and says what could not be
    /// kept. `now`: in Unix milliseconds.
    pub async fn close(&self, records: &Records, process: &str, now: i64, wait: Duration) -> Use {
        let kept = async {
            while self.flush_within(records, process, now, wait).await.is_err() {
                tokio::time::sleep(AGAIN).await;
            }
        };
        let _ = tokio::time::timeout(wait, kept).await;
        let lost = self.unkept();
        if lost != Use::default() {
            let Use { requests, input_tokens, output_tokens, .. } = lost;
            tracing::warn!(
                "the usage of {} by tenants is lost ({input_tokens} tokens in, {output_tokens} out): the store did not \
                 keep it within {} s",
                count(usize::try_from(requests).unwrap_or(usize::MAX), "request"),
                wait.as_secs(),
            );
        }
        lost
    }

    /// What was booked and is not kept yet.
    fn unkept(&self) -> Use {
        let days = self.days();
        days.booked.less(&days.kept)
    }

    async fn flush_within(&self, records: &Records, process: &str, now: i64, wait: Duration) -> Result<(), Unkept> {
        let (entries, booked) = {
            let days = self.days();
            if days.booked == days.kept {
                return Ok(());
            }
            let entries = days.by_day.iter().filter_map(|(day, models)| entry(*day, process, models));
            (entries.collect::<Vec<_>>(), days.booked)
        };
        let kept = tokio::time::timeout(wait, records.keep(USED, entries, Placing::Replace, now)).await;
        let Ok(Ok(())) = kept else { return Err(Unkept) };
        let mut days = self.days();
        days.kept = booked;
        // Yesterday's is whole, and kept.
        let today = now.div_euclid(DAY);
        let new = days.booked != booked;
        days.by_day.retain(|day, _| *day >= today || new);
        Ok(())
    }

    /// What was used on these days (both included), by all processes that work on these records; of this one, up to
    /// now, in Unix milliseconds.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn read(
        &self,
        records: &Records,
        process: &str,
        (from, to): (&str, &str),
        now: i64,
    ) -> Result<BTreeMap<Line, Use>, StoreError> {
        self.flush(records, process, now).await;
        let begin = from.chars().zip(to.chars()).take_while(|(one, other)| one == other).map(|(one, _)| one);
        let begin: String = begin.collect();
        let mut lines = BTreeMap::new();
        for entry in records.kept_of(USED, "", &begin, now).await? {
            let Some((day, _)) = entry.name.split_once('\n').filter(|(day, _)| (from..=to).contains(day)) else {
                continue;
            };
            let Ok(tenants) = serde_json::from_str::<Kept>(&entry.value) else { continue };
            for (tenant, models) in tenants {
                for (model, cost) in models {
                    let line = Line { day: day.to_owned(), tenant: tenant.clone(), model };
                    lines.entry(line).or_insert_with(Use::default).add(&cost);
                }
            }
        }
        Ok(lines)
    }
}

/// The store did not take it.
struct Unkept;

/// As it is kept.
type Kept = BTreeMap<String, BTreeMap<String, Use>>;

fn entry(day: i64, process: &str, models: &Models) -> Option<LedgerEntry> {
    let date = jiff::Timestamp::from_millisecond(day * DAY).ok()?.to_zoned(jiff::tz::TimeZone::UTC).date();
    Some(LedgerEntry {
        name: format!("{date}\n{process}"),
        value: serde_json::to_string(models).ok()?,
        until: Some(day * DAY + KEPT),
        ..LedgerEntry::default()
    })
}

#[cfg(test)]
mod tests {
    use tower_keypool::store::Sqlite;

    use super::*;
    use crate::database::Database;

    const NOON: i64 = 20_000 * DAY + DAY / 2;

    fn good(tokens: u64) -> Use {
        Use { requests: 1, failed: 0, input_tokens: tokens, output_tokens: 1 }
    }

    #[tokio::test]
    async fn processes_and_lives_of_them_add_up() {
        let records = Records::default();
        let acme: Arc<str> = "acme".into();
        for process in ["a", "b"] {
            let used = Used::default();
            for _ in 0..3 {
                used.book(&acme, ("flash", true), &good(7), NOON);
            }
            used.flush(&records, process, NOON).await;
            used.book(&acme, ("flash", true), &good(7), NOON);
            used.book(&acme, ("pro", true), &good(1), NOON + DAY);
            used.flush(&records, process, NOON).await;
        }
        let lines = Used::default().read(&records, "c", ("2024-10-04", "2024-10-05"), NOON).await.unwrap();
        let told: Vec<_> = lines.iter().map(|(line, used)| (&*line.day, &*line.model, used.requests)).collect();
        assert_eq!(told, [("2024-10-04", "flash", 8), ("2024-10-05", "pro", 2)]);
        assert_eq!(lines.values().next().unwrap().input_tokens, 56);
    }

    fn file(folder: &std::path::Path) -> (Records, std::path::PathBuf) {
        let path = folder.join("used.db");
        (Records::Kept(Database::File(Sqlite::open(&path).unwrap())), path)
    }

    fn shown(lines: &BTreeMap<Line, Use>) -> u64 {
        lines.values().map(|used| used.requests).sum()
    }

    #[tokio::test]
    async fn a_write_that_was_given_up_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (records, path) = file(folder.path());
        let used = Used::default();
        used.book(&"acme".into(), ("flash", true), &good(7), NOON);
        {
            let other = rusqlite::Connection::open(path).unwrap();
            other.execute_batch("BEGIN IMMEDIATE").unwrap();
            let mut flush = Box::pin(used.flush(&records, "a", NOON));
            // As the task is that writes every round when the process ends.
            assert!(futures_util::poll!(&mut flush).is_pending());
        }
        assert_eq!(used.close(&records, "a", NOON, Duration::from_secs(60)).await, Use::default());
        let lines = Used::default().read(&records, "b", ("2024-10-04", "2024-10-04"), NOON).await.unwrap();
        assert_eq!(shown(&lines), 1);
    }

    #[tokio::test]
    async fn the_last_write_waits_for_a_store_and_says_what_it_did_not_keep() {
        let folder = tempfile::tempdir().unwrap();
        let (records, path) = file(folder.path());
        let used = Used::default();
        used.flush(&records, "a", NOON).await;
        for _ in 0..3 {
            used.book(&"acme".into(), ("flash", true), &good(7), NOON);
        }
        let other = rusqlite::Connection::open(path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let lost = used.close(&records, "a", NOON, Duration::from_millis(50)).await;
        assert_eq!((lost.requests, lost.input_tokens), (3, 21));
        let (closing, freed) = tokio::join!(used.close(&records, "a", NOON, Duration::from_secs(60)), async {
            other.execute_batch("COMMIT")
        });
        freed.unwrap();
        assert_eq!(closing, Use::default());
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_later_it_is_written() {
        let (used, records) = (Used::default(), Records::default());
        let keeper = tokio::spawn(used.clone().keep(records.clone(), "a".to_owned()));
        used.book(&"acme".into(), ("flash", true), &good(7), NOON);
        tokio::time::sleep(Duration::from_millis(300)).await;
        keeper.abort();
        let lines = Used::default().read(&records, "b", ("2024-10-04", "2024-10-04"), NOON).await.unwrap();
        assert_eq!(shown(&lines), 1);
    }

    #[tokio::test]
    async fn what_began_well_and_failed_is_its_models() {
        let used = Used::default();
        let failed = Use { requests: 1, failed: 1, ..Use::default() };
        used.book(&"acme".into(), ("flash", true), &failed, NOON);
        let lines = used.read(&Records::default(), "a", ("2024-10-04", "2024-10-04"), NOON).await.unwrap();
        assert_eq!(
            lines.into_iter().map(|(line, used)| (line.model, used)).collect::<Vec<_>>(),
            [("flash".into(), failed)]
        );
    }

    #[tokio::test]
    async fn models_that_callers_make_up_share_a_line() {
        let used = Used::default();
        let acme: Arc<str> = "acme".into();
        for n in 0..5_000 {
            let failed = Use { requests: 1, failed: 1, ..Use::default() };
            used.book(&acme, (&format!("made-up-{n}"), false), &failed, NOON);
            used.book(&acme, (&format!("true-{n}"), true), &good(1), NOON);
        }
        let lines = used.read(&Records::default(), "a", ("2024-10-04", "2024-10-04"), NOON).await.unwrap();
        assert!(lines.len() <= MOST_MODELS + 1, "{}", lines.len());
        assert_eq!(lines.values().map(|used| used.requests).sum::<u64>(), 10_000);
        assert!(!lines.keys().any(|line| line.model.starts_with("made-up")));
    }
}
