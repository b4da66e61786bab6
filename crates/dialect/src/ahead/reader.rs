//! A reader of whole bodies, by where it stands in them: texts are passed over by `memchr`, several times as fast as JSON is
//! read. What is inside of anything else serde reads. It knows no reason why something is wrong: whoever wants one reads
//! again by serde alone.

use serde::{
    Deserializer,
    de::{
        DeserializeSeed, Error as _, IgnoredAny, IntoDeserializer as _, MapAccess, SeqAccess, Visitor,
        value::{BorrowedStrDeserializer, StrDeserializer},
    },
};
use serde_json::{Error, de::StrRead};

use super::{
    TEXT, TEXT_OR_LIST,
    body::{Body, Escapes},
};
use crate::depth;

/// As deep as serde goes.
const DEEPEST: u8 = 127;

/// It, and where it stands.
pub(super) struct Reader<'de> {
    body: Body<'de>,
    at: usize,
    deep: u8,
}

fn wrong() -> Error {
    Error::custom("this is not right")
}

impl<'de> Reader<'de> {
    pub(super) fn new(body: Body<'de>) -> Self {
        Self { body, at: 0, deep: 0 }
    }

    /// Nothing stands behind it.
    pub(super) fn end(mut self) -> Result<(), Error> {
        if self.next().is_none() { Ok(()) } else { Err(wrong()) }
    }

    /// What the next thing begins with.
    fn next(&mut self) -> Option<u8> {
        self.at = self.body.behind_blanks(self.at);
        self.body.first(self.at)
    }

    /// Goes by this, which must come next.
    fn pass(&mut self, mark: u8) -> Result<(), Error> {
        if self.next() != Some(mark) {
            return Err(wrong());
        }
        self.at += 1;
        Ok(())
    }

    /// A value as serde reads it.
    fn by_serde<T>(
        &mut self,
        read: impl FnOnce(&mut serde_json::Deserializer<StrRead<'de>>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut json = serde_json::Deserializer::from_str(self.body.0.get(self.at..).unwrap_or_default());
        let value = read(&mut json)?;
        let begin = self.at;
        self.at += json.into_iter::<IgnoredAny>().byte_offset();
        // What is read by its shape goes as deep as that; nobody knows the shape of what is kept as it is.
        let inside = self.body.0.as_bytes().get(begin..self.at).unwrap_or_default();
        let is_nest = matches!(inside.first(), Some(b'{' | b'['));
        let is_bounded = !is_nest || depth::is_bounded(inside, depth::DEEPEST - usize::from(self.deep));
        if is_bounded { Ok(value) } else { Err(wrong()) }
    }

    /// What is between these two.
    fn inside<T>(
        &mut self,
        (open, close): (u8, u8),
        read: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.deep == DEEPEST {
            return Err(wrong());
        }
        self.pass(open)?;
        self.deep += 1;
        let value = read(self)?;
        self.deep -= 1;
        self.pass(close)?;
        Ok(value)
    }

    /// Whether another one follows, up to whatever `close`s; a comma between two is gone by.
    fn follows(&mut self, close: u8, first: &mut bool) -> Result<bool, Error> {
        let is_first = std::mem::replace(first, false);
        if self.next() == Some(close) {
            return Ok(false);
        }
        if !is_first {
            self.pass(b',')?;
        }
        Ok(true)
    }

    fn list<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        let about = self.about();
        self.inside((b'[', b']'), |reader| visitor.visit_seq(List { reader, first: true, about }))
    }

    /// About how many things the list has that begins here: a body's own, which is nearly all of it, is not moved again and
    /// again while it grows.
    fn about(&self) -> usize {
        const LENGTH: usize = 512;
        const MOST: usize = 256;
        if self.deep == 1 { (self.body.0.len().saturating_sub(self.at) / LENGTH).min(MOST) } else { 0 }
    }

    fn object<V: Visitor<'de>>(&mut self, visitor: V) -> Result<V::Value, Error> {
        self.inside((b'{', b'}'), |reader| visitor.visit_map(Object { reader, first: true }))
    }
}

/// As serde has it.
macro_rules! by_serde {
    ($($method:ident($($name:ident: $kind:ty),*))*) => {$(
        fn $method<V: Visitor<'de>>(self, $($name: $kind,)* visitor: V) -> Result<V::Value, Error> {
            self.by_serde(|json| json.$method($($name,)* visitor))
        }
    )*};
}

impl<'de> Deserializer<'de> for &mut Reader<'de> {
    type Error = Error;

    by_serde! {
        deserialize_any() deserialize_bool() deserialize_i8() deserialize_i16() deserialize_i32() deserialize_i64()
        deserialize_u8() deserialize_u16() deserialize_u32() deserialize_u64() deserialize_f32() deserialize_f64()
        deserialize_char() deserialize_str() deserialize_string() deserialize_bytes() deserialize_byte_buf()
        deserialize_unit() deserialize_identifier() deserialize_ignored_any()
        deserialize_unit_struct(name: &'static str)
        deserialize_enum(name: &'static str, variants: &'static [&'static str])
        deserialize_tuple(length: usize)
        deserialize_tuple_struct(name: &'static str, length: usize)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.next() == Some(b'n') {
            return self.by_serde(|json| json.deserialize_option(visitor));
        }
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.list(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.object(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.next() == Some(b'{') {
            return self.object(visitor);
        }
        self.by_serde(|json| json.deserialize_struct(name, fields, visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        match (name, self.next()) {
            (TEXT, Some(b'"')) => {
                if let Some(text) = self.body.long_text(self.at) {
                    self.at += text.len() + 2;
                    return visitor.visit_borrowed_str(text);
                }
                let text = self.body.string(self.at).ok_or_else(wrong)?;
                self.at += text.json.len();
                match text.escapes {
                    Escapes::Any => visitor.visit_newtype_struct(Raw(text.json)),
                    Escapes::None | Escapes::Short => visitor.visit_some(Raw(text.json)),
                }
            }
            (TEXT_OR_LIST, Some(b'"')) => visitor.visit_some(self),
            (TEXT_OR_LIST, Some(b'[')) => self.list(visitor),
            (TEXT_OR_LIST, Some(b'{')) => self.object(visitor),
            _ => self.by_serde(|json| json.deserialize_newtype_struct(name, visitor)),
        }
    }
}

struct List<'r, 'de> {
    reader: &'r mut Reader<'de>,
    first: bool,
    about: usize,
}

impl<'de> SeqAccess<'de> for List<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if !self.reader.follows(b']', &mut self.first)? {
            return Ok(None);
        }
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.about)
    }
}

struct Object<'r, 'de> {
    reader: &'r mut Reader<'de>,
    first: bool,
}

impl<'de> MapAccess<'de> for Object<'_, 'de> {
    type Error = Error;

    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if !self.reader.follows(b'}', &mut self.first)? {
            return Ok(None);
        }
        if self.reader.next() != Some(b'"') {
            return Err(wrong());
        }
        let name = self.reader.body.string(self.reader.at).ok_or_else(wrong)?;
        self.reader.at += name.json.len();
        let bare = &name.json[1..name.json.len() - 1];
        if name.escapes == Escapes::None || memchr::memchr(b'\\', bare.as_bytes()).is_none() {
            return seed.deserialize(BorrowedStrDeserializer::new(bare)).map(Some);
        }
        let said: String = serde_json::from_str(name.json)?;
        let said: StrDeserializer<'_, Error> = said.as_str().into_deserializer();
        seed.deserialize(said).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        self.reader.pass(b':')?;
        self.reader.next();
        seed.deserialize(&mut *self.reader)
    }
}

/// A string of JSON that was gone by, for whoever takes it as it stands there: a
/// [`RawValue`](serde_json::value::RawValue), which asks for a newtype and is given an object of that one name.
struct Raw<'de>(&'de str);

impl<'de> Deserializer<'de> for Raw<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        serde_json::Deserializer::from_str(self.0).deserialize_any(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(Named(Some(name), self.0))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Named<'de>(Option<&'static str>, &'de str);

impl<'de> MapAccess<'de> for Named<'de> {
    type Error = Error;

    fn next_key_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some(name) = self.0.take() else { return Ok(None) };
        let name: StrDeserializer<'_, Error> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(BorrowedStrDeserializer::new(self.1))
    }
}

#[cfg(test)]
mod tests;
