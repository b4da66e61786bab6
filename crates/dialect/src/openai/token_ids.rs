//! Texts that come as the ids of their tokens. `LangChain`'s `OpenAIEmbeddings` cuts texts by them, and sends them so unless it
//! is told otherwise; of a model that its `tiktoken` does not know it takes the ids of `cl100k_base`, as of `OpenAI`'s own
//! models for embeddings.

use std::{fmt, ops::Range, sync::OnceLock};

use memchr::memmem;

/// Every word of the encoding, one behind the other, in a twentieth of the memory that is needed to encode.
struct Words {
    bytes: Box<[u8]>,
    /// Where each begins and the one before it ends.
    places: Box<[u32]>,
}

static WORDS: OnceLock<Words> = OnceLock::new();

/// What ids of a request may say together, in bytes: a token of six bytes may be a word of 128.
pub(super) const MOST: usize = 32 << 20;

/// Why ids say nothing.
#[derive(Debug)]
pub(super) enum Unread {
    /// The encoding has no word for it.
    Unknown(u32),
    TooLong,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(id) => write!(f, "{id} is the id of no token of cl100k_base, whose ids are read here"),
            Self::TooLong => write!(f, "what these ids say is longer than {} MiB", MOST >> 20),
        }
    }
}

/// What ids say, which takes that much of the room. A character that is cut at an end is left out as far as it goes.
pub(super) fn text(ids: &[u32], room: &mut usize) -> Result<String, Unread> {
    let words = WORDS.get_or_init(Words::read);
    let mut said = Vec::with_capacity((4 * ids.len()).min(*room));
    for id in ids {
        match words.of(*id) {
            Some(word) if word.len() > *room => return Err(Unread::TooLong),
            Some(word) if !word.is_empty() => {
                *room -= word.len();
                said.extend_from_slice(word);
            }
            _ => return Err(Unread::Unknown(*id)),
        }
    }
    Ok(said.utf8_chunks().map(|chunk| chunk.valid()).collect())
}

/// Whether a body for embeddings, or for a text to go on from, looks as if it came as ids of tokens, and nobody read these so
/// far: it is better [learnt](learn_tokens) what they say where nobody waits, for that takes a quarter of a second once.
pub fn has_unlearnt_tokens(body: &[u8]) -> bool {
    WORDS.get().is_none() && seems_to_have_ids(body)
}

fn seems_to_have_ids(body: &[u8]) -> bool {
    [&br#""input""#[..], br#""prompt""#].iter().any(|field| seems_so(body, field))
}

fn seems_so(body: &[u8], field: &[u8]) -> bool {
    memmem::find_iter(body, field).any(|at| {
        let list = body[at + field.len()..].trim_ascii_start().strip_prefix(b":").map(<[u8]>::trim_ascii_start);
        let first = list.and_then(|list| list.strip_prefix(b"[")).map(<[u8]>::trim_ascii_start);
        first.is_some_and(|first| matches!(first.first(), Some(b'[' | b'0'..=b'9')))
    })
}

/// Reads what ids of tokens say, which is kept for the process' life.
pub fn learn_tokens() {
    WORDS.get_or_init(Words::read);
}

impl Words {
    fn read() -> Self {
        // Beyond the last word stand some that no text has.
        const IDS: Range<u32> = 0..100_277;
        let (mut bytes, mut places) = (Vec::new(), vec![0]);
        let encoding = tiktoken_rs::cl100k_base().expect("its words are compiled in");
        for id in IDS {
            bytes.extend(encoding.decode_bytes(&[id]).unwrap_or_default());
            places.push(bytes.len() as u32);
        }
        Self { bytes: bytes.into(), places: places.into() }
    }

    fn of(&self, id: u32) -> Option<&[u8]> {
        let (from, to) = (self.places.get(id as usize)?, self.places.get(id as usize + 1)?);
        Some(&self.bytes[*from as usize..*to as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(ids: &[u32]) -> Result<String, Unread> {
        text(ids, &mut 1_000)
    }

    #[test]
    fn ids_say_what_was_encoded() {
        let encoding = tiktoken_rs::cl100k_base().unwrap();
        for said in ["Hello", "Wörter, 文字 and 🙂🙂\n\t of all  kinds", "<|endoftext|>"] {
            assert_eq!(read(&encoding.encode_ordinary(said)).unwrap(), said);
        }
        let cut = encoding.encode_ordinary("a文");
        let ends = read(&cut[..cut.len() - 1]).unwrap();
        assert!("a文".starts_with(&ends), "{ends}");
        for id in [100_261, 100_277, u32::MAX] {
            assert!(read(&[15, id]).unwrap_err().to_string().starts_with(&id.to_string()));
        }
    }

    #[test]
    fn they_say_no_more_than_there_is_room_for() {
        let mut room = 10;
        assert_eq!(text(&[9906, 9906], &mut room).unwrap(), "HelloHello");
        assert!(matches!(text(&[9906], &mut room), Err(Unread::TooLong)));
    }

    #[test]
    fn what_looks_like_ids_is_told() {
        for body in [r#"{"input":[1]}"#, r#"{"model":"input", "input" : [ [ 1 ] ] }"#, r#"{"prompt":[[1]]}"#] {
            assert!(seems_to_have_ids(body.as_bytes()), "{body}");
        }
        for body in [r#"{"input":"a"}"#, r#"{"input":["a"]}"#, r#"{"model":"input"}"#, r#"{"input""#] {
            assert!(!seems_to_have_ids(body.as_bytes()), "{body}");
        }
        learn_tokens();
        assert!(!has_unlearnt_tokens(br#"{"input":[1]}"#), "they are learnt");
    }
}
