//! Reading with an eye ahead: what a value is can be seen before it is read.
//!
//! serde says what came once it has read it, and a text is to stay as it was written: whoever takes a text or a list would
//! have to pass over either once before it knows. But names lie in the body itself, and what stands behind one is its
//! value. So each goes by the body once, and long plain texts (images) faster than JSON is read.

mod body;
mod visitor;

use std::marker::PhantomData;

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed},
};

use self::{
    body::Body,
    visitor::{Passed, Seeing},
};

/// A newtype of this name is a text: its visitor is shown it where it is long and needs no escape
/// ([`visit_borrowed_str`](de::Visitor::visit_borrowed_str)); else it is the one to read it
/// ([`visit_newtype_struct`](de::Visitor::visit_newtype_struct)).
pub(crate) const TEXT: &str = "a text, seen ahead";

/// A newtype of this name is a text or a list: its visitor reads a text where it is asked to
/// ([`visit_some`](de::Visitor::visit_some)), a list where it is given one, and else something that nobody looked at
/// ([`visit_newtype_struct`](de::Visitor::visit_newtype_struct)).
pub(crate) const TEXT_OR_LIST: &str = "a text or a list, seen ahead";

/// Reads JSON.
///
/// # Errors
/// When it is none, or not this.
pub(crate) fn read<'de, T: Deserialize<'de>>(json: &'de str) -> Result<T, serde_json::Error> {
    read_by(PhantomData, json)
}

/// Reads JSON as `seed` has it.
///
/// # Errors
/// When it is none, or not this.
pub(crate) fn read_by<'de, S: DeserializeSeed<'de>>(seed: S, json: &'de str) -> Result<S::Value, serde_json::Error> {
    let body = Body(json);
    let mut reader = serde_json::Deserializer::from_str(json);
    let read = seed.deserialize(Ahead { json: &mut reader, body, at: Some(body.behind_blanks(0)) })?;
    reader.end()?;
    Ok(read)
}

/// A reader of a body that knows where the value stands that comes.
pub(crate) struct Ahead<'de, D> {
    json: D,
    body: Body<'de>,
    /// Where it stands; `None` where that is not known.
    at: Option<usize>,
}

impl<'de, D> Ahead<'de, D> {
    fn seeing<V>(&self, visitor: V) -> Seeing<'de, V> {
        Seeing { visitor, body: self.body, at: self.at }
    }
}

/// As the reader itself has it.
macro_rules! as_it_is {
    ($($method:ident($($name:ident: $kind:ty),*))*) => {$(
        fn $method<V: de::Visitor<'de>>(self, $($name: $kind,)* visitor: V) -> Result<V::Value, D::Error> {
            self.json.$method($($name,)* visitor)
        }
    )*};
}

/// What has values inside: they are seen, too.
macro_rules! looked_into {
    ($($method:ident($($name:ident: $kind:ty),*))*) => {$(
        fn $method<V: de::Visitor<'de>>(self, $($name: $kind,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = self.seeing(visitor);
            self.json.$method($($name,)* visitor)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Ahead<'de, D> {
    type Error = D::Error;

    as_it_is! {
        deserialize_any() deserialize_bool() deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64()
        deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_f32() deserialize_f64()
        deserialize_char() deserialize_str() deserialize_string() deserialize_bytes() deserialize_byte_buf()
        deserialize_unit() deserialize_identifier() deserialize_ignored_any()
        deserialize_unit_struct(name: &'static str)
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
    }

    looked_into! {
        deserialize_option() deserialize_seq() deserialize_map()
        deserialize_tuple(length: usize)
        deserialize_tuple_struct(name: &'static str, length: usize)
        deserialize_struct(name: &'static str, fields: &'static [&'static str])
    }

    fn deserialize_newtype_struct<V: de::Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        match (name, self.at.and_then(|at| self.body.first(at))) {
            (TEXT, Some(b'"')) => match self.at.and_then(|at| self.body.long_text(at)) {
                Some(text) => {
                    self.json.deserialize_bytes(Passed(text))?;
                    visitor.visit_borrowed_str(text)
                }
                None => visitor.visit_newtype_struct(self.json),
            },
            (TEXT_OR_LIST, Some(b'"')) => visitor.visit_some(self),
            (TEXT_OR_LIST, Some(b'[')) => {
                let visitor = self.seeing(visitor);
                self.json.deserialize_seq(visitor)
            }
            _ => self.json.deserialize_newtype_struct(name, visitor),
        }
    }
}
