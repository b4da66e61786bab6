//! Events that a client did not ask for, taken out of a stream: what it cost, where the gateway asked for that.

use std::{borrow::Cow, collections::HashMap};

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use serde_json::value::RawValue;

const NAME: &[u8] = b"\"usage\"";
/// An event longer than this goes on as it comes.
const LONGEST: usize = 64 << 10;

/// Holds back an event until all of it is here.
#[derive(Debug, Default)]
pub(super) struct Untold {
    held: BytesMut,
    /// The event under way goes on, whatever it is.
    passes: bool,
}

impl Untold {
    /// What goes on of it, now that this has come.
    pub(super) fn left_of(&mut self, data: Bytes) -> Bytes {
        if self.held.is_empty() && !self.passes && ends(&data) == Some(data.len()) && !may_tell(&data) {
            return data;
        }
        self.held.extend_from_slice(&data);
        let mut left = BytesMut::new();
        while let Some(end) = first_end(&self.held) {
            let event = self.held.split_to(end);
            if std::mem::take(&mut self.passes) || !(may_tell(&event) && is_told(&event)) {
                left.extend_from_slice(&event);
            }
        }
        if self.passes || self.held.len() > LONGEST {
            self.passes = true;
            left.extend_from_slice(&self.held.split());
        }
        left.freeze()
    }

    /// What is left where nothing comes any more.
    pub(super) fn rest(&mut self) -> Bytes {
        let rest = self.held.split();
        if may_tell(&rest) && is_told(&rest) { Bytes::new() } else { rest.freeze() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}

/// Where the last event ends that is whole.
fn ends(data: &[u8]) -> Option<usize> {
    [&b"\n\n"[..], b"\r\n\r\n", b"\r\r"].into_iter().filter_map(|end| Some(memmem::rfind(data, end)? + end.len())).max()
}

/// Where the first one ends.
fn first_end(data: &[u8]) -> Option<usize> {
    [&b"\n\n"[..], b"\r\n\r\n", b"\r\r"].into_iter().filter_map(|end| Some(memmem::find(data, end)? + end.len())).min()
}

/// Whether a usage may stand in it: mostly each event says that it has none.
fn may_tell(data: &[u8]) -> bool {
    let behind = |at: usize| data[at..].trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii_start);
    memmem::find_iter(data, NAME).any(|at| !behind(at + NAME.len()).is_some_and(|value| value.starts_with(b"null")))
}

/// What an event has that tells it and nothing else; what a provider adds to that goes on.
const PLAIN: [&str; 10] = [
    "id",
    "object",
    "created",
    "model",
    "choices",
    "usage",
    "system_fingerprint",
    "service_tier",
    "obfuscation",
    "x_groq",
];

/// Whether an event tells what the stream cost, and nothing else.
fn is_told(event: &[u8]) -> bool {
    let mut lines = event.split(|byte| matches!(byte, b'\n' | b'\r')).filter_map(|line| line.strip_prefix(b"data:"));
    let (Some(data), None) = (lines.next(), lines.next()) else { return false };
    let Ok(fields) = serde_json::from_slice::<HashMap<Cow<'_, str>, &RawValue>>(data) else { return false };
    let says = |field: &str| fields.get(field).map(|value| value.get()).filter(|value| *value != "null");
    let chose = says("choices").is_some_and(|choices| choices.bytes().any(|byte| !b"[] \t".contains(&byte)));
    !chose && says("usage").is_some() && fields.keys().all(|field| PLAIN.contains(&&**field))
}

#[cfg(test)]
mod tests {
    use super::*;

    const USAGE: &str = "data: {\"id\":\"c\",\"choices\": [],\"usage\": {\"prompt_tokens\":5,\"completion_tokens\":7}}";

    /// What is left of a stream that comes in pieces of this size.
    fn left(stream: &str, size: usize) -> String {
        let mut untold = Untold::default();
        let mut left = Vec::new();
        for piece in stream.as_bytes().chunks(size) {
            left.extend_from_slice(&untold.left_of(Bytes::copy_from_slice(piece)));
        }
        left.extend_from_slice(&untold.rest());
        String::from_utf8(left).unwrap()
    }

    #[test]
    fn only_the_event_that_tells_it_is_left_out() {
        for end in ["\n\n", "\r\n\r\n", "\r\r"] {
            let events = [
                ": hello",
                "data: {\"choices\":[],\"prompt_filter_results\":[1],\"usage\":null}",
                "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\": é\"}}],\"usage\":null}",
                "data: {\"choices\":[{\"delta\":{}}],\"usage\":{\"prompt_tokens\":1}}",
                "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1},\"citations\":[\"https://a.example\"]}",
            ];
            let before = events.join(end) + end;
            let stream = format!("{before}{USAGE}{end}data: [DONE]{end}");
            for size in [1, 2, 3, 7, 64, 4_096] {
                assert_eq!(left(&stream, size), format!("{before}data: [DONE]{end}"), "{size} of {end:?}");
            }
            assert_eq!(left(&format!("{before}{USAGE}"), 5), before, "it breaks off in the last one's end");
        }
    }

    #[test]
    fn one_that_names_no_choices_breaks_no_client() {
        for told in ["{\"usage\":{\"prompt_tokens\":1}}", "{\"choices\":null,\"usage\":{\"prompt_tokens\":1}}"] {
            assert_eq!(left(&format!("data: {told}\n\n"), 7), "");
        }
        let odd = "data: {\"error\":{},\"usage\":{\"prompt_tokens\":1}}\n\n";
        assert_eq!(left(odd, 7), odd);
    }

    #[test]
    fn an_event_that_is_too_long_to_hold_goes_on() {
        let long = format!("data: {{\"choices\":[{{\"text\":\"{}\"}}],\"usage\":null}}\n\n", "x".repeat(3 * LONGEST));
        let stream = format!("{long}{USAGE}\n\n{long}");
        assert_eq!(left(&stream, 1_000), format!("{long}{long}"));
        assert_eq!(left("data: {\"usage", 4), "data: {\"usage");
    }
}
