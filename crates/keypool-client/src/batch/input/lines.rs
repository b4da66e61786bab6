//! A task a line.

use std::io::BufRead;

use super::{InputError, Take};
use crate::batch::task::Task;

/// A longer line is no prompt of anybody.
const LONGEST: u64 = 64 << 20;

/// A prompt a line.
pub(super) fn text(source: impl BufRead, take: Take<'_>) {
    each(source, |line, text| {
        (!text.trim().is_empty()).then(|| Ok((line, line + 1, Task::prompt(text)))).is_none_or(&mut *take)
    });
}

/// A JSON text or object a line.
pub(super) fn json(source: impl BufRead, take: Take<'_>) {
    each(source, |line, text| {
        let text = text.trim();
        if text.is_empty() {
            return true;
        }
        take(Task::from_json(text).map(|task| (line, line + 1, task)).map_err(|error| InputError::at(line + 1, error)))
    });
}

/// Lines from 0, without their ends. What is not UTF-8 is read as far as it can be.
fn each(mut source: impl BufRead, mut take: impl FnMut(u64, &str) -> bool) {
    let mut bytes = Vec::new();
    for line in 0.. {
        bytes.clear();
        match std::io::Read::take(&mut source, LONGEST).read_until(b'\n', &mut bytes) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        while bytes.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
            bytes.pop();
        }
        let text = String::from_utf8_lossy(&bytes);
        let text = if line == 0 { text.trim_start_matches('\u{feff}') } else { &*text };
        if !take(line, text) {
            return;
        }
    }
}
