//! Processes of the system, stopped and killed by signals: this test's own program, run again.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread::JoinHandle,
    time::Duration,
};

use redis_fixture::RedisServer;
use tokio::time::sleep;

use super::faults::{Cluster, LEASE, RULE, SPAN};
use crate::share::tests::oracle::Provider;

const ADDRESS: &str = "KEYPOOL_TEST_REDIS";
const NAME: &str = "KEYPOOL_TEST_NAME";
const PROCESSES: usize = 3;

/// A process, and what it said that it started: which unit, and when in milliseconds of the wall clock.
struct Running {
    child: Child,
    heard: JoinHandle<Vec<(String, i64)>>,
}

impl Running {
    fn new(server: &RedisServer, name: usize) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["share::redis::tests::children::one_of_them", "--exact", "--ignored", "--nocapture"])
            .env(ADDRESS, server.url())
            .env(NAME, name.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let heard = std::thread::spawn(move || {
            let started = said.lines().map_while(Result::ok).filter_map(|line| {
                // The test's own name stands before the first.
                let (unit, at) = line.split_once("started ")?.1.split_once(' ')?;
                Some((unit.to_owned(), at.parse().ok()?))
            });
            started.collect()
        });
        Self { child, heard }
    }

    fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        assert!(status.unwrap().success());
    }

    fn end(mut self) -> Vec<(String, i64)> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.heard.join().unwrap()
    }
}

/// What such a process does, until it is killed.
#[tokio::test]
#[ignore = "is run by the test below"]
async fn one_of_them() {
    let (Ok(url), Ok(name)) = (std::env::var(ADDRESS), std::env::var(NAME)) else { return };
    let name: usize = name.parse().unwrap();
    let _cluster = Cluster::of(&url, name..name + 1, PROCESSES, true).await;
    sleep(Duration::from_secs(120)).await;
}

#[tokio::test]
async fn one_process_is_stopped_past_its_lease_and_woken_another_killed() {
    let Some(server) = RedisServer::start() else { return };
    let mut running: Vec<_> = (0..PROCESSES).map(|name| Running::new(&server, name)).collect();
    sleep(LEASE * 2 + SPAN).await;
    running[0].signal("-STOP");
    let mut all = running.remove(1).end();
    sleep(LEASE * 2 + SPAN).await;
    running[0].signal("-CONT");
    sleep(LEASE + SPAN).await;
    let mut provider = Provider::default();
    let mut of_first = Vec::new();
    for (at, process) in running.into_iter().enumerate() {
        let started = process.end();
        if at == 0 {
            of_first = started.iter().map(|start| start.1).collect();
        }
        all.extend(started);
    }
    for (unit, at) in &all {
        provider.arrives(unit, at * 1_000, 0);
    }
    let over = provider.over(&[RULE]);
    assert!(over.is_empty(), "{over:#?}");
    let gap = of_first.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0);
    assert!(of_first.len() > 10 && gap > LEASE.as_millis() as i64, "it was stopped, and took part again: {of_first:?}");
    println!("{} starts, the first stopped for {gap} ms", all.len());
    assert!(all.len() > 100, "{}", all.len());
}
