//! The board's meaning, renewal by renewal: fences, what adds up, what is done once, versions that share a board.

use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::{
    limit::Limits,
    share::{
        BoardState, Books, Counters, Holder, HolderId, Kind, Leave, Ledger, Moment, News, OnStoreLoss, Refusal,
        Renewal, Reply, Server, Settings, Spent, UnitId, UnitInfo, apply,
    },
    time::Tick,
};

const ONE: Spent = Spent { requests: 1, input_tokens: 0, output_tokens: 0, images: 0 };
const NOON: i64 = 20_000 * 86_400_000 + 43_200_000;

struct Party {
    holder: Holder,
    books: Books,
}

/// Two units with these limits.
pub(crate) fn units(limits: &Limits) -> Vec<UnitInfo> {
    let info = |name: &str| UnitInfo {
        unit: name.into(),
        kind: "lane".into(),
        limits: limits.clone(),
        guard: None,
        joins: Vec::new(),
    };
    ["a", "b"].map(info).to_vec()
}

fn at(ms: i64) -> Moment {
    Moment { tick: Tick::from_nanos(ms as u64 * 1_000_000), wall_ms: NOON + ms }
}

impl Party {
    fn new(name: &str, limits: &Limits) -> Self {
        Self::with(name, limits, Settings::default())
    }

    fn with(name: &str, limits: &Limits, settings: Settings) -> Self {
        let units = units(limits);
        Self {
            books: Books::new(&units, Duration::from_millis(250), TimeZone::UTC),
            holder: Holder::new(HolderId::new(name, 1), settings, units, 7),
        }
    }

    fn says(&mut self, ms: i64) -> Renewal {
        // One that is given up is followed by the next a little later.
        let renewal = self.holder.renewal(&mut self.books, at(ms));
        renewal.or_else(|| self.holder.renewal(&mut self.books, at(ms + 250))).expect("it is due")
    }

    fn hears(&mut self, reply: &Reply, ms: i64) {
        self.holder.answered(reply, &mut self.books, at(ms));
    }

    /// Renews; what the board answered.
    fn renews(&mut self, board: &mut BoardState, ms: i64) -> Reply {
        let renewal = self.says(ms);
        let reply = apply(board, &renewal, server(ms));
        self.hears(&reply, ms);
        reply
    }

    fn wants(&mut self, requests: u64, ms: i64) {
        self.holder.asked(&Kind::from("lane"), requests);
        self.holder.lacking(&Kind::from("lane"), requests, 0, at(ms));
    }

    fn may_start(&mut self, unit: &str, ms: i64) -> Result<Leave, Refusal> {
        let dates = self.books.dates(at(ms));
        self.holder.may_start(&UnitId::from(unit), &ONE, dates, at(ms))
    }

    fn starts(&mut self, unit: &str, ms: i64) -> bool {
        let dates = self.books.dates(at(ms));
        let may = self.may_start(unit, ms).is_ok() && self.books.start(&UnitId::from(unit), &ONE, at(ms));
        if may {
            self.holder.started(&UnitId::from(unit), &ONE, dates, at(ms));
        }
        may
    }
}

fn server(ms: i64) -> Server<'static> {
    Server { now: NOON + ms, identity: "1" }
}

/// A board, and a process that holds both units.
fn held() -> (BoardState, Party) {
    let (mut board, mut one) = (BoardState::fresh(), Party::new("one", &Limits::new().per_minute(5)));
    one.wants(10, 0);
    one.renews(&mut board, 0);
    assert_eq!(one.holder.held().count(), 2);
    (board, one)
}

#[test]
fn a_lease_is_valid_from_when_its_renewal_was_sent() {
    let (_, mut one) = held();
    assert_eq!(one.may_start("a", 9_749), Ok(Leave::Held));
    assert_eq!(one.may_start("a", 9_751), Err(Refusal::StoreAway));
    let Counters { store_lost, failed_closed, .. } = one.holder.counters();
    assert_eq!((store_lost, failed_closed), (1, 1));
}

#[test]
fn leases_are_void_when_the_clocks_part() {
    let (_, mut one) = held();
    let slept = Moment { wall_ms: NOON + 3_000 + 1_001, ..at(3_000) };
    assert!(!one.holder.is_valid(slept));
    assert!(!one.holder.is_valid(at(3_001)), "until the board has answered again");
    assert_eq!(one.holder.counters().clocks_parted, 1);
}

#[test]
fn fair_share_goes_on_when_the_board_is_away_and_is_counted() {
    let fair = Settings { on_store_loss: OnStoreLoss::FairShare { processes: 4 }, ..Settings::default() };
    let (mut board, mut one) = (BoardState::fresh(), Party::with("one", &Limits::new().per_minute(5), fair));
    one.wants(1, 0);
    one.renews(&mut board, 0);
    one.says(2_500);
    one.holder.failed(at(3_500));
    assert_eq!(one.may_start("b", 12_000), Ok(Leave::FairShare(4)));
    assert_eq!(one.holder.counters().fair_share, 1);
}

#[test]
fn an_old_holder_cannot_replace_a_log_but_what_he_adds_is_heard() {
    let (mut board, mut one) = held();
    for _ in 0..5 {
        assert!(one.starts("a", 1_000));
    }
    let mut other = Party::new("other", &Limits::new().per_minute(5));
    other.wants(10, 12_000);
    let reply = other.renews(&mut board, 12_000);
    assert!(reply.granted.is_empty(), "what was not told may have started when the lease ended, at 10 s");
    other.wants(10, 70_500);
    assert_eq!(other.renews(&mut board, 70_500).granted.len(), 2);
    assert!(other.starts("a", 70_600));

    let unit = UnitId::from("a");
    let of = crate::Unit::InputTokens;
    one.holder.tell(News::Used { name: "requests".into(), more: 5 }, at(70_700));
    one.holder.tell(News::Corrected { unit: unit.clone(), of, began: 0, more: 7 }, at(70_700));
    one.holder.tell(News::Learned { unit: unit.clone(), limits: Limits::new().per_minute(3) }, at(70_700));
    let until = 60_000;
    one.holder.tell(News::Rest { scope: "key k".into(), until, generation: 1, why: "429".into() }, at(70_700));
    let reply = one.renews(&mut board, 70_700);
    assert_eq!(reply.refused.len(), 2);
    assert_eq!(board.holder_of(&unit).map(|held| held.0.as_str()), Some("other/1"));
    assert_eq!(board.used()["requests"], 5);

    let reply = other.renews(&mut board, 73_000);
    assert_eq!(reply.stricter[&unit], Limits::new().per_minute(3));
    assert_eq!((reply.corrections.len(), reply.corrections[0].more), (1, 7));
    assert_eq!(reply.facts["key k"].until, 60_000 - 2_300);
    let reply = other.renews(&mut board, 75_500);
    assert!(reply.corrections.is_empty() && reply.facts.is_empty(), "each is told once");
}

#[test]
fn what_is_sent_again_or_late_is_done_once() {
    let (mut board, mut one) = held();
    one.holder.tell(News::Used { name: "requests".into(), more: 5 }, at(1_000));
    let first = one.says(2_500);
    apply(&mut board, &first, server(2_500));
    // The answer is lost, and the next renewal says it again.
    let second = one.says(3_500);
    let reply = apply(&mut board, &second, server(3_500));
    let before = board.clone();
    assert!(apply(&mut board, &first, server(4_000)).stale);
    assert!(apply(&mut board, &second, server(4_000)).stale);
    assert_eq!((board.used()["requests"], &board), (5, &before));
    one.hears(&reply, 3_500);
    assert_eq!(one.says(6_000).news.len(), 0);
}

#[test]
fn a_grant_whose_answer_was_lost_is_granted_again() {
    let (mut board, mut one) = (BoardState::fresh(), Party::new("one", &Limits::new().per_minute(5)));
    one.wants(10, 0);
    let renewal = one.says(0);
    let lost = apply(&mut board, &renewal, server(0));
    let reply = one.renews(&mut board, 1_000);
    assert_eq!((lost.granted.len(), reply.granted.len()), (2, 2));
    assert!(reply.granted.iter().all(|granted| granted.unknown.is_none() && granted.fence > 2));
    one.hears(&lost, 1_001);
    assert!(one.starts("a", 1_002));
}

#[test]
fn a_new_life_takes_over_at_once_and_counts_what_the_old_one_may_have_done() {
    let (mut board, mut one) = held();
    assert!(one.starts("a", 1_000));
    one.renews(&mut board, 2_500);
    let units = units(&Limits::new().per_minute(5));
    let mut next = Party::new("one", &Limits::new().per_minute(5));
    next.holder = Holder::new(HolderId::new("one", 2), Settings::default(), units, 8);
    next.wants(10, 3_000);
    let reply = next.renews(&mut board, 3_000);
    assert!(reply.granted.is_empty());
    next.wants(10, 62_400);
    assert_eq!(next.renews(&mut board, 62_400).granted.len(), 2);
    assert!(next.starts("a", 62_401), "what was known, of 1 s, has left; what may have been until 3 s has not");
    assert!(!next.starts("a", 62_402));
    assert!(next.starts("a", 63_400), "{:?}", next.books.tell(&UnitId::from("a"), at(63_400)));
    assert!(apply(&mut board, &one.says(5_000), server(5_000)).stale, "the dead do not speak");
}

#[test]
fn idle_units_go_back_and_full_ones_are_not_lent_before_they_open() {
    let (mut board, mut one) = held();
    for _ in 0..5 {
        assert!(one.starts("a", 100));
    }
    one.holder.lacking(&Kind::from("lane"), 0, 0, at(100));
    for renewal in 1..=18 {
        one.renews(&mut board, renewal * 2_500);
    }
    assert_eq!(board.held(), 0);
    let mut other = Party::new("other", &Limits::new().per_minute(5));
    let lent = |reply: &Reply| reply.granted.iter().map(|granted| granted.unit.to_string()).collect::<Vec<_>>();
    other.wants(10, 45_100);
    assert_eq!(lent(&other.renews(&mut board, 45_100)), ["b"]);
    other.wants(10, 59_600);
    assert_eq!(lent(&other.renews(&mut board, 59_600)), ["a"], "it opens within a second");
    assert!(!other.starts("a", 59_700));
    assert!(other.starts("a", 60_500), "{:?}", other.books.tell(&UnitId::from("a"), at(60_500)));
}

#[test]
fn a_day_is_not_used_beyond_its_mark_before_the_board_has_heard_of_it() {
    let limits = Limits::new().per_day(100);
    let (mut board, mut one) = (BoardState::fresh(), Party::new("one", &limits));
    one.wants(1, 0);
    one.renews(&mut board, 0);
    let started = (0..50).filter(|_| one.starts("a", 10)).count();
    assert_eq!((started, one.may_start("a", 10)), (4, Err(Refusal::AtMark)));
    one.renews(&mut board, 100);
    let started = (0..50).filter(|_| one.starts("a", 110)).count();
    assert_eq!(started, 28, "six times as many, and four");
    // Dead: the next one begins at the mark.
    let mut other = Party::new("other", &limits);
    other.wants(1, 11_000);
    other.renews(&mut board, 11_000);
    let used = other.books.tell(&UnitId::from("a"), at(11_000))[0].dates.iter().map(|date| date.1).max();
    assert_eq!(used, Some(32));
}

#[test]
fn limits_that_differ_the_stricter_hold_and_are_said_once() {
    let (mut board, mut one) = held();
    let mut other = Party::new("other", &Limits::new().per_minute(2));
    other.renews(&mut board, 1_000);
    one.renews(&mut board, 2_500);
    one.renews(&mut board, 5_000);
    assert_eq!(one.holder.counters().conflicts, one.holder.held().count() as u64);
    assert!(one.starts("a", 5_001) && one.starts("a", 5_001) && !one.starts("a", 5_001));
}

#[test]
fn versions_that_follow_each_other_share_a_board() {
    let (mut board, mut one) = held();
    assert!(one.starts("a", 1_000));
    // The next version says more than this one knows, in every part of the message.
    let mut text: Value = serde_json::to_value(one.says(2_500)).unwrap();
    text["version"] = json!(2);
    text["mood"] = json!("fine");
    text["held"][0]["colour"] = json!("red");
    let renewal: Renewal = serde_json::from_value(text).unwrap();
    let reply = apply(&mut board, &renewal, server(2_500));
    one.hears(&reply, 2_500);
    // The board is read and written by this version, and keeps it.
    let written = serde_json::to_string(&board).unwrap();
    let mut board: BoardState = serde_json::from_str(&written).unwrap();
    assert!(written.contains(r#""mood":"fine""#) && written.contains(r#""colour":"red""#));
    let mut other = Party::new("other", &Limits::new().per_minute(5));
    other.wants(10, 80_000);
    let reply = other.renews(&mut board, 80_000);
    let colours: Vec<_> = reply.granted.iter().filter_map(|granted| granted.other.get("colour")).collect();
    assert_eq!(colours, [&json!("red")], "and hands it on with the unit");

    // An earlier version says less.
    let bare = json!({
        "version": 1, "holder": "old/1", "number": 1, "generation": 0, "acknowledged": 0, "nonce": 5, "lease": 10_000,
        "roster": 0,
    });
    let reply = apply(&mut board, &serde_json::from_value(bare).unwrap(), server(81_000));
    assert!(reply.granted.is_empty() && reply.unknown_roster);
}

#[test]
fn a_board_that_knows_nothing_hears_for_a_lease_whether_anybody_does() {
    let (mut board, mut one) = (BoardState::default(), Party::new("one", &Limits::new().per_minute(5)));
    one.wants(10, 0);
    assert!(one.renews(&mut board, 0).recovering.is_some());
    let reply = one.renews(&mut board, 10_001);
    assert_eq!((reply.granted.len(), reply.recovering), (2, None));
    assert!(one.starts("a", 10_002), "nobody knew of an earlier one: this was the first start");
    // Lost once more, and this time somebody knows.
    let mut board = BoardState::default();
    assert!(one.renews(&mut board, 12_600).refused.is_empty());
    assert!(one.starts("a", 12_700), "what is held goes on");
    assert_eq!(one.holder.counters().generations, 1);
}

/// Units of a process that has a second name for one.
fn joined(party: &mut Party, limits: &Limits) {
    let mut infos = units(limits);
    infos.retain(|info| info.unit.as_str() == "a");
    infos[0].joins = vec!["b".into()];
    party.holder.serve(infos);
}

#[test]
fn what_two_names_counted_one_counts_once_both_are_given_back() {
    let limits = Limits::new().per_minute(6).per_day(9);
    let mut board = BoardState::fresh();
    let (mut one, mut two) = (Party::new("one", &limits), Party::new("two", &limits));
    one.wants(3, 0);
    one.renews(&mut board, 0);
    two.wants(3, 0);
    two.renews(&mut board, 0);
    let held = |party: &Party| party.holder.held().map(UnitId::to_string).collect::<Vec<_>>();
    assert_eq!((held(&one), held(&two)), (vec!["a".to_owned()], vec!["b".to_owned()]));
    for n in 0..2 {
        assert!(one.starts("a", 100 + n) && two.starts("b", 100 + n));
    }
    // The first hears that both are one, and leaves its own to be added up.
    one.holder.serve(Vec::new());
    joined(&mut one, &limits);
    one.wants(3, 1_000);
    assert!(one.renews(&mut board, 2_500).granted.is_empty(), "the other has its part still");
    assert!(two.starts("b", 2_600));
    let reply = two.renews(&mut board, 2_700);
    assert!(reply.refused.is_empty(), "what is held is held");
    joined(&mut two, &limits);
    // Whoever asks first has it, with what both counted.
    let reply = two.renews(&mut board, 5_200);
    assert_eq!(reply.granted.iter().map(|granted| granted.unit.as_str()).collect::<Vec<_>>(), ["a"]);
    let used = |told: &crate::limit::Told| told.moments.iter().map(|moment| moment.1).sum::<u64>();
    assert_eq!(reply.granted[0].counts.iter().map(used).max(), Some(5));
    assert!(two.starts("a", 5_300) && !two.starts("a", 5_301), "five of six were used");
    // What is told of the old name counts as well, and nobody is lent it, not by who does not know.
    one.holder.tell(News::Corrected { unit: "b".into(), of: crate::Unit::Requests, began: 0, more: 2 }, at(5_400));
    one.holder.serve(units(&limits));
    one.wants(9, 5_400);
    assert!(one.renews(&mut board, 5_500).granted.is_empty());
    let more =
        |unit: &str| board.units.get(&unit.into()).map(|record| record.corrections.iter().map(|more| more.more).sum());
    assert_eq!((more("a"), more("b")), (Some(2_u64), Some(0)));
}

#[test]
fn of_names_whose_holder_died_all_that_he_may_have_used_is_added() {
    let limits = Limits::new().per_minute(5);
    let (mut board, one) = held();
    drop(one);
    let mut two = Party::new("two", &limits);
    joined(&mut two, &limits);
    two.wants(3, 1_000);
    assert!(two.renews(&mut board, 1_000).granted.is_empty());
    two.wants(3, 12_000);
    assert!(two.renews(&mut board, 12_000).granted.is_empty(), "five may have started when the lease ended");
    two.wants(3, 71_000);
    assert_eq!(two.renews(&mut board, 71_000).granted.len(), 1);
}

/// A key with a small day must not lose most of it to a death: more than the minute allows cannot have been started.
#[test]
fn a_day_is_marked_no_further_than_the_minute_allows_until_the_lease_ends() {
    let (mut board, mut one) = (BoardState::fresh(), Party::new("one", &Limits::new().per_minute(6).per_day(24)));
    one.wants(20, 0);
    one.renews(&mut board, 0);
    for _ in 0..4 {
        assert!(one.starts("a", 1_000));
    }
    let upto = |renewal: &Renewal| {
        let held = renewal.held.iter().find(|held| held.unit == UnitId::from("a"));
        held.map(|held| held.marks.iter().map(|mark| mark.upto).collect::<Vec<_>>())
    };
    let renewal = one.says(2_500);
    assert_eq!(upto(&renewal), Some(vec![6]), "4 used, and 2 more before the lease's end");
    one.hears(&apply(&mut board, &renewal, server(2_500)), 2_500);
    // It goes as far as that, and no further than the minute.
    assert!(one.starts("a", 3_000) && one.starts("a", 3_000) && !one.starts("a", 3_000));
    let kept_back = one.holder.counters().at_mark;
    for ms in (5_000..60_000).step_by(2_500) {
        one.wants(1, ms);
        one.renews(&mut board, ms);
    }
    for _ in 0..4 {
        assert!(one.starts("a", 61_300), "what the minute allows again was marked before");
    }
    assert_eq!(one.holder.counters().at_mark, kept_back);
}

/// Two processes with other settings: the longer lease still holds when the board forgot that anybody asked for it.
#[test]
fn the_longest_lease_that_anybody_knows_is_waited_for_after_a_flush() {
    let limits = Limits::new().per_minute(5);
    let long = Settings::for_lease(Duration::from_secs(90));
    let (mut board, mut one) = (BoardState::fresh(), Party::with("one", &limits, long));
    let mut other = Party::new("other", &limits);
    one.wants(10, 0);
    one.renews(&mut board, 0);
    other.renews(&mut board, 1_000);
    other.renews(&mut board, 3_600);
    // One is cut off, and may start until its lease ends.
    board = BoardState::default();
    for ms in (6_100..89_000).step_by(2_500) {
        other.wants(1, ms);
        assert!(other.renews(&mut board, ms).granted.is_empty(), "{ms} ms: one holds it still");
    }
    assert!(one.may_start("a", 60_000).is_ok(), "it does");
}
