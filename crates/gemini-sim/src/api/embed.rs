//! Embeddings, native and OpenAI-compatible. A vector is derived from a hash of the text, so that the same text always
//! has the same vector.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fastrand::Rng;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::exchange::Exchange;
use crate::Model;
use crate::answer::Reply;
use crate::check::{check_embedded, empty_part, not_specified};
use crate::refusal::ApiError;
use crate::tokens::{tokens_of_content, tokens_of_text};

const MAX_BATCH: usize = 100;

pub(super) fn one(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let model = exchange.model()?;
    check_embedded("EmbedContentRequest", &exchange.request)?;
    let dimensions = dimensions(&model, &exchange.request["output_dimensionality"])?;
    let tokens = tokens_of_content(&exchange.request["content"]);
    exchange.charge(&model, 1, tokens)?;
    Ok(Reply::json(&json!({
        "embedding": { "values": vector(&exchange.request["content"], dimensions) },
        "usageMetadata": { "promptTokenCount": tokens, "totalTokenCount": tokens },
    })))
}

/// Embeds a batch, which is charged one request per item.
pub(super) fn batch(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let model = exchange.model()?;
    let request = std::mem::take(&mut exchange.request);
    let items = request["requests"].as_array().map_or(&[][..], Vec::as_slice);
    let invalid = |what: String| ApiError::malformed(format!("* BatchEmbedContentsRequest.{what}\n"));
    if items.is_empty() {
        return Err(not_specified("BatchEmbedContentsRequest", "requests"));
    }
    if items.len() > MAX_BATCH {
        return Err(invalid(format!("requests: at most {MAX_BATCH} requests can be in one batch")));
    }
    let (mut tokens, mut embeddings) = (0, Vec::new());
    for (index, item) in items.iter().enumerate() {
        let Some(name) = item["model"].as_str().and_then(|name| name.strip_prefix("models/")) else {
            return Err(invalid(format!("requests[{index}].model: unexpected model name format")));
        };
        if name != exchange.call.model {
            let model = &exchange.call.model;
            let why = format!("requests[{index}].model: model must match the model of the batch, models/{model}");
            return Err(invalid(why));
        }
        check_embedded(&format!("BatchEmbedContentsRequest.requests[{index}]"), item)?;
        let dimensions = dimensions(&model, &item["output_dimensionality"])?;
        tokens += tokens_of_content(&item["content"]);
        embeddings.push(json!({ "values": vector(&item["content"], dimensions) }));
    }
    exchange.charge(&model, items.len() as u64, tokens)?;
    let usage = json!({ "promptTokenCount": tokens, "totalTokenCount": tokens });
    Ok(Reply::json(&json!({ "embeddings": embeddings, "usageMetadata": usage })))
}

pub(super) fn openai(exchange: &mut Exchange<'_>) -> Result<Reply, ApiError> {
    let model = exchange.model()?;
    let request = std::mem::take(&mut exchange.request);
    let texts = texts(&request["input"])?;
    let dimensions = dimensions(&model, &request["dimensions"])?;
    let tokens = texts.iter().map(|text| tokens_of_text(text)).sum();
    exchange.charge(&model, texts.len() as u64, tokens)?;
    let data = texts.iter().enumerate().map(|(index, text)| {
        let values = vector(&json!({ "parts": [{ "text": text }] }), dimensions);
        let embedding: Value = if request["encoding_format"] == "base64" {
            STANDARD.encode(values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>()).into()
        } else {
            values.into()
        };
        json!({ "object": "embedding", "embedding": embedding, "index": index })
    });
    Ok(Reply::json(&json!({
        "object": "list",
        "data": data.collect::<Vec<_>>(),
        "model": request["model"],
        "usage": { "prompt_tokens": tokens, "total_tokens": tokens },
    })))
}

/// Returns the texts of an input, which is a text or a list of texts.
fn texts(input: &Value) -> Result<Vec<&str>, ApiError> {
    let invalid = || ApiError::malformed("Request contains an invalid argument.");
    let items = input.as_array().map_or(std::slice::from_ref(input), Vec::as_slice);
    if items.is_empty() || items.len() > MAX_BATCH {
        return Err(invalid());
    }
    let text = |item| match Value::as_str(item) {
        Some("") => Err(empty_part("EmbedContentRequest")),
        text => text.ok_or_else(invalid),
    };
    items.iter().map(text).collect()
}

/// Returns the number of dimensions that a request wants from a model.
fn dimensions(model: &Model, wanted: &Value) -> Result<usize, ApiError> {
    let own = model.dimensions.unwrap_or(1);
    let Some(wanted) = wanted.as_i64() else { return Ok(own) };
    let wanted = usize::try_from(wanted).ok().filter(|wanted| (1..=own).contains(wanted));
    wanted.ok_or_else(|| ApiError::malformed(format!("Output dimensionality must be between 1 and {own}.")))
}

/// Returns a unit vector that depends only on the content.
fn vector(content: &Value, dimensions: usize) -> Vec<f32> {
    let digest: [u8; 32] = Sha256::digest(content.to_string()).into();
    let mut rng = Rng::with_seed(u64::from_le_bytes(*digest.first_chunk().expect("32 bytes")));
    let values: Vec<f32> = (0..dimensions).map(|_| rng.f32() - 0.5).collect();
    let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
    values.iter().map(|value| value / length).collect()
}
