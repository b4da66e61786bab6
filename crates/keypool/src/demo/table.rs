//! The live view: a table that is drawn over itself on a terminal, a plain line now and then elsewhere.

use std::{
    fmt::Write as _,
    io::{IsTerminal, Write},
};

use super::columns::{table, wrapped};

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

impl Row {
    /// The same as a line: `k-1f09 (free, project-1): resting, 2 in flight; flash 9/10; out: 41 s: …`.
    pub(super) fn line(&self) -> String {
        let mut line =
            format!("{} ({}, {}): {}, {} in flight", self.id, self.tier, self.owner, self.state, self.in_flight);
        for (name, what) in [("used", &self.used), ("out", &self.rests)] {
            if !what.is_empty() {
                let _ = write!(line, "; {name} {what}");
            }
        }
        line
    }
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
        let (width, height) = screen();
        // A line that the terminal wraps would take two.
        let body: Vec<String> = fitting(&picture(headline, rows, below, width), width, height);
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

/// All that is drawn at once.
fn picture(headline: &str, rows: &[Row], below: &[String], width: usize) -> String {
    let mut body = format!("{}\n{}\n", wrapped(headline, width), table(rows, width));
    for line in below {
        body.push_str(&wrapped(line, width));
        body.push('\n');
    }
    body
}

/// How wide the screen is, and how high; plenty where it does not say.
fn screen() -> (usize, usize) {
    let size = crossterm::terminal::size().ok().filter(|(width, lines)| *width > 0 && *lines > 0);
    size.map_or((160, 200), |(width, lines)| (width.into(), lines.into()))
}

/// What of a text can be drawn over again: nothing that has scrolled away can, and the cursor needs a line, too.
fn fitting(text: &str, width: usize, height: usize) -> Vec<String> {
    text.lines().take(height.saturating_sub(1).max(1)).map(|line| line.chars().take(width).collect()).collect()
}

/// Prints text. A closed pipe is no reason to stop.
pub(super) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::{Row, fitting, picture};

    fn row(id: &str, state: &str, in_flight: u64, used: &str, rests: &str) -> Row {
        let [id, owner, tier, state, used, rests] =
            [id, "project-1", "free", state, used, rests].map(ToOwned::to_owned);
        Row { id, owner, tier, state, in_flight, used, rests }
    }

    #[test]
    fn a_line_of_the_table_is_a_key() {
        let rows = [
            row("k-1", "partly", 2, "flash 9/10", "requests/minute: flash 41 s"),
            row("k-2", "disabled", 0, "", "CONSUMER_SUSPENDED"),
        ];
        let below = ["  7 s  k-2 disabled: CONSUMER_SUSPENDED".to_owned()];
        let drawn = picture("7 s of 20 s", &rows, &below, 160);
        let words = |line: &str| -> Vec<String> {
            line.split("  ")
                .map(|word| word.trim_matches(['│', ' ', '┆']))
                .filter(|word| !word.is_empty())
                .map(str::to_owned)
                .collect()
        };
        let lines: Vec<Vec<String>> = drawn.lines().map(words).collect();
        assert_eq!(lines[0], ["7 s of 20 s"]);
        assert_eq!(lines[2], ["key", "owner", "tier", "state", "in flight", "used/limit", "rests"]);
        let of = |id: &str| lines.iter().find(|line| line.first().is_some_and(|first| first == id)).expect("its line");
        let partly = ["k-1", "project-1", "free", "partly", "2", "flash 9/10", "requests/minute: flash 41 s"];
        assert_eq!(of("k-1"), &partly);
        assert_eq!(of("k-2"), &["k-2", "project-1", "free", "disabled", "0", "CONSUMER_SUSPENDED"]);
        assert_eq!(drawn.lines().last(), Some(below[0].as_str()));
    }

    #[test]
    fn a_key_is_told_in_a_line_where_there_is_no_table() {
        let full = row("k-1", "partly", 2, "flash 9/10", "requests/minute: flash 41 s");
        assert_eq!(
            full.line(),
            "k-1 (free, project-1): partly, 2 in flight; used flash 9/10; out requests/minute: flash 41 s"
        );
        assert_eq!(row("k-2", "ready", 0, "", "").line(), "k-2 (free, project-1): ready, 0 in flight");
    }

    #[test]
    fn no_more_is_drawn_than_the_screen_holds() {
        assert_eq!(fitting("one\ntwo\nthree\n", 2, 3), ["on", "tw"]);
        assert_eq!(fitting("one\ntwo", 80, 24), ["one", "two"]);
        assert_eq!(fitting("one\ntwo", 80, 0), ["one"]);
    }
}
