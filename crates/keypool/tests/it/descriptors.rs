//! As many connections as the system lets it have.

use std::{
    net::TcpStream,
    process::{Command, Stdio},
    time::Duration,
};

use http::Request;

use crate::{
    binary::{Running, keypool},
    support::ask,
};

/// `keypool serve` where a shell set this limit.
fn limited(limit: &str) -> Running {
    let serve = keypool(&["serve", "--listen", "127.0.0.1:0"]);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{limit}; exec \"$0\" \"$@\"")]).arg(serve.get_program()).args(serve.get_args());
    command.env_clear().stdin(Stdio::null());
    command.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.env("GEMINI_API_KEY", "AIzaSyTEST-descriptors-key-one-00000001");
    Running::of(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_system_does_not_allow_is_told_and_who_waits_for_it_is_let_in_later() {
    let mut running = limited("ulimit -n 64");
    let health = Request::get(format!("{}/-/health", running.url));
    let address = running.url.strip_prefix("http://").unwrap().to_owned();
    let crowd: Vec<TcpStream> = (0..80).map(|_| TcpStream::connect(&address).unwrap()).collect();
    let told = running.line_with("connections that could not be taken: 1 by now");
    assert!(told.contains(" WARN ") && told.contains("Too many open files"), "{told}");
    drop(crowd);
    let answer = tokio::time::timeout(Duration::from_secs(60), ask(health, "")).await.expect("there is room again");
    assert_eq!(answer.status, 200);
    running.signal("-TERM");
    let (_, log) = running.ended();
    assert!(log.contains(" WARN this process may have 64 files and connections open (ulimit -n"), "{log}");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn what_the_system_allows_is_taken() {
    let limits_of = |limits: String| {
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap().to_owned();
        let of = |at: usize| line.split_whitespace().nth(at).unwrap().parse::<u64>().unwrap_or(u64::MAX);
        (of(3), of(4))
    };
    let (_, allowed) = limits_of(std::fs::read_to_string("/proc/self/limits").unwrap());
    let running = limited("ulimit -Sn 64");
    let (soft, _) = limits_of(std::fs::read_to_string(format!("/proc/{}/limits", running.process())).unwrap());
    assert_eq!(soft, allowed.min(20_000), "two for each of gateway.max_connections");
}
