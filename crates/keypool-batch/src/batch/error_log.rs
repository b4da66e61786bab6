//! The error log, with one line per error.

use std::{
    fmt,
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use jiff::{Timestamp, tz::TimeZone};
use tower_keypool::{ErrorClass, KeyId, pool::Attempt};

use super::task::TaskId;

/// A log with one line for each error:
///
/// ```text
/// 2026-01-15 10:30:45 ERROR key k-1f09 task 17: 429 RESOURCE_EXHAUSTED (retry in 60s)
/// ```
///
/// If it cannot be written, for example because the disk is full, this is logged once and the run goes on.
pub struct ErrorLog {
    writer: Mutex<Box<dyn Write + Send>>,
    failed: AtomicBool,
}

impl ErrorLog {
    /// Creates a log that uses any writer. The times are local.
    pub fn writer(writer: impl Write + Send + 'static) -> Self {
        Self { writer: Mutex::new(Box::new(writer)), failed: AtomicBool::new(false) }
    }

    /// Creates a log that appends lines to a file.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn file(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self::writer(OpenOptions::new().append(true).create(true).open(path)?))
    }

    /// Logs an attempt that ended with an error response of the provider.
    pub(super) fn attempt(&self, wall: SystemTime, task: &TaskId, attempt: &Attempt) {
        let Some(failure) = attempt.outcome().failure() else { return };
        let Some(status) = failure.status() else { return };
        let code = failure.code().unwrap_or(failure.class().as_str());
        let mut what = format!("{} {code}", status.as_u16());
        // For limits and overload, the code says enough.
        let is_plain =
            matches!(failure.class(), ErrorClass::RateLimit | ErrorClass::DailyQuota | ErrorClass::Transient);
        if let Some(message) = failure.message().filter(|_| !is_plain) {
            what = format!("{what}: {message}");
        }
        if let Some(delay) = failure.retry_after() {
            what = format!("{what} (retry in {}s)", delay.as_secs_f64().ceil());
        }
        self.line(wall, Some(attempt.key()), task, &what);
    }

    /// Logs any other error, such as an unusable answer.
    pub(super) fn line(&self, wall: SystemTime, key: Option<&KeyId>, task: &TaskId, what: &str) {
        let time = Timestamp::try_from(wall).unwrap_or_default().to_zoned(TimeZone::system());
        let key = key.map(|key| format!(" key {key}")).unwrap_or_default();
        let text = format!("{} ERROR{key} task {task}: {what}", time.strftime("%Y-%m-%d %H:%M:%S"));
        let line = text.replace(char::is_control, " ") + "\n";
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = writer.write_all(line.as_bytes()).and_then(|()| writer.flush())
            && !self.failed.swap(true, Ordering::Relaxed)
        {
            tracing::error!(%error, "the error log cannot be written");
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for ErrorLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ErrorLog")
    }
}
