//! `data:` URLs, and what else stands where one is expected.

use crate::{Far, Fault, Part, Text};

/// What a URL of an image or document stands for. `place` names the field.
///
/// # Errors
/// 400 for what is no URL of an image.
pub(crate) fn part(url: Text<'_>, place: impl Fn() -> String) -> Result<Part<'_>, Fault> {
    let lower: String = url.chars().take(60).collect::<String>().to_ascii_lowercase();
    if let Some(rest) = lower.strip_prefix("data:") {
        let (kind, _) = url
            .get(5..)
            .and_then(|rest| rest.split_once(','))
            .ok_or_else(|| Fault::invalid(format!("{}: the data URL has no comma", place())).at(place()))?;
        let start = 5 + kind.len() + 1;
        let Some(mime) = kind.strip_suffix(";base64").or_else(|| kind.strip_suffix(";BASE64")) else {
            return Err(Fault::invalid(format!("{}: a data URL must say ;base64", place())).at(place()));
        };
        let mime = mime.split(';').next().unwrap_or_default().to_ascii_lowercase();
        if mime.is_empty() || !mime.contains('/') || rest.starts_with(',') {
            return Err(Fault::invalid(format!("{}: the data URL names no type", place())).at(place()));
        }
        if url.len() == start {
            return Err(Fault::invalid(format!("{}: the data URL is empty", place())).at(place()));
        }
        let data = url.behind(start);
        return Ok(Part::Blob { mime: mime.into(), data });
    }
    if is_the_upstreams(&lower) {
        return Ok(Part::File { uri: url, mime: None });
    }
    if lower.starts_with("http://") || lower.starts_with("https://") {
        return Ok(Part::Far(Far { url, place: place() }));
    }
    let why = "expected a data URL (data:image/png;base64,…)";
    Err(Fault::invalid(format!("{}: {why}", place())).at(place()))
}

/// What the upstream finds by itself.
fn is_the_upstreams(lower: &str) -> bool {
    let googles = lower.starts_with("https://generativelanguage.googleapis.com/") && lower.contains("/files/");
    let video = ["https://www.youtube.com/watch?", "https://youtube.com/watch?", "https://youtu.be/"];
    googles || lower.starts_with("gs://") || video.iter().any(|start| lower.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<Part<'_>, Fault> {
        part(url.into(), || "here".to_owned())
    }

    #[test]
    fn data_is_read() {
        for (url, kind, bytes) in [
            ("data:image/png;base64,AAAA", "image/png", "AAAA"),
            ("DATA:Image/PNG;charset=x;base64,AA==", "image/png", "AA=="),
            ("data:application/pdf;base64,A", "application/pdf", "A"),
        ] {
            let Part::Blob { mime, data } = read(url).unwrap() else { panic!("{url}") };
            assert_eq!((&*mime, &*data), (kind, bytes));
        }
    }

    #[test]
    fn nothing_is_fetched() {
        for url in [
            "",
            "data:",
            "data:,",
            "data:;base64,AA",
            "data:image/png,AA",
            "data:image/png;base64,",
            "file:///etc/passwd",
            "dataé:",
        ] {
            assert_eq!(read(url).unwrap_err().param.as_deref(), Some("here"), "{url}");
        }
        let Ok(Part::Far(far)) = read("HTTP://127.0.0.1/") else { panic!() };
        assert_eq!((&*far.place, far.refused().param.as_deref()), ("here", Some("here")));
        let own = "https://generativelanguage.googleapis.com/v1beta/files/abc";
        assert!(matches!(read(own), Ok(Part::File { .. })));
    }
}
