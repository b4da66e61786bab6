//! More is asked for than the keys may give.

use std::{sync::Arc, time::Duration};

use gemini_sim::{Builder, GeminiSim, Limits as Quota, Project};
use serde_json::{Value, json};
use tower_keypool::{Key, KeyPool, Limits};

use super::stage::{self, MODEL, Served};

const MINUTE: Duration = Duration::from_secs(60);

/// How much of it.
#[derive(Clone, Copy)]
pub struct Scale {
    /// Owners, a key each.
    pub owners: usize,
    /// What each of them may start a minute.
    pub per_minute: u64,
    /// How long, in minutes.
    pub minutes: u32,
    /// What the simulator's choices follow from.
    pub seed: u64,
}

impl Scale {
    /// An hour of ten owners, or six minutes of it.
    pub fn full(quick: bool) -> Self {
        Self { owners: 10, per_minute: 60, minutes: if quick { 6 } else { 60 }, seed: 7 }
    }

    fn length(self) -> Duration {
        MINUTE * self.minutes
    }

    fn quota(self) -> u64 {
        self.per_minute * self.owners as u64 * u64::from(self.minutes)
    }

    fn simulator(self) -> GeminiSim {
        let of_owner = |builder: Builder, n| {
            let project = Project::new(format!("projects/{}", 1000 + n)).limits(Quota::none().rpm(self.per_minute));
            builder.project(project.key(stage::secret(n)))
        };
        stage::simulator((0..self.owners).fold(GeminiSim::builder(), of_owner), self.seed)
    }

    fn keys(self) -> impl Iterator<Item = Key> {
        (0..self.owners).map(|n| Key::new(stage::secret(n)))
    }

    /// Offers three times what the owners may start.
    async fn threefold(self, sim: &GeminiSim, pool: &KeyPool) -> (usize, Arc<Served>) {
        let offered = 3 * self.quota() as usize;
        let served = stage::offer(sim, pool, offered, self.length() / offered as u32, Duration::from_secs(5)).await;
        (offered, served)
    }
}

/// The limits are known from the start.
pub async fn known(scale: Scale) -> Value {
    let Scale { owners, per_minute, .. } = scale;
    let (sim, length) = (scale.simulator(), scale.length());
    let pool = stage::pool().keys(scale.keys()).limits(MODEL, Limits::new().per_minute(per_minute)).build();
    let pool = pool.expect("a pool");
    let (offered, served) = scale.threefold(&sim, &pool).await;
    let log = sim.log();
    // The windows of the length that the callers came; what began behind it is not counted.
    let accepted = log.iter().filter(|arrival| arrival.accepted && arrival.at < length).count();
    let quota = scale.quota() as f64;
    let over = |owner| log.most_in_any(MINUTE, |arrival| arrival.project == Some(owner)).saturating_sub(per_minute);
    json!({
        "offered": offered,
        "used": accepted as f64 / quota,
        "upstream 429s": log.iter().filter(|arrival| arrival.status == 429).count(),
        "starts over a limit": (0..owners).map(over).sum::<u64>(),
        "served": Served::read(&served.good),
        "other failures": Served::read(&served.bad),
    })
}

/// They are learned from the first 429.
pub async fn unknown(scale: Scale) -> Value {
    let sim = scale.simulator();
    let pool = stage::pool().keys(scale.keys()).build().expect("a pool");
    // What is known when the first window ends.
    let first = async {
        tokio::time::sleep(MINUTE).await;
        let learned = |key: &&tower_keypool::KeyView| {
            let limits = key.lanes.iter().flat_map(|lane| &lane.limits);
            limits.into_iter().any(|view| view.limit.amount == scale.per_minute)
        };
        pool.snapshot().keys.iter().filter(learned).count()
    };
    let ((offered, served), learned) = tokio::join!(scale.threefold(&sim, &pool), first);
    let log = sim.log();
    // Its end: a minute, and the longest way there.
    let after = || log.iter().filter(|arrival| arrival.at >= MINUTE + Duration::from_millis(250));
    let refused = after().filter(|arrival| arrival.status == 429).count();
    let minute = |n: u32| MINUTE * n..MINUTE * (n + 1);
    let in_minute = |n| log.iter().filter(|call| call.status == 429 && minute(n).contains(&call.at)).count();
    json!({
        "offered": offered,
        "owners learned in the first window": learned as f64 / scale.owners as f64,
        "upstream 429s in the first window": log.iter().filter(|arrival| arrival.status == 429).count() - refused,
        "upstream 429s by minute": (0..scale.minutes.min(6)).map(in_minute).collect::<Vec<_>>(),
        "429s after it": refused as f64 / after().count().max(1) as f64,
        "served": Served::read(&served.good),
        "other failures": Served::read(&served.bad),
    })
}

/// As many at once as all keys together may start.
pub async fn burst() -> Value {
    let scale = Scale { owners: 10, per_minute: 10, minutes: 1, seed: 7 };
    let sim = scale.simulator();
    let pool = stage::pool().keys(scale.keys()).limits(MODEL, Limits::new().per_minute(10)).build().expect("a pool");
    let served = stage::offer(&sim, &pool, 100, Duration::ZERO, Duration::ZERO).await;
    json!({ "succeeded": Served::read(&served.good), "upstream 429s": sim.report().total.over_limit })
}
