//! A worker: takes a task and a key, sends the one with the other, and looks at what comes back.

use std::{sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot};
use tower_keypool::{Affinity, Demand, Exhausted, KeyId, OutReason, ServedBy, Span, Unit};

use super::{
    TaskError, TaskResult,
    attempt::{self, Bad, Good, Tried},
    desk::{Heard, Stop},
    events::FaultKind,
    line::{A_MOMENT, IN_LINE, Line, soonest},
    pace::Pace,
    shared::Shared,
    work::Work,
    writer::ToWrite,
};

/// A slot whose key is out looks again this often: it may be lifted by hand.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// A worker; one with a key is a slot of that key.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) number: usize,
    pub(crate) key: Option<KeyId>,
    pub(crate) pace: Option<Pace>,
    pub(crate) results: mpsc::Sender<ToWrite>,
}

/// What is too long for a slot's key waits so long for the slot of another one.
const FOR_A_LARGER: Duration = Duration::from_secs(1);

/// A pause that the provider asks for is kept up to this.
const LONGEST_ASKED: Duration = Duration::from_secs(60);

/// What a task needs of a key.
pub(crate) fn demand(work: &Work, model: &Arc<str>, key: Option<&KeyId>) -> Demand {
    let about = work.about_tokens.min(work.most_tokens.unwrap_or(u64::MAX));
    let demand = Demand::new(Arc::clone(model)).about_tokens(about);
    match key {
        Some(key) => demand.affinity(Affinity::MustKey(key.clone())),
        None => demand,
    }
}

impl Worker {
    /// Works until nothing is left.
    pub(crate) async fn run(mut self) {
        let Some(key) = self.key.clone() else { return self.work().await };
        let shared = Arc::clone(&self.shared);
        shared.desk.enter(&key);
        self.work().await;
        shared.desk.leave(&key);
    }

    async fn work(&mut self) {
        let shared = Arc::clone(&self.shared);
        loop {
            if let Some(pace) = &self.pace {
                let left = pace.left(shared.desk.elapsed());
                if !left.is_zero() {
                    tokio::select! {
                        () = tokio::time::sleep(left) => {}
                        () = shared.desk.until_stopped() => return,
                    }
                }
            }
            let Some(mut work) = shared.desk.take(self.key.as_ref()).await else { return };
            if let Some(bad) = self.is_nowhere(&work).or_else(|| self.is_too_long(&mut work)) {
                self.failed_unsent(work, bad, None).await;
                continue;
            }
            match self.stand_in_line(&work).await {
                Line::Lease(..) if !shared.desk.may_go(&work) => {
                    // The way went down meanwhile, and the lease was used for nothing.
                    shared.desk.put_back(work, Duration::ZERO);
                    tokio::task::yield_now().await;
                }
                Line::Lease(model, lease) => {
                    if let Some(pace) = &mut self.pace {
                        pace.started(shared.desk.elapsed());
                    }
                    let under_way = shared.under_way(self.number);
                    let of_keys = shared.desk.goes(&work.model);
                    // As long as nobody knows anything of the keys each speaks for itself: a request that asks one after the other
                    // has the pool doubt what the first said, and all of the first wave would ask all of them. So where all
                    // refused many tasks: the pool takes that for the tasks' fault, and has no rest for it.
                    let alone = (of_keys && !work.of_another) || work.names.is_some();
                    let alone = alone.then(|| lease.key_id().clone());
                    let pinned = self.key.as_ref().or(alone.as_ref());
                    let tried = attempt::send(&shared, &work, &model, lease, pinned).await;
                    shared.desk.landed(&work.model);
                    drop(under_way);
                    self.settle(work, &model, tried).await;
                }
                Line::Stopped => {
                    shared.desk.put_back(work, Duration::ZERO);
                    return;
                }
                Line::Out(why, waited) => {
                    self.out(work, why, waited).await;
                    // Who was turned away at once does not ask again at once.
                    if self.key.is_none() && waited < A_MOMENT {
                        shared.desk.pause(A_MOMENT).await;
                    }
                }
                Line::Failed(error) if error.is_never_fits() && self.is_for_a_larger_key(&mut work) => {
                    shared.desk.put_back(work, FOR_A_LARGER);
                }
                Line::NoModel(why) => self.has_no_model(work, &why).await,
                Line::Failed(error) => self.refused(work, &error).await,
            }
        }
    }

    /// No key for this task, for now.
    async fn out(&self, work: Box<Work>, why: Exhausted, waited: Duration) {
        let shared = &self.shared;
        let Some(key) = &self.key else {
            // Who stood in line for long may do so again; others would only ask anew.
            let in_line = !waited.is_zero();
            return self.park(work, why, in_line);
        };
        let pause = match why.next_in() {
            None if why.may_end_any_time() => A_MOMENT,
            next => next.or(why.may_serve_in()).map_or(LOOK_AGAIN, |next| next.clamp(A_MOMENT, LOOK_AGAIN)),
        };
        // Another key's slot may carry it; where there is none, it waits with its model.
        match self.outlook(&work) {
            Some(all) => self.park(work, all, true),
            None => shared.desk.put_back(work, Duration::ZERO),
        }
        let resting = shared.resting(key);
        shared.desk.leave(key);
        shared.desk.pause(pause).await;
        shared.desk.enter(key);
        drop(resting);
    }

    /// Why no key at all may carry it; `None`: one may.
    pub(super) fn outlook(&self, work: &Work) -> Option<Exhausted> {
        let pool = self.shared.client.pool();
        let chain = self.chain(work);
        let ways = self.ways(work);
        let asked =
            chain.iter().flat_map(|model| ways.iter().map(move |way| demand(work, model, None).affinity(way.clone())));
        let all: Option<Vec<_>> = asked.map(|demand| pool.outlook(demand)).collect();
        all?.into_iter().min_by_key(soonest)
    }

    /// No key for a while: the task waits with its model until when, which is known, or for good. `near`: not where one may
    /// come while it stands in line.
    fn park(&self, work: Box<Work>, why: Exhausted, near: bool) {
        let desk = &self.shared.desk;
        if let Some(ends) = self.day_is_over(&work, &work.model, &why) {
            // Nobody else has them.
            let day = OutReason::Full(Unit::Requests, Span::Day);
            return desk.park(work, why.unlent_for(day, ends), Some(ends));
        }
        let next = why.may_serve_in();
        if next.is_none() && !why.may_end_any_time() && self.has_lost_owner(&work, &why) {
            return desk.put_back(work, Duration::ZERO);
        }
        if why.may_end_any_time()
            || (near
                && work.names.is_none()
                && !self.is_for_one(&why)
                && next.is_some_and(|next| next <= self.in_line(&work.model, IN_LINE)))
        {
            return desk.put_back(work, Duration::ZERO);
        }
        // Who is told of the end is told when to come back.
        let next = next.filter(|next| !self.is_hopeless(&work, &why, *next));
        let why = match next {
            Some(next) if why.next_in().is_none() => why.not_before(next),
            _ => why,
        };
        desk.park(work, why, next);
    }

    /// Says what came of an attempt: done, or again.
    pub(super) async fn settle(&self, mut work: Box<Work>, model: &Arc<str>, mut tried: Tried) {
        let shared = &self.shared;
        shared.book(&mut work, &tried, self.number);
        self.learn(&work, &tried);
        let served = tried.served_by.as_ref().filter(|served| served.verdict().is_success());
        shared.desk.heard(&work, heard(&tried), served.and_then(ServedBy::key));
        let Err(bad) = &tried.outcome else { return self.done(work, model, tried).await };
        if bad.fatal {
            shared.desk.stop(Stop::Failed(bad.message.clone().into()));
            return shared.desk.put_back(work, Duration::ZERO);
        }
        if bad.astray && shared.met_nobody(&work, bad) {
            not_again(&mut work, &tried);
            return shared.desk.put_behind(work);
        }
        if let Some(named) = bad.without_model
            && !std::mem::replace(&mut work.without_model, true)
        {
            shared.desk.told_of_no_model(&work.model, named);
        }
        if bad.without_quota {
            shared.desk.told_of_tier(&work.model);
        }
        if bad.is_void() {
            shared.desk.put_back(work, Duration::ZERO);
            return tokio::task::yield_now().await;
        }
        if bad.of_another {
            // All were asked that may have it.
            if let Some(nowhere) = self.is_nowhere(&work) {
                if let Err(bad) = &mut tried.outcome {
                    bad.message = nowhere.message;
                }
                return self.done(work, model, tried).await;
            }
            if work.names.is_some() {
                shared.tally(|tally| tally.statistics.retries += 1);
                return shared.desk.put_back(work, Duration::ZERO);
            }
            work.of_another = true;
            // A slot goes by its own pace, and leaves it to those of other keys: where it comes back, all of them had it.
            if !not_again(&mut work, &tried) && self.key.is_some() {
                return self.done(work, model, tried).await;
            }
            shared.tally(|tally| tally.statistics.retries += 1);
            return shared.desk.put_back(work, Duration::ZERO);
        }
        match bad.whose {
            FaultKind::Key => return self.turned_away(work, model, tried).await,
            FaultKind::Network => {
                if !shared.unreached(bad) {
                    shared.desk.stop(self.nothing_goes_out(&work, model, bad));
                }
                shared.desk.put_back(work, Duration::ZERO);
                return tokio::task::yield_now().await;
            }
            FaultKind::Model | FaultKind::Task => {}
        }
        work.faults += 1;
        // Where no key is left that was not asked for it, nobody has it.
        let has_no_model = bad.without_model.is_some() && !self.others_may_have_model(&mut work, &tried);
        let is_over = work.faults > shared.options.max_retries || has_no_model;
        if is_over || (bad.invalid && !shared.options.retry_invalid) {
            return self.done(work, model, tried).await;
        }
        shared.tally(|tally| tally.statistics.retries += 1);
        let pause = match bad.whose {
            FaultKind::Model => shared.backoff(work.faults).max(bad.asked.unwrap_or_default().min(LONGEST_ASKED)),
            _ => Duration::ZERO,
        };
        not_again(&mut work, &tried);
        shared.desk.put_back(work, pause);
    }

    /// Why the run ends where nothing went out for too long: exits that rest open again, and the pool says when.
    fn nothing_goes_out(&self, work: &Work, model: &Arc<str>, bad: &Bad) -> Stop {
        let demand = demand(work, model, self.key.as_ref()).ahead();
        let refused = self.shared.client.pool().try_acquire(demand).err();
        let out = refused.as_ref().and_then(|error| error.exhausted()).filter(|out| out.exits().next().is_some());
        out.map_or_else(|| Stop::Failed(self.shared.never_reached(bad).into()), |out| Stop::OutOfQuota(out.clone()))
    }

    /// A task has its result.
    pub(super) async fn done(&self, work: Box<Work>, model: &Arc<str>, tried: Tried) {
        let Tried { outcome, served_by, usage, finish_reason, took } = tried;
        let used =
            served_by.as_ref().and_then(|served| served.used_model()).map_or_else(|| Arc::clone(model), Into::into);
        let mut result = Box::new(TaskResult {
            id: work.id,
            index: work.index,
            success: outcome.is_ok(),
            text: None,
            json: None,
            parts: None,
            error: None,
            key_id: served_by.as_ref().and_then(|served| served.key()).cloned(),
            model: used,
            attempts: work.attempts,
            key_faults: work.key_faults,
            usage,
            finish_reason,
            seconds: (took.as_secs_f64() * 1e3).round() / 1e3,
            hash: work.hash,
            task: work.fields,
        });
        match outcome {
            Ok(Good { text, json, parts }) => {
                (result.text, result.json) = (text, json);
                result.parts = (!parts.is_empty()).then_some(parts);
            }
            Err(Bad { kind, message, code, text, .. }) => {
                result.text = text;
                result.error = Some(TaskError { kind, message, code });
            }
        }
        let (waits, written) = oneshot::channel();
        if self.results.send((result, Some(waits))).await.is_ok() {
            // Before the next one is taken; a writer that failed has said so.
            let _ = written.await;
        } else {
            // The writer is gone: nothing can be kept any more.
            self.shared.desk.stop(Stop::Failed("the output is gone".into()));
            self.shared.desk.done();
        }
    }
}

/// The key that it was tried with is the last that is asked again; whether it was not before.
fn not_again(work: &mut Work, tried: &Tried) -> bool {
    let key = tried.served_by.as_ref().and_then(ServedBy::key).filter(|key| !work.tried.contains(key));
    work.tried.extend(key.cloned());
    key.is_some()
}

/// What an attempt showed of the way to the provider, and of the task's model.
fn heard(tried: &Tried) -> Heard {
    match &tried.outcome {
        Err(bad) if bad.whose == FaultKind::Network || bad.fatal => Heard::Nothing,
        // Without an attempt there was no key, or the task cannot be sent.
        Err(_) if tried.took.is_zero() && tried.served_by.is_none() => Heard::Nothing,
        // Whose model is not there is turned away as by a key that is no good.
        Err(bad) if bad.whose == FaultKind::Key || bad.without_model.is_some() => {
            let sent = tried.served_by.as_ref().is_some_and(|served| served.attempts() > 0);
            if sent { Heard::Reached } else { Heard::Nothing }
        }
        Err(bad) if bad.astray => Heard::Astray,
        _ => Heard::Carried,
    }
}
