//! Names of models that may end in `*`.

/// Reports whether the name of a model equals a pattern, or starts with it if the pattern ends in `*`.
pub fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == pattern,
    }
}

/// Returns what is wrong with a pattern.
pub fn pattern_problem(pattern: &str) -> Option<String> {
    let is_wrong = pattern.find('*').is_some_and(|at| at + 1 < pattern.len());
    is_wrong.then(|| format!("{pattern}: a name of models may have * only at its end"))
}
