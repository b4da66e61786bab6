//! Real redis-server processes for tests: each on a free port of 127.0.0.1, with a folder of its own, gone with its
//! handle. They can be killed, stopped as by a frozen machine, started again with or without what they had written, and
//! made replicas of each other.

mod wire;

use std::{
    fs,
    io::{self, Write as _},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;

pub use wire::{Reply, send};

/// How long to wait for something that a server does, in steps.
const STEP: Duration = Duration::from_millis(10);
const STEPS: usize = 1_000;

/// A redis-server process.
#[derive(Debug)]
pub struct RedisServer {
    child: Option<Child>,
    port: u16,
    folder: TempDir,
    options: Vec<String>,
}

/// Says that the running test is skipped, or a part of it, and why. `eprintln!` would not do: the test harness shows
/// nothing of what a passing test prints by it.
pub fn skipped(why: &str) {
    let line = format!("\nSKIPPED in test {}: {why}\n", thread::current().name().unwrap_or("?"));
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Whether there is a redis-server. A test without one is [`skipped`].
///
/// # Panics
/// When there is none though `scripts/test`, which installs it, runs the tests: it sets `REDIS_REQUIRED`.
pub fn is_installed() -> bool {
    let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_ok();
    assert!(found || std::env::var_os("REDIS_REQUIRED").is_none(), "redis-server is missing: scripts/test installs it");
    if !found {
        skipped("redis-server is missing (scripts/test installs it)");
    }
    found
}

impl RedisServer {
    /// One that keeps nothing on disk; none where [there is none installed](is_installed).
    pub fn start() -> Option<Self> {
        Self::with(&["--save", "", "--appendonly", "no"])
    }

    /// One that writes all it does to its append-only file before it answers.
    pub fn lasting() -> Option<Self> {
        Self::with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"])
    }

    /// One with these options.
    ///
    /// # Panics
    /// When it does not start.
    pub fn with(options: &[&str]) -> Option<Self> {
        if !is_installed() {
            return None;
        }
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        for _ in 0..5 {
            // Another process may take the port before the server does.
            let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
            let folder = tempfile::tempdir().expect("a folder");
            let mut server = Self { child: None, port, folder, options: options.clone() };
            if server.try_start() {
                return Some(server);
            }
        }
        panic!("redis-server does not start: {options:?}");
    }

    fn try_start(&mut self) -> bool {
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no"]);
        // Or a replica waits for others that may want a copy as well.
        command.args(["--repl-diskless-sync-delay", "0"]);
        command.arg("--dir").arg(self.folder.path()).args(&self.options);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("redis-server runs");
        for _ in 0..STEPS {
            if child.try_wait().expect("a child can be asked").is_some() {
                return false;
            }
            // One that asks for a password is there as well.
            match send(self.port, &["PING"]) {
                Ok(Reply::Error(error)) if error.starts_with("LOADING") => {}
                Ok(_) => {
                    self.child = Some(child);
                    return true;
                }
                Err(_) => {}
            }
            thread::sleep(STEP);
        }
        let _ = child.kill();
        false
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, without user and password.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills it: nothing is written any more, and its connections break.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Starts it again on its port, with what it had written.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_again(&mut self) {
        self.kill();
        assert!(self.try_start(), "redis-server does not start again");
    }

    /// Starts it again on its port, without anything.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start_empty(&mut self) {
        self.kill();
        for entry in fs::read_dir(self.folder.path()).expect("its folder").flatten() {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
        self.start_again();
    }

    /// Stops it as a frozen machine would: its connections stay, and nobody answers.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        if let Some(child) = &self.child {
            let status = Command::new("kill").args([signal, &child.id().to_string()]).status();
            assert!(status.is_ok_and(|status| status.success()), "no signal for redis-server");
        }
    }

    /// Sends a command, and waits for its answer.
    ///
    /// # Panics
    /// When it answers with an error, or not at all.
    pub fn command(&self, words: &[&str]) -> Reply {
        match send(self.port, words) {
            Ok(Reply::Error(error)) => panic!("{words:?}: {error}"),
            Ok(reply) => reply,
            Err(error) => panic!("{words:?}: {error}"),
        }
    }

    /// Makes it a replica of another, and waits until it has all that the other has.
    ///
    /// # Panics
    /// When it does not get there.
    pub fn follow(&self, master: &Self) {
        self.command(&["REPLICAOF", "127.0.0.1", &master.port.to_string()]);
        for _ in 0..STEPS {
            if self.command(&["INFO", "replication"]).text().contains("master_link_status:up") {
                return;
            }
            thread::sleep(STEP);
        }
        panic!("the replica does not follow");
    }

    /// Makes it a master with what it has.
    pub fn promote(&self) {
        self.command(&["REPLICAOF", "NO", "ONE"]);
    }

    /// Takes the port of another that is gone, with what this one has: clients that come back find it in the other's
    /// place.
    ///
    /// # Panics
    /// When it does not get there.
    pub fn take_the_place_of(&mut self, other: &mut Self) {
        other.kill();
        self.command(&["CONFIG", "SET", "port", &other.port.to_string()]);
        self.port = other.port;
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
