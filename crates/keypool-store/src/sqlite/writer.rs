//! The thread that writes.
//!
//! Whatever arrived while the last transaction ran is one transaction: many requests share the cost of a commit.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, mpsc},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension};
use tokio::sync::oneshot;
use tower_keypool::{
    KeyId, Span,
    store::{Amounts, Candidate, Day, Granted, MIDNIGHT_GUARD, Record, ReserveRequest, Reserved, ReservedAt},
};

use super::{
    error::{SqliteError, SqliteErrorKind},
    records,
    time::Time,
    windows::{HOLD_MS, Windows, replaced},
};

/// For how long jobs gather before a transaction begins.
const GATHER: Duration = Duration::from_micros(500);

/// At most this many jobs share a transaction.
const MOST_JOBS: usize = 256;

/// At most this many quotas are kept in memory.
const MOST_QUOTAS: usize = 200_000;

/// How many days before the present one matter.
const DAYS: i32 = 2;

/// Between two tries to begin a transaction while another process has one.
const TRY_AGAIN: Duration = Duration::from_millis(1);

/// Where the answer to a job goes.
pub(super) type Answer<T> = oneshot::Sender<Result<T, SqliteError>>;

/// What the thread is asked to do.
pub(super) enum Job {
    Reserve(ReserveRequest, Answer<Reserved>),
    Record(Vec<Record>, Answer<()>),
    /// Anything else, in a transaction of its own.
    Change(Box<dyn FnOnce(&mut Writer) + Send>),
}

/// An answer that waits for the commit.
enum Pending {
    Reserved(Answer<Reserved>, Result<Reserved, SqliteError>),
    Recorded(Answer<()>),
}

pub(super) struct Writer {
    connection: Connection,
    time: Time,
    /// How often a transaction is tried to begin.
    tries: u32,
    /// The random number by which its records are known.
    id: i64,
    /// The quotas that were used lately, as they are in the file.
    quotas: HashMap<(Arc<str>, Arc<str>), Quota>,
    /// The file's version at which `quotas` was read. It changes when another connection commits.
    version: i64,
    /// The present day of each zone.
    days: HashMap<Arc<str>, Day>,
    /// The quotas that this transaction changed, and what it adds to the usage of keys.
    changed: HashSet<(Arc<str>, Arc<str>)>,
    used: HashMap<(i32, i64, KeyId), [i64; 4]>,
}

/// A project and model.
struct Quota {
    id: i64,
    windows: Windows,
    last_ms: i64,
    /// The sums of the days around the present one on which anything was used.
    days: Vec<(i32, Amounts)>,
}

impl Writer {
    pub(super) fn new(connection: Connection, time: Time, id: i64, busy_timeout: Duration) -> Self {
        let tries = (busy_timeout.as_millis() / TRY_AGAIN.as_millis()) as u32;
        let (quotas, days, changed, used) = Default::default();
        Self { connection, time, tries, id, quotas, version: -1, days, changed, used }
    }

    /// Works until nobody can send a job any more.
    pub(super) fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        let mut next = None;
        while let Some(first) = next.take().or_else(|| jobs.recv().ok()) {
            // Under load more jobs arrive meanwhile, and share the cost of the commit.
            std::thread::sleep(GATHER);
            let mut batch = Vec::new();
            next = Some(first);
            while let Some(job) = next.take() {
                match job {
                    Job::Change(change) if batch.is_empty() => {
                        change(&mut self);
                        break;
                    }
                    Job::Change(_) => {
                        next = Some(job);
                        break;
                    }
                    job => batch.push(job),
                }
                if batch.len() < MOST_JOBS {
                    next = jobs.try_recv().ok();
                }
            }
            if !batch.is_empty() {
                self.work(batch);
            }
        }
    }

    /// A transaction of its own.
    pub(super) fn change<T>(
        &mut self,
        change: impl FnOnce(&Connection, &Time) -> Result<T, SqliteError>,
    ) -> Result<T, SqliteError> {
        let done = self.begin().and_then(|()| change(&self.connection, &self.time));
        let done = done.and_then(|value| Ok(self.connection.execute_batch("COMMIT").map(|()| value)?));
        if done.is_err() {
            self.roll_back();
        }
        done
    }

    fn work(&mut self, jobs: Vec<Job>) {
        let mut answers = Vec::with_capacity(jobs.len());
        let mut done = self.begin();
        for job in jobs {
            let pending = match job {
                Job::Reserve(request, answer) => {
                    let mut reserved = Ok(Reserved::default());
                    if done.is_ok() {
                        reserved = self.reserve(&request);
                    }
                    // An invalid request concerns nobody else.
                    match reserved {
                        Err(error) if error.kind() != SqliteErrorKind::Invalid => {
                            done = Err(error);
                            Pending::Reserved(answer, Ok(Reserved::default()))
                        }
                        reserved => Pending::Reserved(answer, reserved),
                    }
                }
                Job::Record(records, answer) => {
                    done = done.and_then(|()| self.record(&records));
                    Pending::Recorded(answer)
                }
                Job::Change(_) => continue,
            };
            answers.push(pending);
        }
        let done = done.and_then(|()| self.save()).and_then(|()| Ok(self.connection.execute_batch("COMMIT")?));
        if done.is_err() {
            self.roll_back();
        }
        for pending in answers {
            // Whoever asked may be gone.
            match pending {
                Pending::Reserved(answer, reserved) => drop(answer.send(done.clone().and(reserved))),
                Pending::Recorded(answer) => drop(answer.send(done.clone())),
            }
        }
    }

    fn begin(&mut self) -> Result<(), SqliteError> {
        let mut tries = 0;
        loop {
            match self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([]) {
                Err(error)
                    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy) && tries < self.tries =>
                {
                    tries += 1;
                    std::thread::sleep(TRY_AGAIN);
                }
                begun => {
                    begun?;
                    break;
                }
            }
        }
        let version = self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.version != version || self.quotas.len() > MOST_QUOTAS {
            self.quotas.clear();
            self.version = version;
        }
        Ok(())
    }

    fn roll_back(&mut self) {
        // SQLite may have done it by itself.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction cannot be rolled back");
        }
        self.quotas.clear();
        self.changed.clear();
        self.used.clear();
    }

    fn reserve(&mut self, request: &ReserveRequest) -> Result<Reserved, SqliteError> {
        let now = self.time.now_ms();
        let at_ms = now + HOLD_MS;
        let mut opens = Vec::new();
        for (place, candidate) in request.candidates.iter().enumerate() {
            let opens_ms = self.opens(candidate, &request.cost, now)?;
            if opens_ms > 0 {
                opens.push(Duration::from_millis(opens_ms as u64));
                continue;
            }
            let date = self.day(&candidate.zone)?.0.date;
            let Candidate { key, project, model, limits, .. } = candidate;
            let quota = self.quota(project, model)?;
            quota.last_ms = quota.windows.add(limits, at_ms, &request.cost).max(quota.last_ms);
            self.count(key, project, model, date, &Amounts::default(), &request.cost)?;
            let usable_for = Duration::from_millis(HOLD_MS as u64);
            let granted = Some(Granted { candidate: place, at: ReservedAt { at_ms, date }, usable_for });
            return Ok(Reserved { granted, opens });
        }
        Ok(Reserved { granted: None, opens })
    }

    /// After how many milliseconds a candidate has room; 0: now.
    fn opens(&mut self, candidate: &Candidate, cost: &Amounts, now: i64) -> Result<i64, SqliteError> {
        let Candidate { project, model, limits, zone, .. } = candidate;
        let quota = self.quota(project, model)?;
        quota.windows.prune(now);
        let sliding = limits.iter().map(|limit| quota.windows.opens(limit, cost.of(limit.unit), now)).max();
        let mut opens = sliding.unwrap_or(0);
        for limit in limits.iter().filter(|limit| limit.span == Span::Day && cost.of(limit.unit) > 0) {
            let (day, now) = self.day(zone)?;
            let quota = self.quota(project, model)?;
            let today = quota.used_on(day.date).of(limit.unit);
            let (guard, cost) = (MIDNIGHT_GUARD.as_millis() as i64, cost.of(limit.unit));
            let full = |used: u64| limit.amount == 0 || (used > 0 && used.saturating_add(cost) > limit.amount);
            if full(today) {
                opens = opens.max(day.ends_ms + guard - now);
            } else if now < day.starts_ms + guard {
                // All of today was counted within the guard: it counts for yesterday, too.
                let yesterday = quota.used_on(day.date - 1).of(limit.unit);
                if full(yesterday.saturating_add(today)) {
                    opens = opens.max(day.starts_ms + guard - now);
                }
            }
        }
        Ok(opens)
    }

    /// The day for which a request counts that is reserved now: it may be sent a little later. And the wall clock.
    fn day(&mut self, zone: &Arc<str>) -> Result<(Day, i64), SqliteError> {
        let now = self.time.wall_ms();
        let at_ms = now + HOLD_MS;
        match self.days.get(zone) {
            Some(day) if (day.starts_ms..day.ends_ms).contains(&at_ms) => Ok((*day, now)),
            _ => {
                let day = Day::at(zone, at_ms)?;
                self.days.insert(Arc::clone(zone), day);
                Ok((day, now))
            }
        }
    }

    fn record(&mut self, records: &[Record]) -> Result<(), SqliteError> {
        for record in records {
            let Record::Used { key, project, model, at, reserved, used } = record else {
                records::put(&self.connection, self.id, record, self.time.wall_ms())?;
                continue;
            };
            let quota = self.quota(project, model)?;
            quota.windows.correct(at.at_ms, reserved, used);
            self.count(key, project, model, at.date, reserved, used)?;
        }
        Ok(())
    }

    /// Counts on a day what was used in place of what was reserved.
    fn count(
        &mut self,
        key: &KeyId,
        project: &Arc<str>,
        model: &Arc<str>,
        date: i32,
        reserved: &Amounts,
        used: &Amounts,
    ) -> Result<(), SqliteError> {
        let quota = self.quota(project, model)?;
        let sum = replaced(&quota.used_on(date), reserved, used);
        quota.days.retain(|(day, _)| *day != date && *day > date - DAYS);
        quota.days.push((date, sum));
        let id = quota.id;
        let sum = self.used.entry((date, id, key.clone())).or_default();
        let (reserved, used) = (columns(reserved), columns(used));
        for (at, sum) in sum.iter_mut().enumerate() {
            *sum = sum.saturating_add(used[at] - reserved[at]);
        }
        self.changed.insert((Arc::clone(project), Arc::clone(model)));
        Ok(())
    }

    fn quota(&mut self, project: &Arc<str>, model: &Arc<str>) -> Result<&mut Quota, SqliteError> {
        use std::collections::hash_map::Entry;
        match self.quotas.entry((Arc::clone(project), Arc::clone(model))) {
            Entry::Occupied(quota) => Ok(quota.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(Quota::read(&self.connection, project, model, &self.time)?)),
        }
    }

    /// Writes what the transaction changed.
    fn save(&mut self) -> Result<(), SqliteError> {
        for name in self.changed.drain() {
            let Some(quota) = self.quotas.get(&name) else { continue };
            self.connection.prepare_cached("UPDATE quotas SET windows = ?, last_ms = ? WHERE id = ?")?.execute((
                serde_json::to_string(&quota.windows)?,
                quota.last_ms,
                quota.id,
            ))?;
        }
        for ((date, quota, key), [requests, input_tokens, output_tokens, images]) in self.used.drain() {
            self.connection
                .prepare_cached(
                    "INSERT INTO usage VALUES (?, ?, ?, max(?, 0), max(?, 0), max(?, 0), max(?, 0))
                     ON CONFLICT DO UPDATE SET requests = max(requests + ?4, 0),
                         input_tokens = max(input_tokens + ?5, 0),
                         output_tokens = max(output_tokens + ?6, 0), images = max(images + ?7, 0)",
                )?
                .execute((date, quota, key.as_str(), requests, input_tokens, output_tokens, images))?;
        }
        Ok(())
    }
}

impl Quota {
    /// Reads a quota; it is made where there is none.
    fn read(connection: &Connection, project: &str, model: &str, time: &Time) -> Result<Self, SqliteError> {
        let read = "SELECT id, last_ms, windows FROM quotas WHERE project = ? AND model = ?";
        let row = connection
            .prepare_cached(read)?
            .query_row((project, model), |row| Ok((row.get(0)?, row.get(1)?, row.get::<_, String>(2)?)))
            .optional()?;
        let mut quota = Self { id: 0, windows: Windows::default(), last_ms: 0, days: Vec::new() };
        if let Some((id, last_ms, windows)) = row {
            (quota.id, quota.last_ms, quota.windows) = (id, last_ms, serde_json::from_str(&windows)?);
            // It is still yesterday, or already tomorrow, in other zones.
            let today = (time.wall_ms() / 86_400_000) as i32;
            for date in today - DAYS..=today + 1 {
                let sum = "SELECT sum(requests), sum(input_tokens), sum(output_tokens), sum(images)
                     FROM usage WHERE date = ? AND quota = ? HAVING count(*) > 0";
                let sum = connection.prepare_cached(sum)?.query_row((date, id), |row| amounts(row, 0)).optional()?;
                quota.days.extend(sum.map(|sum| (date, sum)));
            }
        } else {
            let insert = "INSERT INTO quotas (project, model) VALUES (?, ?)";
            quota.id = connection.prepare_cached(insert)?.insert((project, model))?;
        }
        Ok(quota)
    }

    fn used_on(&self, date: i32) -> Amounts {
        self.days.iter().find(|(day, _)| *day == date).map_or_else(Amounts::default, |(_, sum)| *sum)
    }
}

/// Amounts as their columns.
fn columns(amounts: &Amounts) -> [i64; 4] {
    let Amounts { requests, input_tokens, output_tokens, images } = *amounts;
    // The sum of a few is still an i64.
    [requests, input_tokens, output_tokens, images].map(|amount| amount.min(1 << 60) as i64)
}

/// Amounts from four columns.
pub(super) fn amounts(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Amounts> {
    let column = |at: usize| Ok::<_, rusqlite::Error>(row.get::<_, i64>(first + at)?.max(0) as u64);
    Ok(Amounts { requests: column(0)?, input_tokens: column(1)?, output_tokens: column(2)?, images: column(3)? })
}
