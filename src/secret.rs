//! The part of a key that is never shown.

use std::{borrow::Cow, fmt, ops::Range};

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// What a query shows as it is; the rest of a key is percent-encoded there.
pub(crate) const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Shorter texts are not redacted: they would mask ordinary words.
const SHORTEST_REDACTED: usize = 8;

/// A key's secret. `Debug` and `Display` show `***`; only [`Secret::expose`] gives it away.
///
/// ```
/// use tower_keypool::Secret;
///
/// let secret = Secret::new("AIza-not-a-real-key-000")?;
/// assert_eq!(format!("{secret:?} {secret}"), "*** ***");
/// assert_eq!(secret.expose(), "AIza-not-a-real-key-000");
/// assert_eq!(secret.redact("key AIza-not-a-real-key-000 is invalid"), "key *** is invalid");
/// # Ok::<(), tower_keypool::Error>(())
/// ```
#[derive(Clone)]
pub struct Secret {
    /// Scheme and secret, marked sensitive.
    header: HeaderValue,
    /// The length of the scheme in `header`.
    scheme: u32,
}

impl Secret {
    /// Takes an opaque string of visible ASCII characters.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`](crate::ErrorKind::InvalidKey) where the text is empty or has a character that no HTTP header
    /// may carry. The error tells the place, never the text.
    pub fn new(secret: &str) -> Result<Self, crate::Error> {
        Self::with_scheme("", secret)
    }

    /// The same with a scheme before it in [`header_value`](Self::header_value), such as `"Bearer "`.
    ///
    /// # Errors
    /// The same as those of [`new`](Self::new).
    pub fn with_scheme(scheme: &str, secret: &str) -> Result<Self, crate::Error> {
        if secret.is_empty() {
            return Err(crate::Error::invalid_key("the key is empty"));
        }
        if let Some(at) = secret.bytes().position(|byte| !byte.is_ascii_graphic()) {
            return Err(crate::Error::invalid_key(format!("byte {at} of the key is not a visible ASCII character")));
        }
        let mut header = HeaderValue::try_from(format!("{scheme}{secret}"))
            .map_err(|_| crate::Error::invalid_key("the key cannot be a header value"))?;
        header.set_sensitive(true);
        Ok(Self { header, scheme: scheme.len() as u32 })
    }

    /// The secret itself. Do not log it.
    pub fn expose(&self) -> &str {
        self.header.to_str().map_or("", |text| &text[self.scheme as usize..])
    }

    /// The header value that carries the secret, scheme included; marked sensitive. A clone allocates nothing.
    pub fn header_value(&self) -> &HeaderValue {
        &self.header
    }

    /// The text with `***` in place of this secret, whichever of its bytes are percent-encoded. A secret of fewer than 8 bytes is
    /// left alone.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.redact_bytes(text.as_bytes()) {
            Some(redacted) => Cow::Owned(String::from_utf8_lossy(&redacted).into_owned()),
            None => Cow::Borrowed(text),
        }
    }

    /// The same of bytes; `None` if the secret is not there.
    pub(crate) fn redact_bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut found = self.find(bytes)?;
        let mut redacted = Vec::with_capacity(bytes.len());
        let mut rest = bytes;
        loop {
            redacted.extend_from_slice(&rest[..found.start]);
            redacted.extend_from_slice(b"***");
            rest = &rest[found.end..];
            match self.find(rest) {
                Some(next) => found = next,
                None => break,
            }
        }
        redacted.extend_from_slice(rest);
        Some(redacted)
    }

    /// Where it is first, plain or with any of its bytes percent-encoded.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<Range<usize>> {
        let first = *self.redactable()?.first()?;
        memchr::memchr2_iter(first, b'%', bytes).find_map(|start| match self.spelled_in(&bytes[start..]) {
            Spelled::Until(length) => Some(start..start + length),
            Spelled::Begun | Spelled::Not => None,
        })
    }

    /// How many bytes at the end may be its beginning.
    pub(crate) fn begun_in(&self, bytes: &[u8]) -> usize {
        let Some(secret) = self.redactable() else { return 0 };
        let longest = bytes.len().min(3 * secret.len() - 1);
        let begins = |length: &usize| matches!(self.spelled_in(&bytes[bytes.len() - length..]), Spelled::Begun);
        (1..=longest).rev().find(begins).unwrap_or(0)
    }

    fn redactable(&self) -> Option<&[u8]> {
        Some(self.expose().as_bytes()).filter(|secret| secret.len() >= SHORTEST_REDACTED)
    }

    /// Whether the bytes begin with it.
    fn spelled_in(&self, bytes: &[u8]) -> Spelled {
        let mut rest = bytes;
        for &letter in self.expose().as_bytes() {
            rest = match rest {
                [b'%', high, low, rest @ ..] if hex(*high, *low) == Some(letter) => rest,
                [first, rest @ ..] if *first == letter => rest,
                [] | [b'%'] => return Spelled::Begun,
                [b'%', high] if hex(*high, b'0').is_some_and(|high| high >> 4 == letter >> 4) => return Spelled::Begun,
                _ => return Spelled::Not,
            };
        }
        Spelled::Until(bytes.len() - rest.len())
    }
}

enum Spelled {
    /// The secret ends after so many bytes.
    Until(usize),
    /// The bytes end before the secret does.
    Begun,
    Not,
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? << 4 | digit(low)?).ok()
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

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn plain_and_encoded_forms_are_redacted() {
        let secret = Secret::with_scheme("Bearer ", "sk-a/b+c=d-123").unwrap();
        assert_eq!(secret.header_value(), "Bearer sk-a/b+c=d-123");
        assert_eq!(secret.redact("?key=sk-a%2Fb%2Bc%3Dd-123 sk-a/b+c=d-123."), "?key=*** ***.");
        assert_eq!(secret.redact_bytes(b"\xffsk-a/b+c=d-123").unwrap(), b"\xff***");
        assert_eq!(secret.redact_bytes(b"nothing here"), None);
        let every_byte: String = secret.expose().bytes().map(percent_encoding::percent_encode_byte).collect();
        assert_eq!(secret.redact(&format!("%{every_byte}%73k-a/b+c=%64-123!")), "%******!");
        for cut in 1..every_byte.len() {
            assert_eq!(secret.begun_in(format!("key: {}", &every_byte[..cut]).as_bytes()), cut);
        }
        assert_eq!(secret.begun_in(format!("key: {every_byte}").as_bytes()), 0);
    }

    #[test]
    fn invalid_character_is_reported_by_its_place_alone() {
        let error = Secret::new("AIza\nsecret").unwrap_err().to_string();
        assert!(error.contains("byte 4") && !error.contains("AIza"), "{error}");
    }
}
