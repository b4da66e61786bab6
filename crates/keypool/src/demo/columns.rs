//! The table of keys, as wide as the terminal: where that is narrow the key's owner and tier are left out, and what is used is
//! cut rather than until when it rests.

use comfy_table::{ContentArrangement, Table, presets};

use super::table::Row;

/// Borders, the room beside each of five cells, and what parts them.
const FRAME: usize = 2 + 5 * 2 + 4;
/// So much of what is used stays.
const LEAST_USED: usize = 11;

/// The table, of lines no longer than `width` as far as that is possible.
pub(super) fn table(rows: &[Row], width: usize) -> Table {
    let whole = whole(rows);
    let is_as_wide = whole.lines().next().is_some_and(|line| line.chars().count() > width);
    if is_as_wide { narrow(rows, width) } else { whole }
}

fn whole(rows: &[Row]) -> Table {
    let mut table = framed(["key", "owner", "tier", "state", "in flight", "used/limit", "rests"]);
    for row in rows {
        let in_flight = row.in_flight.to_string();
        table.add_row([&row.id, &row.owner, &row.tier, &row.state, &in_flight, &row.used, &row.rests]);
    }
    table
}

fn narrow(rows: &[Row], width: usize) -> Table {
    const HEADS: [&str; 5] = ["key", "state", "now", "used/limit", "rests"];
    let widest = |head: &str, of: fn(&Row) -> &str| {
        rows.iter().map(of).chain([head]).map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let fixed = widest(HEADS[0], |row| &row.id) + widest(HEADS[1], |row| &row.state) + HEADS[2].len();
    let left = width.saturating_sub(FRAME + fixed);
    let rests = widest(HEADS[4], |row| &row.rests).min(left.saturating_sub(LEAST_USED));
    let used = left - rests;
    let mut table = framed(HEADS);
    for row in rows {
        let in_flight = row.in_flight.to_string();
        table.add_row([&*row.id, &row.state, &in_flight, &cut(&row.used, used), &cut(&row.rests, rests)]);
    }
    table
}

fn framed<const N: usize>(heads: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(heads);
    table
}

/// As much of a text as there is room for.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// A text's words in lines no longer than `width`, those behind the first set in. A word that is longer has a line of its own.
pub(super) fn wrapped(text: &str, width: usize) -> String {
    const INSET: &str = "     ";
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let (mut lines, mut long) = (String::new(), 0);
    for word in text.split_inclusive(' ') {
        let length = word.trim_end().chars().count();
        if long > INSET.len() && long + length > width {
            lines.truncate(lines.trim_end_matches(' ').len());
            lines.push('\n');
            lines.push_str(INSET);
            long = INSET.len();
        }
        lines.push_str(word);
        long += word.chars().count();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, used: &str, rests: &str) -> Row {
        let [id, owner, tier, state, used, rests] =
            [id, "project-1", "free", "disabled", used, rests].map(ToOwned::to_owned);
        Row { id, owner, tier, state, in_flight: 2, used, rests }
    }

    #[test]
    fn a_narrow_terminal_shows_until_when_it_rests() {
        let rows = [
            row("ada-1", "flash 10/10, embed 2/10", "requests/minute: flash 57 s"),
            row("cleo", "flash 6/6/day, flash-lite 5/6/day", "requests/day: flash 10 h 24 min, flash-lite 10 h 24 min"),
        ];
        for width in [72, 80, 110] {
            let drawn = table(&rows, width).to_string();
            assert!(drawn.lines().all(|line| line.chars().count() <= width), "{width}\n{drawn}");
            assert!(drawn.contains("requests/minute: flash 57 s"), "{width}\n{drawn}");
            assert!(drawn.contains("flash 10/1"), "{width}\n{drawn}");
            assert!(!drawn.contains("project-1"));
        }
        assert!(table(&rows, 160).to_string().contains("project-1"));
        let _ = table(&rows, 1);
    }

    #[test]
    fn words_go_on_in_another_line() {
        assert_eq!(wrapped("one two", 7), "one two");
        assert_eq!(wrapped(" 3 s  eve is disabled", 12), " 3 s  eve is\n     disabled");
        assert_eq!(wrapped("abcdefghijkl m", 8), "abcdefghijkl\n     m");
    }
}
