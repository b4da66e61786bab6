//! The picture on a whole screen.

use std::time::Duration;

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::{Line, Span},
    widgets::{Block, Borders, Cell, Paragraph, Row, Sparkline, Table},
};

use super::{Course, KeyLine, LaneLine, Picture, Tone, Used};
use crate::telemetry::plain;

/// What a screen shows.
#[derive(Debug)]
pub struct Shown<'a> {
    /// The last picture, if there is one.
    pub picture: Option<&'a Picture>,
    /// What came before.
    pub course: &'a Course,
    /// How old the picture is.
    pub age: Duration,
    /// Why there is no newer one.
    pub fault: Option<&'a str>,
    /// Keys above the first one shown.
    pub scrolled: usize,
    /// From picture to picture.
    pub interval: Duration,
}

/// Of a key's row, for its course.
const BARS: usize = 16;

/// Draws it. Nothing of what others wrote acts on the terminal: it is escaped before.
pub fn draw(frame: &mut Frame<'_>, shown: &Shown<'_>) {
    let area = frame.area();
    let Some(picture) = shown.picture else {
        let text = shown.fault.map_or_else(|| "looking …".to_owned(), plain);
        frame.render_widget(Paragraph::new(text), area);
        return;
    };
    let notes = u16::try_from(picture.notes.len() + usize::from(shown.fault.is_some())).unwrap_or(u16::MAX);
    let lanes = u16::try_from(picture.lanes.len()).unwrap_or(u16::MAX).saturating_add(2);
    // On a small screen keys come first.
    let lanes = if picture.lanes.is_empty() { 0 } else { lanes.min(area.height / 3) };
    let bars = if area.height >= 16 { 4 } else { 0 };
    let [head, said, course, models, keys, foot] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(notes),
        Constraint::Length(bars),
        Constraint::Length(lanes),
        Constraint::Min(3),
        Constraint::Length(1),
    ])
    .areas(area);
    let totals = plain(&picture.totals(shown.course.per_second()));
    let title = Span::styled(plain(&picture.title), Style::new().add_modifier(Modifier::BOLD));
    frame.render_widget(Paragraph::new(vec![Line::from(title), Line::from(totals)]), head);
    let fault = shown.fault.map(|fault| {
        let text = format!("as it was {} ago: {}", super::picture::clock(shown.age), plain(fault));
        Line::styled(text, Style::new().fg(Color::Red))
    });
    let said_lines = picture.notes.iter().map(|note| Line::styled(plain(note), Style::new().fg(Color::DarkGray)));
    frame.render_widget(Paragraph::new(said_lines.chain(fault).collect::<Vec<_>>()), said);
    if bars > 0 {
        let steps = shown.course.total(usize::from(course.width));
        let title = format!(" requests in {} s ", shown.interval.as_secs_f64());
        let block = Block::new().borders(Borders::TOP).title(title);
        frame.render_widget(Sparkline::default().block(block).data(steps), course);
    }
    if lanes > 0 {
        frame.render_widget(models_table(&picture.lanes, shown.age), models);
    }
    keys_table(frame, keys, picture, shown);
    let help = format!("q ends   ↑ ↓ scroll   every {} s", shown.interval.as_secs_f64());
    frame.render_widget(Paragraph::new(help).style(Style::new().fg(Color::DarkGray)), foot);
}

fn models_table(lanes: &[LaneLine], age: Duration) -> Table<'static> {
    let row = |lane: &LaneLine| {
        Row::new([
            plain(&lane.model),
            number(lane.available),
            number(lane.in_flight),
            number(lane.waiting),
            lane.started.to_string(),
            plain(&joined(&lane.used)),
            plain(&lane.rest.as_ref().map(|rest| rest.text(age)).unwrap_or_default()),
        ])
    };
    let widths = [
        Constraint::Min(18),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(5),
        Constraint::Length(8),
        Constraint::Fill(3),
        Constraint::Fill(2),
    ];
    let names = ["model", "ready", "flying", "waits", "so far", "used/limit", "rests"];
    Table::new(lanes.iter().map(row), widths).header(header(names)).block(Block::new().borders(Borders::TOP))
}

fn keys_table(frame: &mut Frame<'_>, area: Rect, picture: &Picture, shown: &Shown<'_>) {
    // A line above, and the names of columns.
    let room = usize::from(area.height.saturating_sub(2));
    let first = shown.scrolled.min(picture.keys.len().saturating_sub(room));
    let row = |key: &KeyLine| {
        let rests: Vec<String> = key.rests.iter().map(|rest| rest.text(shown.age)).collect();
        let style = Style::new().fg(match key.tone {
            Tone::Good => Color::Green,
            Tone::Partly => Color::Yellow,
            Tone::Resting => Color::Blue,
            Tone::Bad => Color::Red,
        });
        Row::new([
            Cell::new(plain(&key.id)),
            Cell::new(key.state.clone()).style(style),
            Cell::new(number(key.in_flight)),
            Cell::new(key.started.to_string()),
            Cell::new(shown.course.bars(&key.id, BARS)),
            Cell::new(plain(&joined(&key.used))),
            Cell::new(plain(&rests.join(", "))),
        ])
    };
    let widths = [
        Constraint::Min(12),
        Constraint::Length(13),
        Constraint::Length(6),
        Constraint::Length(8),
        Constraint::Length(BARS as u16),
        Constraint::Fill(3),
        Constraint::Fill(3),
    ];
    let title = match picture.keys.len() {
        all if all > room => format!(" keys {} to {} of {all} ", first + 1, (first + room).min(all)),
        _ => String::new(),
    };
    let rows = picture.keys.iter().skip(first).take(room).map(row);
    let names = ["key", "state", "flying", "so far", "course", "used/limit", "rests"];
    let table = Table::new(rows, widths).header(header(names));
    frame.render_widget(table.block(Block::new().borders(Borders::TOP).title(title)), area);
}

fn header(names: [&'static str; 7]) -> Row<'static> {
    Row::new(names).style(Style::new().add_modifier(Modifier::BOLD))
}

fn number(n: Option<u64>) -> String {
    n.map_or_else(|| "-".to_owned(), |n| n.to_string())
}

fn joined(used: &[Used]) -> String {
    used.iter().map(Used::text).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::{super::Resting, *};

    fn picture() -> Picture {
        let resting =
            Resting { model: Some("flash".into()), why: "SLOW".into(), ends_in: Some(Duration::from_secs(41)) };
        let used = Used { model: String::new(), limit: "requests/minute".into(), used: 9, amount: 10 };
        let key = |id: &str, state: &str, tone| KeyLine {
            id: id.into(),
            state: state.into(),
            tone,
            in_flight: Some(2),
            started: 40,
            used: vec![Used { model: "flash".into(), ..used.clone() }],
            ..KeyLine::default()
        };
        Picture {
            title: "keypool 0.1.0 at http://127.0.0.1:5000, up 3 min 00 s".into(),
            keys: vec![
                key("k-1", "ready", Tone::Good),
                KeyLine { rests: vec![resting], ..key("k-2", "partly", Tone::Partly) },
                key("evil\x1b[2J\u{202e}\nname", "disabled", Tone::Bad),
            ],
            lanes: vec![LaneLine { model: "flash".into(), started: 80, used: vec![used], ..LaneLine::default() }],
            started: 80,
            in_flight: Some(4),
            ..Picture::default()
        }
    }

    fn lines(width: u16, height: u16, shown: &Shown<'_>) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, shown)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>().trim_end().to_owned();
        (0..height).map(line).collect()
    }

    fn shown<'a>(picture: &'a Picture, course: &'a Course) -> Shown<'a> {
        let second = Duration::from_secs(1);
        Shown { picture: Some(picture), course, age: second, fault: None, scrolled: 0, interval: 2 * second }
    }

    #[test]
    fn keys_lanes_rests_and_rates_stand_on_the_screen() {
        let (picture, mut course) = (picture(), Course::default());
        course.note(&Picture { started: 60, ..picture.clone() }, Duration::ZERO);
        course.note(&picture, Duration::from_secs(2));
        let lines = lines(140, 24, &shown(&picture, &course));
        assert!(lines[0].starts_with("keypool 0.1.0 at http://127.0.0.1:5000"), "{lines:#?}");
        assert_eq!(lines[1], "3 keys: 1 ready, 1 partly, 1 disabled | in flight 4 | 10.0/s | 80 so far");
        let of = |word: &str| lines.iter().find(|line| line.starts_with(word)).unwrap_or_else(|| panic!("{lines:#?}"));
        assert!(of("flash").contains("9/10 requests/minute"), "{lines:#?}");
        assert!(of("k-1").contains("ready") && of("k-1").contains("flash 9/10"), "{lines:#?}");
        assert!(of("k-2").contains("40 s: flash: SLOW"), "a second has passed: {lines:#?}");
        assert!(of("evil").contains("\\u{1b}"), "{lines:#?}");
        assert!(!lines.concat().contains(['\x1b', '\u{202e}']));
        assert!(lines[23].starts_with("q ends"));
    }

    #[test]
    fn a_small_screen_shows_keys_and_scrolls() {
        let (mut picture, course) = (picture(), Course::default());
        let one = picture.keys[0].clone();
        picture.keys = (0..50).map(|n| KeyLine { id: format!("k-{n:02}"), ..one.clone() }).collect();
        let all = Shown { scrolled: 30, fault: Some("nobody listens"), ..shown(&picture, &course) };
        let lines = lines(80, 12, &all);
        assert!(lines.iter().any(|line| line.starts_with("k-30")), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("of 50")), "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("1 s ago: nobody listens")), "{lines:#?}");
        // Not beyond the end, and no panic where there is no room at all.
        let beyond = Shown { scrolled: 1_000, ..shown(&picture, &course) };
        assert!(super::tests::lines(80, 24, &beyond).iter().any(|line| line.starts_with("k-49")));
        for (width, height) in [(1, 1), (5, 2), (20, 4)] {
            super::tests::lines(width, height, &beyond);
        }
    }
}
