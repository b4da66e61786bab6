//! Where a JSON value ends, byte by byte and without a parser: brackets are counted, strings skipped.

use memchr::{memchr2, memchr3};

/// Counts brackets outside of strings. Begins in front of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Balance {
    depth: u32,
    string: bool,
    escaped: bool,
}

impl Balance {
    /// Feeds more of the value. The offset behind its last byte, once it is complete. Only objects, arrays and
    /// strings are known to end; anything else goes on.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            if self.string {
                if self.escaped {
                    self.escaped = false;
                    at += 1;
                    continue;
                }
                at += memchr2(b'"', b'\\', &bytes[at..])? + 1;
                if bytes[at - 1] == b'\\' {
                    self.escaped = true;
                    continue;
                }
                self.string = false;
                if self.depth == 0 {
                    return Some(at);
                }
                continue;
            }
            match bytes[at] {
                b'"' => self.string = true,
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
            at += 1;
        }
        None
    }
}

/// The offset behind the text of a string that may go on in the next chunk: its quote, its backslash or the end of
/// its line (no JSON string holds one: whatever that is, it is over).
pub(super) fn run_of_string(bytes: &[u8]) -> usize {
    memchr3(b'"', b'\\', b'\n', bytes).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &str) -> Option<usize> {
        let whole = Balance::default().feed(text.as_bytes());
        let mut balance = Balance::default();
        let by_bytes = text.bytes().enumerate().find_map(|(at, byte)| balance.feed(&[byte]).map(|_| at + 1));
        assert_eq!(whole, by_bytes);
        whole
    }

    #[test]
    fn brackets_in_strings_do_not_count() {
        assert_eq!(end(r#"{"a":"}","b":["\"}",{}]} tail"#), Some(24));
        assert_eq!(end(r#""a \\" tail"#), Some(6));
        assert_eq!(end(r#"{"a":"never"#), None);
        assert_eq!(end("12"), None);
    }
}
