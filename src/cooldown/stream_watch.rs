//! Errors in the middle of a stream: an event named `error`, an object with an `error` in it, or a raw JSON object
//! behind the last event.
//!
//! Only an `error` of the object itself counts; one inside of it (the arguments of a tool call, say) is text of the
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
const NAMED_ERROR: &[u8] = b"event:error";

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
    /// How much of `event:error` this line held so far; `MISSED` when it is another line.
    name: usize,
    /// This event calls itself an error.
    named: bool,
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
    /// In a string, of whose text this much was the word so far; `MISSED` when it is another.
    Inside(usize),
    /// Behind its backslash.
    Escaped,
}

/// What stands directly in front, among an item's fields.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Else,
    /// The string `"error"`.
    Word,
    /// And its colon: a value follows.
    Colon,
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
            named: false,
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
            (self.fresh, self.depth, self.after, self.named) = (true, 0, After::Else, false);
        } else if self.name == NAMED_ERROR.len() {
            self.named = true;
        }
        true
    }

    fn follow_name(&mut self, byte: u8) {
        // A BOM may stand in front of the first line, a space behind the colon.
        if self.name == MISSED || (self.name == 0 && !byte.is_ascii()) || (self.name == 6 && byte == b' ') {
            return;
        }
        self.name = if NAMED_ERROR.get(self.name) == Some(&byte) { self.name + 1 } else { MISSED };
    }

    fn structure(&mut self, byte: u8, rest: &[u8]) -> usize {
        let after = std::mem::replace(&mut self.after, After::Else);
        match byte {
            b'{' if self.named && self.depth + 1 == self.fields_at => return self.begin_keeping(true, rest),
            b'{' | b'"' | b'[' if after == After::Colon => return self.begin_keeping(false, rest),
            b'"' => {
                self.string = Text::Inside(if self.depth == self.fields_at { 0 } else { MISSED });
            }
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b':' if after == After::Word => self.after = After::Colon,
            _ if byte.is_ascii_whitespace() => self.after = after,
            _ => {}
        }
        1
    }

    fn in_string(&mut self, bytes: &[u8]) -> usize {
        let Text::Inside(word) = self.string else {
            self.string = Text::Inside(MISSED);
            return 1;
        };
        let run = run_of_string(bytes);
        let word = if word != MISSED && WORD[word..].starts_with(&bytes[..run]) { word + run } else { MISSED };
        match bytes.get(run) {
            None => {
                self.string = Text::Inside(word);
                return run;
            }
            Some(b'\\') => self.string = Text::Escaped,
            // No string of JSON goes over a line's end: it broke off, and the line's end counts.
            Some(b'\n') => {
                self.string = Text::Outside;
                return run;
            }
            Some(_) => {
                self.string = Text::Outside;
                self.after = if word == WORD.len() { After::Word } else { After::Else };
            }
        }
        run + 1
    }

    fn begin_keeping(&mut self, whole: bool, rest: &[u8]) -> usize {
        let data = if whole { Vec::new() } else { WRAP.to_vec() };
        self.kept = Some(Box::new(Kept { balance: Balance::default(), data, whole, cut: false }));
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
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The first error, however the text is cut.
    fn found(framing: Framing, text: &str) -> Option<String> {
        let of = |chunks: &mut dyn Iterator<Item = &[u8]>| {
            let mut watch = StreamWatch::new(framing);
            chunks.for_each(|chunk| watch.see(chunk));
            watch.finish();
            let found = watch.take()?;
            Some(format!("{}{}", if found.named { "named " } else { "" }, String::from_utf8(found.data).unwrap()))
        };
        let bytes = text.as_bytes();
        let whole = of(&mut std::iter::once(bytes));
        for size in [1, 2, 3, 5, 11] {
            assert_eq!(of(&mut bytes.chunks(size)), whole, "chunks of {size}");
        }
        for cut in 0..bytes.len() {
            assert_eq!(of(&mut [&bytes[..cut], &bytes[cut..]].into_iter()), whole, "cut at {cut}");
        }
        whole
    }

    proptest! {
        #[test]
        fn no_cut_hides_or_makes_an_error(
            tokens in prop::collection::vec(prop::sample::select(vec![
                "data: ", "event: error", "event:x", "\n", "\r\n", "\r", "\n\n", "\r\n\r\n", "{", "}", "[", "]", "\"error\"",
                "\"", ":", " ", ",", "\\", "\\\"", "error", "null", "\"a\":{\"b\":1}", "{\"error\":{\"code\":1}}", "\u{feff}",
            ]), 0..24),
            cuts in prop::collection::vec(0_usize..200, 0..6),
            array in any::<bool>(),
        ) {
            let text = tokens.concat();
            let framing = if array { Framing::Array } else { Framing::Events };
            let of = |chunks: &mut dyn Iterator<Item = &[u8]>| {
                let mut watch = StreamWatch::new(framing);
                chunks.for_each(|chunk| watch.see(chunk));
                watch.finish();
                watch.take()
            };
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let by_bytes = of(&mut text.as_bytes().chunks(1));
            prop_assert_eq!(of(&mut std::iter::once(text.as_bytes())), of(&mut text.as_bytes().chunks(1)));
            prop_assert_eq!(of(&mut cuts.windows(2).map(|cut| &text.as_bytes()[cut[0]..cut[1]])), by_bytes);
        }
    }

    const GOOD: &str = "data: {\"candidates\":[{\"text\":\"an \\\"error\\\": {\"}],\"error\":null}\r\n\r\n";

    #[test]
    fn a_raw_tail() {
        let text = format!("{GOOD}{GOOD}{{\n  \"error\": {{\n    \"code\": 503\n  }}\n}}\n");
        assert_eq!(
            found(Framing::Events, &text).as_deref(),
            Some("{\"type\":\"error\",\"error\":{\n    \"code\": 503\n  }}")
        );
        assert_eq!(found(Framing::Events, &GOOD.repeat(3)), None);
    }

    #[test]
    fn events_with_an_error() {
        for eol in ["\n", "\r\n", "\r"] {
            let text = format!("data: {{}}{eol}{eol}data: {{\"choices\":[],\"error\" : {{\"code\":502}}}}{eol}{eol}");
            assert_eq!(found(Framing::Events, &text).as_deref(), Some("{\"type\":\"error\",\"error\":{\"code\":502}}"));
            let text = format!("event: error{eol}data: {{\"message\":{eol}data: \"x\"}}{eol}{eol}");
            let data = found(Framing::Events, &text).unwrap().replace(['\r', '\n', ' '], "");
            assert_eq!(data, "named{\"message\":\"x\"}", "{eol:?}");
            let text = format!("data: {{}}{eol}{eol}event:error{eol}data: went away{eol}{eol}");
            assert_eq!(found(Framing::Events, &text).as_deref(), Some("named "), "{eol:?}");
        }
        assert_eq!(
            found(Framing::Events, "data: {\"error\":\"gone\"}\n\n").as_deref(),
            Some("{\"type\":\"error\",\"error\":\"gone\"}")
        );
    }

    #[test]
    fn what_a_model_writes_is_no_error() {
        for text in [
            "data: {\"functionCall\":{\"args\":{\"error\":{\"code\":429}}}}\n\n",
            "data: {\"text\":\"event: error\"}\n\ndata: {\"a\":1}\n\n",
            "event: message\ndata: {\"type\":\"error\",\"a\":{}}\n\n",
            "event: errors\ndata: {\"a\":{}}\n\n",
            ": error {\n\ndata: {\"x\":{\"error\":{}}}\n\n",
            "data: {\"errors\":{},\"error\":0,\"error\":null,\"error\":false}\n\n",
        ] {
            assert_eq!(found(Framing::Events, text), None, "{text}");
        }
    }

    #[test]
    fn the_array_form() {
        let text = "[{\"a\":{\"error\":{\"no\":1}}}\n,\r\n{\"error\":{\"code\":503}}\n]";
        assert_eq!(found(Framing::Array, text).as_deref(), Some("{\"type\":\"error\",\"error\":{\"code\":503}}"));
        assert_eq!(
            found(Framing::Array, "[{\"error\":{\"code\":").as_deref(),
            Some("{\"type\":\"error\",\"error\":{\"code\":}")
        );
    }

    #[test]
    fn an_error_without_end_is_cut() {
        let text = format!("data: {{\"error\":{{\"message\":\"{}", "x".repeat(3 * LARGEST));
        let mut watch = StreamWatch::new(Framing::Events);
        text.as_bytes().chunks(1000).for_each(|chunk| watch.see(chunk));
        assert_eq!(watch.take().unwrap().data.len(), LARGEST);
        watch.see(b"\n\ndata: {\"error\":{}}\n\n");
    }
}
