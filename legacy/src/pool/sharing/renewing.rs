//! The task that renews: it owns the process's side of the protocol and does the calls. No request waits for it but
//! those that lack a unit.

use std::{
    future::{Future, poll_fn},
    sync::{Arc, Weak},
    task::Poll,
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tower::BoxError;

use super::{
    board::{AnyBoard, passes},
    events::tell_turn,
    view::SharingState,
    windows::Windows,
};
use crate::{
    pool::{KeyPool, Shared},
    share::{Counters, Holder, Ledger, Moment, OnStoreLoss, Renewal, Reply, Settings},
    store::{AnyStore, StoreError},
};

/// How long a store that is back may take to say what it keeps.
const LOADED: Duration = Duration::from_secs(30);

/// How sharing stands.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::pool) struct Standing {
    pub(in crate::pool) state: SharingState,
    /// All was given back.
    pub(in crate::pool) ended: bool,
}

/// A process's side: the holder, and the way to the board.
pub(in crate::pool) struct Renewing {
    pub(in crate::pool) holder: Holder,
    pub(in crate::pool) settings: Settings,
    pub(in crate::pool) board: Arc<dyn AnyBoard>,
    pub(in crate::pool) store: Arc<dyn AnyStore>,
    pub(in crate::pool) standing: watch::Sender<Standing>,
    /// The number of the last note that was gathered before the holder was told what changed.
    pub(in crate::pool) noted: u64,
    /// As last told.
    pub(in crate::pool) counters: Counters,
    /// Why the board did not answer last.
    pub(in crate::pool) error: Option<String>,
}

impl Renewing {
    /// Renews until the pool is gone or has ended.
    pub(in crate::pool) async fn run(mut self, pool: Weak<Shared>) {
        while let Some(ends) = self.due(&pool).await {
            let Some(renewal) = self.next(&pool, ends) else {
                if ends {
                    return self.standing.send_modify(|standing| standing.ended = true);
                }
                continue;
            };
            let answer = self.call(&renewal, &pool).await;
            let Some(shared) = pool.upgrade() else { return };
            let answer = self.joined(&KeyPool(shared), answer).await;
            let Some(shared) = pool.upgrade() else { return };
            self.heard(&KeyPool(shared), &renewal, answer);
            if ends {
                return self.standing.send_modify(|standing| standing.ended = true);
            }
        }
    }

    /// The first renewal: from then on leases hold. It may be tried again.
    pub(in crate::pool) async fn begin(&mut self, pool: &KeyPool) -> Result<(), BoxError> {
        let weak = Arc::downgrade(&pool.0);
        let moment = Moment::of(&pool.0.clock);
        self.holder.renew_now(moment);
        let news = {
            let mut state = pool.lock();
            state.tell_names();
            state.share_mut().map(|share| std::mem::take(&mut share.news)).unwrap_or_default()
        };
        for news in news {
            self.holder.tell(news, moment);
        }
        let Some(renewal) = self.next(&weak, false) else { return Ok(()) };
        let answer = self.call(&renewal, &weak).await;
        let failed = answer.as_ref().err().map(ToString::to_string);
        let passing = answer.as_ref().err().is_none_or(passes);
        self.heard(pool, &renewal, answer);
        match failed {
            None => Ok(()),
            Some(failed) if passing => Err(StoreError::unreachable("the board does not answer", failed).into()),
            Some(failed) => Err(failed.into()),
        }
    }

    async fn call(&mut self, renewal: &Renewal, pool: &Weak<Shared>) -> Result<Reply, BoxError> {
        let board = Arc::clone(&self.board);
        let mut answer = std::pin::pin!(timeout(self.settings.timeout, board.renew(renewal)));
        if let Some(ends) = pool.upgrade().and_then(|pool| self.lease_left(&KeyPool(pool))) {
            if let Ok(answer) = timeout(ends, &mut answer).await {
                return answer.unwrap_or_else(|late| Err(late.into()));
            }
            if let Some(shared) = pool.upgrade() {
                self.look(&KeyPool(shared));
            }
        }
        answer.await.unwrap_or_else(|late| Err(late.into()))
    }

    /// For how long leases hold on, where they hold.
    fn lease_left(&self, pool: &KeyPool) -> Option<Duration> {
        let now = pool.0.clock.tick();
        self.holder.valid_until().filter(|end| *end > now).map(|end| end.since(now))
    }

    /// A store that was missing is read before it is joined; where it cannot be, it is missing still.
    async fn joined(&mut self, pool: &KeyPool, answer: Result<Reply, BoxError>) -> Result<Reply, BoxError> {
        let local = pool.lock().share().and_then(|share| share.divided.as_ref()).is_some_and(|divided| divided.local);
        if !local || answer.is_err() {
            return answer;
        }
        let image = match timeout(LOADED, self.store.load()).await {
            Ok(image) => image?,
            Err(late) => return Err(late.into()),
        };
        let now = pool.0.clock.now();
        pool.lock().join_store(image, now);
        answer
    }

    /// Goes on as it was asked for where leases have ended, and tells how sharing stands.
    pub(in crate::pool) fn look(&mut self, pool: &KeyPool) {
        let now = pool.0.clock.now();
        let mut state = pool.lock();
        let Some(share) = state.share_mut() else { return };
        if let OnStoreLoss::FairShare { processes } = self.settings.on_store_loss
            && share.away
            && !share.is_valid(now)
            && !share.ending
        {
            state.divide(processes.max(1), false, now);
        }
        let Some(share) = state.share_mut() else { return };
        let among = share.divided.as_ref().map_or(0, |divided| divided.among);
        let (stands, before) = share.observe(now);
        drop(state);
        if let Some(before) = before {
            tell_turn(stands, before, self.error.as_deref(), among);
            self.standing.send_modify(|standing| standing.state = stands);
        }
    }

    /// Begins without the store, limits divided among so many.
    pub(in crate::pool) fn begin_locally(&mut self, pool: &KeyPool, among: u32, error: Option<String>) {
        self.error = error;
        let now = pool.0.clock.now();
        pool.lock().divide(among.max(1), true, now);
        self.look(pool);
    }

    /// Waits until a renewal is due, which may be at any time: somebody lacks a unit. Whether it is the last; `None`:
    /// the pool is gone.
    async fn due(&mut self, pool: &Weak<Shared>) -> Option<bool> {
        loop {
            let shared = KeyPool(pool.upgrade()?);
            let ending = self.learn(&shared);
            let now = shared.0.clock.tick();
            if ending || self.holder.due() <= now {
                return Some(ending);
            }
            self.look(&shared);
            // When leases end somebody is to notice.
            let until =
                self.lease_left(&shared).map_or(self.holder.due(), |left| self.holder.due().min(now.plus(left)));
            let mut pause = Box::pin(sleep(until.since(now)));
            drop(shared);
            let board = Arc::clone(&self.board);
            let (mut hint, mut heard) = (board.hint(), None);
            // The bell rings for the lack that was noted since.
            poll_fn(|cx| {
                let Some(shared) = pool.upgrade().map(KeyPool) else { return Poll::Ready(()) };
                let mut state = shared.lock();
                let Some(share) = state.share_mut() else { return Poll::Ready(()) };
                if share.lacking || share.ending {
                    return Poll::Ready(());
                }
                share.bell.0 = Some(cx.waker().clone());
                drop(state);
                if let Poll::Ready(hint) = hint.as_mut().poll(cx) {
                    heard = Some(hint);
                    return Poll::Ready(());
                }
                pause.as_mut().poll(cx)
            })
            .await;
            if let (Some(hint), Some(shared)) = (heard, pool.upgrade()) {
                self.holder.hinted(hint, shared.clock.tick());
            }
        }
    }
    fn next(&mut self, pool: &Weak<Shared>, ends: bool) -> Option<Renewal> {
        let pool = KeyPool(pool.upgrade()?);
        let moment = Moment::of(&pool.0.clock);
        let mut windows = Windows::new(pool.clone()).newer_than(self.noted);
        if ends {
            for unit in self.holder.held().cloned().collect::<Vec<_>>() {
                windows.lose(&unit, moment);
            }
            self.holder.serve(Vec::new());
            self.holder.without_limits(Vec::new());
            self.holder.renew_now(moment);
        }
        let mut renewal = self.holder.renewal(&mut windows, moment)?;
        renewal.ends = ends;
        let mut state = pool.lock();
        let share = state.share_mut()?;
        for kind in share.kinds.values_mut() {
            kind.lacks = false;
            kind.named.clear();
            kind.lifted.retain(|_, lifted| moment.tick.since(*lifted) < super::OFFERED_AGAIN);
        }
        // Requests that began before so long have reached the wire or never will.
        share.gone.retain(|_, gone| moment.tick.since(*gone) < super::LONG_ON_THE_WAY);
        share.barred.retain(|_, until| *until > moment.tick);
        Some(renewal)
    }
}
