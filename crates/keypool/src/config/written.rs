//! What stands in a configuration file, as far as that tells what its writer meant.

/// What stands in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// Nothing: hardly anybody means that.
    Blank,
    /// Comments alone: somebody wants it to set nothing.
    Comments,
    /// Settings.
    Settings,
}

impl Written {
    pub(super) fn of(text: &str) -> Self {
        // NUL is what a disk that lost its power leaves.
        let is_blank = |c: char| c.is_whitespace() || c == '\0' || c == '\u{feff}';
        let mut lines = text.lines().map(|line| line.trim_matches(is_blank)).filter(|line| !line.is_empty());
        match lines.next() {
            None => Self::Blank,
            Some(first) if first.starts_with('#') && lines.all(|line| line.starts_with('#')) => Self::Comments,
            Some(_) => Self::Settings,
        }
    }
}
