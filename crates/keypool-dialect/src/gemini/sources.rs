//! Where an answer was found on the web: `groundingMetadata`.

use serde_json::Value;

use crate::Source;

/// The text of an answer, and what it says of where it was found.
#[derive(Debug, Default)]
pub(super) struct Grounded {
    pub(super) text: String,
    /// The last one counts.
    pub(super) grounding: Value,
}

impl Grounded {
    pub(super) fn queries(&self) -> Vec<String> {
        let queries = self.grounding["webSearchQueries"].as_array().into_iter().flatten();
        queries.filter_map(|query| query.as_str().map(str::to_owned)).collect()
    }

    /// Each stretch of the text with its page.
    pub(super) fn sources(&self) -> Vec<Source> {
        let mut sources = Vec::new();
        for support in self.grounding["groundingSupports"].as_array().into_iter().flatten() {
            let Some((start, end)) = self.place(&support["segment"]) else { continue };
            let letters = |end: usize| self.text[..end].chars().count();
            for at in support["groundingChunkIndices"].as_array().into_iter().flatten().filter_map(Value::as_u64) {
                let page = &self.grounding["groundingChunks"][at as usize]["web"];
                let said = |name: &str| page[name].as_str().unwrap_or_default().to_owned();
                let source =
                    Source { start: letters(start), end: letters(end), url: said("uri"), title: said("title") };
                sources.extend(Some(source).filter(|source| !source.url.is_empty()));
            }
        }
        sources
    }

    /// Bytes from where to where. Gemini counts them within one part, and of a stream within all of it.
    fn place(&self, segment: &Value) -> Option<(usize, usize)> {
        let text = segment["text"].as_str().unwrap_or_default();
        let at = |name: &str| segment[name].as_u64().unwrap_or_default() as usize;
        let (start, end) = (at("startIndex"), at("endIndex"));
        let said = self.text.get(start..end).filter(|said| !said.is_empty());
        if said.is_some_and(|said| text.is_empty() || said == text) {
            return Some((start, end));
        }
        let start = self.text.find(text).filter(|_| !text.is_empty())?;
        Some((start, start + text.len()))
    }
}
