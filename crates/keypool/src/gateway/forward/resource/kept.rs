//! What one of several accounts keeps at a provider of `OpenAI`'s or Anthropic's dialect: answers, files, batches and the like.
//! A request goes to whoever has what its path names; else, where it makes something (a batch of a file), to whoever has what
//! its body names.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::{HeaderValue, Method, header, request::Parts};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower_keypool::{Affinity, Demand, KeyId, KeyPool};

use super::{
    By, Gives, Resources, holders, ids, in_reach,
    runs::Whose,
    sought::{BROKE_OFF, Listening},
};
use crate::{
    gateway::{
        admit::tenant::Tenant, connection::pace::Arriving, dialect::Refusal, forward::affinity::Session,
        route::way::behind, unix_time::unix_ms,
    },
    outgoing::Outgoing,
};

/// Collections of what is kept; `true`: looking at one of it tells of more (a batch of its results).
const COLLECTIONS: [(&str, bool); 13] = [
    (FILES, false),
    ("/uploads", false),
    ("/batches", true),
    ("/fine_tuning/jobs", true),
    ("/vector_stores", false),
    ("/containers", false),
    ("/assistants", false),
    ("/threads", false),
    ("/conversations", false),
    ("/evals", false),
    ("/videos", false),
    ("/skills", false),
    ("/messages/batches", false),
];
const FILES: &str = "/files";
/// So much of a body is looked at for names, and so many of them.
const READ: u64 = 1 << 20;
const NAMES: usize = 256;
/// No provider gives longer ids.
const LONGEST: usize = 512;

/// What a path is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place<'p> {
    /// The collection; `None`: answers.
    collection: Option<&'static str>,
    /// Looking at it tells of more.
    tells: bool,
    id: Option<&'p str>,
    /// The path goes on behind the id.
    goes_on: bool,
}

impl<'p> Place<'p> {
    fn of(path: &'p str) -> Option<Self> {
        let rest = behind(path, "/v1")?;
        let found = COLLECTIONS.iter().find_map(|(name, tells)| Some((Some(*name), *tells, behind(rest, name)?)));
        let (collection, tells, below) = match found {
            Some(found) => found,
            None => (None, false, behind(rest, "/responses")?),
        };
        let mut segments = below.split('/').filter(|segment| !segment.is_empty());
        let id = segments.next().filter(|id| collection.is_some() || id.starts_with("resp"));
        let goes_on = segments.next().is_some();
        (collection.is_some() || id.is_some()).then_some(Self { collection, tells, id, goes_on })
    }
}

/// Whether a path is about something that one account keeps.
pub(in crate::gateway) fn is_meant(path: &str) -> bool {
    Place::of(path).is_some()
}

/// Where a request goes that is about what is kept: its body, and what its answer is listened to for.
#[derive(Debug)]
pub(in crate::gateway) struct Going {
    pub(in crate::gateway) body: Outgoing,
    pub(in crate::gateway) listening: Option<Listening>,
}

impl Resources {
    /// Has a request that [is about what is kept](is_meant) carried by a key of the account that has it, where that is known.
    ///
    /// # Errors
    /// Where its body broke off.
    pub(in crate::gateway) async fn lead_to_keeper(
        &self,
        tenant: &Tenant,
        parts: &mut Parts,
        body: Arriving,
        gives: Gives,
    ) -> Result<Going, Refusal> {
        let Some(place) = Place::of(parts.uri.path()) else {
            return Ok(Going { body: Outgoing::Came(body), listening: None });
        };
        let (provider, pool) = (gives.provider.clone(), gives.pool.clone());
        let (provider, pool) = (&*provider, pool.as_ref());
        let named: Vec<String> = place.id.map(|id| ids::kept_as(provider, id)).into_iter().collect();
        let mut way = self.way_to_maker(&named, pool).await;
        let makes = parts.method == Method::POST;
        let is_new_file = makes && place == Place { id: None, goes_on: false, tells: false, collection: Some(FILES) };
        let deletes = parts.method == Method::DELETE && !place.goes_on;
        let listens = place.collection.is_some()
            && (makes || deletes || (place.tells && !place.goes_on && parts.method == Method::GET));
        let body = if makes && way.is_none() && !is_new_file {
            let (body, read) = read_short(parts, body).await?;
            let names: Vec<String> = read.map(|text| texts_in(&text)).unwrap_or_default();
            let names: Vec<String> = names.iter().map(|name| ids::kept_as(provider, name)).collect();
            way = self.way_to_maker(&names, pool).await;
            body
        } else {
            Outgoing::Came(body)
        };
        let mut led = None;
        if is_new_file {
            let session = parts.extensions.get::<Session>().map(|Session(number)| *number);
            let run = Whose { tenant: run_of(tenant, provider), session };
            if let Some(rather) = self.place_of_file(&run, pool).await {
                let demand = parts.extensions.remove::<Demand>().unwrap_or_default();
                parts.extensions.insert(demand.affinity(rather));
            }
            led = Some((run, None));
        } else if makes && let Some(way) = &way {
            self.0.runs.end(&run_of(tenant, provider), way);
        }
        if let Some(way) = way {
            let demand = parts.extensions.remove::<Demand>().unwrap_or_default();
            parts.extensions.insert(demand.affinity(way).of_resource());
        }
        let listening = listens.then(|| {
            // What is listened to must be readable.
            parts.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            let gone = named.into_iter().next().filter(|_| deletes);
            Listening::to_kept(self, gives, gone, led)
        });
        Ok(Going { body, listening })
    }

    /// Where a file had better lie: with the one before it, since a request may name both. The first of a run goes to the next
    /// account in turn.
    async fn place_of_file(&self, run: &Whose, pool: Option<&KeyPool>) -> Option<Affinity> {
        let accounts = in_reach(pool, holders(pool).await);
        // Nobody waits in between, so that the first of them has its place when the next one comes.
        let next = self.0.runs.next_at_once(run, unix_ms(&self.0.clock), || {
            let turn = self.0.turn.fetch_add(1, Ordering::Relaxed);
            accounts.get(turn % accounts.len().max(1))?.way.clone()
        });
        next.filter(|way| pool.is_none_or(|pool| !pool.is_outlasted(way)))
    }

    /// A file of a run lies with the account of this key.
    pub(super) fn file_lies(&self, run: &Whose, key: &KeyId, pool: Option<&KeyPool>) {
        if let Some(way) = By::key(pool, key).leads_in(pool) {
            self.0.runs.began(run, way, unix_ms(&self.0.clock));
        }
    }
}

/// What files at a provider are a run of.
fn run_of(tenant: &Tenant, provider: &str) -> std::sync::Arc<str> {
    format!("{}\n{provider}", tenant.name()).into()
}

/// A body, and what stands in it, where it is short and JSON.
async fn read_short(parts: &Parts, body: Arriving) -> Result<(Outgoing, Option<Bytes>), Refusal> {
    let kind = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_json = kind.get(..16).is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/json"));
    let is_short = body.size_hint().exact().is_some_and(|length| (1..=READ).contains(&length));
    if !is_json || !is_short || parts.headers.contains_key(header::CONTENT_ENCODING) {
        return Ok((Outgoing::Came(body), None));
    }
    let whole = body.collect().await.map_err(|_| BROKE_OFF)?.to_bytes();
    Ok((Outgoing::Whole(Some(whole.clone())), Some(whole)))
}

/// The texts in a body that may be ids: whatever is known by such a name is meant.
fn texts_in(body: &[u8]) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), Vec::new());
    open.extend(serde_json::from_slice::<Value>(body).ok());
    while let Some(value) = open.pop() {
        match value {
            Value::String(text) if may_be_id(&text) && found.len() < NAMES => found.push(text),
            Value::Array(items) => open.extend(items),
            // What callers note for themselves.
            Value::Object(fields) => {
                open.extend(fields.into_iter().filter(|(name, _)| name != "metadata").map(|(_, value)| value));
            }
            _ => {}
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn may_be_id(text: &str) -> bool {
    (1..=LONGEST).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:~".contains(&byte))
}

/// The ids of what is kept that an answer tells.
pub(super) fn told_in(answer: &[u8]) -> Vec<String> {
    let Ok(answer) = serde_json::from_slice::<Value>(answer) else { return Vec::new() };
    if answer["deleted"] == true || answer["object"] == "list" {
        return Vec::new();
    }
    let results = answer["result_files"].as_array().into_iter().flatten();
    let told = [&answer["id"], &answer["output_file_id"], &answer["error_file_id"], &answer["file"]["id"]];
    let mut found: Vec<String> = told.into_iter().chain(results).filter_map(Value::as_str).map(str::to_owned).collect();
    found.retain(|id| !id.is_empty() && id.len() <= LONGEST);
    found.sort_unstable();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_it_is_about() {
        for (path, expected) in [
            ("/v1/files", Some((Some(FILES), None, false))),
            ("/v1/files/", Some((Some(FILES), None, false))),
            ("/v1/files/file-1", Some((Some(FILES), Some("file-1"), false))),
            ("/v1/files/file-1/content", Some((Some(FILES), Some("file-1"), true))),
            ("/v1/messages/batches/b/results", Some((Some("/messages/batches"), Some("b"), true))),
            ("/v1/responses/resp_1/input_items", Some((None, Some("resp_1"), true))),
            ("/v1/responses/resp_1", Some((None, Some("resp_1"), false))),
            ("/v1/responses/compact", None),
            ("/v1/responses", None),
            ("/v1/messages", None),
            ("/v1/filesystem/x", None),
            ("/files/x", None),
            ("/v1/chat/completions", None),
        ] {
            let place = Place::of(path).map(|place| (place.collection, place.id, place.goes_on));
            assert_eq!(place, expected, "{path}");
            assert_eq!(is_meant(path), expected.is_some(), "{path}");
        }
    }

    #[test]
    fn ids_are_read_wherever_they_stand_in_what_is_asked() {
        let body =
            br#"{"input_file_id":"file-abc1","endpoint":"/v1/chat/completions","n":1,"a":[{"b":["vs_12345678"]}],
            "metadata":{"mine":"file-other1"},"training_file":"file-abc1","text":"no id at all","empty":""}"#;
        assert_eq!(texts_in(body), ["file-abc1", "vs_12345678"]);
        assert!(texts_in(b"no JSON").is_empty());
        let many: Vec<String> = (0..1_000).map(|n| format!("file-{n:05}")).collect();
        assert_eq!(texts_in(&serde_json::to_vec(&many).unwrap()).len(), NAMES);
    }

    #[test]
    fn an_answer_tells_what_is_kept() {
        for (answer, expected) in [
            (r#"{"id":"file-1","object":"file"}"#, &["file-1"][..]),
            (
                r#"{"id":"batch_1","input_file_id":"file-1","output_file_id":"file-2","error_file_id":null}"#,
                &["batch_1", "file-2"],
            ),
            (r#"{"id":"upload_1","file":{"id":"file-3"}}"#, &["file-3", "upload_1"]),
            (r#"{"id":"ftjob-1","result_files":["file-4"]}"#, &["file-4", "ftjob-1"]),
            (r#"{"id":"file-1","object":"file","deleted":true}"#, &[]),
            (r#"{"object":"list","data":[{"id":"x"}]}"#, &[]),
            ("no JSON", &[]),
        ] {
            assert_eq!(told_in(answer.as_bytes()), expected, "{answer}");
        }
    }
}
