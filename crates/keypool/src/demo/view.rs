//! What is shown while the traffic runs.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use tower_keypool::{
    Events, KeyLaneView, KeyPool, KeyState, KeyView, LimitView, RestView, Scope, Snapshot, Span, Tick, Unit,
};

use super::{
    table::{Row, Screen},
    traffic::{Counts, Tally},
};
use crate::telemetry::{Told, spoken};

/// Between two drawings of the table.
const FRAME: Duration = Duration::from_millis(250);
/// Between two lines where there is no table.
const LINE: Duration = Duration::from_secs(2);
/// Every so many of these lines each key's state is told, too.
const LINES: u32 = 3;
/// Changes of keys shown below the table.
const CHANGES: usize = 6;

/// Shows a pool and what its client sees.
#[derive(Debug)]
pub(super) struct View<'a> {
    pool: &'a KeyPool,
    events: Events,
    told: Told,
    screen: Screen,
    length: Duration,
    began: Tick,
    changes: VecDeque<String>,
    /// Lines told where there is no table.
    lines: u32,
}

impl<'a> View<'a> {
    pub(super) fn new(pool: &'a KeyPool, plain: bool, length: Duration, url: &str) -> Self {
        let mut screen = Screen::new(plain);
        screen.line(&format!("ten keys behind {url}, mixed traffic for {} s; Ctrl-C ends it", length.as_secs()));
        Self {
            pool,
            events: pool.changes(),
            told: Told::default(),
            screen,
            length,
            began: pool.clock().tick(),
            changes: VecDeque::new(),
            lines: 0,
        }
    }

    /// Shows how things are, again and again; never ends by itself.
    pub(super) async fn follow(&mut self, ours: &Tally) {
        let mut frames = tokio::time::interval(if self.screen.is_live() { FRAME } else { LINE });
        loop {
            tokio::select! {
                _ = frames.tick() => self.show(&ours.counts(), false),
                Some(Ok(event)) = self.events.next() => {
                    if let Some(line) = self.told.line(&event, self.pool.clock().tick()) {
                        self.changed(&line);
                    }
                }
            }
        }
    }

    /// Shows how things ended.
    pub(super) fn last(&mut self, ours: &Tally) {
        self.show(&ours.counts(), true);
    }

    fn changed(&mut self, line: &str) {
        if self.screen.is_live() {
            if self.changes.len() == CHANGES {
                self.changes.pop_front();
            }
            self.changes.push_back(format!("{:>4}  {line}", self.seconds()));
        } else {
            let seconds = self.seconds();
            self.screen.line(&format!("{seconds:>4}  {line}"));
        }
    }

    /// `whole`: each key's state, too, where there is no table that shows it at any time.
    fn show(&mut self, counts: &Counts, whole: bool) {
        let snapshot = self.pool.snapshot();
        let headline = headline(&self.seconds(), self.length, counts, &snapshot);
        let mut rows = snapshot.keys.iter().map(row);
        if self.screen.is_live() {
            self.screen.draw(&headline, &rows.collect::<Vec<_>>(), self.changes.make_contiguous());
            return;
        }
        self.screen.line(&headline);
        self.lines += 1;
        if whole || self.lines.is_multiple_of(LINES) {
            rows.by_ref().for_each(|row| self.screen.line(&format!("        {}", row.line())));
        }
    }

    fn seconds(&self) -> String {
        format!("{} s", self.pool.clock().tick().since(self.began).as_secs())
    }
}

fn headline(seconds: &str, length: Duration, counts: &Counts, snapshot: &Snapshot) -> String {
    let bad: u64 = counts.bad.values().sum();
    format!(
        "{seconds:>4} of {} s: {} requests, {} answered 200, {bad} otherwise, {} in flight; {} keys available, {} resting, \
         {} disabled; {} upstream 429s",
        length.as_secs(),
        counts.sent,
        counts.good,
        counts.sent - counts.good - bad,
        snapshot.available_keys,
        snapshot.resting_keys,
        snapshot.disabled_keys,
        snapshot.keys.iter().map(|key| u64::from(key.limit_hits)).sum::<u64>(),
    )
}

fn row(key: &KeyView) -> Row {
    Row {
        id: key.id.to_string(),
        owner: key.owner.as_deref().unwrap_or("-").to_owned(),
        tier: key.tier.as_ref().map_or("-", |tier| tier.name()).to_owned(),
        state: match key.state {
            KeyState::Ready => "ready",
            KeyState::Partly => "partly",
            KeyState::Busy => "busy",
            KeyState::Resting => "resting",
            KeyState::Disabled => "disabled",
            _ => "-",
        }
        .to_owned(),
        in_flight: key.in_flight.into(),
        used: used(key),
        rests: rests(key),
    }
}

/// Requests of each model and its tightest limit: `flash 9/10, flash-lite 4/10`.
fn used(key: &KeyView) -> String {
    let lane = |lane: &KeyLaneView| {
        let model = short(lane.model.as_deref()?);
        let counted = |view: &&LimitView| view.limit.unit == Unit::Requests;
        let fullest = |view: &LimitView| (view.used * 1000).checked_div(view.limit.amount).unwrap_or(1000);
        let view = lane.limits.iter().filter(counted).filter(|view| view.used > 0).max_by_key(|view| fullest(view))?;
        let per = if view.limit.span == Span::Day { "/day" } else { "" };
        Some(format!("{model} {}/{}{per}", view.used, view.limit.amount))
    };
    key.lanes.iter().filter_map(lane).collect::<Vec<_>>().join(", ")
}

/// Why it is out, and until when.
fn rests(key: &KeyView) -> String {
    let whole = |rest: &&RestView| matches!(rest.scope, Scope::Key | Scope::Owner | Scope::BillingAccount);
    if let Some(rest) = key.rests.iter().find(whole) {
        let why = if rest.code.is_empty() { rest.kind.to_string() } else { rest.code.clone() };
        return rest.ends_in.map_or_else(|| why.clone(), |after| format!("{}: {why}", spoken(after)));
    }
    // Lanes that are out for the same reason stand together.
    let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for lane in &key.lanes {
        let (Some(model), Some(out)) = (lane.model.as_deref().map(short), lane.out.as_deref()) else { continue };
        let out = match out.trim_start_matches("at ") {
            // Its own words are for an error that stands alone.
            "a limit of the provider's" => "told by a 429",
            out => out,
        };
        let when = lane.ready_in.map(|after| format!(" {}", spoken(after))).unwrap_or_default();
        reasons.entry(out).or_default().push(format!("{model}{when}"));
    }
    reasons.iter().map(|(out, lanes)| format!("{out}: {}", lanes.join(", "))).collect::<Vec<_>>().join("; ")
}

/// A model's name without what all of them have.
fn short(model: &str) -> &str {
    match model.trim_start_matches("gemini-") {
        "embedding-001" => "embed",
        other => other.trim_start_matches("2.5-"),
    }
}

#[cfg(test)]
mod tests {
    use tower_keypool::{Affinity, Demand, Gemini, Key, Limits, ManualClock, Until, Verdict, VerdictKind};

    use super::*;

    /// What stands in a key's line: state, in flight, used and limit, until when it is out and why.
    #[test]
    fn what_is_drawn_of_each_key_is_what_the_pool_knows() {
        // Noon in Los Angeles.
        let time = ManualClock::at(std::time::UNIX_EPOCH + Duration::from_secs(1_781_550_000));
        let ids = ["idle", "serving", "full", "resting", "suspended"];
        let keys = ids.iter().enumerate().map(|(n, id)| {
            let key = Key::free(format!("AIza-not-a-real-key-000{n}")).id(*id).owner(format!("project-{n}"));
            key.limits("gemini-2.5-flash", Limits::new().per_minute(2).per_day(20))
        });
        let pool = KeyPool::builder(Gemini::new()).keys(keys).clock(time.clock()).build().unwrap();
        let take = |n: usize| {
            let demand = Demand::new("gemini-2.5-flash").affinity(Affinity::MustKey(ids[n].into()));
            pool.try_acquire(demand).expect("it is free")
        };
        let held = take(1);
        for _ in 0..2 {
            take(2).judge(&Verdict::SUCCESS);
        }
        let minute = Verdict::new(VerdictKind::RateLimited).scope(Scope::Owner).code("SLOW");
        take(3).judge(&minute.until(Until::For(Duration::from_secs(41))));
        take(4).judge(&Verdict::new(VerdictKind::Suspended).code("CONSUMER_SUSPENDED"));

        let rows: Vec<Row> = pool.snapshot().keys.iter().map(row).collect();
        let of = |n: usize| {
            let row = &rows[n];
            assert_eq!(
                (row.id.as_str(), row.tier.as_str(), row.owner.as_str()),
                (ids[n], "free", &*format!("project-{n}"))
            );
            (row.state.as_str(), row.in_flight, row.used.as_str(), row.rests.as_str())
        };
        assert_eq!(of(0), ("ready", 0, "", ""));
        assert_eq!(of(1), ("ready", 1, "flash 1/2", ""));
        assert_eq!(of(2), ("resting", 0, "flash 2/2", "requests/minute: flash 61 s"));
        assert_eq!(of(3), ("resting", 0, "flash 1/2", "41 s: SLOW"));
        assert_eq!(of(4), ("disabled", 0, "flash 1/2", "CONSUMER_SUSPENDED"));

        // Time passes: the countdown goes on, and what is over is no longer shown.
        time.advance(Duration::from_secs(30));
        let rows: Vec<Row> = pool.snapshot().keys.iter().map(row).collect();
        assert_eq!(rows[3].rests, "11 s: SLOW");
        time.advance(Duration::from_secs(60));
        let rows: Vec<Row> = pool.snapshot().keys.iter().map(row).collect();
        assert_eq!((rows[2].state.as_str(), rows[2].rests.as_str()), ("ready", ""));
        assert_eq!(rows[2].used, "flash 2/20/day");
        assert_eq!(rows[4].state, "disabled");
        drop(held);
    }
}
