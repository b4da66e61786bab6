//! Server-sent events: parsed from chunks that may end anywhere, and written with their data on one line.

use serde::Serialize;
use serde_json::{Value, json};

use crate::{Error, ErrorKind, fields::merge};

/// Maximum size of an event in bytes; it is large because a whole image is one event. A longer event is an error.
const MAX_EVENT: usize = 32 << 20;

/// A parser that takes chunks and yields the data of complete events.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// The incomplete line.
    line: Vec<u8>,
    /// The data of the incomplete event.
    data: Vec<u8>,
    /// Lines outside of events: an error, or a response that is not an event stream.
    stray: Vec<u8>,
}

impl Parser {
    /// Takes a chunk and calls `event` with the data of each event that it completes.
    pub(crate) fn push(
        &mut self,
        mut chunk: &[u8],
        mut event: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while let Some(end) = memchr::memchr(b'\n', chunk) {
            let (line, rest) = (&chunk[..end], &chunk[end + 1..]);
            if self.line.is_empty() {
                self.line(line, &mut event)?;
            } else {
                self.line.extend_from_slice(line);
                let line = std::mem::take(&mut self.line);
                self.line(&line, &mut event)?;
            }
            chunk = rest;
        }
        self.line.extend_from_slice(chunk);
        if self.line.len() + self.data.len() > MAX_EVENT {
            return Err(Error::new(ErrorKind::BadUpstream, "an event in the provider's stream is too long"));
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8], event: &mut impl FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return if data.is_empty() { Ok(()) } else { event(&data) };
        }
        let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        if let Some(data) = line.strip_prefix(b"data:") {
            if !self.data.is_empty() {
                self.data.push(b'\n');
            }
            self.data.extend_from_slice(data.strip_prefix(b" ").unwrap_or(data));
        } else if !["event", "id", "retry", ":"].iter().any(|field| line.starts_with(field.as_bytes())) {
            self.stray.extend(line.iter().take(MAX_EVENT.saturating_sub(self.stray.len())));
            self.stray.push(b'\n');
        }
        Ok(())
    }

    /// Ends the stream. Returns the text outside of events, and the data of an unfinished event.
    pub(crate) fn finish(&mut self) -> (Vec<u8>, Vec<u8>) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            let _ = self.line(&line, &mut |_| Ok(()));
        }
        (std::mem::take(&mut self.stray), std::mem::take(&mut self.data))
    }
}

/// Writes an event without a name, on one line. Unicode line ends are escaped, because clients that split at all of
/// them (Python's `splitlines`) would read half an event.
pub(crate) fn write_data(value: &impl Serialize, out: &mut Vec<u8>) {
    // Faster than `to_string` of the value, which formats it piece by piece.
    let mut json = serde_json::to_string(value).unwrap_or_default();
    if !json.is_ascii() && json.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
        json = json.replace('\u{85}', "\\u0085").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    }
    out.extend([b"data: ", json.as_bytes(), b"\n\n"].concat());
}

/// Writes an event with a name, which is also its first member, `type`.
pub(crate) fn write_event(name: &str, value: Value, out: &mut Vec<u8>) {
    let mut event = json!({ "type": name });
    merge(&mut event, value);
    out.extend(format!("event: {name}\n").as_bytes());
    write_data(&event, out);
}
