//! How deep JSON may nest: whoever reads it by recursion must bear it, at the upstream, too.

use memchr::memchr2;

use crate::Fault;

/// Lists and objects inside of each other, at most.
pub(crate) const DEEPEST: usize = 128;

/// Looks over JSON that stands in a text, at `place`.
///
/// # Errors
/// 400 for what nests deeper.
pub(crate) fn check(json: &str, place: impl FnOnce() -> String) -> Result<(), Fault> {
    if is_bounded(json.as_bytes(), DEEPEST) {
        return Ok(());
    }
    let place = place();
    Err(Fault::invalid(format!("{place} nests deeper than {DEEPEST} lists and objects")).at(place))
}

/// Whether it nests no deeper than `most`. One pass, that jumps over texts: nearly all of a long request is one.
pub(crate) fn is_bounded(json: &[u8], most: usize) -> bool {
    let (mut depth, mut rest) = (0_usize, json);
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            b'{' | b'[' if depth == most => return false,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                rest = loop {
                    // What is not closed is no JSON, which others say.
                    let Some(at) = memchr2(b'"', b'\\', rest) else { return true };
                    let skipped = if rest[at] == b'"' { 1 } else { 2 };
                    rest = rest.get(at + skipped..).unwrap_or_default();
                    if skipped == 1 {
                        break rest;
                    }
                };
            }
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_bounded(json: &[u8]) -> bool {
        super::is_bounded(json, DEEPEST)
    }

    #[test]
    fn depth_is_counted_outside_of_texts() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_bounded(nested(DEEPEST).as_bytes()));
        assert!(!is_bounded(nested(DEEPEST + 1).as_bytes()));
        assert!(is_bounded(format!("[{}1]", "[],".repeat(500)).as_bytes()), "beside each other");
        assert!(is_bounded(format!(r#"["\"{}\\","{0}"]"#, "[".repeat(500)).as_bytes()));
        assert!(!is_bounded(format!(r#"["\\",{}]"#, nested(DEEPEST)).as_bytes()));
        for broken in [r#""\"#, r#"""#, "]]]", r#"{"a":"\u00"#] {
            assert!(is_bounded(broken.as_bytes()));
        }
    }
}
