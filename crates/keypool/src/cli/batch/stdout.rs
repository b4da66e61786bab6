//! Results as lines on standard output.

use std::io::{self, IsTerminal, Write};

use keypool_client::batch::{Ended, Run};

/// Lets it run to its end. What else comes back is why not all results are there: then nothing more is begun.
pub(super) async fn print(mut run: Run) -> (Ended, Option<io::Error>) {
    let mut failed = None;
    let on_terminal = io::stdout().is_terminal();
    while let Some(result) = run.next().await {
        if failed.is_some() {
            continue;
        }
        let mut line = serde_json::to_string(&result).unwrap_or_default();
        if on_terminal {
            // What acts on it is written by number, which is the same JSON.
            line = crate::telemetry::harmless(&line);
        }
        line.push('\n');
        if let Err(error) = io::stdout().write_all(line.as_bytes()) {
            failed = Some(error);
            run.watch().stop();
        }
    }
    (run.ended(), failed)
}
