//! What a path is about: a model, or something that belongs to somebody.

use std::borrow::Cow;

use http::{Method, request::Parts};
use keypool_client::names::{SHARED, is_version, without_verb};
use percent_encoding::percent_decode_str;

/// What a request's path is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// A call of a model. Its body may name what belongs to somebody.
    Call,
    /// The models that there are, or one of them.
    Models { version: String, name: Option<String> },
    /// Something of this name, which belongs to somebody.
    Named(String),
    /// All of a collection.
    List(String),
    /// A new one of a collection, or anything else: what its answer names is the caller's.
    Other,
    /// Nothing that is known here: another form of the API, in which anything may be named.
    Elsewhere,
}

/// The collections whose lists are put together here, from each owner's: their items are called `COLLECTION/ID`.
/// Anything else that is read goes to one key, as it is asked for, and comes back as it was answered.
const LISTED: [&str; 8] = [
    "files",
    "cachedContents",
    "tunedModels",
    "batches",
    "operations",
    "fileSearchStores",
    "generatedFiles",
    "corpora",
];

/// What the endpoint for `OpenAI`'s clients has that leaves nothing behind.
const CALLED: [&str; 6] = ["audio", "chat", "completions", "embeddings", "images", "models"];

impl Subject {
    /// Of a request to the provider's own API.
    pub(super) fn of(head: &Parts) -> Self {
        let path = head.uri.path();
        // Nearly every path.
        if (path.starts_with("/v1beta/models/") || path.starts_with("/v1/models/")) && head.method == Method::POST {
            return Self::Call;
        }
        let path = if path.contains('%') { percent_decode_str(path).decode_utf8_lossy() } else { Cow::Borrowed(path) };
        let mut segments = path.split('/').filter(|segment| !segment.is_empty()).peekable();
        while segments.next_if(|first| matches!(*first, "upload" | "download" | "resumable")).is_some() {}
        let Some(version) = segments.next_if(|first| is_version(first)) else { return Self::Elsewhere };
        let rest: Vec<&str> = segments.collect();
        let reads = matches!(head.method, Method::GET | Method::HEAD);
        match *rest {
            ["models"] if reads => Self::Models { version: version.to_owned(), name: None },
            [shared, model, "operations", id, ..] if SHARED.contains(&shared) => {
                Self::Named(format!("{shared}/{model}/operations/{}", without_verb(id)))
            }
            [shared, model, "operations"] if SHARED.contains(&shared) && reads => {
                Self::List(format!("{shared}/{model}/operations"))
            }
            // Another name of one may have slashes.
            ["models", ref name @ ..] if reads && !name.iter().any(|part| part.contains(':')) => {
                Self::Models { version: version.to_owned(), name: Some(name.join("/")) }
            }
            [shared, ..] if SHARED.contains(&shared) => Self::Call,
            // By its native name.
            ["openai", collection @ ("files" | "batches"), named, id, ..] if named == collection => {
                Self::Named(format!("{collection}/{id}"))
            }
            ["openai", collection @ ("files" | "batches" | "videos"), id, ..] => {
                Self::Named(format!("openai/{collection}/{id}"))
            }
            ["openai", collection @ ("files" | "batches" | "videos")] if reads => {
                Self::List(format!("openai/{collection}"))
            }
            [] | ["openai", "files" | "batches" | "videos"] => Self::Other,
            ["openai", called, ..] if CALLED.contains(&called) => Self::Call,
            ["openai", ..] => Self::Elsewhere,
            [collection] if reads && LISTED.contains(&collection) => Self::List(collection.to_owned()),
            // Of all of a collection, found in other ways than its list (`files:search`, `environments:list`).
            [other] if reads || (other.contains(':') && other != "files:register") => Self::Elsewhere,
            [_] => Self::Other,
            [collection, id, ..] => Self::Named(format!("{collection}/{}", without_verb(id))),
        }
    }

    /// The collection that ids in an answer are ids of, and what is gone when it is a good one.
    pub(super) fn told(&self, parts: &Parts) -> (Option<String>, Option<String>) {
        let path = parts.uri.path().trim_end_matches('/');
        match self {
            Self::Named(name) => {
                let collection = name.rsplit_once('/').map(|(collection, _)| collection.to_owned());
                // The thing itself, not something below it.
                let whole = path.ends_with(&**name);
                (collection, (parts.method == Method::DELETE && whole).then(|| name.clone()))
            }
            Self::Other => {
                let last = path.rsplit('/').next().unwrap_or_default();
                let compatible = path.contains("/openai/");
                (Some(if compatible { format!("openai/{last}") } else { last.to_owned() }), None)
            }
            _ => (None, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn paths_say_what_they_are_about() {
        let named = |name: &str| Subject::Named(name.to_owned());
        let list = |name: &str| Subject::List(name.to_owned());
        for (method, path, expected) in [
            (Method::POST, "/v1beta/models/m:generateContent", Subject::Call),
            (Method::POST, "/v1beta/models/m%3AgenerateContent", Subject::Call),
            (Method::POST, "/v1/models/m:generateContent", Subject::Call),
            (Method::POST, "/v1alpha/models/m:predictLongRunning", Subject::Call),
            (Method::GET, "/v1beta/models/m/operations/o1", named("models/m/operations/o1")),
            (Method::GET, "/v1beta/files/abc", named("files/abc")),
            (Method::GET, "/v1beta/files%2Fabc", named("files/abc")),
            (Method::GET, "/v1beta/files/abc:download", named("files/abc")),
            (Method::GET, "/download/v1beta/files/abc:download", named("files/abc")),
            (Method::DELETE, "/v1beta/files/abc", named("files/abc")),
            (Method::POST, "/v1beta/tunedModels/t:generateContent", named("tunedModels/t")),
            (Method::GET, "/v1beta/tunedModels/t/operations/o", named("tunedModels/t")),
            (Method::POST, "/v1beta/batches/b:cancel", named("batches/b")),
            (Method::GET, "/v1beta/interactions/i", named("interactions/i")),
            (Method::POST, "/upload/v1beta/fileSearchStores/s:uploadToFileSearchStore", named("fileSearchStores/s")),
            (Method::GET, "/v1beta/openai/files/file-1/content", named("openai/files/file-1")),
            (Method::GET, "/v1beta/openai/batches/batches/b-1", named("batches/b-1")),
            (Method::POST, "/v1beta/openai/batches/batches%2Fb-1/cancel", named("batches/b-1")),
            (Method::GET, "/v1beta/openai/batches", list("openai/batches")),
            (Method::POST, "/v1beta/openai/chat/completions", Subject::Call),
            (Method::GET, "/v1beta/openai/videos/v-1", named("openai/videos/v-1")),
            (Method::GET, "/v1beta/openai/videos", list("openai/videos")),
            (Method::POST, "/v1beta/openai/videos", Subject::Other),
            (Method::GET, "/v1beta/openai/models", Subject::Call),
            (Method::GET, "/v1beta/openai/responses/r-1", Subject::Elsewhere),
            (Method::POST, "/v1beta/openai/responses", Subject::Elsewhere),
            (Method::GET, "/v1beta/models/veo/operations", list("models/veo/operations")),
            (Method::GET, "/v1beta/environments:list", Subject::Elsewhere),
            (Method::GET, "/v1beta/files:list", Subject::Elsewhere),
            (Method::POST, "/v1beta/files:search", Subject::Elsewhere),
            (Method::GET, "/v1beta/files", list("files")),
            (Method::GET, "/v1beta/cachedContents/", list("cachedContents")),
            (Method::POST, "/v1beta/cachedContents", Subject::Other),
            (Method::POST, "/v1beta/files:register", Subject::Other),
            (Method::POST, "/upload/v1beta/files", Subject::Other),
            (Method::GET, "/v1beta/whatever", Subject::Elsewhere),
            (Method::GET, "/v1beta/openapi.json", Subject::Elsewhere),
            (Method::GET, "/v1beta/interactions", Subject::Elsewhere),
            (Method::GET, "/files", Subject::Elsewhere),
            (Method::POST, "/batch/v1beta", Subject::Elsewhere),
            (Method::POST, "/$rpc/google.ai.generativelanguage.v1beta.FileService/ListFiles", Subject::Elsewhere),
            (Method::POST, "/google.ai.generativelanguage.v1beta.FileService/ListFiles", Subject::Elsewhere),
            (Method::GET, "/v1/models", Subject::Models { version: "v1".to_owned(), name: None }),
            (
                Method::GET,
                "/v1/models/a%2Fm",
                Subject::Models { version: "v1".to_owned(), name: Some("a/m".to_owned()) },
            ),
            (Method::GET, "/v1/models/a/m", Subject::Models { version: "v1".to_owned(), name: Some("a/m".to_owned()) }),
            (Method::GET, "/v1/models/a/m:x", Subject::Call),
            (Method::GET, "/v1/models/m", Subject::Models { version: "v1".to_owned(), name: Some("m".to_owned()) }),
        ] {
            let head = Request::builder().method(&method).uri(path).body(()).unwrap().into_parts().0;
            assert_eq!(Subject::of(&head), expected, "{method} {path}");
        }
    }
}
