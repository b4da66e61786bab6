//! Which of many keys may stand in a text, however they are spelled there. Each is known by its last letters, in all that
//! writers make of them, so that a text is gone over once or twice, however many keys there are.
//!
//! Only a first look: whoever wants to be sure reads on from there.

use super::{Secret, forms};

/// So many letters tell a key. Shorter ones are not looked for.
const LETTERS: usize = 8;
/// Of so many keys and more only the letters themselves are looked for, not hexadecimal digits and base64.
const MANY: usize = 4_096;

/// How the keys of a pool end.
pub(crate) struct Endings {
    secrets: Box<[Secret]>,
    /// By their letters; and whose they are.
    ends: Box<[(u64, u32)]>,
    /// A bit for each of them: most of a text is done with here.
    seen: Box<[u64]>,
}

impl Endings {
    pub(crate) fn of(secrets: Vec<Secret>) -> Self {
        let mut ends = Vec::with_capacity(secrets.len());
        for (number, secret) in (0..).zip(&secrets) {
            let key = secret.bytes();
            let mut end = |form: &[u8]| ends.extend(form.last_chunk().map(|end| (letters(*end), number)));
            if key.len() < LETTERS {
                continue;
            }
            end(key);
            if secrets.len() < MANY {
                end(&forms::hex(key));
                (0..3).for_each(|before| end(&forms::base64(key, before)));
            }
        }
        ends.sort_unstable();
        let mut seen = vec![0_u64; (ends.len() / 4).next_power_of_two()];
        for (end, _) in &ends {
            let bit = bit_of(*end, seen.len());
            seen[bit / 64] |= 1 << (bit % 64);
        }
        Self { secrets: secrets.into(), ends: ends.into(), seen: seen.into() }
    }

    /// Those that may stand in a text: as they are or in other cases, escaped as JSON or a query may be, in hexadecimal
    /// digits, in base64.
    pub(crate) fn in_text(&self, text: &[u8]) -> Vec<Secret> {
        let mut found = Vec::new();
        self.look(text.iter().copied(), &mut found);
        if memchr::memchr2(b'\\', b'%', text).is_some() {
            self.look(Unescaped(text), &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|number| self.secrets[number as usize].clone()).collect()
    }

    fn look(&self, text: impl Iterator<Item = u8>, found: &mut Vec<u32>) {
        let mut last = 0_u64;
        for byte in text {
            last = last >> 8 | u64::from(byte.to_ascii_lowercase()) << 56;
            let bit = bit_of(last, self.seen.len());
            if self.seen[bit / 64] >> (bit % 64) & 1 == 1 {
                let from = self.ends.partition_point(|(end, _)| *end < last);
                found.extend(self.ends[from..].iter().take_while(|(end, _)| *end == last).map(|(_, number)| number));
            }
        }
    }
}

fn letters(end: [u8; LETTERS]) -> u64 {
    u64::from_le_bytes(end.map(|byte| byte.to_ascii_lowercase()))
}

/// Where its bit is, among so many times 64.
fn bit_of(end: u64, words: usize) -> usize {
    (end.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % (words * 64)
}

/// A text with what is escaped in it as what it stands for.
struct Unescaped<'a>(&'a [u8]);

impl Iterator for Unescaped<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, length) = match self.0 {
            [b'\\', b'u', digits @ ..] => forms::code(digits.get(..4)).map_or((b'u', 2), |byte| (byte, 6)),
            [b'\\', escaped, ..] => (*escaped, 2),
            [b'%', digits @ ..] => forms::code(digits.get(..2)).map_or((b'%', 1), |byte| (byte, 3)),
            [byte, ..] => (*byte, 1),
            [] => return None,
        };
        self.0 = &self.0[length..];
        Some(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 3] = ["AIzaSyTEST-not-a-real-key-1", "AQ.TEST/not+a=real%key\\2", "short"];

    fn found(text: &str) -> Vec<String> {
        let endings = Endings::of(KEYS.iter().map(|key| Secret::new(key).unwrap()).collect());
        endings.in_text(text.as_bytes()).iter().map(|secret| secret.expose().to_owned()).collect()
    }

    #[test]
    fn each_is_found_however_it_is_spelled() {
        for key in &KEYS[..2] {
            let each = |form: fn(char) -> String| key.chars().map(form).collect::<String>();
            let hex = String::from_utf8(forms::hex(key.as_bytes())).unwrap();
            let mut spelled = vec![
                (*key).to_owned(),
                key.to_uppercase(),
                key.replace('\\', "\\\\").replace('/', "\\/"),
                each(|c| format!("\\u{:04X}", u32::from(c))),
                each(|c| format!("%{:02x}", u32::from(c))),
                hex.to_uppercase(),
                hex,
            ];
            spelled.extend((0..3).map(|before| String::from_utf8(forms::base64(key.as_bytes(), before)).unwrap()));
            for text in spelled {
                assert_eq!(found(&format!("{{\"a\":\"\\\\\\u00ff%4{text}%\\\"}}")), [*key], "{text}");
            }
        }
        assert_eq!(found(&format!("{} and {}", KEYS[1], KEYS[0])), KEYS[..2]);
    }

    #[test]
    fn what_is_none_is_not() {
        for text in ["", "short", "AIzaSyTEST-not-a-real-key-2", "\\", "\\u", "%", "%4", "\\u12", "a text about keys"] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
        assert!(Endings::of(Vec::new()).in_text(b"AIzaSyTEST-not-a-real-key-1").is_empty());
    }
}
