//! Who changed what: a line of the log for each change, the last of them as a list, and an event for whoever looks.

use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;
use serde_json::json;

use super::{
    access::Who,
    attempts::{Attempts, Failed},
    feed::Feed,
};
use crate::standing::now_ms;

/// So many are remembered.
const REMEMBERED: usize = 256;

/// The result of a change that was made.
pub(super) const DONE: &str = "done";

/// What something was done to: a pool, and a key of it, by names that are known.
pub(super) type Object = (Option<String>, Option<String>);

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
    /// The pool whose key it was done to: a provider's name.
    pool: Option<String>,
    /// The key, or the exit, that it was done to, by its name.
    key: Option<String>,
    /// `done`, or the code of the error.
    result: String,
}

impl Change {
    fn new(who: Who, from: IpAddr, what: &'static str, (pool, key): Object, result: &str) -> Self {
        let from = from.to_canonical().to_string();
        Self { at: now_ms(), who: who.word(), from, what, pool, key, result: result.to_owned() }
    }
}

#[derive(Debug)]
pub(super) struct Audit {
    recent: Mutex<VecDeque<Change>>,
    /// Whoever only knocks presses no change out of the others.
    failed: Mutex<Attempts>,
    feed: Arc<Feed>,
}

impl Audit {
    pub(super) fn new(feed: Arc<Feed>) -> Self {
        Self { recent: Mutex::default(), failed: Mutex::default(), feed }
    }

    /// Something was to be changed. `object`: names that are known, never what was typed.
    pub(super) fn note(&self, who: Who, from: IpAddr, what: &'static str, object: Object, result: &str) {
        let change = Change::new(who, from, what, object, result);
        self.tell(&change);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == REMEMBERED {
            recent.pop_front();
        }
        recent.push_back(change);
    }

    /// Somebody would log in, and was wrong.
    pub(super) fn note_failed(&self, from: IpAddr, result: &str) {
        let news = self.failed.lock().unwrap_or_else(PoisonError::into_inner).note(from, now_ms());
        if news {
            self.tell(&Change::new(Who::Token, from, "login", (None, None), result));
        }
    }

    fn tell(&self, change: &Change) {
        let Change { who, from, what, pool, key, result, .. } = change;
        let came =
            if result == DONE { "changed by an administrator" } else { "a change by an administrator was refused" };
        tracing::info!(
            name: "keypool.admin_change", target: "keypool::audit",
            who, from = from.as_str(), what, pool = pool.as_deref(), key = key.as_deref(), result = result.as_str(),
            "{came}",
        );
        self.feed.tell(json!({
            "event": "audit", "who": who, "from": from, "what": what, "pool": pool, "key": key, "result": result,
        }));
    }

    /// Log-ins that failed, by address, the last at the end.
    pub(super) fn failed(&self) -> Vec<Failed> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).all()
    }

    /// The last of them, oldest first.
    pub(super) fn recent(&self) -> Vec<Change> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
