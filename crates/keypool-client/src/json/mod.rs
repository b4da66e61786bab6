//! JSON out of what a model wrote: as it stands, else out of fences and prose, else repaired. What parses is never touched.

mod amend;
mod backslash;
mod balanced;
mod exact;
mod repair;
mod surrogate;

use std::borrow::Cow;

use serde_json::Value;

pub(crate) use exact::{compact, exact, value};

/// Longer texts are not repaired.
const MOST_BYTES: usize = 8 << 20;

/// JSON that was found in a text, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The value.
    pub value: Value,
    /// How it was come by.
    pub how: How,
}

/// How JSON was come by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum How {
    /// The text was JSON.
    AsItIs,
    /// It stood in a fence, or between words.
    Extracted,
    /// It was broken.
    Repaired,
}

/// No JSON can be made of a text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no JSON: {reason}")]
pub struct NoJson {
    reason: Cow<'static, str>,
}

/// Finds the JSON in a text, as models write it.
///
/// ```
/// use keypool_client::json::{How, find};
///
/// let found = find("Sure!\n```json\n{\"a\": [1, 2,]}\n```\nAnything else?")?;
/// assert_eq!(found.value, serde_json::json!({ "a": [1, 2] }));
/// assert_eq!(found.how, How::Repaired);
/// assert_eq!(find("It is {\"a\": 1}.")?.how, How::Extracted);
/// # Ok::<(), keypool_client::json::NoJson>(())
/// ```
///
/// # Errors
/// When there is none, or it is broken beyond repair.
pub fn find(text: &str) -> Result<Found, NoJson> {
    find_in(text).map(|(found, _)| found)
}

/// The same, and the text that it is the value of.
pub(crate) fn find_in(text: &str) -> Result<(Found, Cow<'_, str>), NoJson> {
    found_in(text).or_else(|error| {
        let paired = surrogate::paired(text).ok_or(error)?;
        let (Found { value, .. }, text) = found_in(&paired)?;
        Ok((Found { value, how: How::Repaired }, text.into_owned().into()))
    })
}

fn found_in(text: &str) -> Result<(Found, Cow<'_, str>), NoJson> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.is_empty() {
        return Err(NoJson { reason: "the text is empty".into() });
    }
    let found = |value, how, text| Ok((Found { value, how }, text));
    let as_it_is = match value(text) {
        Ok(value) => return found(value, How::AsItIs, text.into()),
        Err(error) => error,
    };
    let answer = balanced::behind_thoughts(text);
    let region = balanced::fenced(answer).unwrap_or(answer);
    if region.len() < text.len()
        && let Ok(value) = value(region)
    {
        return found(value, How::Extracted, region.into());
    }
    let (value, broken) = balanced::first(region);
    if let Some((value, piece)) = value {
        return found(value, How::Extracted, piece.into());
    }
    if region.len() > MOST_BYTES {
        return Err(NoJson {
            reason: format!("{as_it_is}; longer than {MOST_BYTES} bytes, it is not repaired").into(),
        });
    }
    let broken = broken.or_else(|| balanced::bare(region));
    let repaired = broken.and_then(repair::repair).ok_or_else(|| NoJson { reason: as_it_is.to_string().into() });
    repaired.and_then(|(value, text)| found(value, How::Repaired, text.into()))
}
