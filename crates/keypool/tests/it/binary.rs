//! The binary as a person meets it: exit codes, messages, start and end.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use assert_cmd::cargo::cargo_bin;
use gemini_sim::{GeminiSim, Key, Project, Refusal};
use http::{Request, StatusCode};
use keypool::gateway::token::PLACEHOLDER;

use crate::support::ask;

const ONE: &str = "AIzaSyTEST-binary-key-number-one-0000001";
const TWO: &str = "AIzaSyTEST-binary-key-number-two-0000002";

pub(crate) fn keypool(args: &[&str]) -> Command {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let mut command = Command::new(cargo_bin("keypool"));
    command.args(args).stdin(Stdio::null());
    // Nothing of whoever runs the tests: neither keys nor settings, and a state of its own.
    let state = format!("{}/state-{}-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id(), NEXT.fetch_add(1, Relaxed));
    command.env_clear().env("HOME", "/nowhere").env("XDG_STATE_HOME", state);
    command
}

/// Exit code and everything it printed.
pub(crate) fn run(args: &[&str]) -> (i32, String) {
    let out = keypool(args).output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    (out.status.code().unwrap_or(-1), text)
}

pub(crate) fn key_file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn help_shows_examples_and_nothing_asked_is_a_wrong_command_line() {
    let (code, text) = run(&["serve", "--help"]);
    assert_eq!(code, 0);
    assert!(text.contains("Examples:") && text.contains("127.0.0.1:5000") && text.contains("Exit codes"), "{text}");
    assert_eq!(run(&[]).0, 2);
    assert_eq!(run(&["serv"]).0, 2);
}

#[test]
fn a_key_file_that_gives_nothing_ends_it_with_2_and_names_path_and_fix() {
    let (code, text) = run(&["serve", "--keys", "/nowhere/keys.txt"]);
    assert_eq!(code, 2);
    assert!(text.contains("/nowhere/keys.txt") && text.contains("--keys"), "{text}");

    let folder = tempfile::tempdir().unwrap();
    let out = keypool(&["serve"]).current_dir(folder.path()).output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    let text = String::from_utf8_lossy(&out.stderr);
    for way in ["key.txt", "--keys", "GEMINI_API_KEY", "keypool.toml"] {
        assert!(text.contains(way), "{way} is missing: {text}");
    }

    let file = key_file("# none\nshort\n");
    let (code, text) = run(&["serve", "--keys", file.path().to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(text.contains("line 2") && !text.contains("short\n"), "{text}");

    // Saved as UTF-16 without a mark, by an editor of Windows.
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), ONE.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>()).unwrap();
    let (code, text) = run(&["serve", "--keys", file.path().to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(text.contains("UTF-16") && text.contains("UTF-8"), "{text}");

    // The clients' token is no key.
    let file = key_file(PLACEHOLDER);
    let (code, text) = run(&["serve", "--keys", file.path().to_str().unwrap()]);
    assert_eq!(code, 2);
    assert!(text.contains("token that clients send"), "{text}");
}

#[test]
fn what_keys_are_not_kept_in_is_refused_with_a_way_out() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text, told) in [
        ("keys.yaml", format!("keys:\n  - {ONE}\n"), "YAML"),
        ("keys.json", format!("{{\"one\": \"{ONE}\"}}"), "such as [\"AIza…\""),
        ("keys.txt", format!("{{\"one\": \"{ONE}\"}}\n"), "such as [\"AIza…\""),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let (code, text) = run(&["serve", "--keys", path.to_str().unwrap()]);
        assert_eq!(code, 2);
        assert!(text.contains(told) && !text.contains(ONE), "{text}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_read_but_for_a_pipe_given_on_purpose() {
    let (code, text) = run(&["serve", "--keys", "/dev/null"]);
    assert_eq!(code, 2);
    assert!(text.contains("/dev/null is a device, not a key file") && text.contains("--keys FILE"), "{text}");

    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("keys");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let mut command = keypool(&["serve", "--keys", pipe.to_str().unwrap()]);
    let mut child = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    for _ in 0..6_000 {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // Does nothing to one that has ended.
    let _ = child.kill();
    let out = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.code() == Some(2) && text.contains("is a named pipe"), "{text}");

    // The shell's own, as `keys | keypool serve --keys /dev/stdin`.
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, ONE.as_bytes()).unwrap();
    drop(writer);
    let mut command = keypool(&["serve", "--keys", "/dev/stdin", "--listen", "127.0.0.1:0", "--db", "none"]);
    command.stdin(reader);
    let (code, text) = Running::of(command).end();
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn a_key_where_a_path_belongs_is_not_printed() {
    let with = |name: &str, args: &[&str]| {
        let out = keypool(args).env(name, ONE).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        (out.status.code(), text)
    };
    for (code, text) in [
        with("GEMINI_API_KEY_FILE", &["config", "check"]),
        with("API_KEY_FILE", &["serve"]),
        with("UNUSED", &["serve", "--keys", ONE]),
    ] {
        assert_eq!(code, Some(2), "{text}");
        assert!(!text.contains(ONE) && text.contains("not shown"), "{text}");
    }
    let (code, text) = with("UNUSED", &["generate", "hello", "--system", &format!("@{ONE}")]);
    assert!(code == Some(2) && text.contains("--system") && !text.contains(ONE), "{text}");
}

#[test]
fn a_wrong_option_ends_it_with_2_and_is_named() {
    let file = key_file(ONE);
    let path = file.path().to_str().unwrap();
    for (args, named) in [
        (&["--listen", "0.0.0.0:0"][..], "--token"),
        (&["--listen", "0.0.0.0:0", "--token", PLACEHOLDER], "--token"),
        (&["--listen", "nonsense"], "--listen"),
        (&["--upstream", "ftp://example.com"], "--upstream"),
        (&["--upstream", "https://user:word@example.com"], "--upstream"),
        (&["--upstream", "http://example.com:99999"], "--upstream"),
        (&["--upstream", "http://example.com/.."], "--upstream"),
        (&["--strategy", "clairvoyant"], "--strategy"),
        (&["--cacert", "/nowhere/ca.pem"], "flag --cacert: gateway.cacert: /nowhere/ca.pem"),
        (&["--wait=-1"], "--wait"),
        (&["--fallback", "a,,b"], "--fallback"),
        (&["--token", "two words"], "--token"),
        (&["--host", "http://x"], "--host"),
        (&["-q", "-v"], "--verbose"),
    ] {
        let (code, text) = run(&[&["serve", "--keys", path], args].concat());
        assert_eq!(code, 2, "{args:?}: {text}");
        assert!(text.contains(named), "{args:?}: {text}");
        assert!(!text.contains(ONE) && !text.contains("two words"), "{text}");
    }
}

/// A running `keypool serve`, ended by force if a test does not end it.
pub(crate) struct Running {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    pub(crate) told: String,
    pub(crate) url: String,
}

impl Running {
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::of(keypool(args))
    }

    pub(crate) fn of(mut command: Command) -> Self {
        Self::spawn(&mut command)
    }

    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut told = String::new();
        while !told.contains("base_url") {
            if out.read_line(&mut told).unwrap() == 0 {
                child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
                panic!("it ended: {told}");
            }
        }
        let url = told.split("listens on ").nth(1).unwrap().split(['\n', '"']).next().unwrap().to_owned();
        Self { child, out, told, url }
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Reads on until a line holds this, and returns that line.
    pub(crate) fn line_with(&mut self, text: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.out.read_line(&mut line).unwrap(), 0, "it ended without {text}: {}", self.told);
            self.told.push_str(&line);
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Sends a signal, such as `-HUP`.
    pub(crate) fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.process()]).status().unwrap().success());
    }

    /// How it ended by itself, and what it said, if it did.
    pub(crate) fn has_ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().unwrap()?;
        self.out.read_to_string(&mut self.told).unwrap();
        self.child.stderr.take().unwrap().read_to_string(&mut self.told).unwrap();
        Some(format!("{status}: {}", self.told))
    }

    /// Its number.
    pub(crate) fn process(&self) -> String {
        self.child.id().to_string()
    }

    /// SIGTERM; exit code and everything that was printed.
    pub(crate) fn end(self) -> (Option<i32>, String) {
        self.signal("-TERM");
        self.ended()
    }

    /// Waits for its end; exit code and everything that was printed.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        // It may have more to say than a pipe holds.
        self.out.read_to_string(&mut self.told).unwrap();
        let code = self.child.wait().unwrap().code();
        self.child.stderr.take().unwrap().read_to_string(&mut self.told).unwrap();
        (code, std::mem::take(&mut self.told))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_says_what_happens_to_keys_and_ends_with_0() {
    let project = |name: &str| Project::new(name);
    let sim = GeminiSim::builder()
        .project(project("100000000001").key(Key::new(ONE).refused(Refusal::ConsumerSuspended)))
        .project(project("100000000002").key(TWO))
        .start()
        .await
        .unwrap();
    let file = key_file(&format!(
        "{ONE} id=first priority=0\r\nya29.not-a-key-but-a-token\n{TWO} id=second priority=1\n{TWO}\n"
    ));
    let path = file.path().to_str().unwrap();
    let running = Running::start(&["serve", "--keys", path, "--listen", "127.0.0.1:0", "--upstream", &sim.url(), "-v"]);

    let url = format!("{}/v1beta/models/gemini-pro:generateContent", running.url);
    let request = Request::post(url)
        .header("x-goog-api-key", PLACEHOLDER)
        .header("x-request-id", "mine-1")
        .header("content-type", "application/x-www-form-urlencoded");
    let answer = ask(request, r#"{"contents":[{"parts":[{"text":"Hello"}]}]}"#).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.header("x-keypool-key"), "second");
    assert_eq!(answer.header("x-keypool-attempts"), "2");
    assert_eq!(answer.header("x-keypool-model"), "gemini-pro");
    assert_eq!(answer.header("x-request-id"), "mine-1");

    // A page of the gateway's own is answered, too.
    assert_eq!(ask(Request::get(format!("{}/-/health", running.url)), "").await.status, StatusCode::OK);

    // A model's name is what a client wrote.
    let forged = Request::post(format!("{}/v1beta/models/m%E2%80%AE%E2%80%A8k:generateContent", running.url));
    ask(forged.header("x-goog-api-key", PLACEHOLDER), "{}").await;

    let (code, told) = tokio::task::spawn_blocking(move || running.end()).await.unwrap();
    assert_eq!(code, Some(0), "{told}");
    for expected in [
        "2 keys: 2 from ",
        ":2: the line is skipped",
        ":4: this is the key of line 3 again",
        ":1: first",
        "counts, rests and disabled keys are kept in ",
        "keypool/keypool.db",
        "ending: answers under way get 10 s",
        "first disabled: CONSUMER_SUSPENDED",
        " INFO request=mine-1 tenant=default key=second model=gemini-pro status=200 attempts=2 ttfb_ms=",
        " method=POST path=/v1beta/models/gemini-pro:generateContent\n",
    ] {
        assert!(told.contains(expected), "{expected} is missing: {told}");
    }
    assert!(told.contains(" method=GET path=/-/health\n") && !told.contains("the client left"), "{told}");
    assert!(!told.contains(['\u{202e}', '\u{2028}']) && told.contains(r"m\u{202e}\u{2028}k"), "{told}");
    for secret in [ONE, TWO, "ya29"] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tier_sets_the_limits_that_it_usually_has_and_says_them() {
    let sim = GeminiSim::builder().project(Project::new("100000000001").key(ONE)).start().await.unwrap();
    let file = key_file(&format!("{ONE} tier=free\n"));
    let path = file.path().to_str().unwrap();
    let upstream = sim.url();
    let listen = ["serve", "--keys", path, "--listen", "127.0.0.1:0", "--upstream", &upstream, "--wait", "0"];
    let running = Running::start(&listen);
    assert!(running.told.contains("gemini-2.5-pro 5 requests/minute"), "{}", running.told);
    let url = format!("{}/v1beta/models/gemini-2.5-pro:generateContent", running.url);
    for n in 0..7 {
        let request = Request::post(&url).header("x-goog-api-key", PLACEHOLDER);
        let answer = ask(request, r#"{"contents":[{"parts":[{"text":"Hello"}]}]}"#).await;
        assert_eq!(answer.status, if n < 5 { 200 } else { 503 }, "request {n}: {answer:?}");
    }
    // In another dialect as well.
    let request = Request::post(format!("{}/v1/chat/completions", running.url))
        .header("authorization", format!("Bearer {PLACEHOLDER}"));
    let chat = r#"{"model":"gemini-2.5-pro","messages":[{"role":"user","content":"Hello"}]}"#;
    assert_eq!(ask(request, chat).await.status, 503);
    let (code, told) = running.end();
    let named = |line: &&str| line.contains(" model=gemini-2.5-pro status=503 ");
    assert_eq!((code, told.lines().filter(named).count()), (Some(0), 3), "{told}");
}

#[test]
fn a_port_that_is_taken_ends_it_with_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let file = key_file(ONE);
    let listen = taken.local_addr().unwrap().to_string();
    let (code, text) = run(&["serve", "--keys", file.path().to_str().unwrap(), "--listen", &listen]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains("--listen") && text.contains(&listen), "{text}");
}

#[test]
fn a_gateway_in_front_of_itself_is_refused() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let file = key_file(ONE);
    let (listen, upstream) = (free.to_string(), format!("http://localhost:{}", free.port()));
    let path = file.path().to_str().unwrap();
    let (code, text) = run(&["serve", "--keys", path, "--listen", &listen, "--upstream", &upstream]);
    assert_eq!(code, 2, "{text}");
    assert!(text.contains("--upstream"), "{text}");
}

#[test]
fn the_demo_ends_by_itself_and_its_client_sees_only_200s() {
    let (code, text) = run(&["demo", "--seconds", "4", "--plain"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("through keypool") && text.contains("succeeded (100 %)\n"), "{text}");
    assert!(text.contains("with a random key"), "{text}");
    // Without a table each key's state is told in a line, at the end in any case.
    let keys = text.lines().filter(|line| line.starts_with("        ") && line.contains(" in flight")).count();
    assert!(keys >= 10 && keys % 10 == 0, "{text}");
    assert!(text.contains(": disabled, 0 in flight; ") && text.contains("used "), "{text}");
    assert!(!text.contains("AIza"), "{text}");
}

/// Waits until it has something of its own to do at this signal: it has begun by then.
fn heeds(child: &Child, signal: u32) {
    for _ in 0..6_000 {
        std::thread::sleep(std::time::Duration::from_millis(10));
        let Ok(status) = std::fs::read_to_string(format!("/proc/{}/status", child.id())) else {
            // Elsewhere than on Linux nobody says so.
            return std::thread::sleep(std::time::Duration::from_secs(2));
        };
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("which signals are caught");
        if u64::from_str_radix(caught.trim(), 16).unwrap() & 1 << (signal - 1) != 0 {
            return;
        }
    }
    panic!("signal {signal} is not heeded");
}

#[test]
fn the_demo_ends_cleanly_when_told_to() {
    let child = keypool(&["demo", "--plain"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    heeds(&child, 2);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(String::from_utf8_lossy(&out.stdout).contains("ended by hand"));
}

#[test]
fn quiet_is_quiet() {
    let file = key_file(ONE);
    let path = file.path().to_str().unwrap();
    let args = ["serve", "--keys", path, "--listen", "127.0.0.1:0", "-q"];
    let mut child = keypool(&args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    heeds(&child, 15);
    assert!(child.try_wait().unwrap().is_none(), "it serves");
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(0));
    assert!(out.stdout.is_empty() && out.stderr.is_empty(), "{}", String::from_utf8_lossy(&out.stdout));
}

#[cfg(target_os = "linux")]
#[test]
fn as_many_threads_serve_as_are_asked_for() {
    let keys = key_file(ONE);
    let threads = |count: u8| {
        let config = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(config.path(), format!("[gateway]\nthreads = {count}\n")).unwrap();
        let [keys, config] = [keys.path(), config.path()].map(|path| path.to_str().unwrap());
        let running = Running::start(&["serve", "--keys", keys, "--config", config, "--listen", "127.0.0.1:0"]);
        let threads = std::fs::read_dir(format!("/proc/{}/task", running.process())).unwrap();
        let count = threads
            .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("comm")).ok())
            .filter(|name| name.starts_with("tokio-"))
            .count();
        running.kill();
        count
    };
    // Those that wait for the disk are called alike.
    let (one, twelve) = (threads(1), threads(12));
    assert!(twelve >= 12 && one < 12, "{one} and {twelve}");
}
