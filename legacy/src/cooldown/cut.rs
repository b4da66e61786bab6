//! A whole answer that came to its end as any does, and says nothing, or lacks the rest of its JSON.

use super::balance::Balance;

/// What it lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    Everything,
    /// The end of its JSON.
    End,
}

/// What a body in these pieces lacks. What is no JSON has no other end.
pub(super) fn lack_of<'c>(pieces: impl IntoIterator<Item = &'c [u8]>) -> Option<Lack> {
    // A byte order mark may stand in front.
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || b"\xEF\xBB\xBF".contains(byte);
    let (mut value, mut begun) = (Balance::default(), false);
    for piece in pieces {
        let from = if begun { 0 } else { piece.iter().position(|byte| !is_space(byte)).unwrap_or(piece.len()) };
        match piece.get(from) {
            Some(b'{' | b'[') => begun = true,
            Some(_) if !begun => return None,
            _ => {}
        }
        if value.feed(&piece[from..]).is_some() {
            return None;
        }
    }
    Some(if begun { Lack::End } else { Lack::Everything })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_it_is_cut_up() {
        for (body, expected) in [
            ("", Some(Lack::Everything)),
            ("\u{feff} \r\n", Some(Lack::Everything)),
            ("{\"a\":[1,\"]}\"", Some(Lack::End)),
            ("\u{feff}[{}", Some(Lack::End)),
            ("\u{feff} {\"a\":[1,\"]}\"]}\n", None),
            ("[]", None),
            ("words {", None),
            ("1", None),
        ] {
            for size in [1, 2, 7, 100] {
                assert_eq!(lack_of(body.as_bytes().chunks(size)), expected, "{body} by {size}");
            }
        }
    }
}
