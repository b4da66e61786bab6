//! A key in an error's text, however it is spelled there: in letters of another case, escaped as JSON may be, as a
//! query is or as HTML is, in any mixture of these; in hex; in base64, alone or with what stands beside it.
//!
//! Of errors and names alone, which are short, rare and held: a good answer is looked through for the forms that writers are
//! known to use (`cooldown/mask.rs`), at a speed that all of them can afford.

use memchr::{memchr, memchr2, memchr3};

use super::{Secret, forms};

/// A shorter key is no secret, and masking it would maim good text.
pub(crate) const SHORTEST: usize = 8;

/// Overwrites each of these keys with as many `*` as it has characters there. Whether any stood there.
pub(crate) fn mask_spelled<'a>(secrets: impl IntoIterator<Item = &'a Secret>, text: &mut [u8]) -> bool {
    let mut found = false;
    for secret in secrets {
        let key = secret.bytes();
        if key.len() < SHORTEST {
            continue;
        }
        found |= mask_escaped(secret, text);
        found |= mask_from(key, text, true, |text| memchr2(b'%', b'&', text));
        found |= mask_hex(key, text);
        for before in 0..3 {
            found |= mask_base64(key, before, text);
        }
    }
    found
}

/// The same of one key in letters of any case, any of them escaped, but for one that begins as queries or HTML escape it.
pub(crate) fn mask_escaped(secret: &Secret, text: &mut [u8]) -> bool {
    let key = secret.bytes();
    if key.len() < SHORTEST {
        return false;
    }
    mask_from(key, text, true, |text| begins(key, text))
}

/// The same but for where it reads as it is: whoever looks for that knows of longer keys that begin so.
pub(crate) fn mask_otherwise(secret: &Secret, text: &mut [u8]) -> bool {
    let key = secret.bytes();
    key.len() >= SHORTEST && mask_from(key, text, false, |text| begins(key, text))
}

/// Whether it stands in a text so.
pub(crate) fn holds_otherwise(secret: &Secret, text: &[u8]) -> bool {
    let key = secret.bytes();
    key.len() >= SHORTEST && find(key, text, 0, false, |text| begins(key, text)).is_some()
}

/// Where a letter of any case, or an escape, may begin a key.
fn begins(key: &[u8], text: &[u8]) -> Option<usize> {
    memchr3(key[0].to_ascii_lowercase(), key[0].to_ascii_uppercase(), b'\\', text)
}

/// The same of one key, where it begins at a place that `next` finds; as it is only if `plain`.
fn mask_from(key: &[u8], text: &mut [u8], plain: bool, next: impl Fn(&[u8]) -> Option<usize>) -> bool {
    let (mut found, mut from) = (false, 0);
    while let Some((at, length)) = find(key, text, from, plain, &next) {
        // Of an escape no half is left, which would break the JSON that it stands in.
        let before = text[from..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        text[at - before % 2..at + length].fill(b'*');
        (found, from) = (true, at + length);
    }
    found
}

/// Where a key stands next, and how many bytes it takes there.
fn find(
    key: &[u8],
    text: &[u8],
    from: usize,
    plain: bool,
    next: impl Fn(&[u8]) -> Option<usize>,
) -> Option<(usize, usize)> {
    let mut at = from;
    loop {
        at += next(&text[at..])?;
        if let Some(length) = length(key, &text[at..])
            && (plain || text[at..at + length] != *key)
        {
            return Some((at, length));
        }
        at += 1;
    }
}

/// How many bytes the key takes at the beginning of a text.
fn length(key: &[u8], text: &[u8]) -> Option<usize> {
    key.iter().try_fold(0, |at, &byte| Some(at + written(byte, &text[at..])?))
}

/// How many bytes write this one at the beginning of a text.
fn written(byte: u8, text: &[u8]) -> Option<usize> {
    let (written, length) = match text {
        [plain, ..] if plain.eq_ignore_ascii_case(&byte) => return Some(1),
        [b'\\', ..] => escaped(byte, text)?,
        [b'%', digits @ ..] => (forms::code(digits.get(..2))?, 3),
        [b'&', entity @ ..] => html(entity)?,
        _ => return None,
    };
    written.eq_ignore_ascii_case(&byte).then_some(length)
}

/// The character that an escape of JSON writes at the beginning of a text, and how many bytes it takes: JSON in the text of JSON
/// is escaped anew, each time with twice as many backslashes, or one more.
fn escaped(byte: u8, text: &[u8]) -> Option<(u8, usize)> {
    let most = if byte == b'\\' { 1 } else { MOST_BACKSLASHES };
    let slashes = text.iter().take(most).take_while(|byte| **byte == b'\\').count();
    match &text[slashes..] {
        [b'u', digits @ ..] => Some((forms::code(digits.get(..4))?, slashes + 5)),
        [escaped, ..] => Some((*escaped, slashes + 1)),
        [] => None,
    }
}

/// Those of a text that is escaped four times.
const MOST_BACKSLASHES: usize = 15;

/// The character of an entity of HTML, behind its `&`, and how many bytes the whole has.
fn html(entity: &[u8]) -> Option<(u8, usize)> {
    let end = memchr(b';', &entity[..entity.len().min(LONGEST_ENTITY)])?;
    let number =
        |digits: &[u8], base| u32::from_str_radix(std::str::from_utf8(digits).ok()?, base).ok()?.try_into().ok();
    let character = match &entity[..end] {
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16)?,
        [b'#', digits @ ..] => number(digits, 10)?,
        name => NAMED.iter().find(|(known, _)| name == *known)?.1,
    };
    Some((character, end + 2))
}

/// Those that have a name, of what keys are made of.
const NAMED: [(&[u8], u8); 8] = [
    (b"amp", b'&'),
    (b"plus", b'+'),
    (b"equals", b'='),
    (b"sol", b'/'),
    (b"lowbar", b'_'),
    (b"hyphen", b'-'),
    (b"lt", b'<'),
    (b"gt", b'>'),
];
/// Of an entity behind its `&`: its name or number, and the semicolon.
const LONGEST_ENTITY: usize = 10;

/// The same of a key that is written as hex, in letters of either case.
fn mask_hex(key: &[u8], text: &mut [u8]) -> bool {
    mask_form(&forms::hex(key), (0, 0), text, |byte| byte.to_ascii_uppercase())
}

/// The same in base64 of either alphabet, where so many bytes stand before it in its group of three: what is all the key's own,
/// and the characters at both ends that are half of it.
fn mask_base64(key: &[u8], before: usize, text: &mut [u8]) -> bool {
    let halves = (usize::from(before > 0), usize::from(!(8 * (before + key.len())).is_multiple_of(6)));
    mask_form(&forms::base64(key, before), halves, text, |byte| match byte {
        b'+' => b'-',
        b'/' => b'_',
        other => other,
    })
}

/// Overwrites what reads so, each byte as it is or in its other form, and so many letters or digits before and behind it.
fn mask_form(form: &[u8], (before, behind): (usize, usize), text: &mut [u8], other: impl Fn(u8) -> u8) -> bool {
    let Some(&first) = form.first() else { return false };
    let is = |byte: u8, wanted: u8| byte == wanted || byte == other(wanted);
    let is_letter = |byte: &&mut u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
    let (mut found, mut at) = (false, 0);
    while let Some(ahead) = memchr2(first, other(first), &text[at..]) {
        at += ahead;
        let Some(written) = text.get(at..at + form.len()) else { break };
        if !written.iter().zip(form).all(|(byte, wanted)| is(*byte, *wanted)) {
            at += 1;
            continue;
        }
        text[at.saturating_sub(before)..at].iter_mut().filter(is_letter).for_each(|byte| *byte = b'*');
        text[at..at + form.len()].fill(b'*');
        at += form.len();
        text[at..].iter_mut().take(behind).filter(is_letter).for_each(|byte| *byte = b'*');
        found = true;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AIzaSy/not-a_real=key";

    fn masked(text: &str) -> String {
        let mut text = text.as_bytes().to_vec();
        let other = Secret::new("another-key-000000").unwrap();
        mask_spelled([&other, &Secret::new(KEY).unwrap()], &mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn however_it_is_spelled() {
        let each = |form: fn(char) -> String| KEY.chars().map(form).collect::<String>();
        for spelled in [
            KEY.to_owned(),
            KEY.to_uppercase(),
            KEY.to_lowercase(),
            each(|c| format!("\\u{:04x}", u32::from(c))),
            each(|c| format!("\\u{:04X}", u32::from(c))),
            each(|c| format!("%{:02x}", u32::from(c))),
            KEY.replace('-', "\\u002d").replace('_', "%5F").replace('/', "\\/"),
            each(|c| format!("&#{};", u32::from(c))),
            each(|c| format!("&#x{:X};", u32::from(c))),
            KEY.replace('-', "&#45;").replace('_', "&lowbar;").replace('/', "&#x2F;").replace('=', "&#x003d;"),
            "another-key-000000".to_owned(),
        ] {
            let expected = format!("A\\u00{}%4*", "*".repeat(spelled.len()));
            assert_eq!(masked(&format!("A\\u00{spelled}%4*")), expected, "{spelled}");
        }
    }

    #[test]
    fn what_is_no_key_stays() {
        for text in [
            "",
            "A",
            "AIzaSy/not-a_real=ke",
            "\\u0041Iza",
            "%",
            "%4",
            "\\",
            "\\u00",
            "\\u0041\\u",
            "AI&#122",
            "AI&#;",
            "AI&#x;aSy&",
            "AI&#99999999;",
            "AI&nothing;",
            "ÄIzaSy/not-a_real=kéy",
        ] {
            assert_eq!(masked(text), text);
        }
        assert!(!mask_spelled([&Secret::new("short").unwrap()], &mut b"short".to_vec()));
    }
}
