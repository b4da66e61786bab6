//! What is inside of a value, with where it stands.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, Error, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
        value::{BorrowedStrDeserializer, StringDeserializer},
    },
};

use super::{Ahead, body::Body};

/// A visitor who is shown values with where they stand.
pub(super) struct Seeing<'de, V> {
    pub(super) visitor: V,
    pub(super) body: Body<'de>,
    pub(super) at: Option<usize>,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Seeing<'de, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(Ahead { json, body: self.body, at: self.at })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_seq(List { list, body: self.body })
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_map(Object { fields: object, body: self.body, at: None })
    }
}

/// A list: where its values stand nobody asks.
struct List<'de, A> {
    list: A,
    body: Body<'de>,
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for List<'de, A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        self.list.next_element_seed(Seed { value: seed, body: self.body, at: None })
    }
}

/// An object: its names say where its values stand.
struct Object<'de, A> {
    fields: A,
    body: Body<'de>,
    at: Option<usize>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Object<'de, A> {
    type Error = A::Error;

    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, A::Error> {
        let name = self.fields.next_key()?;
        self.at = match name {
            Some(Name::There(name)) => self.body.behind(name),
            _ => None,
        };
        match name {
            None => Ok(None),
            Some(Name::There(name)) => seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some),
            Some(Name::Escaped(name)) => {
                let name: StringDeserializer<A::Error> = name.into_deserializer();
                seed.deserialize(name).map(Some)
            }
        }
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.fields.next_value_seed(Seed { value: seed, body: self.body, at: self.at })
    }
}

/// Reads a value that stands there.
struct Seed<'de, T> {
    value: T,
    body: Body<'de>,
    at: Option<usize>,
}

impl<'de, T: DeserializeSeed<'de>> DeserializeSeed<'de> for Seed<'de, T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<T::Value, D::Error> {
        self.value.deserialize(Ahead { json, body: self.body, at: self.at })
    }
}

/// The name of a field.
enum Name<'de> {
    /// As it lies in the body.
    There(&'de str),
    Escaped(String),
}

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Reader<'de>(PhantomData<Name<'de>>);
        impl<'de> Visitor<'de> for Reader<'de> {
            type Value = Name<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a field")
            }

            fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name::There(name))
            }

            fn visit_str<E>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name::Escaped(name.to_owned()))
            }
        }
        json.deserialize_str(Reader(PhantomData))
    }
}

/// Goes by this text, which was read already.
pub(super) struct Passed<'de>(pub(super) &'de str);

impl<'de> Visitor<'de> for Passed<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_bytes<E: Error>(self, text: &'de [u8]) -> Result<(), E> {
        let same = std::ptr::eq(text, self.0.as_bytes());
        if same { Ok(()) } else { Err(E::custom("another text was seen ahead")) }
    }
}
