//! The one writer: results go to the output, and only then to whoever counts or listens.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{Output, TaskResult, desk::Stop, shared::Shared};

/// What is written outlives the machine this much later.
const SYNC: Duration = Duration::from_secs(1);
/// So many results are written at once.
const AT_ONCE: usize = 512;

/// A result, and who waits until it is written: a worker takes no other task before, so that a process that is killed
/// has asked for nothing but what was under way. Nobody waits for what no worker had, since it is no task.
pub(crate) type ToWrite = (Box<TaskResult>, Option<oneshot::Sender<()>>);

/// Writes until nobody sends any more, then puts the output in its last form.
pub(crate) async fn write(
    mut results: mpsc::Receiver<ToWrite>,
    output: Option<Arc<Output>>,
    listener: mpsc::Sender<Box<TaskResult>>,
    shared: Arc<Shared>,
) {
    let (mut batch, mut lines) = (Vec::with_capacity(AT_ONCE), Vec::new());
    let mut unsynced = false;
    let mut failed = false;
    // Lines are appended while a disk takes its time.
    let mut syncing: Option<JoinHandle<bool>> = None;
    loop {
        let count = if unsynced {
            let Ok(count) = tokio::time::timeout(SYNC, results.recv_many(&mut batch, AT_ONCE)).await else {
                failed |= !ended(syncing.replace(keep(output.as_ref(), &shared, Output::sync))).await;
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
        // Those that are at the same point let their results come into the same lines: they are worth a write together.
        if batch.len() < AT_ONCE {
            tokio::task::yield_now().await;
            while batch.len() < AT_ONCE
                && let Ok(one) = results.try_recv()
            {
                batch.push(one);
            }
        }
        if let Some(output) = output.as_ref().filter(|_| !failed) {
            lines.clear();
            for (result, _) in &batch {
                result.write(&mut lines);
            }
            if let Err(error) = output.append(&lines) {
                failed = true;
                shared.desk.stop(Stop::Failed(output.failed(error).into()));
            } else if syncing.as_ref().is_none_or(JoinHandle::is_finished) && shared.due(SYNC) {
                failed |= !ended(syncing.replace(keep(Some(output), &shared, Output::sync))).await;
                unsynced = false;
            } else {
                unsynced = true;
            }
        }
        // Before anything that may wait for whoever listens.
        batch.iter_mut().filter_map(|(_, waits)| waits.take()).for_each(|waits| _ = waits.send(()));
        for (result, _) in batch.drain(..) {
            if !failed {
                shared.count(&result);
            }
            if result.is_task() {
                shared.desk.done();
            }
            // Nobody need listen.
            let _ = listener.send(result).await;
        }
    }
    failed |= !ended(syncing).await;
    if !failed {
        ended(Some(keep(output.as_ref(), &shared, Output::finish))).await;
    }
}

/// Does something slow to the output, in a thread of its own. Whether it worked; else the run ends.
fn keep(
    output: Option<&Arc<Output>>,
    shared: &Arc<Shared>,
    what: fn(&Output) -> std::io::Result<()>,
) -> JoinHandle<bool> {
    let (output, shared) = (output.map(Arc::clone), Arc::clone(shared));
    tokio::task::spawn_blocking(move || {
        let Some(output) = output else { return true };
        what(&output).map_err(|error| shared.fail(output.failed(error))).is_ok()
    })
}

/// Whether that worked, or there was nothing to do.
async fn ended(kept: Option<JoinHandle<bool>>) -> bool {
    match kept {
        Some(kept) => kept.await.unwrap_or(false),
        None => true,
    }
}
