//! The first data object of a stream: a provider may say 200 and then send an error as the first event, or as raw
//! JSON without any framing. Collects that one object and nothing behind it.

use memchr::memchr2;

use super::balance::Balance;
use crate::provider::{may_be_an_outcome, may_have_failed};

/// How a stream frames its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// `text/event-stream`.
    Events,
    /// One JSON array whose items come one by one: Gemini's `streamGenerateContent` without `alt=sse`.
    Array,
    /// No stream: one object, looked into only where it begins with an error.
    Object,
}

/// Collects the first data object of a stream.
pub(super) struct FirstEvent {
    framing: Framing,
    /// The line that has begun.
    line: Vec<u8>,
    /// A CR ended the line before: a LF that follows belongs to it.
    after_cr: bool,
    /// JSON without a field name in front: every line belongs to it.
    raw: bool,
    name: Name,
    data: Vec<u8>,
    value: Balance,
    done: bool,
    /// It said that it is at its end, and nothing before.
    ended: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Error,
    /// It tells nothing but that somebody listens.
    Opening,
    Other,
    /// It has none.
    Missing,
}

/// The events that tell no more than that.
const OPENINGS: [&[u8]; 8] = [
    b"ping",
    b"message_start",
    b"response.created",
    b"response.queued",
    b"response.in_progress",
    b"interaction.start",
    b"interaction.created",
    b"interaction.status_update",
];

const BOM: &[u8] = b"\xEF\xBB\xBF";

impl FirstEvent {
    pub(super) fn new(framing: Framing) -> Self {
        Self {
            framing,
            line: Vec::new(),
            after_cr: false,
            raw: false,
            name: Name::Missing,
            data: Vec::new(),
            value: Balance::default(),
            done: false,
            ended: false,
        }
    }

    /// Whether the first object is complete.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// The object, or as much of it as came.
    pub(super) fn data(&mut self) -> &mut [u8] {
        &mut self.data
    }

    /// Whether the event calls itself an error.
    pub(super) fn is_named_error(&self) -> bool {
        self.name == Name::Error
    }

    /// Whether nothing came but that this is the end; of an answer that is no stream, nothing at all.
    pub(super) fn has_only_ended(&self) -> bool {
        let is_blank = self.framing == Framing::Object && !self.done && self.line.trim_ascii().is_empty();
        (self.ended || is_blank) && self.data.is_empty()
    }

    /// Whether it is no event, but the beginning of an answer that is no stream.
    pub(super) fn is_of_a_whole(&self) -> bool {
        self.framing == Framing::Object
    }

    /// Looks at the next bytes of the stream.
    pub(super) fn see(&mut self, bytes: &[u8]) {
        match self.framing {
            Framing::Events => self.events(bytes),
            Framing::Array => self.array(bytes),
            Framing::Object => self.object(bytes),
        }
    }

    /// Nothing more comes, or nobody waits for it: a line without an end counts too. Whether there was an object, and to its
    /// end; a text that is none has no other end.
    pub(super) fn finish(&mut self) -> bool {
        if !self.done && !self.line.is_empty() && self.framing != Framing::Object {
            self.end_of_line();
        }
        let text = !matches!(self.data.trim_ascii_start().first(), None | Some(b'{' | b'['));
        std::mem::replace(&mut self.done, true) || text
    }

    fn object(&mut self, bytes: &[u8]) {
        if self.done {
            return;
        }
        if self.raw {
            return self.append(bytes);
        }
        // As a rule one look at the first chunk, of which nothing is kept.
        let joined;
        let begun = if self.line.is_empty() {
            bytes
        } else {
            joined = [&std::mem::take(&mut self.line)[..], bytes].concat();
            &joined
        };
        match begins_with_error(begun) {
            Some(true) => {
                self.raw = true;
                self.append(begun.strip_prefix(BOM).unwrap_or(begun).trim_ascii_start());
            }
            // How it went may stand behind what is empty, or what it is called.
            Some(false) if may_be_an_outcome(begun) || (begins_as_response(begun) && may_have_failed(begun)) => {
                self.raw = true;
                self.append(begun.strip_prefix(BOM).unwrap_or(begun).trim_ascii_start());
            }
            Some(false) => self.done = true,
            None => self.line = begun.trim_ascii_start().to_vec(),
        }
    }

    fn array(&mut self, bytes: &[u8]) {
        let mut from = 0;
        if self.data.is_empty() {
            // In front of the first item stand a bracket, spaces, perhaps a BOM.
            from = bytes
                .iter()
                .position(|b| !b.is_ascii_whitespace() && *b != b'[' && !BOM.contains(b))
                .unwrap_or(bytes.len());
            if bytes.get(from) == Some(&b']') {
                // Nothing is in it, as in a stream without an event.
                return;
            }
            // Nothing that we know.
            self.done = self.done || bytes.get(from).is_some_and(|b| *b != b'{');
        }
        if !self.done {
            self.append(&bytes[from..]);
        }
    }

    fn events(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.done {
            if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = memchr2(b'\n', b'\r', bytes) else {
                self.line.extend_from_slice(bytes);
                return;
            };
            self.line.extend_from_slice(&bytes[..end]);
            self.after_cr = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            self.end_of_line();
        }
    }

    fn end_of_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        let text = line.strip_prefix(BOM).unwrap_or(&line);
        if self.raw {
            self.append(b"\n");
            self.append(text);
        } else if text.is_empty() {
            if self.data.is_empty() { self.name = Name::Missing } else { self.complete() }
        } else if let Some(value) = text.strip_prefix(b"data:") {
            if !self.data.is_empty() {
                self.append(b"\n");
            }
            self.append(value.strip_prefix(b" ").unwrap_or(value));
        } else if let Some(value) = text.strip_prefix(b"event:") {
            self.name = match value.trim_ascii() {
                b"error" => Name::Error,
                name if OPENINGS.contains(&name) => Name::Opening,
                _ => Name::Other,
            };
        } else if matches!(text.trim_ascii_start().first(), Some(b'{' | b'[')) {
            self.raw = true;
            self.append(text);
        }
    }

    fn append(&mut self, text: &[u8]) {
        self.data.extend_from_slice(text);
        // Of other data only the blank line behind it tells the end.
        if matches!(self.data.trim_ascii_start().first(), Some(b'{' | b'['))
            && let Some(end) = self.value.feed(text)
        {
            self.data.truncate(self.data.len() - (text.len() - end));
            self.complete();
        }
    }

    /// The object is whole: it tells, unless it opens or ends the stream.
    fn complete(&mut self) {
        let ends = self.data.trim_ascii() == b"[DONE]";
        self.ended |= ends;
        // A relay may have lost its name.
        let opens = self.name == Name::Opening || (self.name == Name::Missing && opens(&self.data));
        self.done = !opens && !ends;
        if !self.done {
            self.data.clear();
            self.value = Balance::default();
        }
    }
}

/// Whether an object calls itself an event that opens a stream, by its first member.
fn opens(text: &[u8]) -> bool {
    let words: [&[u8]; 4] = [b"{", b"\"type\"", b":", b"\""];
    let kind = words.iter().try_fold(text, |text, word| text.trim_ascii_start().strip_prefix(*word));
    let is = |kind: &[u8], name: &[u8]| kind.strip_prefix(name).is_some_and(|rest| rest.starts_with(b"\""));
    kind.is_some_and(|kind| OPENINGS.iter().any(|name| is(kind, name)))
}

/// Whether the first member of an object is an error, or says that the object is one or how it went; `None` where it takes
/// more bytes to tell.
fn begins_with_error(text: &[u8]) -> Option<bool> {
    let text = text.strip_prefix(BOM).unwrap_or(text).trim_ascii_start();
    let (first, rest) = text.split_first()?;
    if *first != b'{' {
        return Some(false);
    }
    let ways: [&[&str]; 3] = [&["\"error\""], &["\"type\"", ":", "\"error\""], &["\"base_resp\""]];
    let found = ways.map(|words| begins(rest, words));
    match () {
        () if found.contains(&Some(true)) => Some(true),
        () if found.contains(&None) => None,
        () => Some(false),
    }
}

/// Whether an object begins as an answer of `/v1/responses` does.
fn begins_as_response(text: &[u8]) -> bool {
    let text = text.strip_prefix(BOM).unwrap_or(text).trim_ascii_start();
    text.strip_prefix(b"{").is_some_and(|rest| begins(rest, &["\"id\"", ":", "\"resp_"]) == Some(true))
}

/// Whether an answer that is here as a whole begins with an error. Most are told apart by the first letter of their first
/// name.
#[inline]
pub(super) fn is_an_error(text: &[u8]) -> bool {
    let first = text.iter().take(32).position(|byte| *byte == b'"').and_then(|at| text.get(at + 1));
    matches!(first, Some(b'b' | b'e' | b't')) && begins_with_error(text) == Some(true)
}

/// Whether these stand first, with or without spaces; `None` where it takes more bytes to tell.
fn begins(mut text: &[u8], words: &[&str]) -> Option<bool> {
    for word in words.iter().map(|word| word.as_bytes()) {
        text = text.trim_ascii_start();
        match text.strip_prefix(word) {
            Some(rest) => text = rest,
            None if word.starts_with(text) => return None,
            None => return Some(false),
        }
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the first object is, however the text is cut.
    fn first(framing: Framing, text: &str) -> (Option<String>, bool) {
        let of = |size: usize| {
            let mut first = FirstEvent::new(framing);
            text.as_bytes().chunks(size).for_each(|chunk| first.see(chunk));
            let data = first.is_done().then(|| String::from_utf8(first.data().to_vec()).unwrap());
            (data, first.is_named_error())
        };
        let whole = of(usize::MAX);
        for size in [1, 2, 3, 7] {
            assert_eq!(of(size), whole, "chunks of {size}");
        }
        whole
    }

    fn events(text: &str) -> Option<String> {
        first(Framing::Events, text).0
    }

    #[test]
    fn lines_end_in_any_way() {
        for eol in ["\n", "\r\n", "\r"] {
            let text =
                format!(": hello{eol}id: 1{eol}event: message{eol}data: {{\"a\":{eol}data: 1}}{eol}{eol}data: {{}}");
            assert_eq!(events(&text).as_deref(), Some("{\"a\":\n1}"), "{eol:?}");
        }
        assert_eq!(events("\u{feff}data:{\"é\":\"}\"}\n").as_deref(), Some("{\"é\":\"}\"}"));
        assert_eq!(events("data: [DONE]\n\n"), None);
        assert_eq!(events("data: [DONE]\n\ndata: {}\n\n").as_deref(), Some("{}"));
        assert_eq!(events("data: hello\n\n").as_deref(), Some("hello"));
        assert_eq!(events("data: hello\n"), None);
        assert_eq!(events("retry: 5\n\n: nothing\n\n"), None);
    }

    #[test]
    fn what_opens_a_stream_tells_nothing_and_an_error_has_a_name() {
        let ping = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
        assert_eq!(events(ping), None);
        let (data, error) = first(Framing::Events, &format!("{ping}event: error\ndata: {{\"type\":\"error\"}}\n\n"));
        assert_eq!((data.as_deref(), error), (Some("{\"type\":\"error\"}"), true));
        // As a relay has them that loses names.
        for opening in ["{\"type\": \"ping\"}", " { \"type\":\"response.created\",\"response\":{\"error\":null}}"] {
            let text = format!("data: {opening}\n\ndata: {opening}\n\n");
            assert_eq!(events(&text), None, "{opening}");
            assert_eq!(events(&format!("{text}data: {{\"type\":\"response.failed\"}}\n\n")).unwrap().len(), 26);
            assert!(events(&format!("event: other\n{text}")).is_some(), "it says what it is: {opening}");
        }
        assert!(events("data: {\"type\":\"pings\"}\n\n").is_some());
        let (data, error) = first(Framing::Events, "event: error\n\ndata: {}\n\n");
        assert_eq!((data.as_deref(), error), (Some("{}"), false));
    }

    #[test]
    fn raw_json_without_framing() {
        let text = "{\n  \"error\": {\n    \"code\": 503\n  }\n}\n";
        assert_eq!(events(text).as_deref(), Some(text.trim_end()));
        let mut unfinished = FirstEvent::new(Framing::Events);
        unfinished.see(b"{\"error\":{\"code\":503}}");
        assert!(!unfinished.is_done());
        unfinished.finish();
        assert_eq!(unfinished.data(), b"{\"error\":{\"code\":503}}");
    }

    #[test]
    fn of_a_whole_answer_only_an_error_is_kept() {
        let object = |text: &str| first(Framing::Object, text).0;
        for error in [
            "{\"error\":{\"code\":429}}",
            "{ \"error\" : \"{\" , \"user_id\":1}",
            "{ \"type\" : \"error\", \"error\":{}}",
        ] {
            assert_eq!(object(error).as_deref(), Some(error));
            let padded = format!(" \n{error}\n");
            assert_eq!(object(&padded).as_deref(), Some(error));
        }
        // Short ones that come in one piece are looked at as a whole: it may stand behind what is empty.
        for short in ["{\"id\":\"x\",\"error\":{}}", "{\"type\":1,\"error\":{}}"] {
            let mut event = FirstEvent::new(Framing::Object);
            event.see(short.as_bytes());
            assert!(event.is_done() && event.data() == short.as_bytes(), "{short}");
        }
        let long = format!("{{\"id\":\"{}\",\"error\":{{}}}}", "x".repeat(2 << 10));
        for good in [&*long, "{\"type\":\"message\"}", "{\"errors\":[]}", "{}", "x", "{\"err\\u006fr\":1}"] {
            assert_eq!(object(good).as_deref(), Some(""), "{good}");
        }
        for undecided in ["", "{\"type\":\"err", " \n ", "{ ", "{\"erro", "{\"error\":{"] {
            assert_eq!(object(undecided), None, "{undecided}");
        }
    }

    #[test]
    fn the_array_form() {
        let array = |text| first(Framing::Array, text).0;
        assert_eq!(array("[{\"a\":[1]}\n,\r\n{\"b\":2}]").as_deref(), Some("{\"a\":[1]}"));
        assert_eq!(array(" \r\n[\n { } ").as_deref(), Some("{ }"));
        assert_eq!(array("[]"), None);
        assert_eq!(array("[1]").as_deref(), Some(""));
        assert_eq!(array("{\"error\":{}}").as_deref(), Some("{\"error\":{}}"));
        assert_eq!(array("[{\"a\":"), None);
    }
}
