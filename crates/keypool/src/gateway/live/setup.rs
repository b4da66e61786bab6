//! Whether a message sets a session up: which way depends on what the socket is for.

use keypool_client::names::is_version;
use memchr::memmem;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::{
    frames::Frames,
    session::LONGEST,
    spelling::{ESCAPE, plain},
};
use crate::gateway::forward::resource;

/// What the first message over a socket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A `setup`, of the Live API.
    Setup,
    /// An event that connects to an interaction, or makes one.
    Event,
}

/// The events that say of which interaction a socket is.
pub(super) const CONNECT: &str = "interaction.connect";
pub(super) const CREATE: &str = "interaction.create";

impl Kind {
    /// By a socket's path, however it is spelled: whoever reads it more leniently would take it for the same.
    pub(super) fn of(path: &str) -> Option<Self> {
        let path = percent_decode_str(path).decode_utf8_lossy().to_ascii_lowercase();
        let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
        match *segments {
            ["ws", .., last] => {
                let method = last.rsplit('.').next().unwrap_or_default();
                ["bidigeneratecontent", "bidigeneratecontentconstrained"].contains(&method).then_some(Self::Setup)
            }
            [version, "interactions", "live"] if is_version(version) => Some(Self::Event),
            _ => None,
        }
    }

    /// What follows the client's messages: those that may name something are read.
    pub(super) fn frames(self) -> Frames {
        let sought: fn(&[u8]) -> bool = match self {
            Self::Setup => |piece| {
                let text = plain(piece);
                resource::may_name(&text) || may_be(&text)
            },
            Self::Event => |piece| {
                let text = plain(piece);
                resource::may_name(&text) || begins(&text)
            },
        };
        Frames::new(LONGEST, sought).of_client()
    }

    /// Whether a message sets a session up. Most cannot, and are not read.
    ///
    /// # Errors
    /// Where it may, and is no object of JSON.
    pub(super) fn sets_up(self, message: &[u8]) -> Result<bool, serde_json::Error> {
        if self == Self::Event {
            return Ok(begins(&plain(message)));
        }
        if !may_be(message) && memmem::find(message, ESCAPE).is_none() {
            return Ok(false);
        }
        let fields: Map<String, Value> = serde_json::from_slice(message)?;
        Ok(fields.contains_key("setup"))
    }
}

/// Whether a piece of a message may hold the word that sets up, and no mere word in a text.
fn may_be(piece: &[u8]) -> bool {
    memmem::find_iter(piece, b"setup").any(|at| {
        let behind = piece[at + 5..].iter().find(|byte| !byte.is_ascii_whitespace());
        // Who reads leniently takes names in simple quotes, and without any.
        behind.is_none_or(|byte| matches!(byte, b'"' | b'\'' | b':'))
    })
}

/// Whether one of these events stands in a piece of a message, as a value by itself.
fn begins(piece: &[u8]) -> bool {
    [CONNECT, CREATE].iter().any(|event| {
        memmem::find_iter(piece, event).any(|at| {
            let is_quote = |byte: Option<&u8>| byte.is_none_or(|byte| matches!(byte, b'"' | b'\''));
            is_quote(at.checked_sub(1).map(|before| &piece[before])) && is_quote(piece.get(at + event.len()))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_known_however_its_path_is_spelled() {
        let front = "/ws/google.ai.generativelanguage.v1beta.GenerativeService";
        for method in [
            ".BidiGenerateContent",
            ".BidiGenerateContentConstrained",
            "%2EBidiGenerateContent",
            "/BidiGenerateContent",
            ".bidiGenerateContent",
            ".BidiGenerateContent/",
        ] {
            assert_eq!(Kind::of(&format!("{front}{method}")), Some(Kind::Setup), "{method}");
        }
        for path in ["/v1beta/interactions/live", "//v1beta/interactions/live/", "/v1alpha/interactions%2Flive"] {
            assert_eq!(Kind::of(path), Some(Kind::Event), "{path}");
        }
        for path in [
            &format!("{front}.BidiGenerateMusic"),
            "/v1beta/BidiGenerateContent",
            "/v1beta/interactions/i",
            "/ws/",
            "/",
        ] {
            assert_eq!(Kind::of(path), None, "{path}");
        }
    }

    #[test]
    fn events_that_begin_are_no_words_in_a_text() {
        for (message, begins) in [
            (r#"{"event_type":"interaction.connect","id":"i"}"#, true),
            (r#"{"events":[{"event_type":"input"},{"event_type":"interaction.create"}]}"#, true),
            (r#"{"event_type":"interaction\u002econnect"}"#, true),
            (r#"{"event_type":"interaction.connect","event_type":"input"}"#, true),
            (r#"{"event_type":"interaction.complete"}"#, false),
            (r#"{"event_type":"input","content":[{"type":"text","text":"say interaction.create!"}]}"#, false),
        ] {
            assert_eq!(Kind::Event.sets_up(message.as_bytes()).unwrap(), begins, "{message}");
        }
    }
}
