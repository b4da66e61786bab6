//! What was found on the web, as blocks of an answer: the search, its pages, and the places of the text that stand on them.
//!
//! An upstream tells of them behind the text, and so they stand behind it here.

use std::collections::HashSet;

use serde::Serialize;

use super::message::Block;
use crate::{Shape, Source};

/// The search: one, whatever it was that was looked for.
#[derive(Serialize)]
pub(super) struct Query {
    query: String,
}

/// A page of it. There is nothing in it that could be read back: what it says stands in the text.
#[derive(Serialize)]
pub(super) struct Found {
    #[serde(rename = "type")]
    kind: &'static str,
    url: String,
    title: String,
    encrypted_content: &'static str,
    page_age: (),
}

/// A page on which a text stands.
#[derive(Serialize)]
pub(super) struct Citation {
    #[serde(rename = "type")]
    kind: &'static str,
    url: String,
    title: String,
    encrypted_index: &'static str,
    cited_text: &'static str,
}

/// Each page once.
fn pages(sources: &[Source]) -> impl Iterator<Item = &Source> {
    let mut seen = HashSet::new();
    sources.iter().filter(move |source| seen.insert(&*source.url))
}

/// The pages on which a text stands.
pub(super) fn citations(sources: &[Source]) -> Vec<Citation> {
    let citation = |Source { url, title, .. }: &Source| Citation {
        kind: "web_search_result_location",
        url: url.clone(),
        title: title.clone(),
        encrypted_index: "",
        cited_text: "",
    };
    pages(sources).map(citation).collect()
}

/// The search, and what it found.
pub(super) fn blocks(queries: &[String], sources: &[Source], shape: &Shape) -> [Block; 2] {
    let id = format!("srvtoolu_{}", shape.unique);
    let found = |Source { url, title, .. }: &Source| Found {
        kind: "web_search_result",
        url: url.clone(),
        title: title.clone(),
        encrypted_content: "",
        page_age: (),
    };
    [
        Block::ServerToolUse { id: id.clone(), name: "web_search", input: Query { query: queries.join("; ") } },
        Block::WebSearchToolResult { tool_use_id: id, content: pages(sources).map(found).collect() },
    ]
}
