//! The name of a way out to the provider.

use std::{borrow::Borrow, fmt, sync::Arc};

use serde::{Serialize, Serializer};

/// The name of an exit: a way out to the provider, such as a proxy or an address of this machine.
///
/// A pool knows names alone. What one stands for the client at the bottom knows, which finds it in the extensions of each
/// request whose key has an exit; a request without goes out the usual way. An answer that refuses the address
/// ([`Scope::Exit`](crate::Scope::Exit)) rests the exit of the key that it came to, and no other.
///
/// ```
/// use tower_keypool::{Exit, Gemini, Key, KeyPool};
///
/// let pool = KeyPool::builder(Gemini::new()).key(Key::new("AIza-not-a-real-key-000").exit("tokyo")).build()?;
/// let lease = pool.try_acquire("gemini-2.5-flash")?;
/// assert_eq!(lease.exit(), Some(Exit::from("tokyo")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Exit(Arc<str>);

impl Exit {
    /// Bytes that a name may have.
    pub const LONGEST: usize = 64;

    /// As it is written.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Whether a name may be an exit's: 1 to 64 of `A-Z a-z 0-9 . _ -`. It stands in metrics, logs and errors.
    pub fn is_valid(name: &str) -> bool {
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        (1..=Self::LONGEST).contains(&name.len()) && name.bytes().all(fine)
    }
}

impl From<&str> for Exit {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for Exit {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl Borrow<str> for Exit {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Exit({})", self.0)
    }
}

impl Serialize for Exit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
