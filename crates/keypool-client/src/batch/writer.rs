//! The one writer: results go to the output, and only then to whoever counts or listens.

use std::{sync::Arc, time::Duration};

use tokio::sync::mpsc;

use super::{Output, TaskResult, desk::Stop, shared::Shared};

/// What is written outlives the machine this much later.
const SYNC: Duration = Duration::from_secs(1);
/// So many results are written at once.
const AT_ONCE: usize = 512;

/// Writes until nobody sends any more, then puts the output in its last form.
pub(crate) async fn write(
    mut results: mpsc::Receiver<TaskResult>,
    output: Option<Arc<Output>>,
    listener: mpsc::Sender<TaskResult>,
    shared: Arc<Shared>,
) {
    let (mut batch, mut lines) = (Vec::with_capacity(AT_ONCE), Vec::new());
    let mut unsynced = false;
    let mut failed = false;
    loop {
        let count = if unsynced {
            let Ok(count) = tokio::time::timeout(SYNC, results.recv_many(&mut batch, AT_ONCE)).await else {
                failed |= !keep(output.as_ref(), &shared, Output::sync).await;
                unsynced = false;
                continue;
            };
            count
        } else {
            results.recv_many(&mut batch, AT_ONCE).await
        };
        if count == 0 {
            break;
        }
        if let Some(output) = output.as_ref().filter(|_| !failed) {
            lines.clear();
            for result in &batch {
                lines.extend_from_slice(&result.line());
            }
            if let Err(error) = output.append(&lines) {
                failed = true;
                shared.desk.stop(Stop::Failed(format!("{}: {error}", output.path().display()).into()));
            } else if shared.due(SYNC) {
                failed |= !keep(Some(output), &shared, Output::sync).await;
                unsynced = false;
            } else {
                unsynced = true;
            }
        }
        for result in batch.drain(..) {
            if !failed {
                shared.count(&result);
            }
            shared.desk.done();
            // Nobody need listen.
            let _ = listener.send(result).await;
        }
    }
    if !failed {
        keep(output.as_ref(), &shared, Output::finish).await;
    }
}

/// Does something slow to the output. Whether it worked; else the run ends.
async fn keep(output: Option<&Arc<Output>>, shared: &Arc<Shared>, what: fn(&Output) -> std::io::Result<()>) -> bool {
    let Some(output) = output.map(Arc::clone) else { return true };
    let path = output.path().display().to_string();
    let outcome = tokio::task::spawn_blocking(move || what(&output)).await;
    let error = match outcome {
        Ok(Ok(())) => return true,
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    shared.fail(format!("{path}: {error}"));
    false
}
