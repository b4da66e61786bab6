//! The id of a call, which carries what the upstream wants back.
//!
//! Clients rebuild messages from what they know: of a call, that is its id, its name and its arguments. A thought
//! signature beside them would be lost on the way, and without it the model refuses to go on. So it rides in the id.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};

use crate::{Text, gemini};

/// Stands between the unique part and what is carried.
const MARK: &str = "_kp1";
/// A signature that is longer does not ride: the id would be too much for some client's database.
const LONGEST: usize = 24 * 1024;

/// An id for a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallId(pub String);

/// What an id carried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// The upstream's own id.
    pub id: Option<String>,
    /// What it wants back.
    pub signature: Option<Signature<'static>>,
}

/// What the upstream wants back with a call, unread. It goes back to the model that gave it only: another would refuse it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature<'a> {
    text: Text<'a>,
    by: [u8; 2],
}

impl<'a> Signature<'a> {
    /// As this model gave it, however that is called.
    pub fn of(model: &str, text: Text<'a>) -> Self {
        Self { text, by: small(gemini::name(model)) }
    }

    /// It, for the model that gave it.
    pub fn back_to(&self, model: &str) -> Option<&str> {
        (self.by == small(gemini::name(model))).then_some(&*self.text)
    }
}

/// How the signature is written inside: as the bytes that its base64 stands for, or as it is.
const BYTES: u8 = 0;
const UNPADDED: u8 = 1;
const PLAIN: u8 = 2;

impl CallId {
    /// An id that begins with `prefix` and `unique` (letters and digits), and carries the rest.
    pub fn new(prefix: &str, unique: &str, id: Option<&str>, signature: Option<&Signature<'_>>) -> Self {
        let id = id.filter(|id| id.len() <= 255).unwrap_or_default();
        let signature = signature.filter(|signature| signature.text.len() <= LONGEST);
        let (signature, by) = signature.map_or(("", [0; 2]), |signature| (&*signature.text, signature.by));
        let mut text = format!("{prefix}{unique}");
        if id.is_empty() && signature.is_empty() {
            return Self(text);
        }
        let (how, bytes) = if let Ok(bytes) = STANDARD.decode(signature) {
            (BYTES, bytes)
        } else if let Ok(bytes) = STANDARD_NO_PAD.decode(signature) {
            (UNPADDED, bytes)
        } else {
            (PLAIN, signature.as_bytes().to_vec())
        };
        let mut carried = Vec::with_capacity(8 + id.len() + bytes.len());
        carried.push(how);
        carried.extend(by);
        carried.push(id.len() as u8);
        carried.extend(id.as_bytes());
        carried.extend(bytes);
        let sum = hash(&carried).to_le_bytes();
        carried.extend(sum);
        text.push_str(MARK);
        URL_SAFE_NO_PAD.encode_string(&carried, &mut text);
        Self(text)
    }

    /// What an id carries, if it is one of ours and still whole.
    pub fn read(id: &str) -> Carried {
        Self::try_read(id).unwrap_or_default()
    }

    fn try_read(id: &str) -> Option<Carried> {
        let (_, carried) = id.split_once(MARK)?;
        if carried.len() > 2 * LONGEST {
            return None;
        }
        let carried = URL_SAFE_NO_PAD.decode(carried).ok()?;
        let (carried, sum) = carried.split_last_chunk::<4>()?;
        if hash(carried).to_le_bytes() != *sum {
            return None;
        }
        let ([how, first, second, length], rest) = carried.split_first_chunk::<4>()?;
        let (own, bytes) = rest.split_at_checked(usize::from(*length))?;
        let signature = match *how {
            BYTES => STANDARD.encode(bytes),
            UNPADDED => STANDARD_NO_PAD.encode(bytes),
            PLAIN => String::from_utf8(bytes.to_vec()).ok()?,
            _ => return None,
        };
        let signature = Some(signature).filter(|signature| !signature.is_empty());
        Some(Carried {
            id: Some(String::from_utf8(own.to_vec()).ok()?).filter(|id| !id.is_empty()),
            signature: signature.map(|text| Signature { text: text.into(), by: [*first, *second] }),
        })
    }
}

fn small(model: &str) -> [u8; 2] {
    let hash = hash(model.as_bytes());
    ((hash ^ (hash >> 16)) as u16).to_le_bytes()
}

/// FNV-1a: against accidents, not against people; who changes their own id harms their own request only.
fn hash(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rides_comes_back() {
        for signature in ["", "AbCdEf==", "AbCdEf", "no base64!", "+/+/", "AA==", "AB=="] {
            for own in [None, Some("fc-123")] {
                let signed = Signature::of("gemini-3.8-flash", signature.into());
                let CallId(id) = CallId::new("call_", "abc0", own, Some(&signed));
                assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')), "{id}");
                let carried = CallId::read(&id);
                let back = carried.signature.as_ref().and_then(|signature| signature.back_to("gemini-3.8-flash"));
                assert_eq!(back.unwrap_or_default(), signature);
                assert_eq!(carried.id.as_deref(), own);
            }
        }
        assert_eq!(CallId::new("call_", "abc0", None, None).0, "call_abc0");
    }

    #[test]
    fn what_was_changed_carries_nothing() {
        let CallId(id) = CallId::new("toolu_", "x1", Some("own"), Some(&Signature::of("m", "c2lnbmF0dXJl".into())));
        for at in 0..id.len() {
            let cut = CallId::read(&id[..at]);
            assert_eq!(cut, Carried::default(), "{at}");
            let mut other = id.clone().into_bytes();
            other[at] = if other[at] == b'A' { b'B' } else { b'A' };
            let read = CallId::read(std::str::from_utf8(&other).unwrap());
            assert!(read == Carried::default() || at < "toolu_x1".len(), "{at}");
        }
        for foreign in ["", "call_1", "_kp1", "call__kp1====", "call_kp1_kp1AAAA", "é_kp1é"] {
            assert_eq!(CallId::read(foreign), Carried::default());
        }
        assert_eq!(CallId::read(&id.to_lowercase()), Carried::default());
    }

    #[test]
    fn another_model_does_not_get_the_signature() {
        let CallId(id) = CallId::new("call_", "x", Some("own"), Some(&Signature::of("m", "c2ln".into())));
        let Carried { id, signature } = CallId::read(&id);
        let signature = signature.unwrap();
        assert_eq!((id.as_deref(), signature.back_to("n")), (Some("own"), None));
        for same in ["m", "models/m", "google/m"] {
            assert_eq!(signature.back_to(same), Some("c2ln"), "{same}");
        }
    }

    #[test]
    fn what_is_too_long_does_not_ride() {
        let long = "A".repeat(LONGEST + 4);
        assert_eq!(CallId::new("call_", "x", None, Some(&Signature::of("m", long.into()))).0, "call_x");
    }
}
