//! Processes that differ: in what they can serve, and in their version.

use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;
use redis_fixture::RedisServer;

use super::dump::dump;
use crate::{
    limit::Limits,
    redis::{Link, OnMissing, Options, Script},
    share::{
        Board, Books, Holder, HolderId, Kind, Leave, Ledger, Moment, OnStoreLoss, RedisBoard, Reply, Settings, Spent,
        UnitId, UnitInfo,
    },
    store::{Batch, Redis, Run, Store},
    time::{Clock, Tick},
};

const NOON: i64 = 20_000 * 86_400_000 + 43_200_000;

fn at(ms: i64) -> Moment {
    Moment { tick: Tick::from_nanos((ms as u64 + 200_000_000) * 1_000_000), wall_ms: NOON + ms }
}

struct Party {
    holder: Holder,
    books: Books,
}

fn units(names: &[&str]) -> Vec<UnitInfo> {
    let info = |name: &&str| UnitInfo {
        unit: UnitId::from(*name),
        kind: Kind::from("lane"),
        limits: Limits::new().per_minute(10),
        guard: None,
        joins: Vec::new(),
    };
    names.iter().map(info).collect()
}

impl Party {
    fn new(name: &str, names: &[&str]) -> Self {
        let infos = units(names);
        Self {
            books: Books::new(&infos, Duration::from_millis(250), TimeZone::UTC),
            holder: Holder::new(HolderId::new(name, 1), Settings::default(), infos, 7),
        }
    }

    async fn renews(&mut self, board: &RedisBoard, ms: i64, wants: u64) -> Reply {
        self.holder.asked(&Kind::from("lane"), wants);
        self.holder.lacking(&Kind::from("lane"), wants, 0, at(ms));
        let renewal = self.holder.renewal(&mut self.books, at(ms)).expect("it is due");
        let reply = board.call(&renewal, &(NOON + ms).to_string(), "1").await.unwrap();
        self.holder.answered(&reply, &mut self.books, at(ms));
        reply
    }

    fn held(&self) -> Vec<&str> {
        self.holder.held().map(UnitId::as_str).collect()
    }
}

async fn board(server: &RedisServer) -> (Link, RedisBoard) {
    let link = Link::open(Options::new(&server.url()).unwrap()).await.unwrap();
    let board = RedisBoard::new(&link, &Settings { timeout: Duration::from_secs(5), ..Settings::default() });
    (link, board)
}

/// A machine that lacks a key's secret leaves its unit out of what it can serve.
#[tokio::test]
async fn a_unit_is_lent_to_nobody_who_cannot_serve_it() {
    let Some(server) = RedisServer::start() else { return };
    let (_, board) = board(&server).await;
    let (mut whole, mut part) = (Party::new("whole", &["a", "b", "c"]), Party::new("part", &["a"]));
    part.renews(&board, 0, 100).await;
    whole.renews(&board, 1, 0).await;
    let reply = part.renews(&board, 10_001, 100).await;
    assert_eq!(part.held(), ["a"]);
    assert_eq!(reply.dry, [Kind::from("lane")], "it lacks some, and may not have the others");
    whole.renews(&board, 10_002, 100).await;
    assert!(!whole.held().is_empty() && !whole.held().contains(&"a"));
    // The secret is taken from it: its unit goes back, and to the one who has it.
    part.holder.serve(units(&[]));
    for round in 0..8 {
        part.renews(&board, 12_600 + round * 2_500, 100).await;
        assert!(part.held().is_empty(), "{:?}", part.held());
        whole.renews(&board, 12_700 + round * 2_500, 100).await;
    }
    assert_eq!(whole.held(), ["a", "b", "c"]);
}

#[tokio::test]
async fn the_rights_that_the_documents_name_are_enough() {
    let Some(server) = RedisServer::start() else { return };
    let rights = "~{keypool} ~{keypool}:* +@read +@write +@scripting +@transaction +@connection +time +info";
    let mut words = vec!["ACL", "SETUSER", "somebody", "on", ">not-a-real-password"];
    words.extend(rights.split(' '));
    server.command(&words);
    let options = Options::new(&server.url()).unwrap().user("somebody").password("not-a-real-password");
    let link = Link::open(options).await.unwrap();
    assert_eq!(link.warnings(), [""; 0]);
    let board = RedisBoard::new(&link, &Settings { timeout: Duration::from_secs(5), ..Settings::default() });
    let mut one = Party::new("one", &["a"]);
    let renewal = one.holder.renewal(&mut one.books, at(0)).unwrap();
    let reply = board.renew(&renewal).await.unwrap();
    assert!(reply.time > NOON, "the server's own time");
    let run_id = server.command(&["HGET", "{keypool}:board", "server"]);
    assert_eq!(run_id.text().len(), 40, "and who it is: {run_id:?}");
    let store = Redis::new(&link);
    let run = Some(Run::Begun { epoch: 3, crashes: Vec::new() });
    store.write(Arc::new(Batch { run, ..Batch::default() })).await.unwrap();
    assert_eq!(store.load().await.unwrap().epoch, 3);
    assert!(store.usage("2026-01-01", "2026-12-31").await.unwrap().is_empty());
    assert!(store.imports().await.unwrap().is_empty());
}

/// Another version's script, and what it keeps beside, share the board.
#[tokio::test]
async fn what_a_later_version_keeps_stays() {
    let Some(server) = RedisServer::start() else { return };
    let (link, board) = board(&server).await;
    let mut one = Party::new("one", &["a", "b"]);
    one.renews(&board, 0, 0).await;
    one.renews(&board, 10_001, 100).await;
    let later = Script::new(
        "redis.call('HSET', KEYS[1] .. ':board', 'mood', 'fine')
         redis.call('HSET', KEYS[1] .. ':unit:a', 'colour', 'red')
         local one = cmsgpack.unpack(redis.call('HGET', KEYS[1] .. ':holders', 'one/1'))
         one.zeal = {7}
         redis.call('HSET', KEYS[1] .. ':holders', 'one/1', cmsgpack.pack(one))",
    );
    link.run(&later, &[], Duration::from_secs(1)).await.unwrap();
    let mut other = Party::new("other", &["a", "b"]);
    for round in 0..30 {
        one.renews(&board, 12_600 + round * 2_500, 0).await;
        other.renews(&board, 12_700 + round * 2_500, 20).await;
    }
    assert!(!other.held().is_empty(), "units went from one to the other");
    let kept = Script::new(
        "local one = cmsgpack.unpack(redis.call('HGET', KEYS[1] .. ':holders', 'one/1'))
         return redis.call('HGET', KEYS[1] .. ':board', 'mood') .. redis.call('HGET', KEYS[1] .. ':unit:a', 'colour')
           .. one.zeal[1]",
    );
    let answer = link.run(&kept, &[], Duration::from_secs(1)).await.unwrap();
    assert_eq!(answer, redis::Value::BulkString(b"finered7".to_vec()));
    assert!(dump(&link).await.generation() > 0, "and this version reads it");
}

/// The server is missing at start and that was provided for: limits are divided until it answers.
#[tokio::test]
async fn a_process_that_began_alone_takes_its_share_and_joins() {
    let Some(mut server) = RedisServer::start() else { return };
    server.kill();
    let options = Options::new(&server.url()).unwrap().on_missing(OnMissing::Local { expected_processes: 4 });
    let link = Link::open(options).await.unwrap();
    let processes = link.missing_at_start().unwrap();
    let settings = Settings {
        timeout: Duration::from_millis(300),
        on_store_loss: OnStoreLoss::FairShare { processes },
        ..Settings::for_lease(Duration::from_millis(500))
    };
    let (board, clock, infos) = (RedisBoard::new(&link, &settings), Clock::system(), units(&["a"]));
    let mut books = Books::new(&infos, Duration::from_millis(250), TimeZone::UTC);
    let mut holder = Holder::new(HolderId::new("one", 1), settings, infos, 7);
    let one = Spent { requests: 1, ..Spent::default() };
    let mut leave = None;
    for round in 0..300 {
        let now = Moment::of(&clock);
        holder.lacking(&Kind::from("lane"), 1, 0, now);
        if let Some(renewal) = holder.renewal(&mut books, now) {
            match board.renew(&renewal).await {
                Ok(reply) => holder.answered(&reply, &mut books, Moment::of(&clock)),
                Err(_) => holder.failed(Moment::of(&clock)),
            }
        }
        let now = Moment::of(&clock);
        let dates = books.dates(now);
        leave = holder.may_start(&UnitId::from("a"), &one, dates, now).ok();
        if round == 5 {
            assert_eq!(leave, Some(Leave::FairShare(4)));
            server.start_again();
        }
        if leave == Some(Leave::Held) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(leave, Some(Leave::Held), "{:?}", holder.counters());
    assert_eq!(link.missing_at_start(), None);
}
