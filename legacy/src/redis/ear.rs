//! What a server says of its own accord: that a name was written to.
//!
//! `CLIENT TRACKING … BCAST` (Redis 6, Valkey) says so whoever wrote, over the connection that calls go over: no channel is
//! needed, nor a right to one; what is said comes in order with the answers; and it is open for as long as calls are
//! answered. A server that has no such thing, or forbids it, is heard by calls alone.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use redis::{Cmd, FromRedisValue, PushInfo, PushKind, Value};
use tokio::sync::Notify;

/// One who is to hear of certain names.
#[derive(Debug)]
pub(crate) struct Ear {
    names: Vec<String>,
    /// Which of them were written to since the last look; the last: something may have been missed.
    heard: Mutex<Vec<bool>>,
    bell: Notify,
}

/// What is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    /// The name at this place was written to.
    Written(usize),
    /// The connection was lost, or the server emptied: there may be something that nobody told.
    Missed,
}

impl Ear {
    /// One who is to hear of these names.
    pub(crate) fn new(names: Vec<String>) -> Self {
        Self { heard: Mutex::new(vec![false; names.len() + 1]), names, bell: Notify::new() }
    }

    /// The next word; each is said once, however often it came.
    pub(crate) async fn next(&self) -> Word {
        loop {
            let heard = {
                let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
                let found = heard.iter_mut().position(std::mem::take);
                found.map(|at| if at == self.names.len() { Word::Missed } else { Word::Written(at) })
            };
            match heard {
                Some(word) => return word,
                None => self.bell.notified().await,
            }
        }
    }

    fn hear(&self, at: usize) {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)[at] = true;
        self.bell.notify_one();
    }
}

/// Those who listen over a link.
#[derive(Clone, Debug, Default)]
pub(super) struct Ears(Vec<Weak<Ear>>);

impl Ears {
    pub(super) fn add(&mut self, ear: &Arc<Ear>) {
        self.0.retain(|ear| ear.strong_count() > 0);
        self.0.push(Arc::downgrade(ear));
    }

    fn each(&self) -> impl Iterator<Item = Arc<Ear>> {
        self.0.iter().filter_map(Weak::upgrade)
    }

    /// What asks the server to tell; nothing where nobody listens.
    pub(super) fn ask(&self) -> Option<Cmd> {
        let mut names: Vec<String> = self.each().flat_map(|ear| ear.names.clone()).collect();
        names.sort();
        // It tells of all that begins so, and takes no two of which one begins as the other does.
        names.dedup_by(|name, before| name.starts_with(&**before));
        let mut ask = redis::cmd("CLIENT");
        ask.arg("TRACKING").arg("ON").arg("BCAST");
        for name in &names {
            ask.arg("PREFIX").arg(name);
        }
        (!names.is_empty()).then_some(ask)
    }

    /// The server said something.
    pub(super) fn hear(&self, push: PushInfo) {
        if push.kind != PushKind::Invalidate {
            return;
        }
        let Some(Value::Array(written)) = push.data.into_iter().next() else { return self.miss() };
        for name in written.into_iter().filter_map(|name| String::from_redis_value(name).ok()) {
            for ear in self.each() {
                ear.names.iter().position(|own| *own == name).into_iter().for_each(|at| ear.hear(at));
            }
        }
    }

    /// Something may have been missed.
    pub(super) fn miss(&self) {
        self.each().for_each(|ear| ear.hear(ear.names.len()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(names: &[&str]) -> PushInfo {
        let names = names.iter().map(|name| Value::BulkString(name.as_bytes().to_vec())).collect();
        PushInfo { kind: PushKind::Invalidate, data: vec![Value::Array(names)] }
    }

    #[tokio::test]
    async fn each_hears_of_its_names_alone_and_once() {
        let ear = |names: [&str; 2]| Arc::new(Ear::new(names.map(str::to_owned).to_vec()));
        let (one, other) = (ear(["{n}:r", "{n}:to:a:"]), ear(["{n}:r", "{n}:to:b:"]));
        let mut ears = Ears::default();
        assert!(ears.ask().is_none(), "nobody listens");
        ears.add(&one);
        ears.add(&other);
        let asked = String::from_utf8(ears.ask().unwrap().get_packed_command()).unwrap();
        assert_eq!(asked.matches("PREFIX").count(), 3, "no name twice: {asked}");
        ears.hear(said(&["{n}:to:a:", "{n}:to:a:more", "{n}:r"]));
        ears.hear(said(&["{n}:to:a:"]));
        assert_eq!([one.next().await, one.next().await], [Word::Written(0), Word::Written(1)]);
        assert_eq!(other.next().await, Word::Written(0));
        ears.hear(PushInfo { kind: PushKind::Invalidate, data: vec![Value::Nil] });
        assert_eq!([one.next().await, other.next().await], [Word::Missed; 2], "all is gone");
        let nothing = std::time::Duration::from_millis(20);
        assert!(tokio::time::timeout(nothing, one.next()).await.is_err());
    }
}
