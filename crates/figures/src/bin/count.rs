//! Allocations: `count memory KEYS MODELS | pick`. Prints one number.

use allocation_counter::measure;
use figures::{Args, picks::Picks, usage};

fn main() {
    let args = Args::of_process();
    let counted = match args.name() {
        "memory" => memory(args.number(1), args.number(2)),
        "pick" => pick(),
        _ => usage("count memory KEYS MODELS | pick"),
    };
    println!("{counted}");
}

/// Bytes that a key holds, its secret included, after it has served each model once or twice.
fn memory(keys: usize, models: usize) -> f64 {
    let mut pool = None;
    let counted = measure(|| {
        let mut picks = Picks::new(keys, models, 0);
        picks.warm_up();
        pool = Some(picks);
    });
    counted.bytes_current as f64 / keys as f64
}

/// Allocations of a pick and its end, the request's own aside.
fn pick() -> f64 {
    const PICKS: u32 = 10_000;
    let mut picks = Picks::new(1_000, 1, 0);
    picks.warm_up();
    let counted = measure(|| (0..PICKS).for_each(|_| picks.pick()));
    counted.count_total as f64 / f64::from(PICKS)
}
