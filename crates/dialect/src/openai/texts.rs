//! A text, or a list of them; each may come as the ids of its tokens.

use serde_json::value::RawValue;

use super::token_ids;
use crate::{Fault, OneOr, Text, fields::Field};

/// Reads a field that is such.
pub(super) fn read<'a>(field: &Field<'a>) -> Result<Vec<Text<'a>>, Fault> {
    let mut room = token_ids::MOST;
    if is_list_of_numbers(field.value) {
        return Ok(vec![of_ids(field, &mut room)?]);
    }
    let items = match field.read::<OneOr<'_, &RawValue>>()? {
        OneOr::Text(text) => return Ok(vec![text]),
        OneOr::List(items) => items,
    };
    let mut texts = Vec::with_capacity(items.len());
    for (index, value) in items.into_iter().enumerate() {
        let item = Field { name: format!("{}[{index}]", field.name).into(), value };
        let is_ids = item.value.get().starts_with('[');
        texts.push(if is_ids { of_ids(&item, &mut room)? } else { item.read()? });
    }
    Ok(texts)
}

/// Whether a value is a list that begins with a number.
fn is_list_of_numbers(value: &RawValue) -> bool {
    let first = |first: char| first.is_ascii_digit() || first == '-';
    value.get().strip_prefix('[').is_some_and(|list| list.trim_start().starts_with(first))
}

fn of_ids(field: &Field<'_>, room: &mut usize) -> Result<Text<'static>, Fault> {
    let text = token_ids::text(&field.read::<Vec<u32>>()?, room);
    text.map(Into::into).map_err(|why| Fault::invalid(format!("{}: {why}", field.name)).at(&*field.name))
}
