//! What the known limits allow, before a run and during it.

use std::{fmt, time::Duration};

use serde::Serialize;
use tower_keypool::{KeyPool, Span, Unit};

use super::statistics::time;

/// What the known limits allow for one model.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// Which model.
    pub model: String,
    /// Keys that may serve by and by.
    pub keys: usize,
    /// Requests a minute of all owners together; `None`: not known to be limited.
    pub per_minute: Option<u64>,
    /// Requests that are left today; `None`: not known to be limited.
    pub left_today: Option<u64>,
    /// Requests a day of all owners together.
    pub per_day: Option<u64>,
    /// When the day ends, from now, in seconds.
    pub day_ends: f64,
    /// Requests a second by slots, where there are such.
    pub slots_per_second: Option<f64>,
}

impl Plan {
    /// Looks at the pool.
    pub(crate) fn of(pool: &KeyPool, model: &str, slots_per_second: Option<f64>) -> Self {
        // The lane is there once somebody asked for it.
        let _ = pool.outlook(model);
        let snapshot = pool.snapshot();
        let lane = snapshot.lanes.iter().find(|lane| lane.model.as_deref() == Some(model));
        let limit = |span: Span| {
            let limits = lane.map(|lane| &*lane.limits).unwrap_or_default();
            limits.iter().find(|limit| limit.unit == Unit::Requests && limit.span == span)
        };
        let day = limit(Span::Day);
        Self {
            model: model.to_owned(),
            keys: snapshot.total_keys - snapshot.disabled_keys,
            per_minute: limit(Span::MINUTE).map(|limit| limit.amount),
            left_today: day.map(|limit| limit.amount.saturating_sub(limit.used)),
            per_day: day.map(|limit| limit.amount),
            day_ends: snapshot.day_ends.duration_since(snapshot.at).unwrap_or_default().as_secs_f64(),
            slots_per_second,
        }
    }

    /// Requests a second, as long as the day's last.
    pub fn per_second(&self) -> Option<f64> {
        let by_minute = self.per_minute.map(|minute| minute as f64 / 60.0);
        match (by_minute, self.slots_per_second) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// How long so many tasks take, each sent once, at this rate or the limits'; `None` where nobody knows.
    pub fn expected(&self, tasks: u64, measured: Option<f64>) -> Option<Duration> {
        let rate = measured.or(self.per_second()).filter(|rate| *rate > 0.0);
        let Some(left) = self.left_today.filter(|left| *left < tasks) else {
            return Duration::try_from_secs_f64(tasks as f64 / rate?).ok();
        };
        // Today's are used up before the day ends; then so many each day, as fast as the minute allows.
        let per_day = self.per_day.filter(|day| *day > 0)?;
        let behind = tasks - left;
        let (whole, rest) = ((behind - 1) / per_day, (behind - 1) % per_day + 1);
        let last = rate.map_or(0.0, |rate| rest as f64 / rate).min(86_400.0);
        Duration::try_from_secs_f64(self.day_ends + whole as f64 * 86_400.0 + last).ok()
    }

    /// The same for a person, with how many tasks there are.
    pub fn tell(&self, tasks: u64) -> String {
        let expected = self.expected(tasks, None).map(|time| format!("; {tasks} tasks: about {}", self::time(time)));
        let short = self.left_today.filter(|left| *left < tasks);
        let short = short.map(|left| format!(" ({left} of them before the day's quota is used up)"));
        format!("{self}{}{}", expected.unwrap_or_default(), short.unwrap_or_default())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} {}", self.model, self.keys, if self.keys == 1 { "key" } else { "keys" })?;
        if let Some(per_minute) = self.per_minute {
            write!(f, ", {per_minute} requests a minute")?;
        }
        if let (Some(left), Some(day)) = (self.left_today, self.per_day) {
            let ends = time(Duration::from_secs_f64(self.day_ends));
            write!(f, ", {left} of {day} left today (the day ends in {ends})")?;
        }
        if self.per_minute.is_none() && self.per_day.is_none() {
            write!(f, ", no limit known")?;
        }
        if let Some(slots) = self.slots_per_second {
            write!(f, ", {slots:.2} requests a second by slots")?;
        }
        Ok(())
    }
}
