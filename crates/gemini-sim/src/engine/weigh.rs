//! What a request makes sense of, what it may refer to, and what it weighs.

use serde_json::{Value, json};

use super::{Admission, Engine, State, Visit};
use crate::answer::{dimensions, native_prompt, pictures};
use crate::proto_json::{field, items};
use crate::quota::Charge;
use crate::refusal::ApiError;
use crate::route::Call;
use crate::strict::{
    check_calls, check_embedded, check_modality, check_model, check_prompt, check_uncached_prompt, empty_part,
    file_ids, missing,
};
use crate::{Model, tokens};

/// The most items of one batch.
const BATCH: usize = 100;

pub(super) struct Weight {
    pub(super) charge: Charge,
    pub(super) cached: u64,
}

impl Weight {
    fn of(requests: u64, tokens: u64) -> Self {
        Self { charge: Charge { requests, tokens }, cached: 0 }
    }
}

impl Engine {
    /// The prompt in its native form, and its weight.
    pub(super) fn weigh(
        &self,
        state: &State,
        visit: &Visit<'_>,
        (project, model): (usize, Option<&Model>),
        request: &Value,
    ) -> Admission<(Value, Weight)> {
        let call = visit.route.as_ref().map(|route| &route.call);
        match call {
            Some(Call::Generate(_)) => {
                check_prompt(request)?;
                check_calls(request, &visit.model)?;
                check_model(request, &visit.model)?;
                check_modality(request, &visit.model)?;
                let weight = weigh_prompt(state, visit, project, request)?;
                Ok((request.clone(), weight))
            }
            Some(Call::Chat) => {
                let prompt = native_prompt(request)?;
                check_prompt(&prompt)?;
                let weight = weigh_prompt(state, visit, project, &prompt)?;
                Ok((prompt, weight))
            }
            Some(Call::CountTokens) => {
                let inner = field(request, "generateContentRequest", "generate_content_request");
                let prompt = inner.unwrap_or(request);
                if inner.is_some() && request.get("contents").is_some() {
                    return Err(ApiError::invalid_argument(
                        "malformed",
                        "* CountTokensRequest.contents: contents and generate_content_request are \
mutually exclusive\n",
                    ));
                }
                check_uncached_prompt("CountTokensRequest", prompt)?;
                Ok((prompt.clone(), Weight::of(0, tokens::of_prompt(prompt))))
            }
            Some(Call::Embed) => {
                check_embedded("EmbedContentRequest", request)?;
                dimensions(model, request)?;
                Ok((Value::Null, Weight::of(1, tokens::of_content(&request["content"]))))
            }
            Some(Call::BatchEmbed) => {
                let items = batch(request, &visit.model)?;
                for item in &items {
                    dimensions(model, item)?;
                }
                let tokens = items.iter().map(|item| tokens::of_content(&item["content"])).sum();
                Ok((Value::Null, Weight::of(items.len() as u64, tokens)))
            }
            Some(Call::Predict) => {
                pictures(request)?;
                Ok((Value::Null, Weight::of(1, 0)))
            }
            Some(Call::ChatEmbeddings) => {
                let inputs = inputs(request)?;
                dimensions(model, request)?;
                let tokens = inputs.iter().map(|text| tokens::tokens_of_text(text).max(1));
                Ok((Value::Null, Weight::of(inputs.len() as u64, tokens.sum())))
            }
            Some(Call::CreateCache) => {
                check_cache(state, visit, project, request, self.settings.min_cache_tokens)?;
                Ok((Value::Null, Weight::of(0, tokens::of_prompt(request))))
            }
            _ => Ok((Value::Null, Weight::of(0, 0))),
        }
    }
}

fn weigh_prompt(state: &State, visit: &Visit<'_>, project: usize, prompt: &Value) -> Admission<Weight> {
    check_files(state, visit, project, prompt)?;
    let own = tokens::of_prompt(prompt);
    let Some(name) = field(prompt, "cachedContent", "cached_content").and_then(Value::as_str) else {
        return Ok(Weight::of(1, own));
    };
    let id = name.strip_prefix("cachedContents/").unwrap_or(name);
    let cache = state.caches.get(project, id, visit.wall)?;
    if cache.model != visit.model {
        return Err(ApiError::invalid_argument(
            "malformed",
            format!(
                "Model used by GenerateContent request (models/{}) and CachedContent (models/{}) \
has to be the same.",
                visit.model, cache.model
            ),
        ));
    }
    let twice = [field(prompt, "systemInstruction", "system_instruction"), field(prompt, "toolConfig", "tool_config")];
    let is_said = |value: &Value| !value.is_null();
    if twice.into_iter().flatten().any(is_said) || !items(prompt.get("tools")).is_empty() {
        return Err(ApiError::invalid_argument(
            "malformed",
            "CachedContent can not be used with GenerateContent request setting \
system_instruction, tools or tool_config.",
        ));
    }
    Ok(Weight { cached: cache.tokens, ..Weight::of(1, own + cache.tokens) })
}

fn check_files(state: &State, visit: &Visit<'_>, project: usize, prompt: &Value) -> Admission<()> {
    for id in file_ids(prompt) {
        let file = state.files.get(project, id, visit.wall)?;
        if visit.wall < file.active {
            return Err(ApiError::new(
                400,
                "file_not_active",
                "FAILED_PRECONDITION",
                format!("The File {id} is not in an ACTIVE state and usage is not allowed."),
            ));
        }
    }
    Ok(())
}

fn check_cache(state: &State, visit: &Visit<'_>, project: usize, request: &Value, least: u64) -> Admission<()> {
    if request.get("contents").is_some() {
        check_uncached_prompt("CreateCachedContentRequest", request)?;
    } else if field(request, "systemInstruction", "system_instruction").is_none() {
        return Err(missing("CreateCachedContentRequest", "contents"));
    }
    check_files(state, visit, project, request)?;
    let tokens = tokens::of_prompt(request);
    if tokens < least {
        return Err(ApiError::invalid_argument(
            "malformed",
            format!(
                "Cached content is too small. total_token_count={tokens}, \
min_total_token_count={least}"
            ),
        ));
    }
    Ok(())
}

/// The items of a batch, each of which must name the path's model.
fn batch<'r>(request: &'r Value, model: &str) -> Admission<Vec<&'r Value>> {
    let invalid =
        |what: String| ApiError::invalid_argument("malformed", format!("* BatchEmbedContentsRequest.{what}\n"));
    let items = items(request.get("requests"));
    if items.is_empty() {
        return Err(missing("BatchEmbedContentsRequest", "requests"));
    }
    if items.len() > BATCH {
        return Err(invalid(format!("requests: at most {BATCH} requests can be in one batch")));
    }
    for (index, item) in items.iter().enumerate() {
        let named = item.get("model").and_then(Value::as_str).unwrap_or_default();
        let Some(named) = named.strip_prefix("models/") else {
            return Err(invalid(format!("requests[{index}].model: unexpected model name format")));
        };
        if named != model {
            return Err(invalid(format!(
                "requests[{index}].model: model must match the model of the batch, models/{model}"
            )));
        }
        check_embedded(&format!("BatchEmbedContentsRequest.requests[{index}]"), item)?;
    }
    Ok(items)
}

/// The texts of a compatible embeddings request.
pub(crate) fn inputs(request: &Value) -> Admission<Vec<String>> {
    let invalid = || ApiError::invalid_argument("malformed", "Request contains an invalid argument.");
    let input = request.get("input").unwrap_or(&Value::Null);
    let single = [input.clone()];
    let items: &[Value] = input.as_array().map_or(&single, Vec::as_slice);
    if items.is_empty() || items.len() > BATCH {
        return Err(invalid());
    }
    let text = |item: &Value| match item.as_str() {
        Some("") => Err(empty_part("EmbedContentRequest")),
        Some(text) => Ok(text.to_owned()),
        None => Err(invalid()),
    };
    items.iter().map(text).collect()
}

/// A content of one text.
pub(crate) fn content_of(text: &str) -> Value {
    json!({ "parts": [{ "text": text }] })
}
