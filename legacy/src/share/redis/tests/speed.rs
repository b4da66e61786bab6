//! How long the server works at a renewal: nobody else is served meanwhile.

use std::time::Duration;

use jiff::tz::TimeZone;
use redis_fixture::RedisServer;

use crate::{
    limit::Limits,
    redis::{Link, Options},
    share::{Books, Holder, HolderId, Kind, Moment, RedisBoard, Settings, Spent, UnitId, UnitInfo},
    time::Tick,
};

const UNITS: usize = 1_000;
const PROCESSES: usize = 4;
const NOON: i64 = 20_000 * 86_400_000 + 43_200_000;

fn at(ms: i64) -> Moment {
    Moment { tick: Tick::from_nanos((ms as u64 + 200_000_000) * 1_000_000), wall_ms: NOON + ms }
}

/// Milliseconds of the server's CPU that a renewal took since this was asked last.
fn spent(server: &RedisServer, before: &mut f64) -> f64 {
    let info = |section: &str| server.command(&["INFO", section]).text().to_owned();
    let value = |text: &str, name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map_or(0.0, |value| value.trim().parse().unwrap())
    };
    let cpu = info("cpu");
    let now = 1e3 * (value(&cpu, "used_cpu_user_main_thread") + value(&cpu, "used_cpu_sys_main_thread"));
    let stats = info("commandstats");
    let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")?.split_once(','));
    let calls = calls.map_or(1.0, |calls| calls.0.parse::<f64>().unwrap());
    server.command(&["CONFIG", "RESETSTAT"]);
    (now - std::mem::replace(before, now)) / calls
}

#[tokio::test]
async fn a_renewal_among_a_thousand_units_is_quick() {
    let Some(server) = RedisServer::start() else { return };
    let link = Link::open(Options::new(&server.url()).unwrap()).await.unwrap();
    let settings = Settings { timeout: Duration::from_secs(20), ..Settings::default() };
    let board = RedisBoard::new(&link, &settings);
    let kind = Kind::from("lane");
    let infos: Vec<UnitInfo> = (0..UNITS)
        .map(|n| UnitInfo {
            unit: UnitId::from(format!("owner-{n:04}/model").as_str()),
            kind: kind.clone(),
            limits: Limits::new().per_minute(100).per_day(10_000),
            guard: None,
            joins: Vec::new(),
        })
        .collect();
    let holder = |name: usize| Holder::new(HolderId::new(&format!("p{name}"), 1), settings.clone(), infos.clone(), 7);
    let books = || Books::new(&infos, Duration::from_millis(250), TimeZone::UTC);
    let mut parties: Vec<(Holder, Books)> = (0..PROCESSES).map(|name| (holder(name), books())).collect();
    let (mut figures, mut cpu) = (Vec::new(), 0.0);
    spent(&server, &mut cpu);
    let mut now = 0;
    for round in 0..30 {
        for (holder, books) in &mut parties {
            holder.asked(&kind, 1_000);
            // So many that each lacks some until all are lent.
            let waiting = if round < 12 { 100 * UNITS as u64 / PROCESSES as u64 } else { 0 };
            holder.lacking(&kind, waiting, 0, at(now));
            let spent = Spent { requests: 1, ..Spent::default() };
            let held: Vec<UnitId> = holder.held().cloned().collect();
            let dates = crate::share::Ledger::dates(books, at(now));
            for unit in &held {
                for _ in 0..8 {
                    if holder.may_start(unit, &spent, dates, at(now)).is_ok() && books.start(unit, &spent, at(now)) {
                        holder.started(unit, &spent, dates, at(now));
                    }
                }
            }
            let Some(renewal) = holder.renewal(books, at(now)) else { continue };
            let reply = board.call(&renewal, &(NOON + now).to_string(), "1").await.unwrap();
            holder.answered(&reply, books, at(now));
        }
        figures.push(spent(&server, &mut cpu));
        now += if round == 0 { 10_001 } else { 2_500 };
    }
    let held: usize = parties.iter().map(|party| party.0.held().count()).sum();
    // All of it dies, and whoever comes next looks at everything that was counted.
    now += 75_000;
    let (mut next, mut own) = (holder(9), books());
    next.lacking(&kind, 90_000, 0, at(now));
    let renewal = next.renewal(&mut own, at(now)).unwrap();
    let reply = board.call(&renewal, &(NOON + now).to_string(), "1").await.unwrap();
    let all_at_once = spent(&server, &mut cpu);
    let steady = figures[20..].iter().sum::<f64>() / 10.0;
    println!(
        "{held} held; a renewal {steady:.1} ms of the server's time, at most {:.1}; with {} granted at once {all_at_once:.1}",
        figures.iter().fold(0.0_f64, |most, each| most.max(*each)),
        reply.granted.len()
    );
    assert!(held > UNITS / 10 && reply.granted.len() > UNITS / 2, "{held}, {}", reply.granted.len());
    // Far more than it takes, also on a machine that is busy.
    assert!(steady < 100.0 && all_at_once < 500.0, "{steady} and {all_at_once} ms");
}
