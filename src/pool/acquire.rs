//! Waiting for a key.

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
    reserve::Reservations,
    select::{Ask, Grant, select},
};
use crate::{Error, time::Tick};

pin_project! {
    /// The future of [`KeyPool::acquire`](crate::KeyPool::acquire). Dropped while it waits, it gives up its place.
    #[must_use = "futures do nothing unless polled"]
    pub struct Acquire {
        shared: Arc<Shared>,
        request: KeyRequest,
        deadline: Option<Tick>,
        waiting: Option<Waiting>,
        reserving: Option<Reservations>,
        #[pin]
        sleep: Option<Sleep>,
    }
}

/// A place in the queue, given up when it is dropped.
struct Waiting {
    shared: Arc<Shared>,
    id: WaiterId,
    model: ModelIx,
    /// What the timer was set to.
    armed: Option<Tick>,
}

impl Acquire {
    pub(crate) fn new(shared: Arc<Shared>, request: KeyRequest) -> Self {
        Self { shared, request, deadline: None, waiting: None, reserving: None, sleep: None }
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
                let granted = ready!(reserving.poll(cx));
                *this.reserving = None;
                match granted {
                    Ok(Some(grant)) => return Poll::Ready(Ok(Lease::new(Arc::clone(this.shared), grant))),
                    // No candidate had room; the windows know now, and the request waits for another.
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
            let granted = if this.waiting.is_some() {
                ready!(wait(
                    this.shared,
                    this.request,
                    this.deadline.unwrap_or(Tick::NEVER),
                    this.waiting,
                    this.sleep.as_mut(),
                    cx
                ))
            } else {
                match begin(this.shared, this.request, this.deadline) {
                    Begun::Done(granted) => granted,
                    Begun::Waits(waiting) => {
                        *this.waiting = Some(waiting);
                        continue;
                    }
                }
            };
            match granted {
                Ok(grant) if this.shared.asks_store() => {
                    *this.reserving = Some(Reservations::new(this.shared, this.request, grant));
                }
                granted => return Poll::Ready(granted.map(|grant| Lease::new(Arc::clone(this.shared), grant))),
            }
        }
    }
}

enum Begun {
    Done(Result<Grant, Error>),
    Waits(Waiting),
}

/// The first try: a grant, an error, or a place in the queue.
fn begin(shared: &Arc<Shared>, request: &KeyRequest, deadline: &mut Option<Tick>) -> Begun {
    shared.prepare(request);
    let wait = request.wait.unwrap_or(shared.wait);
    shared.with(|state, now| {
        if state.closed {
            return Begun::Done(Err(Error::shut_down()));
        }
        let deadline = *deadline.get_or_insert(now.tick.plus(wait));
        let patient = deadline > now.tick;
        let model = state.models.own(state.models.find(request.model.as_deref()));
        if !(patient && state.queue.is_long(model)) {
            if patient {
                super::queue::serve(state, now);
            }
            match select(state, &Ask { request, last_chance: !patient }, now) {
                Ok(grant) => return Begun::Done(Ok(grant)),
                Err(blocked) if !patient || blocked.hopeless => {
                    let unavailable = blocked.tell(state, request, now);
                    state.stats.unavailable += 1;
                    return Begun::Done(Err(Error::unavailable(unavailable)));
                }
                Err(_) => {}
            }
        }
        let id = state.queue.join(request.clone(), model);
        super::queue::serve(state, now);
        Begun::Waits(Waiting { shared: Arc::clone(shared), id, model, armed: None })
    })
}

fn wait(
    shared: &Arc<Shared>,
    request: &KeyRequest,
    deadline: Tick,
    waiting: &mut Option<Waiting>,
    mut sleep: Pin<&mut Option<Sleep>>,
    cx: &mut Context<'_>,
) -> Poll<Result<Grant, Error>> {
    loop {
        let Some(place) = waiting.as_mut() else { return Poll::Pending };
        let woken = shared.with(|state, now| {
            if let Some(grant) = state.queue.take_grant(place.id) {
                return Ok(Some(Ok(grant)));
            }
            if state.closed {
                return Ok(Some(Err(Error::shut_down())));
            }
            if now.tick >= deadline {
                return Ok(Some(select(state, &Ask { request, last_chance: true }, now).map_err(|blocked| {
                    state.stats.unavailable += 1;
                    Error::unavailable(blocked.tell(state, request, now))
                })));
            }
            state.queue.set_waker(place.id, cx.waker());
            let due = state.queue.first_wakes_at(place.id, place.model);
            if due.is_some_and(|due| due <= now.tick) {
                super::queue::serve(state, now);
                return Ok(state.queue.take_grant(place.id).map(Ok));
            }
            Err(due.map_or(deadline, |due| due.min(deadline)))
        });
        match woken {
            Ok(Some(granted)) => {
                *waiting = None;
                sleep.set(None);
                return Poll::Ready(granted);
            }
            Ok(None) => {}
            Err(until) => {
                if place.armed != Some(until) || sleep.is_none() {
                    place.armed = Some(until);
                    sleep.set(Some(shared.clock.sleep_until(until)));
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
        let granted = self.shared.with(|state, now| {
            let (granted, first) = state.queue.leave(self.id);
            state.effects.wakers.extend(first);
            if let Some(grant) = &granted {
                super::outcome::end(state, grant, None, false, now);
            }
            granted
        });
        drop(granted);
    }
}

impl std::fmt::Debug for Acquire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acquire").field("request", &self.request).finish_non_exhaustive()
    }
}
