//! Gemini's paths, read by hand: a model's name may hold dots, encoded slashes and a verb behind a colon.

use std::borrow::Cow;

use http::Method;
use memchr::{memchr, memchr3, memrchr};
use percent_encoding::percent_decode_str;

use crate::provider::{Asks, Cost, ModelIn, target::segment};

/// The collection of Google's own.
const MODELS: &str = "models";
/// Collections whose members are models.
const OF_MODELS: [&str; 3] = [MODELS, "tunedModels", "dynamic"];

/// Where a path names a model: the span of `collection/name` in it, and what is asked of it.
struct Named<'a> {
    /// Where the collection's name begins.
    start: usize,
    collection: &'a str,
    model: &'a str,
    verb: &'a str,
}

impl Named<'_> {
    /// The path that it stands in, for another model.
    fn with(&self, path: &str, model: &str) -> Option<String> {
        if model.is_empty() {
            return None;
        }
        let bare = model.strip_prefix("models/").unwrap_or(model);
        let (collection, name) = match bare.split_once('/') {
            Some((collection, name)) if OF_MODELS.contains(&collection) => (collection, name),
            _ => (MODELS, bare),
        };
        let (front, verb) = (&path[..self.start], self.verb);
        Some(format!("{front}{collection}/{}:{verb}", segment(name)))
    }
}

/// The path behind the base's own and behind the version: `/v1beta/models/m:verb` is `models/m:verb`.
fn behind_version<'a>(path: &'a str, base: &str) -> &'a str {
    let path = path.strip_prefix(base).filter(|rest| rest.starts_with('/')).unwrap_or(path);
    let path = path.trim_start_matches('/');
    let (first, rest) = memchr(b'/', path.as_bytes()).map_or((path, ""), |at| (&path[..at], &path[at + 1..]));
    let version = first.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    if version { rest } else { path }
}

/// The beginnings of nearly every path.
const USUAL: [&str; 2] = ["/v1beta/models/", "/v1/models/"];

/// What a path asks for that stands as nearly every one does: the usual collection, no escapes, a verb that is known to
/// cost one request.
#[inline]
fn usual(path: &str) -> Option<&str> {
    let rest = USUAL.into_iter().find_map(|usual| path.strip_prefix(usual))?;
    let at = memchr3(b':', b'/', b'%', rest.as_bytes()).filter(|at| *at > 0)?;
    matches!(&rest[at..], ":generateContent" | ":streamGenerateContent" | ":embedContent").then_some(&rest[..at])
}

/// Whether it is one of the OpenAI-compatible paths, `/v1beta/openai/…`.
pub(super) fn is_compat(path: &str, base: &str) -> bool {
    if base.is_empty() && USUAL.into_iter().any(|usual| path.starts_with(usual)) {
        return false;
    }
    let rest = behind_version(path, base);
    rest.strip_prefix("openai").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What a request asks for.
pub(super) fn asks<'a>(method: &Method, path: &'a str, base: &str) -> Asks<'a> {
    if let Some(model) = usual(path) {
        return Asks::of(ModelIn::Head(Cow::Borrowed(model)));
    }
    let nowhere = |free| Asks { free, ..Asks::default() };
    let in_body = |cost| Asks::of(ModelIn::Body).cost(cost);
    if let Some(named) = named(path) {
        return asks_of(named.verb, lane(&named));
    }
    if let Some(asks) = spelled_otherwise(path) {
        return asks;
    }
    if method != Method::POST {
        // Lists, gets, deletes, polls; a WebSocket's opening counts as a request.
        return nowhere(!path.contains("/ws/"));
    }
    let rest = behind_version(path, base).trim_end_matches('/');
    let (first, second) = rest.split_once('/').unwrap_or((rest, ""));
    match (first, second) {
        ("openai", "embeddings") => in_body(Cost::ItemsOf("input")),
        // Uploads, files, caches, batches, operations and the like cost no request of a model.
        ("openai", "files" | "batches") | ("tunedModels" | "fileSearchStores", "") => nowhere(true).once(),
        ("openai", second) if second.starts_with("files") || second.starts_with("batches") => nowhere(true),
        ("openai", "videos") | ("cachedContents", "") => in_body(Cost::One).once(),
        ("openai", _) | ("interactions", "") => in_body(Cost::One),
        ("fileSearchStores", member) if member.contains(':') => nowhere(true).once(),
        _ => nowhere(true),
    }
}

/// What a verb asks of a model.
fn asks_of<'a>(verb: &str, lane: Cow<'a, str>) -> Asks<'a> {
    let model = ModelIn::Head(lane);
    match verb {
        "batchEmbedContents" => Asks::of(model).cost(Cost::ItemsOf("requests")),
        // Tokens are counted, and batches made, against quotas of their own.
        "countTokens" => Asks::of(model).free(),
        "batchGenerateContent" | "asyncBatchEmbedContent" => Asks::of(model).free().once(),
        "predictLongRunning" => Asks::of(model).once(),
        _ => Asks::of(model),
    }
}

/// The same of a path that names a model once it is read as the most lenient provider may read it: with its escapes
/// decoded, and no slash behind the verb. It is sent as it came; should it be served, it counts.
fn spelled_otherwise(path: &str) -> Option<Asks<'static>> {
    let trimmed = path.trim_end_matches('/');
    if trimmed.len() == path.len() && memchr(b'%', path.as_bytes()).is_none() {
        return None;
    }
    let decoded = percent_decode_str(trimmed).decode_utf8_lossy();
    let named = named(decoded.trim_end_matches('/'))?;
    Some(asks_of(named.verb, Cow::Owned(lane(&named).into_owned())))
}

/// The lane of a model: its bare name; one of another collection keeps the collection's.
fn lane<'a>(named: &Named<'a>) -> Cow<'a, str> {
    let escaped = memchr(b'%', named.model.as_bytes()).is_some();
    if !escaped && named.collection == MODELS {
        // So stands nearly every one.
        return Cow::Borrowed(named.model);
    }
    let decoded = percent_decode_str(named.model).decode_utf8_lossy();
    let bare = decoded.trim();
    let bare = bare.strip_prefix("models/").unwrap_or(bare);
    Cow::Owned(match named.collection {
        MODELS => bare.to_owned(),
        collection => format!("{collection}/{bare}"),
    })
}

/// Finds `models/{m}:{verb}`, `tunedModels/{id}:{verb}`, also with the colon or the slash encoded.
fn named(path: &str) -> Option<Named<'_>> {
    let last = memrchr(b'/', path.as_bytes())? + 1;
    let last_segment = &path[last..];
    let (colon, width) = match memrchr(b':', last_segment.as_bytes()) {
        Some(at) => (at, 1),
        None => (last_segment.to_ascii_lowercase().rfind("%3a")?, 3),
    };
    let verb = &last_segment[colon + width..];
    if colon == 0 || verb.is_empty() {
        return None;
    }
    let before = &path[..last - 1];
    let start = memrchr(b'/', before.as_bytes())? + 1;
    let collection = OF_MODELS.into_iter().find(|known| *known == &before[start..])?;
    Some(Named { start, collection, model: &last_segment[..colon], verb })
}

/// The same path for another model; `None` where the path names none, or where it must not change: vectors of two
/// embedding models cannot be compared, and models of texts draw nothing (`predict`).
pub(super) fn retargeted(path: &str, model: &str) -> Option<String> {
    let named = named(path)?;
    let bound = named.verb.contains("mbedContent") || named.verb.starts_with("predict");
    if bound { None } else { named.with(path, model) }
}

/// The same for a model in the place of another name for it.
pub(super) fn resolved(path: &str, model: &str) -> Option<String> {
    named(path)?.with(path, model)
}

#[cfg(test)]
mod tests;
