//! Gemini's list of models.

use serde::Deserialize;

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

/// Reads a page of the list: the models that can be talked to, that embed, or that draw, and the token of the next page.
///
/// # Errors
/// 502 when it makes no sense.
pub fn page(body: &[u8]) -> Result<(Vec<Model>, Option<String>), Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct List {
        #[serde(default)]
        models: Vec<Entry>,
        next_page_token: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Entry {
        name: String,
        #[serde(default)]
        display_name: String,
        #[serde(default)]
        supported_generation_methods: Vec<String>,
    }
    let list: List = serde_json::from_slice(body).map_err(|_| Error::bad_upstream())?;
    let useful = |entry: &Entry| {
        let mut methods = entry.supported_generation_methods.iter();
        methods.any(|method| matches!(&**method, "generateContent" | "embedContent" | "predict"))
    };
    let model = |Entry { name, display_name, .. }: Entry| {
        let id = bare_model(&name).to_owned();
        Model { title: if display_name.is_empty() { id.clone() } else { display_name }, id }
    };
    let models = list.models.into_iter().filter(useful).map(model).collect();
    Ok((models, list.next_page_token.filter(|token| !token.is_empty())))
}
