//! Output of commands: JSON for programs, tables and sentences for people.

use std::{
    fmt,
    io::{self, Write as _},
    sync::OnceLock,
    time::Duration,
};

use clap::Args;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};
pub(super) use keypool_batch::time_left as left;
use serde::Serialize;

/// `--json`
#[derive(Args, Clone, Copy)]
pub(super) struct Json {
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// The command line, the configuration or the input is wrong: exit code 2.
#[derive(Debug)]
pub(super) struct Wrong(String);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Wrong {}

pub(super) fn wrong(message: impl Into<String>) -> anyhow::Error {
    Wrong(message.into()).into()
}

/// The first error of standard output.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Prints a line.
pub(super) fn print(text: impl fmt::Display) {
    write(format!("{text}\n").as_bytes());
}

/// Writes to standard output. An error ends the program with exit code 1: see [`print_error`].
pub(super) fn write(bytes: &[u8]) {
    let mut out = io::stdout().lock();
    if let Err(error) = out.write_all(bytes).and_then(|()| out.flush()) {
        let _ = FAILED.set(error);
    }
}

/// Returns the first error of standard output.
pub(super) fn print_error() -> Option<&'static io::Error> {
    FAILED.get()
}

/// Returns a name as a word of a shell command.
pub(super) fn quoted(name: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || "-_.".contains(letter);
    if name.chars().all(is_plain) { name.to_owned() } else { format!("'{}'", name.replace('\'', "'\\''")) }
}

pub(super) fn print_json(value: &impl Serialize) {
    print(serde_json::to_string_pretty(value).unwrap_or_default());
}

/// Prints a message for people on standard error. Keys that were pasted by mistake are not shown.
pub(super) fn warn(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "keypool: {}", without_keys(&text.to_string()));
}

/// Replaces words that look like a provider's key.
pub(super) fn without_keys(text: &str) -> String {
    let is_end = |c: char| c.is_whitespace() || "/\\:,;\"'`()".contains(c);
    let parts = text.split_inclusive(is_end).map(|part| {
        let word = part.trim_end_matches(is_end);
        let is_key = word.len() >= 20 && ["AIza", "AQ.", "sk-", "ya29."].iter().any(|start| word.starts_with(start));
        if is_key { format!("***{}", &part[word.len()..]) } else { part.to_owned() }
    });
    parts.collect()
}

/// Formats a table as wide as the terminal. Only the last column is wrapped. If the others are too wide, each row is a
/// paragraph instead, so that ids can be copied.
pub(super) fn table<const N: usize>(names: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    in_width(names, rows, Table::new().width())
}

fn in_width<const N: usize>(
    names: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
    width: Option<u16>,
) -> String {
    let rows: Vec<[String; N]> = rows.into_iter().map(|row| row.map(|cell| plain(&cell))).collect();
    let widest = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([names[column].len()]).max().unwrap_or(0)
    };
    // Each column has a space on both sides, and the table two borders.
    let least = (0..N).map(|column| if column == N - 1 { widest(column).min(24) } else { widest(column) } + 2);
    if width.is_some_and(|width| usize::from(width) < least.sum::<usize>() + 2) {
        let paragraphs = rows.iter().map(|row| {
            let cells = names.iter().zip(row).skip(1).filter(|(_, cell)| !matches!(&***cell, "" | "-"));
            let lines = cells.map(|(name, cell)| format!("\n  {name}: {cell}"));
            std::iter::once(row[0].clone()).chain(lines).collect::<String>()
        });
        return paragraphs.collect::<Vec<_>>().join("\n");
    }
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(names).add_rows(rows);
    if let Some(width) = width {
        table.set_width(width);
    }
    for column in table.column_iter_mut().take(N - 1) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    table.to_string()
}

/// Replaces control characters with spaces, so that foreign text cannot control the terminal.
pub(super) fn plain(text: &str) -> String {
    let is_safe = |c: &char| !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if is_safe(&c) { c } else { ' ' }).collect()
}

/// Shortens a text to a maximum number of characters.
pub(super) fn short(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    text.chars().take(max.saturating_sub(1)).chain(['…']).collect()
}

/// Formats a number of things: `1 key`, `2 keys`.
pub(super) fn count(number: usize, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Returns seconds, rounded to milliseconds.
pub(super) fn rounded_seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1_000.0).round() / 1_000.0
}

/// Formats a time in UTC.
pub(super) fn moment(ms: i64) -> String {
    let moment = jiff::Timestamp::from_millisecond(ms);
    moment.map_or_else(|_| String::new(), |moment| moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_not_broken_in_narrow_terminals() {
        let id = "k-0123456789abcdef";
        let why = "RESOURCE_EXHAUSTED: quota exceeded for this project, try again tomorrow or add a key";
        let row = || [id.to_owned(), "keys.txt:1".to_owned(), "cooling".to_owned(), why.to_owned()];
        for width in [None, Some(120), Some(80), Some(40)] {
            let text = in_width(["key", "listed at", "state", "why"], [row(), row()], width);
            assert_eq!(text.matches(id).count(), 2, "{text}");
            let is_table = text.contains('│');
            assert_eq!(is_table, width != Some(40), "{text}");
            let fits = |line: &str| width.is_none_or(|width| line.chars().count() <= width.into());
            assert!(!is_table || text.lines().all(fits), "{text}");
        }
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\u{202e}c\n"), "a [2Jb c ");
    }
}
