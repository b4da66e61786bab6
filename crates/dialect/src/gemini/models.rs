//! The catalogue.

use serde::Deserialize;

use super::nonsense;
use crate::{Fault, Model};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    name: String,
    #[serde(default)]
    display_name: String,
    #[serde(default)]
    supported_generation_methods: Vec<String>,
}

/// A page of it.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The models that can be talked to, that embed, or that draw.
    pub models: Vec<Model>,
    /// What asks for the next page.
    pub next: Option<String>,
}

/// Reads a page.
///
/// # Errors
/// When it makes no sense.
pub fn page(body: &[u8]) -> Result<Page, Fault> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct List {
        #[serde(default)]
        models: Vec<Entry>,
        next_page_token: Option<String>,
    }
    let list: List = serde_json::from_slice(body).map_err(|_| nonsense())?;
    let useful = |entry: &Entry| {
        entry
            .supported_generation_methods
            .iter()
            .any(|method| matches!(&**method, "generateContent" | "embedContent" | "predict"))
    };
    let models = list.models.into_iter().filter(useful).map(Entry::into).collect();
    Ok(Page { models, next: list.next_page_token.filter(|next| !next.is_empty()) })
}

/// Reads one model.
///
/// # Errors
/// When it makes no sense.
pub fn model(body: &[u8]) -> Result<Model, Fault> {
    let entry: Entry = serde_json::from_slice(body).map_err(|_| nonsense())?;
    Ok(entry.into())
}

impl From<Entry> for Model {
    fn from(entry: Entry) -> Self {
        let id = super::name(&entry.name).to_owned();
        let title = if entry.display_name.is_empty() { id.clone() } else { entry.display_name };
        Self { id, title, owner: "google".to_owned() }
    }
}
