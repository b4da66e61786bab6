//! A block of lines, for pipes.

use std::{fmt::Write, time::Duration};

use super::{Course, KeyLine, LaneLine, Picture, Resting, Used};
use crate::telemetry::plain;

/// The picture as lines: all, then each model, then each key. Nothing in it steers a terminal.
pub fn block(picture: &Picture, course: &Course, moment: &str) -> String {
    let mut text = format!("{moment}  {}\n", plain(&picture.title));
    let _ = writeln!(text, "  {}", plain(&picture.totals(course.per_second())));
    for note in &picture.notes {
        let _ = writeln!(text, "  {}", plain(note));
    }
    for lane in &picture.lanes {
        let _ = writeln!(text, "  {}", plain(&of_lane(lane)));
    }
    for key in &picture.keys {
        let _ = writeln!(text, "  {}", plain(&of_key(key)));
    }
    text
}

/// `model flash: 3 keys ready, 2 in flight, 41 so far; used 9/10 requests/minute`.
fn of_lane(lane: &LaneLine) -> String {
    let mut line = format!("model {}:", lane.model);
    let counts = [(lane.available, "keys ready"), (lane.in_flight, "in flight"), (lane.waiting, "waiting")];
    for (n, what) in counts.into_iter().filter_map(|(n, what)| Some((n?, what))) {
        let _ = write!(line, " {n} {what},");
    }
    let _ = write!(line, " {} so far", lane.started);
    more(&mut line, "used", lane.used.iter().map(Used::text));
    more(&mut line, "rests", lane.rest.iter().map(|rest| rest.text(Duration::ZERO)));
    line
}

/// `key k-1f09 (free, project-a): partly, 2 in flight, 41 so far; used flash 9/10 requests/minute; rests 41 s: …`.
fn of_key(key: &KeyLine) -> String {
    let of: Vec<&str> = [&*key.tier, &*key.owner].into_iter().filter(|text| !text.is_empty()).collect();
    let of = if of.is_empty() { String::new() } else { format!(" ({})", of.join(", ")) };
    let flying = key.in_flight.map(|n| format!(", {n} in flight")).unwrap_or_default();
    let mut line = format!("key {}{of}: {}{flying}, {} so far", key.id, key.state, key.started);
    more(&mut line, "used", key.used.iter().map(Used::text));
    more(&mut line, "rests", key.rests.iter().map(|rest: &Resting| rest.text(Duration::ZERO)));
    line
}

fn more(line: &mut String, name: &str, parts: impl Iterator<Item = String>) {
    let parts: Vec<String> = parts.collect();
    if !parts.is_empty() {
        let _ = write!(line, "; {name} {}", parts.join(", "));
    }
}
