//! The writer thread.
//!
//! Jobs that arrive while a transaction runs share the next one, so many requests share the cost of a commit.

use std::{
    collections::{HashMap, hash_map},
    sync::{Arc, mpsc},
    time::Duration,
};

use rusqlite::Connection;
use tokio::sync::oneshot;
use tower_keypool::store::{Changes, Day, Granted, Record, ReserveRequest, Reserved, ReservedAt};

use super::{
    error::{SqliteError, SqliteErrorKind},
    file::OpenedFile,
    quota::{LogEntry, Name, Quota},
    records,
    time::Time,
    windows::LOGGED_MS,
};
use crate::window::HOLD_MS;

/// How long the writer collects jobs before the next transaction.
const GATHER: Duration = Duration::from_millis(2);

/// Maximum number of jobs in one transaction.
const MAX_JOBS: usize = 256;

/// Age of the oldest unfolded row at which the log is folded.
const FOLD_MS: i64 = 30_000;

/// Pause between two tries to begin a transaction while another process has one open.
const TRY_AGAIN: Duration = Duration::from_millis(1);

/// The channel for the reply to a job.
pub(super) type Answer<T> = oneshot::Sender<Result<T, SqliteError>>;

/// A job for the writer thread.
pub(super) enum Job {
    Reserve(ReserveRequest, Answer<Reserved>),
    Record(Vec<Record>, Answer<()>),
    /// Other work, which never shares a transaction.
    Alone(Box<dyn FnOnce(&mut Writer) + Send>),
}

/// A reply that is sent after the commit.
enum Pending {
    Reserved(Answer<Reserved>, Result<Reserved, SqliteError>),
    Recorded(Answer<()>),
}

pub(super) struct Writer {
    pub(super) connection: Connection,
    file: OpenedFile,
    pub(super) time: Time,
    /// Start of the current transaction: the time of sliding windows, and the wall clock, which decides days.
    now_ms: i64,
    wall_ms: i64,
    /// Maximum number of retries to begin a transaction.
    tries: u32,
    /// The random id that marks this writer's records.
    id: i64,
    /// All quotas with counts.
    quotas: HashMap<Name, Quota>,
    /// The `data_version` of the file at which the log was read. It changes when another connection commits.
    version: i64,
    log: Log,
    /// The current day of each zone.
    days: HashMap<Arc<str>, Day>,
    /// The entries that this transaction adds to the log.
    entries: Vec<LogEntry>,
}

/// How far this writer has read and folded the log.
#[derive(Default)]
struct Log {
    /// The last row, up to which the quotas include the log.
    last: i64,
    /// The last folded row.
    folded: i64,
    /// When the first unfolded row was written.
    unfolded_ms: Option<i64>,
}

impl Writer {
    pub(super) fn new(connection: Connection, file: OpenedFile, time: Time, id: i64, busy_timeout: Duration) -> Self {
        let tries = (busy_timeout.as_millis() / TRY_AGAIN.as_millis()) as u32;
        let (quotas, log, days, entries) = Default::default();
        Self { connection, file, time, now_ms: 0, wall_ms: 0, tries, id, quotas, version: -1, log, days, entries }
    }

    /// Runs until all senders are dropped.
    pub(super) fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        let mut left = None;
        while let Some(first) = left.take().or_else(|| jobs.recv().ok()) {
            match first {
                Job::Alone(work) => work(&mut self),
                first => {
                    let batch;
                    (batch, left) = gather(first, jobs);
                    self.run_batch(batch);
                }
            }
            // Under load, more jobs arrive during the sleep and share the cost of the commit.
            std::thread::sleep(GATHER);
        }
    }

    /// Runs `change` in a transaction of its own.
    pub(super) fn transaction<T>(
        &mut self,
        change: impl FnOnce(&mut Self) -> Result<T, SqliteError>,
    ) -> Result<T, SqliteError> {
        let done = self.begin().and_then(|()| change(self));
        let done = done.and_then(|value| self.commit().map(|()| value));
        if let Err(error) = &done {
            self.roll_back();
            // An invalid request did not change any count.
            if error.kind() != SqliteErrorKind::Invalid {
                self.forget();
            }
        }
        done
    }

    /// Runs jobs in one transaction and replies after the commit.
    fn run_batch(&mut self, jobs: Vec<Job>) {
        let mut answers = Vec::with_capacity(jobs.len());
        let mut done = self.begin();
        for job in jobs {
            let pending = match job {
                Job::Reserve(request, answer) => {
                    let reserved = if done.is_ok() { self.reserve(request) } else { Ok(Reserved::default()) };
                    match reserved {
                        // An invalid request does not affect the other jobs.
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
                Job::Alone(_) => continue,
            };
            answers.push(pending);
        }
        let done = done.and_then(|()| self.save()).and_then(|()| self.commit());
        if done.is_err() {
            self.roll_back();
            self.forget();
        }
        for pending in answers {
            // The caller may have dropped the receiver.
            match pending {
                Pending::Reserved(answer, reserved) => drop(answer.send(done.clone().and(reserved))),
                Pending::Recorded(answer) => drop(answer.send(done.clone())),
            }
        }
    }

    fn begin(&mut self) -> Result<(), SqliteError> {
        self.file.check()?;
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
        (self.now_ms, self.wall_ms) = (self.time.now_ms(), self.time.wall_ms());
        let version = self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.version != version {
            self.read_log()?;
            self.version = version;
        }
        Ok(())
    }

    fn commit(&self) -> Result<(), SqliteError> {
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    fn roll_back(&mut self) {
        // SQLite may have rolled back already.
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction cannot be rolled back");
        }
    }

    /// Drops all state, so that the next transaction reads it again.
    fn forget(&mut self) {
        self.entries.clear();
        self.quotas.clear();
        self.log = Log::default();
        self.version = -1;
    }

    /// Counts the entries that other processes added to the log.
    fn read_log(&mut self) -> Result<(), SqliteError> {
        let state =
            "SELECT folded, (SELECT min(id) FROM log), (SELECT at_ms FROM log WHERE id > folded ORDER BY id LIMIT 1)
             FROM (SELECT ifnull((SELECT value FROM meta WHERE name = 'folded'), 0) AS folded)";
        let state = self.connection.prepare_cached(state)?.query_row([], |row| row.try_into())?;
        let (folded, first, unfolded_ms): (i64, Option<i64>, _) = state;
        if folded != self.log.folded {
            self.quotas.values_mut().for_each(Quota::set_folded);
        }
        (self.log.folded, self.log.unfolded_ms) = (folded, unfolded_ms);
        let first = first.unwrap_or(folded + 1);
        // Nothing was read yet, or rows were deleted before they were read here. The tables include the deleted rows.
        if self.version < 0 || first > self.log.last + 1 {
            self.quotas = Quota::read_all(&self.connection, folded, self.today())?;
            self.log.last = first - 1;
        }
        let read = |connection: &Connection, last: i64| {
            let mut read = connection.prepare_cached("SELECT id, entries FROM log WHERE id > ? ORDER BY id")?;
            read.query_map([last], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<Vec<(i64, String)>, _>>()
        };
        for (row, entries) in read(&self.connection, self.log.last)? {
            for entry in serde_json::from_str::<Vec<LogEntry>>(&entries)? {
                self.quota(entry.name())?.count(&entry, row, folded);
            }
            self.log.last = row;
        }
        Ok(())
    }

    /// Adds the entries of this transaction to the log.
    fn save(&mut self) -> Result<(), SqliteError> {
        let now = self.now_ms;
        if !self.entries.is_empty() {
            let entries = serde_json::to_string(&self.entries)?;
            self.log.last += 1;
            let insert = "INSERT INTO log VALUES (?, ?, ?)";
            self.connection.prepare_cached(insert)?.execute((self.log.last, now, entries))?;
            self.log.unfolded_ms.get_or_insert(now);
            self.entries.clear();
        }
        if self.log.unfolded_ms.is_some_and(|at_ms| now >= at_ms + FOLD_MS) { self.fold() } else { Ok(()) }
    }

    /// Writes usage that is only in the log to the tables, and deletes rows that no window of a minute counts.
    pub(super) fn fold(&mut self) -> Result<(), SqliteError> {
        let (now, today) = (self.now_ms, self.today());
        let mut quotas: Vec<_> = self.quotas.values_mut().filter(|quota| quota.is_unfolded()).collect();
        quotas.sort_unstable_by_key(|quota| quota.id);
        for quota in quotas {
            quota.fold(&self.connection)?;
        }
        self.quotas.retain(|_, quota| !quota.is_over(now, today));
        (self.log.folded, self.log.unfolded_ms) = (self.log.last, None);
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES ('folded', ?)", [self.log.folded])?;
        let keep = "DELETE FROM log WHERE id < ifnull((SELECT min(id) FROM log WHERE at_ms > ?), ?)";
        self.connection.execute(keep, (now - LOGGED_MS, self.log.last + 1))?;
        Ok(())
    }

    /// Deletes expired data and returns the rest.
    pub(super) fn load(&mut self) -> Result<Changes, SqliteError> {
        self.transaction(|writer| {
            let (now_ms, today) = (writer.now_ms, writer.today());
            records::prune(&writer.connection, &writer.time)?;
            // Records of all writers: none has the id 0.
            let (revision, mut records) = records::since(&writer.connection, 0, 0)?;
            for (name, quota) in &mut writer.quotas {
                records.extend(quota.records(name, now_ms, today));
            }
            Ok(Changes { revision, now_ms, records })
        })
    }

    /// Returns the date in UTC.
    fn today(&self) -> i32 {
        (self.wall_ms / 86_400_000) as i32
    }

    fn reserve(&mut self, request: ReserveRequest) -> Result<Reserved, SqliteError> {
        let now = self.now_ms;
        let mut opens_in = Vec::new();
        for (place, candidate) in request.candidates.into_iter().enumerate() {
            let (day, wall) = self.day(&candidate.zone)?;
            let (row, folded) = (self.log.last + 1, self.log.folded);
            let quota = self.quota((Arc::clone(&candidate.project), Arc::clone(&candidate.model)))?;
            let opens_in_ms = quota.opens_in(&candidate.limits, &request.cost, now, &day, wall);
            if opens_in_ms > 0 {
                opens_in.push(Duration::from_millis(opens_in_ms as u64));
                continue;
            }
            let at = ReservedAt { at_ms: now + HOLD_MS, date: day.date };
            let entry = LogEntry::reserve(candidate, at, &request.cost);
            quota.count(&entry, row, folded);
            self.entries.push(entry);
            let usable_for = Duration::from_millis(HOLD_MS as u64);
            return Ok(Reserved { granted: Some(Granted { candidate: place, at, usable_for }), opens_in });
        }
        Ok(Reserved { granted: None, opens_in })
    }

    /// Returns the day for which a request reserved now counts, by the latest time at which it may be sent, and the
    /// current wall-clock time.
    fn day(&mut self, zone: &Arc<str>) -> Result<(Day, i64), SqliteError> {
        let now = self.wall_ms;
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
        let (row, folded) = (self.log.last + 1, self.log.folded);
        for record in records {
            if let Some(entry) = LogEntry::correct(record) {
                self.quota(entry.name())?.count(&entry, row, folded);
                self.entries.push(entry);
            } else {
                records::put(&self.connection, self.id, record, self.wall_ms)?;
            }
        }
        Ok(())
    }

    fn quota(&mut self, name: Name) -> Result<&mut Quota, SqliteError> {
        match self.quotas.entry(name) {
            hash_map::Entry::Occupied(quota) => Ok(quota.into_mut()),
            hash_map::Entry::Vacant(place) => {
                let quota = Quota::new(&self.connection, place.key())?;
                Ok(place.insert(quota))
            }
        }
    }
}

/// Collects the jobs that share a transaction with the first one. Also returns the `Alone` job that ended the
/// collection, if there is one.
fn gather(first: Job, jobs: &mpsc::Receiver<Job>) -> (Vec<Job>, Option<Job>) {
    let mut batch = vec![first];
    while batch.len() < MAX_JOBS
        && let Ok(job) = jobs.try_recv()
    {
        if matches!(job, Job::Alone(_)) {
            return (batch, Some(job));
        }
        batch.push(job);
    }
    (batch, None)
}
