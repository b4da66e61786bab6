//! What goes wrong with tasks: counted, and told to whoever listens.

use std::{
    collections::BTreeMap,
    sync::{Arc, MutexGuard, PoisonError},
    time::Duration,
};

use tower_keypool::{KeyPool, ServedBy, Verdict, VerdictKind};

use super::{Fault, attempt::Tried, events::FaultKind, line::Step, rests::Rests, shared::Shared, work::Work};

/// What whoever listens has to be told, and was.
pub(crate) struct Told {
    rests: Rests,
    /// Models that another one stands in for since then: one line for all tasks, not one for each.
    steps: BTreeMap<Arc<str>, Arc<str>>,
}

impl Told {
    pub(super) fn of(pool: &KeyPool) -> Self {
        Self { rests: Rests::of(pool), steps: BTreeMap::new() }
    }
}

impl Shared {
    /// Counts what an attempt came to, and tells of what went wrong in it.
    pub(crate) fn book(&self, work: &mut Work, tried: &Tried, worker: usize) {
        let served = tried.served_by.as_ref();
        let earlier = served.map(ServedBy::earlier).unwrap_or_default();
        let sent = served.map_or(u32::from(tried.took > Duration::ZERO), |served| served.attempts() as u32);
        // One whose lease had ended was no request.
        let sent = sent.saturating_sub(u32::from(matches!(&tried.outcome, Err(bad) if bad.is_void())));
        let is_limited = matches!(&tried.outcome, Err(bad) if bad.is_limited_account());
        let last_is_key = matches!(&tried.outcome, Err(bad) if bad.whose == FaultKind::Key)
            && served.is_some_and(|served| {
                let verdict = served.verdict();
                served.key().is_some() && (is_limited || verdict.is_key_fault() && is_keys(verdict.kind()))
            });
        let earlier_keys = earlier.iter().filter(|attempt| is_keys(attempt.kind)).count();
        let key_faults = earlier_keys as u32 + u32::from(last_is_key);
        work.attempts += sent;
        work.key_faults += key_faults;
        self.tally(|tally| {
            tally.statistics.requests += u64::from(sent);
            tally.statistics.key_faults += u64::from(key_faults);
            if let Some(usage) = tried.usage {
                let model = served.and_then(ServedBy::used_model).unwrap_or(&work.model);
                let free = served.and_then(ServedBy::key).is_some_and(|key| self.is_free(key));
                tally.bill(usage, model, self.options.prices, free);
            }
        });
        if (!earlier.is_empty() || tried.outcome.is_err())
            && let Some(listener) = &self.options.on_fault
        {
            self.faults(work, tried, worker).iter().for_each(|fault| listener(fault));
        }
    }

    /// A task has a key for this model, after these had none. Told of each once, until it has a key again.
    pub(super) fn stepped(&self, work: &Work, worker: usize, model: &Arc<str>, steps: Vec<Step<'_>>) {
        let Some(listener) = &self.options.on_fault else { return };
        let mut held = self.told();
        let Some(told) = held.as_mut() else { return };
        told.steps.remove(model);
        let is_news =
            |step: &Step<'_>| told.steps.insert(Arc::clone(step.from), Arc::clone(step.to)).as_ref() != Some(step.to);
        let news: Vec<_> = steps.into_iter().filter(is_news).collect();
        drop(held);
        for Step { from, to, why } in news {
            listener(&Fault {
                model: Arc::clone(from),
                next_model: Some(Arc::clone(to)),
                retry_in: why.may_serve_in(),
                code: "no_key".to_owned(),
                message: why.to_string(),
                ..of(work, worker, FaultKind::Key)
            });
        }
    }

    fn faults(&self, work: &Work, tried: &Tried, worker: usize) -> Vec<Fault> {
        let served = tried.served_by.as_ref();
        let earlier = served.map(ServedBy::earlier).unwrap_or_default();
        let used = served.and_then(ServedBy::used_model);
        let following = earlier.iter().skip(1).map(|attempt| attempt.model.as_deref()).chain([used]);
        let mut faults: Vec<Fault> = earlier
            .iter()
            .zip(following)
            .map(|(attempt, next)| {
                let of_key = is_keys(attempt.kind);
                let next = next.filter(|next| attempt.model.as_deref().is_some_and(|model| model != *next));
                Fault {
                    key: Some(attempt.key.clone()),
                    model: attempt.model.clone().unwrap_or_else(|| Arc::clone(&work.model)),
                    next_model: next.map(Into::into),
                    verdict: Some(attempt.kind),
                    status: attempt.status,
                    code: attempt.code.clone(),
                    message: if of_key || next.is_some() { String::new() } else { "another key".to_owned() },
                    ..of(work, worker, if of_key { FaultKind::Key } else { FaultKind::Model })
                }
            })
            .collect();
        if let Err(bad) = &tried.outcome
            // That no other key was there is no fault of anybody.
            && !(bad.whose == FaultKind::Key && served.is_none_or(|served| served.key().is_none()))
            && !bad.is_void()
        {
            let verdict = served.map(ServedBy::verdict);
            let kind = if bad.is_limited_account() { Some(VerdictKind::Suspended) } else { verdict.map(Verdict::kind) };
            let of_model = bad.whose == FaultKind::Key && kind.is_some_and(|kind| !is_keys(kind));
            let whose = if of_model { FaultKind::Model } else { bad.whose };
            let final_fault = matches!(bad.whose, FaultKind::Task | FaultKind::Model)
                && (work.faults >= self.options.max_retries || (bad.invalid && !self.options.retry_invalid));
            let code = verdict.map(Verdict::code_of).filter(|code| !code.is_empty());
            faults.push(Fault {
                key: served.and_then(ServedBy::key).cloned(),
                model: used.map_or_else(|| Arc::clone(&work.model), Into::into),
                verdict: kind,
                status: verdict.and_then(Verdict::status_of).map(|status| status.as_u16()),
                code: code.map(str::to_owned).or_else(|| bad.code.clone()).unwrap_or_else(|| bad.kind.to_owned()),
                message: bad.message.clone(),
                last: final_fault,
                ..of(work, worker, whose)
            });
        }
        // When the keys come back.
        if let Some(told) = self.told().as_mut() {
            told.rests.tell(self.client.pool(), &mut faults);
        }
        faults
    }

    fn told(&self) -> MutexGuard<'_, Option<Told>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fault of a task that nothing is known of yet.
fn of(work: &Work, worker: usize, whose: FaultKind) -> Fault {
    Fault {
        slot: worker + 1,
        key: None,
        task: work.id.clone(),
        model: Arc::clone(&work.model),
        next_model: None,
        fault: whose,
        verdict: None,
        status: None,
        code: String::new(),
        message: String::new(),
        retry_in: None,
        permanent: false,
        last: false,
    }
}

/// Whether a fault is a key's, its owner's or its account's: that it has not this model, or that the model is overloaded,
/// is none.
fn is_keys(kind: VerdictKind) -> bool {
    use VerdictKind::{Broken, CallerFault, Cancelled, ModelUnavailable, Overloaded, Transient, WrongOwner};
    !matches!(kind, ModelUnavailable | Overloaded | Transient | CallerFault | WrongOwner | Broken | Cancelled)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use tower_keypool::{Gemini, Key, KeyPool};

    use super::*;
    use crate::{
        batch::{Batch, Id, attempt::Bad},
        client::Client,
    };

    /// A lease that had ended before its request went out.
    #[test]
    fn what_never_went_out_is_no_request_and_nobodys_fault() {
        let pool = KeyPool::builder(Gemini::new()).key(Key::new("AIzaSy-not-a-real-key-000")).build().unwrap();
        let told = Arc::new(AtomicUsize::new(0));
        let heard = Arc::clone(&told);
        let batch = Batch::new(Client::new(&pool)).on_fault(move |_| _ = heard.fetch_add(1, Relaxed));
        let shared = Shared::new(Client::new(&pool), batch.options().clone(), 1);
        let mut work = Work {
            id: Id::Number(1),
            index: 0,
            hash: 0,
            model: "m".into(),
            path: "/".into(),
            body: bytes::Bytes::new(),
            fields: crate::batch::written::Fields::default(),
            attempts: 0,
            key_faults: 0,
            faults: 0,
            tried: Vec::new(),
            unheld: 0,
            limited: None,
            most_tokens: None,
            without_model: false,
            of_another: false,
            names: None,
        };
        let tried = |code: &str| Tried {
            outcome: Err(Bad { code: Some(code.to_owned()), ..Bad::new(FaultKind::Network, "network", "no") }),
            served_by: None,
            usage: None,
            finish_reason: None,
            took: Duration::from_millis(5),
        };
        shared.book(&mut work, &tried("void"), 0);
        assert_eq!((work.attempts, shared.statistics().requests, told.load(Relaxed)), (0, 0, 0));
        shared.book(&mut work, &tried("connect"), 0);
        assert_eq!((work.attempts, shared.statistics().requests, told.load(Relaxed)), (1, 1, 1));
    }
}
