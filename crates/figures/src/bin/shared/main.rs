//! Several processes on one database or one Redis, over the simulator, in real minutes: `shared SCENE sqlite|redis`.
//! Prints one JSON object. The processes are this program again (`shared worker`), each with the whole stack on a pool that
//! it shares; the simulator's own exact windows say what came over a limit.

mod cluster;
mod counted;
mod over;
mod scenes;
mod seen;
mod server;
mod worker;

use figures::args::Args;

fn main() -> anyhow::Result<()> {
    let args = Args::of_process();
    if args.name() == "worker" {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        return runtime.block_on(worker::work(serde_json::from_str(args.text(1))?));
    }
    // The simulator's thread, and one that reads and steers.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let told = runtime.block_on(scenes::run(args.name(), args.text(1)))?;
    println!("{told}");
    Ok(())
}
