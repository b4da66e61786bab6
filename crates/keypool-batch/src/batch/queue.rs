//! A bounded queue of tasks that wait for a worker. A worker may put a task back.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::worker::Job;

/// Maximum number of bytes of waiting prompts. A longer prompt waits alone.
const MAX_BYTES: usize = 16 << 20;
/// Maximum number of waiting tasks.
const MAX_TASKS: usize = 100_000;

#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    /// Notified when a task is added or the queue is closed.
    changed: Notify,
    /// Notified when a task is taken.
    room: Notify,
    /// Notified when the queue is drained.
    over: Notify,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Job>,
    bytes: usize,
    /// Number of tasks that are taken, and neither done nor put back.
    taken: usize,
    /// Whether no more tasks will be added.
    closed: bool,
}

impl State {
    fn is_over(&self) -> bool {
        self.closed && self.taken == 0 && self.waiting.is_empty()
    }
}

impl Queue {
    pub(super) fn new() -> Self {
        let state = State { waiting: VecDeque::new(), bytes: 0, taken: 0, closed: false };
        Self { state: Mutex::new(state), changed: Notify::new(), room: Notify::new(), over: Notify::new() }
    }

    /// Adds a task, once there is room.
    pub(super) async fn push(&self, task: Job) {
        let mut task = Some(task);
        loop {
            let room = self.room.notified();
            {
                let mut state = self.lock();
                let size = task.as_ref().map_or(0, Job::size);
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

    /// Closes the queue: no more tasks will be added.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_waiters();
        self.over.notify_waiters();
    }

    /// Returns the next task, or `None` when all are done.
    pub(super) async fn next(&self) -> Option<Job> {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on, no notification is missed.
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

    /// Waits until the queue is closed and all tasks are done.
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

    /// Puts a taken task back at the front.
    pub(super) fn put_back(&self, task: Job) {
        let mut state = self.lock();
        state.taken -= 1;
        state.bytes += task.size();
        state.waiting.push_front(task);
        drop(state);
        self.changed.notify_one();
    }

    /// Marks a taken task as done.
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

    /// Returns the number of waiting tasks.
    pub(super) fn len(&self) -> usize {
        self.lock().waiting.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
