//! What a request is called, in as little room as that takes: it is kept until the last byte of the answer is out.

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use http::HeaderValue;

/// The id of a request.
#[derive(Debug)]
pub(crate) enum RequestId {
    /// One of our own, which no other request has. It opens nothing, so it may be guessed.
    Ours(u64),
    /// The caller's.
    Theirs(Box<HeaderValue>),
}

impl RequestId {
    /// A new one.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self::Ours(NEXT.fetch_add(1, Ordering::Relaxed))
    }

    /// As a header has it.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        match self {
            Self::Ours(number) => HeaderValue::from_bytes(ours(*number).text()).ok(),
            Self::Theirs(id) => Some((**id).clone()),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours(number) => f.write_str(std::str::from_utf8(ours(*number).text()).unwrap_or_default()),
            Self::Theirs(id) => f.write_str(id.to_str().unwrap_or_default()),
        }
    }
}

fn ours(number: u64) -> Digits {
    static PROCESS: OnceLock<Digits> = OnceLock::new();
    let mut id = *PROCESS.get_or_init(|| {
        let mut bytes = [0; 8];
        let process = match getrandom::fill(&mut bytes) {
            Ok(()) => u64::from_ne_bytes(bytes) >> 16,
            Err(_) => std::process::id().into(),
        };
        let mut id = Digits { text: [0; 33], length: 0 };
        id.put(process, 12);
        id.text[id.length] = b'-';
        id.length += 1;
        id
    });
    id.put(number, 1);
    id
}

/// Hexadecimal digits, written in place: every request has an id.
#[derive(Clone, Copy)]
struct Digits {
    text: [u8; 33],
    length: usize,
}

impl Digits {
    /// A number of at least so many digits.
    fn put(&mut self, number: u64, least: usize) {
        let needed = (u64::BITS - number.leading_zeros()).div_ceil(4) as usize;
        for place in (0..needed.max(least)).rev() {
            self.text[self.length] = b"0123456789abcdef"[(number >> (4 * place)) as usize & 15];
            self.length += 1;
        }
    }

    fn text(&self) -> &[u8] {
        &self.text[..self.length]
    }
}
