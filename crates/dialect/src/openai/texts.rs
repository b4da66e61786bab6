//! A text, or a list of them; each may come as the ids of its tokens.

use serde_json::value::RawValue;

use super::token_ids;
use crate::{Fault, OneOr, Text, fields::Field};

/// Reads a field that is such.
pub(super) fn read<'a>(field: &Field<'a>) -> Result<Vec<Text<'a>>, Fault> {
    let items = match field.read::<OneOr<'_, &RawValue>>()? {
        OneOr::Text(text) => return Ok(vec![text]),
        OneOr::List(items) => items,
    };
    let numbers = items.iter().filter(|item| item.get().starts_with(|first: char| first.is_ascii_digit())).count();
    if numbers == 0 {
        return items.into_iter().enumerate().map(|(index, item)| text(&field.name, index, item)).collect();
    }
    if numbers < items.len() {
        let why = format!("{}: texts and ids of tokens cannot stand beside each other", field.name);
        return Err(Fault::invalid(why).at(&*field.name));
    }
    Ok(vec![of_ids(field)?])
}

fn text<'a>(field: &str, index: usize, item: &'a RawValue) -> Result<Text<'a>, Fault> {
    let item = Field { name: format!("{field}[{index}]").into(), value: item };
    if item.value.get().starts_with('[') { of_ids(&item) } else { item.read() }
}

fn of_ids(field: &Field<'_>) -> Result<Text<'static>, Fault> {
    let text = token_ids::text(&field.read::<Vec<u32>>()?);
    text.map(Into::into).map_err(|why| Fault::invalid(format!("{}: {why}", field.name)).at(&*field.name))
}
