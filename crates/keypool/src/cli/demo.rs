//! `keypool demo`: the pool at work, without a key of one's own.

use std::time::Duration;

use clap::Args;

use super::Failure;
use crate::demo::{self, Play};

/// Watch ten keys serve mixed traffic against a simulator: real HTTP, nothing leaves this machine.
///
/// Some keys are rate limited, one is suspended, one is invalid; the client sees only 200s. At the end stands what the
/// same traffic would have seen with a key chosen at random.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Demo {
    /// How long the traffic lasts, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(3..=3600))]
    seconds: u32,

    /// Another seed, another traffic
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Plain lines, as when standard output is no terminal
    #[arg(long)]
    plain: bool,
}

const EXAMPLES: &str = "\
Examples:
  keypool demo
  keypool demo --seconds 90 --seed 7
  keypool demo --plain | tee demo.log";

impl Demo {
    pub(super) fn run(self) -> Result<(), Failure> {
        let play = Play { length: Duration::from_secs(self.seconds.into()), seed: self.seed, plain: self.plain };
        super::runtime()?.block_on(async {
            tokio::select! {
                ended = demo::play(&play) => ended.map_err(Failure::run),
                // Asked to end: that is an end as asked.
                () = super::interrupted() => {
                    demo::interrupted();
                    Ok(())
                }
            }
        })
    }
}
