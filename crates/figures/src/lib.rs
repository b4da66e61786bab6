//! Shared code of the programs of `scripts/figures`.

pub mod bodies;
pub mod picks;
#[cfg(feature = "virtual-time")]
pub mod upstream;
pub mod walks;

/// The arguments of the process: a name, then numbers.
#[derive(Debug)]
pub struct Args(Vec<String>);

impl Args {
    /// Returns the arguments of this process.
    pub fn of_process() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    /// Returns the first argument.
    pub fn name(&self) -> &str {
        self.text(0)
    }

    /// Returns an argument, or an empty string if it is missing.
    pub fn text(&self, at: usize) -> &str {
        self.0.get(at).map_or("", String::as_str)
    }

    /// Returns an argument as a number.
    ///
    /// # Panics
    /// If it is missing or not a number.
    pub fn number(&self, at: usize) -> usize {
        self.text(at).parse().unwrap_or_else(|_| panic!("argument {at} is not a number"))
    }
}

/// Prints the usage and exits with code 2.
pub fn usage(text: &str) -> ! {
    eprintln!("{text}");
    std::process::exit(2)
}
