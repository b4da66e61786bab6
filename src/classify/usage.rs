//! Reads the used tokens and an error in the middle of a stream from a response body as it streams through.
//!
//! Usage is read only where a format defines it: at the top level of an item or one level below it. Anything deeper, such
//! as the arguments of a tool call, is text of the model.

use std::{mem, sync::LazyLock};

use bytes::Bytes;
use http::{HeaderMap, header};
use memchr::memmem::{self, Finder};
use serde_json::value::RawValue;

use super::{Event, Usage, event_end, holds_error};
use crate::json::Members;

/// Maximum size of an event, or of a plain body, that is read as a whole.
const LARGEST: usize = 64 << 10;
/// Number of bytes that are kept from the end of a larger one.
const TAIL: usize = 16 << 10;

static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usage"));

/// Reads the usage from one response body, chunk by chunk. It buffers at most two events, or the end of a plain body.
/// The layers use it automatically.
///
/// ```
/// use tower_keypool::{Usage, classify::UsageReader};
///
/// let mut reader = UsageReader::new();
/// reader.push(br#"{"candidates": [], "usageMetadata": {"promptTokenCount": 12, "#);
/// reader.push(br#""candidatesTokenCount": 340}}"#);
/// assert_eq!(reader.finish(), Some(Usage::new(12, 340)));
/// ```
#[derive(Default)]
pub struct UsageReader {
    framing: Framing,
    /// The event that has not ended yet, or the plain body.
    buffer: Vec<u8>,
    /// The offset in the buffer before which no event ends.
    searched: usize,
    /// Whether the start of the buffer was dropped.
    cut: bool,
    /// The last event with usage, which has not been parsed.
    last: Vec<u8>,
    tokens: Tokens,
    error: Option<Bytes>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Framing {
    /// Not known yet: only white space so far.
    #[default]
    Unknown,
    /// Server-sent events.
    Events,
    /// One JSON value: an object, or the array of a stream.
    Json,
}

debug_with_fields!([] UsageReader, "UsageReader");

impl UsageReader {
    /// Creates a reader.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a reader for a response with these headers, or returns `None` if its body is neither JSON nor text.
    /// A compressed body must be decoded first.
    pub(crate) fn for_headers(headers: &HeaderMap) -> Option<Self> {
        // Some servers send JSON as plain text or HTML, or without a type.
        let kinds = [&b"json"[..], b"event-stream", b"text/plain", b"text/html"];
        let readable = headers.get(header::CONTENT_TYPE).is_none_or(|content_type| {
            let content_type = content_type.as_bytes().to_ascii_lowercase();
            content_type.is_empty() || kinds.iter().any(|kind| memmem::find(&content_type, kind).is_some())
        });
        readable.then(Self::new)
    }

    /// Reads the next bytes of the body.
    pub fn push(&mut self, mut chunk: &[u8]) {
        if self.framing == Framing::Unknown {
            // A byte order mark may come first.
            let blank = |byte: &u8| byte.is_ascii_whitespace() || [0xEF, 0xBB, 0xBF].contains(byte);
            let Some(start) = chunk.iter().position(|byte| !blank(byte)) else { return };
            chunk = &chunk[start..];
            self.framing = if matches!(chunk[0], b'{' | b'[') { Framing::Json } else { Framing::Events };
        }
        if self.framing == Framing::Json {
            self.keep(chunk);
        } else if self.buffer.is_empty() {
            let read = self.read_events(chunk);
            self.keep(&chunk[read..]);
        } else {
            let mut buffer = mem::take(&mut self.buffer);
            buffer.extend_from_slice(chunk);
            let read = self.read_events(&buffer);
            buffer.drain(..read);
            self.buffer = buffer;
            self.keep(&[]);
        }
    }

    /// Ends the body and returns the usage, if the body reported one. Call this when the body ends or is dropped.
    pub fn finish(&mut self) -> Option<Usage> {
        let rest = mem::take(&mut self.buffer);
        match mem::replace(&mut self.framing, Framing::Unknown) {
            Framing::Unknown => {}
            Framing::Events => {
                self.read_event(&rest);
                self.read_last_event();
            }
            Framing::Json if self.cut => {
                let text = rest.trim_ascii_end();
                match text.strip_suffix(b"]") {
                    Some(items) => self.read_tail(items),
                    // The other fields of the object, which decide whether its error counts, were dropped.
                    None => self.read_tail_usage(text),
                }
            }
            Framing::Json => {
                self.read_usage(&rest);
                self.keep_error(&rest);
            }
        }
        self.tokens.usage()
    }

    /// Returns the maximum number of trailing bytes of the body that have not been parsed yet.
    pub(crate) fn unread(&self) -> usize {
        if self.cut { usize::MAX } else { self.buffer.len() }
    }

    /// Reports whether an event, or a plain body, that ends in the next bytes may be too long to be searched for an error.
    pub(crate) fn is_too_long(&self, bytes: usize) -> bool {
        self.unread().saturating_add(bytes) > LARGEST
    }

    /// Returns the first error that was read since the last call: its event, or the whole body.
    pub(crate) fn take_error(&mut self) -> Option<Bytes> {
        self.error.take()
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() > LARGEST {
            let lost = self.buffer.len() - TAIL;
            self.buffer.drain(..lost);
            self.searched = self.searched.saturating_sub(lost);
            self.cut = true;
        }
    }

    /// Reads the events that end in this text. Returns their length in bytes.
    fn read_events(&mut self, text: &[u8]) -> usize {
        let (mut start, mut from) = (0, mem::take(&mut self.searched));
        while let Some((end, next)) = event_end(text, from) {
            self.read_event(&text[start..end]);
            (start, from) = (next, next);
        }
        // The blank line that ends an event may start in the last three bytes.
        self.searched = text.len().saturating_sub(3).max(start) - start;
        start
    }

    /// Reads one event, from its first line to its last.
    fn read_event(&mut self, event: &[u8]) {
        if mem::take(&mut self.cut) {
            self.read_last_event();
            return self.read_tail(event);
        }
        if let Some(place) = USAGE.find_iter(event).last() {
            if !repeats_usage(&event[place..], &self.last) {
                self.read_last_event();
            }
            self.last.clear();
            self.last.extend_from_slice(event);
        }
        self.keep_error(event);
    }

    fn read_last_event(&mut self) {
        let last = mem::take(&mut self.last);
        self.read_usage(&Event::parse(&last).data);
    }

    /// Reads the usage of an item or of an array of items.
    fn read_usage(&mut self, text: &[u8]) {
        let text = text.trim_ascii();
        if text.starts_with(b"[") {
            for item in serde_json::from_slice::<Vec<&RawValue>>(text).unwrap_or_default() {
                self.read_usage(item.get().as_bytes());
            }
        } else if !text.is_empty()
            && !self.read_last_usage(text)
            && let Ok(item) = serde_json::from_slice(text)
        {
            self.count(&item);
        }
    }

    /// Reads the usage at the end of an object, without parsing the text before it. Returns whether the usage is at the
    /// top level: only then is the text from there on, prefixed with `{`, a valid object.
    fn read_last_usage(&mut self, object: &[u8]) -> bool {
        USAGE.find_iter(object).last().is_some_and(|place| {
            let (before, end) = object.split_at(place);
            // An escaped quote is inside a string.
            !before.ends_with(b"\\")
                && serde_json::from_slice(&[b"{", end].concat()).is_ok_and(|item| self.count(&item))
        })
    }

    /// Updates the counts with the usage of an item. Returns whether it has one.
    fn count(&mut self, item: &Members<'_>) -> bool {
        usage_of(item).inspect(|usage| self.tokens.update(usage)).is_some()
    }

    /// Reads the usage and an error at the end of a text whose start was dropped.
    fn read_tail(&mut self, text: &[u8]) {
        self.read_tail_usage(text);
        let error = in_tail(text, b"\"error\"", &["{"]);
        // An error after dropped fields may be a part of a result.
        if let Some((place, error)) = error
            && text[..place].trim_ascii_end().ends_with(b"{")
        {
            self.keep_error(&[b"data: ", &*error].concat());
        }
    }

    /// Reads the usage at the end of a text. The last event of OpenAI's Responses API contains the whole response.
    fn read_tail_usage(&mut self, text: &[u8]) {
        if let Some((_, whole)) = in_tail(text, USAGE.needle(), &["{", "{\"response\":{"])
            && let Ok(item) = serde_json::from_slice(&whole)
        {
            self.count(&item);
        }
    }

    /// Keeps an event or a body if it contains an error.
    fn keep_error(&mut self, text: &[u8]) {
        if self.error.is_none() && holds_error(text) {
            self.error = Some(Bytes::copy_from_slice(text.trim_ascii()));
        }
    }
}

/// Reports whether the end of an event is a usage at the top level that has all counts of an earlier event of Gemini.
fn repeats_usage(end: &[u8], earlier: &[u8]) -> bool {
    const ALL: [&str; 4] =
        ["promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount"];
    static COUNTS: LazyLock<[Finder<'static>; 4]> = LazyLock::new(|| ALL.map(Finder::new));
    static OTHERS: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("_tokens\""));
    let number = |brace| memchr::memchr_iter(brace, end).count();
    number(b'}') == number(b'{') + 1
        && COUNTS.iter().all(|name| name.find(end).is_some() || name.find(earlier).is_none())
        && OTHERS.find(earlier).is_none()
}

/// Returns the place of a field at the end of a text whose start was dropped, and the field with those after it as an
/// object. The text from a field on is a valid object after one of the prefixes only if the field is at that level.
fn in_tail(text: &[u8], field: &[u8], prefixes: &[&str]) -> Option<(usize, Vec<u8>)> {
    let text = text.trim_ascii_end();
    memmem::rfind_iter(text, field).take(8).find_map(|place| {
        let whole = prefixes.iter().map(|prefix| [prefix.as_bytes(), &text[place..]].concat());
        let is_object = |whole: &Vec<u8>| serde_json::from_slice::<serde::de::IgnoredAny>(whole).is_ok();
        whole.into_iter().find(is_object).map(|whole| (place, whole))
    })
}

/// Returns the usage of an item: the whole body, an event, or an item of an array. It is at the top level or in one of
/// the objects below it, such as Anthropic's `message` or Groq's `x_groq`.
fn usage_of<'a>(item: &Members<'a>) -> Option<Members<'a>> {
    const INNER: [&str; 5] = ["message", "response", "interaction", "delta", "x_groq"];
    let object = |value: &'a RawValue| serde_json::from_str::<Members<'a>>(value.get()).ok();
    let usage =
        |members: &Members<'a>| ["usage", "usageMetadata"].into_iter().find_map(|name| object(members.get(name)?));
    let choices = item.get("choices").filter(|choices| USAGE.find(choices.get().as_bytes()).is_some());
    let choices = || serde_json::from_str::<Vec<Members<'a>>>(choices?.get()).ok();
    usage(item)
        .or_else(|| INNER.into_iter().find_map(|name| usage(&object(item.get(name)?)?)))
        .or_else(|| choices()?.iter().find_map(usage))
}

/// The counts of input tokens of the formats. The first one of a row must be present, the others are added to it.
#[rustfmt::skip]
const INPUT: &[&[&str]] = &[
    &["promptTokenCount", "toolUsePromptTokenCount"], &["prompt_tokens"],
    // Anthropic counts tokens that are read from or written to a cache separately.
    &["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"],
    &["total_input_tokens", "total_tool_use_tokens"],
];
/// The counts of output tokens, likewise.
#[rustfmt::skip]
const OUTPUT: &[&[&str]] = &[
    &["candidatesTokenCount"], &["completion_tokens"], &["output_tokens"],
    &["total_output_tokens", "total_thought_tokens"],
];

/// The token counts of a body. A later count replaces an earlier one of the same kind: Gemini's are cumulative. The
/// input never falls, since Anthropic's last usage may leave out the tokens of the cache.
#[derive(Default)]
struct Tokens {
    input: Option<u64>,
    output: Option<f64>,
    thoughts: Option<f64>,
}

impl Tokens {
    fn update(&mut self, usage: &Members<'_>) {
        let count = |name: &str| usage.get(name)?.get().parse::<f64>().ok();
        let sum = |names: &&[&str]| {
            let (first, others) = names.split_first()?;
            Some(count(first)? + others.iter().filter_map(|name| count(name)).sum::<f64>())
        };
        self.input = self.input.max(INPUT.iter().find_map(sum).map(|input| input as u64));
        self.output = OUTPUT.iter().find_map(sum).or(self.output);
        self.thoughts = count("thoughtsTokenCount").or(self.thoughts);
        // Cohere has the counts one level deeper.
        if let Some(tokens) = usage.get("tokens").and_then(|tokens| serde_json::from_str(tokens.get()).ok()) {
            self.update(&tokens);
        }
    }

    /// Returns the usage, or `None` if the number of prompt tokens is not known.
    fn usage(&self) -> Option<Usage> {
        let output = self.output.unwrap_or_default() + self.thoughts.unwrap_or_default();
        Some(Usage::new(self.input?, output as u64))
    }
}

#[cfg(test)]
mod tests;
