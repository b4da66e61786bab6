//! Who works: the workers of a run, and those that join for keys that come while it goes.

use std::{collections::HashSet, pin::pin, sync::Arc, time::Duration};

use tokio::{sync::mpsc, task::JoinSet};
use tower_keypool::KeyId;

use super::{builder::Options, pace::Pace, shared::Shared, worker::Worker, writer::ToWrite};
use crate::client::Client;

/// More requests at a time than this are for whoever asks for them.
const MOST: usize = 1_000;

/// Workers at a time, as the pool's keys and limits are now.
pub(super) fn wanted(client: &Client, options: &Options) -> usize {
    let keys = client.pool().snapshot().keys.len();
    if let Some(slots) = options.slots {
        return keys * slots.per_key;
    }
    options.concurrency.unwrap_or_else(|| {
        // As many as are under way when answers take a minute, or some for each key where no limit is known.
        let a_minute = options.plan(client).per_minute.unwrap_or(0) as usize;
        a_minute.max(4 * keys).clamp(4, MOST)
    })
}

/// All workers of a run.
pub(super) struct Crew {
    shared: Arc<Shared>,
    results: mpsc::Sender<ToWrite>,
    workers: JoinSet<()>,
    /// So many have joined.
    count: usize,
    /// Keys that have slots; those that are gone keep them, should they come back.
    seated: HashSet<KeyId>,
}

impl Crew {
    /// Those of the run's start, who begin at once.
    pub(super) fn begin(shared: Arc<Shared>, results: mpsc::Sender<ToWrite>) -> Self {
        let mut crew = Self { shared, results, workers: JoinSet::new(), count: 0, seated: HashSet::new() };
        crew.join(Duration::ZERO);
        crew
    }

    /// Works to the run's end; whoever comes with other keys joins.
    pub(super) async fn work(mut self) {
        let shared = Arc::clone(&self.shared);
        let mut stopped = pin!(shared.desk.until_stopped());
        loop {
            let mut anew = pin!(shared.desk.anew());
            // What changes from here on is heard.
            anew.as_mut().enable();
            self.join(shared.desk.elapsed());
            tokio::select! {
                () = anew => {}
                () = &mut stopped => break,
            }
        }
        let Self { results, mut workers, .. } = self;
        // The writer ends with the last who may send it something.
        drop(results);
        while workers.join_next().await.is_some() {}
    }

    /// Takes on whom the keys have work for.
    fn join(&mut self, now: Duration) {
        let options = &self.shared.options;
        let Some(slots) = options.slots else {
            let wanted = wanted(&self.shared.client, options).max(self.count);
            self.shared.seat(wanted, None);
            return (self.count..wanted).for_each(|_| self.take_on(None, None));
        };
        let keys = self.shared.client.pool().snapshot().keys.into_iter().map(|key| key.id);
        let (here, new): (Vec<_>, Vec<_>) = keys.partition(|key| self.seated.contains(key));
        let count = new.len() * slots.per_key;
        self.shared.seat((here.len() + new.len()) * slots.per_key, Some(self.count + count));
        // One slot of each key, then the next of each, so that those of a key begin apart.
        let of_key = (0..slots.per_key).flat_map(|_| new.iter());
        for (n, key) in of_key.enumerate() {
            self.take_on(Some(key.clone()), Some(Pace::new(slots.interval, n, count).beginning(now)));
        }
        self.seated.extend(new);
    }

    fn take_on(&mut self, key: Option<KeyId>, pace: Option<Pace>) {
        let (shared, results) = (Arc::clone(&self.shared), self.results.clone());
        self.workers.spawn(Worker { shared, number: self.count, key, pace, results }.run());
        self.count += 1;
    }
}
