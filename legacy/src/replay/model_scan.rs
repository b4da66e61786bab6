//! Finds the top-level `"model"` of a JSON body while its chunks stream past, and counts the items of a top-level array.

use std::{ops::Range, sync::Arc};

use memchr::memchr2;

use super::json_text::JsonText;

/// A reader of JSON that keeps nothing but its place, and the name of the model.
///
/// It follows strings, escapes and depth, over any chunking, and never copies the body. The **first** top-level
/// `"model"` counts, so that a request can go out before its end has come; a second one is
/// [reported](ModelScan::named_twice), since parsers disagree on which holds. It is lenient with what does not matter
/// (numbers, literals); where the text is no JSON object at all, it stops and knows no model.
#[derive(Debug)]
pub(super) struct ModelScan {
    at: At,
    /// Brackets that are open.
    depth: u32,
    /// Bytes of earlier chunks.
    seen: u64,
    text: JsonText,
    key: Key,
    wants_model: bool,
    model: Model,
    counted: Counted,
}

/// Where the reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// In front of the text.
    Start,
    /// At the top level, where a key or the end is due.
    KeyDue,
    /// In a top-level key.
    KeyText,
    /// Behind a top-level key.
    Colon,
    /// Behind the colon.
    Value,
    /// In the model's string.
    ModelText,
    /// In a string that does not matter; `escaped`: behind its backslash.
    Text { escaped: bool },
    /// In an array or object of the top level.
    Nested,
    /// At the top level, in or behind a value.
    Behind,
    /// Behind the text, or where it ceased to be JSON.
    Done,
}

/// What the top-level key that was read last means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Model,
    Counted,
    Other,
}

#[derive(Debug, Default)]
struct Model {
    /// Where its bytes begin in the body.
    start: u64,
    /// How often a top-level member has this name.
    named: u32,
    name: Option<Arc<str>>,
    place: Option<Range<u64>>,
}

#[derive(Debug, Default)]
struct Counted {
    name: Option<&'static str>,
    items: u32,
    /// The reader is within the array.
    within: bool,
    /// An item began since the last comma.
    begun: bool,
    done: bool,
}

impl ModelScan {
    /// Looks for the model, or only for the items of the array `counted`, or for both.
    pub(super) fn new(wants_model: bool, counted: Option<&'static str>) -> Self {
        Self {
            at: At::Start,
            depth: 0,
            seen: 0,
            text: JsonText::default(),
            key: Key::Other,
            wants_model,
            model: Model::default(),
            counted: Counted { name: counted, ..Counted::default() },
        }
    }

    /// Reads the next chunk.
    pub(super) fn feed(&mut self, chunk: &[u8]) {
        let mut at = 0;
        while at < chunk.len() && self.at != At::Done {
            at += self.step(&chunk[at..], self.seen + at as u64);
        }
        self.seen += chunk.len() as u64;
    }

    /// All that was asked for is known, or will not be.
    pub(super) fn is_settled(&self) -> bool {
        let model = !self.wants_model || self.model.place.is_some() || self.model.named > 0 && self.key != Key::Model;
        let items = self.counted.name.is_none() || self.counted.done;
        self.at == At::Done || model && items
    }

    /// Nothing that is still to come can matter.
    pub(super) fn is_finished(&self) -> bool {
        self.at == At::Done || !self.wants_model && self.is_settled()
    }

    /// The model: not empty, without control characters, at most 256 bytes.
    pub(super) fn model(&self) -> Option<&Arc<str>> {
        self.model.name.as_ref()
    }

    /// A model is given, and it is no name: not a string, or empty, too long, or with control characters.
    pub(super) fn is_nameless(&self) -> bool {
        self.wants_model && self.model.named > 0 && self.model.name.is_none()
    }

    /// Where the text of the model's string stands in the body, between its quotes.
    pub(super) fn place(&self) -> Option<Range<u64>> {
        self.model.place.clone()
    }

    /// The top level names a model more than once.
    pub(super) fn named_twice(&self) -> bool {
        self.wants_model && self.model.named > 1
    }

    /// Items of the counted array that were seen.
    pub(super) fn items(&self) -> u32 {
        self.counted.items
    }

    /// Reads at least one byte of `rest`, whose first stands at `offset` of the body; returns how many.
    fn step(&mut self, rest: &[u8], offset: u64) -> usize {
        match self.at {
            At::KeyText => return self.key_text(rest),
            At::ModelText => return self.model_text(rest, offset),
            At::Text { escaped } => return self.skip_text(rest, escaped),
            At::Nested => return self.nested(rest),
            _ => {}
        }
        let byte = rest[0];
        if byte.is_ascii_whitespace() {
            return 1;
        }
        self.at = match (self.at, byte) {
            // A byte order mark is no JSON, but some parsers take it.
            (At::Start, 0xEF | 0xBB | 0xBF) => At::Start,
            (At::Start, b'{') => {
                self.depth = 1;
                At::KeyDue
            }
            (At::KeyDue, b'"') => {
                self.text.clear();
                At::KeyText
            }
            (At::Colon, b':') => At::Value,
            (At::Value, _) => self.value(byte, offset),
            (At::Behind, b',') => At::KeyDue,
            (At::Behind, b'"' | b'{' | b'[' | b']' | b'}' | b':') => At::Done,
            (At::Behind, _) => At::Behind,
            _ => At::Done,
        };
        1
    }

    fn value(&mut self, byte: u8, offset: u64) -> At {
        match byte {
            b'"' if self.key == Key::Model && self.model.named == 1 => {
                self.text.clear();
                self.model.start = offset + 1;
                At::ModelText
            }
            b'"' => At::Text { escaped: false },
            b'{' | b'[' => {
                self.depth = 2;
                self.counted.within = byte == b'[' && self.key == Key::Counted;
                self.counted.begun = false;
                self.key = Key::Other;
                At::Nested
            }
            b',' | b'}' | b']' | b':' => At::Done,
            _ => {
                self.key = Key::Other;
                At::Behind
            }
        }
    }

    fn key_text(&mut self, rest: &[u8]) -> usize {
        let (read, closed) = self.text.feed(rest);
        if closed {
            self.at = At::Colon;
            self.key = match self.text.as_str() {
                Some("model") if self.wants_model => {
                    self.model.named += 1;
                    Key::Model
                }
                Some(key) if Some(key) == self.counted.name => Key::Counted,
                _ => Key::Other,
            };
        }
        read
    }

    fn model_text(&mut self, rest: &[u8], offset: u64) -> usize {
        let (read, closed) = self.text.feed(rest);
        if closed {
            self.at = At::Behind;
            self.key = Key::Other;
            self.model.place = Some(self.model.start..offset + read as u64 - 1);
            let name = self.text.as_str().filter(|name| !name.is_empty() && !name.contains(char::is_control));
            self.model.name = name.map(Arc::from);
        }
        read
    }

    fn skip_text(&mut self, rest: &[u8], escaped: bool) -> usize {
        let from = usize::from(escaped);
        let (read, end) = skip_text(&rest[from..]);
        self.at = match end {
            TextEnd::Closed if self.depth > 1 => At::Nested,
            TextEnd::Closed => At::Behind,
            TextEnd::Open { escaped } => At::Text { escaped },
        };
        self.key = Key::Other;
        from + read
    }

    fn nested(&mut self, rest: &[u8]) -> usize {
        if self.depth == 2 && self.counted.within {
            return self.item(rest[0]);
        }
        let mut at = 0;
        while let Some(byte) = rest.get(at) {
            at += 1;
            match byte {
                b'"' => {
                    // Most of a body is strings in nested objects: they are passed without leaving the loop.
                    let (read, end) = skip_text(&rest[at..]);
                    at += read;
                    if let TextEnd::Open { escaped } = end {
                        self.at = At::Text { escaped };
                        return at;
                    }
                }
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 1 {
                        self.at = At::Behind;
                    }
                    if self.depth <= 2 {
                        return at;
                    }
                }
                _ => {}
            }
        }
        at
    }

    /// One byte directly within the counted array.
    fn item(&mut self, byte: u8) -> usize {
        if byte == b',' {
            self.counted.begun = false;
            return 1;
        }
        if byte == b']' {
            self.depth = 1;
            self.at = At::Behind;
            self.counted.within = false;
            self.counted.done = true;
            return 1;
        }
        if !self.counted.begun && !byte.is_ascii_whitespace() {
            self.counted.begun = true;
            self.counted.items = self.counted.items.saturating_add(1);
        }
        match byte {
            b'"' => self.at = At::Text { escaped: false },
            b'{' | b'[' => self.depth = 3,
            b'}' => self.at = At::Done,
            _ => {}
        }
        1
    }
}

enum TextEnd {
    Closed,
    /// The chunk ended first; `escaped`: behind a backslash.
    Open {
        escaped: bool,
    },
}

/// Passes a string of no interest, behind its opening quote: how many bytes, and how they ended.
fn skip_text(rest: &[u8]) -> (usize, TextEnd) {
    let mut at = 0;
    loop {
        match memchr2(b'"', b'\\', &rest[at..]) {
            Some(plain) if rest[at + plain] == b'"' => return (at + plain + 1, TextEnd::Closed),
            Some(plain) if at + plain + 2 <= rest.len() => at += plain + 2,
            found => return (rest.len(), TextEnd::Open { escaped: found.is_some() }),
        }
    }
}

#[cfg(test)]
mod tests;
