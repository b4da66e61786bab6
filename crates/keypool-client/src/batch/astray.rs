//! Answers that are no provider's: an address that is wrong says the same to each task, and is none's fault.

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;

use super::{
    attempt::Bad,
    desk::{Desk, Stop},
    shared::Shared,
    work::Work,
};

/// So many tasks of a run that nobody has carried a task of yet, each with the same: the next ones would meet it as well.
const TASKS: usize = 10;

/// What the first tasks of a run met.
#[derive(Debug)]
pub(super) enum Astray {
    /// The code that came with it, and which tasks met it.
    Met(Option<Arc<str>>, Vec<u64>),
    /// Somebody carried one: what others meet is their own.
    Arrived,
}

impl Default for Astray {
    fn default() -> Self {
        Self::Met(None, Vec::new())
    }
}

/// Whether an answer is of somebody who does not have what is asked for, and says it as no provider does.
pub(super) fn is_astray(status: StatusCode, body: &Value) -> bool {
    let is_nowhere = status.is_redirection() || [404, 405, 410].contains(&status.as_u16());
    is_nowhere && body.get(0).unwrap_or(body).get("error").is_none()
}

impl Desk {
    /// A task met this code. Whether it did so for the first time while nobody was carried, and whether enough have.
    fn met_nobody(&self, work: &Work, met: Option<&str>) -> (bool, bool) {
        let mut tray = self.lock();
        let Astray::Met(code, tasks) = &mut tray.astray else { return (false, false) };
        let first = !tasks.contains(&work.index);
        if first {
            if code.as_deref() != met {
                (*code, *tasks) = (met.map(Into::into), Vec::new());
            }
            tasks.push(work.index);
        }
        (first, tasks.len() >= TASKS)
    }
}

impl Shared {
    /// A task met somebody who is no provider. Whether it waits for what becomes of others: the first time, while nobody was
    /// carried. Where enough of them met the same, the run ends.
    pub(super) fn met_nobody(&self, work: &Work, bad: &Bad) -> bool {
        let (first, enough) = self.desk.met_nobody(work, bad.code.as_deref());
        if enough {
            let base = self.client.pool().provider().base();
            // What is to be looked at is said below.
            let said: String = bad.met.as_ref().map_or(&*bad.message, |met| met.what()).chars().take(200).collect();
            let why = format!(
                "what answers at {base} is no provider: it said the same to each of the first {TASKS} tasks ({}{said}); check \
                 the base URL (the upstream), and the model's name",
                bad.code.as_ref().map(|code| format!("{code} ")).unwrap_or_default()
            );
            self.desk.stop(Stop::Astray(why.into()));
        }
        first || enough
    }
}
