//! How a run goes: a bar on a terminal, lines elsewhere. On standard error, since results may go to the other one.

use std::{
    io::{IsTerminal, Write},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use keypool_client::batch::{Plan, Statistics, Watch};

/// How often a bar is drawn.
const FRAME: Duration = Duration::from_millis(250);

/// What will be done, and how long that takes. `again`: what failed is tried again.
pub(super) fn begin(plan: &Plan, tasks: Option<u64>, (done, failed): (usize, usize), again: bool) {
    let kept = if again { done - failed } else { done };
    let left = tasks.map(|tasks| tasks.saturating_sub(kept as u64)).filter(|left| *left > 0);
    line(&left.map_or_else(|| plan.to_string(), |left| plan.tell(left)));
    if failed > 0 {
        let what = if again { "these are tried again" } else { "--retry-failed tries them again" };
        line(&format!("{done} done before, {failed} of them failed ({what})"));
    } else if done > 0 {
        line(&format!("{done} done before"));
    }
}

/// Shows how it goes until it is aborted.
pub(super) async fn show(watch: Watch, tasks: Option<u64>, interval: Duration) {
    let on_terminal = std::io::stderr().is_terminal();
    let bar = on_terminal.then(|| ProgressBar::with_draw_target(tasks, ProgressDrawTarget::stderr()));
    let (mut look, plain) = (None, !speaks_utf8(|name| std::env::var(name).ok()));
    let mut anew = Anew::each_minute(interval);
    loop {
        tokio::time::sleep(if on_terminal { FRAME } else { interval }).await;
        let now = watch.statistics();
        let waiting = waiting(&now);
        let Some(bar) = &bar else {
            line(&crate::telemetry::plain(&now.line()));
            // The line itself names the network.
            let waiting = waiting.filter(|_| now.unreachable.is_none());
            match waiting {
                Some(waiting) if anew.is_due() => line(&waiting),
                None if now.resting.is_empty() => anew.begin(),
                _ => {}
            }
            continue;
        };
        let new = Look::of(crossterm::terminal::size().ok().map(|(columns, _)| columns));
        if look.replace(new) != Some(new) {
            bar.set_style(new.style(plain));
        }
        bar.set_position(now.skipped + now.ok + now.failed);
        if tasks.is_none() {
            bar.set_length(now.tasks);
        }
        bar.set_message(waiting.unwrap_or_else(|| message(&now)));
    }
}

/// Says what lasts once, and anew each minute: by lines, which come at an interval.
struct Anew {
    lines: u32,
    left: u32,
}

impl Anew {
    fn each_minute(interval: Duration) -> Self {
        let lines = 60.0 / interval.as_secs_f64().max(1e-3);
        Self { lines: lines.ceil() as u32, left: 0 }
    }

    /// Whether this line says it.
    fn is_due(&mut self) -> bool {
        let due = self.left == 0;
        self.left = if due { self.lines } else { self.left } - 1;
        due
    }

    /// It is over: the next time it is said at once.
    fn begin(&mut self) {
        self.left = 0;
    }
}

/// How much of the bar there is room for: what it says goes before what it draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    Wide,
    Narrow,
    Bare,
}

impl Look {
    fn of(columns: Option<u16>) -> Self {
        match columns {
            Some(..70) => Self::Bare,
            Some(70..100) => Self::Narrow,
            _ => Self::Wide,
        }
    }

    /// `plain`: of signs that every terminal has.
    fn style(self, plain: bool) -> ProgressStyle {
        let template = match self {
            Self::Wide => "{bar:24} {pos}/{len} {percent}% {wide_msg}",
            Self::Narrow => "{bar:10} {pos}/{len} {wide_msg}",
            Self::Bare => "{pos}/{len} {wide_msg}",
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        if plain { style.progress_chars("=> ") } else { style }
    }
}

/// Whether the terminal shows more than ASCII, by what the environment says of it.
fn speaks_utf8(variable: impl Fn(&str) -> Option<String>) -> bool {
    let names = ["LC_ALL", "LC_CTYPE", "LANG"];
    let locale = names.into_iter().filter_map(variable).find(|locale| !locale.is_empty()).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

/// Whom the run waits for, where nothing is under way.
fn waiting(now: &Statistics) -> Option<String> {
    if let Some(network) = now.waits_for_network() {
        return Some(crate::telemetry::plain(&network));
    }
    let first = now.resting.first().filter(|_| now.active == 0)?;
    let until = first.seconds.map_or_else(|| "waits: ".to_owned(), |seconds| format!("waits {}: ", time(seconds)));
    Some(format!("{until}{}", crate::telemetry::plain(&first.why)))
}

fn message(now: &Statistics) -> String {
    let mut parts = vec![format!("{:.1}/s", now.per_second)];
    parts.extend(now.eta.map(|eta| format!("{} left", time(eta))));
    parts.push(format!("ok {} failed {}", now.ok, now.failed));
    parts.push(format!("active {}/{} queued {}", now.active, now.slots, now.queued));
    if now.paused > 0 || !now.resting.is_empty() {
        parts.push(format!("resting {}", now.paused.max(now.resting.len())));
    }
    parts.extend(now.today());
    parts.push(format!("{} tokens", short(now.input_tokens + now.output_tokens)));
    parts.extend(now.cost.filter(|cost| *cost > 0.0).map(|cost| format!("estimated ${cost:.2}")));
    parts.join(" | ")
}

/// `12.3k`.
fn short(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..10_000_000 => format!("{:.1}k", number as f64 / 1e3),
        _ => format!("{:.1}M", number as f64 / 1e6),
    }
}

/// `2 h 05 min`.
pub(in crate::cli) fn time(seconds: f64) -> String {
    let whole = seconds.ceil().max(0.0) as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {:02} s", whole / 60, whole % 60),
        3_600..86_400 => format!("{} h {:02} min", whole / 3_600, whole / 60 % 60),
        _ => format!("{} d {:02} h", whole / 86_400, whole / 3_600 % 24),
    }
}

/// A closed pipe is no error.
pub(super) fn line(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signs_are_those_that_the_locale_has() {
        let of = |all: &str, lang: &str| {
            let (all, lang) = (all.to_owned(), lang.to_owned());
            speaks_utf8(move |name| match name {
                "LC_ALL" => Some(all.clone()),
                "LANG" => Some(lang.clone()),
                _ => None,
            })
        };
        assert!(of("", "en_US.UTF-8") && of("C.utf8", "C") && !of("C", "en_US.UTF-8") && !of("", "") && !of("", "C"));
    }

    #[test]
    fn a_narrow_terminal_has_room_for_what_is_said() {
        let of = |columns| Look::of(Some(columns));
        assert_eq!(
            (of(40), of(69), of(70), of(99), of(100)),
            (Look::Bare, Look::Bare, Look::Narrow, Look::Narrow, Look::Wide)
        );
        assert_eq!(Look::of(None), Look::Wide);
    }

    #[test]
    fn what_lasts_is_said_each_minute() {
        let mut anew = Anew::each_minute(Duration::from_secs(2));
        let said: Vec<u32> = (0..100).filter(|_| anew.is_due()).collect();
        assert_eq!(said, [0, 30, 60, 90]);
        anew.begin();
        assert!(anew.is_due() && !anew.is_due());
        let mut anew = Anew::each_minute(Duration::from_secs(90));
        assert!((0..5).all(|_| anew.is_due()));
    }
}
