//! The part of a key that is never shown.

use std::{borrow::Cow, fmt};

use http::HeaderValue;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

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

    /// The text with `***` in place of this secret, plain or percent-encoded. A secret of fewer than 8 bytes is left alone.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for form in self.forms() {
            if text.contains(&*form) {
                text = Cow::Owned(text.replace(&*form, "***"));
            }
        }
        text
    }

    /// The same of bytes; `None` where the secret does not stand there.
    pub(crate) fn redact_bytes(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut redacted: Option<Vec<u8>> = None;
        for form in self.forms() {
            let bytes = redacted.as_deref().unwrap_or(bytes);
            if let Some(changed) = replace_all(bytes, form.as_bytes()) {
                redacted = Some(changed);
            }
        }
        redacted
    }

    /// The spellings under which it is looked for; none where it is too short.
    pub(crate) fn forms(&self) -> impl Iterator<Item = Cow<'_, str>> {
        let plain = self.expose();
        let encoded = Cow::from(utf8_percent_encode(plain, UNRESERVED));
        let differs = (*encoded != *plain).then_some(encoded);
        std::iter::once(Cow::Borrowed(plain)).chain(differs).filter(move |_| plain.len() >= SHORTEST_REDACTED)
    }
}

fn replace_all(bytes: &[u8], form: &[u8]) -> Option<Vec<u8>> {
    let mut changed = None::<Vec<u8>>;
    let mut rest = 0;
    let mut at = 0;
    while at + form.len() <= bytes.len() {
        if &bytes[at..at + form.len()] == form {
            let changed = changed.get_or_insert_with(|| Vec::with_capacity(bytes.len()));
            changed.extend_from_slice(&bytes[rest..at]);
            changed.extend_from_slice(b"***");
            at += form.len();
            rest = at;
        } else {
            at += 1;
        }
    }
    changed.map(|mut changed| {
        changed.extend_from_slice(&bytes[rest..]);
        changed
    })
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
    }

    #[test]
    fn invalid_character_is_reported_by_its_place_alone() {
        let error = Secret::new("AIza\nsecret").unwrap_err().to_string();
        assert!(error.contains("byte 4") && !error.contains("AIza"), "{error}");
    }
}
