//! One line: the key, then its options.

use super::{LineError, option};
use crate::config::{KeySpec, Origin};

/// Reads a line; `None` for a blank one or a comment. `before`: what stands behind the key in the line before, and what that is:
/// as a rule all lines say the same, and what was read need not be read again. What stands behind this one, too.
pub(super) fn parse<'a>(
    bytes: &'a [u8],
    not_keys: &[&str],
    origin: Origin,
    before: Option<(&str, &KeySpec)>,
) -> (Option<&'a str>, Result<Option<KeySpec>, LineError>) {
    let Ok(text) = std::str::from_utf8(bytes) else { return (None, Err(LineError::NotText)) };
    let parted = text.trim().split_once([' ', '\t']);
    let options = parted.map(|parted| parted.1);
    if let (Some((secret, options)), Some((said, spec))) = (parted, before)
        && options == said
        && is_plain(secret)
    {
        let read = check(secret, not_keys).map(|()| {
            let spec = spec.clone();
            Some(KeySpec { secret: secret.to_owned(), origins: vec![origin], ..spec })
        });
        return (Some(options), read);
    }
    (options, read(text, not_keys, origin))
}

/// Whether this is the first word, and would be a key whatever stands behind it.
fn is_plain(secret: &str) -> bool {
    !secret.starts_with('#') && !secret.contains(|c: char| c == '"' || c.is_whitespace()) && secret != "export"
}

fn read(text: &str, not_keys: &[&str], origin: Origin) -> Result<Option<KeySpec>, LineError> {
    let words = words(text)?;
    let Some((secret, options)) = words.split_first() else { return Ok(None) };
    if secret == "export" && options.first().is_some_and(|word| word.contains('=')) {
        return Err(LineError::Assignment);
    }
    check(secret, not_keys)?;
    let mut spec = KeySpec::new(secret.as_str(), origin);
    option::words(&mut spec, options)?;
    Ok(Some(spec))
}

/// Words between white space, up to a word that begins with `#`. White space inside quotes is kept.
fn words(text: &str) -> Result<Vec<String>, LineError> {
    let mut words = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() && !rest.starts_with('#') {
        let (plain, more) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
        if !plain.contains('"') {
            words.push(plain.to_owned());
            rest = more.trim_start();
            continue;
        }
        let mut word = String::new();
        let mut quoted = false;
        let mut end = rest.len();
        for (at, character) in rest.char_indices() {
            match character {
                // Only a value may be quoted; a quoted key is refused by name.
                '"' if word.contains('=') && !words.is_empty() => quoted = !quoted,
                _ if character.is_whitespace() && !quoted => {
                    end = at;
                    break;
                }
                _ => word.push(character),
            }
        }
        if quoted {
            return Err(LineError::OpenQuote);
        }
        words.push(word);
        rest = rest[end..].trim_start();
    }
    Ok(words)
}

/// What clients of a gateway send where nobody chose a token of their own.
const PLACEHOLDER: &str = "PLACEHOLDER_GEMINI_TOKEN";

/// Keys are opaque; only what is decidably none is refused.
pub(in crate::config) fn check(secret: &str, not_keys: &[&str]) -> Result<(), LineError> {
    if secret == PLACEHOLDER || not_keys.contains(&secret) {
        return Err(LineError::ClientToken);
    }
    if secret.contains("://") {
        return Err(LineError::Url);
    }
    if secret.bytes().any(|byte| matches!(byte, b'"' | b'\'' | b',' | b';' | b'`')) {
        return Err(LineError::Punctuated);
    }
    if secret.starts_with("//") {
        return Err(LineError::Slashes);
    }
    if secret.starts_with("ya29.") {
        return Err(LineError::AccessToken);
    }
    if secret.starts_with("eyJ") {
        return Err(LineError::WebToken);
    }
    if is_assignment(secret) {
        return Err(LineError::Assignment);
    }
    if let Some(at) = secret.bytes().position(|byte| !byte.is_ascii_graphic()) {
        return Err(LineError::Character(at));
    }
    match secret.len() {
        short @ ..20 => Err(LineError::TooShort(short)),
        long @ 4097.. => Err(LineError::TooLong(long)),
        _ => Ok(()),
    }
}

/// Whether it is a key's name with the key behind it: a variable of a shell (`GEMINI_API_KEY=…`), a field (`apiKey=…`)
/// or a header (`x-goog-api-key:…`). What stands before `=` or `:` in a key may be anything else.
fn is_assignment(secret: &str) -> bool {
    let Some(at) = secret.bytes().position(|byte| matches!(byte, b'=' | b':')) else { return false };
    let (name, value) = (&secret[..at], &secret[at + 1..]);
    // A base64 key may end in `=`.
    if value.trim_matches('=').is_empty()
        || !name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
    {
        return false;
    }
    let plain = name.to_ascii_lowercase().replace(['-', '_'], "");
    if secret.as_bytes()[at] == b':' {
        return HEADERS.contains(&plain.as_str());
    }
    // `KEY_2`: one of several.
    let plain = plain.trim_end_matches(|last: char| last.is_ascii_digit());
    let words = ["key", "keys", "token", "tokens", "secret", "secrets", "authorization", "bearer", "credential"];
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        && words.iter().any(|word| plain.ends_with(word))
}

/// Headers and fields that carry a key, without `-` and `_`.
const HEADERS: [&str; 8] = ["xgoogapikey", "xapikey", "apikey", "key", "token", "secret", "authorization", "bearer"];
