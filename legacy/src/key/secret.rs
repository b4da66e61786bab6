//! The part of a key that is never shown.

use std::{fmt, sync::Arc};

use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands in a query as it is; all else of a key is percent-encoded where it is sent, and sought so where it comes back.
pub(crate) const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A key's secret. `Debug` and `Display` show `***`; only [`Secret::expose`] gives it away.
///
/// ```
/// use tower_keypool::Secret;
///
/// let secret = Secret::new("AIza-not-a-real-key-000")?;
/// assert_eq!(format!("{secret:?} {secret}"), "*** ***");
/// assert_eq!(secret.expose(), "AIza-not-a-real-key-000");
/// # Ok::<(), tower_keypool::InvalidSecret>(())
/// ```
#[derive(Clone)]
pub struct Secret(Arc<Parts>);

/// What a secret is made of. Shared, since every lease holds it.
struct Parts {
    /// The header value that carries the key, made once: `AIza…`, or `Bearer sk-…`. Marked sensitive.
    header: HeaderValue,
    /// How many bytes of scheme (`Bearer `) stand before the secret in `header`.
    scheme: u8,
    /// Where in the secret its rarest byte stands: whoever looks for an echo looks for that byte first.
    rare_at: u8,
    /// It reads differently in a query, percent-encoded.
    encodable: bool,
    /// It may be a header's name: of small letters, digits and marks.
    nameable: bool,
    /// The pool's number of the exit that it goes out by; 0: the usual one. In what is otherwise padding.
    exit: u16,
}

/// A secret that cannot be sent: empty, or with characters that no HTTP header may carry. Says where, never what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidSecret {
    /// Nothing in it.
    Empty,
    /// A control character, a space or a character beyond ASCII at this byte.
    Character {
        /// Byte offset of the offending character.
        at: usize,
    },
}

impl Secret {
    /// Takes an opaque string of visible ASCII characters.
    ///
    /// # Errors
    /// [`InvalidSecret`] when it is empty or holds anything but visible ASCII.
    pub fn new(secret: &str) -> Result<Self, InvalidSecret> {
        Self::with_scheme("", secret)
    }

    /// The same secret behind a scheme of visible ASCII such as `"Bearer "`, as a provider's header wants it.
    ///
    /// # Errors
    /// [`InvalidSecret`] when the secret is empty or holds anything but visible ASCII, or when the scheme is no header
    /// value or longer than 255 bytes.
    pub fn with_scheme(scheme: &'static str, secret: &str) -> Result<Self, InvalidSecret> {
        if secret.is_empty() {
            return Err(InvalidSecret::Empty);
        }
        if let Some(at) = secret.bytes().position(|b| !b.is_ascii_graphic()) {
            return Err(InvalidSecret::Character { at });
        }
        let Ok(length) = u8::try_from(scheme.len()) else { return Err(InvalidSecret::Character { at: 0 }) };
        let mut text = String::with_capacity(scheme.len() + secret.len());
        text.push_str(scheme);
        text.push_str(secret);
        let mut header = HeaderValue::try_from(text).map_err(|_| InvalidSecret::Character { at: 0 })?;
        header.set_sensitive(true);
        let rare_at = rarest(secret.as_bytes());
        let encodable = utf8_percent_encode(secret, UNRESERVED).any(|piece| piece.len() != secret.len());
        let nameable = HeaderName::from_lowercase(secret.as_bytes()).is_ok();
        Ok(Self(Arc::new(Parts { header, scheme: length, rare_at, encodable, nameable, exit: 0 })))
    }

    /// The secret itself. Whoever calls this must not log it.
    pub fn expose(&self) -> &str {
        // Checked to be ASCII when it was made.
        self.0.header.to_str().map_or("", |text| &text[usize::from(self.0.scheme)..])
    }

    /// The header value that carries it, scheme included; marked sensitive. Cloning it allocates nothing.
    pub fn header_value(&self) -> &HeaderValue {
        &self.0.header
    }

    /// The secret's bytes: all of them visible ASCII.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0.header.as_bytes()[usize::from(self.0.scheme)..]
    }

    /// Where in the secret its rarest byte stands.
    pub(crate) fn rare_at(&self) -> usize {
        usize::from(self.0.rare_at)
    }

    /// The text with `*` for this key, as it is, as a query has it or as `Debug` writes it; `None`: it does not stand there.
    /// One of less than eight bytes is no secret, and would maim good text.
    pub(crate) fn hidden_in(&self, text: &str) -> Option<String> {
        let key = self.expose();
        if key.len() < 8 {
            return None;
        }
        let forms = [key.to_owned(), utf8_percent_encode(key, UNRESERVED).to_string(), key.escape_debug().to_string()];
        let mut masked = None;
        for form in forms {
            let text = masked.as_deref().unwrap_or(text);
            if text.contains(&form) {
                masked = Some(text.replace(&form, &"*".repeat(form.len())));
            }
        }
        masked
    }

    /// Heap bytes behind it, its text included.
    pub(crate) fn heap_bytes(&self) -> usize {
        // The two counts of an `Arc` stand before what it holds.
        2 * size_of::<usize>() + size_of::<Parts>() + self.0.header.len()
    }

    /// The number of the exit that it goes out by.
    #[inline]
    pub(crate) fn exit(&self) -> u16 {
        self.0.exit
    }

    /// The same secret by another exit.
    pub(crate) fn through(self, exit: u16) -> Self {
        if self.0.exit == exit {
            return self;
        }
        let Parts { header, scheme, rare_at, encodable, nameable, .. } = &*self.0;
        Self(Arc::new(Parts {
            header: header.clone(),
            scheme: *scheme,
            rare_at: *rare_at,
            encodable: *encodable,
            nameable: *nameable,
            exit,
        }))
    }

    /// Whether it may stand in a header's name.
    pub(crate) fn is_nameable(&self) -> bool {
        self.0.nameable
    }

    /// Whether it reads differently in a query, percent-encoded.
    pub(crate) fn is_encodable(&self) -> bool {
        self.0.encodable
    }
}

/// Where the byte stands that is rarest in text at large.
pub(crate) fn rarest(text: &[u8]) -> u8 {
    memchr::arch::all::packedpair::Pair::new(text).map_or(0, |pair| pair.index1())
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for InvalidSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the key is empty"),
            Self::Character { at } => write!(f, "the key has a character at byte {at} that cannot be sent in a header"),
        }
    }
}

impl std::error::Error for InvalidSecret {}
