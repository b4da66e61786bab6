//! Scenes in virtual time: `scenes NAME`. Prints one JSON object.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use figures::{Args, picks::secret, upstream::Upstream, usage};
use tokio::time::Instant;
use tower_keypool::{Gemini, Key, KeyPool, KeyRequest, Limits, Outcome};

const MODEL: &str = "figures";

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime");
    match Args::of_process().name() {
        "known" => runtime.block_on(known()),
        _ => usage("scenes known"),
    }
}

/// Four hours with more callers than the keys can serve, whose limits are given: the share of what the upstream allows.
async fn known() {
    const KEYS: usize = 20;
    const PER_MINUTE: usize = 10;
    let span = Duration::from_secs(4 * 3_600 + 30);
    let pool = KeyPool::builder(Gemini::new())
        .keys((0..KEYS).map(|n| Key::new(secret(n))))
        .limits(MODEL, Limits::new().per_minute(PER_MINUTE as u64).per_day(1_000_000))
        .build()
        .expect("a pool");
    let upstream = Arc::new(Mutex::new(Upstream::new(PER_MINUTE)));
    let ends = Instant::now() + span;
    let callers: Vec<_> =
        (0..KEYS * PER_MINUTE * 2).map(|_| tokio::spawn(call(pool.clone(), Arc::clone(&upstream), ends))).collect();
    for caller in callers {
        caller.await.expect("a caller ends");
    }
    let upstream = upstream.lock().unwrap_or_else(PoisonError::into_inner);
    // A window opens at once, then each 60 s.
    let ideal = (span.as_secs() / 60 + 1) as usize * KEYS * PER_MINUTE;
    println!("{{\"goodput\": {}, \"refused\": {}}}", upstream.served as f64 / ideal as f64, upstream.refused);
}

async fn call(pool: KeyPool, upstream: Arc<Mutex<Upstream>>, ends: Instant) {
    while Instant::now() < ends {
        let left = ends.duration_since(Instant::now());
        let Ok(lease) = pool.acquire(KeyRequest::model(MODEL).wait(left)).await else { return };
        tokio::time::sleep(Duration::from_millis(fastrand::u64(1..150))).await;
        let answer = upstream.lock().unwrap_or_else(PoisonError::into_inner).request(lease.project());
        tokio::time::sleep(Duration::from_millis(fastrand::u64(300..1_500))).await;
        if answer.is_ok() {
            lease.report(&Outcome::Success);
        }
    }
}
