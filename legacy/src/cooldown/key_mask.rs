//! For whoever tells an answer in other words: what was escaped in it reads as the key afterwards.

use std::{fmt, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{mask::ESCAPED, masks::mask_all, teller::Teller};
use crate::{
    key::{SHORTEST, Secret, mask_escaped, mask_otherwise, mask_spelled},
    pool::{Granted, KeyPool, Lease},
};

/// Overwrites keys in what is told of an answer: an extension of answers to a demand that is
/// [`retold`](crate::Demand::retold).
///
/// What an answer shows of its key is overwritten as it passes, but for escapes that no writer is known to use. Who reads
/// them and writes the text anew would write the key.
#[derive(Clone)]
pub struct KeyMask {
    /// Of all attempts, the last one's first.
    keys: Arc<[Secret]>,
    pool: KeyPool,
}

impl KeyMask {
    /// That of a lease, for whoever runs its connection ([`ServedBy::keep`](crate::ServedBy::keep)).
    pub fn of_lease(lease: &Lease) -> Self {
        Self::of(lease.granted())
    }

    pub(super) fn of(granted: &Granted) -> Self {
        Self { keys: keys_of(granted).into(), pool: granted.pool.clone() }
    }

    /// In how many bytes the longest key may be written that [`hide`](Self::hide) overwrites, as long as none comes: those of
    /// the attempts with every character escaped. Who tells a text piece by piece keeps one less until the next.
    pub fn longest(&self) -> usize {
        let escaped = self.keys.iter().map(|key| key.bytes().len() * ESCAPED_LETTER);
        escaped.chain([self.pool.bunch().longest()]).max().unwrap_or(0)
    }

    /// Overwrites every key of the pool, as it is or as known writers of JSON escape it; those of all attempts in any escapes
    /// where the text has some that letters of keys need not be written in.
    pub fn hide(&self, text: &mut [u8]) {
        self.hide_up_to(text, false);
    }

    /// The same of a text that goes on behind its end. What may be the beginning of a key there is left as it is: who tells the
    /// text piece by piece looks at it again with the next one.
    pub fn hide_piece(&self, text: &mut [u8]) {
        self.hide_up_to(text, true);
    }

    fn hide_up_to(&self, text: &mut [u8], more: bool) {
        if ESCAPED.find(text).is_some() {
            for key in &*self.keys {
                mask_otherwise(key, text);
            }
        }
        mask_all(&self.pool, &self.keys, text, more);
    }

    /// The same of a text of JSON that is yet to be read, whatever is escaped in it and whosever key that is.
    pub fn hide_escaped(&self, text: Bytes) -> Bytes {
        let escaped = ESCAPED.find(&text).is_some();
        if !escaped && !self.keys.iter().any(Secret::is_encodable) {
            return text;
        }
        let others = if escaped { self.pool.endings().in_text(&text) } else { Vec::new() };
        let mut text = text.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        for key in self.keys.iter().chain(&others) {
            mask_escaped(key, &mut text);
        }
        text.freeze()
    }

    /// Overwrites the keys of all attempts, and every other one of the pool, in an error's words, however they are spelled.
    pub fn hide_spelled(&self, text: &mut [u8]) {
        mask_spelled(&*self.keys, text);
        mask_spelled(&self.pool.endings().in_text(text), text);
    }
}

impl fmt::Debug for KeyMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyMask").finish_non_exhaustive()
    }
}

/// A character by its number, in bytes: `\u0041`.
const ESCAPED_LETTER: usize = 6;

/// The keys of all attempts of the request so far, the last one's first: what one is told a later one may be told again.
pub(super) fn keys_of(granted: &Granted) -> Vec<Secret> {
    [vec![granted.secret.clone()], earlier_of(granted)].concat()
}

/// Those of the attempts before this one.
#[inline]
pub(super) fn earlier_of(granted: &Granted) -> Vec<Secret> {
    let Some(earlier) = granted.particulars.earlier() else { return Vec::new() };
    let mut keys: Vec<Secret> = earlier.iter().filter_map(|attempt| granted.pool.secret_of(&attempt.key)).collect();
    keys.retain(|key| key.bytes() != granted.secret.bytes());
    keys
}

/// Overwrites every key of the pool in a piece of an error, however it is spelled. One that is cut in two stays.
#[cold]
pub(super) fn hide_every(teller: Option<&Teller>, piece: Bytes) -> Bytes {
    let keys = teller.map(|teller| teller.pool().endings().in_text(&piece)).unwrap_or_default();
    if keys.is_empty() {
        return piece;
    }
    let mut text = BytesMut::from(&piece[..]);
    mask_spelled(&keys, &mut text);
    text.freeze()
}

/// Overwrites every key of a pool in headers, however it is spelled. One that has a key in its name goes: names are of lower case,
/// in which a key can be guessed at.
#[cold]
pub(super) fn mask_every(pool: &KeyPool, headers: &mut HeaderMap) {
    let endings = pool.endings();
    let shows = |name: &HeaderName| {
        let text = name.as_str().as_bytes();
        text.len() >= SHORTEST && mask_spelled(&endings.in_text(text), &mut text.to_vec())
    };
    let doomed: Vec<HeaderName> = headers.keys().filter(|name| shows(name)).cloned().collect();
    for name in doomed {
        headers.remove(name);
    }
    for value in headers.values_mut().filter(|value| value.len() >= SHORTEST) {
        let keys = endings.in_text(value.as_bytes());
        if keys.is_empty() {
            continue;
        }
        let mut text = value.as_bytes().to_vec();
        if mask_spelled(&keys, &mut text) {
            let mut masked = HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("***"));
            masked.set_sensitive(value.is_sensitive());
            *value = masked;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Gemini, Key};

    #[test]
    fn what_is_escaped_is_overwritten_and_what_is_not_stays_where_it_lies() {
        let keys = vec![Secret::new("AIza-not-a-real-key").unwrap()].into();
        let pool = KeyPool::builder(Gemini::new()).key(Key::new("AIza-another-key-of-it")).build().unwrap();
        let mask = KeyMask { keys, pool };
        let text = Bytes::from_static(br#"{"a":"plain \n text"}"#);
        assert_eq!(mask.hide_escaped(text.clone()).as_ptr(), text.as_ptr());
        let text = Bytes::from_static(br#"{"a":"\u003c\u0041Iza-not-a-real\u002Dkey\u003e"}"#);
        let told = mask.hide_escaped(text.clone());
        assert_eq!(told.len(), text.len());
        assert!(told.starts_with(br#"{"a":"\u003c*"#) && told.ends_with(br#"*\u003e"}"#), "{told:?}");
        let mut words = *b"it is aiza-NOT-a-real-key";
        mask.hide(&mut words);
        assert!(words.ends_with(b"key"));
        mask.hide_spelled(&mut words);
        assert!(words.ends_with(b"is *******************"));
        let mut words = *b"it is AIZA-another-key-of-it";
        mask.hide_spelled(&mut words);
        assert!(words.ends_with(b"is **********************"));
    }
}
