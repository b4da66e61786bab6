//! Where what is said was found on the web: `groundingMetadata`.

use serde::Deserialize;

use super::count::or_default;
use crate::Source;

/// What an answer says of that. Its places are bytes of one part; of a stream, of all that was said.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_field_names, reason = "as they stand on the wire")]
pub(super) struct Grounding {
    #[serde(deserialize_with = "or_default")]
    grounding_chunks: Vec<Chunk>,
    #[serde(deserialize_with = "or_default")]
    grounding_supports: Vec<Support>,
    #[serde(deserialize_with = "or_default")]
    web_search_queries: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Chunk {
    #[serde(deserialize_with = "or_default")]
    web: Page,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Page {
    #[serde(deserialize_with = "or_default")]
    uri: String,
    #[serde(deserialize_with = "or_default")]
    title: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Support {
    #[serde(deserialize_with = "or_default")]
    segment: Segment,
    /// One that is no place names no page.
    #[serde(deserialize_with = "or_default")]
    grounding_chunk_indices: Vec<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Segment {
    #[serde(deserialize_with = "or_default")]
    part_index: usize,
    #[serde(deserialize_with = "or_default")]
    start_index: usize,
    #[serde(deserialize_with = "or_default")]
    end_index: usize,
    #[serde(deserialize_with = "or_default")]
    text: String,
}

/// More are not told of one answer.
const MOST: usize = 1_000;

/// What was said, for whoever tells where it was found.
#[derive(Debug, Default)]
pub(super) struct Said {
    text: String,
    /// Where each part began of those that came last.
    parts: Vec<usize>,
    grounding: Option<(Grounding, Vec<usize>)>,
}

impl Said {
    /// More of it comes.
    pub(super) fn goes_on(&mut self) {
        self.parts.clear();
    }

    /// A part of that begins.
    pub(super) fn part(&mut self) {
        self.parts.push(self.text.len());
    }

    pub(super) fn say(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Where it was found. The last one that tells anything counts.
    pub(super) fn was_found(&mut self, grounding: Grounding) {
        if !grounding.grounding_supports.is_empty() {
            self.grounding = Some((grounding, self.parts.clone()));
        }
    }

    /// What was looked for.
    pub(super) fn queries(&self) -> Vec<String> {
        self.grounding.as_ref().map_or_else(Vec::new, |(grounding, _)| grounding.web_search_queries.clone())
    }

    /// Each place of it that was found somewhere.
    pub(super) fn sources(&self) -> Vec<Source> {
        let Some((Grounding { grounding_chunks: pages, grounding_supports, .. }, parts)) = &self.grounding else {
            return Vec::new();
        };
        let mut sources = Vec::new();
        for Support { segment, grounding_chunk_indices } in grounding_supports {
            let Some((start, end)) = self.place(segment, parts) else { continue };
            let letters = |end: usize| self.text[..end].chars().count();
            let (start, end) = (letters(start), letters(end));
            let indices = grounding_chunk_indices.iter().filter_map(|at| usize::try_from(*at).ok());
            let pages = indices.filter_map(|at| pages.get(at));
            sources.extend(pages.filter(|page| !page.web.uri.is_empty()).map(|Chunk { web: Page { uri, title } }| {
                Source { start, end, url: uri.clone(), title: title.clone() }
            }));
            if sources.len() >= MOST {
                break;
            }
        }
        sources
    }

    /// From where to where it stands.
    fn place(&self, segment: &Segment, parts: &[usize]) -> Option<(usize, usize)> {
        let Segment { part_index, start_index, end_index, text } = segment;
        let at = |base: usize| Some((base.checked_add(*start_index)?, base.checked_add(*end_index)?));
        let is_it = |(start, end): &(usize, usize)| {
            let said = self.text.get(*start..*end);
            said.is_some_and(|said| !said.is_empty() && (said == text || text.is_empty()))
        };
        let base = parts.get(*part_index).copied().unwrap_or_default();
        [base, 0].into_iter().filter_map(at).find(is_it)
    }
}
