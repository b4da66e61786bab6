//! The task that renews: it owns the process's side of the protocol and does the calls. No request waits for it but
//! those that lack a unit.

use std::{
    collections::HashSet,
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
    events::{tell, tell_turn},
    facts,
    view::SharingState,
    windows::Windows,
};
use crate::{
    pool::{KeyPool, Shared, journal::Unit},
    share::{Counters, Holder, Ledger, Mode, Moment, OnStoreLoss, Renewal, Reply, Settings, UnitId},
    store::{AnyStore, StoreError},
    time::{Now, Tick},
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

    /// What happened in the pool since. Whether it ends.
    fn learn(&mut self, pool: &KeyPool) -> bool {
        let now = pool.0.clock.now();
        let moment = Moment { tick: now.tick, wall_ms: now.wall_ms() };
        // Clocks that parted are noticed here, and leases renewed at once.
        self.holder.is_valid(moment);
        let (infos, returns, ending) = {
            let mut state = pool.lock();
            // First: what a later note has, the holder need not have heard of.
            self.noted = state.journal.as_ref().map_or(0, |journal| journal.gathered);
            let Some(share) = state.share_mut() else { return true };
            share.lacking = false;
            if std::mem::take(&mut share.at_mark) {
                self.holder.at_mark(moment);
            }
            if std::mem::take(&mut share.pressed) {
                self.holder.hasten_now(moment);
            }
            let ending = share.ending;
            let stale = std::mem::take(&mut share.stale);
            let returns = std::mem::take(&mut share.returns);
            let infos = stale.then(|| {
                state.tell_names();
                state.enrol()
            });
            (infos, returns, ending)
        };
        for unit in returns {
            self.holder.give_back(&unit, Mode::Whole);
        }
        if let Some((infos, bare)) = infos {
            let known: HashSet<&UnitId> = infos.iter().map(|info| &info.unit).collect();
            let gone: Vec<UnitId> = self.holder.held().filter(|unit| !known.contains(unit)).cloned().collect();
            let mut windows = Windows::new(pool.clone());
            for unit in &gone {
                windows.lose(unit, moment);
            }
            self.holder.serve(infos);
            self.holder.without_limits(bare);
            self.holder.leave_unguarded(&mut windows, moment);
        }
        self.hear_starts(pool, now);
        let mut state = pool.lock();
        state.tell_names_still(now);
        let news = state.share_mut().map(|share| std::mem::take(&mut share.news)).unwrap_or_default();
        for news in news {
            let presses = facts::presses(&news);
            self.holder.tell(news, moment);
            if presses {
                self.holder.hasten_now(moment);
            }
        }
        let kinds: Vec<_> = state.share().map(|share| share.kinds.keys().copied().collect()).unwrap_or_default();
        for at in kinds {
            let (requests, tokens) = state.waiting_in(at.0);
            let named = state.named_in(at);
            let Some(kind) = state.share_mut().and_then(|share| share.kinds.get_mut(&at)) else { continue };
            self.holder.asked(&kind.name, std::mem::take(&mut kind.asked));
            if std::mem::take(&mut kind.aside) {
                self.holder.served_aside(&kind.name, moment);
            }
            let waiting = if kind.lacks { requests.max(1) } else { 0 };
            self.holder.naming(&kind.name, named);
            self.holder.lacking(&kind.name, waiting, if requests == 0 { kind.tokens } else { tokens }, moment);
        }
        ending
    }

    /// Tells the holder what was started and changed.
    fn hear_starts(&mut self, pool: &KeyPool, now: Now) {
        let moment = Moment { tick: now.tick, wall_ms: now.wall_ms() };
        let mut state = pool.lock();
        state.post_entries();
        let days = state.zones[0].1.at(now.tick, now.wall_ms()).days;
        let Some(share) = state.share_mut() else { return };
        let touched = share.take_started();
        let changed = std::mem::take(&mut share.changed);
        let name = |unit: &Unit| share.held.get(*unit).map(|held| held.name.clone());
        let changed: Vec<UnitId> = changed.iter().filter_map(name).collect();
        drop(state);
        for (unit, spent) in touched {
            self.holder.started(&unit, &spent, (days.first, days.last), moment);
        }
        for unit in changed {
            self.holder.changed(&unit);
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
            self.holder.renew_now(moment);
        }
        let mut renewal = self.holder.renewal(&mut windows, moment)?;
        renewal.ends = ends;
        let mut state = pool.lock();
        let share = state.share_mut()?;
        for kind in share.kinds.values_mut() {
            kind.lacks = false;
            kind.named.clear();
        }
        // Requests that began before so long have reached the wire or never will.
        share.gone.retain(|_, gone| moment.tick.since(*gone) < super::LONG_ON_THE_WAY);
        share.barred.retain(|_, until| *until > moment.tick);
        Some(renewal)
    }

    fn heard(&mut self, pool: &KeyPool, renewal: &Renewal, answer: Result<Reply, BoxError>) {
        let now = pool.0.clock.now();
        let moment = Moment { tick: now.tick, wall_ms: now.wall_ms() };
        self.hear_starts(pool, now);
        let mut windows = Windows::new(pool.clone());
        let away = answer.is_err();
        if let Some(share) = pool.lock().share_mut() {
            share.away = away;
        }
        match answer {
            Ok(reply) if reply.stale => self.holder.unheard(&reply, &mut windows, moment),
            Ok(reply) => {
                self.error = None;
                // Before anything is granted: it is by whole limits.
                let divided = pool.lock().unite(now);
                pool.lock().hear_names(renewal, &reply);
                self.holder.answered(&reply, &mut windows, moment);
                self.settle(pool, &reply, &windows.granted, now);
                if let Some(divided) = divided {
                    pool.lock().tell_divided(&divided, &windows.granted, now);
                    self.holder.renew_now(moment);
                }
            }
            Err(error) => {
                self.error = Some(error.to_string());
                self.holder.failed(moment);
            }
        }
        let counters = self.holder.counters();
        let stood = pool.lock().share().filter(|_| !away).map(|share| share.stood.0);
        tell(&self.counters, &counters, stood);
        self.counters = counters;
        if let Some(share) = pool.lock().share_mut() {
            if counters.generations > share.counters.generations {
                share.forgot_until = now.tick.plus(super::FORGOTTEN);
            }
            share.counters = counters;
        }
        self.look(pool);
    }

    /// The pool goes by the answer from now on.
    fn settle(&mut self, pool: &KeyPool, reply: &Reply, granted: &[Unit], now: Now) {
        let moment = Moment { tick: now.tick, wall_ms: now.wall_ms() };
        let valid = self.holder.is_valid(moment);
        let until = self.holder.valid_until().filter(|_| valid).unwrap_or(Tick::ZERO);
        let mut state = pool.lock();
        let came_back = {
            let Some(share) = state.share_mut() else { return };
            let came_back = !share.is_valid(now);
            share.valid_until = until;
            share.recovering_until = reply.recovering.map_or(Tick::ZERO, |ms| now.tick.plus(Duration::from_millis(ms)));
            share.ahead_ms = now.ahead_ms;
            share.stale |= std::mem::replace(&mut share.differ, reply.differ) != reply.differ;
            share.hear_what_is_out(reply, now);
            came_back
        };
        // Who notes keeps to what was noted.
        let marks = self.holder.marks().filter(|_| !self.settings.noting);
        for (unit, marks) in marks {
            state.allow_unit(unit, marks, now);
        }
        if !self.settings.noting
            && let Some(journal) = &mut state.journal
        {
            journal.short = false;
        }
        state.apply_facts(reply, now);
        if came_back {
            state.revive_all();
        } else {
            state.revive_units(granted);
        }
        // Whoever hoped for what others may have knows better now.
        state.waiters.lost |= !reply.opens.is_empty();
        state.serve(now);
    }
}
