//! What else than text a model gives, and to whom it is refused.

use serde_json::Value;

use super::message::MODALITIES;
use crate::proto_json::{field, items, word};
use crate::refusal::ApiError;

/// The modalities that a request asks for.
pub(crate) fn modalities(request: &Value) -> Vec<&'static str> {
    let config = field(request, "generationConfig", "generation_config");
    let wished = config.and_then(|config| field(config, "responseModalities", "response_modalities"));
    items(wished).into_iter().filter_map(|wished| word(wished, &MODALITIES)).collect()
}

/// Models that draw have `image` in their names, those that speak `tts`; these do nothing else.
pub(crate) fn check_modality(request: &Value, model: &str) -> Result<(), ApiError> {
    let wished = modalities(request);
    let wishes = |word: &str| wished.contains(&word);
    let (draws, speaks) = (model.contains("image"), model.contains("tts"));
    if (wishes("IMAGE") && !draws) || (wishes("AUDIO") && !speaks) || (speaks && !wishes("AUDIO")) {
        let wished = if wished.is_empty() { "text".to_owned() } else { wished.join(",").to_ascii_lowercase() };
        let why = format!("The requested combination of response modalities ({wished}) is not supported by the model.");
        return Err(ApiError::invalid_argument("malformed", why));
    }
    Ok(())
}
