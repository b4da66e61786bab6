//! What is timed over loopback, and against what:
//!
//! - `bench upstream`: canned answers; prints its address.
//! - `bench proxy ADDRESS`: a bare hyper reverse proxy before it; prints its own address.
//! - `bench ends KIND CONNECTIONS [TOKEN]`: upstream and callers in one; prints its address, then asks what each line of
//!   its input names (`ADDRESS MILLISECONDS [REQUESTS_A_SECOND]`) and prints what it got as JSON.
//! - `bench held COUNT [TOKEN]`: the same for streams that stay open, until a second line.
//! - `bench threads ROUNDS`: two threads on one pool against one, as JSON.
//! - `bench resident`: 64 bodies of 20 MiB in flight, as JSON.

mod held;
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
        "ends" => load::run(&one_thread()?, args.text(1).parse()?, args.number(2, 64), token(&args)),
        "held" => held::run(&one_thread()?, args.number(1, 1000), token(&args)),
        "threads" => {
            println!("{}", threads::run(args.number(1, 5)));
            Ok(())
        }
        "resident" => {
            println!("{}", runtime()?.block_on(resident::run())?);
            Ok(())
        }
        _ => anyhow::bail!("bench upstream | proxy | ends | held | threads | resident"),
    }
}

/// What callers send: the gateway's one token, unless another is named.
fn token(args: &Args) -> &str {
    Some(args.text(3 - usize::from(args.name() == "held")))
        .filter(|token| !token.is_empty())
        .unwrap_or("PLACEHOLDER_GEMINI_TOKEN")
}

/// As many workers as the process may use cores, as `keypool serve` has.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

/// One worker beside the thread that reads the input.
fn one_thread() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()
}
