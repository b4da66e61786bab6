//! What the programs of `scripts/figures` share.

pub mod bodies;
pub mod picks;
#[cfg(feature = "virtual-time")]
pub mod upstream;
pub mod walks;

/// The arguments of the process: a name, then numbers.
#[derive(Debug)]
pub struct Args(Vec<String>);

impl Args {
    /// Those of this process.
    pub fn of_process() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    /// The first argument.
    pub fn name(&self) -> &str {
        self.text(0)
    }

    /// An argument; empty where it is not there.
    pub fn text(&self, at: usize) -> &str {
        self.0.get(at).map_or("", String::as_str)
    }

    /// An argument that is a number.
    ///
    /// # Panics
    /// Where it is missing or no number.
    pub fn number(&self, at: usize) -> usize {
        self.text(at).parse().unwrap_or_else(|_| panic!("argument {at} is not a number"))
    }
}

/// Ends the process with the names that there are.
pub fn usage(text: &str) -> ! {
    eprintln!("{text}");
    std::process::exit(2)
}
