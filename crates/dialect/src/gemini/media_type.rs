//! What kinds of contents are called: by the names that the upstream documents, whatever a caller's library calls them.

use std::borrow::Cow;

use crate::Text;

/// Synonyms that browsers, mail and Python's `mimetypes` have for kinds that the upstream documents
/// (ai.google.dev/gemini-api/docs: audio, video-understanding, image-understanding, document-processing).
const SYNONYMS: [(&str, &[&str]); 18] = [
    ("image/jpeg", &["image/jpg", "image/pjpeg", "image/x-jpeg", "image/x-jpg"]),
    ("image/png", &["image/x-png"]),
    ("image/webp", &["image/x-webp"]),
    ("audio/wav", &["audio/x-wav", "audio/wave", "audio/vnd.wave", "audio/x-pn-wav", "audio/vnd-wave"]),
    ("audio/mp3", &["audio/x-mp3", "audio/mpeg3", "audio/x-mpeg-3", "audio/x-mpeg", "audio/mpg", "audio/x-mpg"]),
    ("audio/flac", &["audio/x-flac"]),
    ("audio/aac", &["audio/x-aac", "audio/aacp", "audio/x-hx-aac-adts"]),
    ("audio/aiff", &["audio/x-aiff", "audio/aif"]),
    ("audio/ogg", &["audio/x-ogg", "audio/oga", "application/ogg", "audio/opus", "audio/vorbis"]),
    ("audio/m4a", &["audio/x-m4a", "audio/mp4a-latm", "audio/m4b"]),
    ("audio/webm", &["audio/x-webm"]),
    ("application/pdf", &["application/x-pdf", "application/acrobat"]),
    ("video/avi", &["video/x-msvideo", "video/msvideo"]),
    ("video/mov", &["video/quicktime"]),
    ("video/wmv", &["video/x-ms-wmv"]),
    ("video/mp4", &["video/x-m4v", "video/x-mp4"]),
    ("video/x-flv", &["video/flv"]),
    ("video/3gpp", &["video/3gp"]),
];

/// How kinds begin whose name some clients do not know: in base64.
const BEGINNINGS: [(&str, &str); 5] = [
    ("iVBORw0KGgo", "image/png"),
    ("/9j/", "image/jpeg"),
    ("UklGR", "image/webp"),
    ("R0lGOD", "image/gif"),
    ("JVBERi0", "application/pdf"),
];

/// The upstream's name of it. `data`: what it is the name of, in base64; of what is called octets the beginning tells.
pub(super) fn named<'m>(mime: &'m str, data: &Text<'_>) -> Cow<'m, str> {
    let bare = mime.split(';').next().unwrap_or_default().trim();
    let bare: Cow<'m, str> =
        if bare.bytes().any(|byte| byte.is_ascii_uppercase()) { bare.to_ascii_lowercase().into() } else { bare.into() };
    let known = match &*bare {
        "application/octet-stream" | "binary/octet-stream" => {
            BEGINNINGS.iter().find(|(beginning, _)| data.starts_with(beginning)).map(|(_, mime)| *mime)
        }
        bare => SYNONYMS.iter().find(|(_, synonyms)| synonyms.contains(&bare)).map(|(mime, _)| *mime),
    };
    known.map_or(bare, Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called<'m>(mime: &'m str, data: &str) -> Cow<'m, str> {
        named(mime, &data.into())
    }

    #[test]
    fn a_synonym_is_no_name() {
        for (name, synonyms) in SYNONYMS {
            assert_eq!(called(name, ""), name);
            for synonym in synonyms {
                assert_eq!(called(synonym, ""), name);
                assert!(SYNONYMS.iter().all(|(other, _)| other != synonym), "{synonym}");
            }
        }
        assert_eq!(called("Audio/WAV; rate=16000", ""), "audio/wav");
        assert_eq!(called("application/octet-stream", "/9j/4AAQ"), "image/jpeg");
        assert_eq!(called("application/octet-stream", "AAAA"), "application/octet-stream");
    }
}
