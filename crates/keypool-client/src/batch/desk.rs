//! The desk: where tasks wait until a worker takes them.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::{Notify, futures::Notified, watch};
use tower_keypool::{Clock, Exhausted, KeyId, Tick};

use super::{astray::Astray, away::Away, given_up, owned::Owned, tray::Tray, work::Work};
use crate::holdings::Holdings;

/// Why the run ends before all is done.
#[derive(Clone, Debug)]
pub(crate) enum Stop {
    /// Somebody asked for it.
    Asked,
    /// No key within the time that may be waited.
    OutOfQuota(Exhausted),
    /// Every key is switched off.
    NoKey(Exhausted),
    /// What answers is no provider.
    Astray(Arc<str>),
    /// What goes out or comes in failed.
    Failed(Arc<str>),
}

/// What an attempt showed of the way and of the task's model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It did not go out, or did not arrive.
    Nothing,
    /// Something answered.
    Reached,
    /// And a key carried it.
    Carried,
    /// Whoever answered is no provider.
    Astray,
}

/// Where tasks wait.
#[derive(Debug)]
pub(crate) struct Desk {
    tray: Mutex<Tray>,
    /// Somebody may take something, or all is over.
    changed: Notify,
    /// There is room for more.
    room: Notify,
    /// Keys were changed.
    anew: Notify,
    capacity: usize,
    clock: Clock,
    pub(super) begun: Tick,
    /// How long may be waited for a key.
    pub(super) max_wait: Option<Duration>,
    stopping: watch::Sender<bool>,
}

impl Desk {
    /// `holdings`: who has what tasks refer to.
    pub(crate) fn new(clock: Clock, capacity: usize, max_wait: Option<Duration>, holdings: Option<Holdings>) -> Self {
        let begun = clock.tick();
        let tray = Mutex::new(Tray::new(holdings.map(Owned::new).unwrap_or_default()));
        let (changed, room, anew) = (Notify::new(), Notify::new(), Notify::new());
        let stopping = watch::Sender::new(false);
        Self { tray, changed, room, anew, capacity, clock, begun, max_wait, stopping }
    }

    /// Since the run began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.tick().since(self.begun)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Tray> {
        self.tray.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a task, once there is room. False: none is wanted any more.
    pub(crate) async fn add(&self, work: Box<Work>) -> bool {
        let mut work = Some(work);
        loop {
            let room = self.room.notified();
            {
                let mut tray = self.lock();
                if tray.stop.is_some() {
                    return false;
                }
                if tray.has_room(self.capacity)
                    && let Some(work) = work.take()
                {
                    tray.put(work, false);
                    // Those of a model that is out may be all that there is to wait for.
                    if !self.end_if_out(tray) {
                        self.changed.notify_one();
                    }
                    return true;
                }
            }
            room.await;
        }
    }

    /// No more will come.
    pub(crate) fn end(&self) {
        let mut tray = self.lock();
        tray.ended = true;
        if !self.end_if_out(tray) && !self.tell_if_done(self.lock()) {
            self.changed.notify_waiters();
        }
    }

    /// Nothing more is taken; what is under way ends.
    pub(crate) fn stop(&self, why: Stop) {
        let now = self.elapsed();
        self.lock().stop.get_or_insert((why, now));
        self.tell_stop();
    }

    fn tell_stop(&self) {
        self.stopping.send_replace(true);
        self.changed.notify_waiters();
        self.room.notify_waiters();
    }

    /// Why nothing more is taken, as it is now: what was under way may have taken long since then.
    pub(crate) fn stopped(&self) -> Option<Stop> {
        let (stop, at) = self.lock().stop.clone()?;
        let passed = self.elapsed().saturating_sub(at);
        Some(match stop {
            Stop::OutOfQuota(why) => Stop::OutOfQuota(why.after(passed)),
            other => other,
        })
    }

    /// Resolves when nothing more is to be taken: it was stopped, or all is done.
    pub(crate) async fn until_stopped(&self) {
        // The sender lives here.
        let _ = self.stopping.subscribe().wait_for(|stopping| *stopping).await;
    }

    /// Keys were changed: each model that is out is tried, and nobody sleeps on.
    pub(crate) fn look_again(&self) {
        let now = self.elapsed();
        self.lock().strike(now);
        self.anew.notify_waiters();
        self.changed.notify_waiters();
    }

    /// Resolves when keys are changed from now on.
    pub(crate) fn anew(&self) -> Notified<'_> {
        self.anew.notified()
    }

    /// Sleeps so long, or until nothing more is to be taken, or keys were changed.
    pub(crate) async fn pause(&self, pause: Duration) {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = self.anew.notified() => {}
            () = self.until_stopped() => {}
        }
    }

    /// A slot of this key works from now on.
    pub(crate) fn enter(&self, key: &KeyId) {
        *self.lock().present.entry(key.clone()).or_default() += 1;
    }

    /// It does not, for a while or any more: what waited for it may go to others.
    pub(crate) fn leave(&self, key: &KeyId) {
        let mut tray = self.lock();
        if let Some(slots) = tray.present.get_mut(key) {
            *slots -= 1;
            if *slots == 0 {
                tray.present.remove(key);
                drop(tray);
                self.changed.notify_waiters();
            }
        }
    }

    /// The next task for a worker, best one that this key was not tried with. `None`: there will be none.
    pub(crate) async fn take(&self, key: Option<&KeyId>) -> Option<Box<Work>> {
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            let next = {
                let mut tray = self.lock();
                if tray.stop.is_some() {
                    return None;
                }
                let now = self.elapsed();
                if let Some(work) = tray.pop(key, now) {
                    tray.out += 1;
                    let roomy = tray.is_roomy(self.capacity);
                    let pausing = tray.has_pausing();
                    drop(tray);
                    if pausing {
                        // Who looks at the time for them may be the one that goes now.
                        self.changed.notify_one();
                    }
                    if roomy {
                        self.room.notify_one();
                    }
                    return Some(work);
                }
                if tray.is_done() {
                    return None;
                }
                let next = tray.next(key, now);
                if tray.is_roomy(self.capacity) && tray.has_named() {
                    // What this one may not carry stands aside for those who may.
                    self.room.notify_one();
                }
                if self.end_if_out(tray) {
                    return None;
                }
                next
            };
            match next {
                Some(pause) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep(pause) => {}
                    }
                }
                None => changed.await,
            }
        }
    }

    /// A task that was taken is done.
    pub(crate) fn done(&self) {
        let mut tray = self.lock();
        tray.out -= 1;
        self.tell_if_done(tray);
    }

    /// Where all is done, nobody need wait any more.
    fn tell_if_done(&self, tray: MutexGuard<'_, Tray>) -> bool {
        let done = tray.is_done();
        drop(tray);
        if done {
            self.tell_stop();
        }
        done
    }

    /// A task that was taken is to be taken again, after a pause where there is one.
    pub(crate) fn put_back(&self, work: Box<Work>, pause: Duration) {
        self.put_again(work, pause, true);
    }

    /// A task that was taken is to be taken again, behind those that wait.
    pub(crate) fn put_behind(&self, work: Box<Work>) {
        self.put_again(work, Duration::ZERO, false);
    }

    fn put_again(&self, work: Box<Work>, pause: Duration, first: bool) {
        let now = self.elapsed();
        // Slots of keys that it was tried with leave it to others.
        let for_anybody = work.tried.is_empty();
        let mut tray = self.lock();
        tray.out -= 1;
        tray.forget_scout(work.index, now);
        if pause.is_zero() {
            tray.put(work, first);
        } else {
            tray.put_later(work, now + pause);
        }
        let for_anybody = for_anybody || tray.present.is_empty();
        drop(tray);
        if for_anybody {
            self.changed.notify_one();
        } else {
            self.changed.notify_waiters();
        }
    }

    /// No key may carry this model for a while, `next`: until when, where any comes back by itself. Its tasks wait, and those
    /// of other models go on. Where nothing else is to be done and it takes longer than may be waited, the run ends.
    pub(crate) fn park(&self, work: Box<Work>, why: Exhausted, next: Option<Duration>) {
        let now = self.elapsed();
        let mut tray = self.lock();
        tray.out -= 1;
        // Refused again as they were when all failed at once: it is not the way there.
        let lane = tray.owned.lane(&work);
        let given_up = given_up::round(&why).is_some_and(|round| tray.droughts.held(&lane, round, now));
        tray.droughts.waits(&lane, now);
        // Who waits for what a task finds out does not wait for one that is parked.
        let news = tray.park(work, why, next.filter(|_| !given_up), now) | tray.has_named();
        if !self.end_if_out(tray) {
            if news {
                self.changed.notify_waiters();
            }
            self.room.notify_one();
        }
    }

    /// What came of a task's attempt with this key.
    pub(crate) fn heard(&self, work: &Work, heard: Heard, key: Option<&KeyId>) {
        let mut tray = self.lock();
        let found = tray.owned.is_back(work);
        let reached = heard != Heard::Nothing && tray.away.take().is_some();
        let now = self.elapsed();
        let model = match heard {
            Heard::Carried | Heard::Astray => {
                tray.limited.carried(&work.model, key, now);
                if heard == Heard::Carried {
                    tray.astray = Astray::Arrived;
                }
                tray.open_of(work)
            }
            Heard::Reached => {
                tray.droughts.refused(&work.model, now);
                tray.forget_scout(work.index, now)
            }
            Heard::Nothing => tray.forget_scout(work.index, now),
        };
        drop(tray);
        if reached || model || found {
            self.changed.notify_waiters();
            self.room.notify_one();
        }
    }

    /// A request did not arrive; `holds`: nor would another. False: for longer than `patience` by now.
    pub(crate) fn unreached(&self, why: Arc<str>, holds: bool, patience: Duration) -> bool {
        let now = self.elapsed();
        self.lock().away.get_or_insert_with(|| Away::new(now)).failed(why, holds, patience, now)
    }

    /// Whether this task may go out now: where nothing arrives, one goes at a time.
    pub(crate) fn may_go(&self, work: &Work) -> bool {
        let mut tray = self.lock();
        let Some(away) = &mut tray.away else { return true };
        away.lets(work.index, self.elapsed())
    }

    /// Who waits for a key tries nothing meanwhile; `model`: nor whether its model is to be had.
    pub(crate) fn step_aside(&self, work: &Work, model: bool) {
        let now = self.elapsed();
        let mut tray = self.lock();
        tray.droughts.waits(&work.model, now);
        let others = match &mut tray.away {
            Some(away) => away.forget_scout(work.index),
            None => false,
        };
        if others | (model && tray.forget_scout(work.index, now)) {
            drop(tray);
            self.changed.notify_waiters();
        }
    }

    /// Tasks that were taken from the input and are not done, and those among them that nobody has taken.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let tray = self.lock();
        (tray.waiting() + tray.out, tray.waiting())
    }

    /// Whether so many tasks of models that are out are held that those behind them in the input are not read.
    pub(super) fn reads_no_more(&self) -> bool {
        let tray = self.lock();
        tray.holds_much() && !tray.ended
    }

    /// Whom the run waits for: the model, why, and when it may be back.
    pub(crate) fn parked(&self) -> Vec<(Arc<str>, Exhausted, Option<Duration>)> {
        let now = self.elapsed();
        let left = |back: Option<Duration>| back.map(|back| back.saturating_sub(now));
        let told = self.lock();
        told.parked.iter().map(|(model, parked)| (Arc::clone(model), parked.why(now), left(parked.back))).collect()
    }

    /// Why nothing goes out, until when, and how long it has been so; where that is so.
    pub(crate) fn away(&self) -> Option<(Arc<str>, Duration, Duration)> {
        let now = self.elapsed();
        let tray = self.lock();
        let away = tray.away.as_ref()?;
        let (why, next) = away.told(now)?;
        Some((why, next, away.lasted(now)))
    }

    /// Ends the run where nothing but tasks is left that wait for longer than may be waited. Whether it did.
    fn end_if_out(&self, mut tray: MutexGuard<'_, Tray>) -> bool {
        let stop = tray.is_out(self.max_wait, || self.elapsed()).filter(|_| tray.stop.is_none());
        let Some(stop) = stop else { return false };
        tray.stop = Some(stop);
        drop(tray);
        self.tell_stop();
        true
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        sync::atomic::{AtomicUsize, Ordering::SeqCst},
        task::{Context, Poll, Wake, Waker},
    };

    use bytes::Bytes;

    use super::*;
    use crate::batch::{Id, written::Fields};

    fn work(index: u64) -> Box<Work> {
        Box::new(Work {
            id: Id::Number(index),
            index,
            hash: 0,
            model: "m".into(),
            path: "".into(),
            body: Bytes::new(),
            fields: Fields::new(),
            attempts: 0,
            key_faults: 0,
            faults: 0,
            tried: Vec::new(),
            unheld: 0,
            limited: None,
            about_tokens: 0,
            most_tokens: None,
            without_model: false,
            of_another: false,
            names: None,
        })
    }

    /// A desk with one task, which is taken.
    async fn desk() -> (Desk, Box<Work>) {
        let desk = Desk::new(Clock::tokio_from(std::time::SystemTime::UNIX_EPOCH), 8, None, None);
        assert!(desk.add(work(0)).await);
        let taken = desk.take(None).await.unwrap();
        (desk, taken)
    }

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_task_that_comes_back_wakes_one() {
        for pause in [Duration::ZERO, Duration::from_secs(1)] {
            let (desk, taken) = desk().await;
            let woken = Arc::new(Woken::default());
            let waker = Waker::from(Arc::clone(&woken));
            let mut idle: Vec<_> = (0..8).map(|_| Box::pin(desk.take(None))).collect();
            for worker in &mut idle {
                assert!(worker.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
            desk.put_back(taken, pause);
            assert_eq!(woken.0.load(SeqCst), 1, "after {pause:?}");
            let mut took = 0;
            tokio::time::sleep(pause + Duration::from_millis(2)).await;
            for worker in &mut idle {
                took += usize::from(worker.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
            }
            // The timer of the one that was woken began when that was polled.
            tokio::time::sleep(pause + Duration::from_millis(2)).await;
            for worker in &mut idle {
                if took == 0 {
                    took += usize::from(worker.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());
                }
            }
            assert_eq!(took, 1);
        }
    }

    /// Who looks at the time for a task that pauses may have something else to do by then.
    #[tokio::test(start_paused = true)]
    async fn a_task_that_pauses_is_taken_when_it_is_due_by_whoever_is_idle() {
        let (desk, taken) = desk().await;
        let begun = desk.elapsed();
        let desk = Arc::new(desk);
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let desk = Arc::clone(&desk);
                tokio::spawn(async move {
                    let taken = desk.take(None).await.map(|work| work.index);
                    (taken, desk.elapsed())
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(1)).await;
        desk.put_back(taken, Duration::from_secs(1));
        tokio::time::sleep(Duration::from_millis(1)).await;
        for index in 1..4 {
            assert!(desk.add(work(index)).await);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for worker in workers {
            let (index, at) =
                tokio::time::timeout(Duration::from_secs(60), worker).await.expect("nobody took it").unwrap();
            if index == Some(0) {
                assert!(at.saturating_sub(begun) < Duration::from_millis(1_100), "{at:?}");
            }
        }
    }

    /// A slot leaves what its key was tried with to others.
    #[tokio::test(start_paused = true)]
    async fn a_task_for_some_slots_alone_finds_one_of_them() {
        let (desk, mut taken) = desk().await;
        let keys: [KeyId; 3] = ["a", "b", "c"].map(KeyId::from);
        for key in &keys {
            desk.enter(key);
        }
        taken.tried = keys[..2].to_vec();
        let woken = Arc::new(Woken::default());
        let wakers = [Waker::noop().clone(), Waker::noop().clone(), Waker::from(Arc::clone(&woken))];
        let mut slots: Vec<_> = keys.iter().map(|key| Box::pin(desk.take(Some(key)))).collect();
        for (slot, waker) in slots.iter_mut().zip(&wakers) {
            assert!(slot.as_mut().poll(&mut Context::from_waker(waker)).is_pending());
        }
        desk.put_back(taken, Duration::ZERO);
        assert_eq!(woken.0.load(SeqCst), 1);
        let third = slots.pop().unwrap().as_mut().poll(&mut Context::from_waker(&wakers[2]));
        assert!(matches!(third, Poll::Ready(Some(_))));
    }
}
