//! Two threads that pick from one pool, against one.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use figures::{picks, plain::Plain};
use serde_json::{Value, json};
use tower_keypool::{Demand, KeyPool, Limits, ManualClock, Verdict};

const KEYS: usize = 1000;
/// How long each measurement takes.
const SPAN: Duration = Duration::from_millis(200);
/// What one pick moves the clock on by: 70 % of what the keys may start.
const STEP: Duration = Duration::from_micros(5_714);

/// Picks a second of two threads over those of one, round by round (one, two, two, one).
pub(crate) fn run(rounds: usize) -> Value {
    let time = picks::clock();
    let pool = KeyPool::builder(Plain::new())
        .keys(picks::keys(KEYS))
        .limits("gemini-2.5-flash", Limits::new().per_minute(15).per_day(30_000))
        .clock(time.clock())
        .build()
        .expect("a pool");
    rate(&pool, &time, 2);
    let ratios: Vec<f64> = (0..rounds)
        .map(|_| {
            let rates = [1, 2, 2, 1].map(|threads| rate(&pool, &time, threads));
            (rates[1] + rates[2]) / (rates[0] + rates[3])
        })
        .collect();
    json!({ "ratios": ratios, "one a second": rate(&pool, &time, 1), "two a second": rate(&pool, &time, 2) })
}

#[expect(clippy::disallowed_methods, reason = "the wall clock is what is measured")]
fn rate(pool: &KeyPool, time: &ManualClock, threads: usize) -> f64 {
    let (stop, picked, begin) = (AtomicBool::new(false), AtomicU64::new(0), Barrier::new(threads + 1));
    let span = thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let demand = Demand::new("gemini-2.5-flash");
                begin.wait();
                let mut own = 0;
                while !stop.load(Ordering::Relaxed) {
                    time.advance(STEP);
                    if let Ok(lease) = pool.try_acquire(demand.clone()) {
                        lease.settle(&Verdict::SUCCESS);
                        own += 1;
                    }
                }
                picked.fetch_add(own, Ordering::Relaxed);
            });
        }
        begin.wait();
        let began = Instant::now();
        thread::sleep(SPAN);
        stop.store(true, Ordering::Relaxed);
        began.elapsed()
    });
    picked.load(Ordering::Relaxed) as f64 / span.as_secs_f64()
}
