//! Exactness and goodput in virtual time: `virtual SCENE [quick]`. The whole stack over the simulator in process, on a
//! paused clock. Prints one JSON object.

mod failing;
mod picking;
mod saturated;
mod scene;

use figures::args::Args;

fn main() {
    let args = Args::of_process();
    let quick = args.text(1) == "quick";
    let told = match args.name() {
        "goodput" => scene::run(saturated::known(quick)),
        "unknown" => scene::run(saturated::unknown(quick)),
        "burst" => scene::run(saturated::burst()),
        "half-full" => picking::half_full(),
        "failover" => scene::run(failing::failover()),
        "amplification" => scene::run(failing::amplification(quick)),
        _ => {
            eprintln!("virtual goodput | unknown | burst | half-full | failover | amplification [quick]");
            std::process::exit(2);
        }
    };
    println!("{told}");
}
