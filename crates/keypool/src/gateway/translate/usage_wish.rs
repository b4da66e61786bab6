//! Streams of `OpenAI`'s chat tell what they cost only where they are asked to: it is asked for what is counted here, and kept
//! from clients who did not ask.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use bytes::Bytes;
use http::StatusCode;
use memchr::memmem;
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};
use tower_keypool::Tick;

/// Paths whose streams are asked.
const PATHS: [&str; 2] = ["/chat/completions", "/completions"];

/// So long a refusal holds, and so many are known: a name may stand for another deployment later.
const HOLDS: Duration = Duration::from_secs(3_600);
const MOST: usize = 256;

/// Who knows no such option: a model of a provider.
type Whom = (String, Box<str>);

/// Those that refused it of late, and when.
#[derive(Clone, Debug, Default)]
pub(in crate::gateway) struct Unasked(Arc<RwLock<HashMap<Whom, Tick>>>);

/// A body that asks for its stream's usage, where the client's did not.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) body: Bytes,
    /// Whose refusal it is that may come of it: none's, where the client's own body is odd enough to be refused for.
    whom: Option<Whom>,
}

impl Unasked {
    /// The wish that goes with a request to this provider.
    pub(super) fn wish(&self, provider: &str, path: &str, body: &Bytes, now: Tick) -> Option<Wish> {
        let refuses = |whom: &Whom| {
            let refused = self.0.read().unwrap_or_else(PoisonError::into_inner);
            refused.get(whom).is_some_and(|at| now.since(*at) < HOLDS)
        };
        PATHS.iter().any(|end| path.ends_with(end)).then(|| wishing(provider, body, refuses))?
    }

    /// It was refused for this. Known at once: a limit may have no room for the same without it before the next one comes.
    pub(super) fn refused(&self, wish: &Wish, now: Tick) {
        let Some(whom) = &wish.whom else { return };
        let mut refused = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= MOST {
            refused.retain(|_, at| now.since(*at) < HOLDS);
        }
        if refused.len() < MOST {
            refused.insert(whom.clone(), now);
        }
    }

    /// The client's own is refused, too: it was not for this.
    pub(super) fn forgive(&self, wish: &Wish) {
        if let Some(whom) = &wish.whom {
            self.0.write().unwrap_or_else(PoisonError::into_inner).remove(whom);
        }
    }
}

/// Whether an answer of this status may say that the option is not known.
pub(super) fn may_refuse(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::FORBIDDEN
            | StatusCode::UNPROCESSABLE_ENTITY
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::NOT_IMPLEMENTED
    )
}

/// Whether an error speaks of the option, so that the request is sent as the client wrote it.
pub(super) fn is_of_the_option(said: &[u8]) -> bool {
    let said = said.to_ascii_lowercase();
    let names = ["stream_options", "streamoptions", "stream options", "include_usage"];
    names.iter().any(|name| memmem::find(&said, name.as_bytes()).is_some())
}

fn wishing(provider: &str, body: &Bytes, refuses: impl FnOnce(&Whom) -> bool) -> Option<Wish> {
    let fields: HashMap<Cow<'_, str>, &RawValue> = serde_json::from_slice(body).ok()?;
    let streams = fields.get("stream")?.get();
    // Some read any number as a truth.
    if matches!(streams, "false" | "null" | "0") || asks_as_routers_do(&fields) {
        return None;
    }
    let is_plain = streams == "true" && !fields.contains_key("stream_options");
    let model = || fields.get("model").map_or("", |model| model.get());
    let whom = is_plain.then(|| (provider.to_owned(), model().into()));
    if whom.as_ref().is_some_and(refuses) {
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
    Some(Wish { body: [&body[..at], written.as_bytes(), &body[end..]].concat().into(), whom })
}

/// `OpenRouter`'s own way to ask: `usage: {include: true}`.
fn asks_as_routers_do(fields: &HashMap<Cow<'_, str>, &RawValue>) -> bool {
    #[derive(Deserialize)]
    struct Asked {
        include: bool,
    }
    let asked = fields.get("usage").and_then(|usage| serde_json::from_str::<Asked>(usage.get()).ok());
    asked.is_some_and(|asked| asked.include)
}

#[cfg(test)]
mod tests {
    use tower_keypool::ManualClock;

    use super::*;

    fn wish(body: &str) -> Option<String> {
        let unasked = Unasked::default();
        let wish = unasked.wish(
            "openai",
            "/v1/chat/completions",
            &Bytes::copy_from_slice(body.as_bytes()),
            ManualClock::at(std::time::UNIX_EPOCH).clock().tick(),
        );
        wish.map(|wish| String::from_utf8(wish.body.to_vec()).unwrap())
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
            r#"{"stream":true,"usage":{"include":true}}"#,
            r#"{"stream":true"#,
            "--form",
        ] {
            assert_eq!(wish(body), None, "{body}");
        }
    }

    #[test]
    fn a_model_that_refuses_is_asked_no_more_for_an_hour() {
        let unasked = Unasked::default();
        let body = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let [one, other] = [r#"{"stream":true,"model":"a"}"#, r#"{"stream":true,"model":"b"}"#].map(body);
        let ask = |provider: &str, body: &Bytes, now| unasked.wish(provider, "/v1/chat/completions", body, now);
        let time = ManualClock::at(std::time::UNIX_EPOCH);
        let now = time.clock().tick();
        time.advance(HOLDS);
        let later = time.clock().tick();
        let wish = ask("one", &one, now).unwrap();
        unasked.refused(&wish, now);
        assert!(ask("one", &one, now).is_none());
        assert!(
            ask("one", &other, now).is_some() && ask("two", &one, now).is_some() && ask("one", &one, later).is_some()
        );
        assert!(unasked.wish("two", "/v1/completions", &other, now).is_some());
        assert!(unasked.wish("two", "/v1/responses", &other, now).is_none());
        unasked.forgive(&wish);
        assert!(ask("one", &one, now).is_some());
        // What a client wrote oddly says nothing of what others write.
        for odd in [r#"{"stream":"false","model":"a"}"#, r#"{"stream":true,"model":"a","stream_options":{"x":1}}"#] {
            let wish = ask("one", &body(odd), now).unwrap();
            unasked.refused(&wish, now);
            assert!(ask("one", &one, now).is_some(), "{odd}");
        }
    }

    #[test]
    fn an_error_speaks_of_it_in_any_spelling() {
        for said in
            ["Unrecognized request argument: STREAM_OPTIONS", "unknown field streamOptions", "Stream options can only"]
        {
            assert!(is_of_the_option(said.as_bytes()), "{said}");
        }
        assert!(!is_of_the_option(b"no such model"));
    }
}
