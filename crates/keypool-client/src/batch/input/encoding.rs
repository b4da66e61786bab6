//! Text that is no UTF-8, as spreadsheets write it: what makes it so.

/// How UTF-16 begins.
const MARKS: [[u8; 2]; 2] = [[0xff, 0xfe], [0xfe, 0xff]];

/// How something is written down that is no UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf16,
    /// The same without its mark, the lower byte of a letter first, or the higher one.
    Utf16Le,
    Utf16Be,
    /// Of one byte a letter, as far as anybody knows.
    Other,
}

impl Encoding {
    /// By how it begins.
    pub(super) fn of(begin: &[u8]) -> Self {
        match begin {
            begin if MARKS.iter().any(|mark| begin.starts_with(mark)) => Self::Utf16,
            // No text begins with a NUL in one of its first two bytes.
            [0, ..] => Self::Utf16Be,
            [_, 0, ..] => Self::Utf16Le,
            _ => Self::Other,
        }
    }

    /// What is wrong with all of a text that begins so: its letters may look like some of UTF-8.
    pub(super) fn of_none(begin: &[u8]) -> Option<&'static str> {
        Some(Self::of(begin)).filter(|encoding| *encoding != Self::Other).map(Self::wrong)
    }

    /// What is wrong with it, and what makes it right.
    pub(super) fn wrong(self) -> &'static str {
        match self {
            Self::Utf16 => "it is UTF-16 and no UTF-8 text (`iconv -f utf-16 -t utf-8` makes it so)",
            Self::Utf16Le => "it is UTF-16 and no UTF-8 text (`iconv -f utf-16le -t utf-8` makes it so)",
            Self::Utf16Be => "it is UTF-16 and no UTF-8 text (`iconv -f utf-16be -t utf-8` makes it so)",
            Self::Other => {
                "it is no UTF-8 text (`iconv -f windows-1252 -t utf-8` makes it so where a spreadsheet of Western Europe wrote \
                 it; Excel saves as \"CSV UTF-8\", too)"
            }
        }
    }
}
