//! Many tasks against a provider that costs next to nothing, and a bare loop against the same.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use figures::picks;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client as Pooled, rt::TokioExecutor};
use keypool_client::{
    Client,
    batch::{Batch, Output, OutputOptions},
};
use serde_json::{Value, json};
use tower_keypool::{Clock, Gemini, KeyPool};

/// At a time.
const AT_ONCE: usize = 64;

fn body(n: usize) -> String {
    format!(
        r#"{{"contents":[{{"role":"user","parts":[{{"text":"task {n}"}}]}}],"generationConfig":{{"temperature":1.0}}}}"#
    )
}

/// What a loop of hyper-util's client does.
pub(crate) async fn bare(address: &str, requests: usize) -> anyhow::Result<Value> {
    let client = Pooled::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let (next, good) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let clock = Clock::system();
    let (begun, spent) = (clock.tick(), cpu()?);
    let callers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (client, next, good) = (client.clone(), Arc::clone(&next), Arc::clone(&good));
            let uri = format!("http://{address}/v1beta/models/gemini-2.5-flash:generateContent");
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Relaxed);
                    if n >= requests {
                        return anyhow::Ok(());
                    }
                    let request = Request::post(&*uri)
                        .header("content-type", "application/json")
                        .header("x-goog-api-key", "AIzaSy-not-a-real-key")
                        .body(Full::from(body(n)))?;
                    let answer = client.request(request).await?;
                    let fine = answer.status().is_success();
                    answer.into_body().collect().await?;
                    good.fetch_add(usize::from(fine), Relaxed);
                }
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    ensure!(good.load(Relaxed) == requests, "{} of {requests} were good", good.load(Relaxed));
    let seconds = clock.tick().since(begun).as_secs_f64();
    Ok(json!({ "a second": requests as f64 / seconds, "cpu us": (cpu()? - spent) / requests as f64 * 1e6 }))
}

/// What the engine does, its output in a file.
pub(crate) async fn engine(address: &str, tasks: usize) -> anyhow::Result<Value> {
    let pool = KeyPool::builder(Gemini::at(&format!("http://{address}"))?).keys(picks::keys(16)).build()?;
    let folder = std::env::temp_dir().join(format!("keypool-batches-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let output = Output::open(folder.join("answers.jsonl"), &OutputOptions::default())?;
    let batch = Batch::new(Client::new(&pool)).concurrency(AT_ONCE).output(output);
    let clock = Clock::system();
    let (begun, spent) = (clock.tick(), cpu()?);
    let mut run = batch.run((0..tasks).map(|n| format!("task {n}")));
    let (mut done, mut early) = (0, 0.0);
    while let Some(result) = run.next().await {
        ensure!(result.success, "{result:?}");
        done += 1;
        if done == tasks / 4 {
            early = memory("VmRSS:")?;
        }
    }
    let seconds = clock.tick().since(begun).as_secs_f64();
    let cpu = cpu()? - spent;
    let late = memory("VmRSS:")?;
    std::fs::remove_dir_all(&folder)?;
    ensure!(done == tasks, "{done} of {tasks}");
    Ok(json!({
        "a second": tasks as f64 / seconds,
        "cpu us": cpu / tasks as f64 * 1e6,
        "peak MiB": memory("VmHWM:")?,
        "growth MiB": late - early,
    }))
}

/// Seconds that this process ran.
fn cpu() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let behind = stat.rsplit_once(") ").context("a name")?.1;
    let field = |n: usize| behind.split(' ').nth(n).and_then(|text| text.parse::<f64>().ok()).context("a number");
    // In hundredths of a second: enough for runs of many.
    Ok((field(11)? + field(12)?) / 100.0)
}

fn memory(what: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)).context("a line")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<f64>()? / 1024.0)
}
