//! A headless Chromium, spoken to over its own pipe: the `DevTools` protocol as JSON, each message ended by a zero byte.

use std::{
    collections::HashMap,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::{Mutex as Turn, oneshot},
};

/// A machine that is busy with other tests is slow to draw, and slower where it never started a browser before.
const PATIENCE: Duration = Duration::from_secs(120);

const FLAGS: [&str; 8] = [
    "--headless=new",
    // Tests may run as root, who gets no sandbox; nothing but this repository's own pages is opened.
    "--no-sandbox",
    // A container's /dev/shm may be small.
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-pipe",
    // Nothing is looked up outside: a request that tries shows itself, and fails.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

/// Where to press what a selector finds: its middle, where it is the same in two pictures and nothing lies over it.
const PLACE: &str = r"async (selector) => {
    const drawn = () => new Promise((next) => requestAnimationFrame(next));
    const middle = (node) => {
        const box = node.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2];
    };
    const node = document.querySelector(selector);
    if (!node) return null;
    node.scrollIntoView({ block: 'center', behavior: 'instant' });
    await drawn();
    const place = middle(node);
    await drawn();
    if (!node.isConnected || String(middle(node)) !== String(place)) return null;
    if (!node.contains(document.elementFromPoint(...place))) return null;
    window.pressed = false;
    window.addEventListener('click', (event) => (window.pressed ||= node.contains(event.target)), { capture: true, once: true });
    return place;
}";

#[derive(Default)]
struct Heard {
    waiting: HashMap<u64, oneshot::Sender<Value>>,
    events: Vec<Value>,
}

/// A browser with one page.
pub(crate) struct Browser {
    _process: Child,
    _profile: tempfile::TempDir,
    input: Turn<(u64, ChildStdin)>,
    heard: Arc<Mutex<Heard>>,
    session: String,
}

/// Where the browser is. Where the variable `CI` is set there must be one; elsewhere tests without it say so and pass.
fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .flat_map(|folder| ["chromium", "chromium-browser", "google-chrome"].map(|name| folder.join(name)))
        .find(|file| file.is_file());
    assert!(found.is_some() || std::env::var_os("CI").is_none(), "chromium is missing: scripts/test installs it");
    if found.is_none() {
        eprintln!("SKIPPED: chromium is missing (apt-get install chromium, or scripts/test)");
    }
    found
}

impl Browser {
    /// One that shows nothing yet; none where none is installed.
    pub(crate) async fn open() -> Option<Self> {
        let program = program()?;
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        // It reads its orders at 3 and answers at 4.
        command.args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#]).arg(program).args(FLAGS);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg("about:blank");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut process = command.spawn().unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let heard = Arc::new(Mutex::new(Heard::default()));
        tokio::spawn(hear(BufReader::new(output), Arc::clone(&heard)));
        let input = Turn::new((0, input));
        let mut browser = Self { _process: process, _profile: profile, input, heard, session: String::new() };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = browser.call("Target.attachToTarget", attach).await;
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Page", "Runtime", "Log", "Audits"] {
            browser.call(&format!("{domain}.enable"), json!({})).await;
        }
        let room = json!({ "maxTotalBufferSize": 200 << 20, "maxResourceBufferSize": 20 << 20 });
        browser.call("Network.enable", room).await;
        browser.look(1400, 1000, false).await;
        Some(browser)
    }

    /// Calls a method of the protocol, and waits for its answer.
    async fn try_call(&self, method: &str, params: Value) -> Result<Value, Value> {
        let (sender, answer) = oneshot::channel();
        {
            let mut input = self.input.lock().await;
            input.0 += 1;
            self.heard.lock().unwrap().waiting.insert(input.0, sender);
            let mut message = json!({ "id": input.0, "method": method, "params": params });
            if !self.session.is_empty() {
                message["sessionId"] = json!(self.session);
            }
            input.1.write_all(format!("{message}\0").as_bytes()).await.unwrap();
        }
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        let mut answer = answer.unwrap_or_else(|_| panic!("{method} is not answered")).expect("the browser is there");
        if answer["error"].is_null() { Ok(answer["result"].take()) } else { Err(answer) }
    }

    async fn call(&self, method: &str, params: Value) -> Value {
        self.try_call(method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Opens a page.
    pub(crate) async fn visit(&self, url: &str) {
        let opened = self.call("Page.navigate", json!({ "url": url })).await;
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
        self.until("document.readyState === 'complete'").await;
    }

    /// What a script says.
    pub(crate) async fn ask(&self, script: &str) -> Value {
        let params = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let mut answer = self.call("Runtime.evaluate", params).await;
        assert!(answer["exceptionDetails"].is_null(), "{script}: {answer}");
        answer["result"]["value"].take()
    }

    /// Waits until a script says that it is so.
    pub(crate) async fn until(&self, script: &str) {
        let so = async {
            // In the middle of a step from one page to the next nobody answers.
            let wanted = format!("!!({script})");
            let params = json!({ "expression": wanted, "returnByValue": true });
            while !self
                .try_call("Runtime.evaluate", params.clone())
                .await
                .is_ok_and(|told| told["result"]["value"] == true)
            {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, so).await.is_err() {
            self.picture("failure").await;
            let text = self.ask("document.body.innerText").await;
            panic!("it is not so: {script}\n{}\n{:?}", text.as_str().unwrap_or_default(), self.faults());
        }
    }

    /// Presses what a selector finds, where a person would: once it stands still, and again where it slipped away.
    pub(crate) async fn press(&self, selector: &str) {
        let quoted = json!(selector);
        self.until(&format!("document.querySelector({quoted})?.checkVisibility()")).await;
        let pressed = async {
            loop {
                let place = json!({ "expression": format!("({PLACE})({quoted})"), "awaitPromise": true, "returnByValue": true });
                let place =
                    self.try_call("Runtime.evaluate", place).await.unwrap_or_default()["result"]["value"].take();
                if !place.is_array() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
                for kind in ["mousePressed", "mouseReleased"] {
                    let params =
                        json!({ "type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": 1 });
                    self.call("Input.dispatchMouseEvent", params).await;
                }
                // A page that was left for another knows nothing of it.
                let told =
                    self.try_call("Runtime.evaluate", json!({ "expression": "window.pressed", "returnByValue": true }));
                if !told.await.is_ok_and(|told| told["result"]["value"] == false) {
                    break;
                }
            }
        };
        if tokio::time::timeout(PATIENCE, pressed).await.is_err() {
            self.picture("failure").await;
            panic!("{selector} cannot be pressed: {:?}", self.faults());
        }
    }

    /// Types into what has the focus.
    pub(crate) async fn enter(&self, text: &str) {
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Writes into a field in the place of what stands there.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let quoted = json!(selector);
        self.until(&format!("document.querySelector({quoted})?.checkVisibility()")).await;
        let focus =
            format!("(() => {{ const field = document.querySelector({quoted}); field.focus(); field.select?.(); }})()");
        let written = async {
            loop {
                self.ask(&focus).await;
                self.enter(text).await;
                if self.ask(&format!("document.querySelector({quoted}).value")).await == text {
                    break;
                }
            }
        };
        if tokio::time::timeout(PATIENCE, written).await.is_err() {
            self.picture("failure").await;
            panic!("{selector} cannot be written: {:?}", self.faults());
        }
    }

    /// A key of the keyboard.
    pub(crate) async fn strike(&self, key: &str, code: u32) {
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let params = json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text });
            self.call("Input.dispatchKeyEvent", params).await;
        }
    }

    /// A window of this size, and the colours that its owner prefers.
    pub(crate) async fn look(&self, width: u32, height: u32, dark: bool) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", features).await;
    }

    /// A picture of what is seen, as `target/screenshots/NAME.png`.
    pub(crate) async fn picture(&self, name: &str) {
        // Until it is drawn as it is to be.
        self.ask("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(() => drawn(1))))").await;
        let picture = self.call("Page.captureScreenshot", json!({ "format": "png" })).await;
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        let bytes = BASE64_STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        assert!(bytes.len() > 4_000, "{name} shows nothing");
        std::fs::write(folder.join(format!("{name}.png")), bytes).unwrap();
    }

    fn events(&self, method: &str) -> Vec<Value> {
        let heard = self.heard.lock().unwrap();
        heard.events.iter().filter(|event| event["method"] == method).map(|event| event["params"].clone()).collect()
    }

    /// Where requests went.
    pub(crate) fn asked(&self) -> Vec<String> {
        let sent = self.events("Network.requestWillBeSent");
        sent.iter().map(|event| event["request"]["url"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Whatever a developer would see in red: errors of scripts, of the policy, of loading.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = Vec::new();
        for entry in self.events("Log.entryAdded") {
            let entry = &entry["entry"];
            if matches!(entry["level"].as_str(), Some("error" | "warning")) {
                faults.push(format!("{} {} {}", entry["source"], entry["text"], entry["url"]));
            }
        }
        faults.extend(self.events("Runtime.exceptionThrown").iter().map(|told| told["exceptionDetails"].to_string()));
        let called = self.events("Runtime.consoleAPICalled");
        faults.extend(called.iter().filter(|told| told["type"] != "debug").map(ToString::to_string));
        let issues = self.events("Audits.issueAdded");
        let broken = issues.iter().filter(|told| told["issue"]["code"] == "ContentSecurityPolicyIssue");
        faults.extend(broken.map(ToString::to_string));
        faults
    }

    /// Every answer that came whole: its address and what it said.
    pub(crate) async fn answers(&self) -> Vec<(String, String)> {
        let mut answers = Vec::new();
        for response in self.events("Network.responseReceived") {
            let url = response["response"]["url"].as_str().unwrap_or_default().to_owned();
            let body = self.try_call("Network.getResponseBody", json!({ "requestId": response["requestId"] })).await;
            // A stream has no body yet.
            if let Ok(body) = body {
                let head = response["response"]["headers"].to_string();
                answers.push((url, format!("{head}\n{}", body["body"].as_str().unwrap_or_default())));
            }
        }
        answers
    }
}

async fn hear(mut output: BufReader<impl AsyncReadExt + Unpin>, heard: Arc<Mutex<Heard>>) {
    let mut message = Vec::new();
    while output.read_until(0, &mut message).await.is_ok_and(|read| read > 0) {
        message.pop();
        let told: Value = serde_json::from_slice(&message).unwrap_or_default();
        message.clear();
        let mut heard = heard.lock().unwrap();
        match told["id"].as_u64() {
            Some(id) => {
                if let Some(waiting) = heard.waiting.remove(&id) {
                    let _ = waiting.send(told);
                }
            }
            None => heard.events.push(told),
        }
    }
    // Whoever waits is told.
    heard.lock().unwrap().waiting.clear();
}
