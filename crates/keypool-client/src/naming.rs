//! Whether a request may name what only some owner's keys see: a file, a cache, a tuned model.

use std::sync::LazyLock;

use aho_corasick::packed::{Config, Searcher};

/// Of these at least one stands in every body that names something; the numbers are of letters and signs that are written
/// so, in which any word may be.
static WORDS: LazyLock<Searcher> = LazyLock::new(|| {
    let words = [
        "fileUri",
        "file_uri",
        "fileName",
        "file_name",
        "fileSearchStore",
        "file_search_store",
        "file_id",
        "achedContent",
        "ached_content",
        "unedModel",
        "uned_model",
        "revious_interaction",
        "reviousInteraction",
        "uri\"",
        "\\u002",
        "\\u003",
        "\\u004",
        "\\u005",
        "\\u006",
        "\\u007",
    ];
    // Where the processor has no vectors, slowly.
    let slow = || Config::new().only_rabin_karp(true).builder().extend(words).build();
    Searcher::new(words).or_else(slow).expect("a few words")
});

/// Whether nothing is named but a model; of more than this API's requests nobody can tell.
pub(crate) fn names_nothing(path: &str, body: &[u8]) -> bool {
    path.contains("/models/") && WORDS.find(body).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_names_nothing_and_what_may_is_seen() {
        let path = "/v1beta/models/gemini-2.5-flash:generateContent";
        assert!(names_nothing(path, br#"{"contents":[{"parts":[{"text":"tell me of files and caches"}]}]}"#));
        for body in [
            r#"{"contents":[{"parts":[{"fileData":{"fileUri":"https://x/v1beta/files/a"}}]}]}"#,
            r#"{"contents":[{"parts":[{"file_data":{"file_uri":"files/a"}}]}]}"#,
            r#"{"contents":[{"parts":[{"fileData":{"file\u0055ri":"files/a"}}]}]}"#,
            r#"{"cachedContent":"cachedContents/a"}"#,
            r#"{"cached_content":"cachedContents/a"}"#,
        ] {
            assert!(!names_nothing(path, body.as_bytes()), "{body}");
        }
        assert!(!names_nothing("/v1beta/tunedModels/mine:generateContent", b"{}"));
        assert!(!names_nothing("/v1beta/files/a", b""));
    }
}
