//! One line: the key, then its options.

use super::{LineError, option};
use crate::config::{KeySpec, Origin};

/// Reads a line; `None` for a blank one or a comment.
pub(super) fn parse(bytes: &[u8], not_keys: &[&str], origin: Origin) -> Result<Option<KeySpec>, LineError> {
    let text = std::str::from_utf8(bytes).map_err(|_| LineError::NotText)?;
    let words = words(text)?;
    let Some((secret, options)) = words.split_first() else { return Ok(None) };
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
    if secret.contains(['"', '\'', ',', ';', '`']) {
        return Err(LineError::Punctuated);
    }
    if secret.starts_with("ya29.") {
        return Err(LineError::AccessToken);
    }
    if secret.starts_with("eyJ") {
        return Err(LineError::WebToken);
    }
    if let Some((name, value)) = secret.split_once(['=', ':']) {
        // A base64 key may end in `=`; an assignment or a header has a value.
        if is_name(name) && !value.trim_matches('=').is_empty() {
            return Err(LineError::Assignment);
        }
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

/// Whether this is what people call a key, not a key's beginning: a variable of a shell, a field, or a header.
fn is_name(name: &str) -> bool {
    let variable = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let plain = name.to_ascii_lowercase().replace(['-', '_'], "");
    !name.is_empty() && name.bytes().all(variable)
        || ["key", "token", "secret", "authorization", "bearer"].iter().any(|word| plain.ends_with(word))
}
