//! The configuration changes while the gateway runs.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use gemini_sim::{GeminiSim, Project};
use http::{Request, StatusCode};
use keypool::gateway::token::PLACEHOLDER;

use crate::{
    binary::{Running, keypool},
    home::ACTS,
    support::{Answer, ask},
};

const ONE: &str = "AIzaSyTEST-reload-key-number-one-0000001";
const TWO: &str = "AIzaSyTEST-reload-key-number-two-0000002";
const THREE: &str = "AIzaSyTEST-reload-key-number-three-00003";

async fn simulator() -> GeminiSim {
    let project = |n: usize, key: &str| Project::new(n.to_string()).key(key);
    let sim = GeminiSim::builder().latency(Duration::from_millis(20));
    sim.project(project(1, ONE)).project(project(2, TWO)).project(project(3, THREE)).start().await.unwrap()
}

/// `keypool serve` in this folder.
fn serve(folder: &Path, sim: &GeminiSim, variables: &[(&str, &str)]) -> Running {
    let mut command = keypool(&["serve", "--listen", "127.0.0.1:0", "--upstream", &sim.url()]);
    command.current_dir(folder).envs(variables.iter().copied());
    Running::of(command)
}

async fn generate(url: &str, token: &str) -> Answer {
    let request = Request::post(format!("{url}/v1beta/models/gemini-2.5-flash:generateContent"))
        .header("x-goog-api-key", token)
        .header("content-type", "application/json");
    ask(request, r#"{"contents":[{"parts":[{"text":"Hello"}]}]}"#).await
}

/// A file that takes another's place at once, as editors and deployments do it.
fn replace(folder: &Path, name: &str, text: &str) {
    let new = folder.join(format!(".{name}.new"));
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, folder.join(name)).unwrap();
}

/// The next line that holds this, within what a busy machine may take; and the process, which goes on.
async fn line(running: Running, text: &'static str) -> (Running, String) {
    let process = running.process();
    let mut reading = tokio::task::spawn_blocking(move || {
        let mut running = running;
        let line = running.line_with(text);
        (running, line)
    });
    let told = tokio::time::timeout(ACTS, &mut reading).await;
    let (running, line) = if let Ok(told) = told {
        told.unwrap()
    } else {
        // Its end ends the reading, which says what there was instead.
        let _ = std::process::Command::new("kill").args(["-9", &process]).status();
        reading.await.expect("the line")
    };
    for secret in [ONE, TWO, THREE] {
        assert!(!line.contains(secret), "{line}");
    }
    (running, line)
}

/// Traffic until it is ended; every answer is counted.
struct Traffic {
    over: Arc<AtomicBool>,
    good: Arc<AtomicUsize>,
    bad: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Traffic {
    fn begin(url: &str) -> Self {
        let (over, good, bad) = <(Arc<AtomicBool>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let tasks = (0..4)
            .map(|_| {
                let (url, over, good, bad) = (url.to_owned(), Arc::clone(&over), Arc::clone(&good), Arc::clone(&bad));
                tokio::spawn(async move {
                    while !over.load(Ordering::Relaxed) {
                        let status = generate(&url, PLACEHOLDER).await.status;
                        if status == StatusCode::OK { &good } else { &bad }.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        Self { over, good, bad, tasks }
    }

    /// (good, bad)
    async fn end(self) -> (usize, usize) {
        self.over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        (self.good.load(Ordering::Relaxed), self.bad.load(Ordering::Relaxed))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_come_and_go_while_requests_flow_and_none_is_dropped() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key.txt"), format!("{ONE} id=one\n{TWO} id=two\n")).unwrap();
    let running = serve(folder.path(), &sim, &[]);
    let url = running.url.clone();
    let traffic = Traffic::begin(&url);
    tokio::time::sleep(Duration::from_millis(300)).await;

    replace(folder.path(), "key.txt", &format!("{TWO} id=two weight=3\n{THREE} id=three\n"));
    let (running, told) = line(running, "configuration read again").await;
    assert!(told.trim_end().ends_with("configuration read again: added three; removed one; changed two"), "{told}");
    let before = sim.report().projects[0].tally.accepted;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let after = sim.report().projects[0].tally.accepted;
    assert!(after <= before + 4, "only what was under way: {before}, then {after}");

    // Written in place, as by a shell.
    std::fs::write(folder.path().join("key.txt"), format!("{ONE} id=one\n")).unwrap();
    let (running, told) = line(running, "configuration read again").await;
    assert!(told.contains("added one; removed three, two") || told.contains("added one; removed two, three"), "{told}");

    let (good, bad) = traffic.end().await;
    assert!(good > 20 && bad == 0, "{good} good, {bad} bad");
    let (code, told) = tokio::task::spawn_blocking(move || running.end()).await.unwrap();
    assert_eq!(code, Some(0), "{told}");
    for secret in [ONE, TWO, THREE] {
        assert!(!told.contains(secret), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_is_refused_and_the_old_one_goes_on() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let good = format!("[[keys]]\nid = \"one\"\nsecret = \"{ONE}\"\n");
    std::fs::write(folder.path().join("keypool.toml"), &good).unwrap();
    let running = serve(folder.path(), &sim, &[]);
    let url = running.url.clone();
    let traffic = Traffic::begin(&url);

    replace(folder.path(), "keypool.toml", &format!("{good}weight = -1\n\n[pool]\nstrategi = \"lru\"\n"));
    let (running, told) = line(running, "is refused, the old one goes on").await;
    assert!(told.contains("it is wrong in 2 places"), "{told}");
    let (running, _) = line(running, "keypool.toml:4: keys[0].weight: expected a number above 0").await;
    let (running, _) = line(running, "keypool.toml:7: pool.strategi: nothing reads this key").await;

    // Without any key: refused too, since that is hardly meant.
    replace(folder.path(), "keypool.toml", "[pool]\n");
    let (running, _) = line(running, "no key is left in it").await;
    assert_eq!(generate(&url, PLACEHOLDER).await.status, StatusCode::OK);

    replace(
        folder.path(),
        "keypool.toml",
        &format!("{good}[[keys]]\nid = \"two\"\nsecret = \"{TWO}\"\n[retry]\nmax_retries = 1\n"),
    );
    let (_running, told) = line(running, "configuration read again").await;
    assert!(told.contains("added two; new settings in retry"), "{told}");
    assert_eq!(traffic.end().await.1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_provider_takes_a_new_start_and_another_place_of_it_waits_for_one() {
    let (sim, folder) = (simulator().await, tempfile::tempdir().unwrap());
    let file = |gateway: &str, keys: &str| format!("[gateway]\n{gateway}\n{keys}");
    let key = |id: &str, secret: &str| format!("[[keys]]\nid = \"{id}\"\nsecret = \"{secret}\"\n");
    let here = format!("upstream = \"{}\"", sim.url());
    std::fs::write(folder.path().join("keypool.toml"), file(&here, &key("one", ONE))).unwrap();
    let mut command = keypool(&["serve", "--listen", "127.0.0.1:0"]);
    command.current_dir(folder.path());
    let running = Running::of(command);
    let url = running.url.clone();

    let openai = format!("provider = \"openai\"\n{here}");
    replace(folder.path(), "keypool.toml", &file(&openai, &key("other", "sk-of-another-provider-0001")));
    let (running, told) = line(running, "is refused, the old one goes on").await;
    assert!(told.contains("gateway.provider is another one, which takes a new start"), "{told}");

    let there = "upstream = \"http://127.0.0.1:9\"";
    replace(folder.path(), "keypool.toml", &file(there, &(key("one", ONE) + &key("two", TWO))));
    let (_running, told) = line(running, "configuration read again").await;
    assert!(told.contains("added two") && told.contains("from the next start on: gateway.upstream"), "{told}");
    assert_eq!(generate(&url, PLACEHOLDER).await.status, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_gone_is_no_wish_to_do_without_it() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keypool.toml");
    let one = format!("[[keys]]\nid = \"one\"\nsecret = \"{ONE}\"\n");
    std::fs::write(&file, &one).unwrap();
    let running = serve(folder.path(), &sim, &[("GEMINI_API_KEY", THREE), ("KEYPOOL_DB", "none")]);
    std::fs::remove_file(&file).unwrap();
    let (running, told) = line(running, "the configuration cannot be read").await;
    assert!(told.contains("keypool.toml"), "{told}");
    assert_eq!(crate::home::servers(&running, 9).await.len(), 2);
    std::fs::write(&file, format!("{one}[[keys]]\nid = \"two\"\nsecret = \"{TWO}\"\n")).unwrap();
    let (running, told) = line(running, "configuration read again").await;
    assert!(told.contains("added two") && !told.contains("removed"), "{told}");
    drop(running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slip_of_the_pen_in_a_key_file_takes_no_key_out() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("key.txt"), format!("{ONE} id=one\nunusable\n{TWO} id=two rpm=10\n")).unwrap();
    let running = serve(folder.path(), &sim, &[("GEMINI_API_KEY", THREE), ("KEYPOOL_DB", "none")]);
    let url = running.url.clone();

    replace(folder.path(), "key.txt", &format!("{ONE} id=one\nunusable\n{TWO} id=two rpm=ten\n"));
    let (running, _) = line(running, "the new key file is refused, the old one goes on").await;
    let (running, _) = line(running, "key.txt:3: the line is skipped: the value of rpm").await;
    assert_eq!(crate::home::servers(&running, 9).await.len(), 3);

    // One is mended and another one broken.
    replace(folder.path(), "key.txt", &format!("{ONE} id=one\n{TWO} id=two rpm=ten\nAIzaSy-{THREE}-x id=new\n"));
    let (running, _) = line(running, "the new key file is refused, the old one goes on").await;

    // Each line of what is wrong is one of the log.
    replace(folder.path(), "key.txt", "garbage\nmore garbage\n");
    let (running, _) = line(running, "holds no usable key").await;
    let (running, told) = line(running, "line 2: ").await;
    assert!(!told.contains("u{a}") && told.contains("ERROR"), "{told}");

    // The line that was bad before hinders nobody, and an emptied file is meant.
    replace(folder.path(), "key.txt", &format!("unusable\n{TWO} id=two rpm=11\n"));
    let (running, told) = line(running, "configuration read again").await;
    assert!(told.contains("removed one; changed two") || told.contains("removed one"), "{told}");
    replace(folder.path(), "key.txt", "# none for now\n");
    let (running, told) = line(running, "configuration read again").await;
    assert!(told.contains("removed two"), "{told}");
    assert_eq!(generate(&url, PLACEHOLDER).await.status, StatusCode::OK);
    drop(running);
}

/// What it names is looked for, though it was refused without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_a_refused_configuration_names_may_come() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("keypool.toml"), "[retry]\nmax_retries = 1\n").unwrap();
    let running = serve(folder.path(), &sim, &[("GEMINI_API_KEY", THREE), ("KEYPOOL_DB", "none")]);
    replace(folder.path(), "keypool.toml", "[[keys]]\nid = \"one\"\nsecret_file = \"sec\"\n");
    let (running, _) = line(running, "the new configuration is refused, the old one goes on").await;
    replace(folder.path(), "sec", ONE);
    let (running, told) = line(running, "configuration read again").await;
    assert!(told.contains("added one"), "{told}");
    drop(running);
}

/// Of those who name no key file.
#[tokio::test(flavor = "multi_thread")]
async fn the_usual_key_file_is_found_when_it_comes_and_missed_when_it_goes() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let running = serve(folder.path(), &sim, &[("GEMINI_API_KEY", THREE), ("KEYPOOL_DB", "none")]);
    replace(folder.path(), "key.txt", &format!("{ONE} id=one\n"));
    let (running, told) = line(running, "configuration read again").await;
    assert!(told.contains("added one"), "{told}");
    std::fs::remove_file(folder.path().join("key.txt")).unwrap();
    let (running, told) = line(running, "the new configuration is refused, the old one goes on").await;
    assert!(!told.contains("removed"), "{told}");
    replace(folder.path(), "key.txt", &format!("{ONE} id=one\n{TWO} id=two\n"));
    let (running, told) = line(running, "configuration read again").await;
    assert!(told.contains("added two") && !told.contains("removed"), "{told}");
    drop(running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_that_is_cut_off_takes_no_key_out() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.txt");
    std::fs::write(&file, format!("{ONE} id=one\n{TWO} id=two\n")).unwrap();
    let running = serve(folder.path(), &sim, &[("GEMINI_API_KEY", THREE), ("KEYPOOL_DB", "none")]);

    // As a full disk leaves it.
    std::fs::write(&file, "").unwrap();
    let (running, told) = line(running, "key.txt").await;
    assert!(
        told.contains("ERROR") && told.contains("the old one goes on: key.txt is empty, and it had keys"),
        "{told}"
    );
    assert!(told.contains("a comment (# none)"), "{told}");
    assert_eq!(crate::home::servers(&running, 9).await.len(), 3, "all of them serve");
    running.signal("-HUP");
    let (running, _) = line(running, "key.txt is empty, and it had keys").await;

    // Who writes it anew, and who says that it is to have none, is heard.
    std::fs::write(&file, format!("{ONE} id=one weight=2\n{TWO} id=two\n")).unwrap();
    let (running, told) = line(running, "configuration read again").await;
    assert!(told.trim_end().ends_with(": changed one"), "{told}");
    std::fs::write(&file, "# none\n").unwrap();
    let (running, told) = line(running, "configuration read again").await;
    assert!(told.contains("removed one, two") || told.contains("removed two, one"), "{told}");
    drop(running);
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_key_is_no_key() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.txt");
    let text = format!("{ONE} id=one\n{TWO} id=two\n{THREE}");
    std::fs::write(&file, &text).unwrap();
    let running = serve(folder.path(), &sim, &[("KEYPOOL_DB", "none")]);
    // As a full disk leaves it.
    std::fs::write(&file, &text[..ONE.len() + " id=one\n".len() + TWO.len() - 3]).unwrap();
    let (running, told) = line(running, "the old one goes on").await;
    assert!(
        told.contains("ERROR") && told.contains("key.txt:2: what stands there is the beginning of a key"),
        "{told}"
    );
    assert_eq!(crate::home::servers(&running, 9).await.len(), 3, "all of them serve");
    std::fs::write(&file, format!("{text} weight=2\n")).unwrap();
    let (running, told) = line(running, "configuration read again").await;
    assert!(told.contains(": changed "), "{told}");
    drop(running);
}

/// Limits, tenants and tokens stand in it: that all of them are to go nobody said.
#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_cut_off_takes_no_setting_away() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("keypool.toml");
    let text = "[gateway]\ntoken = \"a-token-of-ones-own-0001\"\n";
    std::fs::write(&file, text).unwrap();
    let running = serve(folder.path(), &sim, &[("GEMINI_API_KEY", ONE), ("KEYPOOL_DB", "none")]);
    let url = running.url.clone();
    let mut running = running;
    for blank in ["", " \n\t\n"] {
        std::fs::write(&file, blank).unwrap();
        let (still, told) = line(running, "keypool.toml is empty").await;
        assert!(
            told.contains("ERROR") && told.contains("the old one goes on: ") && told.contains("it had settings"),
            "{told}"
        );
        assert!(told.contains("a comment (# none)"), "{told}");
        assert_eq!(generate(&url, "a-token-of-ones-own-0001").await.status, StatusCode::OK);
        assert_eq!(generate(&url, PLACEHOLDER).await.status, StatusCode::UNAUTHORIZED);
        running = still;
    }
    let out = keypool(&["config", "check"]).current_dir(folder.path()).env("GEMINI_API_KEY", ONE).output().unwrap();
    let told = String::from_utf8_lossy(&out.stdout);
    assert!(told.contains("note: keypool.toml: it is empty"), "{told}");
    // Who says so is heard.
    std::fs::write(&file, "# none\n").unwrap();
    let (running, told) = line(running, "configuration read again").await;
    assert!(told.contains("new settings in gateway"), "{told}");
    assert_eq!(generate(&url, PLACEHOLDER).await.status, StatusCode::OK);
    let out = keypool(&["config", "check"]).current_dir(folder.path()).env("GEMINI_API_KEY", ONE).output().unwrap();
    assert!(!String::from_utf8_lossy(&out.stdout).contains("it is empty"));
    drop(running);
}

/// It is looked at while there is nothing in it, and once more before anybody is told.
#[tokio::test(flavor = "multi_thread")]
async fn who_cuts_a_key_file_off_before_writing_it_is_waited_for() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key.txt");
    std::fs::write(&file, format!("{ONE} id=one\n")).unwrap();
    let running = serve(folder.path(), &sim, &[("GEMINI_API_KEY", THREE), ("KEYPOOL_DB", "none")]);
    std::fs::write(&file, "").unwrap();
    tokio::time::sleep(Duration::from_millis(350)).await;
    std::fs::write(&file, format!("{ONE} id=one weight=2\n{TWO} id=two\n")).unwrap();
    let (running, told) = line(running, "configuration read again").await;
    assert!(told.trim_end().ends_with(": added two; changed one"), "{told}");
    let (code, told) = tokio::task::spawn_blocking(move || running.end()).await.unwrap();
    assert!(code == Some(0) && !told.contains("removed"), "{told}");
}

/// What stands for the gateway's own keys stands for those of others beside it.
#[tokio::test(flavor = "multi_thread")]
async fn a_slip_of_the_pen_takes_no_key_of_another_provider_out() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let others = "sk-not-a-real-key-000000000001 id=open\n";
    std::fs::write(folder.path().join("others.txt"), others).unwrap();
    let text = "[[providers]]\nname = \"open\"\nkind = \"openai\"\nkey_files = [\"others.txt\"]\n";
    std::fs::write(folder.path().join("keypool.toml"), text).unwrap();
    let running = serve(folder.path(), &sim, &[("GEMINI_API_KEY", ONE), ("KEYPOOL_DB", "none")]);
    replace(folder.path(), "others.txt", &format!("{others}sk-not-a-real-key-000000000002 rpm=ten\n"));
    let (running, _) = line(running, "the new key file is refused, the old one goes on").await;
    let (running, _) = line(running, "others.txt:2: the line is skipped").await;
    std::fs::write(folder.path().join("others.txt"), "").unwrap();
    let (running, told) = line(running, "is empty").await;
    assert!(told.contains("the old one goes on: others.txt is empty, and it had keys"), "{told}");
    drop(running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mounted_secret_is_followed_when_its_link_is_swapped() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    // As Kubernetes mounts it: key.txt → ..data/key.txt, and ..data → a folder that is another each time.
    for (name, key) in [("..1", ONE), ("..2", TWO)] {
        std::fs::create_dir(at(name)).unwrap();
        std::fs::write(at(name).join("key.txt"), format!("{key} id=mounted-{name}\n")).unwrap();
    }
    std::os::unix::fs::symlink("..1", at("..data")).unwrap();
    std::os::unix::fs::symlink("..data/key.txt", at("key.txt")).unwrap();
    let running = serve(folder.path(), &sim, &[]);
    std::os::unix::fs::symlink("..2", at("..data.new")).unwrap();
    std::fs::rename(at("..data.new"), at("..data")).unwrap();
    let (_running, told) = line(running, "configuration read again").await;
    assert!(told.contains("added mounted-..2; removed mounted-..1"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_a_mounted_folder_is_told_once() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let good = "[retry]\nmax_retries = 1\n";
    for (name, text) in [("..1", ""), ("..2", good), ("..3", "wrong = 1\n"), ("..4", "[retry]\nmax_retries = 2\n")] {
        std::fs::create_dir(at(name)).unwrap();
        std::fs::write(at(name).join("keypool.toml"), text).unwrap();
    }
    let swap = |name: &str| {
        std::os::unix::fs::symlink(name, at("..new")).unwrap();
        std::fs::rename(at("..new"), at("..data")).unwrap();
    };
    swap("..1");
    std::os::unix::fs::symlink("..data/keypool.toml", at("keypool.toml")).unwrap();
    let running = serve(folder.path(), &sim, &[("GEMINI_API_KEY", ONE)]);
    // The folder is another one each time, which is looked at once more.
    let looked_at = || tokio::time::sleep(Duration::from_millis(700));
    swap("..2");
    let (running, _) = line(running, "configuration read again").await;
    looked_at().await;
    swap("..3");
    let (running, _) = line(running, "the new configuration is refused").await;
    looked_at().await;
    swap("..4");
    let (_running, told) = line(running, "configuration").await;
    assert!(told.contains("read again: no key changed; new settings in retry"), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_effect_is_told() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("keypool.toml"), "").unwrap();
    let mut running = serve(folder.path(), &sim, &[("GEMINI_API_KEY", ONE)]);
    let mut text = String::new();
    for (setting, table) in [
        ("[gateway]\nstrict = false\n", "gateway"),
        ("openai = \"passthrough\"\n", "gateway"),
        ("fetch_images = true\n", "gateway"),
        ("[exits.second]\nlocal_address = \"127.0.0.1\"\n", "exits"),
    ] {
        text.push_str(setting);
        replace(folder.path(), "keypool.toml", &text);
        let told;
        (running, told) = line(running, "configuration read again").await;
        assert!(told.trim_end().ends_with(&format!("new settings in {table}")), "{setting}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reads_again_token_and_models_too() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "first-token\n").unwrap();
    let running = serve(folder.path(), &sim, &[("GEMINI_API_KEY", ONE), ("KEYPOOL__GATEWAY__TOKEN_FILE", "token")]);
    let url = running.url.clone();
    assert_eq!(generate(&url, "first-token").await.status, StatusCode::OK);

    running.signal("-HUP");
    let (running, told) = line(running, "configuration read again").await;
    assert!(told.contains("no key changed"), "{told}");

    replace(folder.path(), "token", "second-token\n");
    let (running, told) = line(running, "configuration read again").await;
    assert!(told.contains("no key changed; new settings in gateway"), "{told}");
    assert_eq!(generate(&url, "first-token").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(generate(&url, "second-token").await.status, StatusCode::OK);

    // A file that was not there at the start is found when somebody asks.
    let models =
        "[[models]]\nname = \"gemini-2.5-flash-lite\"\naliases = [\"fast\"]\n[gateway]\nlisten = \"127.0.0.1:1\"\n";
    std::fs::write(folder.path().join("keypool.toml"), models).unwrap();
    running.signal("-HUP");
    let (_running, told) = line(running, "configuration read again").await;
    assert!(told.contains("new settings in models"), "{told}");
    let request = Request::post(format!("{url}/v1beta/models/fast:generateContent"))
        .header("x-goog-api-key", "second-token")
        .header("content-type", "application/json");
    let answer = ask(request, r#"{"contents":[{"parts":[{"text":"Hello"}]}]}"#).await;
    assert_eq!((answer.status, answer.header("x-keypool-model")), (StatusCode::OK, "gemini-2.5-flash-lite"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_variables_name_are_followed() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("api-key"), ONE).unwrap();
    std::fs::write(folder.path().join("token"), "first-token\n").unwrap();
    let running = serve(folder.path(), &sim, &[("GEMINI_API_KEY_FILE", "api-key"), ("KEYPOOL_TOKEN_FILE", "token")]);
    let url = running.url.clone();
    assert_eq!(generate(&url, "first-token").await.status, StatusCode::OK);

    replace(folder.path(), "api-key", TWO);
    let (running, told) = line(running, "configuration read again").await;
    assert!(told.contains("added k-") && told.contains("; removed k-"), "{told}");
    replace(folder.path(), "token", "second-token\n");
    let (_running, told) = line(running, "configuration read again").await;
    assert!(told.contains("no key changed; new settings in gateway"), "{told}");
    assert_eq!(generate(&url, "second-token").await.status, StatusCode::OK);
    assert_eq!(sim.report().projects[1].tally.accepted, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_alone_with_a_key_in_the_environment_just_works() {
    let sim = simulator().await;
    let folder = tempfile::tempdir().unwrap();
    let mut command = keypool(&["serve"]);
    command.current_dir(folder.path()).envs([
        ("GEMINI_API_KEY", ONE),
        ("GEMINI_API_BASE_URL", &sim.url()),
        ("LISTEN_PORT", "0"),
        ("LOG_DIRECTORY", "logs"),
        ("LOG_LEVEL", "debug"),
    ]);
    let running = Running::of(command);
    assert_eq!(generate(&running.url, PLACEHOLDER).await.status, StatusCode::OK);
    let (code, told) = tokio::task::spawn_blocking(move || running.end()).await.unwrap();
    assert_eq!(code, Some(0), "{told}");
    assert!(told.contains("1 key: 1 from env GEMINI_API_KEY") && !told.contains(ONE), "{told}");
    let logs: Vec<_> = std::fs::read_dir(folder.path().join("logs")).unwrap().collect();
    let text = std::fs::read_to_string(logs[0].as_ref().unwrap().path()).unwrap();
    assert!(text.contains(" key=k-f2a9f1a2 model=gemini-2.5-flash status=200 "), "{text}");
    assert!(text.lines().all(|line| line.starts_with("20")) && !text.contains(ONE), "{text}");
}
