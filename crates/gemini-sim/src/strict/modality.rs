//! What else than text a model gives, and to whom it is refused.

use serde_json::Value;

use crate::answer::field;
use crate::refusal::ApiError;

/// The modalities that a request asks for, in capitals.
pub(crate) fn modalities(request: &Value) -> Vec<String> {
    let config = field(request, "generationConfig", "generation_config");
    let wished = config.and_then(|config| field(config, "responseModalities", "response_modalities"));
    let words = wished.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    words.map(str::to_ascii_uppercase).collect()
}

/// Models that draw have `image` in their names, those that speak `tts`; these do nothing else.
pub(crate) fn check_modality(request: &Value, model: &str) -> Result<(), ApiError> {
    let wished = modalities(request);
    let wishes = |word: &str| wished.iter().any(|wished| wished == word);
    let (draws, speaks) = (model.contains("image"), model.contains("tts"));
    if (wishes("IMAGE") && !draws) || (wishes("AUDIO") && !speaks) || (speaks && !wishes("AUDIO")) {
        let wished = if wished.is_empty() { "text".to_owned() } else { wished.join(",").to_ascii_lowercase() };
        let why = format!("The requested combination of response modalities ({wished}) is not supported by the model.");
        return Err(ApiError::invalid_argument("malformed", why));
    }
    Ok(())
}
