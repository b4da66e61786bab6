//! The page under `/-/ui` in a real browser: what it shows, what its buttons do, and what it never does.

use gemini_sim::{GeminiSim, Key, Project, Refusal};
use http::{Method, Request};
use serde_json::{Value, json};

use crate::{
    admin::{TOKEN, get, send},
    binary::Running,
    browser::Browser,
    home::{Home, end, hello, no_secret, secret},
    support::ask,
};

const SERVE: [&str; 4] = ["--admin-token", TOKEN, "--strategy", "round-robin"];
const LABEL: &str = "<img src=x onerror=document.title='owned'>";

/// Ten keys: the fourth's project is suspended, the sixth's account rests for ten minutes.
async fn simulator() -> GeminiSim {
    let mut sim = GeminiSim::builder();
    for n in 0..12 {
        let key = Key::new(secret(n));
        let key = match n {
            3 => key.refused(Refusal::ConsumerSuspended),
            5 => key.refused(Refusal::SpendRate),
            _ => key,
        };
        sim = sim.project(Project::new(format!("1000000000{n:02}")).key(key));
    }
    sim.start().await.unwrap()
}

fn ten(home: &Home) {
    for n in 0..10 {
        let label = format!("note:{LABEL}");
        let more: &[&str] = match n {
            0 => &["--tier", "free", "--owner", "alpha"],
            1 => &["--priority", "3"],
            9 => &["--label", &label],
            _ => &[],
        };
        home.add(n, &format!("key-{n}"), more);
    }
}

async fn log_in(browser: &Browser, running: &Running) {
    browser.visit(&format!("{}/-/ui", running.url)).await;
    browser.until("document.activeElement.id === 'token'").await;
    browser.enter(TOKEN).await;
    browser.strike("Enter", 13).await;
    browser.until("document.querySelectorAll('#key-table tbody tr').length > 0").await;
}

fn row(id: &str) -> String {
    format!(
        "[...document.querySelectorAll('#key-table tbody tr')].find((row) => row.cells[1].firstChild.textContent === '{id}')"
    )
}

async fn state(browser: &Browser, id: &str, expected: &str) {
    browser.until(&format!("{}?.dataset.state === '{expected}'", row(id))).await;
}

/// The page asked nobody else, nothing went wrong in it, and neither it nor any answer holds a secret.
async fn is_clean(browser: &Browser, running: &Running, wrong_logins: usize) {
    for url in browser.asked() {
        assert!(url.starts_with(&format!("{}/", running.url)) || url == "about:blank", "{url}");
    }
    let mut faults = browser.faults();
    // A browser tells of every 401.
    let refused = |fault: &String| fault.contains("401") && fault.contains("/-/admin/login");
    assert_eq!(faults.iter().filter(|fault| refused(fault)).count(), wrong_logins, "{faults:?}");
    faults.retain(|fault| !refused(fault));
    assert_eq!(faults, [""; 0]);
    let page = browser.ask("document.documentElement.outerHTML").await;
    let page = page.as_str().unwrap();
    no_secret(page);
    assert!(!page.contains(TOKEN));
    let answers = browser.answers().await;
    for path in ["/-/ui", "/-/admin/snapshot", "/-/admin/keys", "/-/admin/usage"] {
        assert!(answers.iter().any(|(url, _)| url.contains(path)), "{path} was not read: {answers:?}");
    }
    for (url, text) in answers {
        no_secret(&text);
        assert!(!text.contains(TOKEN), "{url}: {text}");
    }
}

fn view<'a>(snapshot: &'a Value, id: &str) -> &'a Value {
    let keys = snapshot["snapshot"]["keys"].as_array().unwrap();
    keys.iter().find(|key| key["id"] == id).unwrap_or(&Value::Null)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_shows_the_pool_live_and_whatever_it_is_told_as_text() {
    let Some(browser) = Browser::open().await else { return };
    let (home, sim) = (Home::new(), simulator().await);
    ten(&home);
    let running = home.serve(&sim, &SERVE);
    for _ in 0..20 {
        assert_eq!(hello(&running).await.status, 200);
    }
    send(&running, Method::POST, "/keys/key-7/disable", json!({ "reason": "too dear" }).to_string()).await;

    // Whoever comes to the root is led there, and sees nothing before logging in.
    browser.visit(&format!("{}/", running.url)).await;
    assert_eq!(browser.ask("location.pathname").await, "/-/ui");
    browser.until("document.activeElement.id === 'token'").await;
    browser.picture("login").await;
    browser.enter("not-the-token-at-all").await;
    browser.strike("Enter", 13).await;
    browser.until("document.getElementById('login-news').textContent.includes('not the administrator')").await;
    assert_eq!(browser.ask("document.getElementById('board').hidden").await, true);
    log_in(&browser, &running).await;
    assert_eq!(browser.ask("document.cookie").await, "", "no script sees the session");
    let kept = browser.ask("JSON.stringify([{ ...localStorage }, { ...sessionStorage }])").await;
    assert!(!kept.as_str().unwrap().contains(TOKEN), "{kept}");

    browser.until("document.querySelectorAll('#key-table tbody tr').length === 10").await;
    for (id, expected) in
        [("key-0", "ready"), ("key-3", "disabled"), ("key-5", "resting"), ("key-7", "disabled"), ("key-9", "ready")]
    {
        state(&browser, id, expected).await;
    }
    for (id, said) in [
        ("key-0", "owner alpha"),
        ("key-1", "priority 3"),
        ("key-3", "CONSUMER_SUSPENDED"),
        ("key-3", "Google Cloud"),
        ("key-7", "too dear"),
        ("key-9", LABEL),
    ] {
        browser.until(&format!("{}.textContent.includes({})", row(id), json!(said))).await;
    }
    // A rest counts down by itself, and says what it is.
    let left = format!(
        "(() => {{ const [min, , s] = {}.querySelector('.time[data-ends]').textContent.split(' '); return 60 * min + +s; }})()",
        row("key-5")
    );
    let before = browser.ask(&left).await.as_f64().unwrap();
    assert!(before > 300.0 && before <= 600.0, "{before}");
    browser.until(&format!("{left} <= {before} - 2")).await;
    assert!(
        browser.ask(&format!("{}.querySelector('.advice').textContent.length", row("key-5"))).await.as_u64() > Some(20)
    );
    // A label is text: nothing of it is an element, and nothing ran.
    assert_eq!(browser.ask("document.querySelectorAll('img').length").await, 0);
    assert_eq!(browser.ask("document.title").await, "keypool");

    for (table, text) in [
        ("lane-table", "gemini-2.5-flash"),
        ("error-table", "CONSUMER_SUSPENDED"),
        ("request-table", "generateContent"),
        ("event-list", "disabled"),
        ("change-table", "disable key-7"),
        ("login-table", "127.0.0.1"),
        ("process-table", "this one"),
        ("tenant-table", "default"),
    ] {
        browser.until(&format!("document.getElementById('{table}').textContent.includes('{text}')")).await;
    }
    // Tenants' use is told at once; keys' when it was written, so that is asked for again and again.
    let by = async |kind: &str, name: &str| {
        let choose = format!("const by = document.getElementById('usage-by'); by.value = '{kind}';");
        let shown = format!("document.getElementById('heat').textContent.includes('{name}')");
        browser
            .until(&format!("(() => {{ {choose} by.dispatchEvent(new Event('change')); return {shown}; }})()"))
            .await;
    };
    by("tenant", "default").await;
    by("model", "gemini-2.5-flash").await;
    by("key", "key-2").await;
    browser.until("document.querySelectorAll('#attempts rect.good').length > 1").await;
    browser.until("document.querySelector('#latency svg').getAttribute('aria-label').includes(' ms')").await;
    // What has a name for the eye has one for the ear.
    let nameless = browser
        .ask(
            "[...document.querySelectorAll('button, input, select, textarea')].filter((node) => \
             node.checkVisibility() && !(node.getAttribute('aria-label') || node.textContent.trim() || node.labels?.length)).map((node) => node.outerHTML)",
        )
        .await;
    assert_eq!(nameless, json!([]));

    browser.look(1400, 2700, false).await;
    browser.picture("light").await;
    browser.look(1400, 2700, true).await;
    browser.picture("dark").await;
    browser.look(360, 2600, false).await;
    browser.until("document.documentElement.scrollWidth <= 360").await;
    browser.picture("phone").await;
    browser.press("[aria-label='More about key-5']").await;
    browser.until("document.getElementById('dialog').open").await;
    browser.look(360, 740, true).await;
    browser.picture("phone-key").await;
    browser.strike("Escape", 27).await;
    browser.until("!document.getElementById('dialog').open").await;
    // Why a request went as it did.
    browser.look(1400, 1000, false).await;
    browser.press("#error-table button.name").await;
    browser.until("document.getElementById('dialog').textContent.includes('SPEND_RATE')").await;
    browser.picture("request").await;
    // What pool and gateway say of it is in the same time.
    let id = browser.ask("document.getElementById('dialog-title').textContent").await;
    let told = get(&running, &format!("/requests/{}", id.as_str().unwrap())).await;
    let attempts = told["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2, "{told}");
    for attempt in attempts {
        let ends = attempt["at_ms"].as_u64().unwrap() + attempt["ms"].as_u64().unwrap();
        assert!(ends <= told["ms"].as_u64().unwrap() + 2, "{told}");
    }
    browser.strike("Escape", 27).await;
    is_clean(&browser, &running, 1).await;
    // Should a script of the page ever err: what is slipped in does not run, and reaches nobody else.
    let slipped =
        "document.body.append(Object.assign(document.createElement('script'), { textContent: 'window.owned = 1' }))";
    browser.ask(slipped).await;
    assert_eq!(browser.ask("typeof window.owned").await, "undefined");
    let elsewhere = "fetch('http://127.0.0.1:9/', { mode: 'no-cors' }).then(() => 'sent', () => 'refused')";
    assert_eq!(browser.ask(elsewhere).await, "refused");
    let told = browser.faults().join("\n");
    assert!(told.contains("script-src") && told.contains("connect-src"), "{told}");

    // Who leaves is out, here and there.
    browser.press("#logout").await;
    browser.until("!document.getElementById('login').hidden && document.getElementById('board').hidden").await;
    assert_eq!(browser.ask("fetch('/-/admin/keys').then((answer) => answer.status)").await, 401);
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exit_that_rests_is_used_again_by_a_button() {
    let Some(browser) = Browser::open().await else { return };
    let (home, sim) = (Home::new(), simulator().await);
    // Nobody listens there.
    let file = home.write("keypool.toml", "[exits.gone]\nproxy = \"http://127.0.0.1:1\"\n");
    home.add(0, "here", &[]);
    home.add(1, "away", &["--exit", "gone", "--config", &file]);
    let running = home.serve(&sim, &[&SERVE[..], &["--config", &file]].concat());
    log_in(&browser, &running).await;
    // It does not rest for long.
    let rests = async || get(&running, "/exits").await.to_string().contains("\"code\":\"exit\"");
    while !rests().await {
        assert_eq!(hello(&running).await.status, 200);
    }
    browser.until("document.getElementById('exit').textContent.includes('1 keys of the exit gone are not used')").await;
    browser.picture("exit").await;
    browser.press("#exit button").await;
    browser.until("document.getElementById('news').textContent.includes('the exit gone is used again')").await;
    browser.until("document.getElementById('exit').hidden").await;
    assert!(!rests().await);
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_buttons_do_what_they_say_once_that_is_confirmed() {
    let Some(browser) = Browser::open().await else { return };
    let (home, sim) = (Home::new(), simulator().await);
    ten(&home);
    let running = home.serve(&sim, &SERVE);
    assert_eq!(hello(&running).await.status, 200);
    log_in(&browser, &running).await;
    browser.until("document.querySelectorAll('#key-table tbody tr').length === 10").await;

    // Off, though not by mistake; and on.
    browser.press("[aria-label='Disable key-1']").await;
    browser.until("document.getElementById('question').open").await;
    browser.picture("question").await;
    browser.press("#question-no").await;
    assert_eq!(view(&get(&running, "/snapshot").await, "key-1")["state"], "ready");
    browser.press("[aria-label='Disable key-1']").await;
    browser.fill("#question-field", "by the browser").await;
    browser.press("#question-yes").await;
    state(&browser, "key-1", "disabled").await;
    assert_eq!(view(&get(&running, "/snapshot").await, "key-1")["state"], "disabled");
    assert_eq!(home.key("key-1")["reason"], "by the browser");
    browser.press("[aria-label='Enable key-1']").await;
    state(&browser, "key-1", "ready").await;
    assert_eq!(view(&get(&running, "/snapshot").await, "key-1")["state"], "ready");

    // A call with a key that works, and with one that does not.
    browser.press("[aria-label='Test key-0']").await;
    browser.until("document.getElementById('news').textContent.includes('key-0: the provider took the key')").await;
    browser.press("[aria-label='Test key-3']").await;
    browser.until("document.querySelector('#news .bad')?.textContent.includes('suspended')").await;

    // What is said of a key.
    browser.press("[aria-label='More about key-2']").await;
    browser.fill("#dialog [name=weight]", "2.5").await;
    browser.fill("#dialog [name=owner]", "beta").await;
    browser.press("#dialog form[aria-label='Change key-2'] button").await;
    browser.until(&format!("{}.textContent.includes('weight 2.5')", row("key-2"))).await;
    let changed = view(&get(&running, "/snapshot").await, "key-2").clone();
    assert_eq!((changed["weight"].as_f64(), changed["owner"].as_str()), (Some(2.5), Some("beta")));
    assert_eq!(changed["priority"], 0, "what was not changed was not said");
    browser.picture("key").await;
    // Another secret.
    browser.fill("#dialog [name=secret]", &secret(10)).await;
    browser.press("#dialog form[aria-label='Replace the secret of key-2'] button").await;
    browser.press("#question-yes").await;
    browser.until("document.getElementById('news').textContent.includes('key-2 has another secret')").await;
    assert_eq!(browser.ask("document.querySelector('#dialog [name=secret]').value").await, "");
    browser.strike("Escape", 27).await;

    // One goes, one comes, one is read from a file.
    browser.press("[aria-label='More about key-8']").await;
    browser.until("document.getElementById('dialog').open").await;
    browser.press("#dialog .danger").await;
    browser.press("#question-yes").await;
    browser.until(&format!("!({})", row("key-8"))).await;
    let closed = "!document.getElementById('dialog').open";
    browser.until(closed).await;
    assert_eq!(home.key("key-8")["state"], "removed");
    browser.press("#add").await;
    browser.fill("#dialog [name=secret]", &secret(11)).await;
    browser.fill("#dialog [name=id]", "fresh").await;
    browser.fill("#dialog [name=priority]", "7").await;
    browser.press("#dialog form button").await;
    browser.until(&format!("{}?.textContent.includes('priority 7')", row("fresh"))).await;
    browser.until(closed).await;
    browser.press("#import").await;
    browser.fill("#import-text", &format!("{} id=read\nnonsense\n", secret(12))).await;
    browser.press("#dialog form button").await;
    browser.until("document.getElementById('news').textContent.includes('1 added, 0 there already, 1 not read')").await;
    browser.until(&format!("!!({})", row("read"))).await;
    browser.press("#reload").await;
    browser.until("document.getElementById('news').textContent.includes('The configuration was read again')").await;

    // What was done is on record, by whom it was done.
    let audit = get(&running, "/audit").await;
    let changes = audit["changes"].as_array().unwrap();
    for (what, key) in [
        ("disable", Some("key-1")),
        ("enable", Some("key-1")),
        ("set", Some("key-2")),
        ("replace", Some("key-2")),
        ("remove", Some("key-8")),
        ("add", Some("fresh")),
        ("test", Some("key-0")),
        ("import", None),
        ("reload", None),
    ] {
        let noted = changes.iter().any(|change| {
            change["what"] == what
                && change["key"].as_str() == key
                && change["who"] == "session"
                && change["result"] == "done"
        });
        assert!(noted, "{what} {key:?}: {audit}");
    }
    browser.until("document.getElementById('change-table').textContent.includes('replace key-2')").await;
    is_clean(&browser, &running, 0).await;
    end(running).await;
}

/// More keys than are told at once: they come in pages.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_pool_is_shown_in_pages() {
    let Some(browser) = Browser::open().await else { return };
    let (home, sim) = (Home::new(), simulator().await);
    let keys: Vec<String> =
        (0..2_100).map(|n| format!("AIzaSyTEST-ui-key-of-many-number-{n:08} id=many-{n:04}\n")).collect();
    let file = home.write("keys.txt", &keys.concat());
    let running = home.serve(&sim, &["--db", "none", "--keys", &file, "--admin-token", TOKEN]);
    assert_eq!(get(&running, "/snapshot?keys=0").await["keys_left_out"], true);
    log_in(&browser, &running).await;
    browser.until("document.getElementById('page').textContent === 'page 1 of 42'").await;
    browser.press("#after").await;
    browser.until(&row("many-0050")).await;
    assert_eq!(browser.ask("document.querySelectorAll('#key-table tbody tr').length").await, 50);
    browser.fill("#find", "many-2099").await;
    browser.strike("Enter", 13).await;
    browser.until("document.getElementById('dialog-title').textContent === 'many-2099'").await;
    // It is on no page, and yet it can be switched off and on again.
    let toggle = "#dialog-body .bar .pushed + button";
    let says = |word: &str| format!("document.querySelector('{toggle}').textContent === '{word}'");
    browser.until(&says("Disable")).await;
    browser.press(toggle).await;
    browser.press("#question-yes").await;
    browser.until(&says("Enable")).await;
    browser.press(toggle).await;
    browser.until(&says("Disable")).await;
    assert_eq!(get(&running, "/keys/many-2099").await["live"]["state"], "ready");
    // What another administrator does to it is seen there, too.
    let path = format!("{}/-/admin/keys/many-2099/disable", running.url);
    let request = http::Request::post(path).header("authorization", format!("Bearer {TOKEN}"));
    assert_eq!(ask(request.header("content-type", "application/json"), "{}").await.status, 200);
    browser.until(&says("Enable")).await;
    // The list cannot be asked for those that are busy.
    assert_eq!(browser.ask("document.querySelector('#state option[value=busy]').disabled").await, true);
    browser.strike("Escape", 27).await;
    browser.until("document.getElementById('usage-news').textContent.includes('without a database')").await;
    assert!(browser.faults().iter().all(|fault| fault.contains("409")), "{:?}", browser.faults());
    end(running).await;
}

/// Two of one database, on one host.
#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_are_looked_at_side_by_side() {
    let Some(browser) = Browser::open().await else { return };
    let (home, sim) = (Home::new(), simulator().await);
    home.add(0, "one", &["--rpd", "500"]);
    let (first, second) = (home.serve(&sim, &SERVE), home.serve(&sim, &SERVE));
    log_in(&browser, &first).await;
    // What was given is shown before anything was sent; and what others sent as well.
    let limits = |said: &str| format!("{}.cells[4].textContent.includes('{said}')", row("one"));
    browser.until(&limits("500")).await;
    for _ in 0..3 {
        assert_eq!(hello(&second).await.status, 200);
    }
    browser.until(&limits("3/500")).await;
    log_in(&browser, &second).await;
    browser.visit(&format!("{}/-/ui", first.url)).await;
    browser.until(&format!("{} && !document.getElementById('board').hidden", row("one"))).await;

    // Nothing is said of the counts of a secret before that is not so.
    browser.press(".name").await;
    browser.fill("#dialog input[name='secret']", &secret(1)).await;
    browser.press("#dialog form[aria-label='Replace the secret of one'] button").await;
    browser.until("document.getElementById('question-text').textContent.includes('counted')").await;
    let said = browser.ask("document.getElementById('question-text').textContent").await;
    assert!(said.as_str().unwrap().contains("stays"), "{said}");
    browser.press("#question-no").await;
    end(first).await;
    end(second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_gets_no_data_is_told_so() {
    let Some(browser) = Browser::open().await else { return };
    let (home, sim) = (Home::new(), simulator().await);
    home.add(0, "one", &[]);
    let running = home.serve(&sim, &SERVE);
    log_in(&browser, &running).await;
    let link = |class: &str| format!("document.getElementById('link').className === 'link {class}'");
    browser.until(&link("up")).await;
    browser.ask("window.real = window.fetch; window.timeout = AbortSignal.timeout; 0").await;
    for fault in [
        "async () => new Response('<h1>Bad gateway</h1>', { status: 502 })",
        "async () => new Response('<h1>Log in to the hotel</h1>', { status: 200 })",
        // Who waits ten seconds does so in no time.
        "(AbortSignal.timeout = () => window.timeout.call(AbortSignal, 20), \
         (url, { signal }) => new Promise((_, no) => signal.addEventListener('abort', () => no(signal.reason))))",
    ] {
        browser.ask(&format!("window.fetch = {fault}; 0")).await;
        browser.until(&link("down")).await;
        browser.until("/no answer since \\d/.test(document.getElementById('link').textContent)").await;
        browser.ask("window.fetch = window.real; AbortSignal.timeout = window.timeout; 0").await;
        browser.until(&link("up")).await;
    }
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn its_files_are_anybodys_and_its_data_is_not() {
    let (home, sim) = (Home::new(), simulator().await);
    home.add(0, "one", &[]);
    let running = home.serve(&sim, &SERVE);
    let page = ask(Request::get(format!("{}/-/ui", running.url)), "").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").starts_with("default-src 'none'; script-src 'self';"));
    assert_eq!((page.header("x-content-type-options"), page.header("referrer-policy")), ("nosniff", "no-referrer"));
    let again = Request::get(format!("{}/-/ui", running.url)).header("if-none-match", page.header("etag"));
    assert_eq!(ask(again, "").await.status, 304);
    assert_eq!(ask(Request::get(format!("{}/-/ui/main.js", running.url)), "").await.status, 200);
    assert_eq!(ask(Request::get(format!("{}/-/ui/secret.js", running.url)), "").await.status, 404);
    assert_eq!(ask(Request::get(format!("{}/-/admin/keys", running.url)), "").await.status, 401);
    let root = ask(Request::get(format!("{}/", running.url)), "").await;
    assert_eq!((root.status.as_u16(), root.header("location")), (302, "/-/ui"));
    // Another's page cannot even read it by a name of its own.
    let foreign = Request::get(format!("{}/-/ui", running.url)).header("origin", "http://evil.example");
    assert_eq!(ask(foreign, "").await.status, 403);
    end(running).await;

    // At an address of its own the page is there, and clients' has none.
    let running = home.serve(&sim, &["--admin-token", TOKEN, "--admin-listen", "127.0.0.1:0"]);
    let root = ask(Request::get(format!("{}/", running.url)), "").await;
    assert_eq!((root.status.as_u16(), root.header("location")), (302, "/-/"));
    let url = running.told.split("the admin API is on ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert_eq!(ask(Request::get(url.replace("/-/admin", "/-/ui")), "").await.status, 200);
    let root = ask(Request::get(url.replace("/-/admin", "/")), "").await;
    assert_eq!((root.status.as_u16(), root.header("location")), (302, "/-/ui"));
    end(running).await;
}
