//! `pageSize` and `pageToken`.

use serde_json::{Value, json};

use super::query::Query;
use crate::refusal::ApiError;

/// One page of `items`, and the token of the next. Sizes beyond `most` are cut
/// to it; a token holds an offset.
pub(super) fn page<T>(
    items: Vec<T>,
    query: &Query,
    (default, most): (usize, usize),
) -> Result<(Vec<T>, Option<String>), ApiError> {
    let get = |camel, snake| query.get(camel).or_else(|| query.get(snake));
    let invalid = |what: &str| ApiError::malformed(what);
    let size = match get("pageSize", "page_size").filter(|text| !text.is_empty()) {
        None => default,
        Some(text) => match text.parse::<i64>() {
            Ok(0) => default,
            Ok(size) if size > 0 => usize::try_from(size).unwrap_or(most).min(most),
            _ => return Err(invalid("Invalid page size.")),
        },
    };
    let offset = match get("pageToken", "page_token").filter(|text| !text.is_empty()) {
        None => 0,
        Some(token) => token
            .strip_prefix("sim-page-")
            .and_then(|offset| offset.parse::<usize>().ok())
            .filter(|offset| *offset <= items.len())
            .ok_or_else(|| invalid("Invalid page token."))?,
    };
    let total = items.len();
    let next = offset.saturating_add(size);
    let items = items.into_iter().skip(offset).take(size).collect();
    Ok((items, (next < total).then(|| format!("sim-page-{next}"))))
}

/// A list under its name, with the token of the next page where there is one. Protobuf leaves an empty list out.
pub(super) fn listed(name: &str, items: Vec<Value>, next: Option<String>) -> Value {
    let mut value = json!({});
    if !items.is_empty() {
        value[name] = items.into();
    }
    if let Some(next) = next {
        value["nextPageToken"] = next.into();
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_to_the_end() {
        let all: Vec<u32> = (0..5).collect();
        let mut seen = Vec::new();
        let mut query = "pageSize=2".to_owned();
        loop {
            let found = page(all.clone(), &Query::parse(Some(&query)), (50, 100)).unwrap();
            seen.extend(found.0);
            match found.1 {
                Some(token) => query = format!("pageSize=2&pageToken={token}"),
                None => break,
            }
        }
        assert_eq!(seen, all);
        let bad = Query::parse(Some("pageToken=made-up"));
        assert!(page(all, &bad, (50, 100)).is_err());
    }
}
