//! Why a closure did not succeed.

use std::{error::Error as StdError, fmt};

use crate::{
    error::{BoxError, Error},
    pool::ServedBy,
};

/// Why a closure did not succeed: it failed, or it got no key.
#[derive(Debug)]
#[non_exhaustive]
#[expect(clippy::large_enum_variant, reason = "an error is rare, and one that is looked into is not to be unboxed")]
pub enum RunError<E> {
    /// No key could be had for it.
    Pool(Error),
    /// Its last attempt failed.
    Call {
        /// What the closure returned, told as it is: where a client puts the key in the address and its errors say that
        /// address (reqwest's do, unless [`without_url`](https://docs.rs/reqwest/latest/reqwest/struct.Error.html#method.without_url)
        /// takes it out), so does this one.
        error: E,
        /// The key of the last attempt, its verdict, and the attempts before it.
        served_by: ServedBy,
    },
}

impl<E> RunError<E> {
    /// Why no key could be had, where that is the reason.
    pub fn pool(&self) -> Option<&Error> {
        match self {
            Self::Pool(error) => Some(error),
            Self::Call { .. } => None,
        }
    }

    /// What the closure returned last, where it was called.
    pub fn call(&self) -> Option<&E> {
        match self {
            Self::Pool(_) => None,
            Self::Call { error, .. } => Some(error),
        }
    }

    /// What the closure returned last, where it was called.
    pub fn into_call(self) -> Option<E> {
        match self {
            Self::Pool(_) => None,
            Self::Call { error, .. } => Some(error),
        }
    }

    /// The same as any error, also of a closure whose own error is a [`BoxError`] and so is none itself:
    /// `.map_err(RunError::into_box)?`.
    pub fn into_box(self) -> BoxError
    where
        E: Into<BoxError>,
    {
        match self {
            Self::Pool(error) => error.into(),
            Self::Call { error, served_by } => RunError::Call { error: Whole(error.into()), served_by }.into(),
        }
    }

    /// Who tried, where somebody did.
    pub fn served_by(&self) -> Option<&ServedBy> {
        match self {
            Self::Pool(error) => error.served_by(),
            Self::Call { served_by, .. } => Some(served_by),
        }
    }

    /// How often the closure was called.
    pub fn attempts(&self) -> usize {
        self.served_by().map_or(0, ServedBy::attempts)
    }
}

impl<E: fmt::Display> fmt::Display for RunError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pool(error) => error.fmt(f),
            Self::Call { error, served_by } => {
                match served_by.key() {
                    Some(key) => write!(f, "failed over key {key}: {error}")?,
                    None => error.fmt(f)?,
                }
                match served_by.attempts() {
                    0 | 1 => Ok(()),
                    attempts => write!(f, ", after {attempts} attempts"),
                }
            }
        }
    }
}

impl<E: StdError + 'static> StdError for RunError<E> {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Pool(error) => Some(error),
            Self::Call { error, .. } => Some(error),
        }
    }
}

/// Any error, as one that has a type.
struct Whole(BoxError);

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl StdError for Whole {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}
