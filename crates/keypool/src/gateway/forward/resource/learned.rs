//! How the items of a list are called.

use keypool_client::names::told_in;

/// How an item of a list is called; where the compatible endpoint calls it by its native name, by that.
pub(super) fn name_of(item: &str, collection: &str) -> Option<String> {
    let native = collection.strip_prefix(super::compatible::FRONT);
    let is_one = |name: &String| [Some(collection), native].into_iter().flatten().any(|of| name.starts_with(of));
    told_in(item.as_bytes(), Some(collection)).into_iter().find(is_one)
}
