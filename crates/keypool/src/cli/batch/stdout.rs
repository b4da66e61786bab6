//! Results as lines on standard output.

use std::io::{self, Write};

use keypool_client::batch::{Ended, Run};

/// Lets it run to its end. What else comes back is why not all results are there: then nothing more is begun.
pub(super) async fn print(mut run: Run) -> (Ended, Option<io::Error>) {
    let mut failed = None;
    while let Some(result) = run.next().await {
        if failed.is_some() {
            continue;
        }
        let mut line = serde_json::to_vec(&result).unwrap_or_default();
        line.push(b'\n');
        if let Err(error) = io::stdout().write_all(&line) {
            failed = Some(error);
            run.watch().stop();
        }
    }
    (run.ended(), failed)
}
