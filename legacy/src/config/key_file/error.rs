//! What can be wrong with a key file. No message holds a word of the file.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use super::{super::wording, Skipped};

/// Why a line holds no key that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineError {
    /// Not UTF-8.
    NotText,
    /// Shorter than any provider's key: so many characters.
    TooShort(usize),
    /// Longer than a header should be: so many characters.
    TooLong(usize),
    /// A character that no header may carry, at this byte.
    Character(usize),
    /// Copied with quotes or a comma.
    Punctuated,
    /// Behind `//`.
    Slashes,
    /// `NAME=value`.
    Assignment,
    /// A URL.
    Url,
    /// An OAuth access token: expires within the hour.
    AccessToken,
    /// A JSON web token.
    WebToken,
    /// What clients send to the gateway.
    ClientToken,
    /// Neither `name=value` nor a known name: this word of the line, from 1.
    UnknownOption(usize),
    /// A member of a JSON object that nothing reads, from 1, and the known name that it nearly is.
    UnknownMember(usize, Option<&'static str>),
    /// A quote that is not closed.
    OpenQuote,
    /// An option that is there twice.
    Twice(&'static str),
    /// A value that the option cannot take.
    Value {
        /// The option's name.
        option: &'static str,
        /// What it takes.
        expected: &'static str,
    },
    /// Another key has the id: in this line, or, for 0, in another source.
    IdTaken {
        /// The line that has it.
        by: usize,
    },
    /// An id or owner that is a key.
    NameIsSecret,
    /// No field holds the key.
    NoKey,
    /// Neither text nor an object, in JSON.
    NotAKey,
    /// A record with more fields than its header.
    Fields,
    /// The pool has no room for it, or cannot send it.
    Refused,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = match self {
            Self::NotText => "it is not UTF-8 text",
            Self::TooShort(n) => return write!(f, "the key has {n} characters, fewer than any provider's (20)"),
            Self::TooLong(n) => return write!(f, "the key has {n} characters, more than any provider's (4096)"),
            Self::Character(n) => return write!(f, "the key has a character at byte {n} that no header can carry"),
            Self::Punctuated => "the key has quotes or a comma around it: write the key alone",
            Self::Slashes => "it begins with //: a comment begins with #",
            Self::Assignment => "it looks like NAME=value: write the value alone",
            Self::Url => "it is a URL, not a key",
            Self::AccessToken => "it is an OAuth access token, not an API key: it would expire within the hour",
            Self::WebToken => "it is a JSON web token, not an API key",
            Self::ClientToken => {
                "it is the token that clients send to this gateway, or its administrator's, no provider's key"
            }
            Self::UnknownOption(n) => {
                return write!(
                    f,
                    "word {n} is no option; known are id tier priority weight owner exit billing_account rpm tpm rpd \
                     concurrent interval zone source label, each as name=value"
                );
            }
            Self::UnknownMember(n, Some(known)) => {
                return write!(f, "nothing reads field {n} of the object: \"{known}\" may be meant");
            }
            Self::UnknownMember(n, None) => {
                return write!(
                    f,
                    "nothing reads field {n} of the object; known are key, id, tier, priority, weight, owner, \
                     exit, billing_account, rpm, tpm, rpd, concurrent, interval, zone, source, label, labels"
                );
            }
            Self::OpenQuote => "a quote is opened and not closed",
            Self::Twice(option) => return write!(f, "the option {option} stands there twice"),
            Self::Value { option, expected } => return write!(f, "the value of {option} is wrong: {expected}"),
            Self::IdTaken { by: 0 } => "its id is that of another source's key already",
            Self::IdTaken { by } => return write!(f, "its id is that of line {by} already"),
            Self::NameIsSecret => "its id or owner is a key, and names are shown",
            Self::NoKey => "it has no key: a field named key (or secret, api_key) holds it",
            Self::NotAKey => "it is neither a text nor an object with a field named key",
            Self::Fields => "it has more fields than the header names",
            Self::Refused => "the pool does not take it",
        };
        f.write_str(plain)
    }
}

impl std::error::Error for LineError {}

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
    /// There, but nothing that keys are kept in.
    NotAFile {
        /// Where.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// Saved in another encoding.
    Utf16 {
        /// Where.
        path: PathBuf,
    },
    /// Neither lines, nor CSV with a header, nor a JSON array.
    Malformed {
        /// Where.
        path: PathBuf,
        /// The line from which on it cannot be read.
        line: usize,
        /// What it should be.
        expected: &'static str,
    },
    /// A column of a CSV whose name is nearly one that is known: as a label it would say nothing of the key.
    Column {
        /// Where.
        path: PathBuf,
        /// Of the header.
        line: usize,
        /// Which column, from 1.
        column: usize,
        /// What it nearly is.
        known: &'static str,
    },
    /// No key in it.
    Empty {
        /// Where.
        path: PathBuf,
        /// Lines that were meant to be keys.
        skipped: Vec<Skipped>,
        /// How many lines it has, but for blank ones: comments, or none at all.
        lines: usize,
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
                wording::file(path)
            ),
            Self::Unreadable { path, source } => write!(
                f,
                "the key file {} cannot be read ({source}): check that it is a file and that this user may read it",
                wording::file(path)
            ),
            Self::NotAFile { path, kind } => write!(
                f,
                "{} is {kind}, not a key file: put one API key a line into a file and name that with --keys FILE; keys \
                 of another command come in as --keys /dev/stdin",
                wording::file(path)
            ),
            Self::Utf16 { path } => {
                write!(f, "the key file {} is UTF-16 text: save it as UTF-8", wording::file(path))
            }
            Self::Malformed { path, line, expected } => {
                write!(f, "the key file {}, line {line}: expected {expected}", wording::file(path))
            }
            Self::Column { path, line, column, known } => write!(
                f,
                "the key file {}, line {line}: expected column {column} to be called {known}, as it nearly is, or \
                 something else (which makes it a label)",
                wording::file(path)
            ),
            Self::Empty { path, lines: 0, .. } => {
                write!(f, "the key file {} is empty: put one API key a line into it", wording::file(path))
            }
            Self::Empty { path, skipped, .. } => {
                write!(f, "the key file {} holds no usable key: put one API key a line into it", wording::file(path))?;
                for wrong in skipped.iter().take(10) {
                    write!(f, "\n  line {}: {}", wrong.line, wrong.why())?;
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
