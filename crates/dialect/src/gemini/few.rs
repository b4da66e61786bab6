//! Lists of which an answer has few: a provider that sends a hundred thousand pieces at once would have each made into events of
//! many times its length.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error, SeqAccess, Visitor},
};

/// No answer that was seen has more than some ten parts at a time.
pub(super) const MOST_PARTS: usize = 4_096;
/// `n` goes to 8.
const MOST_CANDIDATES: usize = 64;

/// The parts of a candidate.
pub(super) fn parts<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_any(Few(MOST_PARTS, PhantomData))
}

/// The candidates of an answer.
pub(super) fn candidates<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    deserializer.deserialize_any(Few(MOST_CANDIDATES, PhantomData))
}

/// So many at the most; none where it is `null`, as some relays write what is not there.
struct Few<T>(usize, PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Few<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {}", self.0)
    }

    fn visit_unit<E: Error>(self) -> Result<Vec<T>, E> {
        Ok(Vec::new())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = list.next_element()? {
            if all.len() == self.0 {
                return Err(A::Error::invalid_length(self.0 + 1, &self));
            }
            all.push(one);
        }
        Ok(all)
    }
}
