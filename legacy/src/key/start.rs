//! How all keys of a pool begin. Those of one provider nearly always begin alike (`AIzaSy`, `sk-proj-`), so that a text without
//! these few bytes has none of them in it.

use super::{
    SHORTEST, Secret,
    bunch::{SHORTEST_START, alike, others},
    rarest,
};

/// The beginning that the keys seen so far share, or the first bytes of it: small enough to be read at once while another
/// key comes.
///
/// The bytes, the first one lowest; above them how many they are, and where the rarest of them stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Start(u64);

/// So many bytes are kept at most.
const MOST: usize = 7;
/// Some key was seen: what no two share is something else than what nobody has.
const SEEN: u64 = 1 << 63;

impl Start {
    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// What this key, in each form that it is looked for in, shares of it.
    pub(crate) fn with(self, secret: &Secret) -> Self {
        if secret.bytes().len() < SHORTEST {
            return self;
        }
        others(secret).iter().fold(self.shared(secret.bytes()), |start, other| start.shared(other.bytes()))
    }

    fn shared(self, text: &[u8]) -> Self {
        let bytes = self.0.to_le_bytes();
        let length = if self.0 & SEEN == 0 { MOST } else { alike(&bytes[..self.length()], text) };
        if self.0 & SEEN != 0 && length == self.length() {
            return self;
        }
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(&text[..length]);
        let rare_at = u64::from(rarest(&text[..length]));
        Self(u64::from_le_bytes(bytes) | (length as u64) << 56 | rare_at << 60 | SEEN)
    }

    fn length(self) -> usize {
        (self.0 >> 56) as usize & 0xf
    }

    /// Whether it is long enough to be looked for.
    #[inline]
    pub(crate) fn is_shared(self) -> bool {
        self.length() >= SHORTEST_START
    }

    /// Where its rarest byte stands.
    #[inline]
    pub(crate) fn rare_at(self) -> usize {
        (self.0 >> 60) as usize & 0x7
    }

    /// That byte.
    #[inline]
    pub(crate) fn rare(self) -> u8 {
        (self.0 >> (8 * self.rare_at())) as u8
    }

    /// Whether a key of which this is the start may begin a text. None is shorter than eight bytes.
    #[inline]
    pub(crate) fn begins(self, text: &[u8]) -> bool {
        let differs = |begin: &[u8; 8]| (u64::from_le_bytes(*begin) ^ self.0) << (64 - 8 * self.length());
        text.first_chunk().is_some_and(|begin| differs(begin) == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(keys: &[&str]) -> Start {
        keys.iter().fold(Start::default(), |start, key| start.with(&Secret::new(key).unwrap()))
    }

    #[test]
    fn it_is_what_all_begin_with() {
        for (keys, start) in [
            (&["AIzaSy-not-a-real-key-1"][..], "AIzaSy-"),
            (&["AIzaSyA-not-a-real-key", "AIzaSyB-not-a-real-key", "short"], "AIzaSy"),
            (&["sk-not-a-key", "sk-proj-not-a-key", "sk-not-a-key"], "sk-"),
            (&["abc+def/ghi==", "abc+def/ghi=!"], "abc"),
        ] {
            let shared = of(keys);
            assert!(shared.is_shared(), "{start}");
            assert_eq!(shared.length(), start.len());
            assert_eq!(shared.rare(), start.as_bytes()[shared.rare_at()]);
            assert!(shared.begins(format!("{start}~~~~~~~~").as_bytes()), "{start}");
            assert!(!shared.begins(format!("{}~~~~~~~~", &start[1..]).as_bytes()));
            assert!(!shared.begins(start.as_bytes()), "there is no room for a key");
            assert_eq!(Start::from_bits(shared.bits()), shared);
        }
        for keys in
            [&[][..], &["short"], &["AIza-not-a-key", "AQ.a-not-a-key"], &["not-a-key", "another-key", "not-a-key"]]
        {
            assert!(!of(keys).is_shared());
        }
    }
}
