//! What the database's thread works with.

use std::{
    path::{Path, PathBuf},
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

use rusqlite::Connection;

use super::{
    BUSY, begin, care,
    failure::Failure,
    file,
    mending::LOOKED_THROUGH,
    numbers::Numbers,
    presence::{Identity, Open, identity},
    write,
};
use crate::{
    store::{Batch, Run, StoreError},
    time::{Clock, Tick},
};

pub(super) type Job = Box<dyn FnOnce(&mut Desk) + Send>;

/// Statements are compiled once.
const STATEMENTS: usize = 64;
/// When nothing was written for so long, the tables are made to say all of it.
const QUIET: Duration = Duration::from_secs(1);

pub(super) struct Desk {
    pub(super) connection: Connection,
    /// What stands in the journal under its name.
    pub(super) numbers: Numbers,
    /// What it is called in the journal.
    pub(super) writer: i64,
    /// `synchronous` is FULL.
    full: bool,
    pub(super) path: PathBuf,
    pub(super) identity: Option<Identity>,
    /// Goes after the connection.
    open: Option<Open>,
    /// The same of what SQLite keeps beside it.
    beside: [Option<Identity>; 2],
    /// When it is to be looked through.
    pub(super) looks_through: Tick,
    pub(super) clock: Clock,
}

pub(super) const BESIDE: [&str; 2] = ["-wal", "-shm"];

fn beside(path: &Path) -> [Option<Identity>; 2] {
    BESIDE.map(|end| identity(&file::beside(path, end)))
}

impl Desk {
    pub(super) fn new(connection: Connection, path: &Path) -> Self {
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        let clock = Clock::system();
        Self {
            open: Open::of(&connection, identity(path)),
            connection,
            numbers: Numbers::default(),
            writer: fastrand::i64(1..),
            full: false,
            path: path.to_owned(),
            identity: identity(path),
            beside: beside(path),
            looks_through: clock.tick().plus(LOOKED_THROUGH),
            clock,
        }
    }

    /// Whether what is written next outlives the machine, or only the process.
    pub(super) fn last_through_power_cuts(&mut self, full: bool) -> Result<(), Failure> {
        if self.full != full {
            self.connection.pragma_update(None, "synchronous", if full { "FULL" } else { "NORMAL" })?;
            self.full = full;
        }
        Ok(())
    }

    /// The last word of a pool: what lies beside the file goes into it, or whoever opens it next would read all of that first.
    /// Others who work on it are not waited for.
    pub(super) fn settle_after(&self, batch: &Batch) {
        if batch.run == Some(Run::Ended) {
            self.settle();
        }
    }

    /// The same of a command, which may be gone before the file is closed: who copies the file alone has its keys.
    pub(super) fn settle(&self) {
        if let Err(error) = self.put_into_the_file() {
            tracing::debug!(%error, "what lies beside the file is read by whoever opens it next");
        }
    }

    /// Whether all of it is there now, and what lay beside it takes no room any more.
    fn put_into_the_file(&self) -> rusqlite::Result<bool> {
        let settled = self.connection.busy_timeout(Duration::ZERO).and_then(|()| {
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0))
        });
        self.connection.busy_timeout(BUSY)?;
        settled.map(|busy| busy == 0)
    }

    /// Does this. Where there was no room for it, what lies beside the file may be what fills the disk: nobody but a write
    /// that succeeds would put it into the file. Whoever asked comes again.
    pub(super) fn done<T>(&mut self, job: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        let outcome = job(self);
        if outcome.as_ref().is_err_and(Failure::is_for_room) {
            let before = std::fs::metadata(file::beside(&self.path, "-wal")).map_or(0, |found| found.len());
            if before > 0 && self.put_into_the_file().unwrap_or(false) {
                tracing::warn!(
                    name: "keypool.room_made",
                    "there was no room for what the database {} is told: {} KiB that lay beside it (-wal) went into it and are \
                     free again; what was to be written is tried again",
                    self.path.display(),
                    before / 1024
                );
            }
        }
        outcome
    }

    /// Does what is asked, until nobody can ask any more.
    pub(super) fn work(&mut self, jobs: &mpsc::Receiver<Job>) {
        loop {
            let job = if self.numbers.is_empty() {
                jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                jobs.recv_timeout(QUIET)
            };
            match job {
                Ok(job) => job(self),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    if let Err(failure) = write::rest_of(self) {
                        tracing::debug!(name: "keypool.counts_not_folded", ?failure, "counts stay in the journal");
                        // Not tried again before there is more of them.
                        match jobs.recv() {
                            Ok(job) => job(self),
                            Err(_) => return,
                        }
                    }
                }
            }
        }
    }

    /// Before a write: somebody may have deleted the file, or put another in its place. What it held goes on under its
    /// name all the same: an open file is there until it is closed. Whether that was so.
    ///
    /// # Errors
    /// When it cannot be made again.
    pub(super) fn keep_its_name(&mut self) -> Result<bool, Failure> {
        let there = identity(&self.path);
        if there == self.identity {
            // They are made with the first look.
            if self.beside.contains(&None) {
                self.beside = beside(&self.path);
            }
            return Ok(false);
        }
        let path = &self.path;
        for side in self.own_sides() {
            let _ = std::fs::remove_file(side);
        }
        let what = if there.is_some() {
            let aside = file::set_aside(path, "replaced")?;
            format!("was replaced by another, which lies in {} now", aside.display())
        } else {
            "was deleted".to_owned()
        };
        file::prepare(path)?;
        care::copy(&self.connection, path)?;
        self.reopen()?;
        tracing::warn!(
            name: "keypool.database_anew",
            "the database {} {what} while this process worked on it: it is made again, with all that was in it",
            self.path.display()
        );
        Ok(true)
    }

    /// Whether the journal that is written to, and its index, still have their names: what is in others, or in none, nobody
    /// else sees.
    pub(super) fn has_sides(&self) -> bool {
        self.beside.iter().zip(beside(&self.path)).all(|(own, there)| own.is_none() || *own == there)
    }

    /// Its own journal and index, which are no other file's, where they are there still.
    pub(super) fn own_sides(&self) -> Vec<PathBuf> {
        let sides = BESIDE.iter().zip(self.beside).zip(beside(&self.path));
        let own = sides.filter(|((_, own), there)| own == there && own.is_some());
        own.map(|((end, _), _)| file::beside(&self.path, end)).collect()
    }

    /// The file turned out to be broken: it is set aside, and a new one begun.
    pub(super) fn begin_anew(&mut self, error: &rusqlite::Error) -> Failure {
        match self.try_anew() {
            Err(failure) => failure,
            Ok(aside) => {
                let what = format!(
                    "the database {} broke: it was set aside as {}, and a new one is begun (keys that were only there \
                     are to be added again)",
                    self.path.display(),
                    aside.display()
                );
                tracing::warn!(name: "keypool.database_anew", %error, "{what}");
                StoreError::begun_anew(what).into()
            }
        }
    }

    fn try_anew(&mut self) -> Result<PathBuf, Failure> {
        // It is closed first.
        self.connection = Connection::open_in_memory()?;
        let aside = file::set_aside(&self.path, file::CORRUPT)?;
        file::prepare(&self.path)?;
        self.reopen()?;
        Ok(aside)
    }

    fn reopen(&mut self) -> Result<(), Failure> {
        self.connection = begin(&self.path)?;
        self.begin_file();
        Ok(())
    }

    /// What is open is another file than before.
    pub(super) fn begin_file(&mut self) {
        self.connection.set_prepared_statement_cache_capacity(STATEMENTS);
        (self.numbers, self.full) = (Numbers::default(), false);
        (self.identity, self.beside) = (identity(&self.path), beside(&self.path));
        self.open = Open::of(&self.connection, self.identity);
    }
}
