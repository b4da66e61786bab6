//! Workloads whose instructions callgrind counts: `work pick|unknown ROUNDS KEYS COOLING`, `work walk ROUNDS STACK
//! TRAFFIC`. Only functions named `counted` are counted.

use figures::{
    Args,
    picks::Picks,
    usage,
    walks::{Asker, Traffic, Walk},
};

fn main() {
    let args = Args::of_process();
    let (name, rounds) = (args.name(), args.number(1));
    match name {
        "pick" | "unknown" => {
            let mut picks = Picks::new(args.number(2), 1, args.number(3));
            if name == "pick" {
                picks.warm_up();
                (0..rounds).for_each(|_| picks.pick());
            } else {
                picks.warm_up_unknown();
                (0..rounds).for_each(|_| picks.pick_unknown(true));
            }
        }
        "walk" => {
            let traffic = Traffic::named(args.text(3));
            let (mut walk, asker) = (Walk::named(args.text(2), traffic), Asker::new(traffic));
            (0..rounds).for_each(|_| walk.send(&asker));
        }
        _ => usage("work pick|unknown ROUNDS KEYS COOLING, work walk ROUNDS STACK TRAFFIC"),
    }
}
