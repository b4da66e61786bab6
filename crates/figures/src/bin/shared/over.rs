//! Requests that came over a limit, as the simulator saw them.

use std::{collections::HashMap, sync::Arc, time::Duration};

use gemini_sim::{Arrival, Log};
use serde::Serialize;

const MINUTE: Duration = Duration::from_secs(60);

/// A request over a limit.
#[derive(Debug, Serialize)]
pub(crate) struct Over {
    /// When it came, in seconds since the simulator began.
    at: f64,
    /// How much too early it was: one that was some milliseconds early met another that was longer on its way than the
    /// pool allows for.
    early_ms: u64,
    /// Which process sent it, and which the one whose place it would have taken.
    by: u64,
    after: u64,
    project: usize,
}

pub(crate) fn of(log: &Log, a_minute: usize) -> Vec<Over> {
    let mut taken = HashMap::<(Option<usize>, Arc<str>), Vec<&Arrival>>::new();
    let mut over = Vec::new();
    for arrival in log.iter() {
        let before = taken.entry((arrival.project, Arc::clone(&arrival.model))).or_default();
        if arrival.accepted {
            before.push(arrival);
        } else if arrival.kind == "over_limit"
            && let Some(first) = before.len().checked_sub(a_minute).and_then(|at| before.get(at))
        {
            over.push(Over {
                at: arrival.at.as_secs_f64(),
                early_ms: (first.at + MINUTE).saturating_sub(arrival.at).as_millis() as u64,
                by: arrival.tokens - 1,
                after: first.tokens - 1,
                project: arrival.project.unwrap_or_default(),
            });
        }
    }
    over
}
