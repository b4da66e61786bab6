//! Where a setting or a key came from.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Where a setting or a key came from. Never holds a value.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody set it.
    #[default]
    Default,
    /// A line of a file, counted from 1; 0: the file as a whole.
    File {
        /// Which file.
        path: Arc<Path>,
        /// Which line.
        line: usize,
    },
    /// A variable of the environment, by name.
    Env(Arc<str>),
    /// An option of the command line, as it is written: `--listen`.
    Flag(Arc<str>),
    /// Anything else by name: a database, an API.
    Named(Arc<str>),
}

impl Origin {
    /// A line of a file.
    pub fn file(path: impl Into<PathBuf>, line: usize) -> Self {
        Self::File { path: path.into().into(), line }
    }

    /// Another line of the same file.
    pub(super) fn line(path: &Arc<Path>, line: usize) -> Self {
        Self::File { path: Arc::clone(path), line }
    }

    /// A variable of the environment.
    pub fn env(name: impl Into<Arc<str>>) -> Self {
        Self::Env(name.into())
    }

    /// An option of the command line.
    pub fn flag(name: impl Into<Arc<str>>) -> Self {
        Self::Flag(name.into())
    }

    /// Anything else.
    pub fn named(name: impl Into<Arc<str>>) -> Self {
        Self::Named(name.into())
    }
}

/// The line, counted from 1, of a place in a text.
pub(super) fn line_at(text: &[u8], at: usize) -> usize {
    memchr::memchr_iter(b'\n', &text[..at.min(text.len())]).count() + 1
}

/// The lines of places that are asked for one after the other: each part of the text is counted once.
pub(super) struct Lines<'t> {
    text: &'t [u8],
    seen: usize,
    line: usize,
}

impl<'t> Lines<'t> {
    pub(super) fn of(text: &'t [u8]) -> Self {
        Self { text, seen: 0, line: 1 }
    }

    /// The line, counted from 1, of a place no further up than the last one.
    pub(super) fn at(&mut self, at: usize) -> usize {
        let at = at.clamp(self.seen, self.text.len());
        self.line += line_at(&self.text[self.seen..], at - self.seen) - 1;
        self.seen = at;
        self.line
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line: 0 } => write!(f, "{}", path.display()),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Env(name) => write!(f, "env {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}
