//! Reading with an eye ahead: what a value is can be seen before it is read.
//!
//! serde says what came once it has read it, and a text is to stay as it was written: whoever takes a text or a list would
//! have to pass over either once before it knows, and serde looks at each escape of it. So the frame of a body is read
//! here, where each value can be seen in its place, and texts are gone by at once. What is inside of values that nobody
//! here knows is serde's, and so is what is wrong: then the body is read again.

mod body;
mod reader;

use std::marker::PhantomData;

use serde::{
    Deserialize,
    de::{DeserializeSeed, Error as _},
};

use self::{body::Body, reader::Reader};
use crate::depth;

/// A newtype of this name is a text: its visitor is shown it where it is long and needs no escape
/// ([`visit_borrowed_str`](serde::de::Visitor::visit_borrowed_str)); else it is the one to read it, told apart by whether none
/// of its escapes says a number ([`visit_some`](serde::de::Visitor::visit_some)) or one may
/// ([`visit_newtype_struct`](serde::de::Visitor::visit_newtype_struct)).
pub(crate) const TEXT: &str = "a text, seen ahead";

/// A newtype of this name is a text or a list: its visitor reads a text where it is asked to
/// ([`visit_some`](serde::de::Visitor::visit_some)), a list or an object where it is given one, and else something that nobody looked at
/// ([`visit_newtype_struct`](serde::de::Visitor::visit_newtype_struct)).
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
/// When it is none, not this, or nests deeper than anybody bears.
pub(crate) fn read_by<'de, S>(seed: S, json: &'de str) -> Result<S::Value, serde_json::Error>
where
    S: DeserializeSeed<'de> + Clone,
{
    let mut reader = Reader::new(Body(json));
    if let Ok(read) = seed.clone().deserialize(&mut reader)
        && reader.end().is_ok()
    {
        return Ok(read);
    }
    if !depth::is_bounded(json.as_bytes(), depth::DEEPEST) {
        let said = format!("it nests deeper than {} lists and objects", depth::DEEPEST);
        return Err(serde_json::Error::custom(said));
    }
    let mut reader = serde_json::Deserializer::from_str(json);
    let read = seed.deserialize(&mut reader)?;
    reader.end()?;
    Ok(read)
}
