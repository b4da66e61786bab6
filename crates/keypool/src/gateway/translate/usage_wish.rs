//! Streams of `OpenAI`'s chat tell what they cost only where they are asked to: it is asked for what is counted here, and kept
//! from clients who did not ask.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError, RwLock},
};

use bytes::Bytes;
use http::StatusCode;
use memchr::memmem;
use serde_json::{Map, Value, json, value::RawValue};

/// Paths whose streams are asked.
const PATHS: [&str; 2] = ["/chat/completions", "/completions"];

/// Providers that know no such option, by name.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct Unasked(Arc<RwLock<HashSet<String>>>);

impl Unasked {
    /// The body of a request to this provider that asks for its stream's usage, where the client did not.
    pub(super) fn wish(&self, provider: &str, path: &str, body: &Bytes) -> Option<Bytes> {
        let is_asked = PATHS.iter().any(|end| path.ends_with(end));
        let knows = || !self.0.read().unwrap_or_else(PoisonError::into_inner).contains(provider);
        if is_asked && knows() { wishing(body) } else { None }
    }

    /// It took the client's own request, and not the one that asked.
    pub(super) fn refused(&self, provider: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(provider.to_owned());
    }
}

/// Whether an answer of this status may say that the option is not known.
pub(super) fn may_refuse(status: StatusCode) -> bool {
    matches!(status, StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY)
}

/// Whether an error speaks of the option, so that the request is sent as the client wrote it.
pub(super) fn is_of_the_option(said: &[u8]) -> bool {
    ["stream_options", "include_usage"].iter().any(|name| memmem::find(said, name.as_bytes()).is_some())
}

fn wishing(body: &Bytes) -> Option<Bytes> {
    let fields: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(body).ok()?;
    // Some read any number as a truth.
    if matches!(fields.get("stream")?.get(), "false" | "null" | "0") {
        return None;
    }
    let (at, end, written) = match fields.get("stream_options") {
        None => {
            let open = body.iter().position(|byte| *byte == b'{')? + 1;
            (open, open, r#""stream_options":{"include_usage":true},"#.to_owned())
        }
        Some(options) => {
            let options = options.get();
            // The text lies in the body.
            let at = (options.as_ptr() as usize).checked_sub(body.as_ptr() as usize)?;
            let mut fields: Option<Map<String, Value>> = serde_json::from_str(options).ok()?;
            let fields = fields.get_or_insert_default();
            if fields.insert("include_usage".to_owned(), json!(true)) == Some(json!(true)) {
                return None;
            }
            (at, at + options.len(), serde_json::to_string(fields).ok()?)
        }
    };
    Some([&body[..at], written.as_bytes(), &body[end..]].concat().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(body: &str) -> Option<String> {
        let unasked = Unasked::default();
        let wish = unasked.wish("openai", "/v1/chat/completions", &Bytes::copy_from_slice(body.as_bytes()));
        wish.map(|body| String::from_utf8(body.to_vec()).unwrap())
    }

    #[test]
    fn the_rest_of_the_body_stays_as_it_is() {
        let asks = r#"{"stream_options":{"include_usage":true},"#;
        assert_eq!(wish(r#"{ "stream": true, "a":1e0}"#).unwrap(), format!(r#"{asks} "stream": true, "a":1e0}}"#));
        assert!(wish(r#"{"mod\u0065l":"m","str\u0065am":true}"#).is_some());
        assert!(wish(r#"{"stream":1}"#).is_some(), "some take that for true");
        for (options, wished) in [
            ("null", r#"{"include_usage":true}"#),
            (r#"{"include_usage": false}"#, r#"{"include_usage":true}"#),
            (r#"{"include_obfuscation":false}"#, r#"{"include_obfuscation":false,"include_usage":true}"#),
        ] {
            let body = |options: &str| format!(r#"{{"stream":true,"stream_options": {options} ,"n":1}}"#);
            assert_eq!(wish(&body(options)).unwrap(), body(wished));
        }
    }

    #[test]
    fn who_asked_or_wants_no_stream_is_left_alone() {
        for body in [
            r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            r#"{"stream":false}"#,
            r#"{"stream":null}"#,
            r#"{"model":"m"}"#,
            r#"{"stream":true,"stream_options":7}"#,
            r#"{"stream":true"#,
            "--form",
        ] {
            assert_eq!(wish(body), None, "{body}");
        }
    }

    #[test]
    fn a_provider_that_refuses_is_asked_no_more() {
        let (unasked, body) = (Unasked::default(), Bytes::from_static(br#"{"stream":true}"#));
        unasked.refused("one");
        assert_eq!(unasked.wish("one", "/v1/chat/completions", &body), None);
        assert!(unasked.wish("two", "/v1/completions", &body).is_some());
        assert_eq!(unasked.wish("two", "/v1/responses", &body), None);
    }
}
