//! A machine of its own: one home, one database, several processes. No output of any of them holds a secret.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::Duration,
};

use gemini_sim::{GeminiSim, Project};
use http::Request;
use keypool::gateway::token::PLACEHOLDER;
use serde_json::Value;

use crate::{
    binary::{Running, keypool},
    serving::HELLO,
    support::{Answer, ask},
};

pub(crate) fn secret(n: usize) -> String {
    format!("AIzaSyTEST-home-key-with-number-{n:08}")
}

/// As many keys as any test of these has.
const SECRETS: usize = 20;

pub(crate) struct Home(tempfile::TempDir);

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let ended =
            Self { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), err: text(&output.stderr) };
        no_secret(&ended.out);
        no_secret(&ended.err);
        ended
    }

    /// It went well; what it said.
    #[track_caller]
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.good()).unwrap()
    }

    /// It ended so, and said why.
    #[track_caller]
    pub(crate) fn bad(self, code: i32, why: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.err.contains(why), "{why} is missing: {self:?}");
    }
}

#[track_caller]
pub(crate) fn no_secret(text: &str) {
    for n in 0..SECRETS {
        assert!(!text.contains(&secret(n)[10..]), "a secret is printed: {text}");
    }
}

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> String {
        let new = self.at(&format!(".{name}.new"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.at(name)).unwrap();
        self.at(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.at("state/keypool/keypool.db")
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = keypool(args);
        command.current_dir(self.0.path()).env("HOME", self.0.path()).env("XDG_STATE_HOME", self.at("state"));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        Ended::of(&self.command(args).output().unwrap())
    }

    /// With this on standard input.
    pub(crate) fn pipe(&self, args: &[&str], text: &str) -> Ended {
        Self::ended(self.command(args), text)
    }

    pub(crate) fn ended(mut command: Command, text: &str) -> Ended {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // One that does not read is no reason to fail.
        let _ = child.stdin.take().unwrap().write_all(text.as_bytes());
        Ended::of(&child.wait_with_output().unwrap())
    }

    /// Adds the key of this number under this name.
    #[track_caller]
    pub(crate) fn add(&self, n: usize, id: &str, more: &[&str]) {
        self.pipe(&[&["add-key", "-", "--id", id], more].concat(), &secret(n)).good();
    }

    /// One of the keys, as `keypool keys` lists it.
    #[track_caller]
    pub(crate) fn key(&self, id: &str) -> Value {
        let keys = self.run(&["keys", "--json", "--all"]).json();
        let keys = keys.as_array().unwrap();
        let found = keys.iter().find(|key| key["id"] == id && key["state"] != "removed");
        found.or_else(|| keys.iter().find(|key| key["id"] == id)).unwrap_or_else(|| panic!("{keys:#?}")).clone()
    }

    pub(crate) fn serve(&self, sim: &GeminiSim, more: &[&str]) -> Running {
        let url = sim.url();
        let args = ["serve", "--listen", "127.0.0.1:0", "--upstream", &url, "--wait", "0"];
        Running::of(self.command(&[&args, more].concat()))
    }
}

/// A simulator with so many keys, each of a project of its own.
pub(crate) async fn simulator(keys: usize) -> GeminiSim {
    let mut sim = GeminiSim::builder();
    for n in 0..keys {
        sim = sim.project(Project::new(format!("1000000000{n:02}")).key(secret(n)));
    }
    sim.start().await.unwrap()
}

pub(crate) async fn hello(running: &Running) -> Answer {
    let url = format!("{}/v1beta/models/gemini-2.5-flash:generateContent", running.url);
    ask(Request::post(url).header("x-goog-api-key", PLACEHOLDER), HELLO).await
}

/// The keys that answer, in the order of their names: so many requests are made.
pub(crate) async fn servers(running: &Running, requests: usize) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..requests {
        let answer = hello(running).await;
        names.push(match answer.status.as_u16() {
            200 => answer.header("x-keypool-key").to_owned(),
            other => other.to_string(),
        });
    }
    names.sort();
    names.dedup();
    names
}

/// Waits until these keys answer, and no other: as long as a change may take where the machine is busy.
#[track_caller]
pub(crate) fn within_2s(running: &Running, expected: &'static [&'static str]) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let mut names = Vec::new();
        let found = async {
            while names != expected {
                names = servers(running, 6 * expected.len().max(1)).await;
            }
        };
        let found = tokio::time::timeout(ACTS, found).await.is_ok();
        assert!(found, "{caller}: {names:?} serve, not {expected:?}");
    }
}

/// Waits until this key answers, too, as long. The others may be lent to another process meanwhile.
#[track_caller]
pub(crate) fn joins_within_2s(running: &Running, expected: &'static str) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let found = async { while !servers(running, 6).await.contains(&expected.to_owned()) {} };
        let found = tokio::time::timeout(ACTS, found).await.is_ok();
        assert!(found, "{caller}: {expected} does not serve");
    }
}

/// Requests until something is so: at most as long.
#[track_caller]
pub(crate) fn asked_until(running: &Running, is_so: impl Fn() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let asked = async {
            while !is_so() {
                hello(running).await;
            }
        };
        assert!(tokio::time::timeout(ACTS, asked).await.is_ok(), "{caller}: it does not become so");
    }
}

/// Until a change of keys has acted, however busy the machine is: that 2 s do on one that is not, `acting.rs` shows.
pub(crate) const ACTS: Duration = Duration::from_secs(60);

/// Its end, and what it said: no secret.
pub(crate) async fn end(running: Running) -> String {
    let (code, told) = tokio::task::spawn_blocking(move || running.end()).await.unwrap();
    assert_eq!(code, Some(0), "{told}");
    no_secret(&told);
    told
}
