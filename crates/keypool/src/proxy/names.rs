//! Finds the names of resources in requests and responses. Resources are what a provider keeps in a project: files,
//! caches, batches, stores, responses.
//!
//! A name consists of the collection and the id, such as `files/abc`, in all dialects. OpenAI's and Anthropic's bare
//! ids get their collection as a prefix.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;
use serde_json::Value;

use super::route::Dialect;
use super::route::decoded;

/// The collections, by their path segment, whose members belong to a project.
fn collections(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Gemini => &[
            "files",
            "generatedFiles",
            "cachedContents",
            "batches",
            "tunedModels",
            "fileSearchStores",
            "interactions",
            "corpora",
            "operations",
            "agents",
            "environments",
            "triggers",
            "webhooks",
            "voices",
            "credentials",
            "videos",
        ],
        Dialect::OpenAi => &[
            "files",
            "batches",
            "responses",
            "vector_stores",
            "assistants",
            "threads",
            "containers",
            "conversations",
            "uploads",
            "videos",
            "evals",
            "jobs",
            "skills",
            "completions",
            "voices",
            "voice_consents",
            "agents",
            "chatkit",
        ],
        Dialect::Anthropic => &[
            "files",
            "batches",
            "skills",
            "agents",
            "sessions",
            "environments",
            "vaults",
            "memory_stores",
            "tunnels",
            "user_profiles",
            "deployments",
            "dreams",
        ],
    }
}

/// Reports whether a resource exists until it is deleted, unless the response says when it expires.
pub fn is_permanent(name: &str) -> bool {
    const PERMANENT: [&str; 22] = [
        "files",
        "tunedModels",
        "fileSearchStores",
        "vector_stores",
        "assistants",
        "conversations",
        "skills",
        "agents",
        "environments",
        "triggers",
        "webhooks",
        "voices",
        "credentials",
        "vaults",
        "memory_stores",
        "tunnels",
        "user_profiles",
        "deployments",
        "voice_consents",
        "characters",
        "automations",
        "templates",
    ];
    name.split_once('/').is_some_and(|(collection, _)| PERMANENT.contains(&collection))
}

/// Endpoints in the place of an id.
const NOT_IDS: [&str; 7] = ["input_tokens", "compact", "runs", "generations", "edits", "extensions", "threads"];

/// Collections of OpenAI in the place of an id.
const NESTED: [&str; 7] =
    ["completions", "characters", "sessions", "environments", "templates", "automations", "vaults"];

/// Starts of OpenAI's ids in collections whose names are also in the paths of other vendors, with any ids.
const OWN_IDS: [(&str, &str); 4] =
    [("voices", "voice_"), ("voice_consents", "cons_"), ("agents", "agent_"), ("completions", "chatcmpl-")];

/// Reports whether the segment at `at` in a path for OpenAI's dialect is a collection of OpenAI.
fn is_of_openai(segments: &[&str], at: usize) -> bool {
    let Some((_, start)) = OWN_IDS.iter().find(|(collection, _)| *collection == segments[at]) else { return true };
    (at == 0 || matches!(segments[at - 1], "v1" | "audio" | "chat"))
        && segments.get(at + 1).is_none_or(|id| id.starts_with(start) || NESTED.contains(id))
}

/// The resource, or the collection, that a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathName {
    pub collection: &'static str,
    /// The resource's name; `None` if the path is that of the collection, or of an endpoint below it.
    pub name: Option<String>,
    /// The rest after the name or the collection: a verb (`:cancel`), or a path below it.
    pub rest: String,
}

impl PathName {
    /// Reports whether the path is that of the resource or collection itself.
    pub fn is_whole(&self) -> bool {
        self.rest.is_empty()
    }

    /// Reports whether a POST to the path generates nothing, but stores data or cancels something.
    pub fn generates_nothing(&self) -> bool {
        const STORES: [&str; 7] =
            ["files", "uploads", "fileSearchStores", "vector_stores", "containers", "conversations", "skills"];
        let before = self.rest.strip_suffix("cancel");
        STORES.contains(&self.collection) || before.is_some_and(|before| before.ends_with([':', '/']))
    }
}

/// Returns the first resource or collection that a path names. Segments may be percent-encoded.
pub fn in_path(dialect: Dialect, path: &str) -> Option<PathName> {
    let path = decoded(path);
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    if dialect == Dialect::Gemini
        && let Some(at) = segments.windows(4).position(|four| four[0] == "models" && four[2] == "operations")
    {
        let (id, verb) = split_verb(segments[at + 3]);
        let name = format!("models/{}/operations/{id}", segments[at + 1]);
        return Some(PathName { collection: "operations", name: Some(name), rest: verb.to_owned() });
    }
    let known = |at: usize| collections(dialect).iter().find(|known| **known == segments[at]).copied();
    let is_own = |at: &usize| dialect != Dialect::OpenAi || is_of_openai(&segments, *at);
    let (at, mut collection) = (0..segments.len()).filter(is_own).find_map(|at| Some((at, known(at)?)))?;
    let mut below = &segments[at + 1..];
    while dialect == Dialect::OpenAi
        && let Some(inner) = NESTED.iter().find(|inner| below.first() == Some(*inner))
    {
        (collection, below) = (*inner, &below[1..]);
    }
    // Ids of Google's endpoint for OpenAI clients contain the collection.
    if below.len() > 1 && below[0] == collection {
        below = &below[1..];
    }
    let Some((id, deeper)) = below.split_first() else {
        return Some(PathName { collection, name: None, rest: String::new() });
    };
    let joined = |start: &str, segments: &[&str]| segments.iter().fold(start.to_owned(), |path, at| path + "/" + at);
    if NOT_IDS.contains(id) {
        return Some(PathName { collection, name: None, rest: joined("", below) });
    }
    let (id, verb) = if dialect == Dialect::Gemini { split_verb(id) } else { (*id, "") };
    let rest = joined(verb, deeper);
    Some(PathName { collection, name: Some(format!("{collection}/{id}")), rest })
}

fn split_verb(id: &str) -> (&str, &str) {
    id.split_at(id.find(':').unwrap_or(id.len()))
}

/// A field that names a resource: its name, the collection, and whether its value may be a bare id.
type Field = (&'static str, &'static str, bool);

const GEMINI_FIELDS: &[Field] = &[
    ("fileUri", "files", false),
    ("file_uri", "files", false),
    ("uri", "files", false),
    ("fileName", "files", false),
    ("file_name", "files", false),
    ("cachedContent", "cachedContents", false),
    ("cached_content", "cachedContents", false),
    ("fileSearchStoreNames", "fileSearchStores", false),
    ("file_search_store_names", "fileSearchStores", false),
    ("previous_interaction_id", "interactions", true),
    ("previousInteractionId", "interactions", true),
    ("file_id", "files", true),
    ("input_file_id", "files", true),
    // `environment` may also be a kind of environment, and `agent` one of Google's agents.
    ("environment_id", "environments", true),
];
const OPENAI_FIELDS: &[Field] = &[
    ("file_id", "files", true),
    ("file_ids", "files", true),
    ("input_file_id", "files", true),
    ("training_file", "files", true),
    ("validation_file", "files", true),
    ("previous_response_id", "responses", true),
    ("vector_store_id", "vector_stores", true),
    ("vector_store_ids", "vector_stores", true),
    ("assistant_id", "assistants", true),
    ("thread_id", "threads", true),
    ("conversation", "conversations", true),
    ("container", "containers", true),
    ("container_id", "containers", true),
    ("skill_id", "skills", true),
    ("voice", "voices", true),
];
const ANTHROPIC_FIELDS: &[Field] = &[
    ("file_id", "files", true),
    ("container", "containers", true),
    ("skill_id", "skills", true),
    ("agent", "agents", true),
    ("agents", "agents", true),
    ("environment_id", "environments", true),
    ("vault_ids", "vaults", true),
    ("memory_store_id", "memory_stores", true),
    ("session_ids", "sessions", true),
];

fn fields(dialect: Dialect) -> &'static [Field] {
    match dialect {
        Dialect::Gemini => GEMINI_FIELDS,
        Dialect::OpenAi => OPENAI_FIELDS,
        Dialect::Anthropic => ANTHROPIC_FIELDS,
    }
}

/// Members with arbitrary content of callers and models: a `file_id` in them names no resource.
const FREE_FORM: [&str; 7] = ["args", "response", "arguments", "parameters", "metadata", "input_schema", "labels"];

/// Returns all resources that the JSON body of a request names. URLs of `host`, the provider's own, are recognized,
/// too.
///
/// # Errors
/// If the body may name a resource, but cannot be parsed: it is invalid, or nested more than 128 deep.
pub fn in_body(dialect: Dialect, body: &[u8], host: &str) -> serde_json::Result<Vec<String>> {
    let mut names = Vec::new();
    if may_name(dialect, body) {
        walk(dialect, &serde_json::from_slice(body)?, host, &mut names);
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// Reports whether a body must be parsed: it contains a field's name, or an escape that could hide one.
fn may_name(dialect: Dialect, body: &[u8]) -> bool {
    static GEMINI: LazyLock<AhoCorasick> = LazyLock::new(|| searcher(Dialect::Gemini));
    static OPENAI: LazyLock<AhoCorasick> = LazyLock::new(|| searcher(Dialect::OpenAi));
    static ANTHROPIC: LazyLock<AhoCorasick> = LazyLock::new(|| searcher(Dialect::Anthropic));
    let fields = match dialect {
        Dialect::Gemini => &GEMINI,
        Dialect::OpenAi => &OPENAI,
        Dialect::Anthropic => &ANTHROPIC,
    };
    fields.is_match(body)
}

/// Creates the searcher that finds the quoted fields of a dialect in one pass.
fn searcher(dialect: Dialect) -> AhoCorasick {
    let quoted = fields(dialect).iter().map(|(field, ..)| format!("\"{field}\""));
    AhoCorasick::new(quoted.chain([r"\u00".to_owned()])).expect("a few short patterns")
}

fn walk(dialect: Dialect, value: &Value, host: &str, names: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| walk(dialect, item, host, names)),
        Value::Object(members) => {
            let kind = members.get("type").and_then(Value::as_str).unwrap_or_default();
            // Parts of earlier responses, which clients send back: their ids need no access.
            let is_output = ["_call", "_citation", "_path", "_output", "_result"].iter().any(|end| kind.ends_with(end));
            for (member, value) in members {
                if FREE_FORM.contains(&&**member) || (dialect == Dialect::Anthropic && member == "input") {
                    continue;
                }
                let field = fields(dialect).iter().find(|(field, ..)| field == member);
                if let Some((_, collection, bare)) = field.filter(|_| !is_output) {
                    let one = |value: &Value| {
                        // A voice that is a string is the provider's own.
                        let text = value.as_str().filter(|_| *collection != "voices");
                        let text = text.or_else(|| value.get("id")?.as_str())?.trim();
                        // Other skills and voices are the provider's own.
                        let own = match *collection {
                            "skills" => "skill_",
                            "voices" => "voice_",
                            _ => "",
                        };
                        member_of(text, collection, *bare, host).filter(|_| text.starts_with(own))
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

/// Returns the member of a collection that a text names: by `files/abc`, by a URL, or by the id alone if `bare`.
fn member_of(text: &str, collection: &str, bare: bool, host: &str) -> Option<String> {
    let text = decoded(text.trim());
    let path = match text.split_once("//") {
        Some((_, rest)) => {
            let (authority, path) = rest.split_once('/')?;
            let is_providers = authority.ends_with(".googleapis.com") || authority.eq_ignore_ascii_case(host);
            is_providers.then_some(path)?
        }
        None => text.trim_start_matches('/'),
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let mut segments = path.split('/').skip_while(|segment| *segment != collection);
    match segments.nth(1) {
        Some(id) if !id.is_empty() => Some(format!("{collection}/{}", split_verb(id).0)),
        _ if bare && !path.is_empty() && !path.contains('/') => Some(format!("{collection}/{path}")),
        _ => None,
    }
}

/// Paths at which a response names resources that it created or refers to, with their collection; an empty collection
/// means that the value contains it. In a path, `*` stands for each item of a list.
fn created(dialect: Dialect) -> &'static [(&'static str, &'static str)] {
    match dialect {
        Dialect::Gemini => &[
            ("name", ""),
            ("file/name", ""),
            ("metadata/output/responsesFile", ""),
            ("response/responsesFile", ""),
            ("response/generateVideoResponse/generatedSamples/*/video/uri", "files"),
            ("response/generatedVideos/*/video/uri", "files"),
            ("interaction/id", "interactions"),
            ("outputs/*/uri", "files"),
            ("environment_id", "environments"),
            ("interaction/environment_id", "environments"),
            ("output_file_id", "files"),
            ("error_file_id", "files"),
        ],
        Dialect::OpenAi => &[
            ("response/id", "responses"),
            ("output_file_id", "files"),
            ("error_file_id", "files"),
            ("result_files/*", "files"),
            ("conversation/id", "conversations"),
            ("thread_id", "threads"),
            ("vector_store_id", "vector_stores"),
            ("file/id", "files"),
            ("output/*/container_id", "containers"),
            ("item/container_id", "containers"),
        ],
        Dialect::Anthropic => &[
            ("container/id", "containers"),
            ("message/container/id", "containers"),
            ("delta/container/id", "containers"),
            ("resources/*/file_id", "files"),
            ("content/*/content/content/*/file_id", "files"),
            ("content_block/content/content/*/file_id", "files"),
        ],
    }
}

/// Returns the resources that a response names. If it created or returned a member of `collection`, its `id` is one of
/// them.
pub fn in_answer(dialect: Dialect, collection: Option<&str>, answer: &Value, host: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (path, of) in created(dialect) {
        each_at(answer, path, &mut |text| {
            names.extend(if of.is_empty() {
                in_path(dialect, text).and_then(|found| found.name)
            } else {
                member_of(text, of, *of != "files" || dialect != Dialect::Gemini || path.ends_with("_id"), host)
            });
        });
    }
    // The id of xAI's videos is a `request_id`.
    let id = answer.get("id").or_else(|| answer.get("request_id").filter(|_| collection == Some("videos")));
    if let (Some(collection), Some(id)) = (collection, id.and_then(Value::as_str)) {
        names.extend(member_of(id, collection, true, host));
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
        use Dialect::{Anthropic, Gemini, OpenAi};
        for (dialect, path, name, rest) in [
            (Gemini, "/v1beta/files/abc", Some("files/abc"), ""),
            (Gemini, "/v1beta/files/abc:download", Some("files/abc"), ":download"),
            (Gemini, "/download/v1beta/files/abc:download", Some("files/abc"), ":download"),
            (Gemini, "/v1beta/files%2Fabc", Some("files/abc"), ""),
            (Gemini, "/v1beta/fil%65s/abc", Some("files/abc"), ""),
            (Gemini, "/v1beta/files", None, ""),
            (Gemini, "/v1beta/models/m/operations/o", Some("models/m/operations/o"), ""),
            (Gemini, "/v1beta/tunedModels/t:generateContent", Some("tunedModels/t"), ":generateContent"),
            (Gemini, "/v1beta/fileSearchStores/s/documents/d", Some("fileSearchStores/s"), "/documents/d"),
            (
                Gemini,
                "/upload/v1beta/fileSearchStores/s:uploadToFileSearchStore",
                Some("fileSearchStores/s"),
                ":uploadToFileSearchStore",
            ),
            (Gemini, "/v1beta/environments/e/files/f:download", Some("environments/e"), "/files/f:download"),
            (Gemini, "/v1beta/webhooks/w:ping", Some("webhooks/w"), ":ping"),
            (Gemini, "/v1beta/openai/batches/batches/b", Some("batches/b"), ""),
            (OpenAi, "/v1/files/file-1/content", Some("files/file-1"), "/content"),
            (OpenAi, "/v1/threads/thread_1/runs/run_1", Some("threads/thread_1"), "/runs/run_1"),
            (OpenAi, "/v1/fine_tuning/jobs/ftjob-1", Some("jobs/ftjob-1"), ""),
            (OpenAi, "/v1/responses/input_tokens", None, "/input_tokens"),
            (OpenAi, "/v1/videos/extensions", None, "/extensions"),
            (OpenAi, "/v1/videos/characters", None, ""),
            (OpenAi, "/v1/videos/characters/char_1", Some("characters/char_1"), ""),
            (OpenAi, "/v1/chat/completions", None, ""),
            (OpenAi, "/v1/chat/completions/chatcmpl-1/messages", Some("completions/chatcmpl-1"), "/messages"),
            (OpenAi, "/v1/agents/environments/templates/t", Some("templates/t"), ""),
            (OpenAi, "/v1/chatkit/sessions/cksess_1/cancel", Some("sessions/cksess_1"), "/cancel"),
            (OpenAi, "/v1/voices/voice_1", Some("voices/voice_1"), ""),
            (OpenAi, "/v1/agents/x/files/file-1", Some("files/file-1"), ""),
            (OpenAi, "/v1/chatkit/threads/cthr_1", None, "/threads/cthr_1"),
            (Anthropic, "/v1/messages/batches/msgbatch_1/results", Some("batches/msgbatch_1"), "/results"),
            (Anthropic, "/v1/sessions/sesn_1/events", Some("sessions/sesn_1"), "/events"),
            (Anthropic, "/v1/vaults/vlt_1/credentials/vcrd_1", Some("vaults/vlt_1"), "/credentials/vcrd_1"),
        ] {
            let found = in_path(dialect, path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!((found.name.as_deref(), &*found.rest), (name, rest), "{path}");
        }
        for (dialect, path) in [
            (Gemini, "/v1beta/models/gemini-2.5-flash:generateContent"),
            (OpenAi, "/v1/realtime/calls/rtc_1/accept"),
            (OpenAi, "/v1/live/sessions/live_1/accept"),
            (OpenAi, "/v1/voices/settings"),
            (OpenAi, "/v1/voices/21m00Tcm4TlvDq8ikWAM"),
            (OpenAi, "/v1/agents/create"),
            (OpenAi, "/v1/convai/agents/agent_1"),
            (OpenAi, "/async/chat/completions/3c9e"),
            (Anthropic, "/v1/messages"),
        ] {
            assert_eq!(in_path(dialect, path), None, "{path}");
        }
    }

    #[test]
    fn bodies_name_resources_by_name_and_by_url() {
        use Dialect::{Anthropic, Gemini, OpenAi};
        for (dialect, body, names) in [
            (Gemini, r#"{"contents":[{"parts":[{"fileData":{"fileUri":"files/a"}}]}]}"#, &["files/a"][..]),
            (
                Gemini,
                r#"{"file_data":{"file_uri":"https://generativelanguage.googleapis.com/v1beta/files/a?alt=media"}}"#,
                &["files/a"],
            ),
            (Gemini, r#"{"fileUri":"http://127.0.0.1:9/v1beta/files/a:download"}"#, &["files/a"]),
            (Gemini, r#"{"f\u0069leUri":"files\/a"}"#, &["files/a"]),
            (Gemini, r#"{"fileUri":"https://www.youtube.com/watch?v=files/a"}"#, &[]),
            (Gemini, r#"{"fileUri":"https://example.com/v1/files/a"}"#, &[]),
            (Gemini, r#"{"functionCall":{"args":{"fileUri":"files/a"}},"text":"fileUri: files/a"}"#, &[]),
            (
                Gemini,
                r#"{"cachedContent":"cachedContents/c","x":[{"fileUri":"files/b"}]}"#,
                &["cachedContents/c", "files/b"],
            ),
            (Gemini, r#"{"batch":{"input_config":{"file_name":"files/a"}}}"#, &["files/a"]),
            (Gemini, r#"{"fileSearchStoreNames":["fileSearchStores/s"]}"#, &["fileSearchStores/s"]),
            (Gemini, r#"{"previous_interaction_id":"i1"}"#, &["interactions/i1"]),
            (
                Gemini,
                r#"{"agent":"antigravity","environment":"remote","trigger":{"environment_id":"e"}}"#,
                &["environments/e"],
            ),
            (OpenAi, r#"{"input":[{"type":"input_file","file_id":"file-1"}]}"#, &["files/file-1"]),
            (OpenAi, r#"{"previous_response_id":"resp_1","metadata":{"file_id":"x"}}"#, &["responses/resp_1"]),
            (OpenAi, r#"{"conversation":{"id":"conv_1"}}"#, &["conversations/conv_1"]),
            (OpenAi, r#"{"input":[{"type":"code_interpreter_call","container_id":"cntr_1"}]}"#, &[]),
            (OpenAi, r#"{"tools":[{"container":{"type":"auto"}}]}"#, &[]),
            (OpenAi, r#"{"tools":[{"container":{"type":"auto","file_ids":["file-1"]}}]}"#, &["files/file-1"]),
            (OpenAi, r#"{"voice":"voice_1"}"#, &[]),
            (OpenAi, r#"{"voice":"alloy","audio":{"voice":{"id":"voice_1"}}}"#, &["voices/voice_1"]),
            (Anthropic, r#"{"source":{"type":"file","file_id":"file_1"}}"#, &["files/file_1"]),
            (Anthropic, r#"{"type":"tool_use","input":{"file_id":"file_1"}}"#, &[]),
            (Anthropic, r#"{"container":"container_1"}"#, &["containers/container_1"]),
            (
                Anthropic,
                r#"{"agent":{"type":"agent","id":"agent_1"},"environment_id":"env_1","vault_ids":["vlt_1"],"resources":[{"memory_store_id":"memstore_1"}]}"#,
                &["agents/agent_1", "environments/env_1", "memory_stores/memstore_1", "vaults/vlt_1"],
            ),
            (Anthropic, r#"{"multiagent":{"agents":["agent_1",{"type":"self"}]}}"#, &["agents/agent_1"]),
        ] {
            assert_eq!(in_body(dialect, body.as_bytes(), HOST).expect("JSON"), names, "{body}");
        }
    }

    #[test]
    fn responses_name_created_resources() {
        use Dialect::{Anthropic, Gemini, OpenAi};
        for (dialect, collection, answer, names) in [
            (Gemini, Some("files"), r#"{"file":{"name":"files/a"}}"#, &["files/a"][..]),
            (
                Gemini,
                None,
                r#"{"name":"batches/b","metadata":{"output":{"responsesFile":"files/r"}}}"#,
                &["batches/b", "files/r"],
            ),
            (Gemini, None, r#"{"name":"models/m/operations/o"}"#, &["models/m/operations/o"]),
            (
                Gemini,
                Some("operations"),
                r#"{"response":{"generateVideoResponse":{"generatedSamples":[{"video":{"uri":"https://generativelanguage.googleapis.com/v1beta/files/v:download?alt=media"}}]}}}"#,
                &["files/v"],
            ),
            (Gemini, Some("interactions"), r#"{"id":"i","steps":[{"args":{"uri":"files/x"}}]}"#, &["interactions/i"]),
            (Gemini, Some("interactions"), r#"{"id":"i","environment_id":"e"}"#, &["environments/e", "interactions/i"]),
            (
                OpenAi,
                Some("batches"),
                r#"{"id":"batch_1","output_file_id":"file-2"}"#,
                &["files/file-2", "batches/batch_1"],
            ),
            (
                OpenAi,
                Some("responses"),
                r#"{"type":"response.created","response":{"id":"resp_1"}}"#,
                &["responses/resp_1"],
            ),
            (Anthropic, None, r#"{"id":"msg_1","container":{"id":"container_1"}}"#, &["containers/container_1"]),
        ] {
            let answer: Value = serde_json::from_str(answer).expect("JSON");
            assert_eq!(in_answer(dialect, collection, &answer, HOST), names, "{answer}");
        }
    }
}
