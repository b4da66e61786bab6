//! Models as a configuration names them: one by its name, or all that begin so with a `*` behind.

/// Whether a model is among those of a list.
pub(super) fn is_among(list: &[String], model: &str) -> bool {
    list.iter().any(|named| match named.strip_suffix('*') {
        Some(beginning) => model.starts_with(beginning),
        None => model == named,
    })
}
