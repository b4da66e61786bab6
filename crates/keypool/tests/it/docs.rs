//! Runs the blocks of README.md and docs/*.md unchanged: commands in bash, with this program first in PATH and the
//! simulator as upstream; configurations with `config check`; key files with `import`. A block or line that is neither
//! run nor listed in a table below fails.

use std::{
    collections::HashMap,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use gemini_sim::{GeminiSim, Project};
use redis_fixture::RedisServer;
use tempfile::TempDir;

use crate::support::{Gateway, PROGRAM, key, program};

/// The replacement of a command that cannot run here unchanged.
enum Instead {
    Command(&'static str),
    /// The command is not run, for this reason.
    Nothing(&'static str),
}

use Instead::{Command as Run, Nothing};

const COMMANDS: [(&str, Instead); 8] = [
    ("cargo run -- demo", Run("keypool demo --seconds 2")),
    ("keypool demo", Run("keypool demo --seconds 2")),
    ("scripts/test", Nothing("it runs this test")),
    ("cargo install --path crates/keypool", Nothing("the program is built already")),
    ("keypool add-key", Run("keypool add-key - <a-key.txt")),
    ("keypool monitor", Run("keypool monitor --count 1")),
    ("docker build -t keypool .", Nothing("it needs a Docker daemon and the network")),
    (
        "docker run -d -p 5000:5000 -e PLACEHOLDER_TOKEN=a-token -v ./key.txt:/app/key.txt:ro -v keypool:/data keypool",
        Nothing("it needs a Docker daemon"),
    ),
];

/// Languages of blocks that other tests check, with the pages that these tests read.
const ELSEWHERE: [(&str, &[&str]); 4] = [
    // a line of the error log, whose form crates/keypool-batch/tests/it/faults.rs reads
    ("text", &["docs/batch.md"]),
    // the dependencies of the library's example; Cargo.toml has the same versions
    ("toml,dependencies", &["README.md"]),
    // scripts/readme-blocks
    ("python", &["README.md"]),
    // doctests of the library: src/lib.rs
    ("rust,no_run", &["README.md", "docs/library.md"]),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_block_of_the_docs_runs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = vec![PathBuf::from("README.md")];
    let docs = fs::read_dir(root.join("docs")).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    pages.extend(docs.map(|name| Path::new("docs").join(name)).filter(|page| page.extension() == Some("md".as_ref())));
    pages.sort();
    let has_curl = Command::new("curl").arg("--version").stdout(Stdio::null()).status().is_ok();
    if !has_curl {
        redis_fixture::skipped("curl is missing: the lines with curl are not run");
    }
    let mut seen = HashMap::new();
    for page in pages {
        let text = fs::read_to_string(root.join(&page)).expect("a page");
        let name = page.to_str().expect("UTF-8").to_owned();
        let mut reader = Reader::new(name, has_curl).await;
        for block in blocks(&text) {
            *seen.entry(reader.run(&block)).or_insert(0) += 1;
        }
        for command in reader.replaced {
            *seen.entry(command).or_insert(0) += 1;
        }
    }
    for (command, _) in COMMANDS {
        assert!(seen.contains_key(command), "no page contains this line: {command}");
    }
    for language in ["sh", "toml", "keys", "yaml"] {
        assert!(seen.contains_key(language), "no block of the language {language} was found: {seen:?}");
    }
}

#[test]
fn page_of_settings_is_generated_from_the_schema() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/configuration");
    let mut check = Command::new("python3");
    match check.arg(script).arg("--check").env("KEYPOOL", PROGRAM).output() {
        Ok(output) => assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr)),
        Err(_) => redis_fixture::skipped("python3 is missing (scripts/test installs it)"),
    }
}

/// A fenced block.
struct Block {
    line: usize,
    language: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (line, text) in page.lines().enumerate() {
        match (text.trim_start().strip_prefix("```"), open.take()) {
            (Some(language), None) => {
                open = Some(Block { line: line + 1, language: language.to_owned(), text: String::new() });
            }
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some(block)) => open = Some(Block { text: block.text + text + "\n", ..block }),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// Returns the commands of a block, each on one line and without its comment.
fn commands(block: &str) -> Vec<String> {
    let joined = block.replace("\\\n", " ");
    let bare = joined.lines().map(|line| line.split("  #").next().unwrap_or_default().trim().to_owned());
    bare.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// A reader who follows a page from its top, in a separate folder.
struct Reader {
    page: String,
    folder: TempDir,
    sim: GeminiSim,
    path: OsString,
    has_curl: bool,
    redis: Option<RedisServer>,
    gateway: Option<Gateway>,
    replaced: Vec<String>,
}

impl Reader {
    async fn new(page: String, has_curl: bool) -> Self {
        let project = |n: usize| Project::new(format!("projects/{}", 100_000_000_001 + n));
        // The keys on the pages and in the files below.
        let keys = ["AIzaSy-your-key", "AIzaSy-the-first-key", "AIzaSy-the-second-key", "AQ.a-paid-key"];
        let keys = keys.into_iter().map(str::to_owned).chain([key(0), key(1)]).enumerate();
        let builder =
            keys.fold(GeminiSim::builder(), |builder, (n, key)| builder.project(project(n).key(key.as_str())));
        let sim = builder.start().await.expect("a free port");
        let folder = tempfile::tempdir().expect("a folder");
        for (name, content) in [
            ("key.txt", key(0)),
            ("keys.txt", key(0)),
            ("a-key.txt", key(1)),
            ("anthropic-keys.txt", "sk-ant-not-a-real-key".to_owned()),
            ("prompts.jsonl", r#"{"prompt": "Hello"}"#.to_owned()),
            ("admin-token", "an-admin-token".to_owned()),
        ] {
            fs::write(folder.path().join(name), content + "\n").expect("written");
        }
        let own = Path::new(PROGRAM).parent().expect("a folder").to_owned();
        let others = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([own].into_iter().chain(std::env::split_paths(&others))).expect("a PATH");
        Self { page, folder, sim, path, has_curl, redis: None, gateway: None, replaced: Vec::new() }
    }

    /// Runs a block and returns its language.
    fn run(&mut self, block: &Block) -> String {
        let place = format!("{}:{}", self.page, block.line);
        match block.language.as_str() {
            "sh" => commands(&block.text).iter().for_each(|command| self.command(&place, command)),
            "toml" => self.configuration(&place, &block.text),
            "keys" => self.key_file(&place, &block.text),
            "yaml" => self.scraping(&place, &block.text),
            language => {
                let pages = ELSEWHERE.iter().find(|(other, _)| *other == language).map(|(_, pages)| *pages);
                let is_run = pages.is_some_and(|pages| pages.contains(&self.page.as_str()));
                assert!(is_run, "{place}: no test runs blocks of the language {language:?} on this page");
            }
        }
        block.language.clone()
    }

    fn command(&mut self, place: &str, command: &str) {
        let mut line = command.to_owned();
        if let Some((_, instead)) = COMMANDS.iter().find(|(known, _)| *known == command) {
            self.replaced.push(command.to_owned());
            match instead {
                Run(other) => (*other).clone_into(&mut line),
                Nothing(why) => {
                    println!("{place}: not run, since {why}: {command}");
                    return;
                }
            }
        }
        if line.starts_with("curl") && !self.has_curl {
            return;
        }
        if line.contains("redis://HOST:6379") {
            let Some(redis) = RedisServer::with(&["--maxmemory-policy", "noeviction"]) else { return };
            line = line.replace("redis://HOST:6379", &redis.url());
            self.redis = Some(redis);
        }
        if line.starts_with("keypool serve") {
            self.gateway = Some(self.serve(&line));
            return;
        }
        // A page about an existing gateway or its database needs a running gateway.
        if line.contains("http://localhost:5000") || line.starts_with("keypool db") {
            line = line.replace("http://localhost:5000", &self.gateway().url);
        }
        // An error status fails the line.
        let line = line.replace("curl ", "curl --fail-with-body --silent --show-error --max-time 20 ");
        let output = self.bash(&line).output().expect("bash runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{place}: {command}: {}\n{out}{err}", output.status);
        assert!(!err.contains("skipped"), "{place}: {command}\n{err}");
        assert!(!out.contains("there is no key"), "{place}: {command}: the keys of the page are not found");
    }

    fn bash(&self, line: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", line]).env_clear().current_dir(self.folder.path());
        command.env("HOME", self.folder.path()).env("PATH", &self.path);
        command.env("KEYPOOL_UPSTREAM", self.sim.url()).env("KEYPOOL_LISTEN", "127.0.0.1:0");
        command.stdin(Stdio::null());
        command
    }

    fn serve(&self, line: &str) -> Gateway {
        // The shell's process becomes the program's, which is killed at the end.
        let mut command = self.bash(&format!("exec {line}"));
        command.env("KEYPOOL_ADMIN_TOKEN_FILE", "admin-token");
        Gateway::spawn(command, tempfile::tempdir().expect("a folder"))
    }

    /// Returns the gateway that the page started, or starts one.
    fn gateway(&mut self) -> &Gateway {
        if self.gateway.is_none() {
            self.gateway = Some(self.serve("keypool serve"));
        }
        self.gateway.as_ref().expect("a gateway")
    }

    fn configuration(&self, place: &str, text: &str) {
        fs::write(self.folder.path().join("block.toml"), text).expect("written");
        let mut command = program(self.folder.path());
        command.args(["config", "check", "--config", "block.toml"]);
        // The environment variables that the configuration names are set.
        for (n, named) in text.split("_env = \"").skip(1).enumerate() {
            let (name, _) = named.split_once('"').expect("a name in quotes");
            command.env(
                name,
                if name.contains("PROXY") { "http://user:password@host:3128".to_owned() } else { key(n + 2) },
            );
        }
        let output = command.output().expect("output");
        let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{place}: {printed}");
    }

    fn key_file(&self, place: &str, text: &str) {
        let file = self.folder.path().join("key.txt");
        fs::write(&file, text).expect("written");
        let elsewhere = tempfile::tempdir().expect("a folder");
        let output = program(elsewhere.path()).arg("import").arg(&file).arg("--json").output().expect("output");
        let printed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(output.stderr, b"", "{place}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(printed[0]["added"], text.lines().count(), "{place}: {printed}");
    }

    /// Checks that the gateway serves what a scrape job of Prometheus reads.
    fn scraping(&mut self, place: &str, text: &str) {
        let path = text.lines().find_map(|line| line.trim().strip_prefix("metrics_path: ")).expect("a path");
        assert!(text.contains("[\"localhost:5000\"]"), "{place}: the target is not the gateway's address");
        let token = crate::support::TOKEN;
        self.command(place, &format!("curl -H 'Authorization: Bearer {token}' http://localhost:5000{path}"));
    }
}
