//! The processes that are measured: their start, their CPU time, their memory, their end.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::load::Count;

/// A process with a URL. It ends with this.
pub(crate) struct Child {
    process: std::process::Child,
    pub(crate) url: String,
}

/// One measured span.
pub(crate) struct Measured {
    /// Requests a second.
    pub(crate) rate: f64,
    /// CPU time of the process for each request, in microseconds.
    pub(crate) cpu_us: f64,
}

impl Child {
    pub(crate) fn upstream() -> Self {
        Self::own(&["upstream"])
    }

    pub(crate) fn bare(upstream: &str) -> Self {
        Self::own(&["bare", upstream])
    }

    fn own(args: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("our own path"));
        command.args(args);
        Self::start(command, |line| line.starts_with("http").then(|| line.to_owned()))
    }

    fn start(mut command: Command, url_of: impl Fn(&str) -> Option<String>) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the process starts");
        let mut out = BufReader::new(process.stdout.take().expect("piped"));
        let url = loop {
            let mut line = String::new();
            assert_ne!(out.read_line(&mut line).expect("its lines can be read"), 0, "it ended before it listened");
            if let Some(url) = url_of(line.trim()) {
                break url;
            }
        };
        // What else it says is read and forgotten.
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Self { process, url }
    }

    /// Rate and CPU time while `load` runs.
    pub(crate) fn measure(&self, load: impl FnOnce() -> Count) -> Measured {
        let before = self.cpu();
        let count = load();
        let cpu = self.cpu().saturating_sub(before);
        let requests = count.requests as f64;
        Measured { rate: requests / count.took.as_secs_f64(), cpu_us: cpu.as_secs_f64() * 1e6 / requests }
    }

    /// User and system time so far, to a hundredth of a second.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("it runs");
        // The name may hold spaces; what follows the bracket does not.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = [11, 12].iter().map(|field| fields[*field].parse::<u64>().expect("a number")).sum();
        Duration::from_millis(ticks * 10)
    }

    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("it says so");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A `keypool serve` with made-up keys.
pub(crate) struct Keypool {
    pub(crate) child: Child,
    pub(crate) to_first_answer: Duration,
    _keys: tempfile::NamedTempFile,
}

impl Keypool {
    #[expect(clippy::disallowed_methods, reason = "the bench owns this clock")]
    pub(crate) fn start(upstream: &str, keys: usize) -> Self {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        for n in 0..keys {
            writeln!(file, "AIzaSyBENCH-{n:0>27}").expect("it is written");
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_keypool"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--upstream", upstream, "--keys"]).arg(file.path());
        let began = Instant::now();
        let url = |line: &str| line.split_once("listens on ").map(|(_, url)| url.to_owned());
        let child = Child::start(command, url);
        ask(&child.url);
        Self { child, to_first_answer: began.elapsed(), _keys: file }
    }
}

/// One request over a connection of its own.
fn ask(url: &str) {
    let address = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).expect("it listens");
    let head = "GET /v1beta/models HTTP/1.1\r\nx-goog-api-key: PLACEHOLDER_GEMINI_TOKEN\r\nconnection: close";
    write!(stream, "{head}\r\nhost: {address}\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}
