//! A batch by the pool's limits, some keys gone and the provider unsteady.

use gemini_sim::{Fault, GeminiSim, Key as SimKey, Limits as SimLimits, Project, Refusal, Rule};
use keypool_client::{Client, batch::Batch};
use serde_json::{Value, json};
use tower_keypool::{Key, Limits};

use super::stage::{self, MODEL};

const KEYS: usize = 12;
const GONE: usize = 3;
const A_MINUTE: u64 = 60;

/// Three of twelve keys are suspended, a tenth of the requests meets a 503.
pub async fn weathered(tasks: usize, seed: u64) -> Value {
    let builder = GeminiSim::builder().script(Rule::new(Fault::Refuse(Refusal::Overloaded)).probability(0.1));
    let sim = stage::simulator(
        (0..KEYS).fold(builder, |builder, n| {
            let key = SimKey::new(stage::secret(n));
            let key = if n < GONE { key.refused(Refusal::ConsumerSuspended) } else { key };
            let limits = SimLimits::none().rpm(A_MINUTE);
            builder.project(Project::new(format!("projects/{}", 1000 + n)).limits(limits).key(key))
        }),
        seed,
    );
    let pool = stage::pool()
        .keys((0..KEYS).map(|n| Key::new(stage::secret(n))))
        .limits(MODEL, Limits::new().per_minute(A_MINUTE))
        .build()
        .expect("a pool");
    let client = Client::builder(&pool).transport(sim.service()).build();
    // So often that a task which meets 503s alone is none that is lost.
    let mut run = Batch::new(client).max_retries(10).run((0..tasks).map(|n| format!("task {n}")));
    let mut seen = vec![0_u32; tasks];
    let mut failed = 0;
    while let Some(result) = run.next().await {
        seen[result.index as usize] += 1;
        failed += usize::from(!result.success);
    }
    let report = sim.report();
    let statistics = run.statistics();
    // Nobody starts so many sooner: a minute's places are there at once, then as many again after each minute.
    let started: u64 = report.keys.iter().skip(GONE).map(|key| key.tally.arrivals).sum();
    let minutes = started.div_ceil((KEYS - GONE) as u64 * A_MINUTE).saturating_sub(1);
    json!({
        "used": minutes as f64 * 60.0 / statistics.seconds,
        "minutes": statistics.seconds / 60.0,
        "lost": seen.iter().filter(|count| **count == 0).count(),
        "double": seen.iter().filter(|count| **count > 1).count(),
        "failed": failed,
        "429s": report.keys.iter().map(|key| key.tally.over_limit).sum::<u64>(),
        "calls": report.total.arrivals,
    })
}
