//! A line for everything that goes wrong.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use jiff::{Timestamp, tz::TimeZone};
use keypool_client::batch::{Fault, FaultKind};
use serde_json::json;

use super::{progress, shown};
use crate::telemetry::plain;

/// A file that lines are added to.
pub(super) struct ErrorLog {
    path: PathBuf,
    file: Mutex<File>,
    /// A line is missing in it.
    has_gap: AtomicBool,
    json: bool,
    zone: TimeZone,
}

impl ErrorLog {
    pub(super) fn open(path: &Path, json: bool) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file =
            file.map_err(|error| io::Error::new(error.kind(), format!("--error-log {}: {error}", path.display())))?;
        let (path, has_gap) = (path.to_owned(), AtomicBool::new(false));
        Ok(Self { path, file: Mutex::new(file), has_gap, json, zone: TimeZone::system() })
    }

    /// Whether a line is missing in it.
    pub(super) fn has_gap(&self) -> bool {
        self.has_gap.load(Relaxed)
    }

    /// Adds a line. A log that cannot be written is no reason to end: it is said once.
    pub(super) fn write(&self, fault: &Fault, now: SystemTime) {
        let now = Timestamp::try_from(now).unwrap_or_default().to_zoned(self.zone.clone());
        let mut line = if self.json {
            let mut line = json!(fault);
            line["time"] = now.timestamp().to_string().into();
            line["level"] = "ERROR".into();
            line.to_string()
        } else {
            format!("{} ERROR {}", now.strftime("%Y-%m-%d %H:%M:%S"), plain(&text(fault)))
        };
        line.push('\n');
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = file.write_all(line.as_bytes())
            && !self.has_gap.swap(true, Relaxed)
        {
            let path = plain(&shown(&self.path));
            progress::line(&format!("keypool: --error-log {path}: {error}: lines are missing there from now on"));
        }
    }
}

/// `Slot 5 key k-1f09 task 17: 429 RESOURCE_EXHAUSTED (retry in 60s)`; and of a step down `(retry in 60s; gemini-2.5-pro failed,
/// next gemini-2.5-flash)`.
fn text(fault: &Fault) -> String {
    let key = fault.key.as_ref().map(|key| format!(" key {key}")).unwrap_or_default();
    let status = fault.status.filter(|status| *status != 200).map(|status| format!("{status} ")).unwrap_or_default();
    let step = fault.next_model.as_ref().map(|next| format!("{} failed, next {next}", fault.model));
    let behind = match (fault.retry_in, fault.fault) {
        _ if fault.permanent => Some("permanent".to_owned()),
        (Some(rest), _) => Some(format!("retry in {}", seconds(rest))),
        _ if step.is_some() => None,
        (None, FaultKind::Key) => Some("another key".to_owned()),
        _ if fault.last => Some(format!("failed: {}", fault.message)),
        _ => Some(format!("again: {}", fault.message)),
    };
    let behind = behind.into_iter().chain(step).collect::<Vec<_>>().join("; ");
    format!("Slot {}{key} task {}: {status}{} ({behind})", fault.slot, fault.task, fault.code)
}

fn seconds(rest: Duration) -> String {
    if rest < Duration::from_secs(1) {
        format!("{}ms", rest.as_millis())
    } else {
        format!("{}s", rest.as_secs_f64().ceil())
    }
}

#[cfg(test)]
mod tests {
    use keypool_client::batch::Id;

    use super::*;

    #[test]
    fn lines_are_as_people_expect_them() {
        let fault = Fault {
            slot: 5,
            key: Some("k-1f09".into()),
            task: Id::Number(17),
            model: "gemini-2.5-pro".into(),
            next_model: None,
            fault: FaultKind::Key,
            verdict: None,
            status: Some(429),
            code: "RESOURCE_EXHAUSTED".to_owned(),
            message: String::new(),
            retry_in: Some(Duration::from_secs(60)),
            permanent: false,
            last: false,
        };
        assert_eq!(text(&fault), "Slot 5 key k-1f09 task 17: 429 RESOURCE_EXHAUSTED (retry in 60s)");
        let step = Fault { next_model: Some("gemini-2.5-flash".into()), ..fault.clone() };
        let said = "429 RESOURCE_EXHAUSTED (retry in 60s; gemini-2.5-pro failed, next gemini-2.5-flash)";
        assert_eq!(text(&step), format!("Slot 5 key k-1f09 task 17: {said}"));
        let step =
            Fault { fault: FaultKind::Model, retry_in: None, status: Some(404), code: "NOT_FOUND".to_owned(), ..step };
        let said = "404 NOT_FOUND (gemini-2.5-pro failed, next gemini-2.5-flash)";
        assert_eq!(text(&step), format!("Slot 5 key k-1f09 task 17: {said}"));
        let gone = Fault { status: Some(403), code: "CONSUMER_SUSPENDED".to_owned(), permanent: true, ..fault };
        assert_eq!(text(&gone), "Slot 5 key k-1f09 task 17: 403 CONSUMER_SUSPENDED (permanent)");
    }
}
