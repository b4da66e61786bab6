//! Whether CSV ended inside quotes: the reader takes all that follows such a quote for one field, without a word.

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
        let quotes = Self { source, delimiter, at: At::Begin, line: 1, opened: 1, unclosed: Rc::clone(&unclosed) };
        (quotes, unclosed)
    }

    fn follow(&mut self, byte: u8) {
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
        self.line += u64::from(byte == b'\n');
    }
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.source.read(into)?;
        into[..n].iter().for_each(|byte| self.follow(*byte));
        if n == 0 && !into.is_empty() {
            self.unclosed.set((self.at == At::Quoted).then_some(self.opened));
        }
        Ok(n)
    }
}
