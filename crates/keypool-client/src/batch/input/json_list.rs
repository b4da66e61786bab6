//! One JSON array of tasks, read item by item.

use std::io::BufRead;

use serde::de::{DeserializeSeed, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{InputError, Place, Take};
use crate::batch::task::Task;

pub(super) fn read(mut source: impl BufRead, take: Take<'_>) {
    skip_mark(&mut source);
    let mut index = 0;
    let outcome = each(source, &mut |value| {
        index += 1;
        let task = Task::from_json(value.get()).map(|task| (index - 1, Place::Item(index), task));
        take(task.map_err(|error| InputError::at(Place::Item(index), error)))
    });
    if let Err(error) = outcome {
        take(Err(InputError::fatal(Place::Item(index + 1), format_args!("no JSON array of tasks: {error}"))));
    }
}

/// A byte order mark is none of JSON's.
fn skip_mark(source: &mut impl BufRead) {
    if source.fill_buf().is_ok_and(|begin| begin.starts_with(b"\xef\xbb\xbf")) {
        source.consume(3);
    }
}

/// Each item of an array, until `take` says that it is enough.
pub(crate) fn each(source: impl BufRead, take: &mut dyn FnMut(Box<RawValue>) -> bool) -> Result<(), serde_json::Error> {
    const ENOUGH: &str = "enough was read";
    let mut reader = serde_json::Deserializer::from_reader(source);
    match (Items(take)).deserialize(&mut reader) {
        Ok(true) => reader.end(),
        Ok(false) => Ok(()),
        Err(error) if error.to_string().starts_with(ENOUGH) => Ok(()),
        Err(error) => Err(error),
    }
}

struct Items<'a>(&'a mut dyn FnMut(Box<RawValue>) -> bool);

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = bool;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<bool, A::Error> {
        while let Some(item) = items.next_element::<Box<RawValue>>()? {
            if !(self.0)(item) {
                return Err(A::Error::custom("enough was read"));
            }
        }
        Ok(true)
    }
}
