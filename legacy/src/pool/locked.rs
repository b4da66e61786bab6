//! The lock: whoever has to be woken or told is, once the mutex is free again.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
    task::Waker,
};

use super::{
    Event, KeyPool, Shared,
    locks::{MutexGuard, lock},
    state::State,
};

impl KeyPool {
    /// The state, locked as by [`KeyPool::lock`]; to be [left](KeyPool::leave). For the way of every request, since it
    /// takes fewer instructions.
    #[inline]
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    /// Unlocks, and then tells whoever is to be told.
    #[inline]
    pub(super) fn leave(&self, state: MutexGuard<'_, State>) {
        if state.has_news() {
            self.tell(state);
        }
    }

    #[cold]
    fn tell(&self, state: MutexGuard<'_, State>) {
        drop(self.holding(state));
    }

    /// The same lock, which tells whoever is to be told when it is let go.
    #[inline]
    pub(super) fn holding<'a>(&'a self, state: MutexGuard<'a, State>) -> Locked<'a> {
        Locked { state, told: Told { shared: &self.0, news: None } }
    }

    #[inline]
    pub(super) fn lock(&self) -> Locked<'_> {
        self.holding(self.state())
    }
}

/// The state, locked. When it is let go, events are sent and waiters woken.
pub(super) struct Locked<'a> {
    state: MutexGuard<'a, State>,
    // Dropped after the guard: nobody is told anything while the mutex is held.
    told: Told<'a>,
}

/// Whom to wake and what to send.
struct Told<'a> {
    shared: &'a Shared,
    news: Option<Box<(Vec<Waker>, Vec<Event>)>>,
}

impl Deref for Locked<'_> {
    type Target = State;

    #[inline]
    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl State {
    /// Whether somebody is to be woken or told.
    #[inline]
    fn has_news(&self) -> bool {
        !(self.wakes.is_empty() && self.events.is_empty())
    }
}

impl Locked<'_> {
    #[cold]
    fn gather(&mut self) {
        let wakes = std::mem::take(&mut self.state.wakes);
        let events = std::mem::take(&mut self.state.events);
        if !events.is_empty() && self.told.shared.events.receiver_count() == 0 {
            self.state.watched = false;
            self.state.tells_leases = false;
        }
        self.told.news = Some(Box::new((wakes, events)));
    }
}

impl Drop for Locked<'_> {
    #[inline]
    fn drop(&mut self) {
        if self.state.has_news() {
            self.gather();
        }
    }
}

impl Drop for Told<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(news) = self.news.take() {
            self.tell(*news);
        }
    }
}

impl Told<'_> {
    #[cold]
    fn tell(&self, (wakes, events): (Vec<Waker>, Vec<Event>)) {
        for event in events {
            super::trace::tell(&event);
            // Nobody listening is no error.
            let _ = self.shared.events.send(Arc::new(event));
        }
        for waker in wakes {
            waker.wake();
        }
    }
}
