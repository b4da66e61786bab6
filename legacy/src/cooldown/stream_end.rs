//! How a stream ended, for whoever passes it on.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// How a stream ended: an extension of good answers that are streams.
///
/// One that turns into an error, or of which the end is missing, comes to its last byte as any other does, and so does its
/// reader.
#[derive(Clone, Default)]
pub struct StreamEnd(Arc<AtomicBool>);

impl StreamEnd {
    /// It did not end well: with an error, or without what its provider's streams end with (a reason to end, `[DONE]`,
    /// `response.completed`, `message_stop`). Known once it has ended.
    pub fn is_broken(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// It does not end well.
    pub fn spoil(&self) {
        self.0.store(true, Ordering::Release);
    }
}

impl fmt::Debug for StreamEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamEnd").field("is_broken", &self.is_broken()).finish()
    }
}
