//! The task that renews: it owns the process's side of the protocol and does the calls. No request waits for it but
//! those that lack a unit.

use std::{
    collections::HashSet,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Weak},
    task::Poll,
};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tower::BoxError;

use super::windows::Windows;
use crate::{
    pool::{KeyPool, Shared, journal::Unit},
    share::{Board, Counters, Holder, Ledger, Moment, Renewal, Reply, Settings, Spent, UnitId},
    time::{Now, Tick},
};

type Boxed<'a> = Pin<Box<dyn Future<Output = Result<Reply, BoxError>> + Send + 'a>>;

/// A board whose kind is not known.
pub(in crate::pool) trait AnyBoard: Send + Sync {
    fn renew<'a>(&'a self, renewal: &'a Renewal) -> Boxed<'a>;
}

impl<B: Board> AnyBoard for B {
    fn renew<'a>(&'a self, renewal: &'a Renewal) -> Boxed<'a> {
        Box::pin(Board::renew(self, renewal))
    }
}

/// How sharing stands.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::pool) struct Standing {
    pub(in crate::pool) counters: Counters,
    /// The board did not answer last.
    pub(in crate::pool) away: bool,
    /// All was given back.
    pub(in crate::pool) ended: bool,
}

/// A process's side: the holder, and the way to the board.
pub(in crate::pool) struct Renewing {
    pub(in crate::pool) holder: Holder,
    pub(in crate::pool) settings: Settings,
    pub(in crate::pool) board: Arc<dyn AnyBoard>,
    pub(in crate::pool) standing: watch::Sender<Standing>,
    /// The number of the last note that was gathered before the holder was told what changed.
    pub(in crate::pool) noted: u64,
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
            let answer = self.call(&renewal).await;
            let Some(shared) = pool.upgrade() else { return };
            self.heard(&KeyPool(shared), answer);
            if ends {
                return self.standing.send_modify(|standing| standing.ended = true);
            }
        }
    }

    /// The first renewal: from then on leases hold.
    pub(in crate::pool) async fn begin(&mut self, pool: &KeyPool) -> Result<(), BoxError> {
        let Some(renewal) = self.next(&Arc::downgrade(&pool.0), false) else { return Ok(()) };
        let answer = self.call(&renewal).await;
        let failed = answer.as_ref().err().map(ToString::to_string);
        self.heard(pool, answer);
        failed.map_or(Ok(()), |failed| Err(failed.into()))
    }

    async fn call(&self, renewal: &Renewal) -> Result<Reply, BoxError> {
        match timeout(self.settings.timeout, self.board.renew(renewal)).await {
            Ok(answer) => answer,
            Err(late) => Err(late.into()),
        }
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
            let mut pause = Box::pin(sleep(self.holder.due().since(now)));
            drop(shared);
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
                pause.as_mut().poll(cx)
            })
            .await;
        }
    }

    /// What happened in the pool since. Whether it ends.
    fn learn(&mut self, pool: &KeyPool) -> bool {
        let now = pool.0.clock.now();
        let moment = Moment { tick: now.tick, wall_ms: now.wall_ms() };
        let (infos, ending) = {
            let mut state = pool.lock();
            // First: what a later note has, the holder need not have heard of.
            self.noted = state.journal.as_ref().map_or(0, |journal| journal.gathered);
            let Some(share) = state.share_mut() else { return true };
            share.lacking = false;
            if std::mem::take(&mut share.at_mark) {
                self.holder.at_mark(moment);
            }
            let ending = share.ending;
            let stale = std::mem::take(&mut share.stale);
            (stale.then(|| state.enrol()), ending)
        };
        if let Some(infos) = infos {
            let known: HashSet<&UnitId> = infos.iter().map(|info| &info.unit).collect();
            let gone: Vec<UnitId> = self.holder.held().filter(|unit| !known.contains(unit)).cloned().collect();
            let mut windows = Windows::new(pool.clone());
            for unit in &gone {
                windows.lose(unit, moment);
            }
            self.holder.serve(infos);
        }
        self.hear_starts(pool, now);
        let mut state = pool.lock();
        let news = state.share_mut().map(|share| std::mem::take(&mut share.news)).unwrap_or_default();
        for news in news {
            self.holder.tell(news, moment);
        }
        let kinds: Vec<_> = state.share().map(|share| share.kinds.keys().copied().collect()).unwrap_or_default();
        for at in kinds {
            let (requests, tokens) = state.waiting_in(at.0);
            let Some(kind) = state.share_mut().and_then(|share| share.kinds.get_mut(&at)) else { continue };
            self.holder.asked(&kind.name, std::mem::take(&mut kind.asked));
            let waiting = if kind.lacks { requests.max(1) } else { 0 };
            self.holder.lacking(&kind.name, waiting, tokens, moment);
        }
        ending
    }

    /// Tells the holder what was started and changed.
    fn hear_starts(&mut self, pool: &KeyPool, now: Now) {
        let moment = Moment { tick: now.tick, wall_ms: now.wall_ms() };
        let mut state = pool.lock();
        let days = state.zones[0].1.at(now.tick, now.wall_ms()).days;
        let dates = (days.first, days.last);
        let Some(share) = state.share_mut() else { return };
        let touched = std::mem::take(&mut share.touched);
        let changed = std::mem::take(&mut share.changed);
        let name = |unit: &Unit| share.held.get(unit).map(|held| held.name.clone());
        let touched: Vec<(UnitId, Spent)> =
            touched.iter().filter_map(|(unit, spent)| Some((name(unit)?, *spent))).collect();
        let changed: Vec<UnitId> = changed.iter().filter_map(name).collect();
        drop(state);
        for (unit, spent) in touched {
            self.holder.started(&unit, &spent, dates, moment);
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
        let renewal = self.holder.renewal(&mut windows, moment)?;
        let mut state = pool.lock();
        let share = state.share_mut()?;
        for kind in share.kinds.values_mut() {
            kind.lacks = false;
        }
        // Requests that began before so long have reached the wire or never will.
        share.gone.retain(|_, gone| moment.tick.since(*gone) < super::LONG_ON_THE_WAY);
        Some(renewal)
    }

    fn heard(&mut self, pool: &KeyPool, answer: Result<Reply, BoxError>) {
        let now = pool.0.clock.now();
        let moment = Moment { tick: now.tick, wall_ms: now.wall_ms() };
        self.hear_starts(pool, now);
        let mut windows = Windows::new(pool.clone());
        let away = answer.is_err();
        match answer {
            // Somebody took this process for dead.
            Ok(reply) if reply.stale => self.holder.failed(moment),
            Ok(reply) => {
                self.holder.answered(&reply, &mut windows, moment);
                self.settle(pool, &reply, &windows.granted, now);
            }
            Err(error) => {
                if !self.standing.borrow().away {
                    tracing::warn!(%error, "the store that processes share does not answer; what is held goes on to its end");
                }
                self.holder.failed(moment);
            }
        }
        if let Some(share) = pool.lock().share_mut() {
            share.away = away;
        }
        let counters = self.holder.counters();
        let before = self.standing.borrow().counters;
        tell(&before, &counters);
        self.standing.send_modify(|standing| (standing.counters, standing.away) = (counters, away));
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
            share.ahead_ms = now.ahead_ms;
            for kind in share.kinds.values_mut() {
                kind.dry = reply.dry.contains(&kind.name);
            }
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
        state.serve(now);
    }
}

/// What a person should hear of.
fn tell(before: &Counters, now: &Counters) {
    let more = |before: u64, now: u64| (now > before).then(|| now - before);
    if let Some(units) = more(before.failed_over, now.failed_over) {
        tracing::warn!(name: "keypool.failed_over", units, "taken over from a process that did not give them back");
    }
    if let Some(units) = more(before.refused, now.refused) {
        tracing::warn!(name: "keypool.lost", units, "another process has what this one held: it was away for too long");
    }
    if more(before.generations, now.generations).is_some() {
        tracing::error!(name: "keypool.board_lost", "the board lost what it knew: for a lease it only hears who holds what");
    }
    if more(before.clocks_parted, now.clocks_parted).is_some() {
        tracing::warn!(name: "keypool.clocks_parted", "the wall clock was set, or the machine slept: leases are renewed");
    }
    if let Some(units) = more(before.conflicts, now.conflicts) {
        tracing::warn!(name: "keypool.conflict", units, "another process has stricter limits for these owners: they hold");
    }
}

impl KeyPool {
    /// What sharing owners with other processes came to so far; none where nothing is shared.
    pub fn sharing(&self) -> Option<Counters> {
        self.0.sharing.as_ref().map(|stands| stands.borrow().counters)
    }
}
