//! Paths of the Gemini API.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::error::{Error, ErrorKind};

const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Whether a name may be that of a model of Gemini's: one that could not stand in a request's address is none.
///
/// ```
/// assert!(keypool_client::check_model("gemini-2.5-flash").is_ok());
/// assert!(keypool_client::check_model("a/b").is_err());
/// assert!(keypool_client::check_model("gemini-2.5-flash:generateContent").is_err());
/// ```
///
/// # Errors
/// [`ErrorKind::Unmade`].
pub fn check_model(name: &str) -> Result<(), Error> {
    of_model(name, "").map(drop)
}

/// Where a model is asked: `verb` is such as `:generateContent`.
pub(crate) fn of_model(model: &str, verb: &str) -> Result<String, Error> {
    let name = model.strip_prefix("models/").unwrap_or(model);
    let (collection, name) = name.strip_prefix("tunedModels/").map_or(("models", name), |name| ("tunedModels", name));
    if let Some((bare, verb)) = model.split_once(':') {
        let said = format!("{model:?} is no name of a model: leave out \":{verb}\", it is called {bare:?}");
        return Err(Error::new(ErrorKind::Unmade(said)));
    }
    let in_none = |letter: char| "/?#%\\".contains(letter) || letter.is_whitespace() || letter.is_control();
    if name.is_empty() || name.len() > 256 || name.bytes().all(|byte| byte == b'.') || name.contains(in_none) {
        return Err(Error::new(ErrorKind::Unmade(format!("{model:?} is no name of a model"))));
    }
    Ok(format!("/v1beta/{collection}/{}{verb}", utf8_percent_encode(name, SEGMENT)))
}

/// What a body calls a model: with its collection.
pub(crate) fn resource(model: &str) -> String {
    let name = model.strip_prefix("models/").unwrap_or(model);
    if name.starts_with("tunedModels/") { name.to_owned() } else { format!("models/{name}") }
}
