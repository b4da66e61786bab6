//! Server-sent events: read out of chunks that may end anywhere, and written so that each stands on one line.

use serde::Serialize;
use serde_json::{Value, json};

use crate::{Error, ErrorKind};

/// A longer event ends the stream: whole images come in one.
const MAX_EVENT: usize = 32 << 20;

/// Takes chunks, gives the data of whole events.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    /// The line that is not whole yet.
    line: Vec<u8>,
    /// Of the event that is not whole yet.
    data: Vec<u8>,
    /// Lines that are no event's: an error, or an answer that did not come as events.
    stray: Vec<u8>,
}

impl Parser {
    /// Takes a chunk; each event that it completes is given to `event`.
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
            return Err(Error::new(ErrorKind::BadUpstream, "the provider's stream has an event that is too long"));
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

    /// No more comes: what stood outside of events, and the data of one that was never closed.
    pub(crate) fn finish(&mut self) -> (Vec<u8>, Vec<u8>) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            let _ = self.line(&line, &mut |_| Ok(()));
        }
        (std::mem::take(&mut self.stray), std::mem::take(&mut self.data))
    }
}

/// Writes an event without a name, on one line. Clients that split at every line end of Unicode (Python's `splitlines`) would
/// read half an event, so those are escaped.
pub(crate) fn write_data(value: &impl Serialize, out: &mut Vec<u8>) {
    let mut json = serde_json::to_string(value).expect("keys are strings");
    if !json.is_ascii() && json.contains(['\u{85}', '\u{2028}', '\u{2029}']) {
        json = json.replace('\u{85}', "\\u0085").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    }
    out.extend(format!("data: {json}\n\n").as_bytes());
}

/// Writes an event with a name, which is its `type`, too, and stands first.
pub(crate) fn write_event(name: &str, value: Value, out: &mut Vec<u8>) {
    let mut event = json!({ "type": name });
    if let (Some(members), Value::Object(value)) = (event.as_object_mut(), value) {
        members.extend(value);
    }
    out.extend(format!("event: {name}\n").as_bytes());
    write_data(&event, out);
}
