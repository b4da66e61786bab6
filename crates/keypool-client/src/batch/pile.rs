//! Tasks that wait aside, and how much room they take.

use std::{
    collections::{BTreeMap, VecDeque},
    ops::Deref,
    time::Duration,
};

use super::{work::Work, written::Json};

/// What a field of a task takes beside its text.
const EACH: usize = 64;
/// What a task takes beside its texts: its pieces, and the room between them that nothing fits into, as it was measured.
const OWN: usize = 512;

/// How much room a task takes while it waits, about.
pub(super) fn room(work: &Work) -> usize {
    let text = |json: &Json| json.exact().map_or(0, str::len) + text_of(json);
    let fields: usize = work.fields.iter().map(|(name, value)| EACH + name.len() + text(value)).sum();
    size_of::<Work>() + OWN + work.body.len() + work.path.len() + fields
}

fn text_of(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    match value {
        Value::String(text) => EACH + text.len(),
        Value::Array(items) => items.iter().map(text_of).sum::<usize>() + EACH,
        Value::Object(fields) => fields.iter().map(|(name, value)| EACH + name.len() + text_of(value)).sum(),
        _ => EACH / 2,
    }
}

/// Tasks in a row. Reads as what it holds. Each has a place of its own: a row of tens of thousands that grows is there twice.
#[derive(Debug, Default)]
pub(super) struct Pile {
    tasks: VecDeque<Box<Work>>,
    room: usize,
}

impl Pile {
    pub(super) fn room(&self) -> usize {
        self.room
    }

    /// Behind all others, or before them.
    pub(super) fn put(&mut self, work: Box<Work>, first: bool) {
        self.room += room(&work);
        if first { self.tasks.push_front(work) } else { self.tasks.push_back(work) }
    }

    pub(super) fn remove(&mut self, at: usize) -> Option<Box<Work>> {
        let work = self.tasks.remove(at)?;
        self.room -= room(&work);
        if self.tasks.is_empty() {
            // The room of what once were many.
            self.tasks = VecDeque::new();
        }
        Some(work)
    }

    /// All of which this is so go behind those of another one.
    pub(super) fn part(&mut self, to: &mut Self, is: impl Fn(&Work) -> bool) {
        for work in std::mem::take(self).tasks {
            let pile = if is(&work) { &mut *to } else { &mut *self };
            pile.put(work, false);
        }
    }

    /// All of them.
    pub(super) fn into_tasks(self) -> VecDeque<Box<Work>> {
        self.tasks
    }
}

impl Deref for Pile {
    type Target = VecDeque<Box<Work>>;

    fn deref(&self) -> &VecDeque<Box<Work>> {
        &self.tasks
    }
}

/// Tasks that pause: since the run began, until when.
#[derive(Debug, Default)]
pub(super) struct Later {
    tasks: BTreeMap<(Duration, u64), Box<Work>>,
    room: usize,
}

impl Later {
    pub(super) fn room(&self) -> usize {
        self.room
    }

    pub(super) fn len(&self) -> usize {
        self.tasks.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    pub(super) fn put(&mut self, work: Box<Work>, at: Duration) {
        self.room += room(&work);
        self.tasks.insert((at, work.index), work);
    }

    /// When the first one is due.
    pub(super) fn next(&self) -> Option<Duration> {
        self.tasks.first_key_value().map(|((at, _), _)| *at)
    }

    /// One that is due.
    pub(super) fn due(&mut self, now: Duration) -> Option<Box<Work>> {
        let entry = self.tasks.first_entry().filter(|entry| entry.key().0 <= now)?;
        let work = entry.remove();
        self.room -= room(&work);
        Some(work)
    }
}
