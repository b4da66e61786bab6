//! Whether CSV ended inside quotes: the reader takes all that follows such a quote for one field, without a word. And lines that
//! end in two letters: the reader counts the second of them to the next row, whose line would be that of this one.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

/// The line of the quote that was open when the source ended.
pub(super) type OpenQuote = Rc<Cell<Option<u64>>>;

/// Reads what is given, and follows its quotes as the reader of CSV does.
pub(super) struct Quotes<R> {
    source: R,
    delimiter: u8,
    at: At,
    /// The last byte ended a line by itself, or is the first of two that do.
    returned: bool,
    line: u64,
    opened: u64,
    unclosed: OpenQuote,
}

#[derive(Clone, Copy, PartialEq)]
enum At {
    /// Where a field begins; only there does a quote open one.
    Begin,
    Bare,
    Quoted,
    /// Behind a quote within quotes: it ends them, or another one follows and both are one letter.
    Closing,
}

impl<R: Read> Quotes<R> {
    pub(super) fn new(source: R, delimiter: u8) -> (Self, OpenQuote) {
        let unclosed = OpenQuote::default();
        let quotes = Self {
            source,
            delimiter,
            at: At::Begin,
            returned: false,
            line: 1,
            opened: 1,
            unclosed: Rc::clone(&unclosed),
        };
        (quotes, unclosed)
    }

    /// What the reader is given of a byte.
    fn follow(&mut self, byte: u8) -> Option<u8> {
        let outside = self.at != At::Quoted;
        self.at = match (self.at, byte) {
            (At::Begin, b'"') => {
                self.opened = self.line;
                At::Quoted
            }
            (At::Quoted, b'"') => At::Closing,
            (At::Quoted, _) | (At::Closing, b'"') => At::Quoted,
            (_, b'\n' | b'\r') => At::Begin,
            (_, byte) if byte == self.delimiter => At::Begin,
            _ => At::Bare,
        };
        let second = std::mem::replace(&mut self.returned, outside && byte == b'\r') && byte == b'\n';
        self.line += u64::from(if outside { !second && matches!(byte, b'\n' | b'\r') } else { byte == b'\n' });
        match byte {
            b'\n' if second => None,
            b'\r' if outside => Some(b'\n'),
            byte => Some(byte),
        }
    }
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let n = self.source.read(into)?;
            let mut kept = 0;
            for at in 0..n {
                if let Some(byte) = self.follow(into[at]) {
                    into[kept] = byte;
                    kept += 1;
                }
            }
            if n == 0 && !into.is_empty() {
                self.unclosed.set((self.at == At::Quoted).then_some(self.opened));
            }
            // Nothing at all is the end.
            if kept > 0 || n == 0 {
                return Ok(kept);
            }
        }
    }
}
