//! Workloads whose instructions callgrind counts: `work NAME ROUNDS KEYS COOLING`. What counts stands in a function of its own.

use figures::{Args, picks::Picks, usage};

fn main() {
    let args = Args::of_process();
    let (name, rounds) = (args.name(), args.number(1));
    match name {
        "pick" | "unknown" => {
            let mut picks = Picks::new(args.number(2), 1, args.number(3));
            picks.warm_up();
            for _ in 0..rounds {
                if name == "pick" { picks.pick() } else { picks.pick_unknown() }
            }
        }
        _ => usage("work pick|unknown ROUNDS KEYS COOLING"),
    }
}
