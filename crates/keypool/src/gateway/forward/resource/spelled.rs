//! What a text may name that is somebody's, in whatever spelling a provider's reader might take for it.
//!
//! What an answer calls a thing is read strictly ([`names`]): it is learned. What a request says is read widely: it
//! may only name what is the caller's.

use std::borrow::Cow;

use keypool_client::names::{self, COLLECTIONS};
use percent_encoding::percent_decode_str;

/// So often may a text be percent-encoded one over the other.
const TIMES: usize = 3;

/// Every name that a text may stand for.
pub(super) fn names_in(text: &str) -> Vec<String> {
    // Readers of addresses skip these, wherever they stand.
    let text: Cow<'_, str> = match text.contains(is_skipped) {
        false => Cow::Borrowed(text),
        true if starts_with(text.trim_start_matches(is_skipped), "data:") => return Vec::new(),
        true => Cow::Owned(text.chars().filter(|letter| !is_skipped(*letter)).collect()),
    };
    if starts_with(&text, "data:") || starts_with(&text, "gs://") {
        return Vec::new();
    }
    let text = decoded(text);
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (Some(scheme.to_ascii_lowercase()), rest),
        None => (None, &*text),
    };
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let mut segments: Vec<&str> = Vec::new();
    for segment in rest.split(['/', '\\']) {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let path = segments.join("/");
    let strictly = names::name_in(&scheme.as_ref().map_or_else(|| path.clone(), |scheme| format!("{scheme}://{path}")));
    if let Some(name) = strictly.as_ref().filter(|name| name.starts_with("models/")) {
        return vec![name.clone()];
    }
    let is_elsewhere = scheme.is_some() && segments.first().is_some_and(|host| !host.contains("googleapis.com"));
    let mut names: Vec<String> = strictly.into_iter().collect();
    for (at, pair) in segments.windows(2).enumerate() {
        let last = pair[0].rsplit(':').next().unwrap_or_default();
        let Some(collection) = COLLECTIONS.iter().find(|known| known.eq_ignore_ascii_case(last)) else { continue };
        // A page somewhere that is kept in a folder of this name.
        if is_elsewhere && (at + 2 < segments.len() || pair[1].contains('.')) {
            continue;
        }
        let id = pair[1].trim_end_matches('.');
        let end = id.find(|letter: char| !(letter.is_ascii_alphanumeric() || "-_.".contains(letter)));
        // What begins with no letter of a name is nobody's.
        let id = end.filter(|end| *end > 0).map_or(id, |end| &id[..end]);
        names.push(format!("{collection}/{id}"));
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn is_skipped(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control()
}

fn starts_with(text: &str, front: &str) -> bool {
    text.get(..front.len()).is_some_and(|start| start.eq_ignore_ascii_case(front))
}

fn decoded(mut text: Cow<'_, str>) -> Cow<'_, str> {
    for _ in 0..TIMES {
        if !text.contains('%') {
            break;
        }
        text = Cow::Owned(percent_decode_str(&text).decode_utf8_lossy().into_owned());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_noticed_in_whatever_spelling() {
        let host = "https://generativelanguage.googleapis.com";
        for text in [
            "files/abc".to_owned(),
            " files/abc\n".to_owned(),
            "/files/abc".to_owned(),
            "v1beta/files/abc".to_owned(),
            "//generativelanguage.googleapis.com/v1beta/files/abc".to_owned(),
            "/v1beta/FILES/abc".to_owned(),
            format!("{host}/v1beta/files/abc"),
            format!(" {host}/v1beta/files/abc"),
            format!("\t{host}/v1beta/files/abc"),
            format!("{host}/v1beta/fi\nles/abc"),
            format!("{host}/v1beta/files/abc").replace("https", "HTTPS"),
            format!("{host}/v1beta/files/abc").replace("https", "ftp"),
            format!("{host}/v1beta/./files/abc"),
            format!("{host}/v1beta//files/abc/"),
            format!("{host}/v1beta/x/../files/abc"),
            format!("{host}/v1beta\\files\\abc"),
            format!("{host}/v1beta/%66iles/abc"),
            format!("{host}/v1beta/%2566iles%252Fabc"),
            format!("{host}/v1beta/files/abc?alt=media"),
            format!("{host}/v1beta/files/abc%3Falt=media"),
            format!("{host}/v1beta/files/abc#x"),
            format!("{host}/v1beta/files/abc;x"),
            format!("{host}/v1beta/files/abc:download?alt=media"),
            format!("{host}:443/v1beta/files/abc"),
            format!("{host}/download/v1beta/files/abc:download"),
            format!("{host}/download/v1beta/files/abc/content"),
            format!("{host}/files/abc"),
            "https://user@generativelanguage.googleapis.com/v1beta/files/abc".to_owned(),
            "https://x/files/abc".to_owned(),
            "http://x/y/files/abc".to_owned(),
            "https:/x/files/abc".to_owned(),
            "https:files/abc".to_owned(),
        ] {
            assert_eq!(names_in(&text), ["files/abc"], "{text:?}");
        }
    }

    #[test]
    fn other_things_and_what_names_nothing() {
        for (text, names) in [
            ("cachedContents/c-1", &["cachedContents/c-1"][..]),
            ("models/tunedModels/t", &["tunedModels/t"]),
            ("models/m/operations/o", &["models/m/operations/o"]),
            ("tunedModels/t/operations/o", &["tunedModels/t"]),
            ("fileSearchStores/s/documents/d", &["fileSearchStores/s"]),
            // Nobody can tell which of them is meant.
            ("files/a/files/b", &["files/a", "files/b"]),
            ("models/m", &[]),
            ("gemini-2.5-flash", &[]),
            ("publishers/google/models/m", &[]),
            ("https://www.youtube.com/watch?v=x", &[]),
            ("https://example.com/files/report.pdf", &[]),
            ("https://example.com/files/2024/report", &[]),
            ("https://example.com/a/b", &[]),
            ("gs://bucket/files/abc", &[]),
            ("data:image/png;base64,files/abc", &[]),
            (" data:image/png;base64,files/abc", &[]),
            ("hello", &[]),
            ("", &[]),
            ("é", &[]),
        ] {
            assert_eq!(names_in(text), names, "{text}");
        }
    }
}
