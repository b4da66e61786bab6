//! Errors in the middle of a stream: an event named `error`, an object with an `error` in it, or a raw JSON object
//! behind the last event.
//!
//! Only an `error` of the object itself counts, or of the `response` in it, and that it calls itself one where its event has no
//! name (by its `type`, as `OpenAI`'s do, or as `object`, as vLLM's do); one deeper inside (the arguments of a tool call, say) is text of the
//! model, and nobody must be able to talk a key into a rest. That asks for the depth at which the word stands, and
//! counting brackets costs more than forwarding them. So brackets are counted only where it matters: in a chunk that
//! holds the word at all, and in an event that stands across two chunks. The other chunks cost one search.

use std::sync::LazyLock;

use memchr::{memchr2_iter, memmem::Finder, memrchr_iter};

use super::{
    balance::{Balance, run_of_string},
    first_event::Framing,
};

/// The most of an error that is kept.
const LARGEST: usize = 4 << 10;
const WORD: &[u8] = b"error";
/// In which an `error` counts, too.
const RESPONSE: &[u8] = b"response";
/// What calls itself by them what it is.
const KINDS: [&[u8]; 2] = [b"type", b"object"];
const NAMED_ERROR: &[u8] = b"event:error";
/// Of `OpenAI`'s responses: the response in it says why.
const NAMED_FAILED: &[u8] = b"event:response.failed";

static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(WORD));

/// Watches a stream for errors.
pub(super) struct StreamWatch {
    /// How deep the fields of an item stand: 1, in the array form 2.
    fields_at: u32,
    array: bool,
    /// At the beginning of an event.
    fresh: bool,
    depth: u32,
    string: Text,
    after: After,
    line: Line,
    /// How much of one of the names this line held so far, and of which; `MISSED` when it is another line.
    name: usize,
    wanted: &'static [u8],
    /// This event calls itself an error.
    named: bool,
    /// It has another name, which says what it is.
    titled: bool,
    /// In the response of this item.
    within: bool,
    kept: Option<Box<Kept>>,
    found: Option<Found>,
}

/// An error that was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The object, or the `error` in it wrapped as an object of its own; perhaps cut short.
    pub(super) data: Vec<u8>,
    /// The event called itself an error.
    pub(super) named: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Text {
    Outside,
    /// In a string, of whose text this much was the word so far, and which; `MISSED` when it is another.
    Inside(&'static [u8], usize),
    /// Behind its backslash.
    Escaped,
}

/// What stands directly in front, among an item's fields.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Else,
    /// This string.
    Word(&'static [u8]),
    /// And its colon: a value follows.
    Colon(&'static [u8]),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Empty,
    Begun,
    /// Ended by a CR; a LF belongs to it. Whether it was empty.
    Cr {
        empty: bool,
    },
}

struct Kept {
    balance: Balance,
    data: Vec<u8>,
    /// The whole object is kept, not only its `error`.
    whole: bool,
    /// Larger than what is kept.
    cut: bool,
}

const MISSED: usize = usize::MAX;
const WRAP: &[u8] = b"{\"type\":\"error\",\"error\":";

impl StreamWatch {
    pub(super) fn new(framing: Framing) -> Self {
        let array = framing == Framing::Array;
        Self {
            fields_at: if array { 2 } else { 1 },
            array,
            fresh: true,
            depth: 0,
            string: Text::Outside,
            after: After::Else,
            line: Line::Empty,
            name: 0,
            wanted: NAMED_ERROR,
            named: false,
            titled: false,
            within: false,
            kept: None,
            found: None,
        }
    }

    /// Looks at the next bytes of the stream.
    pub(super) fn see(&mut self, bytes: &[u8]) {
        if self.array {
            self.track(bytes, false);
            return;
        }
        let mut rest = bytes;
        if !self.fresh || self.line != Line::Empty {
            rest = &rest[self.track(rest, true)..];
        }
        if rest.is_empty() {
        } else if FINDER.find(rest).is_some() {
            self.track(rest, false);
        } else {
            let unfinished = &rest[behind_last_event(rest)..];
            self.track(unfinished, false);
        }
    }

    /// The first error that was found since the last call.
    pub(super) fn take(&mut self) -> Option<Found> {
        self.found.take()
    }

    /// Whether one was found since that call, or has begun.
    pub(super) fn sees_error(&self) -> bool {
        self.found.is_some() || self.kept.is_some()
    }

    /// Nothing more comes: an error that was cut off counts too.
    pub(super) fn finish(&mut self) {
        if let Some(kept) = self.kept.take() {
            self.keep(*kept);
        }
    }

    /// Counts brackets. Returns how many bytes it looked at: all, or with `one_event` those up to an event's end.
    fn track(&mut self, bytes: &[u8], one_event: bool) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            if self.kept.is_some() {
                at += self.go_on_keeping(&bytes[at..]);
                continue;
            }
            if self.string != Text::Outside {
                at += self.in_string(&bytes[at..]);
                continue;
            }
            let byte = bytes[at];
            if !self.array && self.line_break(byte) {
                at += 1;
                if one_event && self.fresh && self.line == Line::Empty {
                    return at;
                }
                continue;
            }
            at += self.structure(byte, &bytes[at..]);
        }
        at
    }

    /// Follows lines: whether this byte ends one.
    fn line_break(&mut self, byte: u8) -> bool {
        let empty = match (self.line, byte) {
            (Line::Cr { empty }, b'\n') => {
                self.line = Line::Empty;
                self.fresh = empty || self.fresh;
                return true;
            }
            (Line::Empty | Line::Cr { .. }, b'\n' | b'\r') => true,
            (Line::Begun, b'\n' | b'\r') => false,
            _ => {
                if self.line != Line::Begun {
                    (self.line, self.name) = (Line::Begun, 0);
                }
                self.fresh = false;
                self.follow_name(byte);
                return false;
            }
        };
        self.line = if byte == b'\r' { Line::Cr { empty } } else { Line::Empty };
        if empty {
            if self.named && self.found.is_none() {
                self.found = Some(Found { data: Vec::new(), named: true });
            }
            (self.fresh, self.depth, self.after) = (true, 0, After::Else);
            (self.named, self.titled, self.within) = (false, false, false);
        } else if self.name == self.wanted.len() {
            (self.named, self.titled) = (self.wanted == NAMED_ERROR, false);
        }
        true
    }

    fn follow_name(&mut self, byte: u8) {
        // A BOM may stand in front of the first line, a space behind the colon.
        if self.name == MISSED || (self.name == 0 && !byte.is_ascii()) || (self.name == 6 && byte == b' ') {
            return;
        }
        if self.name == 6 {
            self.wanted = if byte == NAMED_FAILED[6] { NAMED_FAILED } else { NAMED_ERROR };
        }
        self.name = if self.wanted.get(self.name) == Some(&byte) { self.name + 1 } else { MISSED };
        self.titled |= self.name == 6;
    }

    fn structure(&mut self, byte: u8, rest: &[u8]) -> usize {
        let after = std::mem::replace(&mut self.after, After::Else);
        match byte {
            b'{' if self.named && self.depth + 1 == self.fields_at => return self.begin_keeping(&[], rest),
            b'{' | b'"' | b'[' if after == After::Colon(WORD) => return self.begin_keeping(WRAP, rest),
            b'"' => {
                let of_it = self.depth == self.fields_at || (self.within && self.depth == self.fields_at + 1);
                self.string = Text::Inside(WORD, if of_it { 0 } else { MISSED });
                // Of a value nothing else counts than that it calls the item an error.
                if let After::Colon(kind) = after {
                    self.after = After::Colon(kind);
                }
            }
            b'{' | b'[' => {
                let of_it = self.depth == self.fields_at && !self.titled;
                self.within |= byte == b'{' && of_it && after == After::Colon(RESPONSE);
                self.depth = self.depth.saturating_add(1);
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.within &= self.depth > self.fields_at;
            }
            b':' => {
                if let After::Word(word) = after {
                    self.after = After::Colon(word);
                }
            }
            _ if byte.is_ascii_whitespace() => self.after = after,
            _ => {}
        }
        1
    }

    fn in_string(&mut self, bytes: &[u8]) -> usize {
        let Text::Inside(mut word, mut length) = self.string else {
            self.string = Text::Inside(WORD, MISSED);
            return 1;
        };
        let run = run_of_string(bytes);
        if length == 0
            && let Some(first) = bytes[..run].first()
        {
            let words = [WORD, RESPONSE].into_iter().chain(KINDS);
            word = words.into_iter().find(|word| word[0] == *first).unwrap_or(WORD);
        }
        length = if length != MISSED && word[length..].starts_with(&bytes[..run]) { length + run } else { MISSED };
        match bytes.get(run) {
            None => {
                self.string = Text::Inside(word, length);
                return run;
            }
            Some(b'\\') => (self.string, self.after) = (Text::Escaped, After::Else),
            // No string of JSON goes over a line's end: it broke off, and the line's end counts.
            Some(b'\n') => {
                (self.string, self.after) = (Text::Outside, After::Else);
                return run;
            }
            Some(_) => {
                self.string = Text::Outside;
                let said = (length == word.len()).then_some(word);
                match (std::mem::replace(&mut self.after, After::Else), said) {
                    (After::Colon(kind), Some(WORD)) if self.calls_itself_by(kind) => {
                        return run + 1 + self.begin_keeping_from(kind, &bytes[run + 1..]);
                    }
                    (After::Colon(_), _) | (_, None) => {}
                    (_, Some(word)) => self.after = After::Word(word),
                }
            }
        }
        run + 1
    }

    /// Whether what this stands in front of says what the item is: of an event with a name that does.
    fn calls_itself_by(&self, kind: &[u8]) -> bool {
        KINDS.contains(&kind) && self.depth == self.fields_at && !self.titled
    }

    /// The rest of an item that calls itself an error, behind where it does.
    fn begin_keeping_from(&mut self, kind: &[u8], rest: &[u8]) -> usize {
        let begun = [b"{\"", kind, b"\":\"error\""].concat();
        let mut balance = Balance::default();
        balance.feed(&begun);
        self.depth = self.depth.saturating_sub(1);
        self.kept = Some(Box::new(Kept { balance, data: begun, whole: true, cut: false }));
        self.go_on_keeping(rest)
    }

    fn begin_keeping(&mut self, front: &[u8], rest: &[u8]) -> usize {
        let whole = front.is_empty();
        self.kept = Some(Box::new(Kept { balance: Balance::default(), data: front.to_vec(), whole, cut: false }));
        self.go_on_keeping(rest)
    }

    fn go_on_keeping(&mut self, bytes: &[u8]) -> usize {
        let Some(mut kept) = self.kept.take() else { return 0 };
        let end = kept.balance.feed(bytes);
        let part = &bytes[..end.unwrap_or(bytes.len())];
        let room = LARGEST - kept.data.len().min(LARGEST);
        kept.data.extend_from_slice(&part[..part.len().min(room)]);
        kept.cut |= part.len() > room;
        if end.is_some() || kept.cut {
            // Behind a cut the count of brackets is lost; the event's end brings it back.
            self.depth = if kept.cut { u32::MAX / 2 } else { self.depth };
            self.keep(*kept);
        } else {
            self.kept = Some(kept);
        }
        part.len()
    }

    fn keep(&mut self, mut kept: Kept) {
        unframe(&mut kept.data);
        if !kept.whole && !kept.cut {
            kept.data.push(b'}');
        }
        self.found.get_or_insert(Found { data: kept.data, named: self.named });
    }
}

/// Takes out the `data:` of an object that stands on several lines: no string of JSON holds a line's end, so it is
/// never text.
fn unframe(data: &mut Vec<u8>) {
    let mut out = Vec::with_capacity(data.len());
    let mut from = 0;
    for at in memchr2_iter(b'\n', b'\r', data) {
        if data[at + 1..].starts_with(b"data:") {
            out.extend_from_slice(&data[from..at]);
            from = at + 1 + b"data:".len();
        }
    }
    out.extend_from_slice(&data[from..]);
    *data = out;
}

/// Where the event begins that is not finished in this chunk. Lines that end in CR alone are not looked for: then it is
/// an earlier one, which costs more and finds the same.
fn behind_last_event(bytes: &[u8]) -> usize {
    memrchr_iter(b'\n', bytes)
        .find(|&at| bytes[..at].ends_with(b"\n") || bytes[..at].ends_with(b"\n\r"))
        .map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests;
