//! Tables on a terminal or in a pipe. What stands in a cell may come from anybody, and is escaped.

use std::fmt;

use comfy_table::{Cell, ContentArrangement, Table, presets};

use crate::telemetry::plain;

/// Rows under names of columns.
pub(super) struct Columns {
    table: Table,
    rows: usize,
}

impl Columns {
    pub(super) fn new<const N: usize>(names: [&str; N]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(names);
        Self { table, rows: 0 }
    }

    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows += 1;
        self.table.add_row(cells.map(|text| Cell::new(plain(&text))));
    }
}

impl fmt::Display for Columns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rows == 0 { f.write_str("there is none") } else { self.table.fmt(f) }
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
