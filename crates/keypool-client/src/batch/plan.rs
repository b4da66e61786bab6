//! What the known limits allow, before a run and during it.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tower_keypool::{KeyId, KeyLaneView, KeyPool, KeyState, KeyView, LimitView, Snapshot, Span, Unit};

use super::statistics::time;

/// What the known limits allow for one model.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// Which model.
    pub model: String,
    /// Keys that may serve by and by.
    pub keys: usize,
    /// Requests a minute of all their owners together; `None`: some owner's are not known to be limited.
    pub per_minute: Option<u64>,
    /// Requests that are left today; `None`: some owner's are not known to be limited. An owner whom the provider turned
    /// away for the day has none.
    pub left_today: Option<u64>,
    /// Requests a day of all their owners together; `None` as with `left_today`.
    pub per_day: Option<u64>,
    /// When the day ends, from now, in seconds.
    pub day_ends: f64,
    /// Requests a second by slots, where there are such.
    pub slots_per_second: Option<f64>,
}

/// Requests of a day that owners have used, by key, where the pool cannot know of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct UsedToday {
    by_key: BTreeMap<KeyId, u64>,
    /// The end of that day.
    until: Option<SystemTime>,
}

impl UsedToday {
    pub(crate) fn new(pool: &KeyPool, used: impl IntoIterator<Item = (KeyId, u64)>) -> Self {
        Self { by_key: used.into_iter().collect(), until: Some(pool.snapshot().day_ends) }
    }

    /// That of a key's owner, as long as the day lasts.
    fn of(&self, key: &KeyId, now: SystemTime) -> u64 {
        let used = self.by_key.get(key).filter(|_| self.until.is_some_and(|until| now < until));
        used.copied().unwrap_or_default()
    }
}

/// What one owner's limits allow.
#[derive(Clone, Copy, Default)]
struct Share {
    per_minute: Option<u64>,
    per_day: Option<u64>,
    left: u64,
}

impl Share {
    /// As one of the owner's keys shows it.
    fn of(
        key: &KeyView,
        lane: Option<&KeyLaneView>,
        used: &UsedToday,
        snapshot: &Snapshot,
        day_ends: Duration,
    ) -> Self {
        let limit = |span: Span| -> Option<&LimitView> {
            let of_requests = |view: &&LimitView| view.limit.unit == Unit::Requests && view.limit.span == span;
            lane?.limits.iter().find(of_requests)
        };
        let day = limit(Span::Day);
        // What the provider said of the day, whatever was counted.
        let is_out = lane.and_then(|lane| lane.ready_in).is_some_and(|ready| ready >= day_ends);
        let known = used.of(&key.id, snapshot.at);
        Self {
            per_minute: limit(Span::MINUTE).map(|view| view.limit.amount),
            per_day: day.map(|view| view.limit.amount),
            left: day.filter(|_| !is_out).map_or(0, |view| view.limit.amount.saturating_sub(view.used.max(known))),
        }
    }
}

impl Plan {
    /// Looks at the pool.
    pub(crate) fn of(pool: &KeyPool, model: &str, slots_per_second: Option<f64>, used: &UsedToday) -> Self {
        // The lane is there once somebody asked for it.
        let _ = pool.outlook(model);
        let snapshot = pool.snapshot();
        let day_ends = snapshot.day_ends.duration_since(snapshot.at).unwrap_or_default();
        // Keys of one owner have its limits together.
        let mut shares: BTreeMap<(Option<&str>, Option<&KeyId>), Share> = BTreeMap::new();
        for key in snapshot.keys.iter().filter(|key| key.state != KeyState::Disabled) {
            let lane = key.lanes.iter().find(|lane| lane.model.as_deref() == Some(model));
            let share = Share::of(key, lane, used, &snapshot, day_ends);
            let owner = key.owner.as_deref();
            let held = shares.entry((owner, owner.is_none().then_some(&key.id))).or_insert(share);
            held.left = held.left.max(share.left);
        }
        let sum = |of: fn(&Share) -> Option<u64>| -> Option<u64> {
            (!shares.is_empty()).then(|| shares.values().map(of).sum::<Option<u64>>()).flatten()
        };
        let per_day = sum(|share| share.per_day);
        Self {
            model: model.to_owned(),
            keys: snapshot.total_keys - snapshot.disabled_keys,
            per_minute: sum(|share| share.per_minute),
            left_today: per_day.map(|_| shares.values().map(|share| share.left).sum()),
            per_day,
            day_ends: day_ends.as_secs_f64(),
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
