//! The script and the pure function: the same answers and the same state, renewal by renewal, over random schedules.
//! `SHARE_CASES=2000 cargo test --release --features redis --lib share::redis` runs more of them.

use std::{collections::BTreeMap, time::Duration};

use jiff::tz::TimeZone;
use proptest::{prelude::*, test_runner::RngSeed};
use redis_fixture::RedisServer;
use serde_json::json;

use super::dump::{dump, normal};
use crate::{
    limit::{Limit, Limits, Span, Told, Unit},
    redis::{Link, Options},
    share::{
        BoardState, Books, Days, Held, Holder, HolderId, Kind, Ledger, Left, Mark, Mode, Moment, News, RedisBoard,
        Renewal, Reply, Server, Settings, Settled, Spent, UnitId, UnitInfo, apply,
    },
    time::Tick,
};

const NOON: i64 = 20_000 * 86_400_000 + 43_200_000;

/// What happens next: which, and two numbers for it.
type Step = (u8, u16, u16);

struct Party {
    life: u64,
    holder: Holder,
    books: Books,
    order: usize,
}

struct Twins {
    now: i64,
    server_ahead: i64,
    identity: u64,
    pure: BoardState,
    board: RedisBoard,
    link: Link,
    port: u16,
    saved: Option<BoardState>,
    parties: Vec<Party>,
    infos: Vec<UnitInfo>,
    last: Option<Renewal>,
    granted: usize,
    drawn: usize,
}

fn infos(units: usize, limits: &Limits) -> Vec<UnitInfo> {
    let info = |n: usize| UnitInfo {
        // Names whose order by bytes is not that of a dictionary, and some that need care in texts.
        unit: UnitId::from(["b", "B", "a/x", "ä:{}", "Z \"q\"", "aa"][n % 6]),
        kind: Kind::from(if n.is_multiple_of(3) { "lane|0" } else { "Lane|10" }),
        limits: if n.is_multiple_of(2) { limits.clone() } else { limits.clone().per_minute(3) },
        // Owners of two lanes, whose keys have limits of their own.
        guard: (n % 6 >= 2).then(|| UnitId::from(["keys one", "keys two"][n % 2])),
        joins: Vec::new(),
    };
    let guard = |name: &str| UnitInfo {
        unit: name.into(),
        kind: name.into(),
        limits: Limits::new(),
        guard: None,
        joins: Vec::new(),
    };
    (0..units).map(info).chain(["keys one", "keys two"].map(guard)).collect()
}

impl Party {
    fn new(name: usize, life: u64, infos: &[UnitInfo]) -> Self {
        let id = HolderId::new(&format!("p/{name}"), life);
        Self {
            life,
            holder: Holder::new(id, Settings::default(), infos.to_vec(), (name as u64) << 32 | life),
            books: Books::new(infos, Duration::from_millis(250), TimeZone::UTC),
            order: 0,
        }
    }
}

impl Twins {
    fn at(&self) -> Moment {
        Moment { tick: Tick::from_nanos((self.now as u64 + 200_000_000) * 1_000_000), wall_ms: NOON + self.now }
    }

    async fn apply(&mut self, renewal: &Renewal) -> Reply {
        let identity = self.identity.to_string();
        let identity = if self.identity == 0 { "" } else { &*identity };
        let now = NOON + self.now + self.server_ahead;
        let expected = apply(&mut self.pure, renewal, Server { now, identity });
        let reply = self.board.call(renewal, &now.to_string(), identity).await.unwrap();
        same("answer", &reply, &expected, renewal);
        same("state", &dump(&self.link).await, &normal(&self.pure), renewal);
        self.granted += reply.granted.len();
        self.drawn += reply.draws.len();
        reply
    }

    /// A renewal of this process, and what becomes of it: answered, lost, done with the answer lost, done twice.
    async fn renew(&mut self, who: usize, fate: u16) {
        let now = self.at();
        let party = &mut self.parties[who];
        let Some(renewal) = party.holder.renewal(&mut party.books, now) else { return };
        if fate.is_multiple_of(8) {
            return;
        }
        let reply = self.apply(&renewal).await;
        if fate % 8 == 1 {
            self.apply(&renewal).await;
        }
        self.last = Some(renewal);
        self.now += i64::from(fate % 50);
        let now = self.at();
        let party = &mut self.parties[who];
        if fate % 8 != 2 {
            party.holder.answered(&reply, &mut party.books, now);
        }
    }

    fn wants(&mut self, who: usize, requests: u64, tokens: u64) {
        let now = self.at();
        let kind = Kind::from(if requests.is_multiple_of(2) { "lane|0" } else { "Lane|10" });
        let party = &mut self.parties[who];
        party.holder.asked(&kind, requests);
        let named =
            if tokens % 3 == 1 { vec![self.infos[requests as usize % self.infos.len()].unit.clone()] } else { vec![] };
        party.holder.naming(&kind, named);
        party.holder.lacking(&kind, requests, tokens, now);
    }

    fn start(&mut self, who: usize, requests: u16) {
        let now = self.at();
        let party = &mut self.parties[who];
        let dates = party.books.dates(now);
        for n in 0..requests {
            let spent = Spent { requests: 1, input_tokens: u64::from(n % 5) * 10, ..Spent::default() };
            let units: Vec<UnitId> = party.holder.held().chain(party.holder.drawn(now)).cloned().collect();
            let Some(unit) = units.get(party.order % units.len().max(1)).cloned() else { return };
            party.order += 1;
            let whole = party.holder.holds(&unit);
            if party.holder.may_start(&unit, &spent, dates, now).is_ok()
                && (!whole || party.books.start(&unit, &spent, now))
            {
                party.holder.started(&unit, &spent, dates, now);
                party.books.under_way(&unit, now.tick.plus(Duration::from_secs(u64::from(n) * 3)));
            }
        }
    }

    fn tell(&mut self, who: usize, one: u16) {
        let (now, more) = (self.at(), u64::from(one));
        let unit = self.infos[usize::from(one) % self.infos.len()].unit.clone();
        let news = match one % 5 {
            0 => News::Used { name: format!("requests {}", one % 3), more },
            1 => News::Corrected { unit, of: Unit::InputTokens, began: -i64::from(one) * 3, more },
            2 => News::Rest {
                scope: format!("key {}", one % 3),
                until: if one.is_multiple_of(3) { i64::MAX } else { i64::from(one) * 40 - 3_700_000 },
                generation: u32::from(one % 2),
                why: "429 \"x\"".into(),
            },
            3 if one.is_multiple_of(2) => News::Rest {
                scope: format!("{}\nk", if one.is_multiple_of(3) { "alias" } else { "owner" }),
                until: i64::from(one % 7) * 20_000_000 - 3_700_000,
                generation: u32::from(one.is_multiple_of(11)),
                why: format!("name {}", one % 4),
            },
            3 => News::Learned { unit, limits: Limits::new().per_minute(more % 9).tokens_per_day(more * 1_000) },
            _ => News::Learned { unit: "nobody's".into(), limits: Limits::new().per_day(1) },
        };
        self.parties[who].holder.tell(news, now);
    }

    /// A renewal that no process would send: the last one, with some of it changed.
    async fn strange(&mut self, one: u16, other: u16) {
        let Some(mut renewal) = self.last.clone() else { return };
        renewal.number += u64::from(one % 4);
        renewal.acknowledged = renewal.number.saturating_sub(u64::from(other % 9).max(1));
        renewal.elapsed = (other.is_multiple_of(4)).then_some(u64::from(one) * 3);
        renewal.trip = u64::from(other % 700);
        match one % 24 {
            0 => renewal.generation = u64::MAX - u64::from(other % 2),
            1 => renewal.generation = self.pure.past.first().copied().unwrap_or(0),
            2 => renewal.units = None,
            3 => renewal.roster = u64::MAX - 5,
            _ => {}
        }
        let limit = Limit { unit: Unit::Requests, span: Span::MINUTE, amount: u64::from(one % 11) };
        let day = Limit { unit: Unit::Requests, span: Span::Day, amount: 40 };
        let date = ((NOON + self.now) / 86_400_000) as u16 + 1;
        let amount = u64::from(other % 4);
        let moments = vec![(-i64::from(one), amount), (-5, 1), (3, 1)];
        let held = Held {
            unit: self.infos[usize::from(other) % self.infos.len()].unit.clone(),
            fence: self.pure.fence.saturating_sub(u64::from(one % 5)),
            valid: !other.is_multiple_of(3),
            counts: (!one.is_multiple_of(3)).then(|| {
                vec![
                    Told { limit, moments, dates: vec![] },
                    Told { limit: day, moments: vec![], dates: vec![(date, 3)] },
                ]
            }),
            marks: vec![Mark { unit: Unit::Requests, date, upto: u64::from(other % 50) }],
            in_flight: vec![i64::from(one), -5],
            last_start: (one.is_multiple_of(2)).then_some(-i64::from(other)),
            opens: (other.is_multiple_of(2)).then_some(i64::from(one) - 300),
            mode: if one.is_multiple_of(2) { Mode::Drawn } else { Mode::Whole },
            corrected: u64::from(other % 3),
            ahead: None,
            other: BTreeMap::from([("colour".to_owned(), json!({"red": [], "deep": {}, "n": 1.5, "null": null}))]),
        };
        if other.is_multiple_of(2) {
            renewal.held.push(held);
        } else {
            renewal.returned.push(held);
        }
        for booking in self.pure.units.iter().flat_map(|(unit, record)| record.bookings.iter().map(move |b| (unit, b)))
        {
            let (unit, booking) = booking;
            let starts = vec![(-i64::from(one % 3_000), 1, 10), (-1, u64::from(other % 2), 0)];
            renewal.settled.push(Settled { unit: unit.clone(), draw: booking.draw, starts });
        }
        if other.is_multiple_of(5) {
            renewal.buried.push(HolderId::new("p/0", 1));
        }
        if other.is_multiple_of(7) {
            renewal.holder =
                HolderId::from(["nobody", "p/1/", "p/0/007", "p/0/99999999999999999999"][one as usize % 4]);
        }
        let of = [Unit::Requests, Unit::InputTokens][usize::from(one % 2)];
        let bound = |date| Mark { unit: of, date, upto: u64::from(other % 30) };
        let named = self.infos[usize::from(one) % self.infos.len()].unit.clone();
        renewal.looks = vec![named.clone(), "nobody's".into()];
        renewal.days = vec![Days { unit: named, marks: vec![bound(date), bound(date + 1)] }];
        renewal.heard = (one % 32 < 6).then(|| NOON + self.now - i64::from(one % 5_000));
        renewal.ends = other.is_multiple_of(11);
        if renewal.ends {
            // It claims nothing: limits hold for it no more.
            renewal.claims.clear();
        }
        renewal.other.insert("mood".into(), json!(["fine", one]));
        let reply = self.apply(&renewal).await;
        if !reply.stale && one.is_multiple_of(2) {
            self.last = Some(renewal);
        }
    }

    /// The last renewal again, and what units counted that went back before.
    async fn tells_of_before(&mut self, one: u16, other: u16) {
        let Some(mut renewal) = self.last.clone() else { return };
        for amount in [one % 7, other % 7] {
            let limit = Limit { unit: Unit::Requests, span: Span::MINUTE, amount: 10 };
            let told = Told { limit, moments: vec![(-i64::from(other), u64::from(amount)), (-5, 1)], dates: vec![] };
            let unit = self.infos[usize::from(one) % self.infos.len()].unit.clone();
            renewal.left = vec![Left { unit, counts: vec![told] }];
            renewal.number += 1;
            self.apply(&renewal).await;
        }
    }

    fn flush(&mut self) {
        self.pure = BoardState::default();
        redis_fixture::send(self.port, &["FLUSHDB"]).unwrap();
    }

    /// Keeps a copy of the board, or puts it back.
    fn copy(&mut self, back: bool) {
        if back && self.saved.is_none() {
            return;
        }
        let (from, to) = if back { ("1", "0") } else { ("0", "1") };
        let copy = "redis.call('SELECT', ARGV[2]) redis.call('FLUSHDB') redis.call('SELECT', ARGV[1]) \
                    for _, key in ipairs(redis.call('KEYS', '*')) do redis.call('COPY', key, key, 'DB', ARGV[2]) end";
        let reply = redis_fixture::send(self.port, &["EVAL", copy, "0", from, to]).unwrap();
        assert_eq!(reply, redis_fixture::Reply::Nil);
        if back {
            self.pure = self.saved.clone().unwrap();
        } else {
            self.saved = Some(self.pure.clone());
        }
    }

    async fn step(&mut self, (what, one, other): Step) {
        let who = usize::from(other) % self.parties.len();
        match what {
            0..60 => {
                self.now += i64::from(one % 3_000) + 1;
                self.renew(who, one).await;
            }
            60..66 => self.now += i64::from(one) / 2,
            66..90 => self.wants(who, u64::from(one % 30), u64::from(one) * u64::from(other % 2)),
            90..130 => self.start(who, one % 12),
            130..140 => self.tell(who, one),
            140..156 => self.strange(one, other).await,
            156..158 => {
                let life = self.parties[who].life + 1;
                self.parties[who] = Party::new(who, life, &self.infos);
            }
            158 => {
                let whom = usize::from(one) % self.parties.len();
                let dead = self.parties[whom].holder.id().clone();
                self.parties[who].holder.bury(dead);
            }
            159 => self.flush(),
            160..163 => self.copy(false),
            163 => self.copy(true),
            164 => self.identity = u64::from(one % 3),
            165 | 166 => self.server_ahead += i64::from(one % 6_000) - 3_000,
            167 => self.now += 13 * 3_600_000 + i64::from(one) * 700,
            168..174 => {
                let fewer = usize::from(one) % self.infos.len() + 1;
                let mut infos = self.infos[..fewer].to_vec();
                // Two names of one quota.
                if other.is_multiple_of(5) {
                    let old = [self.infos[usize::from(other / 5) % self.infos.len()].unit.clone(), "yet unseen".into()];
                    infos[fewer - 1].joins = old[..=usize::from(other.is_multiple_of(3))].to_vec();
                }
                self.parties[who].holder.serve(infos);
            }
            // Another server, and the first that it hears of is one who never heard of it.
            174 => {
                self.identity = self.identity % 2 + 1;
                let life = self.parties[who].life + 1;
                self.parties[who] = Party::new(who, life, &self.infos);
                self.renew(who, 5).await;
            }
            // Half a day later, another.
            175 => {
                self.now += 11 * 3_600_000 + i64::from(one) * 120;
                self.identity = self.identity % 2 + 1;
                self.renew(who, 5).await;
                // Meanwhile it is told what was known before.
                self.now += 2_600;
                self.renew(who, 5).await;
                self.tells_of_before(one, other).await;
                self.now += 7_401;
                self.renew(who, 5).await;
            }
            // A process dies, and the others want what it had.
            176..180 => {
                self.start(who, 4);
                self.renew(who, 5).await;
                let life = self.parties[who].life + 1;
                self.parties[who] = Party::new(who, life, &self.infos);
                self.now += i64::from(one % 8_000);
                self.wants(who, u64::from(other % 7), 30);
                self.renew(who, 5).await;
                self.now += 58_000 + i64::from(other % 4_000);
                self.wants(who, u64::from(other % 7), 30);
                self.renew(who, 5).await;
            }
            // All want at once, and again and again.
            _ => {
                for _ in 0..3 {
                    for who in 0..self.parties.len() {
                        self.wants(who, u64::from(one % 4) * 2, 20);
                        self.start(who, 3);
                        self.renew(who, 5).await;
                    }
                    self.now += i64::from(other % 1_500) + 20;
                }
            }
        }
    }
}

/// Panics with the lines that differ.
fn same<T: PartialEq + std::fmt::Debug>(what: &str, script: &T, pure: &T, renewal: &Renewal) {
    if script == pure {
        return;
    }
    let (script, pure) = (format!("{script:#?}"), format!("{pure:#?}"));
    let (script, pure): (Vec<_>, Vec<_>) = (script.lines().collect(), pure.lines().collect());
    let at = script.iter().zip(&pure).position(|(one, other)| one != other).unwrap_or(0);
    let from = at.saturating_sub(12);
    let part = |lines: &[&str]| lines[from..lines.len().min(at + 12)].join("\n");
    panic!("the {what} of the script:\n{}\nand of the function:\n{}\nafter {renewal:?}", part(&script), part(&pure));
}

fn limits() -> impl Strategy<Value = Limits> {
    let half = Limit { unit: Unit::Tokens, span: Span::Sliding(Duration::from_millis(1_500)), amount: 300 };
    prop_oneof![
        Just(Limits::new().per_minute(5)),
        Just(Limits::new().per_minute(10).per_day(40)),
        Just(Limits::new().per_minute(7).tokens_per_minute(400).tokens_per_day(90_000)),
        Just(Limits::new().per_day(1_000_000)),
        Just(Limits::new().per_minute(4).with(half)),
        Just(Limits::new()),
    ]
}

fn cases() -> u32 {
    std::env::var("SHARE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(24)
}

#[test]
fn the_script_does_what_the_pure_function_does() {
    let Some(server) = RedisServer::start() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let link = runtime.block_on(Link::open(Options::new(&server.url()).unwrap())).unwrap();
    let settings = Settings { timeout: Duration::from_secs(5), ..Settings::default() };
    let rng_seed = if cases() > 24 { RngSeed::Random } else { RngSeed::Fixed(2_026) };
    let config = ProptestConfig {
        cases: cases(),
        rng_seed,
        max_shrink_iters: 600,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let steps = prop::collection::vec((0..200_u8, any::<u16>(), any::<u16>()), 20..200);
    let (granted, drawn) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    proptest!(config, |(units in 1..6_usize, parties in 1..5_usize, limits in limits(), settled in prop::bool::weighted(0.8), steps in steps)| {
        let infos = infos(units, &limits);
        redis_fixture::send(server.port(), &["FLUSHALL"]).unwrap();
        let mut twins = Twins {
            now: 0, server_ahead: 0, identity: 1, pure: BoardState::default(),
            board: RedisBoard::new(&link, &settings), link: link.clone(), port: server.port(), saved: None,
            parties: (0..parties).map(|name| Party::new(name, 1, &infos)).collect(),
            infos, last: None, granted: 0, drawn: 0,
        };
        runtime.block_on(async {
            // The board hears for the time of a lease whether anybody knows of an earlier one.
            twins.renew(0, 5).await;
            if settled {
                twins.now += 10_001;
            }
            for step in steps {
                twins.step(step).await;
            }
        });
        granted.set(granted.get() + twins.granted);
        drawn.set(drawn.get() + twins.drawn);
    });
    // Or the schedules would say little.
    assert!(granted.get() > 3 * cases() as usize && drawn.get() > 2 * cases() as usize, "{granted:?} {drawn:?}");
}
