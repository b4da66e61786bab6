//! Finds the names of resources in requests and responses. Resources are what a provider keeps in a project: files,
//! caches, batches, stores, responses.
//!
//! A name consists of the collection and the id, such as `files/abc`, in all dialects. OpenAI's and Anthropic's bare
//! ids get their collection as a prefix. What the gateway knows of the providers' APIs is one table, `KNOWN_PATHS`.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use http::Method;
use serde_json::Value;

use super::route::{decoded, versions};
use crate::dialect::Dialect::{self, Anthropic, Gemini, OpenAi};

/// A path of a provider's API, and what the gateway knows about it. Lists in texts are separated by spaces.
#[derive(Debug, PartialEq, Eq)]
pub struct KnownPath {
    dialect: Dialect,
    /// The path after the version, as in the provider's documentation. `*` stands for one segment of any text.
    path: &'static str,
    properties: &'static [Property],
    /// Fields of requests whose values name resources.
    fields: &'static str,
    /// The fields of responses that name resources, as paths; `*` stands for each item of a list.
    answers: &'static str,
}

/// A property of a path. By default a path is a collection whose resources expire.
#[derive(Debug, PartialEq, Eq)]
enum Property {
    /// Resources exist until they are deleted, unless a response says when they expire.
    Permanent,
    /// The gateway creates the list of resources from its own table.
    Listed,
    /// A POST only stores data: it needs no model.
    Stores,
    /// Path segments that stand where an id would, but are endpoints that create resources.
    Endpoints(&'static str),
    /// Ends of paths below this one whose responses name resources, too.
    Creates(&'static [&'static str]),
    /// There are no resources of tenants.
    Shared,
    /// Only the gateway's own token may use the path, since responses may show data of all tenants.
    OwnToken,
}
use Property::{Creates, Endpoints, Listed, OwnToken, Permanent, Shared, Stores};

/// All collections that the gateway knows, in any order: the longest path that fits counts.
static KNOWN_PATHS: &[KnownPath] = &[
    known(
        Gemini,
        "files",
        &[Permanent, Listed, Stores],
        "fileUri file_uri uri fileName file_name file_id input_file_id",
        "metadata/output/responsesFile response/responsesFile outputs/*/uri output_file_id error_file_id \
         response/generateVideoResponse/generatedSamples/*/video/uri response/generatedVideos/*/video/uri",
    ),
    known(Gemini, "cachedContents", &[Listed], "cachedContent cached_content", ""),
    known(Gemini, "batches", &[Listed], "", ""),
    known(Gemini, "operations", &[], "", ""),
    known(Gemini, "models/*/operations", &[], "", ""),
    known(Gemini, "models", &[Shared, CREATES_BATCHES], "", ""),
    known(Gemini, "tunedModels", &[Permanent, Listed, CREATES_BATCHES], "", ""),
    known(Gemini, "fileSearchStores", &[Permanent, Listed, Stores], "fileSearchStoreNames file_search_store_names", ""),
    known(Gemini, "corpora", &[Permanent], "", ""),
    known(Gemini, "interactions", &[], "previous_interaction_id previousInteractionId", "interaction/id"),
    // The field `environment` may also be a kind of environment.
    known(Gemini, "environments", &[Permanent], "environment_id", "environment_id interaction/environment_id"),
    known(Gemini, "videos", &[], "", ""),
    known(Gemini, "chat/completions", &[], "", ""),
    known(
        OpenAi,
        "files",
        &[Permanent, Listed, Stores],
        "file_id file_ids input_file_id training_file validation_file",
        "output_file_id error_file_id result_files/* file/id",
    ),
    known(OpenAi, "uploads", &[Stores, Creates(&["/complete"])], "", ""),
    known(OpenAi, "batches", &[Listed], "", ""),
    known(OpenAi, "chat/completions", &[], "", ""),
    known(OpenAi, "responses", &[], "previous_response_id", "response/id"),
    known(OpenAi, "conversations", &[Permanent, Stores], "conversation", "conversation/id"),
    known(OpenAi, "containers", &[Listed, Stores], "container container_id", "output/*/container_id item/container_id"),
    known(OpenAi, "vector_stores", &[Permanent, Listed, Stores], "vector_store_id vector_store_ids", "vector_store_id"),
    known(OpenAi, "assistants", &[Permanent, Listed], "assistant_id", ""),
    known(OpenAi, "threads", &[Endpoints("runs")], "thread_id", "thread_id"),
    known(OpenAi, "videos", &[Listed, Creates(&["/remix"]), Endpoints("edits extensions generations")], "video", ""),
    known(OpenAi, "videos/characters", &[Permanent], "", ""),
    // Their runs may read stored chats and files.
    known(OpenAi, "evals", &[Permanent, OwnToken], "", ""),
    known(OpenAi, "fine_tuning/jobs", &[Listed], "", ""),
    known(OpenAi, "skills", &[Permanent, Stores], "skill_id", ""),
    known(OpenAi, "models", &[Shared], "", ""),
    known(
        Anthropic,
        "files",
        &[Permanent, Listed, Stores],
        "file_id",
        "content/*/content/content/*/file_id content_block/content/content/*/file_id",
    ),
    // The response to `/cancel` is the batch.
    known(Anthropic, "messages/batches", &[Listed, Creates(&["/cancel"])], "", ""),
    known(Anthropic, "skills", &[Permanent, Stores], "skill_id", ""),
    // Not a path: only requests and responses name them.
    known(Anthropic, "containers", &[], "container", "container/id message/container/id delta/container/id"),
    known(Anthropic, "models", &[Shared], "", ""),
];

/// Methods of a model whose responses are batches and operations.
const CREATES_BATCHES: Property =
    Creates(&["batchGenerateContent", "BatchGenerateContent", "BatchEmbedContent", "predictLongRunning"]);

/// Endpoints that keep nothing, of all dialects. They have only POST.
#[rustfmt::skip]
const ENDPOINTS: [&str; 17] = [
    "audio/speech", "audio/transcriptions", "audio/translations", "complete", "completions", "embeddings", "fim/completions",
    "images/edits", "images/generations", "images/variations", "messages", "messages/count_tokens", "moderations", "ocr",
    "rerank", "responses/compact", "responses/input_tokens",
];
static ENDPOINT: KnownPath = known(OpenAi, "", &[Shared], "", "");

/// What may stand before the version in a path, or behind it.
const BASES: [&str; 5] = ["/openai/", "/upload/", "/download/", "/api/", "/inference/"];

const fn known(
    dialect: Dialect,
    path: &'static str,
    properties: &'static [Property],
    fields: &'static str,
    answers: &'static str,
) -> KnownPath {
    KnownPath { dialect, path, properties, fields, answers }
}

/// Reports whether a list contains a word.
fn has(list: &str, word: &str) -> bool {
    list.split_ascii_whitespace().any(|one| one == word)
}

fn known_paths(dialect: Dialect) -> impl Iterator<Item = &'static KnownPath> {
    KNOWN_PATHS.iter().filter(move |known| known.dialect == dialect)
}

impl KnownPath {
    fn segments(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/')
    }

    /// Returns the collection, with which the names of its resources begin.
    fn collection(&self) -> Option<&'static str> {
        self.segments().last().filter(|_| !self.properties.contains(&Shared))
    }

    /// Reports whether a path, in segments, is this one or below it.
    fn contains(&self, path: &[&str]) -> bool {
        let mut path = path.iter();
        self.segments().all(|known| path.next().is_some_and(|segment| known == "*" || known == *segment))
    }

    /// Returns the resource that the value of a field names: by `files/abc`, by a URL of the provider, or by its id
    /// alone. Most of Gemini's fields never have the id alone.
    fn member(&self, field: &str, value: &str, host: &str) -> Option<String> {
        let collection = self.collection()?;
        let text = decoded(value.trim());
        let path = match text.split_once("//") {
            Some((_, rest)) => {
                let (authority, path) = rest.split_once('/')?;
                let authority = authority.to_ascii_lowercase();
                let is_providers = authority.contains(".googleapis.com") || authority.eq_ignore_ascii_case(host);
                is_providers.then_some(path)?
            }
            None => text.trim_start_matches('/'),
        };
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let may_be_id = self.dialect != Gemini || field.ends_with("id") || field.ends_with("Id");
        let id = match path.split('/').skip_while(|segment| *segment != collection).nth(1) {
            Some(id) if !id.is_empty() => split_verb(id).0,
            _ if may_be_id && !path.is_empty() && !path.contains('/') => path,
            _ => return None,
        };
        // Other skills are the provider's own.
        (collection != "skills" || id.starts_with("skill_")).then(|| format!("{collection}/{id}"))
    }
}

/// Reports whether a resource exists until it is deleted, unless the response says when it expires.
pub fn is_permanent(name: &str) -> bool {
    let collection = name.split('/').next();
    KNOWN_PATHS.iter().any(|known| known.collection() == collection && known.properties.contains(&Permanent))
}

/// A known path, and the resource that it names.
#[derive(Debug, PartialEq, Eq)]
pub struct PathName {
    known: &'static KnownPath,
    /// The resource's name; `None` if the path is that of a collection, an endpoint or models.
    pub name: Option<String>,
    /// The rest after the name or the collection: a verb (`:cancel`), or a path below it.
    pub rest: String,
}

impl PathName {
    pub fn collection(&self) -> Option<&'static str> {
        self.known.collection()
    }

    /// Reports whether the response to a request other than DELETE may name resources.
    pub fn may_create(&self) -> bool {
        let is_end = |ends: &[&str]| ends.iter().any(|end| self.rest.ends_with(end));
        (self.collection().is_some() && (self.name.is_none() || self.rest.is_empty()))
            || self.known.properties.iter().any(|property| matches!(property, Creates(ends) if is_end(ends)))
    }

    /// Reports whether a POST to the path generates nothing, but stores data or cancels something.
    pub fn generates_nothing(&self) -> bool {
        let before = self.rest.strip_suffix("cancel");
        self.known.properties.contains(&Stores) || before.is_some_and(|before| before.ends_with([':', '/']))
    }

    /// Reports whether the gateway creates the response to GET from its own table.
    pub fn is_list(&self) -> bool {
        self.name.is_none() && self.rest.is_empty() && self.known.properties.contains(&Listed)
    }

    /// Reports whether the response could contain resources of all tenants.
    pub fn may_show_others(&self, method: &Method) -> bool {
        let reads_models = self.known.path == "models" && matches!(*method, Method::GET | Method::HEAD);
        self.known.properties.contains(&OwnToken) || (self.name.is_none() && method != Method::POST && !reads_models)
    }

    /// Reports whether the path is that of chats, which OpenAI keeps only on request.
    pub fn is_chats(&self) -> bool {
        self.known.path == "chat/completions"
    }
}

/// Returns what is known about a path, whose segments may be percent-encoded; `None` for an unknown path.
pub fn in_path(dialect: Dialect, path: &str) -> Option<PathName> {
    let path = decoded(path);
    let mut rest = versions(&path).1;
    while let Some(base) = BASES.iter().find(|base| rest.starts_with(*base)) {
        rest = versions(&rest[base.len() - 1..]).1;
    }
    let rest = rest.trim_matches('/');
    if ENDPOINTS.contains(&rest) {
        return Some(PathName { known: &ENDPOINT, name: None, rest: String::new() });
    }
    let segments: Vec<&str> = rest.split('/').filter(|segment| !segment.is_empty()).collect();
    let fitting = known_paths(dialect).filter(|known| known.contains(&segments));
    let known = fitting.max_by_key(|known| known.segments().count())?;
    let (start, mut below) = segments.split_at(known.segments().count());
    // Ids of Google's endpoint for OpenAI clients contain the collection.
    if below.len() > 1 && Some(below[0]) == known.collection() {
        below = &below[1..];
    }
    let joined = |start: &str, segments: &[&str]| segments.iter().fold(start.to_owned(), |path, at| path + "/" + at);
    let is_endpoint = |id: &str| known.properties.iter().any(|it| matches!(it, Endpoints(list) if has(list, id)));
    match (known.collection(), below.split_first()) {
        (Some(collection), Some((id, deeper))) if !is_endpoint(id) => {
            let (id, verb) = if dialect == Gemini { split_verb(id) } else { (*id, "") };
            // Operations of two models may have the same id.
            let collection = if known.path.contains('*') { start.join("/") } else { collection.to_owned() };
            Some(PathName { known, name: Some(format!("{collection}/{id}")), rest: joined(verb, deeper) })
        }
        _ => Some(PathName { known, name: None, rest: joined("", below) }),
    }
}

fn split_verb(id: &str) -> (&str, &str) {
    id.split_at(id.find(':').unwrap_or(id.len()))
}

/// Members with arbitrary content of callers and models: a `file_id` in them names no resource.
const FREE_FORM: [&str; 7] = ["args", "response", "arguments", "parameters", "metadata", "input_schema", "labels"];

/// Returns all resources that the JSON body of a request names. URLs of `host`, the provider's own, are recognized,
/// too.
///
/// # Errors
/// If the body may name a resource, but cannot be parsed: it is invalid, or nested more than 128 deep.
pub fn in_body(dialect: Dialect, body: &[u8], host: &str) -> serde_json::Result<Vec<String>> {
    // A body must be parsed if it contains the name of a field, or an escape that could hide one.
    static FIELDS: LazyLock<AhoCorasick> = LazyLock::new(|| {
        let quoted =
            KNOWN_PATHS.iter().flat_map(|known| known.fields.split_whitespace()).map(|field| format!("\"{field}\""));
        AhoCorasick::new(quoted.chain([r"\u00".to_owned()])).expect("a few short patterns")
    });
    let mut names = Vec::new();
    if FIELDS.is_match(body) {
        walk(dialect, &serde_json::from_slice(body)?, host, &mut names);
    }
    names.sort();
    names.dedup();
    Ok(names)
}

fn walk(dialect: Dialect, value: &Value, host: &str, names: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(dialect, item, host, names)),
        Value::Object(members) => {
            let kind = members.get("type").and_then(Value::as_str).unwrap_or_default();
            // Parts of earlier responses, which clients send back: their ids need no access.
            let is_output = ["_call", "_citation", "_path", "_output", "_result"].iter().any(|end| kind.ends_with(end));
            for (field, value) in members {
                if FREE_FORM.contains(&&**field) || (dialect == Anthropic && field == "input") {
                    continue;
                }
                let known = known_paths(dialect).find(|known| has(known.fields, field));
                if let Some(known) = known.filter(|_| !is_output) {
                    let one = |value: &Value| {
                        let text = value.as_str().or_else(|| value.get("id")?.as_str())?;
                        known.member(field, text, host)
                    };
                    match value {
                        Value::Array(items) => names.extend(items.iter().filter_map(one)),
                        value => names.extend(one(value)),
                    }
                }
                walk(dialect, value, host, names);
            }
        }
        _ => {}
    }
}

/// Returns the resources that a response names. `place` is the path of the request: if it is that of a collection or a
/// resource, the `id` of the response is one of its resources.
pub fn in_answer(dialect: Dialect, place: Option<&PathName>, answer: &Value, host: &str) -> Vec<String> {
    let mut names = Vec::new();
    if dialect == Gemini {
        for path in ["name", "file/name"] {
            each_at(answer, path, &mut |text| names.extend(in_path(Gemini, text).and_then(|found| found.name)));
        }
    }
    for known in known_paths(dialect) {
        for path in known.answers.split_whitespace() {
            each_at(answer, path, &mut |text| names.extend(known.member(path, text, host)));
        }
    }
    // The id of xAI's videos is a `request_id`.
    if let Some(place) = place {
        let request_id = || answer.get("request_id").filter(|_| place.collection() == Some("videos"));
        let id = answer.get("id").or_else(request_id).and_then(Value::as_str);
        names.extend(id.and_then(|id| place.known.member("id", id, host)));
    }
    names
}

fn each_at(value: &Value, path: &str, found: &mut dyn FnMut(&str)) {
    let Some((first, rest)) = path.split_once('/').or((!path.is_empty()).then_some((path, ""))) else {
        value.as_str().into_iter().for_each(found);
        return;
    };
    match (first, value) {
        ("*", Value::Array(items)) => items.iter().for_each(|item| each_at(item, rest, found)),
        (member, Value::Object(members)) => {
            members.get(member).into_iter().for_each(|value| each_at(value, rest, found));
        }
        _ => {}
    }
}

/// Returns the time when the resource that a response describes expires, in milliseconds since the Unix epoch.
pub fn expiry(answer: &Value) -> Option<i64> {
    let described = answer.get("file").unwrap_or(answer);
    let text = described.get("expirationTime").or_else(|| described.get("expireTime"))?.as_str()?;
    Some(text.parse::<jiff::Timestamp>().ok()?.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "127.0.0.1:9";

    #[test]
    fn resources_are_read_from_paths() {
        for (dialect, path, name, rest) in [
            (Gemini, "/v1beta/files/abc", Some("files/abc"), ""),
            (Gemini, "/download/v1beta/files/abc:download", Some("files/abc"), ":download"),
            (Gemini, "/v1beta/files%2Fabc", Some("files/abc"), ""),
            (Gemini, "/v1beta/files", None, ""),
            (Gemini, "/v1beta/models/m/operations/o", Some("models/m/operations/o"), ""),
            (Gemini, "/v1beta/models/m:batchGenerateContent", None, "/m:batchGenerateContent"),
            (Gemini, "/v1beta/tunedModels/t:generateContent", Some("tunedModels/t"), ":generateContent"),
            (Gemini, "/v1beta/fileSearchStores/s/documents/d", Some("fileSearchStores/s"), "/documents/d"),
            (Gemini, "/upload/v1beta/fileSearchStores/s:upload", Some("fileSearchStores/s"), ":upload"),
            (Gemini, "/v1beta/environments/e/files/f:download", Some("environments/e"), "/files/f:download"),
            (Gemini, "/v1beta/openai/batches/batches/b", Some("batches/b"), ""),
            (OpenAi, "/v1/files/file-1/content", Some("files/file-1"), "/content"),
            (OpenAi, "/openai/v1/files/file-1", Some("files/file-1"), ""),
            (OpenAi, "/v1/threads/thread_1/runs/run_1", Some("threads/thread_1"), "/runs/run_1"),
            (OpenAi, "/v1/threads/runs", None, "/runs"),
            (OpenAi, "/v1/fine_tuning/jobs/ftjob-1", Some("jobs/ftjob-1"), ""),
            (OpenAi, "/v1/responses/input_tokens", None, ""),
            (OpenAi, "/v1/videos/characters/char_1", Some("characters/char_1"), ""),
            (OpenAi, "/v1/chat/completions/chatcmpl-1/messages", Some("completions/chatcmpl-1"), "/messages"),
            (Anthropic, "/v1/messages", None, ""),
            (Anthropic, "/v1/messages/batches/msgbatch_1/results", Some("batches/msgbatch_1"), "/results"),
        ] {
            let found = in_path(dialect, path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!((found.name.as_deref(), &*found.rest), (name, rest), "{path}");
        }
        for (dialect, path) in [
            (Gemini, "/v1beta/agents/a"),
            (Gemini, "/v1beta/filesearch"),
            (OpenAi, "/v1/agents/agent_1/files/file-1"),
            (OpenAi, "/v1/embeddings/x"),
            (Anthropic, "/v1/sessions/sesn_1/events"),
            (Anthropic, "/v1/FILES/file_1"),
        ] {
            assert_eq!(in_path(dialect, path), None, "{path}");
        }
        assert!(!in_path(OpenAi, "/v1/responses/compact").expect("a known path").may_create());
    }

    #[test]
    fn bodies_name_resources_by_name_and_by_url() {
        for (dialect, body, names) in [
            (Gemini, r#"{"contents":[{"parts":[{"fileData":{"fileUri":"files/a"}}]}]}"#, &["files/a"][..]),
            (Gemini, r#"{"file_uri":"https://x.googleapis.com/v1beta/files/a?alt=media"}"#, &["files/a"]),
            (Gemini, r#"{"file_uri":"https://X.GOOGLEAPIS.COM:443/v1beta/files/a"}"#, &["files/a"]),
            (Gemini, r#"{"fileUri":"http://127.0.0.1:9/v1beta/files/a:download"}"#, &["files/a"]),
            (Gemini, r#"{"f\u0069leUri":"files\/a"}"#, &["files/a"]),
            (Gemini, r#"{"fileUri":"https://www.youtube.com/watch?v=files/a"}"#, &[]),
            (Gemini, r#"{"fileUri":"https://example.com/v1/files/a"}"#, &[]),
            (Gemini, r#"{"functionCall":{"args":{"fileUri":"files/a"}},"text":"fileUri: files/a"}"#, &[]),
            (Gemini, r#"{"cachedContent":"cachedContents/c","":"batches/b"}"#, &["cachedContents/c"]),
            (Gemini, r#"{"batch":{"input_config":{"file_name":"files/a"}},"fileName":"a.txt"}"#, &["files/a"]),
            (Gemini, r#"{"fileSearchStoreNames":["fileSearchStores/s"]}"#, &["fileSearchStores/s"]),
            (Gemini, r#"{"previousInteractionId":"i","environment_id":"e"}"#, &["environments/e", "interactions/i"]),
            (OpenAi, r#"{"input":[{"type":"input_file","file_id":"file-1"}]}"#, &["files/file-1"]),
            (OpenAi, r#"{"previous_response_id":"resp_1","metadata":{"file_id":"x"}}"#, &["responses/resp_1"]),
            (OpenAi, r#"{"conversation":{"id":"conv_1"}}"#, &["conversations/conv_1"]),
            (OpenAi, r#"{"video":{"id":"video_1"}}"#, &["videos/video_1"]),
            (OpenAi, r#"{"input":[{"type":"code_interpreter_call","container_id":"cntr_1"}]}"#, &[]),
            (OpenAi, r#"{"tools":[{"container":{"type":"auto"}}]}"#, &[]),
            (OpenAi, r#"{"tools":[{"container":{"type":"auto","file_ids":["file-1"]}}]}"#, &["files/file-1"]),
            (Anthropic, r#"{"source":{"type":"file","file_id":"file_1"}}"#, &["files/file_1"]),
            (Anthropic, r#"{"type":"tool_use","input":{"file_id":"file_1"}}"#, &[]),
            (Anthropic, r#"{"container":"container_1"}"#, &["containers/container_1"]),
            (Anthropic, r#"{"skills":[{"skill_id":"skill_1"},{"skill_id":"pptx"}]}"#, &["skills/skill_1"]),
        ] {
            assert_eq!(in_body(dialect, body.as_bytes(), HOST).expect("JSON"), names, "{body}");
        }
    }

    #[test]
    fn responses_name_created_resources() {
        let video = r#"{"response":{"generatedVideos":[{"video":{"uri":"https://x.googleapis.com/v1beta/files/v:download"}}]}}"#;
        let batch = r#"{"name":"batches/b","metadata":{"output":{"responsesFile":"files/r"}}}"#;
        let interaction = r#"{"id":"i","environment_id":"e","steps":[{"args":{"uri":"files/x"}}]}"#;
        let container = r#"{"id":"msg_1","container":{"id":"container_1"}}"#;
        for (dialect, path, answer, names) in [
            (Gemini, "/upload/v1beta/files", r#"{"file":{"name":"files/a"}}"#, &["files/a"][..]),
            (Gemini, "/v1beta/models/m:batchGenerateContent", batch, &["batches/b", "files/r"]),
            (
                Gemini,
                "/v1beta/models/m/operations/o",
                r#"{"name":"models/m/operations/o"}"#,
                &["models/m/operations/o"],
            ),
            (Gemini, "/v1beta/operations/o", video, &["files/v"]),
            (Gemini, "/v1beta/interactions", interaction, &["environments/e", "interactions/i"]),
            (OpenAi, "/v1/batches", r#"{"id":"b","output_file_id":"f"}"#, &["files/f", "batches/b"]),
            (OpenAi, "/v1/responses", r#"{"response":{"id":"resp_1"}}"#, &["responses/resp_1"]),
            (OpenAi, "/v1/videos/generations", r#"{"request_id":"5d1c"}"#, &["videos/5d1c"]),
            (Anthropic, "/v1/messages", container, &["containers/container_1"]),
        ] {
            let place = in_path(dialect, path).unwrap_or_else(|| panic!("{path}"));
            let answer = serde_json::from_str(answer).expect("JSON");
            assert!(place.may_create() || path == "/v1/messages", "{path}");
            assert_eq!(in_answer(dialect, Some(&place), &answer, HOST), names, "{answer}");
        }
    }
}
