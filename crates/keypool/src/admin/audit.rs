//! Who changed what: a line of the log for each change, the last of them as a list, and an event for whoever looks.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use serde_json::json;

use super::{access::Who, feed::Feed};
use crate::standing::now_ms;

/// So many are remembered.
const REMEMBERED: usize = 256;

/// A change, or an attempt at one.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Change {
    /// Unix milliseconds.
    at: i64,
    /// By which right: `token` or `session`.
    who: &'static str,
    /// The address that it came from.
    from: String,
    /// What was to be done.
    what: &'static str,
    /// The key that it was done to, by its name.
    key: Option<String>,
    /// `done`, or the code of the error.
    result: String,
}

#[derive(Debug)]
pub(super) struct Audit {
    recent: Mutex<VecDeque<Change>>,
    feed: Arc<Feed>,
}

impl Audit {
    pub(super) fn new(feed: Arc<Feed>) -> Self {
        Self { recent: Mutex::default(), feed }
    }

    /// Something was to be changed. `key`: a name that is known, never what was typed.
    pub(super) fn note(&self, who: Who, from: IpAddr, what: &'static str, key: Option<String>, result: &str) {
        let from = from.to_canonical().to_string();
        tracing::info!(
            name: "keypool.admin_change", target: "keypool::audit",
            who = who.word(), from = from.as_str(), what, key = key.as_deref(), result, "changed by an administrator",
        );
        let change = Change { at: now_ms(), who: who.word(), from, what, key, result: result.to_owned() };
        self.feed.tell(json!({
            "event": "audit", "who": change.who, "from": change.from, "what": what, "key": change.key, "result": result,
        }));
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == REMEMBERED {
            recent.pop_front();
        }
        recent.push_back(change);
    }

    /// The last of them, oldest first.
    pub(super) fn recent(&self) -> Vec<Change> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
