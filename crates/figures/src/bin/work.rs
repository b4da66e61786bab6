//! Workloads whose instructions callgrind counts: `work NAME ITERATIONS [PARAMETERS]`.
//!
//! `scripts/figures` runs each with two iteration counts and divides the difference, so that start-up costs nothing.

use figures::{
    args::Args,
    chats::{Chat, Size},
    picks::{Picks, Tokens},
    walks::{Asker, Traffic, Walk},
};

fn main() {
    let args = Args::of_process();
    let iterations = args.number(1, 1000);
    match args.name() {
        "pick" | "pass" => {
            let mut picks = Picks::new(args.number(2, 1000), args.number(3, 1), args.number(4, 0));
            for _ in 0..iterations {
                if args.name() == "pick" { picks.pick() } else { picks.pass() }
            }
        }
        "tokens" => {
            let mut tokens = Tokens::new(args.number(2, 1000));
            for _ in 0..iterations {
                tokens.pick();
            }
        }
        "walk" => {
            let traffic = Traffic::named(args.text(3));
            let (mut walk, asker) = (Walk::named(args.text(2), traffic, args.number(4, 1000)), Asker::new(traffic));
            for _ in 0..iterations {
                walk.send(&asker);
            }
        }
        "there" | "back" => {
            let chat = Chat::new(Size::named(args.text(2)));
            for _ in 0..iterations {
                std::hint::black_box(if args.name() == "there" { chat.there() } else { chat.back() });
            }
        }
        _ => {
            eprintln!("work pick|pass|tokens|walk|there|back ITERATIONS …");
            std::process::exit(2);
        }
    }
}
