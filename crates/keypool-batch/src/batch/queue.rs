//! The tasks that wait for a worker: a bounded queue, to which a worker may return a task.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// At most this many bytes of prompts wait; a longer one waits alone.
const MAX_BYTES: usize = 16 << 20;
/// At most this many tasks wait.
const MAX_TASKS: usize = 100_000;

/// Something with a size in bytes.
pub(super) trait Size {
    fn size(&self) -> usize;
}

#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    /// A task came, or no more will.
    changed: Notify,
    /// A task went.
    room: Notify,
    /// No task is left.
    over: Notify,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    bytes: usize,
    /// Taken, and neither done nor returned.
    taken: usize,
    /// No more will be put in.
    closed: bool,
}

impl<T> State<T> {
    fn is_over(&self) -> bool {
        self.closed && self.taken == 0 && self.waiting.is_empty()
    }
}

impl<T: Size> Queue<T> {
    pub(super) fn new() -> Self {
        let state = State { waiting: VecDeque::new(), bytes: 0, taken: 0, closed: false };
        Self { state: Mutex::new(state), changed: Notify::new(), room: Notify::new(), over: Notify::new() }
    }

    /// Adds a task when there is room.
    pub(super) async fn push(&self, task: T) {
        let mut task = Some(task);
        loop {
            let room = self.room.notified();
            {
                let mut state = self.lock();
                let size = task.as_ref().map_or(0, Size::size);
                let fits = state.bytes + size <= MAX_BYTES && state.waiting.len() < MAX_TASKS;
                if fits || state.waiting.is_empty() {
                    state.bytes += size;
                    state.waiting.extend(task.take());
                }
            }
            if task.is_none() {
                return self.changed.notify_one();
            }
            room.await;
        }
    }

    /// No more tasks will come.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_waiters();
        self.over.notify_waiters();
    }

    /// The next task; none when all are done.
    pub(super) async fn next(&self) -> Option<T> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From now on no change is missed.
            changed.as_mut().enable();
            {
                let mut state = self.lock();
                if let Some(task) = state.waiting.pop_front() {
                    state.taken += 1;
                    state.bytes -= task.size();
                    let more = !state.waiting.is_empty();
                    drop(state);
                    self.room.notify_one();
                    if more {
                        self.changed.notify_one();
                    }
                    return Some(task);
                }
                if state.is_over() {
                    return None;
                }
            }
            changed.await;
        }
    }

    /// Ends when no task is left and none will come.
    pub(super) async fn drained(&self) {
        loop {
            let mut over = std::pin::pin!(self.over.notified());
            over.as_mut().enable();
            if self.lock().is_over() {
                return;
            }
            over.await;
        }
    }

    /// A task that was taken goes back, before all others.
    pub(super) fn put_back(&self, task: T) {
        let mut state = self.lock();
        state.taken -= 1;
        state.bytes += task.size();
        state.waiting.push_front(task);
        drop(state);
        self.changed.notify_one();
    }

    /// A task that was taken is done.
    pub(super) fn done(&self) {
        let mut state = self.lock();
        state.taken -= 1;
        let is_end = state.is_over();
        drop(state);
        if is_end {
            self.changed.notify_waiters();
            self.over.notify_waiters();
        }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
