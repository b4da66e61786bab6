//! The laws hold for a pool with a store, and the next process knows what the last one knew.

use std::{collections::BTreeMap, time::Duration};

use proptest::{prelude::*, test_runner::TestCaseError};

use super::schedule::Run;
use crate::{
    KeyPool, KeyState, Snapshot,
    pool::{
        builder::{KeyPoolBuilder, Opened},
        journal::Journal,
    },
    store::{Batch, Image},
};

/// A store that takes each batch at once.
#[derive(Default)]
pub(super) struct Kept(Image);

impl Kept {
    /// Gives a pool that was built without one a journal.
    pub(super) fn begin(run: &Run) -> Self {
        let now = run.pool.clock().now();
        let mut state = run.pool.lock();
        let journal = Journal::begin(Image::default(), now);
        let mut kept = Self::default();
        kept.0.apply(&Batch { run: Some(journal.opening()), ..Batch::default() });
        state.journal = Some(Box::new(Journal { settled: true, takes_started: true, ..journal }));
        for slot in state.roster.slots().collect::<Vec<_>>() {
            state.recall_key(slot, now);
        }
        kept
    }

    /// One round of the task that writes.
    pub(super) fn write(&mut self, pool: &KeyPool) {
        let now = pool.clock().now();
        let mut batch = Batch::default();
        let (mut look, _) = pool.lock().begin_gathering(&mut batch);
        look.line_up();
        while !pool.lock().gather_some(&mut look, &mut batch, now) {}
        look.spell_out(&mut batch);
        // As it comes back from a file.
        let batch = serde_json::to_string(&batch).expect("a batch is JSON");
        self.0.apply(&serde_json::from_str(&batch).expect("and is read again"));
        while !pool.lock().kept(&mut look, now) {}
    }

    /// All is over and written: another process begins, and knows what this one knew.
    pub(super) fn pass_on(mut self, pool: &KeyPool, next: KeyPoolBuilder) -> Result<(), TestCaseError> {
        self.write(pool);
        self.0.apply(&Batch { run: Some(crate::store::Run::Ended), ..Batch::default() });
        let opened = Opened { image: self.0, spans_machines: false, written: None, share: None, sharing: None };
        let next = next.assemble(Some(opened)).expect("a pool");
        let (was, is) = (pool.snapshot(), next.snapshot());
        let (were, are) = (rests(&was), rests(&is));
        prop_assert_eq!(were.len(), are.len(), "{:?} before, {:?} after", were, are);
        for ((what, ends), (kept, kept_ends)) in were.into_iter().zip(are) {
            prop_assert_eq!(&what, &kept);
            prop_assert_eq!(ends.is_some(), kept_ends.is_some(), "{}", what);
            let longer = kept_ends.unwrap_or_default().checked_sub(ends.unwrap_or_default());
            prop_assert!(
                longer.is_some_and(|longer| longer <= Duration::from_millis(1)),
                "{what}: {ends:?} {kept_ends:?}"
            );
        }
        prop_assert_eq!(disabled(&was), disabled(&is));
        for (window, used) in used(&was) {
            let kept = used_of(&is, &window);
            prop_assert!(kept >= used, "{window}: {used} used, {kept} known to the next");
        }
        Ok(())
    }
}

fn disabled(snapshot: &Snapshot) -> Vec<String> {
    let disabled = snapshot.keys.iter().filter(|key| key.state == KeyState::Disabled);
    disabled.map(|key| key.id.to_string()).collect()
}

/// Whom each rest concerns, of which kind, and how long it still lasts.
fn rests(snapshot: &Snapshot) -> Vec<(String, Option<Duration>)> {
    let of_key = |key: &crate::KeyView| {
        let id = key.id.to_string();
        key.rests
            .clone()
            .into_iter()
            .map(move |rest| (format!("{id} {:?} {:?} {:?}", rest.scope, rest.model, rest.kind), rest.ends_in))
    };
    snapshot.keys.iter().flat_map(of_key).collect()
}

fn used(snapshot: &Snapshot) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for key in &snapshot.keys {
        for lane in &key.lanes {
            for view in &lane.limits {
                all.insert(format!("{} {:?} {}", key.id, lane.model, view.limit), view.used);
            }
        }
    }
    all
}

fn used_of(snapshot: &Snapshot, window: &str) -> u64 {
    used(snapshot).get(window).copied().unwrap_or(0)
}
