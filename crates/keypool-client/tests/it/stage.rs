//! Keys, a simulator, and a client over both.

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
