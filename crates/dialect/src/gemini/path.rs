//! Where requests go.

use std::fmt::Write as _;

/// A model's name without what callers put in front of it.
pub fn name(model: &str) -> &str {
    let model = model.trim();
    ["models/", "google/", "gemini/"].iter().find_map(|front| model.strip_prefix(front)).unwrap_or(model)
}

/// The path of a verb of a model; `None` for a name that cannot be one.
pub fn path_of(model: &str, verb: &str) -> Option<String> {
    let model = name(model);
    let (collection, model) = match model.split_once('/') {
        Some(("tunedModels", model)) => ("tunedModels", model),
        _ => ("models", model),
    };
    let fine = !model.is_empty() && model.len() <= 256 && !model.bytes().all(|byte| byte == b'.');
    if !fine {
        return None;
    }
    let mut path = format!("/v1beta/{collection}/");
    for byte in model.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            path.push(char::from(byte));
        } else {
            let _ = write!(path, "%{byte:02X}");
        }
    }
    path.push_str(verb);
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_bare_and_stay_one_segment() {
        for (model, path) in [
            ("gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:x"),
            ("models/gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:x"),
            ("google/gemini-2.5-flash", "/v1beta/models/gemini-2.5-flash:x"),
            ("tunedModels/mine", "/v1beta/tunedModels/mine:x"),
            ("a/b?c#d:é", "/v1beta/models/a%2Fb%3Fc%23d%3A%C3%A9:x"),
        ] {
            assert_eq!(path_of(model, ":x").unwrap(), path);
        }
        for model in ["", "..", ".", "models/", "models/.."] {
            assert_eq!(path_of(model, ":x"), None, "{model}");
        }
    }
}
