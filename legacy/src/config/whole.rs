//! Whole numbers within bounds.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::scalar::{self, Scalar, WHOLE};

/// A whole number from `LEAST` to `MOST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole<const LEAST: u16, const MOST: u16>(pub u16);

impl<const LEAST: u16, const MOST: u16> Scalar for Whole<LEAST, MOST> {
    fn expected() -> Cow<'static, str> {
        format!("a whole number from {LEAST} to {MOST}").into()
    }

    fn of_text(text: &str) -> Option<Self> {
        scalar::whole(text).and_then(Self::of_whole)
    }

    fn of_number(_: f64) -> Option<Self> {
        None
    }

    fn of_whole(number: i64) -> Option<Self> {
        u16::try_from(number).ok().filter(|number| (LEAST..=MOST).contains(number)).map(Self)
    }
}

impl<'de, const LEAST: u16, const MOST: u16> Deserialize<'de> for Whole<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        scalar::read(deserializer)
    }
}

impl<const LEAST: u16, const MOST: u16> Serialize for Whole<LEAST, MOST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.0)
    }
}

impl<const LEAST: u16, const MOST: u16> schemars::JsonSchema for Whole<LEAST, MOST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Whole".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "anyOf": [
            { "type": "integer", "minimum": LEAST, "maximum": MOST },
            { "type": "string", "pattern": WHOLE },
        ] })
    }
}
