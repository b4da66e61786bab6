//! Where the contents of a block are: in an object, or at what a name says.

use std::{fmt, marker::PhantomData};

use serde::{Deserialize, Deserializer, de};

use super::block::Said;
use crate::{Text, ahead};

/// `source` of a block.
pub(super) enum Origin<'a> {
    /// The contents themselves, or their place.
    Itself(Box<Source<'a>>),
    /// What a search result is from.
    Name(Text<'a>),
}

/// Contents.
#[derive(Deserialize)]
pub(super) struct Source<'a> {
    #[serde(rename = "type", borrow)]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) media_type: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) data: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) url: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) file_id: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) content: Option<Said<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Origin<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(ahead::TEXT_OR_LIST, Reader(PhantomData))
    }
}

struct Reader<'a>(PhantomData<&'a ()>);

impl<'de: 'a, 'a> de::Visitor<'de> for Reader<'a> {
    type Value = Origin<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or a string")
    }

    fn visit_some<D: Deserializer<'de>>(self, text: D) -> Result<Origin<'a>, D::Error> {
        Text::deserialize(text).map(Origin::Name)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, either: D) -> Result<Origin<'a>, D::Error> {
        either.deserialize_any(self)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Origin<'a>, E> {
        Ok(Origin::Name(text.into()))
    }

    fn visit_str<E>(self, text: &str) -> Result<Origin<'a>, E> {
        Ok(Origin::Name(text.to_owned().into()))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Origin<'a>, A::Error> {
        Source::deserialize(de::value::MapAccessDeserializer::new(map)).map(|source| Origin::Itself(Box::new(source)))
    }
}
