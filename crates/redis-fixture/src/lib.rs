//! Real redis-server processes for tests, each on a free port of 127.0.0.1 with its own folder. A server ends when its
//! handle is dropped. Servers can be killed, frozen, restarted with or without their data, and made replicas of each
//! other.

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

pub use wire::Reply;
use wire::send;

/// Interval at which a server is polled.
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

/// Prints that the running test, or a part of it, is skipped, and why. It does not use `eprintln!`, because the test
/// harness captures that output for passing tests.
pub fn skipped(why: &str) {
    let line = format!("\nSKIPPED in test {}: {why}\n", thread::current().name().unwrap_or("?"));
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Reports whether redis-server is installed, and if it is not, that the test is [`skipped`].
///
/// # Panics
/// If redis-server is missing and `REDIS_REQUIRED` is set, which `scripts/test` does after installing it.
pub fn is_installed() -> bool {
    let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_ok();
    assert!(found || std::env::var_os("REDIS_REQUIRED").is_none(), "redis-server is missing: scripts/test installs it");
    if !found {
        skipped("redis-server is missing (scripts/test installs it)");
    }
    found
}

impl RedisServer {
    /// Starts a server that writes nothing to disk. Returns `None` if redis-server is [not installed](is_installed).
    pub fn start() -> Option<Self> {
        Self::with(&["--save", "", "--appendonly", "no"])
    }

    /// Starts a server that writes each change to its append-only file before it replies.
    pub fn lasting() -> Option<Self> {
        Self::with(&["--save", "", "--appendonly", "yes", "--appendfsync", "always"])
    }

    /// Starts a server with these options.
    ///
    /// # Panics
    /// If the server does not start.
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
        // Otherwise, a replica would wait for other replicas to join the transfer.
        command.args(["--repl-diskless-sync-delay", "0"]);
        command.arg("--dir").arg(self.folder.path()).args(&self.options);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("redis-server runs");
        for _ in 0..STEPS {
            if child.try_wait().expect("the status of the child can be read").is_some() {
                return false;
            }
            // A server that requires a password has started as well.
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

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the address, without user and password.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Returns the folder of its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills the server: it writes nothing more, and its connections are closed.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Restarts the server on its port, with the data on disk.
    ///
    /// # Panics
    /// If the server does not start.
    pub fn start_again(&mut self) {
        self.kill();
        assert!(self.try_start(), "redis-server does not start again");
    }

    /// Restarts the server on its port, without data.
    ///
    /// # Panics
    /// If the server does not start.
    pub fn start_empty(&mut self) {
        self.kill();
        for entry in fs::read_dir(self.folder.path()).expect("its folder").flatten() {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
        self.start_again();
    }

    /// Freezes the server: its connections stay open, but it does not reply.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Resumes a frozen server.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        if let Some(child) = &self.child {
            let status = Command::new("kill").args([signal, &child.id().to_string()]).status();
            assert!(status.is_ok_and(|status| status.success()), "no signal for redis-server");
        }
    }

    /// Sends a command, and waits for its reply.
    ///
    /// # Panics
    /// If the reply is an error, or there is none.
    pub fn command(&self, words: &[&str]) -> Reply {
        match send(self.port, words) {
            Ok(Reply::Error(error)) => panic!("{words:?}: {error}"),
            Ok(reply) => reply,
            Err(error) => panic!("{words:?}: {error}"),
        }
    }

    /// Makes the server a replica of another one, and waits until it has the other's data.
    ///
    /// # Panics
    /// If this fails.
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

    /// Makes the server a master with its data.
    pub fn promote(&self) {
        self.command(&["REPLICAOF", "NO", "ONE"]);
    }

    /// Kills another server and takes its port, but keeps this server's own data. Clients that reconnect reach this
    /// server.
    ///
    /// # Panics
    /// If this fails.
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
