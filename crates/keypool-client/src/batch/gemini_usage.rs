//! What an answer of Gemini's says that it cost, read without a text or a map of its own: every task has one.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};

/// The counts of `usageMetadata`; none where that is no object.
#[derive(Debug, Default, PartialEq)]
pub(super) struct GeminiUsage {
    pub(super) prompt: Option<u64>,
    pub(super) candidates: Option<u64>,
    pub(super) thoughts: Option<u64>,
    pub(super) cached: Option<u64>,
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Field {
    PromptTokenCount,
    CandidatesTokenCount,
    ThoughtsTokenCount,
    CachedContentTokenCount,
    #[serde(other)]
    Other,
}

/// A count, which some write as a text or with a point.
struct Count(Option<u64>);

impl<'de> Deserialize<'de> for GeminiUsage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(deserializer.deserialize_any(Reading)?.0)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(deserializer.deserialize_any(Reading)?.1))
    }
}

/// Takes whatever stands there: counts by their names, or one of them.
struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = (GeminiUsage, Option<u64>);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("counts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let mut usage = GeminiUsage::default();
        while let Some(field) = fields.next_key()? {
            let count = match field {
                Field::PromptTokenCount => &mut usage.prompt,
                Field::CandidatesTokenCount => &mut usage.candidates,
                Field::ThoughtsTokenCount => &mut usage.thoughts,
                Field::CachedContentTokenCount => &mut usage.cached,
                Field::Other => {
                    fields.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *count = fields.next_value::<Count>()?.0;
        }
        Ok((usage, None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Self::Value::default())
    }

    fn visit_u64<E>(self, count: u64) -> Result<Self::Value, E> {
        Ok((GeminiUsage::default(), Some(count)))
    }

    fn visit_i64<E>(self, count: i64) -> Result<Self::Value, E> {
        Ok((GeminiUsage::default(), Some(u64::try_from(count).unwrap_or(0))))
    }

    fn visit_f64<E>(self, count: f64) -> Result<Self::Value, E> {
        Ok((GeminiUsage::default(), Some(count as u64)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok((GeminiUsage::default(), text.trim().parse().ok()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Self::Value::default())
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Self::Value::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_however_they_are_written() {
        let read = |text| serde_json::from_str::<GeminiUsage>(text).unwrap();
        let all = r#"{"promptTokenCount":3,"thoughtsTokenCount":" 5 ","candidatesTokenCount":2.9,"totalTokenCount":[{}],
            "cachedContentTokenCount":-1,"promptTokensDetails":[{"modality":"TEXT","tokenCount":3}]}"#;
        assert_eq!(read(all), GeminiUsage { prompt: Some(3), candidates: Some(2), thoughts: Some(5), cached: Some(0) });
        for none in [
            "{}",
            "[3,{}]",
            "3",
            "\"x\"",
            "true",
            r#"{"promptTokenCount":null,"candidatesTokenCount":{"a":[1]},"thoughtsTokenCount":[1],"cachedContentTokenCount":"x"}"#,
        ] {
            assert_eq!(read(none), GeminiUsage::default(), "{none}");
        }
    }
}
