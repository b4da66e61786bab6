//! Responses that were answered here, asked for or deleted afterwards: `/v1/responses/{id}` and what it was asked,
//! `/v1/responses/{id}/input_items`. They are found as long as they are remembered ([`Memory`]).

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, Uri, header};
use http_body_util::Full;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use tower_keypool::Tick;

use super::recall::Memory;
use crate::gateway::{
    dialect::{Dialect, Refusal},
    route::way::{behind, forced},
};

/// So many items are on a page unless it is asked for others, and at most.
const PAGE: usize = 20;
const LARGEST_PAGE: usize = 100;
const LIMIT: &str = "limit: 1 to 100";

/// A response that a request names.
pub(in crate::gateway) struct Kept<'u> {
    id: &'u str,
    wanted: Wanted,
    query: &'u str,
}

enum Wanted {
    Itself,
    Asked,
    Gone,
}

/// What of a response is remembered beside its conversation, whose first `asked` items are not its own.
#[derive(Deserialize, Serialize)]
struct Head {
    asked: usize,
    members: BTreeMap<String, Box<RawValue>>,
}

/// The head of a response that was asked by so many items.
pub(super) fn head(response: &[u8], asked: usize) -> Option<Box<RawValue>> {
    let mut members: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(response).ok()?;
    members.remove("output");
    serde_json::value::to_raw_value(&Head { asked, members }).ok()
}

/// How the head of a response is called: as nothing that a request can name.
pub(super) fn head_of(id: &str) -> String {
    format!("{id} head")
}

impl<'u> Kept<'u> {
    /// The response that a request is about, if it is about one.
    pub(in crate::gateway) fn named(method: &Method, uri: &'u Uri) -> Option<Self> {
        if *method == Method::POST {
            return None;
        }
        let path = uri.path();
        let path = forced(path).map_or(path, |(_, rest)| rest);
        let rest = behind(path, "/v1").unwrap_or(path).strip_prefix("/responses/")?.trim_end_matches('/');
        let (id, below) = rest.split_once('/').unwrap_or((rest, ""));
        let wanted = match (method, below) {
            (&Method::GET, "") => Wanted::Itself,
            (&Method::GET, "input_items") => Wanted::Asked,
            (&Method::DELETE, "") => Wanted::Gone,
            _ => return None,
        };
        Some(Self { id, wanted, query: uri.query().unwrap_or_default() })
    }

    fn option(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }
}

impl Memory {
    /// The answer about a response of this tenant's; `None` where it is not known here.
    pub(in crate::gateway) fn answer(
        &self,
        tenant: &Arc<str>,
        kept: &Kept<'_>,
        now: Tick,
    ) -> Option<Response<Full<Bytes>>> {
        let head: Head = serde_json::from_str(self.find(tenant, &head_of(kept.id), now)?.get()).ok()?;
        let mut asked: Vec<Box<RawValue>> = serde_json::from_str(self.find(tenant, kept.id, now)?.get()).ok()?;
        let output = asked.split_off(head.asked.min(asked.len()));
        let told = match kept.wanted {
            Wanted::Itself if kept.option("stream") == Some("true") => {
                return Some(refused("stream: a response that is over is told whole here: leave it out"));
            }
            Wanted::Itself => {
                let mut members = head.members;
                members.insert("output".to_owned(), serde_json::value::to_raw_value(&output).ok()?);
                serde_json::to_vec(&members).ok()?
            }
            Wanted::Asked => match page(kept, &asked) {
                Ok(page) => page.to_string().into_bytes(),
                Err(why) => return Some(refused(why)),
            },
            Wanted::Gone => {
                let items = output.iter().filter_map(|item| text_of(item, "id"));
                self.drop_all(tenant, items.chain([head_of(kept.id), kept.id.to_owned()]));
                json!({ "id": kept.id, "object": "response", "deleted": true }).to_string().into_bytes()
            }
        };
        let mut response = Response::new(Full::from(told));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Some(response)
    }
}

fn refused(why: &'static str) -> Response<Full<Bytes>> {
    Dialect::OpenAi.answer(Refusal::new(StatusCode::BAD_REQUEST, why))
}

fn text_of(item: &RawValue, name: &str) -> Option<String> {
    serde_json::from_str::<Value>(item.get()).ok()?.get(name)?.as_str().map(str::to_owned)
}

/// A page of what a response was asked: the latest first, unless the other order is asked for.
fn page(kept: &Kept<'_>, asked: &[Box<RawValue>]) -> Result<Value, &'static str> {
    let mut items: Vec<Value> = asked.iter().enumerate().map(|(at, item)| listed(item, kept.id, at)).collect();
    match kept.option("order") {
        None | Some("desc") => items.reverse(),
        Some("asc") => {}
        Some(_) => return Err("order: asc or desc"),
    }
    let limit = match kept.option("limit").map(str::parse) {
        None => PAGE,
        Some(Ok(limit)) if (1..=LARGEST_PAGE).contains(&limit) => limit,
        Some(_) => return Err(LIMIT),
    };
    if let Some(after) = kept.option("after") {
        let at = items.iter().position(|item| item["id"] == after);
        let at = at.ok_or("after: no item of this response is called so")?;
        items.drain(..=at);
    }
    let more = items.len() > limit;
    items.truncate(limit);
    let id = |item: Option<&Value>| item.map_or(Value::Null, |item| item["id"].clone());
    let (first, last) = (id(items.first()), id(items.last()));
    Ok(json!({ "object": "list", "data": items, "first_id": first, "last_id": last, "has_more": more }))
}

/// An item as it is listed: with its kind, parts and an id, which clients leave out.
fn listed(item: &RawValue, response: &str, at: usize) -> Value {
    let mut item: Value = serde_json::from_str(item.get()).unwrap_or_default();
    let Some(members) = item.as_object_mut() else { return item };
    let kind = members.entry("type").or_insert_with(|| "message".into()).clone();
    let of_model = members.get("role").is_some_and(|role| role == "assistant");
    if let (true, Some(text)) = (kind == "message", members.get("content").and_then(Value::as_str)) {
        let part = if of_model { "output_text" } else { "input_text" };
        members["content"] = json!([{ "type": part, "text": text }]);
    }
    members.entry("id").or_insert_with(|| format!("msg_{}i{at}", response.trim_start_matches("resp_")).into());
    members.entry("status").or_insert_with(|| "completed".into());
    item
}
