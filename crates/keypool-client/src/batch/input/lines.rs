//! A task a line.

use std::io::{self, BufRead, Read};

use super::{InputError, Place, Take, encoding::Encoding};
use crate::batch::task::Task;

/// A longer line is no prompt of anybody.
const LONGEST: u64 = 64 << 20;

/// A prompt a line.
pub(super) fn text(source: impl BufRead, take: Take<'_>) {
    each(source, |line, text| match text {
        Ok(text) if text.trim().is_empty() => true,
        text => take(text.map(|text| (line, Place::Line(line + 1), Task::prompt(text)))),
    });
}

/// A JSON text or object a line.
pub(super) fn json(source: impl BufRead, take: Take<'_>) {
    each(source, |line, text| {
        let place = Place::Line(line + 1);
        match text.map(str::trim) {
            Ok("") => true,
            Ok(text) => take(
                Task::from_json(text).map(|task| (line, place, task)).map_err(|wrong| InputError::at(place, wrong)),
            ),
            Err(error) => take(Err(error)),
        }
    });
}

/// Lines from 0, without their ends; what is none is one error.
fn each(mut source: impl BufRead, mut take: impl FnMut(u64, Result<&str, InputError>) -> bool) {
    let (mut bytes, mut encoding) = (Vec::new(), None);
    for line in 0.. {
        let place = Place::Line(line + 1);
        let go_on = match next(&mut source, &mut bytes) {
            Ok(None) => return,
            Ok(Some(true)) => {
                let text = std::str::from_utf8(&bytes).map_err(|_| {
                    // What it begins with tells of all of it.
                    let encoding = *encoding.get_or_insert_with(|| Encoding::of(&bytes));
                    InputError::at(place, encoding.wrong())
                });
                take(line, text.map(|text| if line == 0 { text.trim_start_matches('\u{feff}') } else { text }))
            }
            Ok(Some(false)) => {
                let what = format_args!("it is longer than {} MiB", LONGEST >> 20);
                take(line, Err(InputError::at(place, what)))
            }
            Err(error) => {
                take(line, Err(InputError::fatal(place, error)));
                return;
            }
        };
        if !go_on {
            return;
        }
    }
}

/// Reads a line without its end; `false`: it is too long, and passed over.
fn next(source: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<Option<bool>> {
    bytes.clear();
    if source.by_ref().take(LONGEST).read_until(b'\n', bytes)? == 0 {
        return Ok(None);
    }
    if bytes.len() as u64 == LONGEST && bytes.last() != Some(&b'\n') {
        *bytes = Vec::new();
        return source.skip_until(b'\n').map(|_| Some(false));
    }
    while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        bytes.pop();
    }
    Ok(Some(true))
}
