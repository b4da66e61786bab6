//! Exactness and goodput in virtual time: `virtual SCENE [quick]`. The whole stack over the simulator in process, on a
//! paused clock. Prints one JSON object.

mod picking;

use figures::{
    args::Args,
    scenes::{batched, failing, saturated, saturated::Scale, stage},
};

fn main() {
    let args = Args::of_process();
    let quick = args.text(1) == "quick";
    let told = match args.name() {
        "goodput" => stage::run(saturated::known(Scale::full(quick))),
        "unknown" => stage::run(saturated::unknown(Scale::full(quick))),
        "burst" => stage::run(saturated::burst()),
        "half-full" => picking::half_full(),
        "failover" => stage::run(failing::failover(1_000, 10_000, 7)),
        "amplification" => stage::run(failing::amplification(200, if quick { 20_000 } else { 100_000 }, 7)),
        "batch" => stage::run(batched::weathered(10_000, 7)),
        _ => {
            eprintln!("virtual goodput | unknown | burst | half-full | failover | amplification | batch [quick]");
            std::process::exit(2);
        }
    };
    println!("{told}");
}
