//! Requests whose answers would not say what they cost, or not so that it can be read: limits of tokens would count
//! nothing.

use http::Method;

use super::{headers::Seen, path::plain};

/// Where the cost stands in an answer.
const COST: &str = "usageMetadata";

/// Why a request is refused for what its answer would lack.
pub(super) fn fault(method: &Method, query: Option<&str>, seen: &Seen<'_>) -> Option<&'static str> {
    let makes = *method == Method::POST;
    if makes && seen.binary {
        return Some("an answer as protobuf is not passed on, since nobody could read what it cost: ask for JSON");
    }
    let masked = !seen.masks.is_none_or(has_cost) || query.is_some_and(hides);
    if makes && masked {
        return Some(
            "a mask of fields without usageMetadata is not passed on, since nobody could read what the answer cost: add \
             usageMetadata to it",
        );
    }
    query.is_some_and(|query| is_unread(query, makes)).then_some(
        "answers in this form (alt) are not passed on, since nobody could read what they cost: ask for json or sse",
    )
}

/// Whether a query asks for some fields, and not for the cost.
fn hides(query: &str) -> bool {
    let is_mask = |name: &str| ["fields", "$fields"].iter().any(|mask| name.eq_ignore_ascii_case(mask));
    pairs(query).any(|(name, value)| is_mask(&plain(name)) && !has_cost(&plain(value)))
}

/// Whether it asks for an answer in another form than those that are read. Files are no answers of a model.
fn is_unread(query: &str, makes: bool) -> bool {
    let is_form = |name: &str| ["alt", "$alt"].iter().any(|form| name.eq_ignore_ascii_case(form));
    let read = |form: &str| {
        let known = ["", "json", "sse"].iter().any(|known| form.eq_ignore_ascii_case(known));
        known || (!makes && form.eq_ignore_ascii_case("media"))
    };
    // What follows says how: `json;enum-encoding=int`.
    let form = |value: &str| read(plain(value).split(';').next().unwrap_or_default().trim());
    pairs(query).any(|(name, value)| is_form(&plain(name)) && !form(value))
}

fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split(['&', ';']).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Whether a mask of fields lets all of the cost through.
fn has_cost(mask: &str) -> bool {
    mask.split(',').any(|field| matches!(field.trim(), COST | "*"))
}
