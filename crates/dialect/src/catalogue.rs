//! Lists of models, as the APIs of `OpenAI` and Anthropic have them.

use serde::Deserialize;

use crate::{Fault, Kind, Model};

/// Reads a page of one: its models, and what asks for the next page where there is one.
///
/// ```
/// let page = br#"{"object": "list", "data": [{"id": "gpt-5", "object": "model", "owned_by": "openai"}]}"#;
/// let (models, next) = keypool_dialect::catalogue(page)?;
/// assert_eq!((models[0].id.as_str(), next), ("gpt-5", None));
/// # Ok::<(), keypool_dialect::Fault>(())
/// ```
///
/// # Errors
/// When it makes no sense.
pub fn catalogue(body: &[u8]) -> Result<(Vec<Model>, Option<String>), Fault> {
    #[derive(Deserialize)]
    struct Entry {
        id: String,
        #[serde(default)]
        display_name: Option<String>,
        #[serde(default)]
        owned_by: Option<String>,
    }
    #[derive(Deserialize)]
    struct List {
        data: Vec<Entry>,
        #[serde(default)]
        has_more: bool,
        #[serde(default)]
        last_id: Option<String>,
    }
    let nonsense = |_| Fault::new(Kind::BadGateway, "the upstream's list of models makes no sense");
    let list: List = serde_json::from_slice(body).map_err(nonsense)?;
    let model = |entry: Entry| Model {
        title: entry.display_name.unwrap_or_else(|| entry.id.clone()),
        owner: entry.owned_by.unwrap_or_default(),
        id: entry.id,
    };
    Ok((list.data.into_iter().map(model).collect(), list.last_id.filter(|_| list.has_more)))
}
