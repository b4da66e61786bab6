//! What becomes of a beginning that is held and must not go on as it came.

use super::{End, Flow, Reader};
use crate::{
    cooldown::cut::{Lack, lack_of},
    verdict::Verdict,
};

impl Flow {
    /// What waits of a body that is read as it is, to be changed in place.
    pub(in crate::cooldown) fn change_waiting(&mut self, change: impl FnOnce(&mut [u8])) {
        let mut waiting = Vec::with_capacity(self.out.bytes());
        while let Some(chunk) = self.out.pop() {
            waiting.extend_from_slice(&chunk);
        }
        change(&mut waiting);
        self.out.push(waiting.into());
    }

    /// What waits of a body that is read as it is lacks this, where nothing more comes.
    pub(in crate::cooldown) fn lacks(&self) -> Option<Lack> {
        lack_of(self.out.iter().map(|chunk| &chunk[..]))
    }

    /// What all of it says of its key, where that is no good.
    pub(in crate::cooldown) fn spoken(&mut self) -> Option<Verdict> {
        self.spoke.take().map(|verdict| *verdict)
    }

    /// Whether it is read as it is.
    pub(in crate::cooldown) fn is_plain(&self) -> bool {
        matches!(self.reader, Reader::Plain(_))
    }

    /// Whether it cannot be read, or not to its end.
    pub(in crate::cooldown) fn is_blind(&self) -> bool {
        match &self.reader {
            Reader::Blind => true,
            Reader::Plain(_) => false,
            Reader::Gzip(inflate) => inflate.is_broken(),
        }
    }

    /// Nothing of it goes on.
    pub(in crate::cooldown) fn withhold(&mut self) {
        self.tell_usage();
        self.out.clear();
        (self.reader, self.anew) = (Reader::Blind, false);
        (self.complete, self.end) = (true, End::Ended);
    }
}
