//! What one of several accounts keeps at a provider of `OpenAI`'s or Anthropic's dialect: answers, files, batches and the like.
//! A request goes to whoever has what its path names, and its body where it makes something (a batch of a file); what is made
//! without naming anything lies with what was made before it.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{HeaderValue, Method, header, request::Parts};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower_keypool::Demand;

use super::{Gives, Resources, gathered::BROKE_OFF, ids, makers::Together, sought::Listening};
use crate::{
    gateway::{
        admit::tenant::Tenant, connection::pace::Arriving, dialect::Refusal, forward::affinity::Session,
        route::way::behind,
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
    (VIDEOS, false),
    ("/skills", false),
    (BATCHES, false),
];
const FILES: &str = "/files";
const VIDEOS: &str = "/videos";
/// Those of Anthropic's, whose requests stand in what makes them.
const BATCHES: &str = "/messages/batches";
/// What is done with what is there.
const UNMAKING: [&str; 4] = ["cancel", "search", "pause", "resume"];
/// So much of a body is looked at for names, and so many of them.
const READ: u64 = 1 << 20;
const READ_OF_BATCHES: u64 = 64 << 20;
const NAMES: usize = 10_000;
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
        Self::behind_version(behind(path, "/v1")?)
    }

    fn behind_version(rest: &'p str) -> Option<Self> {
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

    /// Whether something new is made by a POST to it; what is there already is changed by one, or looked at.
    fn is_made(&self, path: &str) -> bool {
        let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let makes = self.id.is_none() || (self.goes_on && !UNMAKING.contains(&last));
        self.collection.is_some_and(|collection| makes || collection == VIDEOS)
    }

    /// So much of a body is looked at for names.
    fn most(&self) -> u64 {
        if self.collection == Some(BATCHES) { READ_OF_BATCHES } else { READ }
    }

    /// Whether who looks at it may be about to add something: what is looked at while it is worked on says nothing.
    fn may_be_added_to(&self) -> bool {
        !self.tells && !matches!(self.collection, Some(FILES | BATCHES))
    }
}

/// Whether a path is about something that one account keeps.
pub(in crate::gateway) fn is_meant(path: &str) -> bool {
    Place::of(path).is_some()
}

/// Whether a POST to this path, behind the version, makes something that one account keeps.
pub(super) fn is_made_at(rest: &str) -> bool {
    Place::behind_version(rest).is_some_and(|place| place.is_made(rest))
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
    /// Where its body broke off, or names what several accounts have.
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
        let makes = parts.method == Method::POST;
        let (body, read) =
            if makes { read_short(parts, body, place.most()).await? } else { (Outgoing::Came(body), None) };
        let named = place.id.map(|id| ids::kept_as(provider, id));
        let names: Vec<String> = named.iter().cloned().chain(names_in(read.as_deref(), provider)).collect();
        let way = self.way_to_makers(&names, pool).await?;
        let deletes = parts.method == Method::DELETE && !place.goes_on;
        let listens = place.collection.is_some()
            && (makes || deletes || (place.tells && !place.goes_on && parts.method == Method::GET));
        let session = parts.extensions.get::<Session>().map(|Session(number)| *number);
        let together = Together::of(tenant, provider, session);
        let mut led = None;
        let affinity = match way {
            Some(way) => {
                if makes {
                    self.lies(&together, &way);
                } else if place.may_be_added_to() && parts.method == Method::GET {
                    self.was_named(&together, &way);
                }
                Some((way, true))
            }
            // Of videos, and they are dear, no request names several.
            None if makes && place.id.is_none() && place.collection != Some(VIDEOS) => {
                let rather = self.place_of_next(&together, pool).await;
                led = Some(together);
                rather.map(|way| (way, false))
            }
            None => None,
        };
        if let Some((way, is_there)) = affinity {
            let demand = parts.extensions.remove::<Demand>().unwrap_or_default().affinity(way);
            parts.extensions.insert(if is_there { demand.of_resource() } else { demand });
        }
        let listening = listens.then(|| {
            // What is listened to must be readable.
            parts.headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            Listening::to_kept(self, gives, named.filter(|_| deletes), led)
        });
        Ok(Going { body, listening })
    }
}

/// A body, and what stands in it, where it is short and JSON.
async fn read_short(parts: &Parts, body: Arriving, most: u64) -> Result<(Outgoing, Option<Bytes>), Refusal> {
    let kind = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_json = kind.get(..16).is_some_and(|kind| kind.eq_ignore_ascii_case(b"application/json"));
    let is_short = body.size_hint().exact().is_some_and(|length| (1..=most).contains(&length));
    if !is_json || !is_short || parts.headers.contains_key(header::CONTENT_ENCODING) {
        return Ok((Outgoing::Came(body), None));
    }
    let whole = body.collect().await.map_err(|_| BROKE_OFF)?.to_bytes();
    Ok((Outgoing::Whole(Some(whole.clone())), Some(whole)))
}

/// What a body names, each once.
fn names_in(body: Option<&[u8]>, provider: &str) -> BTreeSet<String> {
    let named = body.and_then(|body| ids::named_in(body).ok()).unwrap_or_default();
    let mut names = BTreeSet::new();
    for id in named.ids {
        if names.len() < NAMES && id.text.len() <= LONGEST {
            names.insert(ids::kept_as(provider, &id.text));
        }
    }
    names
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
            br#"{"input_file_id":"file-abc1","endpoint":"/v1/chat/completions","n":1,"a":[{"vector_store_ids":["vs_12345678"]}],
            "metadata":{"mine":"file-other1"},"training_file":"file-abc1","text":"no id at all","empty":""}"#;
        assert_eq!(Vec::from_iter(names_in(Some(body), "p")), ["ids/p/file-abc1", "ids/p/vs_12345678"]);
        assert!(names_in(Some(b"no JSON"), "p").is_empty());
        // Each once, and none where no id stands.
        let texts: Vec<String> = (0..1_000).map(|n| format!("w{n}")).collect();
        let same = vec!["file-1"; 2 * NAMES];
        let body = serde_json::json!({ "texts": texts, "file_ids": same, "z": { "file_id": "file-2" } });
        assert_eq!(names_in(Some(body.to_string().as_bytes()), "p").len(), 2);
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
