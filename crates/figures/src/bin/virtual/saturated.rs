//! More is asked for than the keys may give.

use std::time::Duration;

use gemini_sim::{GeminiSim, Limits as Quota, Project};
use serde_json::{Value, json};
use tower_keypool::{Key, Limits};

use crate::scene::{self, MODEL, Served};

const OWNERS: usize = 10;
const PER_MINUTE: u64 = 60;
const MINUTE: Duration = Duration::from_secs(60);

fn projects(count: usize, per_minute: u64) -> GeminiSim {
    scene::simulator((0..count).fold(GeminiSim::builder(), |builder, n| {
        let project = Project::new(format!("projects/{}", 1000 + n)).limits(Quota::none().rpm(per_minute));
        builder.project(project.key(scene::secret(n)))
    }))
}

/// How long: an hour, or six minutes of it.
fn length(quick: bool) -> Duration {
    MINUTE * if quick { 6 } else { 60 }
}

/// Offers three times what the owners may start.
async fn threefold(sim: &GeminiSim, pool: &tower_keypool::KeyPool, length: Duration) -> (usize, std::sync::Arc<Served>) {
    let offered = (3.0 * PER_MINUTE as f64 * OWNERS as f64 * length.as_secs_f64() / 60.0) as usize;
    let served = scene::offer(sim, pool, offered, length / offered as u32, Duration::from_secs(5)).await;
    (offered, served)
}

/// The limits are known from the start.
pub async fn known(quick: bool) -> Value {
    let sim = projects(OWNERS, PER_MINUTE);
    let pool = scene::pool()
        .keys((0..OWNERS).map(|n| Key::new(scene::secret(n))))
        .limits(MODEL, Limits::new().per_minute(PER_MINUTE))
        .build()
        .expect("a pool");
    let length = length(quick);
    let (offered, served) = threefold(&sim, &pool, length).await;
    let log = sim.log();
    // The windows of the length that the callers came; what began behind it is not counted.
    let accepted = log.iter().filter(|arrival| arrival.accepted && arrival.at < length).count();
    let quota = PER_MINUTE as f64 * OWNERS as f64 * length.as_secs_f64() / 60.0;
    let over = |owner| log.most_in_any(MINUTE, |arrival| arrival.project == Some(owner)).saturating_sub(PER_MINUTE);
    json!({
        "offered": offered,
        "used": accepted as f64 / quota,
        "upstream 429s": log.iter().filter(|arrival| arrival.status == 429).count(),
        "starts over a limit": (0..OWNERS).map(over).sum::<u64>(),
        "served": Served::read(&served.good),
        "other failures": Served::read(&served.bad),
    })
}

/// They are learned from the first 429.
pub async fn unknown(quick: bool) -> Value {
    let sim = projects(OWNERS, PER_MINUTE);
    let pool = scene::pool().keys((0..OWNERS).map(|n| Key::new(scene::secret(n)))).build().expect("a pool");
    let length = length(quick);
    // What is known when the first window ends.
    let first = async {
        tokio::time::sleep(MINUTE).await;
        let learned = |key: &&tower_keypool::KeyView| {
            let limits = key.lanes.iter().flat_map(|lane| &lane.limits);
            limits.into_iter().any(|view| view.limit.amount == PER_MINUTE)
        };
        pool.snapshot().keys.iter().filter(learned).count()
    };
    let ((offered, served), learned) = tokio::join!(threefold(&sim, &pool, length), first);
    let log = sim.log();
    // Its end: a minute, and the longest way there.
    let after = || log.iter().filter(|arrival| arrival.at >= MINUTE + Duration::from_millis(250));
    let refused = after().filter(|arrival| arrival.status == 429).count();
    let minute = |n: u32| (MINUTE * n..MINUTE * (n + 1));
    let in_minute = |n| log.iter().filter(|call| call.status == 429 && minute(n).contains(&call.at)).count();
    json!({
        "offered": offered,
        "owners learned in the first window": learned as f64 / OWNERS as f64,
        "upstream 429s in the first window": log.iter().filter(|arrival| arrival.status == 429).count() - refused,
        "upstream 429s by minute": (0..6).map(in_minute).collect::<Vec<_>>(),
        "429s after it": refused as f64 / after().count().max(1) as f64,
        "served": Served::read(&served.good),
        "other failures": Served::read(&served.bad),
    })
}

/// As many at once as all keys together may start.
pub async fn burst() -> Value {
    let sim = projects(10, 10);
    let pool = scene::pool()
        .keys((0..10).map(|n| Key::new(scene::secret(n))))
        .limits(MODEL, Limits::new().per_minute(10))
        .build()
        .expect("a pool");
    let served = scene::offer(&sim, &pool, 100, Duration::ZERO, Duration::ZERO).await;
    json!({ "succeeded": Served::read(&served.good), "upstream 429s": sim.report().total.over_limit })
}
