//! Where the results of Anthropic's batches are fetched: a batch names the whole URL, and official clients go there with
//! whatever token they have. So it is told as one of the gateway's own, by which the client came.

use std::ops::Range;

use bytes::Bytes;
use http::{HeaderValue, Method, header, request::Parts};
use memchr::memmem;
use serde_json::de::Deserializer;

use super::upload::scheme;
use crate::gateway::route::way::behind;

const COLLECTION: &str = "/messages/batches";
const FIELD: &[u8] = b"\"results_url\"";

/// The collection of batches as a client came by it, such as `http://host:port/to/NAME/v1/messages/batches`.
#[derive(Debug)]
pub(in crate::gateway) struct Results(String);

/// The path of the collection, where a request that came by this path is answered by batches.
pub(in crate::gateway) fn collection(parts: &Parts) -> Option<Box<str>> {
    let path = parts.uri.path();
    // Most paths, which take no search.
    if path.starts_with("/v1beta/models/") {
        return None;
    }
    let end = path.rfind(COLLECTION)? + COLLECTION.len();
    let below = behind(&path[end..], "")?.trim_end_matches('/');
    let tells = matches!(parts.method, Method::GET | Method::POST) && !below.ends_with("/results");
    tells.then(|| path[..end].into())
}

impl Results {
    /// Of a request to this path of a host.
    pub(in crate::gateway) fn at(head: &Parts, host: &str, path: &str) -> Self {
        Self(format!("{}://{host}{path}", scheme(head)))
    }

    /// Asks for an answer in which they can be told.
    pub(in crate::gateway) fn be_readable(head: &mut Parts) {
        head.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }

    /// An answer that leads here. All else in it stays as the provider wrote it.
    pub(in crate::gateway) fn told(&self, answer: Bytes) -> Bytes {
        let (mut told, mut from) = (Vec::new(), 0);
        for at in memmem::find_iter(&answer, FIELD) {
            let Some((place, url)) = text_behind(&answer, at + FIELD.len()) else { continue };
            let Some((_, below)) = url.split_once(COLLECTION).filter(|(_, below)| below.starts_with('/')) else {
                continue;
            };
            let Ok(ours) = serde_json::to_vec(&format!("{}{below}", self.0)) else { continue };
            told.extend_from_slice(&answer[from..place.start]);
            told.extend_from_slice(&ours);
            from = place.end;
        }
        if from == 0 {
            return answer;
        }
        told.extend_from_slice(&answer[from..]);
        told.into()
    }
}

/// The text that a field has whose name ends here, and where it stands.
fn text_behind(answer: &[u8], at: usize) -> Option<(Range<usize>, String)> {
    let rest = answer[at..].trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let start = answer.len() - rest.len();
    let mut texts = Deserializer::from_slice(rest).into_iter::<String>();
    let text = texts.next()?.ok()?;
    Some((start..start + texts.byte_offset(), text))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn parts(method: Method, path: &str) -> Parts {
        Request::builder().method(method).uri(path).body(()).unwrap().into_parts().0
    }

    #[test]
    fn answers_of_the_collection_tell_of_batches() {
        for (method, path, expected) in [
            (Method::POST, "/v1/messages/batches", Some("/v1/messages/batches")),
            (Method::GET, "/to/a/v1/messages/batches?limit=2", Some("/to/a/v1/messages/batches")),
            (Method::GET, "/anthropic/v1/messages/batches/b", Some("/anthropic/v1/messages/batches")),
            (Method::POST, "/v1/messages/batches/b/cancel", Some("/v1/messages/batches")),
            (Method::GET, "/v1/messages/batches/b/results", None),
            (Method::DELETE, "/v1/messages/batches/b", None),
            (Method::POST, "/v1/messages", None),
            (Method::GET, "/v1/messages/batches-of-mine", None),
        ] {
            assert_eq!(collection(&parts(method, path)).as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn nothing_but_the_address_is_told_otherwise() {
        let results = Results::at(&parts(Method::GET, "/"), "pool.example:80", "/to/a/v1/messages/batches");
        for (answer, expected) in [
            (
                r#"{"id":"b","results_url" : "https://api.anthropic.com/v1/messages/batches/b/results","n":1.50}"#,
                r#"{"id":"b","results_url" : "http://pool.example:80/to/a/v1/messages/batches/b/results","n":1.50}"#,
            ),
            (
                r#"[{"results_url":"https:\/\/h\/messages\/batches\/a\/results"},{"results_url":null},{"results_url":"http://h/v1/messages/batches/c/results"}]"#,
                r#"[{"results_url":"http://pool.example:80/to/a/v1/messages/batches/a/results"},{"results_url":null},{"results_url":"http://pool.example:80/to/a/v1/messages/batches/c/results"}]"#,
            ),
            (r#"{"results_url":"https://elsewhere.example/x"}"#, r#"{"results_url":"https://elsewhere.example/x"}"#),
            (
                r#"{"x":"\"results_url\":\"https://h/v1/messages/batches/b/results\"","y":"results_url"}"#,
                r#"{"x":"\"results_url\":\"https://h/v1/messages/batches/b/results\"","y":"results_url"}"#,
            ),
            (r#"{"results_url":"https://h/v1/mess"#, r#"{"results_url":"https://h/v1/mess"#),
        ] {
            assert_eq!(results.told(Bytes::from_static(answer.as_bytes())), expected);
        }
    }
}
