//! `keypool serve` against a bare hyper reverse proxy: requests a second, CPU time a request, memory, start.
//!
//! `cargo bench -p keypool --bench serve [-- json post events idle]`. Everything runs on loopback, in processes of its
//! own, and ends by itself. What is compared is interleaved (A B B A); ratios are medians of the pairs.

mod bare;
mod children;
mod load;
mod upstream;

use std::time::Duration;

use children::{Child, Keypool};
use load::{Load, Scenario};

/// Pairs of A B B A.
const ROUNDS: usize = 5;
const SPAN: Duration = Duration::from_millis(1500);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    // The bench starts itself again for the parts that need a process of their own.
    match args.first().map(String::as_str) {
        Some("upstream") => return upstream::run(),
        Some("bare") => return bare::run(&args[1]),
        _ => {}
    }
    let wanted = |name: &str| args.is_empty() || args.iter().any(|arg| arg == name);
    let upstream = Child::upstream();
    for (name, scenario) in [("json", Scenario::Json), ("post", Scenario::Post), ("events", Scenario::Events)] {
        if wanted(name) {
            compare(name, scenario, &upstream);
        }
    }
    if wanted("idle") {
        idle(&upstream);
    }
}

fn compare(name: &str, scenario: Scenario, upstream: &Child) {
    let bare = Child::bare(&upstream.url);
    let ours = Keypool::start(&upstream.url, 1000);
    let load = Load::new(scenario);
    // Connections are opened and pools filled.
    for child in [&bare, &ours.child] {
        load.run(&child.url, Duration::from_millis(500));
    }
    let (mut rates, mut cpus) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let order: [&Child; 2] = if round % 2 == 0 { [&bare, &ours.child] } else { [&ours.child, &bare] };
        let [a, b] = order.map(|child| child.measure(|| load.run(&child.url, SPAN)));
        let (bare, ours) = if round % 2 == 0 { (a, b) } else { (b, a) };
        rates.push(ours.rate / bare.rate);
        cpus.push(ours.cpu_us / bare.cpu_us);
        println!(
            "  {name}: bare {:.0}/s {:.1} us CPU; keypool {:.0}/s {:.1} us CPU",
            bare.rate, bare.cpu_us, ours.rate, ours.cpu_us
        );
    }
    println!("{name}: rate x{:.3}, CPU x{:.3} (medians of {ROUNDS} pairs)", median(&mut rates), median(&mut cpus));
}

fn idle(upstream: &Child) {
    let mut starts = Vec::new();
    let mut resident = 0;
    for _ in 0..5 {
        let keypool = Keypool::start(&upstream.url, 1000);
        starts.push(keypool.to_first_answer.as_secs_f64() * 1e3);
        std::thread::sleep(Duration::from_millis(300));
        resident = keypool.child.resident_kib();
    }
    starts.sort_by(f64::total_cmp);
    println!(
        "idle: {:.1} MiB resident with 1,000 keys; {:.0} ms from start to first answer",
        resident as f64 / 1024.0,
        starts[0]
    );
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
