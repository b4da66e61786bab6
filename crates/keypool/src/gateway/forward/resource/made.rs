//! Requests that make something that stays: a batch, a cache, a file, a video. Where it is open whether that was made they are not
//! sent again ([`Demand::once`](tower_keypool::Demand::once)): a second one would be paid for as well, and its owner asked by nobody.

use std::borrow::Cow;

use http::{Method, request::Parts};
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::{at_once::CALLS, kept, named::Subject};
use crate::gateway::{
    dialect::Dialect,
    route::way::{COMPATIBLE, behind},
};

/// In verbs that make something.
const MAKING: [&str; 7] = [
    "LongRunning",
    "atchGenerateContent",
    "syncBatch",
    "reateTunedModel",
    "importFile",
    "uploadToFileSearchStore",
    "register",
];

/// Whether a request makes something that stays, by its head, at a provider that speaks this dialect.
pub(in crate::gateway) fn makes(dialect: Dialect, head: &Parts) -> bool {
    if head.method != Method::POST {
        return false;
    }
    let path = head.uri.path();
    match behind(path, COMPATIBLE) {
        Some(rest) => kept::is_made_at(rest),
        None if dialect == Dialect::Gemini => makes_natively(head),
        None => behind(path, "/v1").is_some_and(kept::is_made_at),
    }
}

fn makes_natively(head: &Parts) -> bool {
    let path = head.uri.path();
    let verb = memchr::memrchr(b':', path.as_bytes()).map(|at| &path[at + 1..]);
    if verb.is_some_and(|verb| CALLS.contains(&verb)) {
        return false;
    }
    // What is opened holds nothing yet.
    if head.headers.get("x-goog-upload-command").is_some_and(|command| command == "start") {
        return false;
    }
    let path = if path.contains('%') { percent_decode_str(path).decode_utf8_lossy() } else { Cow::Borrowed(path) };
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let verb = last.rsplit_once(':').map_or("", |(_, verb)| verb);
    match Subject::of(head) {
        // Whether an interaction is kept its body says; and a file costs nothing and is gone after two days, while an upload that is
        // lost costs whoever sent it.
        Subject::Other => !matches!(last, "interactions" | "files"),
        Subject::Call | Subject::Named(_) => MAKING.iter().any(|word| verb.contains(word)),
        Subject::Models { .. } | Subject::List(_) | Subject::Elsewhere => false,
    }
}

/// Whether an answer goes on being made when nobody waits for it any more, or is to be kept, by what it is asked with.
pub(in crate::gateway) fn outlives_its_call(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Asked {
        background: Option<bool>,
        store: Option<bool>,
    }
    let read = serde_json::from_slice::<Asked>(body);
    read.is_ok_and(|asked| asked.background == Some(true) || asked.store == Some(true))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn is_made(dialect: Dialect, path: &str) -> bool {
        makes(dialect, &Request::post(path).body(()).unwrap().into_parts().0)
    }

    #[test]
    fn paths_say_what_is_made() {
        for (dialect, path) in [
            (Dialect::Gemini, "/v1beta/models/veo-3:predictLongRunning"),
            (Dialect::Gemini, "/v1beta/models/m%3ApredictLongRunning"),
            (Dialect::Gemini, "/v1beta/models/m:batchGenerateContent"),
            (Dialect::Gemini, "/v1beta/models/m:asyncBatchEmbedContent"),
            (Dialect::Gemini, "/v1beta/cachedContents"),
            (Dialect::Gemini, "/v1beta/tunedModels"),
            (Dialect::Gemini, "/v1beta/fileSearchStores"),
            (Dialect::Gemini, "/v1beta/fileSearchStores/s:importFile"),
            (Dialect::Gemini, "/upload/v1beta/fileSearchStores/s:uploadToFileSearchStore"),
            (Dialect::Gemini, "/v1beta/files:register"),
            (Dialect::Gemini, "/v1beta/openai/batches"),
            (Dialect::OpenAi, "/v1/batches"),
            (Dialect::OpenAi, "/v1/files"),
            (Dialect::OpenAi, "/v1/fine_tuning/jobs"),
            (Dialect::OpenAi, "/v1/videos"),
            (Dialect::OpenAi, "/v1/videos/v_1/remix"),
            (Dialect::OpenAi, "/v1/threads/t_1/runs"),
            (Dialect::Anthropic, "/v1/messages/batches"),
        ] {
            assert!(is_made(dialect, path), "{path}");
        }
        for (dialect, path) in [
            (Dialect::Gemini, "/v1beta/models/m:generateContent"),
            (Dialect::Gemini, "/v1beta/models/m%3AgenerateContent"),
            (Dialect::Gemini, "/v1beta/models/imagen:predict"),
            (Dialect::Gemini, "/v1beta/tunedModels/t:generateContent"),
            (Dialect::Gemini, "/v1beta/batches/b:cancel"),
            (Dialect::Gemini, "/v1beta/interactions"),
            (Dialect::Gemini, "/upload/v1beta/files"),
            (Dialect::Gemini, "/v1beta/openai/chat/completions"),
            (Dialect::OpenAi, "/v1/chat/completions"),
            (Dialect::OpenAi, "/v1/responses"),
            (Dialect::OpenAi, "/v1/batches/b_1/cancel"),
            (Dialect::OpenAi, "/v1/vector_stores/vs_1/search"),
            (Dialect::OpenAi, "/v1/vector_stores/vs_1"),
            (Dialect::Anthropic, "/v1/messages"),
            (Dialect::Anthropic, "/v1/messages/batches/b_1/cancel"),
        ] {
            assert!(!is_made(dialect, path), "{path}");
        }
        let opening = Request::post("/upload/v1beta/files").header("x-goog-upload-command", "start");
        assert!(!makes(Dialect::Gemini, &opening.body(()).unwrap().into_parts().0));
        let looking = Request::get("/v1beta/cachedContents").body(()).unwrap().into_parts().0;
        assert!(!makes(Dialect::Gemini, &looking));
    }

    #[test]
    fn an_answer_outlives_its_call_where_that_is_asked_for() {
        for (body, does) in [
            (r#"{"model":"m","background":true}"#, true),
            (r#"{"input":[{"x":1}],"store":true}"#, true),
            (r#"{"background":false,"store":false}"#, false),
            (r#"{"input":{"background":true}}"#, false),
            ("{}", false),
            ("no JSON", false),
        ] {
            assert_eq!(outlives_its_call(body.as_bytes()), does, "{body}");
        }
    }
}
