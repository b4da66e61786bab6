//! Everything that looks at a body's readable bytes as they pass. It changes nothing.

use super::{
    first_event::{FirstEvent, Framing},
    judging::LARGEST_WHOLE,
    last_word::{Ending, LastWord},
    stream_end::StreamEnd,
    stream_watch::StreamWatch,
    teller::Teller,
    unsaid::Unsaid,
    usage_scan::UsageScan,
};

/// The most of an error's body that is judged.
pub(super) const LARGEST_ERROR: usize = 64 << 10;

/// Looks at a body's readable bytes.
#[derive(Default)]
pub(super) struct Sight {
    /// Of good answers that may tell their usage.
    pub(super) usage: Option<UsageScan>,
    /// Of streams.
    pub(super) stream: Option<Box<Stream>>,
    /// Of good answers, where one may speak against its key: all of it, as long as it is small.
    pub(super) whole: Option<Vec<u8>>,
    /// It was made for this request: no file that somebody stored.
    pub(super) makes: bool,
    /// Of errors: what is judged.
    pub(super) error: Option<Box<ErrorText>>,
}

/// The text of an error, as much of it as is judged.
#[derive(Default)]
pub(super) struct ErrorText {
    pub(super) text: Vec<u8>,
    /// There is more of it.
    pub(super) cut: bool,
}

/// Looks at a stream: how it begins, and whether it turns into an error.
pub(super) struct Stream {
    /// Until the beginning was judged.
    pub(super) first: Option<FirstEvent>,
    /// Of streams; what is none ends with its beginning.
    pub(super) watch: Option<StreamWatch>,
    /// Of those that say that they are at their end.
    pub(super) last_word: Option<LastWord>,
    /// Of those that tell their usage last.
    pub(super) unsaid: Option<Unsaid>,
    /// Where it is said that it did not end well.
    pub(super) end: StreamEnd,
}

impl Stream {
    /// `ending`: how it says that it is at its end.
    pub(super) fn new(framing: Framing, ending: Option<Ending>) -> Box<Self> {
        let watch = (framing != Framing::Object).then(|| StreamWatch::new(framing));
        let ending = ending.filter(|_| watch.is_some());
        let unsaid = ending.filter(|ending| *ending != Ending::Reason).map(|_| Unsaid::default());
        let first = Some(FirstEvent::new(framing));
        Box::new(Self { first, watch, last_word: ending.map(LastWord::new), unsaid, end: StreamEnd::default() })
    }
}

impl Sight {
    /// Of a good answer that may tell its usage.
    pub(super) fn of_good(teller: &Teller, makes: bool) -> Self {
        let whole = teller.pool().provider().alarm().map(|_| Vec::new());
        let usage = teller.counts_usage().then(|| UsageScan::new(false));
        Self { usage, whole, makes, ..Self::default() }
    }

    /// Whether an error of a stream, or a part of one, was in what came last.
    #[inline]
    pub(super) fn errs(&self) -> bool {
        self.stream.as_ref().and_then(|stream| stream.watch.as_ref()).is_some_and(StreamWatch::sees_error)
    }

    pub(super) fn see(&mut self, bytes: &[u8]) {
        if let Some(usage) = &mut self.usage {
            usage.see(bytes);
        }
        if let Some(whole) = &mut self.whole {
            if whole.len() + bytes.len() <= LARGEST_WHOLE {
                whole.extend_from_slice(bytes);
            } else {
                self.whole = None;
            }
        }
        if let Some(stream) = &mut self.stream {
            if let Some(first) = &mut stream.first {
                first.see(bytes);
            }
            if let Some(watch) = &mut stream.watch {
                watch.see(bytes);
            }
            if let Some(word) = &mut stream.last_word {
                word.see(bytes);
            }
            if let (Some(unsaid), Some(usage)) = (&mut stream.unsaid, &mut self.usage) {
                if usage.tells() { unsaid.told(bytes) } else { unsaid.see(bytes) }
            }
        }
        if let Some(error) = &mut self.error {
            let room = LARGEST_ERROR - error.text.len();
            error.text.extend_from_slice(&bytes[..bytes.len().min(room)]);
            error.cut |= bytes.len() > room;
        }
    }
}
