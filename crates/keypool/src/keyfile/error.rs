//! What can be wrong with a key file. No message holds a word of the file.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use super::Skipped;

/// Why a line holds no key that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// Not UTF-8.
    #[error("it is not UTF-8 text")]
    NotText,
    /// Shorter than any provider's key.
    #[error("the key has {0} characters, fewer than any provider's (20)")]
    TooShort(usize),
    /// Longer than a header should be.
    #[error("the key has {0} characters, more than any provider's (4096)")]
    TooLong(usize),
    /// A character that no header may carry.
    #[error("the key has a character at byte {0} that no header can carry")]
    Character(usize),
    /// Copied with quotes or a comma.
    #[error("the key has quotes or a comma around it: write the key alone")]
    Punctuated,
    /// `NAME=value`.
    #[error("it looks like NAME=value: write the value alone")]
    Assignment,
    /// A URL.
    #[error("it is a URL, not a key")]
    Url,
    /// An OAuth access token: expires within the hour.
    #[error("it is an OAuth access token, not an API key: it would expire within the hour")]
    AccessToken,
    /// A JSON web token.
    #[error("it is a JSON web token, not an API key")]
    WebToken,
    /// What clients send to the gateway.
    #[error("it is the token that clients send to this gateway, not a provider's key")]
    ClientToken,
    /// Neither `name=value` nor a known name.
    #[error(
        "word {0} is no option; known are id tier priority weight owner rpm tpm rpd concurrent interval zone label, each as name=value"
    )]
    UnknownOption(usize),
    /// A quote that is not closed.
    #[error("a quote is opened and not closed")]
    OpenQuote,
    /// An option that is there twice.
    #[error("the option {0} stands there twice")]
    Twice(&'static str),
    /// A value that the option cannot take.
    #[error("the value of {option} is wrong: {expected}")]
    Value {
        /// The option's name.
        option: &'static str,
        /// What it takes.
        expected: &'static str,
    },
    /// Another line has the id.
    #[error("its id is that of line {by} already")]
    IdTaken {
        /// The line that has it.
        by: usize,
    },
    /// An id or owner that is a key.
    #[error("its id or owner is a key, and names are shown")]
    NameIsSecret,
}

/// Why a file gives no keys.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileError {
    /// Not there.
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// There, but not to be read.
    Unreadable {
        /// Where.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Saved in another encoding.
    Utf16 {
        /// Where.
        path: PathBuf,
    },
    /// No key in it.
    Empty {
        /// Where.
        path: PathBuf,
        /// Lines that were meant to be keys.
        skipped: Vec<Skipped>,
    },
}

impl FileError {
    pub(super) fn read(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if source.kind() == io::ErrorKind::NotFound {
            Self::Missing { path }
        } else {
            Self::Unreadable { path, source }
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { path } => write!(
                f,
                "there is no key file at {}: create it with one API key a line, or name another with --keys FILE",
                path.display()
            ),
            Self::Unreadable { path, source } => write!(
                f,
                "the key file {} cannot be read ({source}): check that it is a file and that this user may read it",
                path.display()
            ),
            Self::Utf16 { path } => {
                write!(f, "the key file {} is UTF-16 text: save it as UTF-8", path.display())
            }
            Self::Empty { path, skipped } => {
                write!(f, "the key file {} holds no usable key: put one API key a line into it", path.display())?;
                for Skipped { line, error } in skipped.iter().take(10) {
                    write!(f, "\n  line {line}: {error}")?;
                }
                match skipped.len().saturating_sub(10) {
                    0 => Ok(()),
                    more => write!(f, "\n  and {more} more"),
                }
            }
        }
    }
}

impl std::error::Error for FileError {}
