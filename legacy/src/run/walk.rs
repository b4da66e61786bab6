//! The walk of one call over its attempts.

use std::{sync::Arc, time::Duration};

use super::{LeasedKey, RunError};
use crate::{
    error::Error,
    fallback::{Models, Plan, steps_down},
    pool::{Demand, KeyPool, Lease, ServedBy},
    retry::{Course, Step, instead},
    rule::Retry,
    verdict::Verdict,
};

/// One call: what it demands, how far it has come, which models are left.
pub(super) struct Walk {
    pool: KeyPool,
    rule: Arc<Retry>,
    demand: Demand,
    /// How long it may wait for its first key.
    wait: Duration,
    course: Course,
    plan: Option<Plan>,
}

/// How a walk goes on.
enum Onward {
    With(Lease),
    /// The last result is what comes out.
    Done,
    /// This error is, by the caller's wish.
    Instead(Error),
}

impl Walk {
    pub(super) fn new(pool: KeyPool, rule: Arc<Retry>, models: &Models, mut demand: Demand) -> Self {
        let wait = demand.wait.unwrap_or_else(|| pool.default_wait());
        let course = Course::new(pool.clock().tick(), wait);
        let provider = &**pool.provider();
        let plan = models.plan_for(demand.model(), provider).and_then(|plan| plan.of(&demand, provider));
        demand.ahead = true;
        if plan.is_some() && demand.particulars.requested.is_none() {
            demand.particulars.requested.clone_from(&demand.model);
        }
        Self { pool, rule, demand, wait, course, plan }
    }

    pub(super) async fn run<J, C, F, T, E>(mut self, judge: J, mut call: C) -> Result<T, RunError<E>>
    where
        J: Fn(&Result<T, E>) -> Verdict,
        C: FnMut(LeasedKey) -> F,
        F: Future<Output = Result<T, E>>,
    {
        let mut lease = self.first().await.map_err(RunError::Pool)?;
        let outcome = loop {
            if !lease.started() {
                let void = lease.granted().void();
                drop(lease);
                break Err(RunError::Pool(void));
            }
            let result = call(LeasedKey::new(lease.granted().clone())).await;
            // What comes next may want its slot.
            let served_by = settled(lease, judge(&result));
            match self.next(&served_by).await {
                Onward::With(next) => lease = next,
                Onward::Done => break result.map_err(|error| RunError::Call { error, served_by }),
                Onward::Instead(error) => break Err(RunError::Pool(error.with_served_by(served_by))),
            }
        };
        // A first attempt that served taught nothing that would be missed.
        if (outcome.is_err() || self.demand.particulars.earlier.is_some())
            && let Some(kept) = self.pool.keeping()
        {
            kept.await;
        }
        outcome
    }

    /// The first key: for the model that is named, or for the best that has one ready.
    async fn first(&mut self) -> Result<Lease, Error> {
        if let Some(plan) = self.plan.as_mut().filter(|plan| !plan.begins_with_itself()) {
            if let Some((model, lease)) = plan.step(&self.pool, &self.demand, None) {
                self.demand.model = Some(model);
                return Ok(lease);
            }
            self.demand.model = plan.best();
        }
        let granted = match self.pool.try_lease(&self.demand, self.pool.clock().now()) {
            Err(error) if error.may_end_within(self.wait) => self.pool.acquire_in_time(self.demand.clone()).await,
            Err(error) if error.is_exhausted() => {
                self.pool.count_exhausted();
                Err(error)
            }
            granted => granted,
        };
        match granted {
            Err(error) if error.is_exhausted() || error.is_never_fits() => self.step_from(error).await,
            granted => granted,
        }
    }

    async fn next(&mut self, served_by: &ServedBy) -> Onward {
        let verdict = served_by.verdict();
        if verdict.is_success() {
            self.rule.succeeded();
            return Onward::Done;
        }
        self.demand.particulars.earlier = Some(self.pool.attempts(served_by, &self.demand));
        let out = match self.course.next(&self.rule, &self.pool, verdict, self.demand.clone(), None) {
            Step::Again(next) => match next.await {
                Ok(lease) => return Onward::With(lease),
                Err(error) => Some(error),
            },
            Step::OutOfKeys(error) => Some(error),
            Step::Stop => None,
        };
        if steps_down(verdict, &self.demand, self.plan.as_ref().is_some_and(Plan::steps_on_overloaded))
            && let Some(lease) = self.step_down()
        {
            return Onward::With(lease);
        }
        match out {
            // Without a wait no other error says that keys are out.
            Some(_) => {
                let error = instead(&self.rule, &self.pool, verdict, self.demand.clone());
                error.map_or(Onward::Done, |error| Onward::Instead(self.told(error)))
            }
            None => Onward::Done,
        }
    }

    /// A key for the next model of the list that has one ready, or for the first that one comes for in time. Else the error
    /// says when the first of the whole list is back.
    async fn step_from(&mut self, error: Error) -> Result<Lease, Error> {
        let left = self.plan.clone();
        if let Some(lease) = self.step_down() {
            return Ok(lease);
        }
        let Some(mut left) = left else { return Err(error) };
        let wait = self.course.until(&self.rule).since(self.pool.clock().tick());
        let Some(model) = left.soonest(&self.pool, &self.demand, wait) else {
            return Err(self.told(error));
        };
        left.pass(&model);
        self.plan = Some(left);
        (self.demand.model, self.demand.wait) = (Some(model), Some(wait));
        let granted = self.pool.acquire_in_time(self.demand.clone()).await;
        granted.map_err(|error| self.told(error))
    }

    /// The error with the soonest of all models that the call may use.
    fn told(&self, mut error: Error) -> Error {
        if let (Some(plan), Some(exhausted)) = (&self.plan, error.exhausted_mut())
            && let Some((model, after)) = plan.soonest_of_all(&self.pool, &self.demand)
        {
            exhausted.sooner_as(model, after);
        }
        error
    }

    /// A key for the next model of the list that has one ready.
    fn step_down(&mut self) -> Option<Lease> {
        let (model, lease) = self.plan.as_mut()?.step(&self.pool, &self.demand, None)?;
        self.demand.model = Some(model);
        Some(lease)
    }
}

fn settled(lease: Lease, verdict: Verdict) -> ServedBy {
    let verdict = lease.granted().pool.cleared(&verdict).unwrap_or(verdict);
    let served_by = lease.granted().served_by(verdict);
    lease.settle(served_by.verdict());
    served_by
}
