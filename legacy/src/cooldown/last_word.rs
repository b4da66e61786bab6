//! Whether a stream said why it ends, as every provider's does. One that ends without was cut, though its last byte came as
//! any other's.
//!
//! Until it said so a chunk costs one search (a chat's two); nothing is kept but what may be the beginning of such a word, 16
//! bytes at most. A quote inside of a JSON string is always escaped, and a text's own end has no colon behind it: only a field's
//! name is met. Whose field it is nobody looks, nor whose value `message_stop` is: rather is a stream taken for whole.

use std::sync::LazyLock;

use http::Uri;
use memchr::memmem::Finder;

use super::needle::{Carried, begun_at_end, carry};
use crate::provider::UsageFormat;

/// How a stream says that it is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Gemini's own: a `finishReason`, or the `blockReason` of a prompt.
    Reason,
    /// Of `OpenAI`'s chats: a `finish_reason`, or `[DONE]`.
    Chat,
    /// Of its responses: `response.completed` and its like. One that failed did not end well.
    Response,
    /// Anthropic's: `message_stop`.
    Message,
}

impl Ending {
    /// How one that was asked for there ends, where it says so.
    #[inline]
    pub(super) fn of(uri: &Uri, format: UsageFormat) -> Option<Self> {
        let path = uri.path();
        let ends = |with: &str| path.strip_suffix('/').unwrap_or(path).ends_with(with);
        match format {
            UsageFormat::Gemini if path.ends_with("streamGenerateContent") => Some(Self::Reason),
            UsageFormat::Gemini | UsageFormat::OpenAi if ends("/completions") => Some(Self::Chat),
            UsageFormat::OpenAi if ends("/responses") => Some(Self::Response),
            UsageFormat::Anthropic if ends("/messages") => Some(Self::Message),
            _ => None,
        }
    }

    fn words(self) -> (Word, Option<Word>) {
        match self {
            Self::Reason => (Word::Reason, None),
            Self::Chat => (Word::ChatReason, Some(Word::Done)),
            Self::Response => (Word::Response, None),
            Self::Message => (Word::Stop, None),
        }
    }
}

#[derive(Clone, Copy)]
enum Word {
    Reason,
    ChatReason,
    Done,
    Response,
    Stop,
}

/// What a word comes to, by what follows it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Meaning {
    /// More of it must be seen.
    Open,
    Nothing,
    /// The end.
    End,
    /// An end that is none of the good ones.
    Failure,
}

/// What may follow `"response.`.
const RESPONSES: [(&[u8], Meaning); 4] = [
    (b"completed\"", Meaning::End),
    (b"incomplete\"", Meaning::End),
    (b"failed\"", Meaning::Failure),
    (b"cancelled\"", Meaning::Failure),
];
/// More than the longest of them is not kept.
const ENOUGH: usize = 16;

impl Word {
    fn finder(self) -> &'static Finder<'static> {
        static REASON: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"Reason\""));
        static CHAT_REASON: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"finish_reason\""));
        static DONE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"[DONE]"));
        static RESPONSE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"response."));
        static STOP: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\"message_stop\""));
        match self {
            Self::Reason => &REASON,
            Self::ChatReason => &CHAT_REASON,
            Self::Done => &DONE,
            Self::Response => &RESPONSE,
            Self::Stop => &STOP,
        }
    }

    /// Whether this byte may stand between, and says nothing.
    fn passes_over(self, byte: u8) -> bool {
        match self {
            Self::Reason | Self::ChatReason => byte.is_ascii_whitespace(),
            Self::Done => matches!(byte, b' ' | b'\t'),
            Self::Response | Self::Stop => false,
        }
    }

    /// What it means, by what stands behind it.
    fn means(self, behind: &[u8]) -> Meaning {
        match (self, behind) {
            // A text's line is escaped: only an event's own ends so.
            (Self::Stop, _) | (Self::Done, [b'\n' | b'\r', ..]) => Meaning::End,
            (_, []) | (Self::Reason | Self::ChatReason, [b':']) => Meaning::Open,
            // Not yet: `null`.
            (Self::Reason | Self::ChatReason, [b':', first, ..]) if *first != b'n' => Meaning::End,
            (Self::Reason | Self::ChatReason | Self::Done, _) => Meaning::Nothing,
            (Self::Response, behind) => RESPONSES
                .iter()
                .find_map(|(word, meaning)| match (behind.starts_with(word), word.starts_with(behind)) {
                    (true, _) => Some(*meaning),
                    (_, true) => Some(Meaning::Open),
                    _ => None,
                })
                .unwrap_or(Meaning::Nothing),
        }
    }
}

/// Looks for one word.
struct Search {
    word: Word,
    at: At,
}

#[derive(Clone, Copy)]
enum At {
    /// This many bytes of it stood at the end of what came before.
    Text { begun: u8 },
    /// Behind it: these bytes.
    Behind { kept: [u8; ENOUGH], length: u8 },
}

impl Search {
    fn new(word: Word) -> Self {
        Self { word, at: At::Text { begun: 0 } }
    }

    /// The last that the next bytes say, or the first that is the end.
    fn see(&mut self, mut bytes: &[u8]) -> Option<Meaning> {
        let mut said = None;
        while !bytes.is_empty() {
            match self.at {
                At::Text { begun } => bytes = self.find(usize::from(begun), bytes),
                At::Behind { .. } => bytes = self.read_on(bytes),
            }
            let At::Behind { kept, length } = self.at else { continue };
            match self.word.means(&kept[..usize::from(length)]) {
                Meaning::Open if usize::from(length) < ENOUGH => {}
                Meaning::Open | Meaning::Nothing => self.at = At::Text { begun: 0 },
                Meaning::End => return Some(Meaning::End),
                Meaning::Failure => (said, self.at) = (Some(Meaning::Failure), At::Text { begun: 0 }),
            }
        }
        said
    }

    /// Goes behind the word, or to the end of these bytes.
    fn find<'a>(&mut self, begun: usize, bytes: &'a [u8]) -> &'a [u8] {
        let finder = self.word.finder();
        let needle = finder.needle();
        if begun > 0 {
            match carry(needle, begun, bytes) {
                Carried::Whole { here, .. } => {
                    self.at = At::Behind { kept: [0; ENOUGH], length: 0 };
                    return &bytes[here..];
                }
                Carried::Partly(begun) => {
                    self.at = At::Text { begun: begun as u8 };
                    return &[];
                }
                Carried::Broken => {}
            }
        }
        if let Some(at) = finder.find(bytes) {
            self.at = At::Behind { kept: [0; ENOUGH], length: 0 };
            &bytes[at + needle.len()..]
        } else {
            self.at = At::Text { begun: begun_at_end(needle, bytes) as u8 };
            &[]
        }
    }

    /// Keeps the next byte that says anything.
    fn read_on<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let At::Behind { kept, length } = &mut self.at else { return bytes };
        let Some(at) = bytes.iter().position(|byte| !self.word.passes_over(*byte)) else { return &[] };
        kept[usize::from(*length)] = bytes[at];
        *length += 1;
        &bytes[at + 1..]
    }

    /// Whether it stands at the very end.
    fn is_last(&self) -> bool {
        matches!((self.word, self.at), (Word::Done, At::Behind { length: 0, .. }))
    }
}

/// Looks for what a stream says of its end.
pub(super) struct LastWord {
    first: Search,
    second: Option<Search>,
    said: Option<Meaning>,
}

impl LastWord {
    pub(super) fn new(ending: Ending) -> Self {
        let (first, second) = ending.words();
        Self { first: Search::new(first), second: second.map(Search::new), said: None }
    }

    /// Looks at the next bytes of the stream.
    pub(super) fn see(&mut self, bytes: &[u8]) {
        if self.said == Some(Meaning::End) {
            return;
        }
        let mut said = self.first.see(bytes);
        if said != Some(Meaning::End)
            && let Some(second) = &mut self.second
        {
            said = second.see(bytes).or(said);
        }
        self.said = said.or(self.said);
    }

    /// Whether the stream ended well, as far as its words say, now that nothing more comes.
    pub(super) fn was_said(&self) -> bool {
        self.said == Some(Meaning::End) || (self.said.is_none() && self.second.as_ref().is_some_and(Search::is_last))
    }
}

#[cfg(test)]
mod tests;
