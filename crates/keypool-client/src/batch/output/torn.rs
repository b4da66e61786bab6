//! What a crash leaves at the end of a file of results, told from what somebody else wrote: only the former may be cut off.

use serde::de::IgnoredAny;

/// Whether a last line without its end is one of ours that was not written to its end. `behind_ours`: other results stand
/// before it.
pub(super) fn is_torn(line: &[u8], behind_ours: bool) -> bool {
    // After a power cut some file systems have zeros where nothing was written any more.
    let zeros = line.iter().rev().take_while(|byte| **byte == 0).count();
    let line = &line[..line.len() - zeros];
    if line.is_empty() {
        return behind_ours;
    }
    // A number that ends in its point is called wrong there, and not early.
    let in_number = matches!(line.last(), Some(b'.' | b'-' | b'+' | b'e' | b'E'));
    let is_cut = |error: serde_json::Error| error.is_eof() || (in_number && error.column() >= line.len());
    serde_json::from_slice::<IgnoredAny>(line).is_err_and(is_cut) && matches!(begin(line), Ok(()) | Err(Other::Ended))
}

/// Why a line is not the begin of a result to its last letter.
enum Other {
    /// It ends before; so far it is.
    Ended,
    /// It is something else.
    Differs,
}

/// `{"id":…,"index":…,"success":`
fn begin(line: &[u8]) -> Result<(), Other> {
    let rest = literal(line, b"{\"id\":")?;
    let rest = if rest.first() == Some(&b'"') { text(&rest[1..])? } else { number(rest)? };
    let rest = digits(literal(rest, b",\"index\":")?)?;
    literal(rest, b",\"success\":").map(drop)
}

fn literal<'a>(line: &'a [u8], word: &[u8]) -> Result<&'a [u8], Other> {
    match line.strip_prefix(word) {
        Some(rest) => Ok(rest),
        None if word.starts_with(line) => Err(Other::Ended),
        None => Err(Other::Differs),
    }
}

fn digits(line: &[u8]) -> Result<&[u8], Other> {
    match line.iter().position(|byte| !byte.is_ascii_digit()) {
        Some(0) => Err(Other::Differs),
        Some(end) => Ok(&line[end..]),
        None => Err(Other::Ended),
    }
}

/// What is behind a number, as JSON has them: `-5`, `1.50`, `1e5`.
fn number(line: &[u8]) -> Result<&[u8], Other> {
    let rest = digits(line.strip_prefix(b"-").unwrap_or(line))?;
    let rest = match rest.strip_prefix(b".") {
        Some(rest) => digits(rest)?,
        None => rest,
    };
    match rest {
        [b'e' | b'E', b'+' | b'-', rest @ ..] | [b'e' | b'E', rest @ ..] => digits(rest),
        _ => Ok(rest),
    }
}

/// What is behind a text.
fn text(line: &[u8]) -> Result<&[u8], Other> {
    let mut escaped = false;
    for (at, byte) in line.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Ok(&line[at + 1..]),
            _ => {}
        }
    }
    Err(Other::Ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_begin_of_a_result_is_torn_and_nothing_else_is() {
        for id in ["17", "-5", "-0", "1.50", "1e5", "-2.5E-7", "\"q\\\"1\\u00e9\""] {
            let line =
                format!("{{\"id\":{id},\"index\":12,\"success\":true,\"text\":\"caf\u{e9} \\n{{\",\"seconds\":0.1}}");
            for cut in 1..line.len() {
                assert!(is_torn(&line.as_bytes()[..cut], false), "{}", &line[..line.floor_char_boundary(cut)]);
            }
            assert!(!is_torn(line.as_bytes(), false), "that one is whole");
            assert!(is_torn(&[&line.as_bytes()[..9], b"\0\0\0"].concat(), false));
        }
        for other in [
            "my very important notes",
            "17",
            "\"a prompt",
            "{\"id\": 1",
            "{\"id\":1,\"prompt\":\"x",
            "{\"id\":\"q\",\"index\":\"1",
            "{\"id\":,",
            "{\"id\":1-2",
            "{\"id\":-5,\"prompt\":",
            "{\"id\":1,\"index\":2,\"success\":x",
            "[{\"id\":1",
        ] {
            assert!(!is_torn(other.as_bytes(), true), "{other}");
        }
        assert!(is_torn(b"\0\0", true) && !is_torn(b"\0\0", false));
    }
}
