//! Tests of all windows of a project and model together, across midnights.

use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};
use proptest::prelude::*;

use crate::{
    limit::{
        Amounts, Cost, FullReason, Limit, LimitSource, Limits, Meters, Quota, Reservation, Room, Span, Today, Unit,
        Zone,
    },
    time::Tick,
};

const START: u64 = 172_800_000;
const ZONE: &str = "America/Los_Angeles";
/// Ten minutes before the start of 2026-03-08, a day of 23 hours.
const BEFORE_MIDNIGHT: &str = "2026-03-08T07:50:00Z";

/// A quota with its clock.
struct Project {
    quota: Quota,
    zone: Zone,
    now: u64,
    wall: i64,
}

impl Project {
    fn new(limits: &Limits) -> Self {
        let wall = BEFORE_MIDNIGHT.parse::<Timestamp>().unwrap().as_millisecond();
        Self { quota: Quota::new(limits, None), zone: Zone::new(ZONE).unwrap(), now: START, wall }
    }

    fn assuming(limits: &Limits) -> Self {
        let mut project = Self::new(&Limits::new());
        project.quota.set_assumed(Some(limits));
        project
    }

    fn wait(&mut self, millis: u64) {
        self.now += millis;
        self.wall += millis as i64;
    }

    fn now(&self) -> Tick {
        Tick::from_millis(self.now)
    }

    fn today(&mut self) -> Today {
        self.zone.today(Tick::from_millis(self.now), || self.wall)
    }

    fn room(&mut self, cost: &Cost) -> Room {
        let today = self.today();
        self.quota.room(cost, self.now(), today)
    }

    fn reserve(&mut self, cost: Cost) -> Reservation {
        let today = self.today();
        self.quota.reserve(cost, self.now(), today)
    }

    fn used(&mut self, unit: Unit, span: Span) -> u64 {
        let today = self.today();
        let views = self.quota.views(self.now(), today);
        views.iter().find(|view| (view.unit, view.span) == (unit, span)).expect("a limit for it").used
    }

    fn learn(&mut self, unit: Unit, span: Span, amount: u64) -> bool {
        self.quota.learn(unit, span, amount, self.now())
    }

    /// Returns for how many milliseconds the cost does not fit, and why.
    fn full(&mut self, cost: &Cost) -> (u64, FullReason) {
        match self.room(cost) {
            Room::Full { until, reason } => (until.millis().saturating_sub(self.now), reason),
            room => panic!("{room:?}"),
        }
    }
}

fn one() -> Cost {
    Cost::default()
}

fn tokens(input_tokens: u64) -> Cost {
    Cost { amounts: Amounts { requests: 1, input_tokens, ..Amounts::default() }, ..Cost::default() }
}

#[test]
fn a_full_window_reports_when_it_opens() {
    let mut project = Project::new(&Limits::new().per_minute(2).per_day(3));
    project.reserve(one());
    project.wait(1_000);
    assert_eq!(project.room(&one()), Room::Free);
    project.reserve(one());
    assert_eq!(project.full(&one()), (59_250, FullReason::Window));
    project.wait(59_249);
    assert_eq!(project.full(&one()), (1, FullReason::Window));
    project.wait(1);
    assert_eq!(project.room(&one()), Room::Free);
}

#[test]
fn a_full_day_opens_30_s_after_midnight() {
    let mut project = Project::new(&Limits::new().per_day(2));
    project.reserve(one());
    project.reserve(one());
    assert_eq!(project.full(&one()), (630_000, FullReason::Day));
    project.wait(600_000);
    assert_eq!(project.full(&one()), (30_000, FullReason::Day));
    project.wait(30_000);
    assert_eq!(project.room(&one()), Room::Free);
}

#[test]
fn a_request_just_after_midnight_counts_for_both_days() {
    let mut project = Project::new(&Limits::new().per_day(2));
    project.reserve(one());
    project.wait(610_000);
    project.reserve(one());
    // Both requests count for the previous day, one counts for today.
    assert_eq!(project.full(&one()), (20_000, FullReason::Day));
    project.wait(20_000);
    assert_eq!(project.used(Unit::Requests, Span::Day), 1);
    project.reserve(one());
    // Today has 23 hours.
    assert_eq!(project.full(&one()), (23 * 3_600_000, FullReason::Day));
}

#[test]
fn cost_above_a_limit_never_fits() {
    let mut project = Project::new(&Limits::new().tokens_per_minute(100));
    assert_eq!(project.full(&tokens(101)).1, FullReason::TooLarge);
    assert_eq!(project.room(&tokens(101)), Room::Full { until: Tick::NEVER, reason: FullReason::TooLarge });
    assert_eq!(project.room(&tokens(100)), Room::Free);
    let mut closed = Project::new(&Limits::new().per_minute(0));
    assert_eq!(closed.room(&one()), Room::Full { until: Tick::NEVER, reason: FullReason::TooLarge });
    // An estimate waits for an empty window, but no window of a limit of 0 is empty enough.
    let estimate = Cost { estimated: true, ..tokens(5) };
    let mut closed = Project::new(&Limits::new().tokens_per_minute(0));
    assert_eq!(closed.room(&estimate), Room::Full { until: Tick::NEVER, reason: FullReason::TooLarge });
}

#[test]
fn tokens_that_do_not_fit_differ_from_a_full_window() {
    let mut project = Project::new(&Limits::new().per_minute(10).tokens_per_minute(100));
    project.reserve(tokens(60));
    assert_eq!(project.full(&tokens(50)).1, FullReason::CostTooLargeNow);
    assert_eq!(project.room(&tokens(40)), Room::Free);
    project.reserve(tokens(40));
    assert_eq!(project.full(&tokens(1)).1, FullReason::Window);
    // The tokens of a response are known only afterwards, so at least one must fit.
    assert_eq!(project.full(&tokens(0)).1, FullReason::Window);
}

#[test]
fn last_full_window_to_open_decides() {
    let mut project = Project::new(&Limits::new().per_minute(1).per_day(2).tokens_per_minute(100));
    project.reserve(tokens(60));
    assert_eq!(project.full(&tokens(50)).1, FullReason::Window);
    project.wait(61_000);
    project.reserve(one());
    assert_eq!(project.full(&tokens(101)).1, FullReason::TooLarge);
    assert_eq!(project.full(&one()), (569_000, FullReason::Day));
}

#[test]
fn a_correction_counts_where_the_estimate_did() {
    let mut project = Project::new(&Limits::new().tokens_per_minute(100).tokens_per_day(1_000));
    let first = project.reserve(tokens(50));
    project.wait(30_000);
    project.quota.correct(&first, &tokens(80).amounts);
    assert_eq!(project.used(Unit::InputTokens, Span::MINUTE), 80);
    assert_eq!(project.used(Unit::InputTokens, Span::Day), 80);
    let (opens, _) = project.full(&tokens(50));
    assert!((30_250..=30_250 + 234).contains(&opens), "{opens}");
    project.wait(opens);
    assert_eq!(project.used(Unit::InputTokens, Span::MINUTE), 0);
    // The first request has expired from the minute, but not from the day.
    let second = project.reserve(tokens(10));
    project.wait(61_000);
    project.quota.correct(&second, &tokens(4).amounts);
    assert_eq!(project.used(Unit::InputTokens, Span::MINUTE), 0);
    assert_eq!(project.used(Unit::InputTokens, Span::Day), 84);
}

#[test]
fn correction_of_a_zero_estimate_counts() {
    let mut project = Project::new(&Limits::new().tokens_per_minute(100));
    let reservation = project.reserve(one());
    project.wait(1_000);
    project.quota.correct(&reservation, &tokens(100).amounts);
    assert_eq!(project.full(&tokens(1)).1, FullReason::Window);
}

#[test]
fn a_correction_after_midnight_counts_for_the_day_of_the_start() {
    let mut project = Project::new(&Limits::new().tokens_per_day(1_000));
    let reservation = project.reserve(tokens(10));
    project.wait(700_000);
    project.reserve(tokens(1));
    project.quota.correct(&reservation, &tokens(500).amounts);
    assert_eq!(project.used(Unit::InputTokens, Span::Day), 1);
}

#[test]
fn a_cancelled_reservation_leaves_nothing() {
    let limits = Limits::new().per_minute(1).per_day(1).tokens_per_minute(10);
    let mut project = Project::new(&limits);
    let reservation = project.reserve(tokens(10));
    project.wait(5_000);
    project.quota.cancel(&reservation);
    assert_eq!(project.room(&tokens(10)), Room::Free);
    for limit in limits.iter() {
        assert_eq!(project.used(limit.unit, limit.span), 0);
    }
    // Cancelling again changes nothing, even if other requests were counted since.
    project.reserve(tokens(10));
    project.quota.cancel(&reservation);
    assert_eq!(project.used(Unit::Requests, Span::MINUTE), 1);
}

#[test]
fn an_assumed_limit_refuses_no_request() {
    let mut project = Project::assuming(&Limits::new().per_minute(1));
    assert_eq!(project.room(&one()), Room::Free);
    project.reserve(one());
    assert_eq!(project.room(&one()), Room::OverAssumed);
    project.quota.set_given(&Limits::new().per_minute(2));
    assert_eq!(project.room(&one()), Room::OverAssumed);
    project.reserve(one());
    assert_eq!(project.full(&one()).1, FullReason::Window);
    project.quota.set_given(&Limits::new());
    project.quota.retire_assumed();
    assert_eq!(project.room(&one()), Room::Free);
}

#[test]
fn a_learned_limit_counts_earlier_requests_and_is_forgotten_after_a_day() {
    let mut project = Project::new(&Limits::new());
    for _ in 0..3 {
        assert_eq!(project.room(&one()), Room::Free);
        project.reserve(one());
    }
    assert!(project.learn(Unit::Requests, Span::MINUTE, 3));
    assert!(!project.learn(Unit::Requests, Span::MINUTE, 3));
    assert_eq!(project.full(&one()).1, FullReason::Window);
    assert!(project.learn(Unit::Requests, Span::MINUTE, 4));
    assert_eq!(project.room(&one()), Room::Free);
    assert!(project.learn(Unit::Requests, Span::MINUTE, 0));
    assert_eq!(project.full(&one()), (86_400_000, FullReason::TooLarge));
    project.wait(86_399_999);
    assert_eq!(project.full(&one()).1, FullReason::TooLarge);
    project.wait(1);
    assert_eq!(project.room(&one()), Room::Free);
}

#[test]
fn the_lower_of_a_given_and_a_learned_limit_applies() {
    let mut project = Project::new(&Limits::new().per_minute(2));
    project.learn(Unit::Requests, Span::MINUTE, 5);
    project.learn(Unit::InputTokens, Span::Day, 100);
    project.reserve(tokens(60));
    assert_eq!(project.full(&tokens(50)).1, FullReason::CostTooLargeNow);
    project.reserve(one());
    assert_eq!(project.full(&one()).1, FullReason::Window);
    assert!(!project.learn(Unit::Requests, Span::Sliding(Duration::from_secs(86_401)), 1));
    let today = project.today();
    let views = project.quota.views(project.now(), today);
    let shown: Vec<_> = views.iter().map(|view| (view.unit, view.limit, view.used, view.source)).collect();
    let expected = [(Unit::Requests, 2, 2, LimitSource::Given), (Unit::InputTokens, 100, 60, LimitSource::Learned)];
    assert_eq!(shown, expected);
    assert_eq!(views[0].opens_in, Some(Duration::from_millis(60_250)));
    assert_eq!(views[1].opens_in, None);
}

#[test]
fn new_limits_keep_the_counts() {
    let mut project = Project::new(&Limits::new().per_minute(5).per_day(9));
    project.reserve(one());
    project.reserve(one());
    project.quota.set_given(&Limits::new().per_minute(2));
    assert_eq!(project.full(&one()).1, FullReason::Window);
    project.quota.set_given(&Limits::new().per_day(2));
    assert_eq!(project.full(&one()).1, FullReason::Day);
}

#[test]
fn counts_of_another_quota_are_added() {
    let limits = Limits::new().per_minute(4).per_day(9).tokens_per_minute(101);
    let mut project = Project::new(&limits);
    project.reserve(tokens(30));
    project.wait(2_000);
    project.reserve(tokens(30));
    project.reserve(tokens(30));

    let mut copy = Project::new(&limits);
    copy.wait(1_000);
    copy.reserve(tokens(10));
    copy.wait(1_000);
    copy.quota.add_counts_of(&project.quota);
    assert_eq!(copy.full(&one()), (58_250, FullReason::Window));
    assert_eq!(copy.used(Unit::InputTokens, Span::MINUTE), 100);
    assert_eq!(copy.used(Unit::Requests, Span::Day), 4);
    // A quota without such limits takes over the counts, too.
    let mut bare = Quota::new(&Limits::new(), None);
    bare.add_counts_of(&copy.quota);
    bare.set_given(&limits);
    let today = copy.today();
    assert!(matches!(bare.room(&one(), copy.now(), today), Room::Full { reason: FullReason::Window, .. }));
}

#[test]
fn shared_limits_change_for_one_quota_alone() {
    let limits = Limits::new().per_minute(2);
    let (mut first, mut second) = (Project::new(&limits), Project::new(&limits));
    let mut before = std::sync::Arc::<Meters>::default();
    first.quota.share_limits(&mut before);
    second.quota.share_limits(&mut before);
    first.learn(Unit::Requests, Span::MINUTE, 1);
    for project in [&mut first, &mut second] {
        project.reserve(one());
    }
    assert_eq!(first.full(&one()).1, FullReason::Window);
    assert_eq!(second.room(&one()), Room::Free);
}

/// A request as the oracle remembers it.
#[derive(Clone, Copy)]
struct Start {
    at: u64,
    wall: i64,
    cost: Cost,
    reservation: Reservation,
    answered: bool,
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Request {
        requests: u64,
        tokens: u64,
    },
    Cancel(usize),
    /// The response used this share of the estimate, in percent.
    Correct(usize, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1..4_u64, 0..40_u64).prop_map(|(requests, tokens)| Step::Request { requests, tokens }),
        3 => (0..5_000_u64).prop_map(Step::Wait),
        2 => (0..70_000_u64).prop_map(Step::Wait),
        1 => (3_000_000..90_000_000_u64).prop_map(Step::Wait),
        1 => any::<usize>().prop_map(Step::Cancel),
        1 => (any::<usize>(), 0..=100_u64).prop_map(|(which, percent)| Step::Correct(which, percent)),
    ];
    prop::collection::vec(step, 1..200)
}

/// Returns the largest amount in any span of the limit, for a provider whose clock is up to 30 s behind ours.
fn peak(limit: &Limit, starts: &[Start]) -> u64 {
    let sum = |within: &dyn Fn(&Start) -> bool| {
        starts.iter().filter(|start| within(start)).map(|start| start.cost.amounts.of(limit.unit)).sum::<u64>()
    };
    let zone = TimeZone::get(ZONE).unwrap();
    let date = |wall: i64| Timestamp::from_millisecond(wall).unwrap().to_zoned(zone.clone()).date();
    let sums = starts.iter().map(|first| match limit.span {
        Span::Sliding(span) => sum(&|start| (first.at..=first.at + span.as_millis() as u64).contains(&start.at)),
        Span::Day => {
            let behind = |by: i64| sum(&|start| date(start.wall - by) == date(first.wall - by));
            behind(0).max(behind(15_000)).max(behind(29_999))
        }
    });
    sums.max().unwrap_or(0)
}

proptest! {
    /// No span ever exceeds its limit, and a refused request learns exactly when it fits.
    #[test]
    fn no_limit_is_ever_exceeded(steps in steps()) {
        let hour = Span::Sliding(Duration::from_secs(3_600));
        let limits = Limits::new()
            .per_minute(6)
            .per_day(40)
            .tokens_per_minute(90)
            .tokens_per_day(700)
            .with(Limit { unit: Unit::Tokens, span: hour, amount: 400 });
        let mut project = Project::new(&limits);
        let mut starts: Vec<Start> = Vec::new();
        for step in steps {
            match step {
                Step::Wait(millis) => project.wait(millis),
                Step::Request { requests, tokens } => {
                    let amounts = Amounts { requests, input_tokens: tokens, ..Amounts::default() };
                    let cost = Cost { amounts, ..Cost::default() };
                    if let Room::Full { until, .. } = project.room(&cost) {
                            prop_assert!(until > project.now() && until < Tick::NEVER);
                            let wait = until.since(project.now()).as_millis() as u64;
                            project.wait(wait - 1);
                            let full = matches!(project.room(&cost), Room::Full { .. });
                            prop_assert!(full, "it fits before the reported time");
                            project.wait(1);
                    } else {
                            let reservation = project.reserve(cost);
                            let (at, wall) = (project.now, project.wall);
                            starts.push(Start { at, wall, cost, reservation, answered: false });
                    }
                }
                Step::Cancel(which) if !starts.is_empty() => {
                    let which = which % starts.len();
                    if !starts[which].answered {
                        project.quota.cancel(&starts.swap_remove(which).reservation);
                    }
                }
                Step::Correct(which, percent) if !starts.is_empty() => {
                    let which = which % starts.len();
                    let start = &mut starts[which];
                    if !start.answered {
                        start.answered = true;
                        start.cost.amounts.input_tokens = start.cost.amounts.input_tokens * percent / 100;
                        project.quota.correct(&start.reservation, &start.cost.amounts);
                    }
                }
                _ => {}
            }
        }
        for limit in limits.iter() {
            let peak = peak(limit, &starts);
            prop_assert!(peak <= limit.amount, "{peak} of {limit}");
        }
    }
}
