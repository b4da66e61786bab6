//! Models as a configuration names them: one by its name, or all that begin so with a `*` behind.

/// What names of Google's models begin with.
const FAMILIES: [&str; 9] = [
    "gemini-",
    "gemma-",
    "imagen-",
    "veo-",
    "lyria-",
    "learnlm-",
    "tunedModels/",
    "text-embedding-004",
    "embedding-001",
];

/// Whether a model is one of Google's, by its name.
pub(super) fn is_geminis(model: &str) -> bool {
    let name = model.strip_prefix("models/").unwrap_or(model);
    FAMILIES.iter().any(|family| name.starts_with(family))
}

/// Whether a model is among those of a list.
pub(crate) fn is_among(list: &[String], model: &str) -> bool {
    list.iter().any(|named| match named.strip_suffix('*') {
        Some(beginning) => model.starts_with(beginning),
        None => model == named,
    })
}
