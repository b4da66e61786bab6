//! A file that comes with a request, and what its name says of its type.

use crate::{Fault, Part, Text, data_url};

/// In front of a file's name where it is an address.
const GEMINIS: &str = "https://generativelanguage.googleapis.com/v1beta/";

/// A file that came with a request; `at` names its fields.
pub(crate) fn file<'a>(
    data: Option<Text<'a>>,
    id: Option<Text<'a>>,
    name: Option<Text<'a>>,
    at: &dyn Fn(&str) -> String,
) -> Result<Part<'a>, Fault> {
    match (data, id) {
        (Some(data), _) if data.is_empty() => {
            Err(Fault::invalid(format!("{} is empty", at("file_data"))).at(at("file_data")))
        }
        (Some(data), _) if data.starts_with("data:") => {
            let mut part = data_url::part(data, || at("file_data"))?;
            // Of what is called octets its name says more.
            if let (Part::Blob { mime, .. }, Some(named)) = (&mut part, name.as_deref().and_then(mime_of))
                && &**mime == "application/octet-stream"
            {
                *mime = named.into();
            }
            Ok(part)
        }
        (Some(data), _) => {
            let name = name.unwrap_or_default();
            let mime = mime_of(&name).ok_or_else(|| {
                let at = at("filename");
                Fault::invalid(format!("{at}: its type is not known; send a data URL as file_data")).at(at)
            })?;
            Ok(Part::Blob { mime: mime.into(), data })
        }
        (None, Some(id)) if id.starts_with("files/") => {
            Ok(Part::File { uri: format!("{GEMINIS}{id}").into(), mime: None })
        }
        // As the provider's own clients call it.
        (None, Some(id)) if id.strip_prefix(GEMINIS).is_some_and(|id| id.starts_with("files/")) => {
            Ok(Part::File { uri: id, mime: None })
        }
        (None, Some(_)) => {
            let at = at("file_id");
            Err(Fault::invalid(format!("{at}: files of that API are not here; send file_data")).at(at))
        }
        (None, None) => Err(Fault::invalid(format!("{} is missing", at("file_data"))).at(at("file_data"))),
    }
}

/// The type that a file's name speaks of.
pub(super) fn mime_of(name: &str) -> Option<&'static str> {
    let (_, end) = name.rsplit_once('.')?;
    Some(match end.to_ascii_lowercase().as_str() {
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "xml" => "text/xml",
        "json" => "application/json",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        "ogg" | "oga" | "opus" => "audio/ogg",
        "aiff" | "aif" => "audio/aiff",
        "flac" => "audio/flac",
        "aac" => "audio/aac",
        "m4a" => "audio/m4a",
        "mpga" | "mpeg" => "audio/mpeg",
        "webm" => "audio/webm",
        "mp4" => "video/mp4",
        _ => return None,
    })
}
