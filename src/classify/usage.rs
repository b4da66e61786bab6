//! Reads the used tokens and an error in the middle of a stream from a response body as it streams through.
//!
//! Both are read only where a format defines them: at the top level of an item or one level below it. Anything deeper,
//! such as the arguments of a tool call, is text of the model.

use std::{borrow::Cow, mem, sync::LazyLock};

use bytes::Bytes;
use http::{HeaderMap, header};
use memchr::{memchr2, memchr2_iter, memmem::Finder};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Usage;
use crate::provider::UsageFormat;

/// Maximum size of an event, or of a plain body, that is read as a whole.
const LARGEST: usize = 64 << 10;
/// Number of bytes that are kept from the end of a larger one.
const TAIL: usize = 16 << 10;

static USAGE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"usage"));
static ERROR: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"error"));
/// Cannot match inside a JSON string, where the second quote would be escaped.
static USAGE_METADATA: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"usageMetadata\""));

/// Reads the usage from one response body, chunk by chunk. It buffers at most two events, or the end of a plain body.
/// The layers use it automatically.
///
/// ```
/// use tower_keypool::{Usage, classify::UsageReader, provider::UsageFormat};
///
/// let mut reader = UsageReader::new(UsageFormat::Gemini);
/// reader.push(br#"{"candidates": [], "usageMetadata": {"promptTokenCount": 12, "#);
/// reader.push(br#""candidatesTokenCount": 340}}"#);
/// assert_eq!(reader.finish(), Some(Usage::new(12, 340)));
/// ```
pub struct UsageReader {
    format: UsageFormat,
    framing: Framing,
    /// The event that has not ended yet, or the plain body.
    buffer: Vec<u8>,
    /// The offset in the buffer before which no event ends.
    searched: usize,
    /// Whether the start of the buffer was dropped.
    cut: bool,
    /// The last event of Gemini. Each event repeats the usage, so only the last one is parsed.
    last: Vec<u8>,
    tokens: Tokens,
    error: Option<Bytes>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// Not known yet: only white space so far.
    Unknown,
    /// Server-sent events.
    Events,
    /// One JSON value: an object, or the array of a stream.
    Json,
}

impl std::fmt::Debug for UsageReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UsageReader").field("format", &self.format).finish_non_exhaustive()
    }
}

impl UsageReader {
    /// Creates a reader for a provider that reports usage in this format.
    pub fn new(format: UsageFormat) -> Self {
        Self {
            format,
            framing: Framing::Unknown,
            buffer: Vec::new(),
            searched: 0,
            cut: false,
            last: Vec::new(),
            tokens: Tokens::default(),
            error: None,
        }
    }

    /// Creates a reader for a response with these headers, or returns `None` if its body is neither JSON nor
    /// server-sent events. A compressed body must be decoded first.
    pub(crate) fn for_headers(format: UsageFormat, headers: &HeaderMap) -> Option<Self> {
        // Some servers send JSON as plain text, or without a type.
        let kinds = [&b"json"[..], b"event-stream", b"text/plain"];
        let readable = headers.get(header::CONTENT_TYPE).is_none_or(|content_type| {
            let content_type = content_type.as_bytes();
            kinds.into_iter().any(|kind| {
                let mut starts = memchr2_iter(kind[0], kind[0].to_ascii_uppercase(), content_type);
                starts
                    .any(|at| content_type[at..].get(..kind.len()).is_some_and(|word| word.eq_ignore_ascii_case(kind)))
            })
        });
        readable.then(|| Self::new(format))
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
                self.read_tail(text.strip_suffix(b"]").unwrap_or(text));
            }
            Framing::Json => self.read_json(&rest, false),
        }
        self.tokens.usage()
    }

    /// Returns the maximum number of trailing bytes of the body that have not been parsed yet.
    pub(crate) fn unread(&self) -> usize {
        if self.cut { usize::MAX } else { self.buffer.len() }
    }

    /// Returns the first error that was read since the last call, as the JSON of its event.
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
        let cut = mem::take(&mut self.cut);
        if !is_of_interest(event) {
            return;
        }
        let is_gemini = self.format == UsageFormat::Gemini && has_usage_metadata(event);
        if is_gemini && !cut && ERROR.find(event).is_none() {
            self.last.clear();
            self.last.extend_from_slice(event);
            return;
        }
        self.read_last_event();
        if cut { self.read_tail(event) } else { self.read_data(event) }
    }

    fn read_last_event(&mut self) {
        let last = mem::take(&mut self.last);
        self.read_data(&last);
    }

    /// Reads the data of an event.
    fn read_data(&mut self, event: &[u8]) {
        let (mut data, mut is_error) = (Cow::Borrowed(&b""[..]), false);
        let mut rest = event;
        while !rest.is_empty() {
            if matches!(rest.trim_ascii_start().first(), Some(b'{' | b'[')) {
                // Gemini may end a stream with an error that has no `data:` prefix.
                data = Cow::Borrowed(rest);
                break;
            }
            let end = memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            let line = &rest[..end];
            rest = &rest[rest.len().min(end + 1)..];
            if let Some(value) = line.strip_prefix(b"event:") {
                is_error = value.trim_ascii() == b"error";
            } else if let Some(value) = line.strip_prefix(b"data:") {
                if data.is_empty() {
                    data = Cow::Borrowed(value);
                } else {
                    let data = data.to_mut();
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            }
        }
        self.read_json(&data, is_error);
    }

    /// Reads an item or an array of items.
    fn read_json(&mut self, text: &[u8], is_error: bool) {
        let text = text.trim_ascii();
        if text.starts_with(b"[") {
            for item in serde_json::from_slice::<Vec<&RawValue>>(text).unwrap_or_default() {
                if let Ok(parsed) = serde_json::from_str(item.get()) {
                    self.read_item(item.get().as_bytes(), &parsed);
                }
            }
        } else if (is_error || !self.read_last_usage(text))
            && let Ok(parsed) = serde_json::from_slice(text)
        {
            self.read_item(text, &parsed);
        }
        if is_error {
            self.keep_error(text);
        }
    }

    /// Reads the usage at the end of an object that is not an error, without parsing the text before it. Returns
    /// whether the usage is at the top level: only then is the text from there on, prefixed with `{`, a valid object.
    fn read_last_usage(&mut self, object: &[u8]) -> bool {
        if self.format == UsageFormat::None || ERROR.find(object).is_some() {
            return false;
        }
        let Some(quote) = USAGE.find_iter(object).last().and_then(|place| place.checked_sub(1)) else { return false };
        let (before, end) = object.split_at(quote);
        let Ok(end) = std::str::from_utf8(end) else { return false };
        // An escaped quote is inside a string.
        if before.ends_with(b"\\") {
            return false;
        }
        let Ok(LastUsage { usage, usage_metadata }) = serde_json::from_str(&["{", end].concat()) else { return false };
        let Some(counts) = usage.or(usage_metadata) else { return false };
        self.tokens.update(&counts);
        true
    }

    fn read_item(&mut self, text: &[u8], item: &Item<'_>) {
        if self.format != UsageFormat::None {
            let nested = [item.message, item.response, item.interaction].into_iter().flatten();
            let nested = nested.filter_map(|object| serde_json::from_str::<Nested<'_>>(object.get()).ok()?.usage);
            for usage in nested.chain([item.usage, item.usage_metadata].into_iter().flatten()) {
                if let Ok(counts) = serde_json::from_str(usage.get()) {
                    self.tokens.update(&counts);
                }
            }
        }
        if item.is_error() {
            self.keep_error(text);
        }
    }

    /// Reads the top-level fields at the end of a text whose start was dropped. The text from a top-level field on,
    /// prefixed with `{`, is a valid object; the text from a nested field on is not.
    fn read_tail(&mut self, text: &[u8]) {
        let text = text.trim_ascii_end();
        for field in [&b"\"usage"[..], b"\"error\""] {
            'places: for place in memchr::memmem::rfind_iter(text, field).take(8) {
                // The last event of OpenAI's Responses API contains the whole response.
                for outer in [&b"{"[..], b"{\"response\":{"] {
                    let whole = [outer, &text[place..]].concat();
                    if let Ok(item) = serde_json::from_slice(&whole) {
                        self.read_item(&whole, &item);
                        break 'places;
                    }
                }
            }
        }
    }

    fn keep_error(&mut self, text: &[u8]) {
        self.error.get_or_insert_with(|| Bytes::copy_from_slice(text));
    }
}

/// Reports whether an event must be parsed. Most events contain only text of the model.
fn is_of_interest(event: &[u8]) -> bool {
    USAGE.find(event).is_some() || ERROR.find(event).is_some()
}

/// Reports whether an event contains Gemini's usage, an object named `usageMetadata`.
fn has_usage_metadata(event: &[u8]) -> bool {
    USAGE_METADATA.find(event).is_some_and(|place| {
        let value = event[place + USAGE_METADATA.needle().len()..].trim_ascii_start().strip_prefix(b":");
        value.is_some_and(|value| value.trim_ascii_start().starts_with(b"{"))
    })
}

/// Finds the first event end after `from`. Returns the offsets of that end and of the start of the next event. Lines
/// end with LF, CR LF or CR, and an empty line ends an event.
fn event_end(text: &[u8], mut from: usize) -> Option<(usize, usize)> {
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

/// One JSON object of a response: the whole body, an event, or an item of an array.
#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
    #[serde(borrow)]
    event_type: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    choices: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow, rename = "usageMetadata")]
    usage_metadata: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    interaction: Option<&'a RawValue>,
}

/// The end of an item, starting at its usage.
#[derive(Deserialize)]
struct LastUsage {
    usage: Option<Counts>,
    #[serde(rename = "usageMetadata")]
    usage_metadata: Option<Counts>,
}

/// An object inside an item: a message, a response, a choice.
#[derive(Deserialize)]
struct Nested<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
}

impl Item<'_> {
    fn is_error(&self) -> bool {
        let is = |value: Option<&RawValue>, word: &str| value.is_some_and(|value| value.get() == word);
        is_present(self.error)
            || [self.kind, self.object, self.event_type].into_iter().any(|kind| is(kind, r#""error""#))
            || is(self.kind, r#""response.failed""#)
            || self.response.is_some_and(|response| {
                serde_json::from_str::<Nested<'_>>(response.get())
                    .is_ok_and(|response| is_present(response.error) || is(response.status, r#""failed""#))
            })
            || self.choices.is_some_and(|choices| {
                ERROR.find(choices.get().as_bytes()).is_some()
                    && serde_json::from_str::<Vec<Nested<'_>>>(choices.get())
                        .is_ok_and(|choices| choices.iter().any(|choice| is_present(choice.error)))
            })
    }
}

/// Reports whether there is an `error` that is not empty.
fn is_present(error: Option<&RawValue>) -> bool {
    error.is_some_and(|error| !matches!(error.get(), "{}" | "[]" | "\"\"" | "false"))
}

/// A usage object with the field names of all formats.
#[derive(Deserialize)]
struct Counts {
    #[serde(rename = "promptTokenCount")]
    prompt_token_count: Option<f64>,
    #[serde(rename = "toolUsePromptTokenCount")]
    tool_use_prompt_token_count: Option<f64>,
    #[serde(rename = "candidatesTokenCount")]
    candidates_token_count: Option<f64>,
    #[serde(rename = "thoughtsTokenCount")]
    thoughts_token_count: Option<f64>,
    prompt_tokens: Option<f64>,
    completion_tokens: Option<f64>,
    input_tokens: Option<f64>,
    cache_creation_input_tokens: Option<f64>,
    cache_read_input_tokens: Option<f64>,
    output_tokens: Option<f64>,
    total_input_tokens: Option<f64>,
    total_output_tokens: Option<f64>,
}

/// The token counts of a body. A later count replaces an earlier one of the same kind: Gemini's are cumulative, and
/// Anthropic's last usage object has only the output.
#[derive(Default)]
struct Tokens {
    input: Option<f64>,
    output: Option<f64>,
    thoughts: Option<f64>,
}

impl Tokens {
    fn update(&mut self, counts: &Counts) {
        let sum = |first: Option<f64>, others: &[Option<f64>]| Some(first? + others.iter().flatten().sum::<f64>());
        self.input = sum(counts.prompt_token_count, &[counts.tool_use_prompt_token_count])
            .or(counts.prompt_tokens)
            // Anthropic counts tokens that are read from or written to a cache separately.
            .or(sum(counts.input_tokens, &[counts.cache_creation_input_tokens, counts.cache_read_input_tokens]))
            .or(counts.total_input_tokens)
            .or(self.input);
        self.output = counts
            .candidates_token_count
            .or(counts.completion_tokens)
            .or(counts.output_tokens)
            .or(counts.total_output_tokens)
            .or(self.output);
        self.thoughts = counts.thoughts_token_count.or(self.thoughts);
    }

    /// Returns the usage, or `None` if the number of prompt tokens is not known.
    fn usage(&self) -> Option<Usage> {
        let output = self.output.unwrap_or_default() + self.thoughts.unwrap_or_default();
        Some(Usage::new(self.input? as u64, output as u64))
    }
}

#[cfg(test)]
mod tests;
