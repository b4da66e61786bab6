//! What is timed over loopback, and against what:
//!
//! - `bench upstream`: canned answers; prints its address.
//! - `bench proxy ADDRESS`: a bare hyper reverse proxy before it; prints its own address.
//! - `bench ends KIND CONNECTIONS`: upstream and callers in one; prints its address, then asks what each line of its input
//!   names (`ADDRESS MILLISECONDS [REQUESTS_A_SECOND]`) and prints what it got as JSON.
//! - `bench threads ROUNDS`: two threads on one pool against one, as JSON.
//! - `bench resident`: 64 bodies of 20 MiB in flight, as JSON.

mod load;
mod proxy;
mod resident;
mod threads;
mod upstream;
mod wire;

use figures::args::Args;

fn main() -> anyhow::Result<()> {
    let args = Args::of_process();
    match args.name() {
        "upstream" => runtime()?.block_on(upstream::serve()),
        "proxy" => runtime()?.block_on(proxy::serve(args.text(1).to_owned())),
        "ends" => load::run(&one_thread()?, args.text(1).parse()?, args.number(2, 64)),
        "threads" => {
            println!("{}", threads::run(args.number(1, 5)));
            Ok(())
        }
        "resident" => {
            println!("{}", runtime()?.block_on(resident::run())?);
            Ok(())
        }
        _ => anyhow::bail!("bench upstream | proxy | ends | threads | resident"),
    }
}

/// As many workers as the process may use cores, as `keypool serve` has.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// One worker beside the thread that reads the input.
fn one_thread() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
}
