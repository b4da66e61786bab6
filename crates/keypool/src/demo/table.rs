//! The live view: a table that is drawn over itself on a terminal, a plain line now and then elsewhere.

use std::{
    fmt::Write as _,
    io::{IsTerminal, Write},
};

use comfy_table::{Cell, ContentArrangement, Table, presets};

/// One key as the table shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) owner: String,
    pub(super) tier: String,
    pub(super) state: String,
    pub(super) in_flight: u64,
    /// Of each lane that was used: `9/10 flash`.
    pub(super) used: String,
    /// `41 s: requests/minute`
    pub(super) rests: String,
}

/// Where the demo draws.
#[derive(Debug)]
pub(super) struct Screen {
    live: bool,
    drawn: usize,
}

impl Screen {
    /// A table on a terminal, lines elsewhere.
    pub(super) fn new(plain: bool) -> Self {
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { live: !plain && !dumb && std::io::stdout().is_terminal(), drawn: 0 }
    }

    /// Whether it draws over itself.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// Draws the table with a line above it and lines below it. A closed pipe is no reason to stop.
    pub(super) fn draw(&mut self, headline: &str, rows: &[Row], below: &[String]) {
        let mut text = String::new();
        if self.drawn > 0 {
            // Up over what was drawn, and clear from there.
            let _ = write!(text, "\x1b[{}A\x1b[J", self.drawn);
        }
        let table = table(rows);
        let width = table.width().map_or(160, usize::from);
        let mut body = format!("{headline}\n{table}\n");
        for line in below {
            body.push_str(line);
            body.push('\n');
        }
        // A line that wraps would take two.
        let body: Vec<String> = fitting(&body, width, screen_height());
        self.drawn = body.len();
        text.push_str(&body.join("\n"));
        text.push('\n');
        say(&text);
    }

    /// Says a line for good.
    pub(super) fn line(&mut self, line: &str) {
        self.drawn = 0;
        say(&format!("{line}\n"));
    }
}

/// Lines of the screen; plenty where it does not say.
fn screen_height() -> usize {
    crossterm::terminal::size().map_or(200, |(_, lines)| usize::from(lines))
}

/// What of a text can be drawn over again: nothing that has scrolled away can, and the cursor needs a line, too.
fn fitting(text: &str, width: usize, height: usize) -> Vec<String> {
    text.lines().take(height.saturating_sub(1).max(1)).map(|line| line.chars().take(width).collect()).collect()
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["key", "owner", "tier", "state", "in flight", "used/limit", "rests"]);
    for row in rows {
        table.add_row([
            Cell::new(&row.id),
            Cell::new(&row.owner),
            Cell::new(&row.tier),
            Cell::new(&row.state),
            Cell::new(row.in_flight),
            Cell::new(&row.used),
            Cell::new(&row.rests),
        ]);
    }
    table
}

/// Prints text. A closed pipe is no reason to stop.
pub(super) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::fitting;

    #[test]
    fn no_more_is_drawn_than_the_screen_holds() {
        assert_eq!(fitting("one\ntwo\nthree\n", 2, 3), ["on", "tw"]);
        assert_eq!(fitting("one\ntwo", 80, 24), ["one", "two"]);
        assert_eq!(fitting("one\ntwo", 80, 0), ["one"]);
    }
}
