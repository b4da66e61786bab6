//! Writing behind: what the journal notes goes to the store in batches, and no request waits for it.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Weak},
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Sleep, sleep},
};

use super::{KeyPool, Shared, gather::Look};
use crate::store::{AnyStore, Batch, StoreError};

/// From the beginning of one write to that of the next.
#[derive(Clone, Copy)]
pub(super) struct Cadence {
    every: Duration,
    /// While somebody waits for a mark.
    short: Duration,
}

impl Cadence {
    /// Of who works on a store alone: less than 200 ms of counts are not written.
    pub(super) const ALONE: Self = Self { every: Duration::from_millis(150), short: SHORT_PAUSE };
    /// Where processes share owners: with what they renew there are eight transactions a second, ten where somebody waits.
    pub(super) const NOTING: Self = Self { every: Duration::from_millis(150), short: Duration::from_millis(120) };
    /// Where the board alone knows the counts: what is left to write is nobody's to wait for. With what they renew that is
    /// 1.5 calls a second.
    pub(super) const IDLE: Self = Self { every: Duration::from_secs(1), short: Duration::from_secs(1) };
}

/// While somebody waits for a mark, and after a write that failed, at first.
pub(super) const SHORT_PAUSE: Duration = Duration::from_millis(100);
/// Where something other than counts changed: a rest, a key that was disabled. What comes at once is one write.
const SOON: Duration = Duration::from_millis(5);
/// After a write that failed, at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// So many writes in a row fail before marks are void: a store that is away stops no request.
const FAILURES: u32 = 5;
/// How long the end waits for the store.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// What is said of the writes.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// The last look whose batch was kept.
    kept: u64,
    /// Writes that failed so far, and what the last of them said.
    failures: u64,
    failure: Arc<str>,
    /// The last write failed, and is tried again.
    away: bool,
    /// The last batch was kept.
    ended: bool,
}

impl Progress {
    /// Whether this look was kept, or will not be soon.
    pub(super) fn is_enough(&self, look: u64) -> bool {
        self.kept >= look || self.away || self.ended
    }
}

/// Where to hear it.
pub(super) type Written = watch::Receiver<Progress>;

/// More keys than this take longer to write than a request should wait.
const MANY: usize = 500;

/// Writes until the pool is gone or has ended.
pub(super) fn write_behind(
    pool: Weak<Shared>,
    store: Arc<dyn AnyStore>,
    progress: watch::Sender<Progress>,
    cadence: Cadence,
) -> impl Future<Output = ()> {
    // Here already: the runtime may end before it comes to this task.
    let writer = Writer { pool, progress, over: false };
    async move {
        // All of it, where the block would copy what it sets.
        let mut writer = writer;
        write(&writer.pool, &*store, &writer.progress, cadence).await;
        writer.over = true;
    }
}

/// Who writes. Dropped before it is done with its work when the runtime ends that the pool was opened in.
struct Writer {
    pool: Weak<Shared>,
    progress: watch::Sender<Progress>,
    over: bool,
}

impl Drop for Writer {
    fn drop(&mut self) {
        if self.over || self.pool.strong_count() == 0 {
            return;
        }
        tracing::error!(
            name: "keypool.store_abandoned",
            "the runtime that the pool was opened in has ended: what it counts is not written any more"
        );
        self.progress.send_modify(|progress| progress.away = true);
        if !is_shared(&self.pool) {
            void_marks(&self.pool, true);
        }
    }
}

async fn write(pool: &Weak<Shared>, store: &dyn AnyStore, progress: &watch::Sender<Progress>, cadence: Cadence) {
    if touches_many(pool) {
        // Thousands of keys that are new to the store, or as they were, are not to stand in the way of the first request.
        rest(pool, sleep(cadence.every), sleep(cadence.short), sleep(SOON)).await;
    }
    while news(pool).await {
        let (pause, short, soon) = (sleep(cadence.every), sleep(cadence.short), sleep(SOON));
        let Some((batch, mut look, number)) = gather(pool) else { return };
        let ends = batch.run.is_some();
        let mut anew = false;
        if !batch.is_empty() {
            match keep(pool, store, batch, progress).await {
                Some(began_anew) => anew = began_anew,
                None => return,
            }
        }
        if let Some(shared) = pool.upgrade() {
            let pool = KeyPool(shared);
            let now = pool.0.clock.now();
            while !pool.lock().kept(&mut look, now) {}
        }
        progress.send_modify(|progress| {
            // Where the store began anew, all that is known is there with the next look.
            progress.kept = if anew { progress.kept } else { number };
            progress.ended = ends && !anew;
        });
        if ends && !anew {
            return;
        }
        rest(pool, pause, short, soon).await;
    }
}

/// Whether so many keys are to be looked at that requests would notice.
fn touches_many(pool: &Weak<Shared>) -> bool {
    let Some(pool) = pool.upgrade().map(KeyPool) else { return false };
    let state = pool.lock();
    state.journal.as_ref().is_some_and(|journal| journal.touched.len() > MANY)
}

/// Until it is time for the next write, or something presses.
async fn rest(pool: &Weak<Shared>, pause: Sleep, short: Sleep, soon: Sleep) {
    let (mut pause, mut short, mut soon) = (pin!(pause), pin!(short), pin!(soon));
    poll_fn(|cx| {
        if pause.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(pool) = pool.upgrade().map(KeyPool) else { return Poll::Ready(()) };
        let mut state = pool.lock();
        let Some(journal) = &mut state.journal else { return Poll::Ready(()) };
        let over = match () {
            () if journal.urgent || journal.flushing => soon.as_mut().poll(cx).is_ready(),
            () if journal.short => short.as_mut().poll(cx).is_ready(),
            () => false,
        };
        if over {
            return Poll::Ready(());
        }
        journal.press.0 = Some(cx.waker().clone());
        Poll::Pending
    })
    .await;
}

/// Waits for something to write; false: the pool is gone.
async fn news(pool: &Weak<Shared>) -> bool {
    poll_fn(|cx| {
        let Some(pool) = pool.upgrade().map(KeyPool) else { return Poll::Ready(false) };
        let mut state = pool.lock();
        let Some(journal) = &mut state.journal else { return Poll::Ready(false) };
        if journal.has_news() {
            return Poll::Ready(true);
        }
        journal.bell.0 = Some(cx.waker().clone());
        Poll::Pending
    })
    .await
}

fn gather(pool: &Weak<Shared>) -> Option<(Batch, Look, u64)> {
    let pool = KeyPool(pool.upgrade()?);
    let mut batch = Batch::default();
    let (mut look, number) = pool.lock().begin_gathering(&mut batch);
    look.line_up();
    loop {
        let now = pool.0.clock.now();
        let mut state = pool.lock();
        if state.gather_some(&mut look, &mut batch, now) {
            if let Some(journal) = &mut state.journal {
                journal.gathered = number;
            }
            state.tell_facts(&batch, now);
            drop(state);
            look.spell_out(&mut batch);
            if let Some(notes) = &mut batch.notes {
                notes.number = number;
            }
            return Some((batch, look, number));
        }
    }
}

/// Hands the batch over until it is kept; whether the store had begun anew. `None`: the pool is gone.
async fn keep(
    pool: &Weak<Shared>,
    store: &dyn AnyStore,
    batch: Batch,
    progress: &watch::Sender<Progress>,
) -> Option<bool> {
    let batch = Arc::new(batch);
    let mut pause = SHORT_PAUSE;
    let (mut failures, mut anew) = (0, false);
    while let Err(error) = hand_over(pool, store, &batch).await {
        if error.is_begun_anew() && begin_anew(pool, store).await {
            anew = true;
            continue;
        }
        failures += 1;
        if failures == 1 {
            tracing::error!(name: "keypool.store_failing", %error, "the store takes no writes; they are tried again");
        }
        if failures == FAILURES && !is_shared(pool) {
            tracing::warn!(
                name: "keypool.store_void",
                "requests go on without the store: what they count is lost if the process crashes meanwhile"
            );
            void_marks(pool, true);
        }
        progress.send_modify(|progress| {
            progress.failures += 1;
            progress.failure = error.to_string().into();
            progress.away = true;
        });
        sleep(pause).await;
        pause = (2 * pause).min(LONGEST_PAUSE);
        if pool.strong_count() == 0 {
            return None;
        }
    }
    if failures > 0 {
        tracing::info!(name: "keypool.store_recovered", "the store takes writes again");
        progress.send_modify(|progress| progress.away = false);
        void_marks(pool, false);
    }
    Some(anew)
}

async fn hand_over(pool: &Weak<Shared>, store: &dyn AnyStore, batch: &Arc<Batch>) -> Result<(), StoreError> {
    if let Some(pool) = pool.upgrade().map(KeyPool)
        && let Some(share) = pool.lock().share_mut()
    {
        share.wrote();
        share.writing = true;
    }
    let written = store.write(Arc::clone(batch)).await;
    if let Some(pool) = pool.upgrade().map(KeyPool)
        && let Some(share) = pool.lock().share_mut()
    {
        share.writing = false;
    }
    written
}

/// What the store held is gone: all that this process knows is written with the next look. Whether the store knows that
/// it runs.
async fn begin_anew(pool: &Weak<Shared>, store: &dyn AnyStore) -> bool {
    let Some(run) = pool.upgrade().map(KeyPool).and_then(|pool| pool.lock().note_everything()) else { return false };
    store.write(Arc::new(Batch { run: Some(run), ..Batch::default() })).await.is_ok()
}

/// Who shares owners keeps to his marks: others count on them.
fn is_shared(pool: &Weak<Shared>) -> bool {
    pool.upgrade().is_some_and(|shared| KeyPool(shared).lock().share().is_some())
}

fn void_marks(pool: &Weak<Shared>, void: bool) {
    let Some(pool) = pool.upgrade().map(KeyPool) else { return };
    let now = pool.0.clock.now();
    let mut state = pool.lock();
    if let Some(journal) = &mut state.journal {
        journal.void = void;
    }
    if void {
        state.revive_all();
        state.serve(now);
    }
}

impl KeyPool {
    /// Waits until all that the pool knows by now is in its store: a key disabled before is disabled for whoever comes
    /// after. Without a store there is nothing to wait for.
    ///
    /// # Errors
    /// When a write fails. It is tried again, whether somebody waits for it or not.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let Some(written) = &self.0.written else { return Ok(()) };
        let mut written = written.clone();
        let failures = written.borrow().failures;
        let wanted = {
            let mut state = self.lock();
            state.news();
            state.press();
            state.journal.as_mut().map_or(0, |journal| {
                journal.flushing = true;
                journal.looks + 1
            })
        };
        loop {
            let progress = written.borrow_and_update().clone();
            if progress.kept >= wanted || progress.ended {
                return Ok(());
            }
            if progress.failures > failures {
                return Err(StoreError::new(format!("a write failed, and is tried again: {}", progress.failure)));
            }
            written.changed().await.map_err(|_| StoreError::new("nobody writes to the store any more"))?;
        }
    }

    /// Waits until it is otherwise than `away` says whether the store takes no writes. Without a store, or once the pool
    /// has ended, that is never.
    pub async fn store_turns(&self, away: bool) {
        let turned = match self.0.written.clone() {
            Some(mut written) => written.wait_for(|progress| progress.away != away).await.is_ok(),
            None => false,
        };
        if !turned {
            std::future::pending::<()>().await;
        }
    }

    /// The last write. Leases that are still out may start what nobody writes: then the marks go on to hold.
    pub(super) async fn end_store(&self, out: usize) {
        if self.0.written.is_none() {
            return;
        }
        if let Some(journal) = self.lock().journal.as_mut().filter(|_| out == 0) {
            journal.ending = true;
        }
        match tokio::time::timeout(LAST_WRITE, self.flush()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(name: "keypool.store_unwritten", %error, "the last write failed"),
            Err(_) => tracing::error!(name: "keypool.store_unwritten", "the store did not take the last write in time"),
        }
    }
}
