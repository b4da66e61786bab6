//! The dashboard in Chromium, over its debugging protocol. Without Chromium the test is skipped with a message.
//!
//! If `KEYPOOL_SCREENSHOTS` names a folder, screenshots are written there.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{SinkExt, StreamExt};
use gemini_sim::{GeminiSim, Project, Refusal};
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

use crate::{
    admin::ADMIN,
    support::{GENERATE, Gateway, TOKEN, hello, key, post},
};

const CHROMIUM: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// A page in a separate browser.
struct Page {
    browser: Child,
    _profile: TempDir,
    socket: WebSocketStream<TcpStream>,
    session: String,
    last_id: u64,
    /// Console errors, exceptions, and violations of the page's content policy.
    errors: Vec<String>,
}

impl Page {
    /// Opens an empty page, or returns `None` if Chromium is missing.
    async fn open() -> Option<Self> {
        let starts = |name: &&str| Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok();
        let program = CHROMIUM.into_iter().find(starts)?;
        let profile = tempfile::tempdir().expect("a folder");
        let mut browser = Command::new(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage"])
            .args(["--remote-debugging-port=0", "--hide-scrollbars"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("Chromium starts");
        let stderr = browser.stderr.take().expect("piped");
        let (found, address) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut found = Some(found);
            // The output is read to its end, since Chromium blocks when its pipe is full.
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if let Some(url) = line.strip_prefix("DevTools listening on ") {
                    found.take().map(|found| found.send(url.to_owned()));
                }
            }
        });
        let url = tokio::time::timeout(Duration::from_secs(40), address).await.expect("in time").expect("an address");
        let host = url.trim_start_matches("ws://").split('/').next().expect("a host").to_owned();
        let stream = TcpStream::connect(host).await.expect("a connection");
        let (socket, _) = client_async(url, stream).await.expect("a WebSocket");
        let mut page =
            Self { browser, _profile: profile, socket, session: String::new(), last_id: 0, errors: Vec::new() };
        let target = page.call("Target.createTarget", json!({ "url": "about:blank" })).await;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = page.call("Target.attachToTarget", attach).await;
        page.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            page.call(domain, json!({})).await;
        }
        Some(page)
    }

    /// Calls a method of the protocol.
    async fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.as_str().into();
        }
        self.socket.send(Message::text(message.to_string())).await.expect("sent");
        loop {
            let next =
                tokio::time::timeout(Duration::from_secs(30), self.socket.next()).await.expect("a response in time");
            let Message::Text(text) = next.expect("a response").expect("a message") else { continue };
            let message: Value = serde_json::from_str(&text).expect("JSON");
            if message["id"] == self.last_id {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            let event = &message["params"];
            match message["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" => self.errors.push(event["exceptionDetails"].to_string()),
                "Runtime.consoleAPICalled" if event["type"] == "error" => self.errors.push(event["args"].to_string()),
                // The page checks for a session, and the test tries a wrong token.
                "Log.entryAdded" if event["entry"]["level"] == "error" && !event.to_string().contains("401") => {
                    self.errors.push(event["entry"].to_string());
                }
                _ => {}
            }
        }
    }

    /// Evaluates an expression in the page.
    async fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let result = self.call("Runtime.evaluate", parameters).await;
        assert!(result["exceptionDetails"].is_null(), "{expression}: {}", result["exceptionDetails"]);
        result["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    async fn until(&mut self, expression: &str) {
        for _ in 0..200 {
            if self.value(&format!("Boolean({expression})")).await == true {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "the expression does not become true: {expression}\nthe page shows:\n{}\nerrors: {:?}",
            self.text().await,
            self.errors
        );
    }

    async fn text(&mut self) -> String {
        self.value("document.body.innerText").await.as_str().unwrap_or_default().to_owned()
    }

    /// Sets the width of the window and the color scheme.
    async fn set_view(&mut self, width: u32, scheme: &str) {
        let metrics = json!({ "width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.call("Emulation.setDeviceMetricsOverride", metrics).await;
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", media).await;
    }

    /// Opens a page of the dashboard and waits until it is shown.
    async fn open_page(&mut self, name: &str) {
        self.value(&format!("document.querySelector('#{name} .body').replaceChildren(); location.hash = '#{name}'"))
            .await;
        self.until(&format!(
            "!document.querySelector('#{name}').hidden && document.querySelector('#{name} .body').childElementCount"
        ))
        .await;
    }

    async fn screenshot(&mut self, folder: Option<&PathBuf>, name: &str) {
        let Some(folder) = folder else { return };
        let parameters = json!({ "format": "png", "captureBeyondViewport": true });
        let shot = self.call("Page.captureScreenshot", parameters).await;
        let png = STANDARD.decode(shot["data"].as_str().expect("an image")).expect("base64");
        std::fs::write(folder.join(format!("{name}.png")), png).expect("a writable file");
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = self.browser.kill();
        let _ = self.browser.wait();
    }
}

const PAGES: [&str; 7] = ["overview", "keys", "models", "usage", "requests", "events", "tenants"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboard_works_in_a_browser() {
    let Some(mut page) = Page::open().await else {
        redis_fixture::skipped("Chromium is missing (scripts/test installs it)");
        return;
    };
    let folder = std::env::var_os("KEYPOOL_SCREENSHOTS").map(PathBuf::from);
    if let Some(folder) = &folder {
        std::fs::create_dir_all(folder).expect("a folder");
    }
    // Keys 0 to 3 work; the provider does not know key 7, and refuses keys 4 to 6 because of their project or billing account.
    let project = |n: usize| Project::new(format!("projects/{}", 100_000_000_001 + n));
    let refused = |n: usize, refusal| gemini_sim::Key::new(key(n)).refused(refusal);
    let sim = (0..4).fold(GeminiSim::builder(), |sim, n| sim.project(project(n).key(key(n).as_str())));
    let suspended = [4, 5].map(|n| refused(n, Refusal::ConsumerSuspended));
    let sim = sim.project(suspended.into_iter().fold(project(4), Project::key));
    let sim = sim.project(project(5).key(refused(6, Refusal::PrepayDepleted))).start().await.expect("a free port");
    let gateway = Gateway::start_with(&sim.url(), 0, |command, folder| {
        let lines = [
            format!("{} id=alpha-1 project=alpha rpm=400 rpd=2500 tpm=250000\n", key(0)),
            format!("{} id=alpha-2 project=alpha rpm=400\n", key(1)),
            format!("{} id=beta-1 project=beta tier=free\n", key(2)),
            format!("{} id=old project=gamma priority=0\n", key(7)),
            format!("{} id=spare project=delta priority=5\n", key(3)),
            format!("{} id=epsilon-1 project=epsilon\n", key(4)),
            format!("{} id=epsilon-2 project=epsilon\n", key(5)),
            format!("{} id=prepaid project=zeta billing_account=acme\n", key(6)),
        ];
        std::fs::write(folder.join("keys.txt"), lines.concat()).expect("a key file");
        let tenants = "[[tenants]]\nname = \"carol\"\ntoken = \"token-of-carol\"\nrpm = 5\n";
        std::fs::write(folder.join("keypool.toml"), tenants).expect("a file");
        command.args(["--admin-token", ADMIN]);
    });
    for n in 0..60 {
        let mut request = post(GENERATE, &hello());
        if n < 3 {
            request.headers_mut().insert("x-goog-api-key", "token-of-carol".parse().expect("a value"));
        }
        assert_eq!(gateway.send(request).await.status, 200);
    }
    assert_eq!(gateway.post(GENERATE, &json!({ "contents": 1 })).await.status, 400);
    let disable = Request::post("/-/admin/keys/spare/disable").header("x-keypool-admin", ADMIN);
    let disable = disable.body(Full::from(json!({ "reason": "costs too much" }).to_string())).expect("a request");
    assert_eq!(gateway.send(disable).await.status, 200);

    page.set_view(1280, "light").await;
    page.call("Page.navigate", json!({ "url": format!("{}/", gateway.url) })).await;
    page.until("document.querySelector('#login-form') && !document.querySelector('#login').hidden").await;
    page.screenshot(folder.as_ref(), "login-1280-light").await;
    assert_eq!(page.value("document.activeElement.id").await, "token");
    let log_in = |token: &str| {
        format!(
            "document.querySelector('#token').value = '{token}'; document.querySelector('#login-form').requestSubmit()"
        )
    };
    page.value(&log_in("wrong")).await;
    page.until("document.querySelector('#login-error').textContent.includes('not the admin token')").await;
    page.value(&log_in(ADMIN)).await;
    page.until("!document.querySelector('#board').hidden").await;

    let secrets: Vec<String> = (0..8).map(key).chain([TOKEN, ADMIN, "token-of-carol"].map(str::to_owned)).collect();
    for (width, scheme) in [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")] {
        page.set_view(width, scheme).await;
        for name in PAGES {
            page.open_page(name).await;
            if width > 500 {
                page.value("document.querySelectorAll('details').forEach((one) => one.open = true)").await;
            }
            let text = page.text().await;
            assert!(
                !text.contains("[object Object]") && !text.contains("undefined") && !text.contains("NaN"),
                "{text}"
            );
            let html = page.value("document.documentElement.outerHTML").await.to_string();
            for secret in &secrets {
                assert!(!html.contains(secret), "{name} contains {secret}");
            }
            let wide = page.value("document.documentElement.scrollWidth").await.as_u64().expect("a number");
            assert!(wide <= u64::from(width), "{name} is {wide} wide at {width}");
            page.screenshot(folder.as_ref(), &format!("{name}-{width}-{scheme}")).await;
        }
    }
    page.open_page("keys").await;
    page.value("document.querySelectorAll('#keys details').forEach((one) => one.open = true)").await;
    page.screenshot(folder.as_ref(), "keys-open-390-dark").await;
    page.open_page("usage").await;
    let by_key =
        "const by = document.querySelector('#usage-by'); by.value = 'key'; by.dispatchEvent(new Event('input'))";
    page.value(&format!("(() => {{ {by_key} }})()")).await;
    page.until("document.querySelector('#usage .heat')").await;
    assert_eq!(page.value("document.querySelector('#usage thead th:nth-child(2)').textContent").await, "today");
    page.screenshot(folder.as_ref(), "usage-by-key-390-dark").await;
    page.value(&format!("(() => {{ {} }})()", by_key.replace("'key'", "'day'"))).await;
    // On a phone, a page with closed projects is short.
    page.value("document.querySelectorAll('details').forEach((one) => one.open = false)").await;
    page.open_page("keys").await;
    let height = page.value("document.documentElement.scrollHeight").await.as_u64().expect("a number");
    assert!(height < 1_600, "{height}");
    page.open_page("requests").await;
    let height = page.value("document.documentElement.scrollHeight").await.as_u64().expect("a number");
    assert!(height < 2_500, "{height}");
    page.open_page("keys").await;
    let most = "Math.max(...[...document.querySelectorAll('progress')].map((bar) => bar.value / bar.max))";
    assert!(page.value(most).await.as_f64().expect("a number") <= 1.0);
    page.open_page("usage").await;
    page.until("!document.querySelector('#usage .heat') && document.querySelector('#usage tbody')").await;
    let today = "document.querySelector('#usage tbody th').getBoundingClientRect().right <= innerWidth";
    assert_eq!(page.value(today).await, true, "today is visible");
    let height = page.value("document.querySelector('#usage tbody th').clientHeight").await;
    assert!(height.as_u64().expect("a number") < 50, "today is on one line: {height}");

    page.set_view(1280, "light").await;
    page.open_page("overview").await;
    let tile = |name: &str| {
        format!(
            "[...document.querySelectorAll('.tiles dt')].find((one) => one.textContent === '{name}').nextSibling.textContent"
        )
    };
    for (name, expected) in [
        ("Requests", "61"),
        ("Served", "100 %"),
        ("Keys usable", "3"),
        ("Cooling", "2"),
        ("Disabled", "3"),
        ("Waiting", "0"),
    ] {
        assert_eq!(page.value(&tile(name)).await, expected, "{name}");
    }
    let text = page.value("document.querySelector('#overview .pair .panel').innerText").await.to_string();
    for cause in ["costs too much", "project epsilon is disabled: key rejected", "billing account acme is cooling for "]
    {
        assert_eq!(text.matches(cause).count(), 1, "{text}");
    }
    page.open_page("models").await;
    assert!(page.text().await.contains("Usage by model is on the page Usage."));
    page.open_page("keys").await;
    page.value("document.querySelectorAll('#keys details').forEach((one) => one.open = true)").await;
    let text = page.text().await;
    assert!(text.contains("key rejected") && text.contains("What to do: replace the key"), "{text}");
    assert!(text.contains("given") && text.contains("assumed"), "{text}");
    let row = page.value("document.querySelector('#keys tr[data-id=prepaid]').innerText").await.to_string();
    assert!(row.contains("billing account acme is cooling for ") && row.contains("What to do: "), "{row}");
    page.open_page("requests").await;
    assert!(page.text().await.contains("caller error 400"));

    // Buttons work.
    page.open_page("keys").await;
    page.value("document.querySelectorAll('#keys details').forEach((one) => one.open = true)").await;
    page.value(
        "const enable = document.querySelector('[data-action=enable][data-key=spare]'); enable.focus(); enable.click()",
    )
    .await;
    page.until("document.activeElement.matches('[data-action=disable][data-key=spare]')").await;
    page.value("enable.dispatchEvent(new MouseEvent('click', { bubbles: true, detail: 2 }))").await;
    assert_eq!(page.value("document.querySelector('#dialog').open").await, false, "a double click is one click");
    page.value("document.querySelector('[data-action=test][data-key=old]').click()").await;
    page.until("document.querySelector('#news').textContent.includes('old does not work')").await;
    page.value("document.querySelector('[data-action=add-key]').click()").await;
    let fill = "document.querySelector('#field-id').value = 'added'; document.querySelector('#field-tier').value = 'paid'; \
                document.querySelector('#field-secret').value = 'AIza-not-a-real-key-added-1'";
    page.value(&format!("{fill}; document.querySelector('#dialog-yes').click()")).await;
    page.until("document.querySelector('[data-action=replace][data-key=added]')").await;
    page.value("document.querySelector('[data-action=replace][data-key=added]').click()").await;
    page.value("document.querySelector('#field-secret').value = 'AIza-not-a-real-key-added-2'").await;
    page.value("document.querySelector('#dialog-yes').click()").await;
    page.until("document.querySelector('#news').textContent.includes('added has the new key')").await;
    page.open_page("tenants").await;
    page.value("document.querySelector('[data-action=add-tenant]').click()").await;
    page.value("document.querySelector('#field-name').value = 'dave'; document.querySelector('#dialog-yes').click()")
        .await;
    page.until("document.querySelector('#field-token')?.value.startsWith('kpt-')").await;
    page.screenshot(folder.as_ref(), "token-1280-light").await;
    page.value("document.querySelector('#dialog-yes').click()").await;
    page.until("document.querySelector('#tenants').textContent.includes('dave')").await;
    page.open_page("keys").await;
    let fifth_page = "const to = document.createElement('button'); to.dataset.action = 'page'; to.dataset.offset = 400; \
                      document.body.append(to); to.click(); to.remove()";
    page.value(&format!("(() => {{ {fifth_page} }})()")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    page.until("document.querySelector('#keys details')").await;
    page.open_page("tenants").await;
    page.value("document.querySelector('[data-action=add-tenant]').click()").await;
    page.until("document.querySelector('#dialog').open").await;
    page.value("fetch('/-/admin/logout', { method: 'POST' }).then(() => true)").await;
    page.until("!document.querySelector('#login').hidden").await;
    page.until("!document.querySelector('#dialog').open").await;
    page.until("document.querySelector('#login-error').textContent === 'The session has ended.'").await;
    assert!(page.errors.is_empty(), "{:#?}", page.errors);
}
