//! Keys, a simulator, and a client over both.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use gemini_sim::{Builder, GeminiSim, Project};
use keypool_client::Client;
use tower_keypool::{Clock, Gemini, Key, KeyPool, KeyPoolBuilder};

pub(crate) const MODEL: &str = "gemini-2.5-flash";

pub(crate) fn secret(n: usize) -> String {
    format!("AIzaSy-not-a-real-key-{n:017}")
}

/// A simulator with so many keys, each of a project of its own.
pub(crate) fn keyed(builder: Builder, keys: usize) -> Builder {
    (0..keys)
        .fold(builder, |builder, n| builder.project(Project::new(format!("projects/{}", 1000 + n)).key(&*secret(n))))
}

/// A pool of the same keys, `k0` and so on.
pub(crate) fn pool(base: &str, keys: usize) -> KeyPoolBuilder {
    KeyPool::builder(Gemini::at(base).unwrap()).keys((0..keys).map(|n| Key::new(secret(n)).id(format!("k{n}"))))
}

/// A client over a simulator on a socket.
pub(crate) async fn served(builder: Builder, keys: usize) -> (GeminiSim, Client) {
    let sim = keyed(builder, keys).start().await.unwrap();
    let pool = pool(&sim.url(), keys).build().unwrap();
    (sim, Client::new(&pool))
}

/// A client over a simulator in process, on tokio's clock.
pub(crate) fn paused(
    builder: Builder,
    keys: usize,
    pool_of: impl FnOnce(KeyPoolBuilder) -> KeyPoolBuilder,
) -> (GeminiSim, Client) {
    let wall = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_781_550_000);
    let sim = keyed(builder.wall(wall.try_into().unwrap()), keys).build();
    let pool = pool_of(pool("http://gemini-sim.invalid", keys).clock(Clock::tokio_from(wall))).build().unwrap();
    let client = Client::builder(&pool).transport(sim.service()).build();
    (sim, client)
}

/// What is logged on this thread.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// Whether a line of the request with this id says that.
    pub(crate) fn says_of(&self, id: &str, what: &str) -> bool {
        self.text().lines().any(|line| line.contains(&format!("request_id={id}}}")) && line.contains(what))
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Listens to what is logged on this thread until the guard goes.
pub(crate) fn logged() -> (Log, Listening) {
    let log = Log::default();
    let writer = log.clone();
    let lines = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_ansi(false);
    // With one dispatcher alone, tracing asks that of the thread which meets an event first whether anybody listens, and
    // other tests' threads have none.
    let second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let guard = tracing::subscriber::set_default(lines.with_writer(move || writer.clone()).finish());
    (log, Listening { _guard: guard, _second: second })
}

/// It listens for as long as this is held.
pub(crate) struct Listening {
    _guard: tracing::subscriber::DefaultGuard,
    _second: tracing::Dispatch,
}
