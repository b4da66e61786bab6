//! What an answer says in numbers beside itself (what it cost, how likely it was), as far as it can be read: no answer is
//! lost over a number.

use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;

/// A number of tokens, however it is written; nothing where it is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count(pub(super) u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = <&RawValue>::deserialize(deserializer)?.get().trim_matches('"');
        // A float that is too large, or below none, is the nearest there is.
        Ok(Self(written.parse().unwrap_or_else(|_| written.parse::<f64>().map_or(0, |number| number as u64))))
    }
}

/// Nothing where it is `null`, as some relays write what is not there.
pub(super) fn or_default<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + Deserialize<'de>,
    D: Deserializer<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Nothing where it is something else than it should be.
pub(super) fn or_nothing<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Default + de::DeserializeOwned,
    D: Deserializer<'de>,
{
    Ok(serde_json::from_str(<&RawValue>::deserialize(deserializer)?.get()).unwrap_or_default())
}

/// The logarithm of a probability that is none, as `OpenAI` has it.
const NEVER: f64 = -9_999.0;

/// How likely a token was; least of all where that is no number (`"-Infinity"`, `null`), or one that is too large.
pub(super) fn logprob<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let written = <&RawValue>::deserialize(deserializer)?.get().trim_matches('"');
    Ok(written.parse().ok().filter(|number: &f64| number.is_finite()).unwrap_or(NEVER))
}
