//! The fields of a request: read one by one, so that an error names its field, and what is left over is known.

use std::borrow::Cow;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Error, ErrorKind};

/// How a request is read, and what of it changed nothing.
#[derive(Debug)]
pub(crate) struct Notes {
    strict: bool,
    ignored: Vec<String>,
}

/// Names of ignored fields that are listed; a header has room for so many.
const MAX_IGNORED: usize = 32;

impl Notes {
    pub(crate) fn new(strict: bool) -> Self {
        Self { strict, ignored: Vec::new() }
    }

    /// Lists a field that changes nothing.
    pub(crate) fn ignore(&mut self, name: impl Into<String>) {
        let name = name.into();
        let plain = !name.is_empty() && name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_graphic());
        if plain && self.ignored.len() < MAX_IGNORED && !self.ignored.contains(&name) {
            self.ignored.push(name);
        }
    }

    /// What cannot be served: an error where the reading is strict, else the field is listed as ignored.
    pub(crate) fn refuse(&mut self, error: Error) -> Result<(), Error> {
        match error.param() {
            Some(param) if !self.strict => {
                self.ignore(param);
                Ok(())
            }
            _ => Err(error),
        }
    }

    pub(crate) fn into_ignored(self) -> Vec<String> {
        self.ignored
    }
}

/// The members of a request's body that were not taken yet.
#[derive(Debug)]
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Reads a body that must be one object.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Error> {
        serde_json::from_str(&json_text(body))
            .map(Self)
            .map_err(|error| Error::new(ErrorKind::InvalidRequest, format!("the body is not a JSON object: {error}")))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.peek(name).is_some()
    }

    /// A field, left where it is; none where it is missing or `null`.
    pub(crate) fn peek(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A field; none where it is missing or `null`.
    pub(crate) fn raw(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name).filter(|value| !value.is_null())
    }

    /// A field of a type.
    pub(crate) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Error> {
        self.raw(name).map(|value| read(value, name)).transpose()
    }

    /// A number, which some clients write as text.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<f64>, Error> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|number| number.is_finite());
        number.map(Some).ok_or_else(|| Error::invalid(name, "expected a number"))
    }

    /// A whole number, which some clients write as `100.0` or as text.
    pub(crate) fn integer(&mut self, name: &str) -> Result<Option<i64>, Error> {
        if let Some(integer) = self.peek(name).and_then(Value::as_i64) {
            self.raw(name);
            return Ok(Some(integer));
        }
        let number = self.number(name)?;
        if number.is_some_and(|number| number.fract() != 0.0 || number.abs() > 1e18) {
            return Err(Error::invalid(name, "expected a whole number"));
        }
        Ok(number.map(|number| number as i64))
    }

    /// A limit of tokens: 1 at least; -1, as some clients say "no limit", is ignored.
    pub(crate) fn limit(&mut self, name: &str, notes: &mut Notes) -> Result<Option<u64>, Error> {
        match self.integer(name)? {
            Some(-1) => {
                notes.ignore(name);
                Ok(None)
            }
            Some(limit) if limit < 1 => Err(Error::invalid(name, "expected 1 at least")),
            limit => Ok(limit.map(|limit| limit as u64)),
        }
    }

    /// Fields that never change an answer here.
    pub(crate) fn ignore(&mut self, names: &[&str], notes: &mut Notes) {
        for name in names {
            if self.0.shift_remove(*name).is_some() {
                notes.ignore(*name);
            }
        }
    }

    /// Whatever was not taken: neutral values are ignored, all else cannot be served.
    pub(crate) fn finish(self, neutral: &[(&str, &[&str])], notes: &mut Notes) -> Result<(), Error> {
        for (name, value) in self.0 {
            if is_neutral(&name, &value, neutral) {
                notes.ignore(name);
            } else {
                let shown = if name.len() <= 64 { name } else { "a field with a long name".to_owned() };
                notes.refuse(Error::invalid(&*shown, "not supported for Gemini models; leave it out"))?;
            }
        }
        Ok(())
    }
}

/// A value of a type, at a place.
pub(crate) fn read<T: DeserializeOwned>(value: Value, place: &str) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|error| Error::invalid(place, error))
}

/// An object without the members that are `null`.
pub(crate) fn without_nulls(mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    object
}

/// Values that say "as without me", of fields that other servers of these dialects know: numbers compare as numbers.
const NEUTRAL: [(&str, &[&str]); 36] = [
    ("add_generation_prompt", &["true"]),
    ("background", &["false"]),
    ("best_of", &["0", "1"]),
    ("continue_final_message", &["false"]),
    ("do_sample", &["true"]),
    ("dry_multiplier", &["0"]),
    ("echo", &["false"]),
    ("frequency_penalty", &["0"]),
    ("ignore_eos", &["false"]),
    ("include_reasoning", &["false"]),
    ("include_stop_str_in_output", &["false"]),
    ("length_penalty", &["1"]),
    ("logprobs", &["false"]),
    ("min_p", &["0"]),
    ("min_tokens", &["0"]),
    ("mirostat", &["0"]),
    ("no_repeat_ngram_size", &["0"]),
    ("presence_penalty", &["0"]),
    ("raw", &["false"]),
    ("repeat_penalty", &["1"]),
    ("repetition_penalty", &["1"]),
    ("return_token_ids", &["false"]),
    ("safe_prompt", &["false"]),
    ("skip_special_tokens", &["true"]),
    ("spaces_between_special_tokens", &["true"]),
    ("stream_reasoning", &["false"]),
    ("suffix", &[]),
    ("tfs_z", &["1"]),
    ("think", &["false"]),
    ("top_a", &["0"]),
    ("top_logprobs", &["0"]),
    ("typical_p", &["1"]),
    ("use_beam_search", &["false"]),
    ("use_cache", &["true", "false"]),
    ("verbosity", &["\"medium\""]),
    ("xtc_probability", &["0"]),
];

/// Whether a value changes nothing: `null`, nothing at all (`{}`, `[]`, `""`), or one of the known ones.
fn is_neutral(name: &str, value: &Value, more: &[(&str, &[&str])]) -> bool {
    let text = value.to_string();
    let same = |known: &str| match (value.as_f64(), known.parse::<f64>()) {
        (Some(value), Ok(known)) => (value - known).abs() < f64::EPSILON,
        _ => text == known,
    };
    let known = NEUTRAL.iter().chain(more).filter(|(known, _)| *known == name);
    matches!(&*text, "null" | "{}" | "[]" | "\"\"") || known.flat_map(|(_, values)| *values).any(|known| same(known))
}

/// A body as JSON text. What clients cut through is mended: bytes that are no UTF-8, halves of surrogate pairs.
fn json_text(body: &[u8]) -> Cow<'_, str> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = String::from_utf8_lossy(body);
    if text.contains("\\ud") || text.contains("\\uD") { mend_surrogates(text) } else { text }
}

/// Puts U+FFFD in the place of each half of a surrogate pair that stands alone.
fn mend_surrogates(text: Cow<'_, str>) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let code = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let (mut at, mut alone) = (0, Vec::new());
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
            continue;
        }
        match code(at) {
            Some(0xD800..0xDC00) if matches!(code(at + 6), Some(0xDC00..0xE000)) => at += 12,
            Some(0xD800..0xE000) => {
                alone.push(at);
                at += 6;
            }
            Some(_) => at += 6,
            None => at += 2,
        }
    }
    if alone.is_empty() {
        return text;
    }
    let mut mended = text.into_owned();
    for at in alone {
        mended.replace_range(at..at + 6, "\\ufffd");
    }
    Cow::Owned(mended)
}
