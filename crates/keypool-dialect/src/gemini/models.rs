//! Gemini's list of models.

use serde_json::Value;

use super::bare_model;
use crate::Error;

/// A model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its name, without `models/`.
    pub id: String,
    /// Its name for people.
    pub title: String,
}

/// Reads a page of the list: the models that can be talked to, or that embed, and the token of the next page.
///
/// # Errors
/// 502 when it makes no sense.
pub fn page(body: &[u8]) -> Result<(Vec<Model>, Option<String>), Error> {
    let list: Value = serde_json::from_slice(body).map_err(|_| Error::bad_upstream())?;
    let model = |entry: &Value| {
        let mut methods = entry["supportedGenerationMethods"].as_array().into_iter().flatten();
        let useful = methods.any(|method| method == "generateContent" || method == "embedContent");
        let id = bare_model(entry["name"].as_str().filter(|_| useful)?).to_owned();
        let title = entry["displayName"].as_str().unwrap_or(&id).to_owned();
        Some(Model { id, title })
    };
    let models = list["models"].as_array().into_iter().flatten().filter_map(model).collect();
    let next = list["nextPageToken"].as_str().filter(|token| !token.is_empty());
    Ok((models, next.map(str::to_owned)))
}
