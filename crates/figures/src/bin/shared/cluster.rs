//! The simulator, the store, and the processes between them.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context, ensure};
use figures::stall::Stalls;
use gemini_sim::{GeminiSim, Limits, Project};

use crate::{
    over::{self, Over},
    seen::Seen,
    server::Server,
    worker::{Job, secret},
};

/// How it went, in all.
pub(crate) struct End {
    pub(crate) over: Vec<Over>,
    pub(crate) arrivals: usize,
    /// For how long the machine let a thread wait at the most.
    pub(crate) stall: Duration,
    /// What was shared was a file.
    pub(crate) file: bool,
}

pub(crate) struct Cluster {
    pub(crate) sim: Arc<GeminiSim>,
    pub(crate) server: Server,
    workers: Vec<Child>,
    a_minute: u64,
    seen: Arc<Mutex<Seen>>,
    stalls: Stalls,
    /// When the first call was due, since the simulator began.
    began: Duration,
}

impl Cluster {
    /// So many processes, and a minute's limit for each owner in each lane.
    pub(crate) async fn start(kind: &str, processes: usize, owners: usize, a_minute: u64) -> anyhow::Result<Self> {
        let mut sim = GeminiSim::builder().log_capacity(1_000_000);
        for owner in 0..owners {
            let project = Project::new(format!("{}", 100_000_000_000 + owner)).key(secret(owner));
            sim = sim.project(project.limits(Limits::none().rpm(a_minute)));
        }
        let sim = Arc::new(sim.start().await?);
        let server = Server::start(kind)?;
        let (store, upstream) = (server.address(), sim.url());
        let stalls = Stalls::new();
        let (seen, began) = (Arc::default(), Duration::ZERO);
        let mut cluster = Self { sim, server, workers: Vec::new(), a_minute, seen, stalls, began };
        for worker in 0..processes {
            cluster.add(&Job { worker, store: store.clone(), upstream: upstream.clone(), owners, a_minute })?;
        }
        cluster.all_ready().await?;
        cluster.began = cluster.sim.elapsed();
        Ok(cluster)
    }

    fn add(&mut self, job: &Job) -> anyhow::Result<()> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["worker", &serde_json::to_string(job)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let (seen, sim, worker) = (Arc::clone(&self.seen), Arc::clone(&self.sim), self.workers.len());
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let at = sim.elapsed();
                // Of one that was killed the last line may be half a line.
                let _ = seen.lock().unwrap_or_else(PoisonError::into_inner).hear(&line, worker, at);
            }
        });
        self.workers.push(child);
        Ok(())
    }

    async fn all_ready(&mut self) -> anyhow::Result<()> {
        while self.heard().ready.len() < self.workers.len() {
            for worker in &mut self.workers {
                ensure!(worker.try_wait()?.is_none(), "a process did not start");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    fn heard(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until so many seconds after the beginning.
    pub(crate) async fn until(&self, second: u64) {
        let due = self.began + Duration::from_secs(second);
        tokio::time::sleep(due.saturating_sub(self.sim.elapsed())).await;
    }

    /// Tells a process something; one that is dead hears nothing.
    fn tell(&mut self, worker: usize, line: &str) {
        if let Some(input) = self.workers[worker].stdin.as_mut() {
            let _ = writeln!(input, "{line}");
        }
    }

    /// So many calls a second of a process in a lane, from now on.
    pub(crate) fn rate(&mut self, worker: usize, lane: usize, a_second: f64) {
        self.tell(worker, &format!("rate {lane} {a_second}"));
    }

    /// So many calls at once.
    pub(crate) fn burst(&mut self, worker: usize, calls: u64) {
        self.tell(worker, &format!("burst 0 {calls}"));
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, worker: usize) -> anyhow::Result<()> {
        self.workers[worker].kill()?;
        self.workers[worker].wait()?;
        Ok(())
    }

    /// Ends all; what was seen, in seconds since the beginning, and what the simulator says.
    pub(crate) async fn end(mut self) -> anyhow::Result<(Seen, End)> {
        // Calls under way have their time.
        for worker in 0..self.workers.len() {
            for lane in 0..2 {
                self.rate(worker, lane, 0.0);
            }
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
        for worker in &mut self.workers {
            worker.kill()?;
            worker.wait()?;
        }
        let mut seen = self.heard().clone();
        for at in seen.calls.iter_mut().map(|call| &mut call.at).chain(seen.asked.iter_mut().map(|asked| &mut asked.at))
        {
            *at = at.saturating_sub(self.began);
        }
        let log = self.sim.log();
        ensure!(log.dropped() == 0, "the simulator's log was too short");
        let over = over::of(&log, usize::try_from(self.a_minute)?);
        let stall = self.stalls.most();
        let file = matches!(self.server, Server::Sqlite(_));
        Ok((seen, End { over, arrivals: log.len(), stall, file }))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            let _ = worker.kill();
            let _ = worker.wait();
        }
    }
}
