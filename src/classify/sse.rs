//! Server-sent events. Lines end with LF, CR LF or CR, and an empty line ends an event.

use std::borrow::Cow;

use memchr::memchr2;

/// Finds the first event end after `from`. Returns the offsets of that end and of the start of the next event.
pub(crate) fn event_end(text: &[u8], mut from: usize) -> Option<(usize, usize)> {
    let after = |at: usize| at + if text[at..].starts_with(b"\r\n") { 2 } else { 1 };
    loop {
        let end = from + memchr2(b'\n', b'\r', &text[from..])?;
        let next = after(end);
        match text.get(next)? {
            b'\n' | b'\r' => return Some((end, after(next))),
            _ => from = next,
        }
    }
}

/// The name and the data of an event.
pub(crate) struct Event<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) data: Cow<'a, [u8]>,
}

impl<'a> Event<'a> {
    /// Parses the lines of one event.
    pub(crate) fn parse(text: &'a [u8]) -> Self {
        let mut event = Self { name: b"", data: Cow::Borrowed(b"") };
        let mut rest = text;
        while !rest.is_empty() {
            if matches!(rest.trim_ascii_start().first(), Some(b'{' | b'[' | b',')) {
                // Gemini may end a stream with an error that has no `data:` prefix.
                event.data = Cow::Borrowed(rest);
                break;
            }
            let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let line = &rest[..end];
            rest = &rest[rest.len().min(end + 1)..];
            if let Some(name) = line.strip_prefix(b"event:") {
                event.name = name.trim_ascii();
            } else if let Some(value) = line.strip_prefix(b"data:") {
                if event.data.is_empty() {
                    event.data = Cow::Borrowed(value);
                } else {
                    let data = event.data.to_mut();
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            }
        }
        event
    }
}
