//! What belongs to an owner and is called by a name: files, caches, tuned models, batches, operations, and whatever else
//! only the keys of one owner see. Which of them a request [mentions](mentioned_in), and which an answer [tells](told_in) of.

mod mentioned;
mod told;

use percent_encoding::percent_decode_str;

pub use mentioned::{
    ESCAPES, MENTIONING, OPAQUE, Spelling, any_word_of, is_wide, may_mention, may_mention_compatible, mentioned_in,
};
pub use told::{life, told_in};

/// Collections of which an item is noticed wherever in an address it stands.
pub const COLLECTIONS: [&str; 8] = [
    "files",
    "cachedContents",
    "tunedModels",
    "fileSearchStores",
    "generatedFiles",
    "batches",
    "corpora",
    "interactions",
];

/// Whether what is called so was made for one model, and is of no use to another.
pub fn is_of_one_model(name: &str) -> bool {
    name.starts_with("cachedContents/")
}

/// Whether what is called so may be the provider's own: one that nobody here made may be asked all the same.
pub fn may_be_the_providers(name: &str) -> bool {
    ["agents/", "environments/"].iter().any(|collection| name.starts_with(collection))
}

/// What is everybody's.
pub const SHARED: [&str; 2] = ["models", "publishers"];

/// Whether a segment of a path is a version of the API.
pub fn is_version(segment: &str) -> bool {
    segment.len() <= 12
        && segment.strip_prefix('v').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// An id without the verb behind it (`abc:download`).
pub fn without_verb(id: &str) -> &str {
    id.split_once(':').map_or(id, |(id, _)| id)
}

/// The name that a text is: `files/abc` of itself, of `https://…/v1beta/files/abc` and of
/// `https://…/v1beta/files/abc:download?alt=media`. `None` for anything else, such as other addresses.
pub fn name_in(text: &str) -> Option<String> {
    let path = match text.split_once("://") {
        Some(("http" | "https", rest)) => {
            let path = rest.split_once('/')?.1.split(['?', '#']).next()?;
            let path = path.strip_prefix("download/").unwrap_or(path);
            let (version, path) = path.split_once('/')?;
            is_version(version).then_some(path)?
        }
        Some(_) => return None,
        None => text,
    };
    let path = percent_decode_str(path).decode_utf8().ok()?;
    let segments: Vec<&str> = path.split('/').collect();
    let plain = |segment: &str| {
        !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    };
    match *segments.as_slice() {
        ["models", model, "operations", id] if plain(model) => {
            let id = without_verb(id);
            plain(id).then(|| format!("models/{model}/operations/{id}"))
        }
        [shared, ..] if SHARED.contains(&shared) => None,
        [collection, id, ..] => {
            let id = without_verb(id);
            let of_letters = collection.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_');
            (of_letters && !collection.is_empty() && plain(id)).then(|| format!("{collection}/{id}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_texts() {
        let host = "https://generativelanguage.googleapis.com";
        for (text, name) in [
            ("files/abc".to_owned(), Some("files/abc")),
            (format!("{host}/v1beta/files/abc"), Some("files/abc")),
            (format!("{host}/v1beta/files/abc:download?alt=media"), Some("files/abc")),
            (format!("{host}/download/v1beta/files/abc:download"), Some("files/abc")),
            ("cachedContents/c-1".to_owned(), Some("cachedContents/c-1")),
            ("models/m/operations/o".to_owned(), Some("models/m/operations/o")),
            ("fileSearchStores/s/documents/d".to_owned(), Some("fileSearchStores/s")),
            ("models/m".to_owned(), None),
            ("https://www.youtube.com/watch?v=x".to_owned(), None),
            ("https://example.com/a/b".to_owned(), None),
            ("gs://bucket/files/abc".to_owned(), None),
            ("hello".to_owned(), None),
            ("a b/c".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(name_in(&text).as_deref(), name, "{text}");
        }
    }
}
