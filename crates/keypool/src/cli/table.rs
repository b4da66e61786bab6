//! Tables on a terminal or in a pipe. What stands in a cell may come from anybody, and is escaped.

use std::fmt;

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Table, Width, presets};

use crate::telemetry::plain;

/// A word that is longer than this may be broken: somebody's sentence, or a path.
const LONGEST_WORD: usize = 24;
/// What a column has beside its content: a blank on either side.
const PADDING: usize = 2;

/// Rows under names of columns.
pub(super) struct Columns {
    names: Vec<&'static str>,
    rows: Vec<Vec<String>>,
    yielding: Vec<&'static str>,
}

impl Columns {
    pub(super) fn new<const N: usize>(names: [&'static str; N]) -> Self {
        Self { names: names.to_vec(), rows: Vec::new(), yielding: Vec::new() }
    }

    /// These are left out, in this order, on a terminal on which words would have to be broken.
    pub(super) fn yielding<const N: usize>(self, names: [&'static str; N]) -> Self {
        Self { yielding: names.to_vec(), ..self }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into_iter().map(|text| plain(&text)).collect());
    }

    /// The longest word of each column.
    fn words(&self) -> Vec<usize> {
        let of = |text: &str| text.split_whitespace().map(|word| word.chars().count()).max().unwrap_or(0);
        let cells = |n: usize| self.rows.iter().map(move |row| of(&row[n]));
        let columns = self.names.iter().enumerate();
        columns.map(|(n, name)| cells(n).chain([of(name)]).max().unwrap_or(0).min(LONGEST_WORD)).collect()
    }
}

impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows.is_empty() {
            return f.write_str("there is none");
        }
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
        let (words, room) = (self.words(), table.width().map(usize::from));
        let mut shown: Vec<usize> = (0..self.names.len()).collect();
        let fits = |shown: &[usize]| {
            // A border on either side, and a blank between two columns.
            let taken: usize = shown.iter().map(|n| words[*n] + PADDING + 1).sum();
            room.is_none_or(|room| taken < room)
        };
        let mut left_out = Vec::new();
        for name in &self.yielding {
            if !fits(&shown) {
                shown.retain(|n| self.names[*n] != *name);
                left_out.push(*name);
            }
        }
        table.set_header(shown.iter().map(|n| self.names[*n]));
        for row in &self.rows {
            table.add_row(shown.iter().map(|n| Cell::new(&row[*n])));
        }
        if room.is_some() && fits(&shown) {
            for (column, n) in table.column_iter_mut().zip(&shown) {
                let least = u16::try_from(words[*n] + PADDING).unwrap_or(u16::MAX);
                column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
            }
        }
        table.fmt(f)?;
        if left_out.is_empty() {
            return Ok(());
        }
        write!(f, "\n(no room for: {}; a wider terminal or --json has them)", left_out.join(", "))
    }
}

/// A moment of Unix milliseconds, in UTC.
pub(super) fn moment(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .map_or_else(|_| String::new(), |moment| moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// The same, where there is one.
pub(super) fn moment_if(ms: Option<i64>) -> String {
    ms.map_or_else(|| "-".to_owned(), moment)
}
