//! A world that remembers every start, and plays random schedules against a plan.

use proptest::prelude::*;

use super::{GUARD, at, empty};
use crate::limit::{
    Correction, Limit, Limits, Need, Plan, Span, Stamp, Unit,
    need::{Full, Opens},
};

/// A request that was granted a place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Granted {
    pub(super) need: Need,
    /// When it started, in nanoseconds; provisional until then.
    pub(super) started: Option<(u64, Stamp)>,
}

impl Granted {
    /// What was provisional is told as if it began now.
    pub(super) fn began(&mut self, now: &crate::limit::At) {
        self.started.get_or_insert((now.tick.nanos(), Stamp { tick: now.tick, days: now.day.days }));
    }
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) log: Vec<u16>,
    pub(super) granted: Vec<Granted>,
    /// The latest moment that the log was told.
    pub(super) latest: u64,
}

/// One step of a schedule. Times are in millionths of the longest span; `who` picks among the granted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Wait(u64),
    Ask { need: Need, late: u64 },
    Start { who: usize, late: u64 },
    StartAgain { who: usize },
    GiveBack { who: usize },
    Correct { who: usize, actual: u64 },
}

impl World {
    pub(super) fn new(limits: &Limits) -> Self {
        let (plan, log) = empty(limits);
        Self { plan, log, granted: Vec::new(), latest: 0 }
    }

    fn limits(&self) -> impl Iterator<Item = &Limit> {
        self.plan.windows().iter().map(|window| &window.limit)
    }

    fn tell(&mut self, nanos: u64) -> u64 {
        self.latest = self.latest.max(nanos);
        self.latest
    }

    pub(super) fn ask(&mut self, need: Need, nanos: u64) -> Result<(), Full> {
        self.tell(nanos);
        self.plan.room(&mut self.log, &need, &at(nanos))?;
        self.plan.reserve(&mut self.log, &need);
        self.granted.push(Granted { need, started: None });
        Ok(())
    }

    /// Who comes late, having read the clock before others did, starts when the log was last seen.
    pub(super) fn start(&mut self, who: usize, nanos: u64) {
        self.tell(nanos);
        let granted = &mut self.granted[who];
        let stamp = match granted.started {
            None => self.plan.stamp(&mut self.log, &granted.need, &at(nanos)),
            Some((_, stamp)) => self.plan.restamp(&mut self.log, &granted.need, stamp, &at(nanos)),
        };
        assert!(stamp.tick.nanos() <= self.latest);
        granted.started = Some((nanos.max(stamp.tick.nanos()), stamp));
    }

    pub(super) fn give_back(&mut self, who: usize, nanos: u64) {
        self.tell(nanos);
        let granted = self.granted.swap_remove(who);
        let stamp = granted.started.map(|started| started.1);
        self.plan.refund(&mut self.log, &granted.need, stamp, &at(nanos));
    }

    pub(super) fn correct(&mut self, who: usize, actual: u64, nanos: u64) {
        self.tell(nanos);
        let granted = &mut self.granted[who];
        let amounts = Correction { reserved: granted.need.input_tokens, actual };
        let stamp = granted.started.map(|started| started.1);
        self.plan.correct(&mut self.log, Unit::InputTokens, stamp, amounts, &at(nanos));
        granted.need.input_tokens = actual;
    }

    /// What is truly used of `unit` in the closed span that ends now, provisional places and all.
    pub(super) fn truly_used(&self, unit: Unit, span: u64) -> u64 {
        let begin = self.latest.saturating_sub(span);
        let counts = |granted: &&Granted| granted.started.is_none_or(|(nanos, _)| nanos >= begin);
        self.granted.iter().filter(counts).map(|granted| granted.need.of(unit)).sum()
    }

    fn held(&self, unit: Unit) -> u64 {
        self.granted.iter().filter(|granted| granted.started.is_none()).map(|granted| granted.need.of(unit)).sum()
    }

    /// Whether it has just left a window itself, but what started with it in one slice has not: until that leaves too,
    /// it stays counted, given back or not.
    pub(super) fn is_leaving(&self, who: usize, now: u64) -> bool {
        let Some((nanos, _)) = self.granted[who].started else { return false };
        let leaves = |limit: &Limit| nanos + window(limit);
        self.limits().any(|limit| {
            let now = now.max(self.latest);
            now >= leaves(limit) && now <= leaves(limit) + window(limit) / 250 + 500_000
        })
    }

    /// No closed span as long as a window holds more than its limit.
    pub(super) fn assert_exact(&self) {
        for limit in self.limits() {
            let window = window(limit);
            let mut starts: Vec<(u64, u64)> = self
                .granted
                .iter()
                .filter_map(|granted| granted.started.map(|(nanos, _)| (nanos, granted.need.of(limit.unit))))
                .collect();
            starts.sort_unstable();
            let (mut sum, mut oldest) = (0, 0);
            for (nanos, amount) in &starts {
                sum += amount;
                while starts[oldest].0 + window < *nanos {
                    sum -= starts[oldest].1;
                    oldest += 1;
                }
                assert!(sum <= limit.amount, "{sum} of {limit:?} in the span that ends at {nanos}");
            }
        }
    }

    /// The log never says less than the truth; and not much more: what left a slice and three units ago is not counted.
    pub(super) fn assert_tight(&mut self, slack: bool) {
        let used: Vec<(Limit, u64)> = self.plan.used(&mut self.log, &at(self.latest)).collect();
        for (limit, used) in used {
            let window = window(&limit);
            // What is over a limit need not be counted further.
            let least = self.truly_used(limit.unit, window).min(limit.amount);
            assert!(used >= least, "{used} counted, {least} used of {limit:?}");
            if !slack {
                let most = self.truly_used(limit.unit, window + window / 250 + 500_000);
                assert!(used <= most, "{used} counted, at most {most} used of {limit:?}");
            }
        }
    }

    /// The moment that a refusal names is the first at which there is room.
    pub(super) fn assert_opens(&self, need: Need, full: Full) {
        let Opens::Tick(opens) = full.opens else {
            let never = self.limits().any(|limit| need.of(limit.unit) > limit.amount);
            assert!(never, "{full:?}");
            return;
        };
        let room = |nanos| self.plan.room(&mut self.log.clone(), &need, &at(nanos)).is_ok();
        assert!(opens.nanos() > self.latest, "{full:?} at {}", self.latest);
        assert!(!room(opens.nanos() - 1), "room before {full:?}");
        if self.limits().all(|limit| self.held(limit.unit) + need.of(limit.unit) <= limit.amount) {
            assert!(room(opens.nanos()), "no room at {full:?}");
        }
    }

    /// Plays a schedule. `fair`: only what may not break a limit (corrections go down, a second start comes while the
    /// first still counts).
    pub(super) fn play(&mut self, steps: &[Step], fair: bool) {
        let scale = self.limits().map(window).max().unwrap_or(0) / 1_000_000;
        let shortest = self.limits().map(window).min().unwrap_or(0);
        let mut now = self.latest.max(1_000_000_000);
        for step in steps {
            match *step {
                Step::Wait(share) => now += share * scale,
                Step::Ask { need, late } => {
                    let nanos = now - late.min(now);
                    if let Err(full) = self.ask(need, nanos) {
                        self.assert_opens(need, full);
                    }
                }
                Step::Start { who, late } => {
                    let waiting = |(n, granted): (usize, &Granted)| granted.started.is_none().then_some(n);
                    let waiting: Vec<usize> = self.granted.iter().enumerate().filter_map(waiting).collect();
                    if !waiting.is_empty() {
                        self.start(waiting[who % waiting.len()], now - late.min(now));
                    }
                }
                Step::StartAgain { who } if !self.granted.is_empty() => {
                    let who = who % self.granted.len();
                    let counts = |(nanos, _): (u64, Stamp)| nanos + shortest >= self.latest.max(now);
                    if self.granted[who].started.is_none_or(|started| !fair || counts(started)) {
                        self.start(who, now);
                    }
                }
                Step::GiveBack { who } if !self.granted.is_empty() => {
                    let who = who % self.granted.len();
                    if !self.is_leaving(who, now) {
                        self.give_back(who, now);
                    }
                }
                Step::Correct { who, actual } if !self.granted.is_empty() => {
                    let who = who % self.granted.len();
                    if self.is_leaving(who, now) {
                        continue;
                    }
                    let most = if fair { self.granted[who].need.input_tokens } else { u64::MAX };
                    self.correct(who, actual.min(most), now);
                }
                _ => {}
            }
            if fair {
                self.assert_exact();
            }
            // A short ring folds entries, and so keeps some longer.
            let slack = self.limits().any(|limit| limit.unit != Unit::Requests);
            self.assert_tight(slack);
        }
    }
}

/// A window with its guard, in nanoseconds.
pub(super) fn window(limit: &Limit) -> u64 {
    match limit.span {
        Span::Sliding(span) => (span + GUARD).as_nanos() as u64,
        Span::Day => u64::MAX / 4,
    }
}

pub(super) fn steps(requests: u32, tokens: u64) -> impl Strategy<Value = Vec<Step>> {
    let need = (1..=requests, 1..=tokens).prop_map(|(requests, input_tokens)| Need {
        requests,
        input_tokens,
        ..Need::default()
    });
    let late = prop_oneof![3 => Just(0), 1 => 0..3_000_000_u64];
    let step = prop_oneof![
        6 => (need, late.clone()).prop_map(|(need, late)| Step::Ask { need, late }),
        5 => (any::<usize>(), late).prop_map(|(who, late)| Step::Start { who, late }),
        2 => (0..20_000_u64).prop_map(Step::Wait),
        2 => (0..300_000_u64).prop_map(Step::Wait),
        1 => (900_000..1_100_000_u64).prop_map(Step::Wait),
        1 => any::<usize>().prop_map(|who| Step::StartAgain { who }),
        1 => any::<usize>().prop_map(|who| Step::GiveBack { who }),
        1 => (any::<usize>(), 0..=2 * tokens).prop_map(|(who, actual)| Step::Correct { who, actual }),
    ];
    prop::collection::vec(step, 1..250)
}

proptest! {
    /// The short ways to keep room and to start come to what the long ones do, with the same log after it.
    #[test]
    fn a_short_start_is_a_long_one(
        steps in prop::collection::vec((0u64..30_000, 0u32..3, any::<bool>(), 0u64..20), 1..200),
    ) {
        let (plan, mut log) = empty(&Limits::new().per_minute(9).per_day(40));
        let (mut twin, mut nanos, mut held) = (log.clone(), 0, Vec::new());
        for (millis, requests, starts, day) in steps {
            nanos += millis * 1_000_000;
            let mut at = at(nanos);
            match day {
                0 => at.day.days.first -= 1,
                1 => (at.day.days.first, at.day.days.last) = (19_999, 19_999),
                _ => {}
            }
            let (tick, days) = (at.tick, at.day.days);
            if starts && let Some(need) = held.pop() {
                prop_assert_eq!(plan.start(&mut log, &need, tick, days), plan.start_in_each(&mut twin, &need, tick, days));
            } else {
                let need = Need { requests: requests.max(1), ..Need::default() };
                let fits = plan.has_room(&mut twin, &need, days);
                prop_assert_eq!(plan.book_later(&mut log, need, days), fits);
                if fits {
                    plan.reserve(&mut twin, &need);
                    held.push(need);
                }
            }
            plan.advance(&mut log, &at);
            plan.advance(&mut twin, &at);
            prop_assert_eq!(&log, &twin);
        }
    }

    /// To book is to reserve and to stamp, where there is room; with the same log after it.
    #[test]
    fn a_booking_is_a_reservation_and_its_stamp(
        kind in 0..4usize,
        steps in prop::collection::vec((0u64..30_000, 0u32..4, 0u64..600, 0u64..20), 1..200),
    ) {
        let limits = Limits::new().per_minute(9).per_day(40);
        let limits = match kind {
            0 => limits,
            1 => limits.tokens_per_minute(1_000),
            2 => Limits::new().per_minute(9).per_day(100_000).tokens_per_minute(1_000),
            _ => limits.tokens_per_minute(1_000).tokens_per_day(5_000),
        };
        let (plan, mut log) = empty(&limits);
        let (mut twin, mut nanos) = (log.clone(), 0);
        for (millis, requests, input_tokens, day) in steps {
            nanos += millis * 1_000_000;
            let need = Need { requests: requests.max(1), input_tokens, ..Need::default() };
            let mut at = at(nanos);
            // Now and then just after midnight, or on the day before.
            match day {
                0 => at.day.days.first -= 1,
                1 => (at.day.days.first, at.day.days.last) = (19_999, 19_999),
                _ => {}
            }
            if let Some(booked) = plan.book(&mut log, &need, at.tick, at.day.days) {
                prop_assert!(plan.has_room(&mut twin, &need, at.day.days));
                plan.reserve(&mut twin, &need);
                prop_assert_eq!(plan.stamp(&mut twin, &need, &at), booked.stamp);
                let room = plan.headroom(&mut twin, Unit::InputTokens, at.tick, at.day.days);
                prop_assert_eq!(room, booked.room);
            }
            plan.advance(&mut log, &at);
            plan.advance(&mut twin, &at);
            prop_assert_eq!(&log, &twin);
        }
    }
}
