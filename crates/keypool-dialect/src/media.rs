//! Images, sounds and documents: data URLs and media types.

use crate::{Error, Media, MediaData};

/// Reads the URL in the request field `field`.
pub(crate) fn from_url(url: &str, field: &str) -> Result<Media, Error> {
    let head: String = url.chars().take(60).collect::<String>().to_ascii_lowercase();
    if head.starts_with("data:") {
        let (kind, data) = url
            .get(5..)
            .and_then(|rest| rest.split_once(','))
            .ok_or_else(|| Error::invalid(field, "the data URL has no comma"))?;
        let kind = kind.to_ascii_lowercase();
        let kind = kind.strip_suffix(";base64").ok_or_else(|| Error::invalid(field, "a data URL must say ;base64"))?;
        let mime = kind.split(';').next().unwrap_or_default();
        if data.is_empty() {
            return Err(Error::invalid(field, "the data URL is empty"));
        }
        let data = data.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
        return Ok(base64(mime.to_owned(), data));
    }
    if is_geminis(&head) {
        return Ok(Media { mime: None, data: MediaData::GeminiUri(url.to_owned()) });
    }
    if head.starts_with("http://") || head.starts_with("https://") {
        let data = MediaData::Remote { url: url.to_owned(), field: field.to_owned() };
        return Ok(Media { mime: None, data });
    }
    Err(Error::invalid(field, "expected a data URL (data:image/png;base64,…)"))
}

/// Creates media from base64, without parts that Gemini rejects: line breaks of some encoders, and a data URL's head.
pub(crate) fn base64(mime: String, mut data: String) -> Media {
    if data.starts_with("data:") {
        data.drain(..=data.find(',').unwrap_or(4));
    }
    if data.contains(|letter: char| letter.is_ascii_whitespace()) {
        data.retain(|letter| !letter.is_ascii_whitespace());
    }
    Media { mime: Some(mime), data: MediaData::Base64(data) }
}

/// Reports whether Gemini fetches this URL itself.
fn is_geminis(url: &str) -> bool {
    let file = url.starts_with("https://generativelanguage.googleapis.com/") && url.contains("/files/");
    let video = ["https://www.youtube.com/watch?", "https://youtube.com/watch?", "https://youtu.be/"];
    file || url.starts_with("gs://") || video.iter().any(|start| url.starts_with(start))
}

/// Returns a file of Gemini's Files API by its name (`files/…`) or URI.
pub(crate) fn from_file_id(id: &str, field: &str) -> Result<Media, Error> {
    const FILES: &str = "https://generativelanguage.googleapis.com/v1beta/";
    let uri = if id.starts_with("files/") { format!("{FILES}{id}") } else { id.to_owned() };
    if uri.strip_prefix(FILES).is_some_and(|name| name.starts_with("files/")) {
        return Ok(Media { mime: None, data: MediaData::GeminiUri(uri) });
    }
    Err(Error::invalid(
        field,
        "files of that API are not available here; send the data, or the name of a Gemini file (files/…)",
    ))
}

/// Reads a file sent as data: a data URL, or base64 with a file name that gives the type.
pub(crate) fn from_file(data: String, name: Option<&str>, field: &str) -> Result<Media, Error> {
    let named = name.and_then(mime_of_name);
    if data.starts_with("data:") {
        let media = from_url(&data, field)?;
        let is_unknown = media.mime.as_deref() == Some("application/octet-stream");
        return Ok(Media { mime: named.filter(|_| is_unknown).or(media.mime), data: media.data });
    }
    match named.filter(|_| !data.is_empty()) {
        Some(mime) => Ok(base64(mime, data)),
        None => Err(Error::invalid(field, "its type is not known; send a data URL, or a file name with an extension")),
    }
}

/// Returns the media type for a file name's extension.
pub(crate) fn mime_of_name(name: &str) -> Option<String> {
    let end = name.rsplit_once('.')?.1.to_ascii_lowercase();
    Some(match &*end {
        "pdf" | "json" => format!("application/{end}"),
        "csv" | "html" | "xml" => format!("text/{end}"),
        "png" | "jpeg" | "webp" => format!("image/{end}"),
        "mp3" | "wav" | "ogg" | "aiff" | "flac" | "aac" | "m4a" | "mpeg" | "webm" => format!("audio/{end}"),
        "txt" => "text/plain".to_owned(),
        "md" => "text/markdown".to_owned(),
        "htm" => "text/html".to_owned(),
        "jpg" => "image/jpeg".to_owned(),
        "oga" | "opus" => "audio/ogg".to_owned(),
        "aif" => "audio/aiff".to_owned(),
        "mpga" => "audio/mpeg".to_owned(),
        "mp4" => "video/mp4".to_owned(),
        _ => return None,
    })
}

/// Returns Gemini's name of a media type, by its documentation (ai.google.dev/gemini-api/docs: audio,
/// video-understanding, image-understanding, document-processing). An unspecific type is detected from the first bytes
/// of the data.
pub(crate) fn gemini_mime(mime: &str, data: &str) -> String {
    let bare = mime.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let known = match &*bare {
        "" | "image/*" | "application/octet-stream" | "binary/octet-stream" => match data.get(..4) {
            Some("iVBO") => "image/png",
            Some("/9j/") => "image/jpeg",
            Some("UklG") => "image/webp",
            Some("R0lG") => "image/gif",
            Some("JVBE") => "application/pdf",
            _ => "application/octet-stream",
        },
        "image/jpg" | "image/pjpeg" | "image/x-jpeg" | "image/x-jpg" => "image/jpeg",
        "image/x-png" => "image/png",
        "image/x-webp" => "image/webp",
        "audio/x-wav" | "audio/wave" | "audio/vnd.wave" | "audio/x-pn-wav" | "audio/vnd-wave" => "audio/wav",
        "audio/x-mp3" | "audio/mpeg3" | "audio/x-mpeg-3" | "audio/x-mpeg" | "audio/mpg" | "audio/x-mpg" => "audio/mp3",
        "audio/x-flac" => "audio/flac",
        "audio/x-aac" | "audio/aacp" | "audio/x-hx-aac-adts" => "audio/aac",
        "audio/x-aiff" | "audio/aif" => "audio/aiff",
        "audio/x-ogg" | "audio/oga" | "application/ogg" | "audio/opus" | "audio/vorbis" => "audio/ogg",
        "audio/x-m4a" | "audio/mp4a-latm" | "audio/m4b" => "audio/m4a",
        "audio/x-webm" => "audio/webm",
        "application/x-pdf" | "application/acrobat" => "application/pdf",
        "video/x-msvideo" | "video/msvideo" => "video/avi",
        "video/quicktime" => "video/mov",
        "video/x-ms-wmv" => "video/wmv",
        "video/x-m4v" | "video/x-mp4" => "video/mp4",
        "video/flv" => "video/x-flv",
        "video/3gp" => "video/3gpp",
        _ => return bare,
    };
    known.to_owned()
}
