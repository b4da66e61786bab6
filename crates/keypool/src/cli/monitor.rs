//! `keypool monitor`

use std::{
    io::IsTerminal,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;
use crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    style::{Color, Modifier, Style},
    text::Line,
    widgets::{Cell, Paragraph, Row, Table},
};
use serde_json::Value;

use super::{
    block_on,
    gateway_client::{Admin, GatewayClient},
    key_rows::SHORT,
    opened::{Opened, Source},
    output::{Json, count, plain, print, print_error, wrong},
    serve::EndSignals,
};
use crate::{
    config::{HumanDuration, Inputs},
    key_row::{KeyRow, KeyState},
};

const EXIT_CODES: &str = "Exit codes: 0 ended by q, Ctrl-C or SIGTERM, 1 the gateway does not answer or the database cannot be used, 2 the command line or the configuration is wrong.";

/// Watch the state of all keys: how much of each limit is used, and how long each cooldown lasts.
///
/// With --admin, shows the keys of a running gateway; otherwise those of the database.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Monitor {
    /// Print lines instead of a full-screen table; always the case in a pipe
    #[arg(long)]
    plain: bool,
    /// The time between two updates: seconds, or 500ms, 2s
    #[arg(long, value_name = "TIME", default_value = "1s")]
    interval: HumanDuration,
    /// Stop after this number of updates
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
    #[command(flatten)]
    output: Json,
    #[command(flatten)]
    admin: Admin,
    #[command(flatten)]
    source: Source,
}

/// Maximum time until a signal is noticed.
const MAX_POLL: Duration = Duration::from_millis(200);

/// The source of views.
enum Watched {
    Gateway(Box<GatewayClient>),
    Database(Box<Opened>),
}

/// The state of all keys at one time.
struct View {
    title: String,
    rows: Vec<KeyRow>,
}

impl Watched {
    async fn view(&self) -> anyhow::Result<View> {
        Ok(match self {
            Self::Gateway(client) => {
                let snapshot = client.get("/-/admin/snapshot?limit=1000").await?;
                View { title: format!("gateway {}", client.base), rows: of_gateway(snapshot)? }
            }
            Self::Database(opened) => {
                let title = match &opened.stores.sqlite {
                    Some(database) => format!("database {}", database.path().display()),
                    None => "no database".to_owned(),
                };
                View { title, rows: super::keys::rows(&opened.again().await?).await? }
            }
        })
    }
}

/// Returns the keys of a gateway's snapshot, which has a list of pools.
fn of_gateway(mut snapshot: Value) -> anyhow::Result<Vec<KeyRow>> {
    let Value::Array(pools) = snapshot["pools"].take() else {
        anyhow::bail!("the response has no pools: check that --admin is the admin address of a gateway");
    };
    let rows = pools.into_iter().map(|mut pool| serde_json::from_value(pool["keys"].take()));
    let rows: Vec<Vec<KeyRow>> =
        rows.collect::<Result<_, _>>().context("cannot read the gateway's snapshot: another version?")?;
    Ok(rows.into_iter().flatten().collect())
}

impl Monitor {
    pub(super) fn run(self, mut inputs: Inputs) -> anyhow::Result<ExitCode> {
        let interval = self.interval.0;
        if interval < Duration::from_millis(100) {
            return Err(wrong("--interval: expected a time of at least 100ms, such as 2s"));
        }
        self.admin.set(&mut inputs);
        self.source.set(&mut inputs);
        let is_plain = self.plain || self.output.json || !std::io::stdout().is_terminal();
        let views = self.count.unwrap_or(u64::MAX);
        block_on(Some(2), async {
            let mut signals = EndSignals::catch()?;
            let watching = async {
                let watched = if self.admin.is_named() {
                    Watched::Gateway(Box::new(GatewayClient::new(&self.admin, &inputs.load()?)?))
                } else {
                    Watched::Database(Box::new(Opened::read(&inputs).await?))
                };
                if is_plain {
                    lines(&watched, interval, views, self.output.json).await
                } else {
                    screen(&watched, interval, views).await
                }
            };
            tokio::select! {
                biased;
                () = signals.next() => Ok(()),
                watching = watching => watching,
            }
        })?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Prints one line per key and view, or one JSON object per view.
async fn lines(watched: &Watched, interval: Duration, views: u64, json: bool) -> anyhow::Result<()> {
    for n in 0..views {
        if print_error().is_some() {
            break;
        }
        if n > 0 {
            tokio::time::sleep(interval).await;
        }
        let view = watched.view().await?;
        if json {
            let keys: Vec<_> = view.rows.iter().map(KeyRow::json).collect();
            print(serde_json::json!({ "of": view.title, "keys": keys }));
            continue;
        }
        print(format_args!("{}: {}", view.title, totals(&view.rows)));
        for row in &view.rows {
            print(plain(&line(row)));
        }
    }
    Ok(())
}

/// Formats a key as one line.
pub(super) fn line(row: &KeyRow) -> String {
    let parts = [row.why(SHORT), row.used()].into_iter().filter(|part| !part.is_empty());
    [format!("{} {}", row.id, row.state.as_str())].into_iter().chain(parts).collect::<Vec<_>>().join(" | ")
}

pub(super) fn totals(rows: &[KeyRow]) -> String {
    let states = [KeyState::Usable, KeyState::Partly, KeyState::HalfOpen, KeyState::Cooling, KeyState::Disabled];
    let of = |state: KeyState| rows.iter().filter(|row| row.state == state).count();
    let parts =
        states.into_iter().filter(|state| of(*state) > 0).map(|state| format!("{} {}", of(state), state.as_str()));
    let all = count(rows.len(), "key");
    [all].into_iter().chain(parts).collect::<Vec<_>>().join(", ")
}

/// A full-screen terminal, which is restored when dropped.
struct Screen(ratatui::DefaultTerminal);

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Shows the keys until the user quits.
async fn screen(watched: &Watched, interval: Duration, views: u64) -> anyhow::Result<()> {
    let mut view = watched.view().await?;
    let mut screen = Screen(ratatui::try_init()?);
    let (mut offset, mut fault) = (0_usize, None);
    for _ in 0..views {
        let until = Instant::now() + interval;
        loop {
            screen.0.draw(|frame| draw(frame, &view, offset, fault.as_deref()))?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            // Blocks only this worker thread; the other one keeps the pools up to date.
            if !tokio::task::block_in_place(|| event::poll(left.min(MAX_POLL)))? {
                tokio::task::yield_now().await;
                continue;
            }
            let Event::Key(key) = event::read()? else { continue };
            let last = view.rows.len().saturating_sub(1);
            match key.code {
                KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(()),
                KeyCode::Down => offset = (offset + 1).min(last),
                KeyCode::PageDown => offset = (offset + 10).min(last),
                KeyCode::Up => offset = offset.saturating_sub(1),
                KeyCode::PageUp => offset = offset.saturating_sub(10),
                _ => {}
            }
        }
        match watched.view().await {
            Ok(next) => (view, fault) = (next, None),
            Err(error) => fault = Some(format!("{error:#}")),
        }
    }
    Ok(())
}

fn draw(frame: &mut Frame<'_>, view: &View, offset: usize, fault: Option<&str>) {
    let [head, keys, foot] =
        Layout::vertical([Constraint::Length(2), Constraint::Min(1), Constraint::Length(1)]).areas(frame.area());
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let title = Line::styled(plain(&view.title), bold);
    frame.render_widget(Paragraph::new(vec![title, Line::from(totals(&view.rows))]), head);
    frame.render_widget(table(&view.rows, offset), keys);
    let foot_text = match fault {
        Some(fault) => Line::styled(plain(fault), Style::new().fg(Color::Red)),
        None => Line::styled("q: quit, ↑ ↓: scroll", Style::new().fg(Color::DarkGray)),
    };
    frame.render_widget(Paragraph::new(foot_text), foot);
}

/// Returns the table of keys. At 80 columns, the usage and the time left are visible.
pub(super) fn table(rows: &[KeyRow], offset: usize) -> Table<'static> {
    let row = |row: &KeyRow| {
        let colour = match row.state {
            KeyState::Usable => Color::Green,
            KeyState::Partly | KeyState::HalfOpen => Color::Yellow,
            KeyState::Cooling => Color::Blue,
            KeyState::Disabled => Color::Red,
        };
        Row::new([
            Cell::new(plain(&row.id)),
            Cell::new(row.state.as_str()).style(Style::new().fg(colour)),
            Cell::new(plain(&row.used())),
            Cell::new(plain(&row.why(SHORT))),
        ])
    };
    let widest = rows.iter().map(|row| row.id.chars().count()).max().unwrap_or(0).clamp(3, 16);
    let widths = [Constraint::Length(widest as u16), Constraint::Length(9), Constraint::Min(22), Constraint::Fill(1)];
    let names = Row::new(["key", "state", "used/limit", "time left, why"]);
    Table::new(rows.iter().skip(offset).map(row), widths).header(names.style(Style::new().add_modifier(Modifier::BOLD)))
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};
    use serde_json::json;

    use super::*;

    fn pool(name: &str) -> Value {
        json!({ "name": name, "keys": [{ "id": "key-of-a-long-name", "provider": name, "state": "partly", "limits": [
            { "model": "gemini-2.5-flash", "unit": "requests", "span": "day", "limit": 250, "used": 250, "source": "given",
              "opens_in_seconds": 7_260 }] }] })
    }

    #[test]
    fn usage_and_time_left_are_visible_at_80_columns() {
        let rows = of_gateway(json!({ "pools": [pool("gemini")] })).expect("a pool");
        let view = View { title: "gateway".to_owned(), rows };
        let mut terminal = Terminal::new(TestBackend::new(80, 10)).expect("a terminal");
        terminal.draw(|frame| draw(frame, &view, 0, None)).expect("it is drawn");
        let buffer = terminal.backend().buffer().clone();
        let line: String = (0..80).map(|x| buffer[(x, 3)].symbol().to_owned()).collect();
        assert!(line.contains("2.5-flash 250/250/day"), "{line}");
        assert!(line.contains("2 h 01 min"), "{line}");
    }

    #[test]
    fn a_snapshot_can_have_several_pools() {
        let rows = of_gateway(json!({ "pools": [pool("gemini"), pool("other")] })).expect("two pools");
        assert_eq!(rows.iter().map(|row| &*row.provider).collect::<Vec<_>>(), ["gemini", "other"]);
    }
}
