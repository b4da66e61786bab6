//! What changes while a batch runs: key files, the configuration, SIGHUP, and the terminal that it was started on.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    process::{Child, Command},
    time::Duration,
};

use gemini_sim::{GeminiSim, Limits};

use crate::{
    batch::{Stage, lines, secret},
    home::ACTS,
    watching::stopwatch,
};

/// A run, and what it says.
struct Run {
    child: Child,
    log: std::path::PathBuf,
}

impl Run {
    fn of(stage: &Stage, args: &[&str]) -> Self {
        let log = stage.path("log");
        let child = stage.command(args).stderr(File::create(&log).unwrap()).spawn().unwrap();
        Self { child, log }
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    #[track_caller]
    fn until(&self, word: &str) {
        until(|| self.said().contains(word), || format!("{word} does not come: {}", self.said()));
    }

    fn signal(&self, signal: &str) {
        let kill = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }
}

#[track_caller]
fn until(is_so: impl Fn() -> bool, why: impl Fn() -> String) {
    let begun = stopwatch();
    while !is_so() {
        assert!(begun() < ACTS, "{}", why());
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[track_caller]
fn ends(child: &mut Child) -> Option<i32> {
    let begun = stopwatch();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        assert!(begun() < ACTS, "it does not end");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// As in a gateway: a key that a file gets works at once, with slots of its own; a file that is wrong is refused as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn key_files_and_the_configuration_act_while_a_batch_runs() {
    for slots in [true, false] {
        let builder = GeminiSim::builder().latency(Duration::from_millis(50));
        let stage = Stage::new(builder, 3, Limits::none()).await.tasks(100_000);
        let line = |n: usize| format!("{} id=k{n}\n", secret(n));
        std::fs::write(stage.path("keys.txt"), line(0)).unwrap();
        std::fs::write(stage.path("keypool.toml"), "").unwrap();
        let kind: &[&str] = if slots { &["--workers-per-key", "1", "--rate-limit-per-slot", "0.1"] } else { &[] };
        let args = [&["tasks.txt", "-o", "a.jsonl", "--monitor-interval", "0.2"], kind].concat();
        let mut run = Run::of(&stage, &args);
        let served = |key: &str| lines(&stage.path("a.jsonl")).iter().filter(|result| result["key_id"] == key).count();
        until(|| served("k0") > 2, || run.said());
        let mut file = OpenOptions::new().append(true).open(stage.path("keys.txt")).unwrap();
        file.write_all(line(1).as_bytes()).unwrap();
        run.until("keypool: configuration read again: added k1");
        until(|| served("k1") > 2, || run.said());
        assert!(!slots || run.said().contains("/2 |"), "{}", run.said());

        // Nothing else is there: who asks is told so.
        run.signal("-HUP");
        run.until("configuration read again: no key changed");
        std::fs::write(stage.path("keys.txt"), format!("{}{}no key\n", line(0), line(2))).unwrap();
        run.until("the new key file is refused");
        std::fs::write(stage.path("keypool.toml"), "[batch]\nmax_retries = 7\n[pool]\nstrategy = \"round-robin\"\n")
            .unwrap();
        run.signal("-HUP");
        std::fs::write(stage.path("keys.txt"), line(2)).unwrap();
        run.until("added k2; removed k0, k1; new settings in pool; from the next start on: batch");
        until(|| served("k2") > 2, || run.said());
        run.signal("-INT");
        assert_eq!(ends(&mut run.child), Some(130), "{}", run.said());
        let results = lines(&stage.path("a.jsonl"));
        assert!(results.iter().all(|result| result["success"] == true), "no task paid for it");
        assert!(!run.said().contains("AIzaSy"), "{}", run.said());
    }
}

/// A terminal that is closed is no wish to read the configuration again: what is under way comes to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_ends_with_its_terminal() {
    let builder = GeminiSim::builder().latency(Duration::from_millis(300));
    let stage = Stage::new(builder, 1, Limits::none()).await.tasks(100_000);
    let plain = stage.command(&["tasks.txt", "-o", "a.jsonl"]);
    let (pty, pts) = pty_process::blocking::open().unwrap();
    // Whoever runs this may have had hang-ups ignored (`nohup`), which would be handed down.
    let mut command = pty_process::blocking::Command::new("env").args(["--default-signal=HUP"]).env_clear();
    command = command.arg(plain.get_program()).args(plain.get_args());
    for (name, value) in plain.get_envs() {
        command = value.into_iter().fold(command, |command, value| command.env(name, value));
    }
    let mut child = command.current_dir(stage.folder.path()).spawn(pts).unwrap();
    until(|| lines(&stage.path("a.jsonl")).len() > 5, || "nothing is answered".to_owned());
    drop(pty);
    assert_eq!(ends(&mut child), Some(130));
    let answered = lines(&stage.path("a.jsonl")).len();
    assert_eq!(stage.sim.report().total.accepted as usize, answered, "what was under way came to its end");
}
