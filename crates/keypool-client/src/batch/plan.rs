//! What the known limits allow, before a run and during it.

use std::{
    collections::BTreeMap,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tower_keypool::{KeyId, KeyLaneView, KeyPool, KeyState, KeyView, LimitView, Snapshot, Span, Unit};

use super::{
    forecast::{Forecast, Share},
    statistics::time,
};

/// What the known limits allow for the models that are asked.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Plan {
    /// Which model; how many, where tasks name several.
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
    /// Of each model, and how many tasks ask it.
    #[serde(skip)]
    parts: Vec<(Arc<str>, u64, Forecast)>,
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
        let back = lane.and_then(|lane| lane.ready_in).unwrap_or_default();
        // What the provider said of the day, whatever was counted.
        let is_out = back >= day_ends;
        let known = used.of(&key.id, snapshot.at);
        Self {
            per_minute: limit(Span::MINUTE).map(|view| view.limit.amount),
            free: limit(Span::MINUTE).map_or(0, |view| view.limit.amount.saturating_sub(view.used)),
            per_day: day.map(|view| view.limit.amount),
            left: day.filter(|_| !is_out).map_or(0, |view| view.limit.amount.saturating_sub(view.used.max(known))),
            back: back.as_secs_f64(),
            keys: 1,
        }
    }

    /// What all owners may carry of a model.
    fn all(snapshot: &Snapshot, model: &str, used: &UsedToday, day_ends: Duration) -> Vec<Self> {
        // Keys of one owner have its limits together.
        let mut shares: BTreeMap<(Option<&str>, Option<&KeyId>), Self> = BTreeMap::new();
        for key in snapshot.keys.iter().filter(|key| key.state != KeyState::Disabled) {
            let lane = key.lanes.iter().find(|lane| lane.model.as_deref() == Some(model));
            let share = Self::of(key, lane, used, snapshot, day_ends);
            let owner = key.owner.as_deref();
            let other = shares.entry((owner, owner.is_none().then_some(&key.id)));
            other
                .and_modify(|held| {
                    held.left = held.left.max(share.left);
                    held.free = held.free.max(share.free);
                    held.back = held.back.min(share.back);
                    held.keys += 1;
                })
                .or_insert(share);
        }
        shares.into_values().collect()
    }
}

impl Plan {
    /// The same of several models together, each asked by so many tasks.
    pub(crate) fn sum(of_models: Vec<(Self, u64)>) -> Self {
        let count = of_models.len();
        let mut plans = of_models.into_iter().map(|(mut plan, tasks)| {
            plan.parts.iter_mut().for_each(|part| part.1 = tasks);
            plan
        });
        let mut sum = plans.next().unwrap_or_default();
        let both = |a: Option<u64>, b: Option<u64>| Some(a?.saturating_add(b?));
        for plan in plans {
            sum.per_minute = both(sum.per_minute, plan.per_minute);
            sum.left_today = both(sum.left_today, plan.left_today);
            sum.per_day = both(sum.per_day, plan.per_day);
            sum.parts.extend(plan.parts);
        }
        if count > 1 {
            sum.model = format!("{count} models");
        }
        sum
    }

    /// Looks at the pool. `models`: the one that is asked, and those that may take its place. `slots`: what each key's slots
    /// allow a second, and all of them.
    pub(crate) fn of(pool: &KeyPool, models: &[Arc<str>], slots: Option<(f64, f64)>, used: &UsedToday) -> Self {
        for model in models {
            // The lane is there once somebody asked for it.
            let _ = pool.outlook(&**model);
        }
        let snapshot = pool.snapshot();
        let day_ends = snapshot.day_ends.duration_since(snapshot.at).unwrap_or_default();
        let model = models.first().map(|model| &**model).unwrap_or_default();
        let mut shares = Share::all(&snapshot, model, used, day_ends);
        let sum = |of: fn(&Share) -> Option<u64>| -> Option<u64> {
            (!shares.is_empty()).then(|| shares.iter().map(of).sum::<Option<u64>>()).flatten()
        };
        let (per_minute, per_day) = (sum(|share| share.per_minute), sum(|share| share.per_day));
        let left_today = per_day.map(|_| shares.iter().map(|share| share.left).sum());
        for other in models.iter().skip(1) {
            // What was used of it elsewhere is not known.
            shares.extend(Share::all(&snapshot, other, &UsedToday::default(), day_ends));
        }
        let (per_key, by_slots) = slots.unzip();
        Self {
            model: model.to_owned(),
            keys: snapshot.total_keys - snapshot.disabled_keys,
            per_minute,
            left_today,
            per_day,
            day_ends: day_ends.as_secs_f64(),
            slots_per_second: by_slots,
            parts: vec![(
                Arc::from(model),
                1,
                Forecast { shares, day_ends: day_ends.as_secs_f64(), per_key, by_slots, quiet: 0.0 },
            )],
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

    /// How long so many tasks take, each sent once, by what is known of each owner: when it comes back from a rest, its minute
    /// and its day. `pace`: good answers a second so far, while requests were under way, where that is less. `None` where nobody
    /// knows.
    pub fn expected(&self, tasks: u64, pace: Option<f64>) -> Option<Duration> {
        let all: u64 = self.parts.iter().map(|(_, tasks, _)| tasks).sum();
        // The models go side by side: the last one to end is what is waited for.
        let ends = self.parts.iter().filter(|(_, of_it, _)| *of_it > 0).filter_map(|(_, of_it, forecast)| {
            let part = *of_it as f64 / all as f64;
            let of_part = Forecast { by_slots: forecast.by_slots.map(|slots| slots * part), ..forecast.clone() };
            of_part.done_in((tasks as f64 * part).ceil() as u64, pace.map(|pace| pace * part))
        });
        ends.max()
    }

    /// Whether what is expected is no more than a bound: of some owner no limit is known, and no slot has a pace.
    fn is_bound(&self) -> bool {
        let mut forecasts = self.parts.iter().map(|(_, _, forecast)| forecast);
        forecasts.any(|forecast| forecast.by_slots.is_none() && forecast.shares.iter().any(Share::has_no_end))
    }

    /// Nothing has begun for so long.
    pub(crate) fn quiet(&mut self, since: Duration) {
        self.parts.iter_mut().for_each(|(_, _, forecast)| forecast.quiet = since.as_secs_f64());
    }

    /// So many tasks of each model are done.
    pub(crate) fn done(&mut self, models: &BTreeMap<String, u64>) {
        if self.parts.len() > 1 {
            for (model, tasks, _) in &mut self.parts {
                *tasks = tasks.saturating_sub(models.get(&**model).copied().unwrap_or_default());
            }
        }
    }

    /// The same while some of them are under way, which the limits have counted by now.
    pub(crate) fn expected_with(&self, tasks: u64, under_way: u64, pace: Option<f64>) -> Option<Duration> {
        let under_way = under_way.min(tasks);
        // Those come to their end as fast as others did while any was under way.
        let theirs = pace.map_or(0.0, |pace| under_way as f64 / pace.max(1e-9));
        let theirs = Duration::try_from_secs_f64(theirs).ok()?;
        match tasks - under_way {
            0 => Some(theirs).filter(|theirs| !theirs.is_zero()),
            rest => Some(self.expected(rest, pace)?.saturating_add(theirs)),
        }
    }

    /// The same for a person, with how many tasks there are.
    pub fn tell(&self, tasks: u64) -> String {
        let short = self.left_today.filter(|left| *left < tasks);
        let expected = match self.expected(tasks, None) {
            Some(time) => Some(self::time(time)),
            // The limits hold none of them up.
            None if self.per_minute.is_some() && short.is_none() => Some("as long as their answers take".to_owned()),
            None => None,
        };
        // Whoever has no known limit takes as long as the answers do, which nobody knows yet.
        let about = if self.is_bound() { "at least" } else { "about" };
        let expected = expected.map(|time| format!("; {tasks} tasks: {about} {time}"));
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
