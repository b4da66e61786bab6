//! The web pages on which a response is based: `groundingMetadata`.

use serde_json::Value;

use crate::Source;

/// The text of a response and its grounding metadata.
#[derive(Debug, Default)]
pub(super) struct Grounded {
    pub(super) text: String,
    /// The last metadata received, which is the one that counts.
    pub(super) grounding: Value,
}

impl Grounded {
    pub(super) fn queries(&self) -> Vec<String> {
        let queries = self.grounding["webSearchQueries"].as_array().into_iter().flatten();
        queries.filter_map(|query| query.as_str().map(str::to_owned)).collect()
    }

    /// Returns each supported part of the text with its page, or all pages at the end of the text if none is supported.
    pub(super) fn sources(&self) -> Vec<Source> {
        let pages = self.grounding["groundingChunks"].as_array().map_or(&[][..], Vec::as_slice);
        let letters = |end: usize| self.text[..end].chars().count();
        let source = |(start, end), page: &Value| {
            let field = |name: &str| page["web"][name].as_str().unwrap_or_default().to_owned();
            let source = Source { start: letters(start), end: letters(end), url: field("uri"), title: field("title") };
            Some(source).filter(|source| !source.url.is_empty())
        };
        let mut sources = Vec::new();
        for support in self.grounding["groundingSupports"].as_array().into_iter().flatten() {
            let Some(place) = self.place(&support["segment"]) else { continue };
            let indices = support["groundingChunkIndices"].as_array().into_iter().flatten().filter_map(Value::as_u64);
            sources.extend(indices.filter_map(|at| source(place, pages.get(at as usize)?)));
        }
        if sources.is_empty() {
            let end = self.text.len();
            sources.extend(pages.iter().filter_map(|page| source((end, end), page)));
        }
        sources
    }

    /// Returns the byte range of a segment. Gemini's offsets are within one part, or within the whole text of a stream.
    fn place(&self, segment: &Value) -> Option<(usize, usize)> {
        let text = segment["text"].as_str().unwrap_or_default();
        let at = |name: &str| segment[name].as_u64().unwrap_or_default() as usize;
        let (start, end) = (at("startIndex"), at("endIndex"));
        let quoted = self.text.get(start..end).filter(|quoted| !quoted.is_empty());
        if quoted.is_some_and(|quoted| text.is_empty() || quoted == text) {
            return Some((start, end));
        }
        let start = self.text.find(text).filter(|_| !text.is_empty())?;
        Some((start, start + text.len()))
    }
}
