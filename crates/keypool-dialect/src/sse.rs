//! Server-sent events: read out of chunks that may end anywhere, and written so that each stands on one line.

use serde::Serialize;

use crate::Error;

/// A longer event ends the stream: whole images come in one.
const MAX_EVENT: usize = 32 << 20;
/// So much is kept of lines that are no event's: an error may stand there.
const MAX_STRAY: usize = 64 << 10;

/// Takes chunks, gives the data of whole events.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// The line that is not whole yet.
    line: Vec<u8>,
    /// Of the event that is not whole yet.
    data: Vec<u8>,
    stray: Vec<u8>,
}

impl Parser {
    /// Takes a chunk; each event that it completes is given to `event`.
    pub(crate) fn push(
        &mut self,
        mut chunk: &[u8],
        mut event: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
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
            return Err(Error::new(
                crate::ErrorKind::BadUpstream,
                "the provider's stream has an event that is too long",
            ));
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
            let room = MAX_STRAY.saturating_sub(self.stray.len());
            self.stray.extend_from_slice(&line[..line.len().min(room)]);
            self.stray.push(b'\n');
        }
        Ok(())
    }

    /// No more comes: what stood outside of events, and the data of one that was never closed.
    pub(crate) fn finish(&mut self) -> (Vec<u8>, Vec<u8>) {
        let line = std::mem::take(&mut self.line);
        let _ = self.line(&line, &mut |_| Ok(()));
        (std::mem::take(&mut self.stray), std::mem::take(&mut self.data))
    }
}

/// Writes an event without a name.
pub(crate) fn write_data(value: &impl Serialize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    write_line(value, out);
    out.extend_from_slice(b"\n\n");
}

/// Writes an event with a name.
pub(crate) fn write_event(name: &str, value: &impl Serialize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'\n');
    write_data(value, out);
}

/// JSON in which only ASCII ends a line: clients that split at all of Unicode's line ends (Python's `splitlines`) would find
/// half an event.
fn write_line(value: &impl Serialize, out: &mut Vec<u8>) {
    let from = out.len();
    // Plain data is written into memory, which cannot fail.
    let _ = serde_json::to_writer(&mut *out, value);
    let breaks = |bytes: &[u8]| match bytes {
        [0xC2, 0x85, ..] => Some((2, "\\u0085")),
        [0xE2, 0x80, 0xA8, ..] => Some((3, "\\u2028")),
        [0xE2, 0x80, 0xA9, ..] => Some((3, "\\u2029")),
        _ => None,
    };
    let mut at = from;
    while let Some(next) = out[at..].iter().position(|byte| matches!(byte, 0xC2 | 0xE2)) {
        at += next;
        match breaks(&out[at..]) {
            Some((length, escaped)) => {
                out.splice(at..at + length, escaped.bytes());
                at += escaped.len();
            }
            None => at += 1,
        }
    }
}
