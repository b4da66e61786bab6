//! Cached contents: the beginning of a prompt, for one model.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::exchange::Exchange;
use super::resources::{Resource, name};
use crate::answer::Reply;
use crate::check::check_prompt;
use crate::refusal::ApiError;
use crate::tokens::tokens_of_prompt;

/// The least tokens of a cache.
const MIN_TOKENS: u64 = 1_024;

pub(super) fn create(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    exchange.model()?;
    let (request, now) = (std::mem::take(&mut exchange.request), exchange.call.wall);
    // A system instruction alone will do.
    if request.get("contents").is_some() || request.get("system_instruction").is_none() {
        check_prompt("CreateCachedContentRequest", &request)?;
    }
    exchange.check_files(&request)?;
    let tokens = tokens_of_prompt(&request);
    if tokens < MIN_TOKENS {
        return Err(ApiError::malformed(format!(
            "Cached content is too small. total_token_count={tokens}, min_total_token_count={MIN_TOKENS}"
        )));
    }
    let expires = expiry(&request, now)?;
    let name = format!("cachedContents/{}", exchange.state.new_id());
    let mut shown = json!({
        "name": name,
        "model": format!("models/{}", exchange.call.model),
        "createTime": now.to_string(),
        "updateTime": now.to_string(),
        "expireTime": expires.to_string(),
        "usageMetadata": { "totalTokenCount": tokens },
    });
    if let Some(display_name) = request.get("display_name") {
        shown["displayName"] = display_name.clone();
    }
    let reply = Reply::json(&shown);
    let resource = Resource { project: exchange.project, created: now, expires, active: now, shown };
    exchange.state.resources.insert(name, resource);
    Ok(reply)
}

/// A new expiry.
pub(super) fn update(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let now = exchange.call.wall;
    let expires = expiry(&exchange.request, now)?;
    let resource = exchange.state.resources.get(exchange.project, &name(exchange.call), now)?;
    resource.expires = expires;
    resource.shown["expireTime"] = expires.to_string().into();
    resource.shown["updateTime"] = now.to_string().into();
    Ok(Reply::json(&resource.shown))
}

/// `expireTime`, or `ttl` from now, or an hour.
fn expiry(request: &Value, now: Timestamp) -> Result<Timestamp, ApiError> {
    if let Some(text) = request["expire_time"].as_str() {
        let time: Timestamp = text.parse().map_err(|_| ApiError::malformed("Invalid expire_time."))?;
        return if time > now { Ok(time) } else { Err(ApiError::malformed("expire_time must be in the future.")) };
    }
    let ttl = match request["ttl"].as_str() {
        None => Some(SignedDuration::from_hours(1)),
        Some(text) => {
            let seconds = text.strip_suffix('s').and_then(|seconds| seconds.parse::<f64>().ok());
            let seconds = seconds.filter(|seconds| *seconds > 0.0);
            seconds.and_then(|seconds| SignedDuration::try_from_secs_f64(seconds).ok())
        }
    };
    ttl.and_then(|ttl| now.checked_add(ttl).ok()).ok_or_else(|| ApiError::malformed("Invalid ttl."))
}
