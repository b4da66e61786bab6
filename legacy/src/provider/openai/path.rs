//! The paths of the `OpenAI` family. A model stands in the body, but for
//! Azure's deployments and a `WebSocket`.

use std::borrow::Cow;

use http::{Method, Uri, header, request::Parts};
use percent_encoding::percent_decode_str;

use crate::provider::{Asks, ModelIn, target::segment};

/// First segments whose requests ask no model for anything.
const FREE: [&str; 12] = [
    "files",
    "uploads",
    "batches",
    "models",
    "fine_tuning",
    "vector_stores",
    "containers",
    "evals",
    "organization",
    "assistants",
    "conversations",
    "dashboard",
];

/// Paths that make something that lasts, and may cost.
const MAKING: [&str; 10] = [
    "assistants",
    "batches",
    "containers",
    "conversations",
    "evals",
    "files",
    "fine_tuning/jobs",
    "uploads",
    "vector_stores",
    "videos",
];

/// What a request asks for.
pub(super) fn asks<'a>(head: &'a Parts, base: &str) -> Asks<'a> {
    let path = head.uri.path();
    let ask = |model, free| Asks { model, free, ..Asks::default() };
    if let Some((_, name, _)) = deployment(path) {
        return ask(ModelIn::Head(percent_decode_str(name).decode_utf8_lossy()), false);
    }
    let rest = path.strip_prefix(base).filter(|rest| rest.starts_with('/')).unwrap_or(path);
    let rest = rest.trim_start_matches('/');
    let rest = rest.strip_prefix("openai/").unwrap_or(rest);
    let rest = rest.strip_prefix("v1/").unwrap_or(rest);
    let mut segments = rest.split('/');
    let first = segments.next().unwrap_or("");
    if first == "realtime" && head.method == Method::GET {
        return ask(in_query(&head.uri).map_or(ModelIn::Nowhere, ModelIn::Head), false);
    }
    let makes = head.method == Method::POST && MAKING.contains(&rest.trim_end_matches('/'));
    if makes && first != "videos" {
        return ask(ModelIn::Nowhere, true).once();
    }
    if head.method != Method::POST || FREE.contains(&first) || segments.any(|segment| segment == "cancel") {
        return ask(ModelIn::Nowhere, true);
    }
    // Audio and pictures come as forms, whose model is not looked for.
    let form = head.headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"multipart/"));
    let asks = ask(if form { ModelIn::Nowhere } else { ModelIn::Body }, false);
    if makes { asks.once() } else { asks }
}

/// `/openai/deployments/{name}/…` for another deployment; `None` for other paths.
pub(super) fn retargeted(uri: &Uri, model: &str) -> Option<String> {
    let (_, _, after) = deployment(uri.path())?;
    if after.trim_end_matches('/').ends_with("embeddings") { None } else { resolved(uri, model) }
}

/// The same for a model in the place of another name for it.
pub(super) fn resolved(uri: &Uri, model: &str) -> Option<String> {
    let (before, _, after) = deployment(uri.path()).filter(|_| !model.is_empty())?;
    let mut target = format!("{before}{}{after}", segment(model));
    if let Some(query) = uri.query() {
        target.push('?');
        target.push_str(query);
    }
    Some(target)
}

/// A query with this model in the place of the one that it names.
pub(super) fn resolved_in_query(uri: &Uri, model: &str) -> Option<String> {
    let old = uri.query()?.split('&').find(|pair| pair.starts_with(IN_QUERY)).filter(|_| !model.is_empty())?;
    let named = format!("{IN_QUERY}{}", segment(model));
    let pairs: Vec<&str> = uri.query()?.split('&').map(|pair| if pair == old { &*named } else { pair }).collect();
    Some(format!("{}?{}", uri.path(), pairs.join("&")))
}

/// Splits a path around the name of its deployment.
fn deployment(path: &str) -> Option<(&str, &str, &str)> {
    const MARK: &str = "/deployments/";
    let start = path.find(MARK)? + MARK.len();
    let end = start + path[start..].find('/')?;
    (end > start).then(|| (&path[..start], &path[start..end], &path[end..]))
}

const IN_QUERY: &str = "model=";

fn in_query(uri: &Uri) -> Option<Cow<'_, str>> {
    let value = uri.query()?.split('&').find_map(|pair| pair.strip_prefix(IN_QUERY))?;
    Some(percent_decode_str(value).decode_utf8_lossy())
}
