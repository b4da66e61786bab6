//! Allocations: `count memory KEYS MODELS | pick | walk STACK TRAFFIC | copies`. Prints one number.

use allocation_counter::measure;
use figures::{
    Args, bodies,
    picks::{self, Picks},
    usage,
    walks::{Asker, Traffic, Walk},
};

fn main() {
    let args = Args::of_process();
    let counted = match args.name() {
        "memory" => memory(args.number(1), args.number(2)),
        "pick" => pick(),
        "walk" => walk(args.text(1), Traffic::named(args.text(2))),
        "copies" => [1 << 10, 64 << 10, 1 << 20, 20 << 20].into_iter().map(copies).fold(0.0, f64::max),
        _ => usage("count memory KEYS MODELS | pick | walk STACK TRAFFIC | copies"),
    };
    println!("{counted}");
}

/// Returns the number of bytes per key, without the text of its secret, after each key has served each model.
fn memory(keys: usize, models: usize) -> f64 {
    let mut pool = None;
    let counted = measure(|| {
        let mut picks = Picks::new(keys, models, 0);
        picks.warm_up();
        pool = Some(picks);
    });
    counted.bytes_current as f64 / keys as f64 - picks::secret(0).len() as f64
}

/// Returns the number of allocations per pick and report.
fn pick() -> f64 {
    const PICKS: u32 = 10_000;
    let mut picks = Picks::new(1_000, 1, 0);
    picks.warm_up();
    let counted = measure(|| (0..PICKS).for_each(|_| picks.pick()));
    counted.count_total as f64 / f64::from(PICKS)
}

/// Returns the number of allocations per request and response of a stack.
fn walk(name: &str, traffic: Traffic) -> f64 {
    const REQUESTS: u32 = 2_000;
    let (mut walk, asker) = (Walk::named(name, traffic), Asker::new(traffic));
    (0..5_000).for_each(|_| walk.send(&asker));
    let counted = measure(|| (0..REQUESTS).for_each(|_| walk.send(&asker)));
    counted.count_total as f64 / f64::from(REQUESTS)
}

/// Returns how often each byte of a body is copied when it is sent three times.
fn copies(size: usize) -> f64 {
    bodies::copied(size) as f64 / size as f64
}
