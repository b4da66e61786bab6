//! A database that several work on.

mod full_disk;
mod gap;
mod learned;
mod living;
#[cfg(target_os = "linux")]
mod replaced;
mod versions;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::{
    super::{Desk, failure::Failure, migrate, read},
    SharedSqlite,
    notes::{self, Unfolded},
};
use crate::{
    limit::{Limit, Limits, Span, Unit},
    share::{
        Board, Books, Granted, Holder, HolderId, Kind, Moment, Noted, Settings, Spent, Started, UnitId, conformance,
        tests::wire::units,
    },
    store::{Batch, Crash, Credit, Notes, Run, Sqlite, Store, UnitRecord, UsageRecord, WindowRecord},
    time::{Clock, ManualClock, unix_ms},
};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime")
}

#[test]
fn the_board_is_as_a_board_must_be() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let next = std::cell::Cell::new(0);
        conformance::check(async || {
            let path = folder.path().join(format!("{}/keypool.db", next.replace(next.get() + 1)));
            Sqlite::open(path).and_then(Sqlite::share).expect("a database")
        })
        .await;
    });
}

fn now() -> i64 {
    unix_ms(Clock::system().wall())
}

fn used(moments: Vec<(i64, u64)>) -> UnitRecord {
    let limit = Limit { unit: Unit::Requests, span: Span::MINUTE, amount: 10 };
    let windows = vec![WindowRecord { limit, moments, held: 0, days: Vec::new() }];
    let credit = Credit { requests: 2, ..Credit::default() };
    UnitRecord { owner: "project".into(), lane: "flash".into(), epoch: 1, windows, credit, ..UnitRecord::default() }
}

#[test]
fn counts_go_from_one_who_works_alone_to_several_and_back() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        let alone = Sqlite::open(&path).expect("a database");
        alone.load().await.expect("nothing yet");
        let units = vec![used(vec![(now() - 5_000, 3)])];
        let begun = Some(Run::Begun { epoch: 1, crashes: Vec::new() });
        Store::write(&alone, Batch { units, run: begun, ..Batch::default() }.into()).await.expect("written");
        // It is killed.
        drop(alone);
        let shared = Sqlite::open(&path).and_then(Sqlite::share).expect("shared");
        let image = Store::load(&shared).await.expect("loaded");
        assert!(image.units.values().all(|unit| unit.windows.is_empty()) && !image.running);
        drop(shared);
        let alone = Sqlite::open(&path).expect("a database");
        let image = alone.load().await.expect("loaded");
        let windows = &image.units.values().next().expect("the unit").windows;
        let counts: u64 = windows[0].moments.iter().map(|moment| moment.1).sum();
        assert_eq!(counts, 3 + 2, "what was written, and what may have been started since");
        assert!(windows[0].moments.iter().all(|(at, _)| (now() - at).abs() < 7_000));
    });
}

#[test]
fn what_an_earlier_crash_left_unseen_goes_along() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        let alone = Sqlite::open(&path).expect("a database");
        alone.load().await.expect("nothing yet");
        let units = vec![used(vec![(now() - 5_000, 3)])];
        // The run that used it crashed; the next did not use it, and ended as it should.
        let crashes = vec![Crash { epoch: 1, noticed: now() - 2_000 }];
        let begun = Some(Run::Begun { epoch: 2, crashes });
        Store::write(&alone, Batch { units, run: begun, ..Batch::default() }.into()).await.expect("written");
        Store::write(&alone, Batch { run: Some(Run::Ended), ..Batch::default() }.into()).await.expect("written");
        drop(alone);
        let shared = Sqlite::open(&path).and_then(Sqlite::share).expect("shared");
        Store::load(&shared).await.expect("loaded");
        drop(shared);
        let image = Sqlite::open(&path).expect("a database").load().await.expect("loaded");
        let windows = &image.units.values().next().expect("the unit").windows;
        assert_eq!(windows[0].moments.iter().map(|moment| moment.1).sum::<u64>(), 3 + 2);
    });
}

#[test]
fn use_is_counted_once_whoever_folds_it() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        let one = Sqlite::open(&path).and_then(Sqlite::share).expect("shared");
        let usage = |requests| UsageRecord {
            day: "2026-06-15".into(),
            key: "hash".into(),
            lane: "flash".into(),
            requests,
            ..UsageRecord::default()
        };
        for n in 1..4 {
            Store::write(&one, Batch { usage: vec![usage(n)], ..Batch::default() }.into()).await.expect("written");
        }
        let seen = async |store: &Sqlite| {
            Store::usage(store, "2026-06-15", "2026-06-15")
                .await
                .expect("read")
                .iter()
                .map(|day| day.requests)
                .sum::<i64>()
        };
        assert_eq!(seen(one.database()).await, 6, "before it is folded");
        drop(one);
        let alone = Sqlite::open(&path).expect("a database");
        alone.load().await.expect("loaded");
        assert_eq!(seen(&alone).await, 6, "and after");
    });
}

/// Who took a process for dead has put what it noted into the table, and it does not do so once more.
#[test]
fn what_another_counted_of_one_that_was_taken_for_dead_is_counted_once() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000));
        let mut one = gap::noting(&path, &clock, 1);
        assert_eq!(one.renews(&clock, 10).await.len(), 2);
        let use_of = |number, requests| {
            let [day, key, lane] = ["2026-06-15", "hash", "flash"].map(Arc::from);
            let usage = vec![UsageRecord { day, key, lane, requests, ..UsageRecord::default() }];
            Arc::new(Batch { notes: Some(Notes { number, units: Vec::new() }), usage, ..Batch::default() })
        };
        let used = async |store: &Sqlite| {
            let used = Store::usage(store, "2026-06-15", "2026-06-15").await.expect("read");
            used.iter().map(|record| record.requests).sum::<i64>()
        };
        Store::write(&one.board, use_of(1, 5)).await.expect("noted");
        // Its lock is another's file by now.
        let lock = std::fs::read_dir(folder.path()).expect("a folder").flatten().map(|file| file.path());
        let lock = lock.into_iter().find(|path| path.to_string_lossy().contains(".run-")).expect("its lock");
        std::fs::remove_file(&lock).expect("removed");
        std::fs::write(&lock, "").expect("made");
        let mut two = gap::noting(&path, &clock, 2);
        clock.advance(Duration::from_secs(3));
        two.renews(&clock, 10).await;
        assert_eq!(used(two.board.database()).await, 5);
        Store::write(&one.board, use_of(2, 3)).await.expect("noted");
        clock.advance(Duration::from_secs(3));
        let mut renewal = one.holder.renewal(&mut one.books, Moment::of(&clock.clock())).expect("it is due");
        renewal.noted = 2;
        assert!(one.board.renew(&renewal).await.expect("an answer").stale);
        assert_eq!(used(two.board.database()).await, 5 + 3);
        Store::write(&one.board, use_of(3, 4)).await.expect("noted");
        Store::write(&one.board, Batch { run: Some(Run::Ended), ..Batch::default() }.into()).await.expect("ended");
        assert_eq!(used(two.board.database()).await, 5 + 3 + 4);
    });
}

#[test]
fn a_note_names_by_number_what_earlier_ones_named_and_says_it_again_once_they_are_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let one = Sqlite::open(folder.path().join("keypool.db")).and_then(Sqlite::share).expect("shared");
    let holder = one.holder().clone();
    let unit = UnitId::from("flash\nkey:aaaaaaaaaaaaaaaaaaaa");
    let [day, key, lane, id] = ["2026-06-15", "aaaaaaaaaaaaaaaaaaaa", "flash", "k-1"].map(Arc::from);
    let batch = move |number: u64| {
        let spent = Spent { requests: number, ..Spent::default() };
        let started = Some(Started { spent, dates: (9, 9) });
        let noted = Noted { unit: unit.clone(), fence: 1, counts: Vec::new(), started, ahead: spent };
        let [day, key, lane, id] = [&day, &key, &lane, &id].map(Arc::clone);
        let usage = UsageRecord { day, key, lane, id, requests: number as i64, ..UsageRecord::default() };
        Arc::new(Batch { notes: Some(Notes { number, units: vec![noted] }), usage: vec![usage], ..Batch::default() })
    };
    let worked = one.sqlite.run_here(move |desk| {
        let mut unfolded = Unfolded::default();
        let told = |desk: &mut Desk| {
            let of_holder = notes::of(&migrate::turn(&mut desk.connection)?, &holder)?;
            let started = |note: (u64, i64, Vec<Noted>)| note.2.first()?.started.map(|started| started.spent.requests);
            Ok::<_, Failure>(of_holder.into_iter().filter_map(started).collect::<Vec<_>>())
        };
        let used = |desk: &mut Desk| {
            let used = read::usage(&desk.connection, "2026-06-15", "2026-06-15")?;
            Ok::<_, Failure>(used.iter().map(|record| record.requests).sum::<i64>())
        };
        for number in 1..=3 {
            notes::write(desk, &mut unfolded, &holder, &batch(number), 0)?;
        }
        let lengths = {
            let mut rows = desk.connection.prepare("SELECT length(units) + length(usage) FROM board_notes")?;
            rows.query_map([], |row| row.get(0))?.collect::<Result<Vec<i64>, _>>()?
        };
        assert!(lengths[1] < lengths[0] / 2 && lengths[2] == lengths[1], "{lengths:?}");
        assert_eq!((told(desk)?, used(desk)?), (vec![1, 2, 3], 6));

        // The board has heard of the first two.
        let to = migrate::turn(&mut desk.connection)?;
        let folded = notes::fold(&to, &unfolded, &holder, 2)?;
        to.commit()?;
        unfolded = folded.expect("something was to be folded");
        let to = migrate::turn(&mut desk.connection)?;
        assert!(notes::fold(&to, &unfolded, &holder, 2)?.is_none(), "nothing was noted since");
        drop(to);
        assert_eq!((told(desk)?, used(desk)?), (vec![3], 6));
        notes::write(desk, &mut unfolded, &holder, &batch(4), 0)?;
        assert_eq!((told(desk)?, used(desk)?), (vec![3, 4], 10));

        // It is dead, and what it said last nobody can read: the rest counts.
        let bad = "INSERT INTO board_notes VALUES (?1, 5, 0, x'ff', x'ff')";
        desk.connection.execute(bad, [holder.as_str()])?;
        let to = migrate::turn(&mut desk.connection)?;
        notes::bury(&to, &holder)?;
        to.commit()?;
        assert_eq!((told(desk)?, used(desk)?), (Vec::new(), 10));
        Ok(())
    });
    worked.expect("written and read");
}

/// Whatever comes after what, no use is counted twice or lost, and what was started is said until the board has heard of it.
#[test]
fn what_keys_used_is_counted_once_through_folds_failures_deaths_and_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    for seed in 0..60 {
        let one = Sqlite::open(folder.path().join(format!("{seed}.db"))).and_then(Sqlite::share).expect("shared");
        let holder = one.holder().clone();
        let worked = one.sqlite.run_here(move |desk| {
            let mut random = fastrand::Rng::with_seed(seed);
            let names: Vec<[Arc<str>; 2]> =
                (0..5).map(|n| [format!("{n}").repeat(20), format!("key-{n}")].map(|name| Arc::from(&*name))).collect();
            let day: Arc<str> = "2026-06-15".into();
            let mut unfolded = Unfolded::default();
            let (mut number, mut all, mut heard, mut started) = (0, 0, 0, Vec::<(u64, u64)>::new());
            let in_table = "SELECT coalesce(sum(requests), 0) FROM key_usage";
            for _ in 0..random.usize(1..60) {
                match random.u8(..10) {
                    // The board hears of all notes but the last few.
                    0..3 => {
                        heard = number - random.u64(..3).min(number - heard);
                        let to = migrate::turn(&mut desk.connection)?;
                        let folded = notes::fold(&to, &unfolded, &holder, heard)?;
                        if random.u8(..4) == 0 {
                            // The disk was full.
                            drop(to);
                            unfolded.forget_names();
                        } else {
                            to.commit()?;
                            unfolded = folded.unwrap_or(unfolded);
                            started.retain(|note| note.0 > heard);
                        }
                    }
                    what => {
                        number += 1;
                        let mut units = Vec::new();
                        if what < 8 {
                            started.push((number, random.u64(1..9)));
                            let spent = Spent { requests: started[started.len() - 1].1, ..Spent::default() };
                            let unit = UnitId::from(&*format!("flash\nkey:{}", random.u8(..5)));
                            let of = Some(Started { spent, dates: (9, 9) });
                            units.push(Noted { unit, fence: 1, counts: Vec::new(), started: of, ahead: spent });
                        }
                        let mut usage = Vec::new();
                        for [key, id] in &names {
                            let requests = random.i64(0..9);
                            if requests == 0 {
                                continue;
                            }
                            all += requests;
                            let [day, key, lane, id] = [&day, key, key, id].map(Arc::clone);
                            usage.push(UsageRecord { day, key, id, lane, requests, ..UsageRecord::default() });
                        }
                        let batch = Batch { notes: Some(Notes { number, units }), usage, ..Batch::default() };
                        notes::write(desk, &mut unfolded, &holder, &batch, 0)?;
                    }
                }
                let used = read::usage(&desk.connection, &day, &day)?;
                assert_eq!(used.iter().map(|record| record.requests).sum::<i64>(), all, "seed {seed}");
                let noted = notes::of(&migrate::turn(&mut desk.connection)?, &holder)?;
                let noted = noted.iter().flat_map(|note| note.2.iter().map(|noted| (note.0, noted.started)));
                let noted =
                    noted.map(|(number, started)| (number, started.map_or(0, |started| started.spent.requests)));
                assert_eq!(noted.collect::<Vec<_>>(), started, "seed {seed}");
            }
            let ends = random.bool();
            if ends {
                let last = Batch { run: Some(Run::Ended), ..Batch::default() };
                notes::write(desk, &mut unfolded, &holder, &last, 0)?;
                assert_eq!(desk.connection.query_row(in_table, [], |row| row.get::<_, i64>(0))?, all, "seed {seed}");
            }
            let to = migrate::turn(&mut desk.connection)?;
            notes::bury(&to, &holder)?;
            to.commit()?;
            assert_eq!(desk.connection.query_row(in_table, [], |row| row.get::<_, i64>(0))?, all, "seed {seed}");
            Ok(())
        });
        worked.expect("written and read");
    }
}

/// A process of this version or the next, on a connection of its own.
struct Party {
    board: SharedSqlite,
    holder: Holder,
    books: Books,
    is_later: bool,
}

impl Party {
    fn new(path: &Path, clock: &ManualClock, name: &str, is_later: bool) -> Self {
        Self::limited(path, clock, (name, &Limits::new().per_minute(5)), is_later)
    }

    fn limited(path: &Path, clock: &ManualClock, (name, limits): (&str, &Limits), is_later: bool) -> Self {
        let units = units(limits);
        let board = Sqlite::open(path).and_then(|file| file.share_by(clock.clock())).expect("a database");
        let books = Books::new(&units, Duration::from_millis(250), jiff::tz::TimeZone::UTC);
        let seed = name.bytes().fold(7, |seed, byte| 31 * seed + u64::from(byte));
        let holder = Holder::new(HolderId::new(name, 1), Settings::default(), units, seed);
        Self { board, holder, books, is_later }
    }

    /// What was granted.
    async fn renews(&mut self, clock: &ManualClock, wants: u64) -> Vec<Granted> {
        let now = Moment::of(&clock.clock());
        self.holder.asked(&Kind::from("lane"), wants);
        self.holder.lacking(&Kind::from("lane"), wants, 0, now);
        let renewal = self.holder.renewal(&mut self.books, now).expect("it is due");
        let mut text = serde_json::to_value(renewal).expect("JSON");
        if self.is_later {
            // It says more than this one knows, in every part of the message.
            text["version"] = 2.into();
            text["mood"] = "fine".into();
            for held in text["held"].as_array_mut().expect("a list") {
                held["colour"] = "red".into();
            }
        }
        let renewal = serde_json::from_value(text).expect("a renewal");
        let reply = self.board.renew(&renewal).await.expect("an answer");
        self.holder.answered(&reply, &mut self.books, Moment::of(&clock.clock()));
        reply.granted
    }

    /// Its last: it serves nothing any more, as a pool does that ends.
    async fn ends(mut self, clock: &ManualClock) {
        self.holder.serve(Vec::new());
        let now = Moment::of(&clock.clock());
        self.holder.renew_now(now);
        let mut last = self.holder.renewal(&mut self.books, now).expect("it is due");
        last.ends = true;
        self.board.renew(&last).await.expect("an answer");
    }
}

#[test]
fn versions_that_follow_each_other_share_a_file() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000));
        let mut later = Party::new(&path, &clock, "later", true);
        let mut own = Party::new(&path, &clock, "own", false);
        assert_eq!(later.renews(&clock, 10).await.len(), 2);
        clock.advance(Duration::from_millis(2_500));
        assert!(own.renews(&clock, 10).await.is_empty(), "the other holds all");
        for _ in 0..4 {
            clock.advance(Duration::from_millis(2_500));
            later.renews(&clock, 0).await;
            own.renews(&clock, 10).await;
        }
        // Whoever needs nothing gave all back, and what this version does not know went along.
        assert_eq!(own.holder.held().count(), 2);
        assert_eq!(later.holder.held().count(), 0);
        let row = |sql: &str| -> String {
            rusqlite::Connection::open(&path).and_then(|file| file.query_row(sql, [], |row| row.get(0))).expect("a row")
        };
        assert!(row("SELECT record FROM board_holders WHERE holder = 'later/1'").contains(r#""mood":"fine""#));
        assert!(row("SELECT record FROM board_units WHERE unit = 'a'").contains(r#""colour":"red""#));
        // And back again.
        for _ in 0..4 {
            clock.advance(Duration::from_millis(2_500));
            own.renews(&clock, 0).await;
            later.renews(&clock, 10).await;
        }
        assert_eq!(later.holder.held().count(), 2);
    });
}

/// What the next process serves is mostly what the last one did: its first request is not to wait until that is written again,
/// and what nobody serves any more is no difference.
#[test]
fn a_process_that_ended_leaves_what_it_served_to_the_next_and_differs_from_nobody() {
    runtime().block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        let clock = ManualClock::at(SystemTime::UNIX_EPOCH + Duration::from_secs(1_781_550_000));
        let served = || -> Vec<i64> {
            let file = rusqlite::Connection::open(&path).expect("a file");
            let mut rows = file.prepare("SELECT roster FROM board_rosters WHERE length(units) > 2").expect("a table");
            rows.query_map([], |row| row.get(0)).and_then(Iterator::collect).expect("rosters")
        };
        let limits = Limits::new().per_minute(5);
        let mut first = Party::limited(&path, &clock, ("first", &limits), false);
        first.renews(&clock, 10).await;
        let of_first = served();
        assert_eq!(of_first.len(), 1);
        first.ends(&clock).await;
        assert_eq!(served(), of_first, "it stays for whoever comes next");

        let mut next = Party::limited(&path, &clock, ("next", &limits), false);
        let now = Moment::of(&clock.clock());
        next.holder.renew_now(now);
        let renewal = next.holder.renewal(&mut next.books, now).expect("it is due");
        let reply = next.board.renew(&renewal).await.expect("an answer");
        assert!(!reply.differ && !reply.unknown_roster, "{reply:?}");
        next.holder.answered(&reply, &mut next.books, now);
        assert_eq!(served(), of_first);

        let mut other = Party::limited(&path, &clock, ("other", &limits.clone().per_day(9)), false);
        other.renews(&clock, 1).await;
        assert_eq!(served().len(), 2, "two are in use");
        next.ends(&clock).await;
        other.ends(&clock).await;
        let mut third = Party::limited(&path, &clock, ("third", &limits.per_minute(7)), false);
        third.renews(&clock, 1).await;
        assert_eq!(served().len(), 1, "nobody has the others");
    });
}
