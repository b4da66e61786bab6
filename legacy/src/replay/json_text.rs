//! One string of a JSON text, gathered over any chunking, its escapes resolved.

use memchr::memchr2;

/// A short string being gathered: a key, or the name of a model. Longer ones than [`MAX`](JsonText::MAX) are followed to
/// their end but not gathered.
#[derive(Debug, Default)]
pub(super) struct JsonText {
    bytes: Vec<u8>,
    escape: Escape,
    /// The first half of a surrogate pair.
    high: Option<u16>,
    bad: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum Escape {
    #[default]
    None,
    /// Behind the backslash.
    Begun,
    /// Within `\uXXXX`.
    Hex { digits: u8, value: u16 },
}

impl JsonText {
    /// Bytes of the longest string that is gathered.
    pub(super) const MAX: usize = 256;

    /// Begins another string.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.escape = Escape::None;
        self.high = None;
        self.bad = false;
    }

    /// Reads on behind the opening quote: how many bytes were read, and whether the last of them was the closing quote.
    pub(super) fn feed(&mut self, input: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while at < input.len() {
            if !matches!(self.escape, Escape::None) {
                at += usize::from(self.escaped(input[at]));
                continue;
            }
            let plain = memchr2(b'"', b'\\', &input[at..]).unwrap_or(input.len() - at);
            self.push(&input[at..at + plain]);
            at += plain;
            match input.get(at) {
                Some(b'"') => {
                    self.bad |= self.high.is_some();
                    return (at + 1, true);
                }
                Some(_) => {
                    self.escape = Escape::Begun;
                    at += 1;
                }
                None => {}
            }
        }
        (at, false)
    }

    /// The string, when it was a valid and short one.
    pub(super) fn as_str(&self) -> Option<&str> {
        if self.bad { None } else { std::str::from_utf8(&self.bytes).ok() }
    }

    fn push(&mut self, plain: &[u8]) {
        if plain.is_empty() {
            return;
        }
        self.bad |= self.high.is_some() || self.bytes.len() + plain.len() > Self::MAX;
        if !self.bad {
            self.bytes.extend_from_slice(plain);
        }
    }

    /// Reads a byte of an escape. `false` when it is none and has to be read as plain text.
    fn escaped(&mut self, byte: u8) -> bool {
        self.escape = match (self.escape, byte) {
            (Escape::Begun, b'u') => Escape::Hex { digits: 0, value: 0 },
            (Escape::Begun, _) => {
                let plain: &[u8] = match byte {
                    b'"' => b"\"",
                    b'\\' => b"\\",
                    b'/' => b"/",
                    b'b' => b"\x08",
                    b'f' => b"\x0c",
                    b'n' => b"\n",
                    b'r' => b"\r",
                    b't' => b"\t",
                    _ => b"",
                };
                self.bad |= plain.is_empty();
                self.push(plain);
                Escape::None
            }
            (Escape::Hex { digits, value }, _) => {
                let Some(digit) = char::from(byte).to_digit(16) else {
                    self.bad = true;
                    self.escape = Escape::None;
                    return false;
                };
                let value = value << 4 | digit as u16;
                if digits == 3 {
                    self.unit(value);
                    Escape::None
                } else {
                    Escape::Hex { digits: digits + 1, value }
                }
            }
            (Escape::None, _) => return false,
        };
        true
    }

    /// One UTF-16 unit of `\uXXXX`.
    fn unit(&mut self, unit: u16) {
        let read = match self.high.take() {
            Some(high) => char::decode_utf16([high, unit]).next(),
            None if (0xD800..0xDC00).contains(&unit) => {
                self.high = Some(unit);
                return;
            }
            None => char::decode_utf16([unit]).next(),
        };
        match read {
            Some(Ok(c)) => self.push(c.encode_utf8(&mut [0; 4]).as_bytes()),
            _ => self.bad = true,
        }
    }
}
