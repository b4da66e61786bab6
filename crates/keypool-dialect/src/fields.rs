//! The fields of a request: read one by one, so that an error names its field, and what is left over is known.

use std::borrow::Cow;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

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

/// The members of an object, such as a request's body, that were not taken yet.
#[derive(Debug, Deserialize)]
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

    /// Whether the body is one of the API whose messages stand in the field `own`.
    ///
    /// # Errors
    /// A 400 that names the path of the API that the body is of.
    pub(crate) fn check_path(&self, own: &str) -> Result<(), Error> {
        let others = [
            ("messages", "/v1/chat/completions or /v1/messages"),
            ("input", "/v1/responses"),
            ("contents", "/v1beta/models/{model}:generateContent"),
        ];
        match others.into_iter().find(|(name, _)| !self.has(own) && self.has(name)) {
            None => Ok(()),
            Some((name, path)) => {
                Err(Error::invalid(name, format_args!("is a field of another API: send this to {path}")))
            }
        }
    }

    /// A field; none where it is missing or says nothing. An empty input is one all the same.
    pub(crate) fn raw(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name).filter(|value| !says_nothing(value) || name == "input" && !value.is_null())
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

    /// Whatever was not taken, of the object at `place`: what changes nothing is ignored, all else cannot be served.
    pub(crate) fn finish(self, place: &str, notes: &mut Notes) -> Result<(), Error> {
        for (name, value) in self.0 {
            let short = if name.len() <= 64 { &name } else { "a field with a long name" };
            let shown = if place.is_empty() { short.to_owned() } else { format!("{place}.{short}") };
            if lists(NEVER_MATTER, &name) || is_neutral(&name, &value) {
                notes.ignore(shown);
            } else {
                notes.refuse(Error::invalid(shown, "not supported for Gemini models; leave it out"))?;
            }
        }
        Ok(())
    }
}

/// A value of a type, at a place.
pub(crate) fn read<T: DeserializeOwned>(value: Value, place: &str) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|error| {
        let said = error.to_string();
        // The names of our types say nothing to anybody.
        let said =
            said.split_once("expected struct").map_or(said.clone(), |(front, _)| format!("{front}expected an object"));
        Error::invalid(place, said)
    })
}

/// A member of an object, taken out of it; `null` where there is none.
pub(crate) fn take(object: &mut Value, name: &str) -> Value {
    object.get_mut(name).map(Value::take).unwrap_or_default()
}

/// An object without the members that are `null`. The members are moved, where `json!` copies them.
pub(crate) fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let members = members.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(members.map(|(name, value)| (name.to_owned(), value)).collect())
}

/// The same of an object that was made otherwise; `null` if nothing is left.
pub(crate) fn without_nulls(mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    if object == json!({}) { Value::Null } else { object }
}

/// Fields that change nothing about an answer here, of all dialects. `context_management` shortens what is too long anyway;
/// `strictJsonSchema` is a setting of Mastra's that gets into bodies.
const NEVER_MATTER: &str = "user store metadata client_metadata safety_identifier service_tier inference_geo cache_control \
    prompt_cache_key prompt_cache_retention prompt_cache_options prediction anthropic_version anthropic_beta betas keep_alive \
    chunking_strategy max_tool_calls context_management stream_options strictJsonSchema summary";

/// Values that say "as without me", and the fields of which, as other servers of these dialects have them.
const NEUTRAL: [(&str, &str); 15] = [
    ("0", "min_p min_tokens mirostat top_a dry_multiplier xtc_probability no_repeat_ngram_size"),
    ("0", "partial_images best_of n presence_penalty frequency_penalty"),
    ("1", "repetition_penalty repeat_penalty length_penalty tfs_z typical_p speed best_of n"),
    ("100", "output_compression"),
    ("false", "echo ignore_eos include_reasoning logprobs raw safe_prompt stream think background use_beam_search"),
    ("false", "continue_final_message include_stop_str_in_output return_token_ids"),
    ("true", "add_generation_prompt do_sample skip_special_tokens spaces_between_special_tokens"),
    ("\"auto\"", "background truncation quality moderation"),
    ("\"opaque\"", "background"),
    ("\"disabled\"", "truncation"),
    ("\"standard\"", "quality speed"),
    ("\"medium\"", "verbosity"),
    ("\"low\"", "input_fidelity"),
    ("\"png\"", "output_format"),
    ("\"b64_json\"", "response_format"),
];

fn lists(names: &str, name: &str) -> bool {
    names.split_whitespace().any(|listed| listed == name)
}

/// Whether a value is `null`, `""` or an object without members, or with none but `null`.
fn says_nothing(value: &Value) -> bool {
    value.is_null() || value == "" || value.as_object().is_some_and(|members| members.values().all(Value::is_null))
}

/// Whether a value says "as without me": one that says nothing, `[]`, or a known one.
fn is_neutral(name: &str, value: &Value) -> bool {
    let text = value.to_string();
    let is_known = |known: &str| match (value.as_f64(), known.parse::<f64>()) {
        (Some(value), Ok(known)) => (value - known).abs() < f64::EPSILON,
        _ => text == known,
    };
    says_nothing(value) || text == "[]" || NEUTRAL.iter().any(|(known, names)| is_known(known) && lists(names, name))
}

/// A body as JSON text. What clients cut through is mended: bytes that are no UTF-8, halves of surrogate pairs.
pub(crate) fn json_text(body: &[u8]) -> Cow<'_, str> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = std::str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed);
    let has = |half: &str| memchr::memmem::find(body, half.as_bytes()).is_some();
    if has("\\ud") || has("\\uD") { mend_surrogates(text) } else { text }
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
    let mut mended = text.into_owned();
    for at in alone {
        mended.replace_range(at..at + 6, "\\ufffd");
    }
    Cow::Owned(mended)
}
