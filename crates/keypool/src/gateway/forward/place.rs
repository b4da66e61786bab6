//! Where a page begins in each account's list: what is remembered of one, and the cursor that a client brings back where its
//! provider's lists go on by a token (`page`, `next_page`).

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::page::Made;
use crate::gateway::{admit::capability::hash_of, dialect::Refusal};

/// Every cursor begins so.
pub(super) const FRONT: &str = "page_";
/// No cursor is longer: a client sends it back in an address.
const LONGEST: usize = 48 << 10;
/// So many letters of a hash tell a cursor from a garbled one, or from another list's.
const SEAL: usize = 8;

const WRONG: Refusal =
    Refusal::new(StatusCode::BAD_REQUEST, "page: this cursor is none that was handed out here for this list");
const TOO_LONG: Refusal = Refusal::new(
    StatusCode::BAD_GATEWAY,
    "the accounts' own cursors are too long to go on from: a larger limit needs fewer pages",
);

/// An item of an account's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    #[serde(rename = "i")]
    pub(super) id: String,
    #[serde(rename = "m")]
    pub(super) made: Made,
    /// Whose it is.
    #[serde(rename = "w")]
    pub(super) tag: String,
}

/// Where it goes on in an account's list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Place {
    /// Behind this item, which the account is asked for.
    #[serde(rename = "b")]
    Behind(Mark),
    /// On the page of this token, or the first; behind an item that is looked for there.
    #[serde(rename = "f")]
    From {
        #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
        page: Option<String>,
        #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
        past: Option<Mark>,
    },
}

impl Place {
    pub(super) const BEGINNING: Self = Self::From { page: None, past: None };
}

/// Where every account stands that has more, by its tag; and how many were left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    #[serde(rename = "n")]
    pub(super) left_out: u16,
    #[serde(rename = "a")]
    pub(super) places: BTreeMap<String, Place>,
}

impl Cursor {
    /// As a client brings it back for the list at this path.
    ///
    /// # Errors
    /// Where it would be too long.
    pub(super) fn text(&self, path: &str) -> Result<String, Refusal> {
        let told = serde_json::to_string(self).map_err(|_| TOO_LONG)?;
        let text = format!("{FRONT}{}", URL_SAFE_NO_PAD.encode(seal(path, &told) + &told));
        if text.len() > LONGEST { Err(TOO_LONG) } else { Ok(text) }
    }

    /// # Errors
    /// Where it is none of this list's.
    pub(super) fn read(text: &str, path: &str) -> Result<Self, Refusal> {
        let read = || {
            let told = text.strip_prefix(FRONT).filter(|_| text.len() <= LONGEST)?;
            let told = String::from_utf8(URL_SAFE_NO_PAD.decode(told).ok()?).ok()?;
            let (sealed, told) = told.split_at_checked(SEAL)?;
            let cursor: Self = serde_json::from_str(told).ok().filter(|_| sealed == seal(path, told))?;
            Some(cursor).filter(|cursor| !cursor.places.is_empty())
        };
        read().ok_or(WRONG)
    }
}

/// It keeps out what was garbled. Whoever forges one gets no further than with the accounts' own cursors.
fn seal(path: &str, told: &str) -> String {
    let mut seal = hash_of(format!("{path}\n{told}").as_bytes());
    seal.truncate(SEAL);
    seal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_told_and_no_other() {
        let mark = Mark {
            id: "file_é/\"1".to_owned(),
            made: Made::Said("2026-01-01T00:00:00".to_owned()),
            tag: "t".to_owned(),
        };
        let places = [
            ("0a", Place::Behind(mark.clone())),
            ("0b", Place::BEGINNING),
            ("0c", Place::From { page: Some("page_+/=&".to_owned()), past: Some(mark) }),
        ];
        let places = places.into_iter().map(|(tag, place)| (tag.to_owned(), place)).collect();
        let cursor = Cursor { left_out: 2, places };
        let text = cursor.text("/v1/files").unwrap();
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')), "{text}");
        assert_eq!(Cursor::read(&text, "/v1/files").unwrap(), cursor);
        assert!(Cursor::read(&text, "/v1/messages/batches").is_err());
        for at in 0..text.len() {
            let mut garbled = text.clone().into_bytes();
            garbled[at] = if garbled[at] == b'A' { b'B' } else { b'A' };
            assert!(Cursor::read(&String::from_utf8(garbled).unwrap(), "/v1/files").is_err(), "{at}");
            assert!(Cursor::read(&text[..at], "/v1/files").is_err(), "{at}");
        }
        for wrong in ["page_", "page_é", &format!("{FRONT}{}", "A".repeat(LONGEST))] {
            assert!(Cursor::read(wrong, "/v1/files").is_err(), "{}", &wrong[..5]);
        }
        let page = Place::From { page: Some("x".repeat(LONGEST)), past: None };
        let places = [("t".to_owned(), page)].into();
        assert!(Cursor { left_out: 0, places }.text("/v1/files").is_err());
    }
}
