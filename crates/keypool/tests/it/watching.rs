//! `keypool monitor`: on a terminal, in a pipe, over the database and over a gateway's admin API.

use std::{
    io::{Read, Write},
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use gemini_sim::{Fault, Refusal, Rule};
use pty_process::{Size, blocking};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower_keypool::{Clock, Gemini, Key, KeyPool, Limits};

use crate::{
    binary::keypool,
    home::{ACTS, Home, end, hello, no_secret, simulator},
};

/// Leaves the whole screen, and shows the cursor.
const LEFT: &str = "\x1b[?1049l";
const SHOWN: &str = "\x1b[?25h";

/// How long it is since now.
pub(crate) fn stopwatch() -> impl Fn() -> Duration {
    let clock = Clock::system();
    let begun = clock.tick();
    move || clock.tick().since(begun)
}

/// A program on a terminal of its own, and what it wrote there.
pub(crate) struct OnTerminal {
    pty: blocking::Pty,
    child: std::process::Child,
    read: Arc<Mutex<Vec<u8>>>,
    ended: mpsc::Receiver<()>,
}

impl OnTerminal {
    pub(crate) fn of(home: &Home, args: &[&str]) -> Self {
        Self::run(&home.command(args))
    }

    pub(crate) fn run(plain: &std::process::Command) -> Self {
        Self::sized(plain, 120)
    }

    /// On one of so many columns.
    pub(crate) fn sized(plain: &std::process::Command, columns: u16) -> Self {
        let mut command = blocking::Command::new(plain.get_program()).args(plain.get_args()).env_clear();
        for (name, value) in plain.get_envs() {
            if let Some(value) = value {
                command = command.env(name, value);
            }
        }
        command = command.env("TERM", "xterm-256color").current_dir(plain.get_current_dir().unwrap());
        Self::spawn(command, columns)
    }

    fn spawn(command: blocking::Command, columns: u16) -> Self {
        let (pty, pts) = blocking::open().unwrap();
        pty.resize(Size::new(30, columns)).unwrap();
        let child = command.spawn(pts).unwrap();
        let read = Arc::new(Mutex::new(Vec::new()));
        let (tell, ended) = mpsc::channel();
        let mut reader = std::fs::File::from(std::os::fd::AsFd::as_fd(&pty).try_clone_to_owned().unwrap());
        let kept = Arc::clone(&read);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(n) = reader.read(&mut bytes) {
                if n == 0 {
                    break;
                }
                kept.lock().unwrap().extend_from_slice(&bytes[..n]);
            }
            let _ = tell.send(());
        });
        Self { pty, child, read, ended }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.read.lock().unwrap()).into_owned()
    }

    /// Waits until it has written this.
    #[track_caller]
    pub(crate) fn until(&self, word: &str) {
        let begun = stopwatch();
        while !self.text().contains(word) {
            assert!(begun() < ACTS, "{word} does not come: {:?}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.pty.write_all(bytes).unwrap();
    }

    pub(crate) fn resize(&self, rows: u16, columns: u16) {
        self.pty.resize(Size::new(rows, columns)).unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether a line that is typed is shown and waits for its end, as a shell needs it.
    pub(crate) fn is_cooked(&self) -> bool {
        use rustix::termios::{LocalModes, tcgetattr};
        let modes = tcgetattr(&self.pty).unwrap().local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON)
    }

    /// Waits until that is so, or is not.
    #[track_caller]
    pub(crate) fn until_cooked(&self, cooked: bool) {
        let begun = stopwatch();
        while self.is_cooked() != cooked {
            assert!(begun() < ACTS, "the terminal is not as it should be: {:?}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its end, and all that it wrote.
    #[track_caller]
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        let begun = stopwatch();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun() < ACTS, "it does not end: {:?}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        };
        let _ = self.ended.recv_timeout(ACTS);
        let text = self.text();
        no_secret(&text);
        (status.code(), text)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_terminal_it_starts_grows_ends_and_gives_the_terminal_back() {
    let (home, sim) = (Home::new(), simulator(2).await);
    home.add(0, "first-key", &[]);
    home.add(1, "second-key", &[]);
    let running = home.serve(&sim, &[]);
    hello(&running).await;
    for ends in [&b"q"[..], b"\x03", b"\x1b"] {
        let mut monitor = OnTerminal::of(&home, &["monitor", "--interval", "0.2"]);
        monitor.until("second-key");
        // What happens meanwhile is a bar of its own.
        hello(&running).await;
        monitor.until("█");
        assert!(!monitor.is_cooked(), "keys are heard as they are typed");
        let before = monitor.text().len();
        monitor.resize(40, 160);
        // Drawn anew, as wide as it is now.
        let begun = stopwatch();
        while !monitor.text()[before..].contains("first-key") {
            assert!(begun() < ACTS, "a new size is not drawn for");
            std::thread::sleep(Duration::from_millis(20));
        }
        monitor.send(ends);
        monitor.until_cooked(true);
        let (code, text) = monitor.end();
        assert_eq!(code, Some(0));
        assert!(text.contains(LEFT) && text.contains(SHOWN), "{text:?}");
    }
    // Told to end from elsewhere.
    let monitor = OnTerminal::of(&home, &["monitor"]);
    monitor.until("second-key");
    let kill = std::process::Command::new("kill").arg(monitor.id().to_string()).status().unwrap();
    assert!(kill.success());
    let (code, text) = monitor.end();
    assert_eq!(code, Some(0));
    assert!(text.contains(LEFT), "{text:?}");
    end(running).await;
}

/// Under `nohup` nobody hears that the terminal went away.
#[test]
fn without_its_terminal_it_ends() {
    let home = Home::new();
    home.add(0, "first-key", &[]);
    let plain = home.command(&["monitor", "--interval", "0.2"]);
    let (mut pty, pts) = blocking::open().unwrap();
    pty.resize(Size::new(30, 120)).unwrap();
    let mut command = blocking::Command::new("/bin/sh").args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).env_clear();
    command = command.arg(plain.get_program()).args(plain.get_args()).current_dir(plain.get_current_dir().unwrap());
    for (name, value) in plain.get_envs().filter_map(|(name, value)| Some((name, value?))) {
        command = command.env(name, value);
    }
    let mut child = command.env("TERM", "xterm-256color").spawn(pts).unwrap();
    let (mut seen, mut bytes) = (Vec::new(), [0; 4096]);
    while !String::from_utf8_lossy(&seen).contains("first-key") {
        let n = pty.read(&mut bytes).unwrap();
        seen.extend_from_slice(&bytes[..n]);
    }
    drop(pty);
    let begun = stopwatch();
    let ended = loop {
        if let Some(ended) = child.try_wait().unwrap() {
            break Some(ended);
        }
        if begun() > ACTS {
            child.kill().unwrap();
            break None;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(ended.expect("it ends").code(), Some(1));
}

#[test]
fn a_panic_gives_the_terminal_back_before_it_is_told() {
    // This test itself, once more, on a terminal.
    const PANICS: &str = "KEYPOOL_TEST_PANICS";
    if std::env::var_os(PANICS).is_some() {
        let _terminal = keypool::monitor::Terminal::take().unwrap();
        panic!("what went wrong");
    }
    let this = std::env::current_exe().unwrap();
    let name = "watching::a_panic_gives_the_terminal_back_before_it_is_told";
    let command = blocking::Command::new(this).args(["--exact", name, "--nocapture"]).env(PANICS, "1");
    let panics = OnTerminal::spawn(command.env("TERM", "xterm-256color"), 120);
    let begun = stopwatch();
    while !panics.text().contains("test result") {
        assert!(begun() < ACTS, "{:?}", panics.text());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(panics.is_cooked());
    let (_, text) = panics.end();
    let (left, told) =
        (text.find(LEFT).expect("the screen is left"), text.find("what went wrong").expect("it is told"));
    assert!(left < told, "{text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_pipe_it_is_lines_without_control_characters() {
    let (home, sim) = (Home::new(), simulator(2).await);
    home.add(0, "work", &["--owner", "project-a", "--rpm", "10", "--tier", "free"]);
    home.add(1, "gone", &[]);
    sim.script(vec![Rule::new(Fault::Refuse(Refusal::ConsumerSuspended)).project("100000000001")]);
    let running = home.serve(&sim, &[]);
    for _ in 0..4 {
        hello(&running).await;
    }
    // What was used is written within a moment.
    let begun = stopwatch();
    let text = loop {
        let text = home.run(&["monitor", "--once"]).good();
        if text.contains("CONSUMER_SUSPENDED") && text.contains("/10 requests/minute") {
            break text;
        }
        assert!(begun() < ACTS, "{text}");
    };
    assert!(text.contains("key work (free, project-a): usable"), "{text}");
    assert!(text.contains("model gemini-2.5-flash: "), "{text}");
    assert!(!text.contains(['\x1b', '\u{202e}', '\r']), "{text:?}");
    let told = home.run(&["monitor", "--once", "--json"]).json();
    let work = told["keys"].as_array().unwrap().iter().find(|key| key["id"] == "work").unwrap();
    assert_eq!(work["used"][0]["amount"], 10, "{told:#}");
    // One block after the other, until nobody reads.
    let mut child = keypool(&["monitor", "--interval", "0.1"]);
    child.env("XDG_STATE_HOME", home.at("state")).stdout(std::process::Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let (mut read, mut bytes) = (String::new(), [0; 512]);
    while read.matches("key work").count() < 3 {
        let n = out.read(&mut bytes).unwrap();
        assert!(n > 0, "{read}");
        read.push_str(&String::from_utf8_lossy(&bytes[..n]));
    }
    drop(out);
    assert!(child.wait().unwrap().success());
    end(running).await;
    Home::new().run(&["monitor"]).bad(2, "keypool add-key");
    home.run(&["monitor", "--interval", "0"]).bad(2, "--interval");
}

/// Answers whatever is asked, once the token is right, until it is dropped.
async fn admin(pool: KeyPool, token: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = vec![0; 4096];
            let n = stream.read(&mut asked).await.unwrap_or(0);
            let asked = String::from_utf8_lossy(&asked[..n]).to_lowercase();
            let right = asked.starts_with("get /-/admin/snapshot http/1.1")
                && asked.contains(&format!("x-keypool-admin: {token}"));
            let told = json!({ "name": "keypool", "version": "9.9", "uptime_seconds": 61, "pool": pool.snapshot() });
            let (status, body) = if right { ("200 OK", told.to_string()) } else { ("401 Unauthorized", "{}".into()) };
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_admin_api_it_shows_what_is_in_flight() {
    let limits = Limits::new().per_minute(10);
    let key = Key::free("AIza-not-a-real-key-001").id("far").owner("project-z");
    let pool = KeyPool::builder(Gemini::new()).key(key).limits("gemini-2.5-flash", limits).build().unwrap();
    let lease = pool.try_acquire("gemini-2.5-flash").unwrap();
    lease.started();
    let url = admin(pool, "the-admin-token").await;
    let home = Home::new();
    let file = home.write("token", "the-admin-token\n");
    let run = |args: &[&str]| home.run(&[&["monitor", "--admin", &url, "--once"], args].concat());
    let text = run(&["--admin-token-file", &file]).good();
    assert!(text.contains("keypool 9.9 at") && text.contains("up 1 min 01 s"), "{text}");
    assert!(text.contains("1 in flight, 1 so far; used gemini-2.5-flash 1/10 requests/minute"), "{text}");
    let told: Value = run(&["--admin-token-file", &file, "--json"]).json();
    assert_eq!((&told["in_flight"], &told["keys"][0]["owner"]), (&json!(1), &json!("project-z")));
    // By a variable, from standard input, on the command line, which is warned of.
    let mut command = home.command(&["monitor", "--admin", &url, "--once"]);
    assert!(command.env("KEYPOOL_ADMIN_TOKEN", "the-admin-token").output().unwrap().status.success());
    home.pipe(&["monitor", "--admin", &url, "--once", "--admin-token", "-"], "the-admin-token\n").good();
    let typed = run(&["--admin-token", "the-admin-token"]);
    assert!(typed.err.contains("shell's history") && !typed.err.contains("the-admin-token"), "{typed:?}");
    typed.good();
    run(&["--admin-token", "another-token"]).bad(1, "--admin-token-file or KEYPOOL_ADMIN_TOKEN");
    home.run(&["monitor", "--admin", "http://127.0.0.1:9", "--once"]).bad(1, "nobody listens");
    home.run(&["monitor", "--admin", "http://192.0.2.1:9", "--admin-token-file", &file]).bad(2, "in the clear");
    let mut live = OnTerminal::of(&home, &["monitor", "--admin", &url, "--admin-token-file", &file]);
    live.until("far");
    live.send(b"q");
    assert_eq!(live.end().0, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_admin_api_of_a_gateway_it_shows_what_that_gateway_does() {
    let (home, sim) = (Home::new(), simulator(2).await);
    home.add(0, "work", &["--owner", "project-a", "--rpm", "10", "--tier", "free"]);
    home.add(1, "gone", &["--priority", "5"]);
    sim.script(vec![Rule::new(Fault::Refuse(Refusal::ConsumerSuspended)).project("100000000001")]);
    let running = home.serve(&sim, &["--admin-token", crate::admin::TOKEN]);
    for _ in 0..3 {
        assert_eq!(hello(&running).await.status, 200);
    }
    let file = home.write("token", &format!("{}\n", crate::admin::TOKEN));
    let run = |args: &[&str]| {
        home.run(&[&["monitor", "--admin", &running.url, "--admin-token-file", &file, "--once"], args].concat())
    };
    let told = run(&["--json"]).json();
    assert_eq!((&told["started"], &told["in_flight"], &told["waiting"]), (&json!(3), &json!(0), &json!(0)), "{told:#}");
    let work = told["keys"].as_array().unwrap().iter().find(|key| key["id"] == "work").unwrap();
    assert_eq!((&work["owner"], &work["tier"], &work["started"]), (&json!("project-a"), &json!("free"), &json!(3)));
    assert_eq!((&work["used"][0]["used"], &work["used"][0]["amount"]), (&json!(3), &json!(10)), "{work:#}");
    let lane = told["lanes"].as_array().unwrap().iter().find(|lane| lane["model"] == "gemini-2.5-flash");
    assert_eq!(lane.map(|lane| &lane["started"]), Some(&json!(3)), "{told:#}");
    let text = run(&[]).good();
    assert!(text.contains("up ") && text.contains(&running.url) && text.contains("3/10 requests/minute"), "{text}");
    // Switched off elsewhere, it is seen here; and what a request is under way with.
    home.run(&["keys", "disable", "gone", "--reason", "costs too much"]).good();
    let begun = stopwatch();
    while !run(&[]).good().contains("costs too much") {
        assert!(begun() < ACTS);
    }
    sim.script(vec![Rule::new(Fault::Hang)]);
    let hangs = tokio::spawn({
        let url = format!("{}/v1beta/models/gemini-2.5-flash:generateContent", running.url);
        let request = http::Request::post(url).header("x-goog-api-key", keypool::gateway::token::PLACEHOLDER);
        async move { crate::support::ask(request, crate::serving::HELLO).await }
    });
    let begun = stopwatch();
    while run(&["--json"]).json()["in_flight"] != 1 {
        assert!(begun() < ACTS);
    }
    let mut live = OnTerminal::of(&home, &["monitor", "--admin", &running.url, "--admin-token-file", &file]);
    live.until("work");
    live.send(b"q");
    assert_eq!(live.end().0, Some(0));
    home.run(&["monitor", "--admin", &running.url, "--once"]).bad(1, "--admin-token-file or KEYPOOL_ADMIN_TOKEN");
    home.run(&["monitor", "--admin-token-file", &file, "--once"]).bad(2, "--admin URL");
    hangs.abort();
    running.kill();
}

/// Stopped where a key is typed that is not shown, a shell's terminal shows again what is typed.
#[test]
fn whoever_stops_a_hidden_prompt_has_the_terminal_back() {
    let home = Home::new();
    for (args, asks) in [
        (&["add-key"][..], "API key (it is not shown)"),
        (&["monitor", "--admin", "http://127.0.0.1:9", "--admin-token", "-"], "Admin token (it is not shown)"),
    ] {
        for by_key in [true, false] {
            let mut prompt = OnTerminal::of(&home, args);
            prompt.until(asks);
            prompt.until_cooked(false);
            if by_key {
                prompt.send(b"half a key\x03");
            } else {
                let kill = std::process::Command::new("kill").arg(prompt.id().to_string()).status().unwrap();
                assert!(kill.success());
            }
            prompt.until_cooked(true);
            let (code, text) = prompt.end();
            assert!(code == Some(130) && !text.contains("half"), "{code:?} {text:?}");
        }
    }
    // And who goes on has his key.
    let mut prompt = OnTerminal::of(&home, &["add-key"]);
    prompt.until("API key (it is not shown)");
    prompt.until_cooked(false);
    prompt.send(format!("{}\n", crate::home::secret(0)).as_bytes());
    assert_eq!(prompt.end().0, Some(0));
    assert_eq!(home.run(&["keys", "--json"]).json().as_array().unwrap().len(), 1);
}
