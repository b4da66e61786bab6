//! Google's error as protobuf has it (`?alt=proto`): a `google.rpc.Status`, brought into the form that JSON has. What is
//! read are its fields, never words that stand somewhere in it: a caller may have chosen those.

use serde_json::{Map, Value, json};

/// Fields beyond this many are not read.
const MOST_FIELDS: usize = 256;

/// gRPC's codes, from 1 on.
const NAMES: [&str; 16] = [
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

/// The error, as `{"error": {status, message, details}}`; `None` where the body is none of these. One that was cut short
/// says as much as came.
pub(super) fn read(body: &[u8]) -> Option<Value> {
    let mut error = Map::new();
    let mut details = Vec::new();
    for (number, field) in Fields(body).take(MOST_FIELDS) {
        match (number, field) {
            (1, Field::Number(code)) => {
                let name = NAMES.get(usize::try_from(code).ok()?.checked_sub(1)?)?;
                error.insert("status".to_owned(), (*name).into());
            }
            // The code comes first; what does not begin with it is something else.
            _ if error.is_empty() => return None,
            (2, Field::Bytes(message)) => _ = error.insert("message".to_owned(), text(message)),
            (3, Field::Bytes(any)) => details.extend(detail(any)),
            _ => {}
        }
    }
    if error.is_empty() {
        return None;
    }
    error.insert("details".to_owned(), details.into());
    Some(json!({ "error": error }))
}

fn detail(any: &[u8]) -> Option<Value> {
    let kind = bytes(any, 1).next()?;
    let value = bytes(any, 2).next()?;
    match kind.rsplit(|byte| *byte == b'/').next()? {
        b"google.rpc.ErrorInfo" => {
            Some(json!({ "reason": first(value, 1), "domain": first(value, 2), "metadata": map(value, 3) }))
        }
        b"google.rpc.QuotaFailure" => {
            let violation = |value: &[u8]| {
                json!({
                    "subject": first(value, 1),
                    "description": first(value, 2),
                    "quotaMetric": first(value, 4),
                    "quotaId": first(value, 5),
                    "quotaDimensions": map(value, 6),
                    "quotaValue": number(value, 7).map(|amount| amount.to_string()),
                })
            };
            Some(json!({ "violations": bytes(value, 1).map(violation).collect::<Vec<_>>() }))
        }
        b"google.rpc.RetryInfo" => {
            let seconds = bytes(value, 1).next().and_then(|delay| number(delay, 1)).unwrap_or(0);
            Some(json!({ "retryDelay": format!("{seconds}s") }))
        }
        _ => None,
    }
}

fn text(bytes: &[u8]) -> Value {
    String::from_utf8_lossy(bytes).into()
}

/// All fields of this number that are texts or messages.
fn bytes(message: &[u8], wanted: u64) -> impl Iterator<Item = &[u8]> {
    Fields(message).take(MOST_FIELDS).filter_map(move |(number, field)| match field {
        Field::Bytes(bytes) if number == wanted => Some(bytes),
        _ => None,
    })
}

fn first(message: &[u8], wanted: u64) -> Option<Value> {
    bytes(message, wanted).next().map(text)
}

fn number(message: &[u8], wanted: u64) -> Option<u64> {
    Fields(message).take(MOST_FIELDS).find_map(|(number, field)| match field {
        Field::Number(value) if number == wanted => Some(value),
        _ => None,
    })
}

/// A map of texts.
fn map(message: &[u8], wanted: u64) -> Value {
    let entry = |entry| Some((String::from_utf8_lossy(bytes(entry, 1).next()?).into_owned(), first(entry, 2)?));
    Value::Object(bytes(message, wanted).filter_map(entry).collect())
}

/// The fields of a message, as far as it can be read.
struct Fields<'a>(&'a [u8]);

enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a fixed length.
    Other,
}

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Field<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.varint()?;
        let field = match tag & 7 {
            0 => Field::Number(self.varint()?),
            1 => self.skip(8)?,
            2 => {
                let length = usize::try_from(self.varint()?).ok()?;
                let (bytes, rest) = self.0.split_at_checked(length)?;
                self.0 = rest;
                Field::Bytes(bytes)
            }
            5 => self.skip(4)?,
            _ => return None,
        };
        Some((tag >> 3, field))
    }
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn skip(&mut self, length: usize) -> Option<Field<'a>> {
        self.0 = self.0.get(length..)?;
        Some(Field::Other)
    }
}
