//! Reading of a request's fields one by one, so that errors name their field and unread fields are known.

use std::borrow::Cow;

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};

use crate::{Error, ErrorKind};

/// The reading mode of a request, and its fields that had no effect.
#[derive(Debug)]
pub(crate) struct Notes {
    strict: bool,
    ignored: Vec<String>,
}

/// Maximum number of ignored fields to list: they are sent in a header.
const MAX_IGNORED: usize = 32;

impl Notes {
    pub(crate) fn new(strict: bool) -> Self {
        Self { strict, ignored: Vec::new() }
    }

    /// Lists a field as ignored.
    pub(crate) fn ignore(&mut self, name: impl Into<String>) {
        let name = name.into();
        let plain = !name.is_empty() && name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_graphic());
        if plain && self.ignored.len() < MAX_IGNORED && !self.ignored.contains(&name) {
            self.ignored.push(name);
        }
    }

    /// Handles a field that cannot be served: returns the error in strict mode, otherwise lists the field as ignored.
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

/// The unread members of an object, such as a request body.
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

    /// Reports whether a field is neither missing nor empty.
    pub(crate) fn refers(&self, name: &str) -> bool {
        self.peek(name).is_some_and(|value| !is_neutral("", value))
    }

    /// Returns a field without removing it; `None` if it is missing or `null`.
    pub(crate) fn peek(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// Checks that the body belongs to the API that sends its messages in the field `own`.
    ///
    /// # Errors
    /// A 400 that names the path of the API to which the body belongs.
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

    /// Takes a field; `None` if it is missing or empty. An empty `input` is still returned.
    pub(crate) fn raw(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name).filter(|value| !says_nothing(value) || name == "input" && !value.is_null())
    }

    /// Takes a field and deserializes it.
    pub(crate) fn take<T: DeserializeOwned>(&mut self, name: &str) -> Result<Option<T>, Error> {
        self.raw(name).map(|value| read(value, name)).transpose()
    }

    /// Takes a text that must not be blank.
    pub(crate) fn text(&mut self, name: &str, missing: &str) -> Result<String, Error> {
        let text: Option<String> = self.take(name)?;
        text.filter(|text| !text.trim().is_empty()).ok_or_else(|| Error::invalid(name, missing))
    }

    /// Takes a number, which some clients write as text.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<f64>, Error> {
        let Some(value) = self.raw(name) else { return Ok(None) };
        let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok()).filter(|number| number.is_finite());
        number.map(Some).ok_or_else(|| Error::invalid(name, "expected a number"))
    }

    /// Takes an integer, which some clients write as `100.0` or as text.
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

    /// Takes a number of things.
    pub(crate) fn count(&mut self, name: &str) -> Result<Option<u32>, Error> {
        let count = self.integer(name)?.map(u32::try_from).transpose();
        count.map_err(|_| Error::invalid(name, "expected 0 or more"))
    }

    /// Takes a limit, which is at least 1. A limit of -1 is ignored: some clients mean "no limit" by it.
    pub(crate) fn limit(&mut self, name: &str, notes: &mut Notes) -> Result<Option<u64>, Error> {
        match self.integer(name)? {
            Some(-1) => {
                notes.ignore(name);
                Ok(None)
            }
            Some(limit) if limit < 1 => Err(Error::invalid(name, "expected at least 1")),
            limit => Ok(limit.map(|limit| limit as u64)),
        }
    }

    /// Handles the unread fields of the object at `place`: fields without effect are ignored, all others are refused.
    pub(crate) fn finish(self, place: &str, notes: &mut Notes) -> Result<(), Error> {
        for (name, value) in self.0.into_iter().filter(|(_, value)| !value.is_null()) {
            let short = if name.len() <= 64 { &name } else { "a field with a long name" };
            let shown = if place.is_empty() { short.to_owned() } else { format!("{place}.{short}") };
            if lists(NEVER_MATTER, &name) || lists(NEVER_MATTER, &shown) || is_neutral(&name, &value) {
                notes.ignore(shown);
            } else {
                notes.refuse(Error::invalid(shown, "not supported for Gemini models; leave it out"))?;
            }
        }
        Ok(())
    }
}

/// Deserializes the value at `place`.
pub(crate) fn read<T: DeserializeOwned>(value: Value, place: &str) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|error| {
        let text = error.to_string().replace("expected a map", "expected an object");
        // The names of our types mean nothing to callers.
        let text =
            text.split_once("expected struct").map_or(text.clone(), |(front, _)| format!("{front}expected an object"));
        Error::invalid(place, text)
    })
}

/// Takes a member out of an object; `null` if it is missing.
pub(crate) fn take(object: &mut Value, name: &str) -> Value {
    object.get_mut(name).map(Value::take).unwrap_or_default()
}

/// Takes a text out of an object; `None` if it is missing or not a text.
pub(crate) fn take_text(object: &mut Value, name: &str) -> Option<String> {
    if let Value::String(text) = take(object, name) { Some(text) } else { None }
}

/// Creates an object without the members that are `null`. The members are moved, while `json!` copies them.
pub(crate) fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let members = members.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(members.map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Adds the members of an object to another. Any other value replaces it.
pub(crate) fn merge(value: &mut Value, more: Value) {
    match (value.as_object_mut(), more) {
        (Some(members), Value::Object(more)) => members.extend(more),
        (_, more) => *value = more,
    }
}

/// Removes the members that are `null`; returns `null` if none is left.
pub(crate) fn without_nulls(mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    if object == json!({}) { Value::Null } else { object }
}

/// Fields of all dialects that have no effect here. `context_management` only shortens conversations that are too long;
/// `strictJsonSchema` is a setting of Mastra that leaks into bodies; `diagnostics` asks for the reason of a cache miss.
const NEVER_MATTER: &str = "user store metadata client_metadata safety_identifier service_tier inference_geo cache_control \
    prompt_cache_key prompt_cache_retention prompt_cache_options prediction anthropic_version anthropic_beta betas keep_alive \
    chunking_strategy max_tool_calls task_budget diagnostics context_management stream_options strictJsonSchema summary \
    reasoning.context";

/// Values equal to the default, each with the fields of this and other servers that have this default.
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
    ("\"standard\"", "quality speed mode"),
    ("\"medium\"", "verbosity"),
    ("\"low\"", "input_fidelity"),
    ("\"png\"", "output_format"),
    ("\"b64_json\"", "response_format"),
];

fn lists(names: &str, name: &str) -> bool {
    names.split_whitespace().any(|listed| listed == name)
}

/// Reports whether a value is `null`, `""`, or an object whose members are all `null`.
fn says_nothing(value: &Value) -> bool {
    value.is_null() || value == "" || value.as_object().is_some_and(|members| members.values().all(Value::is_null))
}

/// Reports whether a value has the same effect as a missing field: an empty value, `[]`, or a known default.
fn is_neutral(name: &str, value: &Value) -> bool {
    let text = value.to_string();
    let is_known = |known: &str| match (value.as_f64(), known.parse::<f64>()) {
        (Some(value), Ok(known)) => (value - known).abs() < f64::EPSILON,
        _ => text == known,
    };
    says_nothing(value) || text == "[]" || NEUTRAL.iter().any(|(known, names)| is_known(known) && lists(names, name))
}

/// Returns a body as JSON text. Repairs characters that clients cut: invalid UTF-8 and halves of surrogate pairs.
pub(crate) fn json_text(body: &[u8]) -> Cow<'_, str> {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = std::str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed);
    let has = |half: &str| memchr::memmem::find(body, half.as_bytes()).is_some();
    if has("\\ud") || has("\\uD") { mend_surrogates(text) } else { text }
}

/// Replaces each unpaired surrogate with U+FFFD.
fn mend_surrogates(text: Cow<'_, str>) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    let code = |at: usize| {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u16::from_str_radix(digits, 16).ok()
    };
    let (mut at, mut alone) = (0, Vec::new());
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr(b'\\', rest)) {
        at += found;
        at += match (code(at), code(at + 6)) {
            (Some(0xD800..0xDC00), Some(0xDC00..0xE000)) => 12,
            (Some(0xD800..0xE000), _) => {
                alone.push(at);
                6
            }
            _ => 2,
        };
    }
    let mut mended = text.into_owned();
    for at in alone {
        mended.replace_range(at..at + 6, "\\ufffd");
    }
    Cow::Owned(mended)
}
