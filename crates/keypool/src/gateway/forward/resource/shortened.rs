//! JSON as it comes, whole or in the lines of events, without what stands in strings that are too long for a name: pictures,
//! mostly.

use memchr::memchr3;

/// No name is longer, in bytes.
const LONGEST: usize = 4 << 10;

/// What of it was kept.
#[derive(Debug, Default)]
pub(super) struct Shortened {
    text: Vec<u8>,
    /// Where the string begins that is open.
    open: Option<usize>,
    /// What comes next in it is escaped.
    escaped: bool,
    /// It is too long, and none of it is kept.
    long: bool,
}

impl Shortened {
    /// More came.
    pub(super) fn push(&mut self, mut data: &[u8]) {
        while let Some((&byte, rest)) = data.split_first() {
            data = rest;
            let Some(from) = self.open else {
                self.text.push(byte);
                self.open = (byte == b'"').then_some(self.text.len());
                continue;
            };
            let escaped = std::mem::take(&mut self.escaped);
            if !escaped && byte == b'\\' {
                self.escaped = true;
            } else if !escaped && matches!(byte, b'"' | b'\n') {
                // No string goes on in another line.
                (self.open, self.long) = (None, false);
                self.text.push(byte);
                continue;
            }
            if self.long {
                if !self.escaped {
                    data = &data[memchr3(b'"', b'\\', b'\n', data).unwrap_or(data.len())..];
                }
                continue;
            }
            self.text.push(byte);
            if self.text.len() - from > LONGEST {
                self.text.truncate(from);
                self.long = true;
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// It is forgotten.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// All of it.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(self).text
    }

    /// Those events that are whole.
    pub(super) fn take_events(&mut self) -> Option<Vec<u8>> {
        let end = self.text.windows(2).rposition(|pair| pair == b"\n\n" || pair == b"\r\n")? + 2;
        let rest = self.text.split_off(end);
        self.open = self.open.map(|from| from - end);
        Some(std::mem::replace(&mut self.text, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is kept of what comes in pieces of this size.
    fn kept(text: &str, size: usize) -> String {
        let mut shortened = Shortened::default();
        text.as_bytes().chunks(size).for_each(|piece| shortened.push(piece));
        String::from_utf8(shortened.take()).unwrap()
    }

    #[test]
    fn what_is_too_long_is_left_out_and_the_rest_stays() {
        let long = "é\\\"\\u00e9x".repeat(LONGEST);
        let json =
            |picture: &str| format!(r#"{{"id":"r\"1","output":[{{"result":"{picture}","id":"ig_1"}}],"n":1.5}}"#);
        for size in [1, 2, 3, 7, 1_000, 1 << 20] {
            assert_eq!(kept(&json(&long), size), json(""), "{size}");
            assert_eq!(kept(&json("short"), size), json("short"), "{size}");
        }
    }

    #[test]
    fn events_come_whole_and_one_that_breaks_off_harms_no_other() {
        let mut shortened = Shortened::default();
        shortened.push(b"data: {\"a\":\"b\"}\n\ndata: {\"c\":\"");
        assert_eq!(shortened.take_events().unwrap(), b"data: {\"a\":\"b\"}\n\n");
        assert_eq!(shortened.take_events(), None);
        shortened.push(&[b'x'; 2 * LONGEST]);
        shortened.push(b"\"}\n\n: it's \" odd\n\ndata: {\"d\":\"e\"}\n\n");
        let events = shortened.take_events().unwrap();
        assert_eq!(events, b"data: {\"c\":\"\"}\n\n: it's \" odd\n\ndata: {\"d\":\"e\"}\n\n");
    }
}
