//! The body that is read, by where things stand in it.

use memchr::memchr2;

use crate::segments::LARGE;

/// It.
#[derive(Clone, Copy)]
pub(super) struct Body<'de>(pub(super) &'de str);

impl<'de> Body<'de> {
    /// Where the value stands whose name this is; `None` where the name is no piece of this body.
    pub(super) fn behind(self, name: &'de str) -> Option<usize> {
        let start = (name.as_ptr() as usize).checked_sub(self.0.as_ptr() as usize)?;
        let quote = start.checked_add(name.len()).filter(|at| self.first(*at) == Some(b'"'))?;
        let colon = self.behind_blanks(quote + 1);
        (self.first(colon) == Some(b':')).then(|| self.behind_blanks(colon + 1))
    }

    /// Where the next thing stands.
    pub(super) fn behind_blanks(self, at: usize) -> usize {
        let rest = self.0.as_bytes().get(at..).unwrap_or_default();
        at + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\t' | b'\r')).count()
    }

    /// What a thing begins with.
    pub(super) fn first(self, at: usize) -> Option<u8> {
        self.0.as_bytes().get(at).copied()
    }

    /// What the string says that begins here, where it is worth a look ahead and stands there as it is: no escapes in it,
    /// and nothing that would have to be one.
    pub(super) fn long_text(self, at: usize) -> Option<&'de str> {
        let rest = self.0.get(at + 1..).filter(|rest| rest.len() > LARGE)?;
        let end = memchr2(b'"', b'\\', rest.as_bytes()).filter(|end| *end >= LARGE)?;
        let (text, rest) = rest.split_at(end);
        // Each step is one for all bytes of it at once.
        let shown = |bytes: &[u8]| bytes.iter().fold(u8::MAX, |least, byte| least.min(*byte)) >= b' ';
        (rest.starts_with('"') && text.as_bytes().chunks(1 << 10).all(shown)).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_behind_its_name() {
        let body = Body("{ \"a\" :\n\t\"x\",\"b\":[1]}");
        assert_eq!(body.behind_blanks(0), 0);
        for (name, value) in [("a", "\"x\""), ("b", "[1]")] {
            let start = body.0.find(&format!("\"{name}\"")).unwrap() + 1;
            let at = body.behind(&body.0[start..=start]).unwrap();
            assert!(body.0[at..].starts_with(value), "{name}");
        }
        assert_eq!((body.behind("a"), body.first(body.0.len())), (None, None));
        let value = &body.0[body.0.find('x').unwrap()..];
        assert_eq!((body.behind(&value[..1]), body.behind(&value[..2])), (None, None), "no names");
    }

    #[test]
    fn a_long_text_needs_no_escape() {
        let long = "x".repeat(LARGE);
        let seen = |said: &str| Body(&format!("\"{said}\", 1")).long_text(0).map(str::len);
        assert_eq!(seen(&long), Some(LARGE));
        assert_eq!(seen(&format!("{long}\u{e9}")), Some(LARGE + 2));
        assert_eq!(seen(&long[1..]), None, "not long enough");
        for wrong in ["\\n", "\n", "\0", "\u{1f}"] {
            assert_eq!((seen(&format!("{long}{wrong}")), seen(&format!("{wrong}{long}"))), (None, None), "{wrong:?}");
        }
        assert_eq!(Body(&format!("\"{long}")).long_text(0), None, "it has no end");
        assert_eq!(Body("").long_text(0), None);
    }
}
