//! Where an answer was found on the web: `groundingMetadata`.

use serde::Deserialize;

use crate::Source;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Grounding {
    grounding_chunks: Vec<Chunk>,
    grounding_supports: Vec<Support>,
    web_search_queries: Vec<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Chunk {
    web: Page,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Page {
    uri: String,
    title: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Support {
    segment: Segment,
    grounding_chunk_indices: Vec<usize>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Segment {
    start_index: usize,
    end_index: usize,
    text: String,
}

/// More are not told of one answer.
const MAX: usize = 1_000;

/// The text of an answer, and what it says of where it was found.
#[derive(Debug, Default)]
pub(super) struct Grounded {
    pub(super) text: String,
    /// The last one that tells anything counts.
    pub(super) grounding: Option<Grounding>,
}

impl Grounded {
    pub(super) fn queries(&self) -> Vec<String> {
        self.grounding.as_ref().map(|grounding| grounding.web_search_queries.clone()).unwrap_or_default()
    }

    /// Each stretch of the text with its page.
    pub(super) fn sources(&self) -> Vec<Source> {
        let Some(grounding) = &self.grounding else { return Vec::new() };
        let mut sources = Vec::new();
        for Support { segment, grounding_chunk_indices } in &grounding.grounding_supports {
            let Some((start, end)) = self.place(segment) else { continue };
            let letters = |end: usize| self.text[..end].chars().count();
            let (start, end) = (letters(start), letters(end));
            let pages = grounding_chunk_indices.iter().filter_map(|at| grounding.grounding_chunks.get(*at));
            sources.extend(pages.filter(|page| !page.web.uri.is_empty()).map(|Chunk { web: Page { uri, title } }| {
                Source { start, end, url: uri.clone(), title: title.clone() }
            }));
        }
        sources.truncate(MAX);
        sources
    }

    /// Bytes from where to where. Gemini counts them within one part, and of a stream within all of it.
    fn place(&self, segment: &Segment) -> Option<(usize, usize)> {
        let at = (segment.start_index, segment.end_index);
        let said = self.text.get(at.0..at.1).filter(|said| !said.is_empty());
        if said.is_some_and(|said| segment.text.is_empty() || said == segment.text) {
            return Some(at);
        }
        let start = self.text.find(&segment.text).filter(|_| !segment.text.is_empty())?;
        Some((start, start + segment.text.len()))
    }
}
