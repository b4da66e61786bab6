//! `:predict`: images of a model that does nothing else.

use serde_json::{Value, json};

use super::{PIXEL, Reply};
use crate::engine::{Admission, Admitted};
use crate::proto_json::items;
use crate::refusal::ApiError;

/// Images that one request may ask for.
const MOST: u64 = 4;

/// How many images a request wants, of which there may be so many.
pub(crate) fn pictures(request: &Value) -> Admission<u64> {
    let invalid = |why: &str| Err(ApiError::invalid_argument("malformed", why));
    let instances = items(request.get("instances"));
    let prompt = instances.first().and_then(|first| first["prompt"].as_str()).unwrap_or_default();
    if prompt.is_empty() {
        return invalid("Image generation failed with the following error: The prompt is empty.");
    }
    let count = request["parameters"]["sampleCount"].as_u64().unwrap_or(1);
    if !(1..=MOST).contains(&count) {
        return invalid("`sampleCount` value is out of range, must be between 1 and 4.");
    }
    let aspect = request["parameters"]["aspectRatio"].as_str().unwrap_or("1:1");
    if !matches!(aspect, "1:1" | "3:4" | "4:3" | "9:16" | "16:9") {
        return invalid("The requested aspect ratio is not supported.");
    }
    Ok(count)
}

pub(super) fn images(admitted: &Admitted) -> Admission<Reply> {
    let image = json!({ "mimeType": "image/png", "bytesBase64Encoded": PIXEL });
    let predictions: Vec<Value> = (0..pictures(&admitted.request)?).map(|_| image.clone()).collect();
    Ok(Reply::json(&json!({ "predictions": predictions })))
}
