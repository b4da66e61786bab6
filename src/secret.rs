//! Secrets, which are never shown.

use std::{borrow::Cow, fmt, ops::Range};

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};

/// The characters that are percent-encoded in a query: all but the unreserved ones.
pub(crate) const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Minimum length of a secret that is redacted: shorter ones would mask ordinary words.
pub(crate) const MIN_REDACTED: usize = 8;

/// A key's secret. `Debug` and `Display` show `***`; [`Secret::expose`] returns it.
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
    /// Returns a secret made from an opaque string of visible ASCII characters.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidKey`](crate::ErrorKind::InvalidKey) if the text is empty or has a character that is not
    /// visible ASCII. The error names the position, never the text.
    pub fn new(secret: &str) -> Result<Self, crate::Error> {
        Self::with_scheme("", secret)
    }

    /// Like [`new`](Self::new), with a scheme such as `"Bearer "` before the secret in
    /// [`header_value`](Self::header_value).
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

    /// Returns the secret as text. Do not log it.
    pub fn expose(&self) -> &str {
        self.header.to_str().map_or("", |text| &text[self.scheme as usize..])
    }

    /// Returns the header value: scheme and secret, marked sensitive. Cloning it does not allocate.
    pub fn header_value(&self) -> &HeaderValue {
        &self.header
    }

    /// Replaces this secret in a text by `***`, even if some or all of its bytes are percent-encoded. A secret of fewer
    /// than 8 bytes is not replaced.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        match self.redact_bytes(text.as_bytes()) {
            Some(redacted) => Cow::Owned(String::from_utf8_lossy(&redacted).into_owned()),
            None => Cow::Borrowed(text),
        }
    }

    /// Like [`redact`](Self::redact), for bytes; `None` if they do not contain the secret.
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

    /// Like [`redact`](Self::redact), for the values of headers or trailers. Those whose names contain the secret are
    /// removed.
    pub(crate) fn redact_headers(&self, headers: &mut HeaderMap) {
        for value in headers.values_mut() {
            if let Some(redacted) = self.redact_bytes(value.as_bytes()) {
                *value = HeaderValue::try_from(redacted).unwrap_or(HeaderValue::from_static("***"));
            }
        }
        let Some(secret) = self.redactable() else { return };
        let contains = |name: &&HeaderName| {
            name.as_str().as_bytes().windows(secret.len()).any(|part| part.eq_ignore_ascii_case(secret))
        };
        for name in headers.keys().filter(contains).cloned().collect::<Vec<_>>() {
            headers.remove(name);
        }
    }

    /// Finds the first occurrence, plain or with any of its bytes percent-encoded or escaped as in JSON.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<Range<usize>> {
        let first = *self.redactable()?.first()?;
        memchr::memchr3_iter(first, b'%', b'\\', bytes).find_map(|start| match self.matches_start(&bytes[start..]) {
            Match::Full(length) => Some(start..start + length),
            Match::Partial | Match::None => None,
        })
    }

    /// Returns how many bytes at the end may be the start of the secret.
    pub(crate) fn partial_tail(&self, bytes: &[u8]) -> usize {
        let Some(secret) = self.redactable() else { return 0 };
        let end = &bytes[bytes.len().saturating_sub(6 * secret.len() - 1)..];
        let mut starts = memchr::memchr3_iter(secret[0], b'%', b'\\', end);
        starts
            .find(|start| matches!(self.matches_start(&end[*start..]), Match::Partial))
            .map_or(0, |start| end.len() - start)
    }

    /// Returns how many bytes at the end to hold back: from the first occurrence, or possible start, of the secret.
    pub(crate) fn held_back(&self, bytes: &[u8]) -> usize {
        self.find(bytes).map_or_else(|| self.partial_tail(bytes), |found| bytes.len() - found.start)
    }

    fn redactable(&self) -> Option<&[u8]> {
        Some(self.expose().as_bytes()).filter(|secret| secret.len() >= MIN_REDACTED)
    }

    /// Reports whether the bytes start with the secret.
    fn matches_start(&self, bytes: &[u8]) -> Match {
        let mut rest = bytes;
        for &letter in self.expose().as_bytes() {
            rest = match rest {
                [first, rest @ ..] if *first == letter => rest,
                [b'\\', b'/', rest @ ..] if letter == b'/' => rest,
                [b'%' | b'\\', ..] => {
                    let escape = if rest[0] == b'%' { format!("%{letter:02x}") } else { format!("\\u{letter:04x}") };
                    match after(rest, escape.as_bytes()) {
                        Ok(rest) => rest,
                        Err(end) => return end,
                    }
                }
                [] => return Match::Partial,
                _ => return Match::None,
            };
        }
        Match::Full(bytes.len() - rest.len())
    }
}

enum Match {
    /// The bytes start with the secret, which is this many bytes long here.
    Full(usize),
    /// The bytes are the start of the secret.
    Partial,
    None,
}

/// Returns the bytes after an escape sequence in upper or lower case.
fn after<'a>(bytes: &'a [u8], escape: &[u8]) -> Result<&'a [u8], Match> {
    let length = bytes.len().min(escape.len());
    match bytes[..length].eq_ignore_ascii_case(&escape[..length]) {
        true if length == escape.len() => Ok(&bytes[length..]),
        true => Err(Match::Partial),
        false => Err(Match::None),
    }
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
            assert_eq!(secret.partial_tail(format!("key: {}", &every_byte[..cut]).as_bytes()), cut);
        }
        assert_eq!(secret.partial_tail(format!("key: {every_byte}").as_bytes()), 0);
    }

    #[test]
    fn forms_with_json_escapes_are_redacted() {
        let secret = Secret::new("sk-a/b+c=d-123").unwrap();
        assert_eq!(secret.redact(r#"{"a": "\n\u0073\u006B-a\/b+c\u003dd-123\n"}"#), r#"{"a": "\n***\n"}"#);
        let every_byte = secret.expose().bytes().map(|byte| format!("\\u{byte:04x}")).collect::<Vec<_>>().concat();
        assert_eq!(secret.redact(&format!("\\{every_byte}!")), "\\***!");
        for cut in 1..every_byte.len() {
            assert_eq!(secret.partial_tail(format!("key: {}", &every_byte[..cut]).as_bytes()), cut);
        }
        assert_eq!(
            secret.redact(r"\u0073k-a\u002f+c=d-123 \u0173k-a/b+c=d-123"),
            r"\u0073k-a\u002f+c=d-123 \u0173k-a/b+c=d-123"
        );
    }

    #[test]
    fn invalid_character_is_reported_by_position_only() {
        let error = Secret::new("AIza\nsecret").unwrap_err().to_string();
        assert!(error.contains("byte 4") && !error.contains("AIza"), "{error}");
    }
}
