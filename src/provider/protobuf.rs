//! Errors as protobuf: `google.rpc.Status`, which Google sends to whoever asks with `?alt=proto`. Read as the JSON that would say
//! the same.
//!
//! Of a message only those fields are read that verdicts go by. What is cut short is read as far as it goes.

use http::{HeaderMap, header};
use serde_json::{Map, Value, json};

/// Fields of one message beyond this many are not read.
const MOST_FIELDS: usize = 256;

/// Whether a body is protobuf, by its type.
pub(super) fn is_protobuf(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    ["application/x-protobuf", "application/protobuf", "application/vnd.google.protobuf"]
        .iter()
        .any(|known| kind.eq_ignore_ascii_case(known))
}

/// A status as JSON has it.
pub(super) fn status(body: &[u8]) -> Value {
    let mut error = Map::new();
    let mut details = Vec::new();
    for field in Fields(body).take(MOST_FIELDS) {
        match field {
            (1, Held::Number(code)) => drop(error.insert("status".to_owned(), word(code).into())),
            (2, Held::Bytes(message)) => drop(error.insert("message".to_owned(), text(message).into())),
            (3, Held::Bytes(any)) => details.extend(detail(any)),
            _ => {}
        }
    }
    error.insert("details".to_owned(), details.into());
    json!({ "error": error })
}

/// A detail of a kind that verdicts go by.
fn detail(any: &[u8]) -> Option<Value> {
    let (kind, value) = (bytes_of(any, 1)?, bytes_of(any, 2)?);
    let kind = text(kind);
    Some(match kind.rsplit('.').next()? {
        "ErrorInfo" => json!({
            "@type": kind,
            "reason": bytes_of(value, 1).map(text),
            "domain": bytes_of(value, 2).map(text),
            "metadata": map(value, 3),
        }),
        "RetryInfo" => {
            let delay = bytes_of(value, 1)?;
            let nanos = number_of(delay, 2).unwrap_or_default().min(999_999_999);
            json!({ "@type": kind, "retryDelay": format!("{}.{nanos:09}s", number_of(delay, 1).unwrap_or_default()) })
        }
        "QuotaFailure" => {
            let violations = Fields(value).take(MOST_FIELDS).filter_map(|field| match field {
                (1, Held::Bytes(violation)) => Some(violated(violation)),
                _ => None,
            });
            json!({ "@type": kind, "violations": violations.collect::<Vec<_>>() })
        }
        _ => return None,
    })
}

fn violated(violation: &[u8]) -> Value {
    let mut members = Map::new();
    let texts = [(1, "subject"), (2, "description"), (4, "quotaMetric"), (5, "quotaId")];
    for (number, name) in texts {
        members.extend(bytes_of(violation, number).map(|value| (name.to_owned(), text(value).into())));
    }
    members.insert("quotaDimensions".to_owned(), map(violation, 6));
    // An int64 is a text in JSON.
    members.extend(number_of(violation, 7).map(|value| ("quotaValue".to_owned(), value.to_string().into())));
    members.into()
}

/// A map of texts.
fn map(message: &[u8], number: u64) -> Value {
    let entries = Fields(message).take(MOST_FIELDS).filter_map(|field| match field {
        (at, Held::Bytes(entry)) if at == number => {
            Some((text(bytes_of(entry, 1)?), bytes_of(entry, 2).map(text).into()))
        }
        _ => None,
    });
    Value::Object(entries.collect())
}

fn bytes_of(message: &[u8], number: u64) -> Option<&[u8]> {
    Fields(message).take(MOST_FIELDS).find_map(|field| match field {
        (at, Held::Bytes(bytes)) if at == number => Some(bytes),
        _ => None,
    })
}

fn number_of(message: &[u8], number: u64) -> Option<u64> {
    Fields(message).take(MOST_FIELDS).find_map(|field| match field {
        (at, Held::Number(value)) if at == number => Some(value),
        _ => None,
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a field holds.
enum Held<'a> {
    Number(u64),
    /// A text, or a message.
    Bytes(&'a [u8]),
    /// A number of fixed length, which no field here is.
    Other,
}

/// The fields of a message, as far as it goes.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Held<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.number()?;
        let held = match tag & 7 {
            0 => Held::Number(self.number()?),
            1 => self.bytes(8).map(|_| Held::Other)?,
            // The last one may be cut.
            2 => {
                let length = usize::try_from(self.number()?).ok()?;
                Held::Bytes(self.bytes(length.min(self.0.len()))?)
            }
            5 => self.bytes(4).map(|_| Held::Other)?,
            _ => return None,
        };
        Some((tag >> 3, held))
    }
}

impl<'a> Fields<'a> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for (at, &byte) in self.0.iter().enumerate().take(10) {
            number |= u64::from(byte & 127).checked_shl(7 * at as u32)?;
            if byte < 128 {
                self.0 = &self.0[at + 1..];
                return Some(number);
            }
        }
        None
    }

    fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

/// What gRPC calls its codes.
fn word(code: u64) -> &'static str {
    const WORDS: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    usize::try_from(code).ok().and_then(|code| WORDS.get(code).copied()).unwrap_or("UNKNOWN")
}
