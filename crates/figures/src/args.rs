//! The command line of a program that a script runs: a name, then numbers.

/// What stands behind the program's name.
pub struct Args(Vec<String>);

impl Args {
    /// Those of this process.
    pub fn of_process() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    /// The first: what to do.
    pub fn name(&self) -> &str {
        self.text(0)
    }

    /// The text at this place, empty when there is none.
    pub fn text(&self, at: usize) -> &str {
        self.0.get(at).map_or("", String::as_str)
    }

    /// The number at this place, or `default`.
    pub fn number(&self, at: usize, default: usize) -> usize {
        self.0.get(at).and_then(|text| text.parse().ok()).unwrap_or(default)
    }
}
