//! Text that is no UTF-8, as spreadsheets write it: what makes it so.

/// How UTF-16 begins.
const MARKS: [[u8; 2]; 2] = [[0xff, 0xfe], [0xfe, 0xff]];

/// How something is written down that is no UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf16,
    /// Of one byte a letter, as far as anybody knows.
    Other,
}

impl Encoding {
    /// By how it begins.
    pub(super) fn of(begin: &[u8]) -> Self {
        if MARKS.iter().any(|mark| begin.starts_with(mark)) { Self::Utf16 } else { Self::Other }
    }

    /// What is wrong with it, and what makes it right.
    pub(super) fn wrong(self) -> &'static str {
        match self {
            Self::Utf16 => "it is UTF-16 and no UTF-8 text (`iconv -f utf-16 -t utf-8` makes it so)",
            Self::Other => {
                "it is no UTF-8 text (`iconv -f windows-1252 -t utf-8` makes it so where a spreadsheet of Western Europe wrote \
                 it; Excel saves as \"CSV UTF-8\", too)"
            }
        }
    }
}
