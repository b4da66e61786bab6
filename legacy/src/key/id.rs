//! The name of a key: the only form of it that is logged.

use std::{fmt, sync::Arc};

use serde::{Serialize, Serializer};

/// The name of a key. Given by its owner, or `k-` and the first 8 hex digits of the secret's SHA-256 (16 where a pool
/// holds a key with the same 8 already).
///
/// ```
/// use tower_keypool::{Key, KeyId};
///
/// assert_eq!(Key::new("AIza-not-a-real-key-000").key_id(), KeyId::from("k-dc030876"));
/// ```
#[derive(Clone)]
pub struct KeyId(Form);

#[derive(Clone)]
enum Form {
    /// Most keys are named after their secret; four bytes hold that name without an allocation.
    Derived(u32),
    Given(Arc<str>),
}

impl KeyId {
    /// Its text for a moment, which takes neither a formatter nor an allocation.
    ///
    /// ```
    /// assert_eq!(tower_keypool::KeyId::from("one").with_text(str::len), 3);
    /// ```
    #[inline]
    pub fn with_text<T>(&self, then: impl FnOnce(&str) -> T) -> T {
        match &self.0 {
            // By hand: it stands in a header of every answer, and `{:08x}` costs several times as much.
            Form::Derived(value) => {
                let mut name = *b"k-00000000";
                for (place, digit) in name.iter_mut().rev().zip(0..8) {
                    *place = b"0123456789abcdef"[(value >> (4 * digit) & 15) as usize];
                }
                then(std::str::from_utf8(&name).unwrap_or_default())
            }
            Form::Given(name) => then(name),
        }
    }

    pub(crate) fn derived(hash: [u8; 32]) -> Self {
        Self(Form::Derived(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])))
    }

    /// The same with 16 digits.
    pub(crate) fn derived_longer(hash: [u8; 32]) -> Self {
        let digits = hash[..8].iter().fold(0, |digits, byte| digits << 8 | u64::from(*byte));
        Self(Form::Given(format!("k-{digits:016x}").into()))
    }

    /// Whether nothing in it acts on whoever shows it.
    pub(crate) fn is_plain(&self) -> bool {
        match &self.0 {
            Form::Derived(_) => true,
            Form::Given(name) => !name.contains(char::is_control),
        }
    }

    /// Heap bytes behind this id.
    pub(crate) fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::Derived(_) => 0,
            Form::Given(name) => name.len() + 16,
        }
    }
}

impl From<&str> for KeyId {
    fn from(name: &str) -> Self {
        // One spelling, one form: `k-` and eight lower-case digits are always the derived form.
        let derived = name.strip_prefix("k-").filter(|digits| {
            digits.len() == 8 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        });
        match derived.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            Some(value) => Self(Form::Derived(value)),
            None => Self(Form::Given(name.into())),
        }
    }
}

impl From<String> for KeyId {
    fn from(name: String) -> Self {
        Self::from(name.as_str())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.with_text(|text| f.write_str(text))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

impl PartialEq for KeyId {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Form::Derived(a), Form::Derived(b)) => a == b,
            (Form::Given(a), Form::Given(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for KeyId {}

impl std::hash::Hash for KeyId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        match &self.0 {
            Form::Derived(value) => value.hash(state),
            Form::Given(name) => name.hash(state),
        }
    }
}

impl PartialOrd for KeyId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for KeyId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        match (&self.0, &other.0) {
            // As many digits each, and those of sixteen stand in the order of their signs.
            (Form::Derived(a), Form::Derived(b)) => a.cmp(b),
            (Form::Given(a), Form::Given(b)) => a.cmp(b),
            _ => self.to_string().cmp(&other.to_string()),
        }
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stand_in_the_order_of_their_texts() {
        let mut ids: Vec<KeyId> =
            ["k-0a000000", "k-9fffffff", "k-10000000", "k-1", "k-a0000000", "b", "z", "k-00000000", "k-ffffffff0"]
                .map(KeyId::from)
                .into();
        ids.sort();
        assert!(ids.iter().map(ToString::to_string).is_sorted());
    }
}
