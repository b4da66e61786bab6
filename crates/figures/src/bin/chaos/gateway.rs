//! The gateway: a process of its own, whose every word is looked through, whose memory is watched, and whose keys change.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::sync::Notify;

use super::MARK;

pub(crate) struct Gateway {
    child: Child,
    pub(crate) address: String,
    keys: PathBuf,
    words: Vec<JoinHandle<Logged>>,
}

/// What it wrote.
#[derive(Default)]
pub(crate) struct Logged {
    pub(crate) lines: usize,
    pub(crate) leaks: usize,
}

/// What was seen of it while it ran.
pub(crate) struct Watched {
    pub(crate) leaks: usize,
    pub(crate) reloads: usize,
    /// MiB at the end, and how much of that came since the first quarter.
    pub(crate) resident: f64,
    pub(crate) grown: f64,
}

pub(crate) struct Watching {
    stop: Arc<Notify>,
    task: tokio::task::JoinHandle<anyhow::Result<Watched>>,
}

impl Gateway {
    pub(crate) fn start(program: &Path, folder: &Path, keys: &[String], upstream: &str) -> anyhow::Result<Self> {
        let file = folder.join("keys.txt");
        std::fs::write(&file, keys.join("\n"))?;
        let mut child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--upstream", upstream, "-v"])
            .arg("--keys")
            .arg(&file)
            .arg("--db")
            .arg(folder.join("keypool.db"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut output = BufReader::new(child.stdout.take().context("its output")?);
        let mut line = String::new();
        let address = loop {
            line.clear();
            ensure!(output.read_line(&mut line)? > 0, "keypool serve ended");
            if let Some((_, url)) = line.split_once("listens on http://") {
                break url.trim().to_owned();
            }
        };
        let errors = child.stderr.take().context("its errors")?;
        let words = vec![listen(output), listen(BufReader::new(errors))];
        Ok(Self { child, address, keys: file, words })
    }

    /// Follows its memory and its metrics, and changes its keys every other second.
    pub(crate) fn watch(&self, keys: Vec<String>) -> Watching {
        let stop = Arc::new(Notify::new());
        let (address, file, id, stopped) =
            (self.address.clone(), self.keys.clone(), self.child.id(), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let (mut sizes, mut leaks, mut reloads) = (Vec::new(), 0, 0);
            let mut seconds = tokio::time::interval(Duration::from_secs(1));
            loop {
                tokio::select! {
                    () = stopped.notified() => break,
                    _ = seconds.tick() => {}
                }
                sizes.push(resident(id)?);
                leaks += usize::from(metrics(&address).await?.contains(MARK));
                if sizes.len() % 2 == 0 {
                    reloads += 1;
                    reload(&file, &keys, reloads)?;
                }
            }
            // From the second quarter to the last.
            let quarter = sizes.len() / 4;
            let first = median(&mut sizes[quarter..2 * quarter]);
            let last = median(&mut sizes[3 * quarter..]);
            Ok(Watched { leaks, reloads, resident: last, grown: last - first })
        });
        Watching { stop, task }
    }

    /// Requests that it believes to be under way, once all have ended.
    pub(crate) async fn in_flight(&mut self) -> anyhow::Result<u64> {
        let mut left = 0;
        for _ in 0..100 {
            let text = metrics(&self.address).await?;
            let counted = text.lines().filter(|line| !line.starts_with('#') && line.contains("requests_in_flight"));
            let counts: Option<Vec<f64>> = counted.map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
            let counts = counts.filter(|counts| !counts.is_empty()).context("requests in flight among its metrics")?;
            left = counts.iter().sum::<f64>() as u64;
            if left == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(left)
    }

    /// Ends it; what it wrote.
    pub(crate) fn end(mut self) -> anyhow::Result<Logged> {
        self.child.kill()?;
        self.child.wait()?;
        let mut all = Logged::default();
        for words in self.words.drain(..) {
            let one = words.join().unwrap_or_default();
            (all.lines, all.leaks) = (all.lines + one.lines, all.leaks + one.leaks);
        }
        Ok(all)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

impl Watching {
    pub(crate) async fn end(self) -> anyhow::Result<Watched> {
        self.stop.notify_one();
        self.task.await?
    }
}

/// Other keys, or other words about them; every third time a file that is wrong, which changes nothing.
fn reload(file: &Path, keys: &[String], nth: usize) -> std::io::Result<()> {
    let mut lines = keys.to_vec();
    match nth % 3 {
        0 => lines.push("not a key at all, this line".to_owned()),
        1 => drop(lines.drain(keys.len() - 4..)),
        _ => lines.iter_mut().step_by(2).for_each(|line| line.push_str(" weight=2")),
    }
    let beside = file.with_extension("new");
    std::fs::write(&beside, lines.join("\n"))?;
    std::fs::rename(beside, file)
}

/// Reads what it writes.
fn listen(output: impl Read + Send + 'static) -> JoinHandle<Logged> {
    std::thread::spawn(move || {
        let lines = BufReader::new(output).lines().map_while(Result::ok);
        lines.fold(Logged::default(), |seen, line| Logged {
            lines: seen.lines + 1,
            leaks: seen.leaks + usize::from(line.contains(MARK)),
        })
    })
}

async fn metrics(address: &str) -> anyhow::Result<String> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let answer = client.get(format!("http://{address}/-/metrics").parse()?).await?;
    ensure!(answer.status().is_success(), "its metrics: {}", answer.status());
    Ok(String::from_utf8(answer.into_body().collect().await?.to_bytes().to_vec())?)
}

/// MiB.
fn resident(id: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let size: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(size / 1024.0)
}

fn median(sizes: &mut [f64]) -> f64 {
    let middle = sizes.len() / 2;
    if sizes.is_empty() { 0.0 } else { *sizes.select_nth_unstable_by(middle, f64::total_cmp).1 }
}
