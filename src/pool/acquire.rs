//! Acquires a key, and waits for one if needed.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::Sleep;

use super::{
    handle::Shared,
    lease::Lease,
    model::ModelIx,
    queue::WaiterId,
    request::KeyRequest,
    reserve::{Reserve, Reserving},
    select::{Grant, Selection, select},
    state::{Now, State},
};
use crate::{Error, time::Tick};

pin_project! {
    /// The future of [`KeyPool::acquire`](crate::KeyPool::acquire). Dropped while it waits, it leaves the queue.
    #[must_use = "futures do nothing unless polled"]
    pub struct Acquire {
        shared: Arc<Shared>,
        request: KeyRequest,
        deadline: Option<Tick>,
        waiting: Option<Waiting>,
        reserving: Option<Reserving>,
        // Whether the store already replied too late once.
        late: bool,
        // Whether the request keeps its turn, since the store refused all offered keys.
        keeps_turn: bool,
        #[pin]
        sleep: Option<Sleep>,
    }
}

/// A place in the queue, released on drop.
struct Waiting {
    shared: Arc<Shared>,
    id: WaiterId,
    model: ModelIx,
    deadline: Tick,
    /// The tick to which the timer is set.
    armed: Option<Tick>,
}

impl Acquire {
    pub(crate) fn new(shared: Arc<Shared>, request: KeyRequest) -> Self {
        Self {
            shared,
            request,
            deadline: None,
            waiting: None,
            reserving: None,
            late: false,
            keeps_turn: false,
            sleep: None,
        }
    }

    pub(crate) fn pool(&self) -> super::KeyPool {
        super::KeyPool { shared: Arc::clone(&self.shared) }
    }
}

impl Future for Acquire {
    type Output = Result<Lease, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let Some(reserving) = this.reserving {
                let granted = ready!(reserving.poll(this.request, cx));
                *this.reserving = None;
                match granted {
                    Ok(Reserve::Granted(grant)) => {
                        return Poll::Ready(Ok(Lease::new(Arc::clone(this.shared), grant)));
                    }
                    // No candidate had room. The pool has recorded that, and the request waits for another key.
                    Ok(Reserve::Refused) => *this.keeps_turn = true,
                    Ok(Reserve::Late) => *this.late = true,
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            let granted = if this.waiting.is_some() {
                ready!(wait(this.request, this.waiting, this.sleep.as_mut(), cx))
            } else {
                match begin(this.shared, this.request, this.deadline, *this.keeps_turn) {
                    Begun::Granted(grant) => Ok(grant),
                    Begun::Failed(error) => Err(error),
                    Begun::Waits(waiting) => {
                        *this.waiting = Some(waiting);
                        continue;
                    }
                }
            };
            let grant = match granted {
                Ok(grant) => grant,
                Err(error) => return Poll::Ready(Err(error)),
            };
            if let Some(link) = this.shared.link.as_ref().filter(|_| !this.request.uncounted) {
                if !link.is_bypassed() {
                    *this.reserving = Some(Reserving::new(this.shared, link, this.request, grant, *this.late));
                    continue;
                }
                this.shared.with(|state, _| state.stats.unreserved += 1);
            }
            return Poll::Ready(Ok(Lease::new(Arc::clone(this.shared), grant)));
        }
    }
}

enum Begun {
    Granted(Grant),
    Failed(Error),
    Waits(Waiting),
}

/// Returns a lease for a request that does not wait, without a reservation in the store.
pub(crate) fn at_once(shared: &Arc<Shared>, request: &KeyRequest) -> Result<Lease, Error> {
    match begin(shared, request, &mut Some(Tick::ZERO), false) {
        Begun::Granted(grant) => Ok(Lease::new(Arc::clone(shared), grant)),
        Begun::Failed(error) => Err(error),
        Begun::Waits(_) => unreachable!("its deadline is now"),
    }
}

/// Tries to get a key: returns a grant, an error, or a place in the queue. With `keeps_turn` it goes before
/// the waiting requests.
fn begin(shared: &Arc<Shared>, request: &KeyRequest, deadline: &mut Option<Tick>, keeps_turn: bool) -> Begun {
    let begun = shared.with(|state, now| {
        let selection = Selection::new(state, request, false);
        // A model of the provider's table gets its own windows before its first response.
        let is_new =
            request.model.is_some() && state.models.is_shared(selection.requested) && state.settings.may_assume_more();
        (!is_new).then(|| try_or_join(shared, state, &selection, deadline, keeps_turn, now))
    });
    begun.unwrap_or_else(|| {
        shared.assume(request.model_name().unwrap_or_default());
        shared.with(|state, now| {
            try_or_join(shared, state, &Selection::new(state, request, false), deadline, keeps_turn, now)
        })
    })
}

fn try_or_join(
    shared: &Arc<Shared>,
    state: &mut State,
    selection: &Selection<'_>,
    deadline: &mut Option<Tick>,
    keeps_turn: bool,
    now: Now,
) -> Begun {
    if state.shut_down {
        return Begun::Failed(Error::shut_down());
    }
    let (request, model) = (selection.request, selection.effective);
    let deadline = *deadline.get_or_insert_with(|| now.tick.plus(request.wait.unwrap_or(shared.wait)));
    let patient = deadline > now.tick;
    // Waiting requests are served first.
    if !keeps_turn {
        super::queue::serve(state, now);
    }
    if keeps_turn || !(patient && state.queue.is_long(model)) {
        match select(state, &Selection { may_exceed_assumed: !patient, ..*selection }, now) {
            Ok(grant) => return Begun::Granted(grant),
            Err(blocked) if !patient || blocked.permanent || blocked.opens_after(deadline) => {
                let unavailable = blocked.to_unavailable(state, request, now);
                state.stats.unavailable += 1;
                return Begun::Failed(Error::unavailable(unavailable));
            }
            Err(_) => {}
        }
    }
    let id = state.queue.join(request.clone(), model, keeps_turn);
    super::queue::serve(state, now);
    Begun::Waits(Waiting { shared: Arc::clone(shared), id, model, deadline, armed: None })
}

fn wait(
    request: &KeyRequest,
    waiting: &mut Option<Waiting>,
    mut sleep: Pin<&mut Option<Sleep>>,
    cx: &mut Context<'_>,
) -> Poll<Result<Grant, Error>> {
    loop {
        let Some(place) = waiting.as_mut() else { return Poll::Pending };
        let deadline = place.deadline;
        let woken = place.shared.with(|state, now| {
            let due = state.queue.wakes_at(place.id, place.model, now.tick);
            if now.tick >= due.min(deadline) {
                super::queue::serve(state, now);
            }
            if let Some(grant) = state.queue.take_grant(place.id) {
                return Ok(Ok(grant));
            }
            if state.shut_down {
                return Ok(Err(Error::shut_down()));
            }
            if now.tick >= deadline || state.queue.has_failed(place.id) {
                return Ok(select(state, &Selection::new(state, request, true), now).map_err(|blocked| {
                    state.stats.unavailable += 1;
                    Error::unavailable(blocked.to_unavailable(state, request, now))
                }));
            }
            state.queue.set_waker(place.id, cx.waker());
            // `serve` may have changed the time when the next key wakes.
            Err(state.queue.wakes_at(place.id, place.model, now.tick).min(deadline))
        });
        match woken {
            Ok(granted) => {
                *waiting = None;
                sleep.set(None);
                return Poll::Ready(granted);
            }
            Err(until) => {
                if place.armed != Some(until) || sleep.is_none() {
                    place.armed = Some(until);
                    sleep.set(Some(place.shared.clock.sleep_until(until)));
                }
                if let Some(timer) = sleep.as_mut().as_pin_mut() {
                    ready!(timer.poll(cx));
                }
                sleep.set(None);
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.shared.with(|state, now| match state.queue.leave(self.id) {
            Some(grant) => super::outcome::end(state, &grant, None, false, now),
            // Another waiter may be the first now.
            None => super::queue::serve(state, now),
        });
    }
}

debug_with_fields!([] Acquire, "Acquire", request);
