//! What every board must do: to be run against one that somebody writes.
//!
//! ```
//! use tower_keypool::{Clock, share::{MemoryBoard, conformance}};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(async {
//! let clock = Clock::tokio_from(std::time::SystemTime::now());
//! conformance::check(async || MemoryBoard::new(clock.clone())).await;
//! # });
//! ```

use std::{
    future::{Future as _, poll_fn},
    task::Poll,
    time::Duration,
};

use jiff::tz::TimeZone;

use super::{
    board::Board,
    books::Books,
    holder::Holder,
    ledger::{Ledger, Moment, Spent},
    names::{HolderId, Kind, UnitId},
    settings::Settings,
    wire::{News, Renewal, Reply, UnitInfo},
};
use crate::{
    limit::{Limit, Limits, Span, Unit},
    time::Clock,
};

/// Checks a board. `make` makes one that is empty, each time; its leases end by real time, or by tokio's where the
/// runtime is paused and the board lives by it. Takes about two seconds.
///
/// # Panics
/// Where it does something else than [`apply`](super::apply) would.
pub async fn check<B: Board>(make: impl AsyncFn() -> B) {
    let clock = Clock::system();
    one_holds_what_another_does_not(&make().await, &clock).await;
    windows_go_along(&make().await, &clock).await;
    what_is_said_twice_is_done_once(&make().await, &clock).await;
    a_grant_that_nobody_heard_of_is_granted_again(&make().await, &clock).await;
    an_old_fence_says_nothing(&make().await, &clock).await;
    a_later_life_takes_over(&make().await, &clock).await;
    a_lease_that_ends_untold_leaves_nothing(&make().await, &clock).await;
    of_many_at_once_one_has_it(&make().await, &clock).await;
    a_lease_ends_in_its_time(&make().await, &clock).await;
    only_who_holds_it_says_what_was_used(&make().await, &clock).await;
    news_are_for_all_and_booked_once(&make().await, &clock).await;
}

fn kind() -> Kind {
    Kind::from("flash\n0")
}

fn unit(n: usize) -> UnitId {
    UnitId::from(&*format!("flash\nproject-{n}"))
}

/// A process that talks to the board.
struct Talker {
    holder: Holder,
    books: Books,
    clock: Clock,
}

impl Talker {
    fn new(name: &str, life: u64, units: usize, clock: &Clock) -> Self {
        Self::with(name, life, units, &Limits::new().per_minute(10), clock)
    }

    fn with(name: &str, life: u64, units: usize, limits: &Limits, clock: &Clock) -> Self {
        let info = |n| UnitInfo { unit: unit(n), kind: kind(), limits: limits.clone(), guard: None, joins: Vec::new() };
        let infos: Vec<UnitInfo> = (0..units).map(info).collect();
        let books = Books::new(&infos, Duration::from_millis(250), TimeZone::UTC);
        let settings = Settings::for_lease(Duration::from_millis(400));
        Self { holder: Holder::new(HolderId::new(name, life), settings, infos, life), books, clock: clock.clone() }
    }

    fn now(&self) -> Moment {
        Moment::of(&self.clock)
    }

    /// What it says now.
    fn says(&mut self) -> Renewal {
        let now = self.now();
        self.holder.renew_now(now);
        self.holder.renewal(&mut self.books, now).expect("it is due")
    }

    fn hears(&mut self, reply: &Reply) {
        let now = self.now();
        self.holder.answered(reply, &mut self.books, now);
    }

    async fn renew(&mut self, board: &impl Board) -> Reply {
        let renewal = self.says();
        let reply = board.renew(&renewal).await.expect("the board answers");
        self.hears(&reply);
        reply
    }

    fn lacks(&mut self, requests: u64) {
        let now = self.now();
        self.holder.lacking(&kind(), requests, 0, now);
    }

    async fn claim(&mut self, requests: u64, board: &impl Board) -> Reply {
        self.lacks(requests);
        let reply = self.renew(board).await;
        self.lacks(0);
        reply
    }

    fn start(&mut self, n: usize, requests: usize) {
        let (one, now) = (Spent { requests: 1, ..Spent::default() }, self.now());
        let dates = self.books.dates(now);
        for _ in 0..requests {
            assert!(self.books.start(&unit(n), &one, now), "there is room");
            self.holder.started(&unit(n), &one, dates, now);
        }
    }

    async fn give_all_back(&mut self, board: &impl Board) {
        let infos = Vec::new();
        self.holder.serve(infos);
        self.renew(board).await;
    }

    fn room(&mut self, n: usize) -> u64 {
        let now = self.now();
        self.books.room(&unit(n), 0, Duration::ZERO, now)
    }
}

async fn one_holds_what_another_does_not(board: &impl Board, clock: &Clock) {
    let (mut one, mut other) = (Talker::new("one", 1, 3, clock), Talker::new("other", 1, 3, clock));
    let first = one.claim(15, board).await;
    assert_eq!(first.granted.len(), 2, "as many as there is room for what is lacking");
    let second = other.claim(15, board).await;
    assert_eq!(second.granted.len(), 1, "what is free");
    assert_eq!(second.dry, [kind()], "and it is said that it is not all");
    assert!(first.granted.iter().all(|granted| second.granted[0].unit != granted.unit), "to one at a time");
    assert!(second.granted[0].fence > first.granted[1].fence, "each grant has a higher number");
    let told = one.renew(board).await;
    assert!(told.wanted.get(&kind()).is_some_and(|lacked| *lacked > 0), "who holds some hears that another lacks some");
}

async fn windows_go_along(board: &impl Board, clock: &Clock) {
    let (mut one, mut other) = (Talker::new("one", 1, 1, clock), Talker::new("other", 1, 1, clock));
    one.claim(1, board).await;
    one.start(0, 7);
    one.give_all_back(board).await;
    let granted = other.claim(1, board).await.granted;
    assert_eq!(granted.len(), 1, "what was given back is free");
    assert_eq!(granted[0].unknown, None, "and all is known of it");
    assert_eq!(other.room(0), 3);
}

async fn what_is_said_twice_is_done_once(board: &impl Board, clock: &Clock) {
    let mut one = Talker::new("one", 1, 2, clock);
    one.lacks(1);
    let renewal = one.says();
    let reply = board.renew(&renewal).await.expect("the board answers");
    let again = board.renew(&renewal).await.expect("the board answers");
    assert!(!reply.stale && again.stale && again.granted.is_empty(), "late and again, it does nothing");
    assert_eq!(again.number, renewal.number);
}

async fn a_grant_that_nobody_heard_of_is_granted_again(board: &impl Board, clock: &Clock) {
    let mut one = Talker::new("one", 1, 1, clock);
    one.lacks(1);
    let renewal = one.says();
    let lost = board.renew(&renewal).await.expect("the board answers");
    let now = one.now();
    one.holder.failed(now);
    one.lacks(0);
    let reply = one.renew(board).await;
    assert_eq!(reply.granted.len(), 1, "it holds it, and hears of it now");
    assert!(reply.granted[0].fence > lost.granted[0].fence, "under another number");
    assert_eq!(one.room(0), 10, "nobody used it");
}

async fn an_old_fence_says_nothing(board: &impl Board, clock: &Clock) {
    let (mut one, mut other) = (Talker::new("one", 1, 1, clock), Talker::new("other", 1, 1, clock));
    one.claim(1, board).await;
    one.start(0, 2);
    // Its lease ends while it is away, and another has the unit once its windows are over what is unknown.
    let late = one.says();
    tokio::time::sleep(Duration::from_millis(600)).await;
    other.claim(1, board).await;
    let reply = board.renew(&late).await.expect("the board answers");
    one.hears(&reply);
    let held = one.holder.held().count() + other.holder.held().count();
    assert!(held <= 1, "one at a time, whoever it is");
}

async fn a_later_life_takes_over(board: &impl Board, clock: &Clock) {
    let (mut one, mut two) = (Talker::new("one", 1, 1, clock), Talker::new("one", 2, 1, clock));
    one.claim(1, board).await;
    one.start(0, 4);
    one.renew(board).await;
    two.renew(board).await;
    let stale = one.says();
    let reply = board.renew(&stale).await.expect("the board answers");
    assert!(reply.stale && reply.dead, "the dead do not speak");
    one.hears(&reply);
    assert_eq!(one.holder.held().count(), 0, "what it held is another's");
    assert!(!one.renew(board).await.stale, "it lives on beside the other, under another name");
}

async fn a_lease_that_ends_untold_leaves_nothing(board: &impl Board, clock: &Clock) {
    let (mut one, mut other) = (Talker::new("one", 1, 2, clock), Talker::new("other", 1, 2, clock));
    one.claim(1, board).await;
    one.start(0, 1);
    tokio::time::sleep(Duration::from_millis(600)).await;
    let granted = other.claim(20, board).await.granted;
    assert!(granted.len() <= 2);
    let known: u64 = granted.iter().filter(|granted| granted.unknown.is_none()).count() as u64;
    assert!(known <= 1, "of a unit that was held every place may have been used that nobody told of");
}

/// What is read and written in two steps lets others in between.
async fn of_many_at_once_one_has_it(board: &impl Board, clock: &Clock) {
    let mut talkers: Vec<Talker> =
        ["one", "two", "three", "four"].map(|name| Talker::new(name, 1, 1, clock)).into_iter().collect();
    let renewals: Vec<Renewal> = talkers
        .iter_mut()
        .map(|talker| {
            talker.lacks(1);
            talker.says()
        })
        .collect();
    let mut under_way: Vec<_> = renewals.iter().map(|renewal| Some(Box::pin(board.renew(renewal)))).collect();
    let mut granted = 0;
    poll_fn(|cx| {
        for renewal in &mut under_way {
            if let Some(Poll::Ready(reply)) = renewal.as_mut().map(|renewal| renewal.as_mut().poll(cx)) {
                granted += reply.expect("the board answers").granted.len();
                *renewal = None;
            }
        }
        if under_way.iter().all(Option::is_none) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    assert_eq!(granted, 1, "of four who ask at the same time one holds the one unit");
}

/// By the board's time, in milliseconds.
async fn a_lease_ends_in_its_time(board: &impl Board, clock: &Clock) {
    let window = Limit { unit: Unit::Requests, span: Span::Sliding(Duration::from_millis(200)), amount: 10 };
    let talker = |name| Talker::with(name, 1, 1, &Limits::new().with(window), clock);
    let (mut one, mut other) = (talker("one"), talker("other"));
    let pass = |ms| tokio::time::sleep(Duration::from_millis(ms));
    one.claim(1, board).await;
    pass(250).await;
    assert_eq!(other.claim(1, board).await.granted.len(), 0, "it is held for 400 ms");
    one.renew(board).await;
    pass(250).await;
    assert_eq!(other.claim(1, board).await.granted.len(), 0, "and from its renewal on for as long again");
    pass(550).await;
    assert_eq!(other.claim(1, board).await.granted.len(), 1, "what is not renewed is free when its time is over");
}

async fn only_who_holds_it_says_what_was_used(board: &impl Board, clock: &Clock) {
    let talker = |name| Talker::new(name, 1, 1, clock);
    let (mut one, mut other, mut third) = (talker("one"), talker("other"), talker("third"));
    one.claim(1, board).await;
    one.start(0, 2);
    let mut late = one.says();
    let now = one.now();
    one.holder.failed(now);
    one.give_all_back(board).await;
    other.claim(1, board).await;
    other.start(0, 5);
    other.renew(board).await;
    // Whatever number it comes under: it was granted to another since.
    late.number += 100;
    let reply = board.renew(&late).await.expect("the board answers");
    assert_eq!(reply.refused, [unit(0)], "it is not held any more");
    other.give_all_back(board).await;
    assert_eq!(third.claim(1, board).await.granted.len(), 1, "what was given back is free");
    assert_eq!(third.room(0), 3, "2 were used, and 5");
}

async fn news_are_for_all_and_booked_once(board: &impl Board, clock: &Clock) {
    let (mut one, mut other) = (Talker::new("one", 1, 1, clock), Talker::new("other", 1, 1, clock));
    other.renew(board).await;
    let rest = News::Rest { scope: "key".into(), until: 60_000, generation: 0, why: "limited".into() };
    let now = one.now();
    one.holder.tell(rest, now);
    let renewal = one.says();
    board.renew(&renewal).await.expect("the board answers");
    let now = one.now();
    one.holder.failed(now);
    // The answer was lost: it is told again.
    one.renew(board).await;
    let first = other.renew(board).await;
    assert!(first.facts.get("key").is_some_and(|rest| rest.until > 50_000 && rest.why == "limited"), "{first:?}");
    let second = other.renew(board).await;
    assert!(second.facts.is_empty(), "each once");
}
