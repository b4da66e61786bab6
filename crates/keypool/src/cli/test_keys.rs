//! `keypool test-keys`

use std::{process::ExitCode, time::Duration};

use axum::body::Body;
use clap::Args;
use futures_util::{StreamExt, stream};
use http::Request;
use http_body_util::{BodyExt, Limited};
use serde::Serialize;
use serde_json::{Value, json};
use tower::{Layer, ServiceExt};
use tower_keypool::{
    Attempts, ErrorClass, Failure, Key, KeyPoolLayer,
    store::{BreakerTarget, Record},
};

use super::{
    block_on,
    opened::{Source, warn_of_problems},
    output::{Json, count, no_answer, plain, print, print_json, short, table, warn, wrong},
};
use crate::{
    config::{Inputs, PoolPlan, ProviderKind},
    keys,
    proxy::upstream::Upstream,
    store::Stores,
};

/// Maximum number of keys that are tested at the same time.
const CONCURRENCY: usize = 8;
const TIMEOUT: Duration = Duration::from_secs(30);
/// Maximum size of a list of models.
const MAX_LIST: usize = 8 << 20;

/// Test each key by listing the provider's models, which uses no quota. A key at its limit counts as good.
#[derive(Args)]
#[command(
    after_help = "Exit codes: 0 all keys are good, 1 some are bad or could not be tested, 2 the command line or the \
                        configuration is wrong."
)]
pub(super) struct TestKeys {
    /// Disable the keys that the provider rejects permanently; undo this with `keypool keys enable`
    #[arg(long)]
    fix: bool,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    output: Json,
}

/// The result of a key's test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Good,
    /// Good, but at a limit now.
    AtLimit,
    Bad,
    /// The provider or the network failed, so nothing is known about the key.
    Untested,
}

#[derive(Serialize)]
struct Finding {
    id: String,
    provider: String,
    listed_at: String,
    verdict: Verdict,
    class: Option<&'static str>,
    status: Option<u16>,
    message: Option<String>,
    advice: Option<&'static str>,
    /// Number of models that the key may use.
    models: Option<usize>,
    seconds: f64,
    disabled: bool,
    #[serde(skip)]
    is_rejected: bool,
}

impl TestKeys {
    pub(super) fn run(self, mut inputs: Inputs) -> anyhow::Result<ExitCode> {
        self.source.set(&mut inputs);
        let loaded = inputs.load()?;
        block_on(Some(2), async {
            let stores = Stores::open(&loaded).await?;
            let upstream = Upstream::new(&loaded)?;
            let listed = keys::all(&loaded, &stores).await?;
            let mut tests = Vec::new();
            for (plan, keys) in &listed {
                warn_of_problems(keys.problems.iter().map(crate::keys::described));
                let of_plan = keys.keys.iter().map(|key| (plan, key, keys.place(&key.id())));
                tests.extend(of_plan);
            }
            if tests.is_empty() {
                return Err(wrong(
                    "there is no key to test: add one with `keypool add-key`, or name a key file with --keys FILE",
                ));
            }
            let tests = tests.into_iter().map(|(plan, key, place)| test(plan, key, place, &upstream));
            let mut found: Vec<Finding> = stream::iter(tests).buffered(CONCURRENCY).collect().await;
            if self.fix {
                fix(&mut found, &stores).await?;
            }
            self.print(&found);
            let all_good = found.iter().all(|key| matches!(key.verdict, Verdict::Good | Verdict::AtLimit));
            Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        })
    }

    fn print(&self, found: &[Finding]) {
        let of = |verdict| found.iter().filter(|key| key.verdict == verdict).count();
        let [good, at_limit, bad, untested] =
            [Verdict::Good, Verdict::AtLimit, Verdict::Bad, Verdict::Untested].map(of);
        if self.output.json {
            let summary = json!({ "good": good, "at_limit": at_limit, "bad": bad, "untested": untested });
            print_json(&json!({ "keys": found, "summary": summary }));
            return;
        }
        let cells = found.iter().map(|key| {
            let verdict = match key.verdict {
                Verdict::Good => "good",
                Verdict::AtLimit => "good, at its limit",
                Verdict::Bad => "bad",
                Verdict::Untested => "not tested",
            };
            let why = [key.class.map(|class| class.replace('_', " ")), key.message.clone()];
            let why = why.into_iter().flatten().collect::<Vec<_>>().join(": ");
            let to_do = if key.disabled { "disabled now" } else { key.advice.unwrap_or_default() };
            let models = key.models.map_or_else(|| "-".to_owned(), |models| models.to_string());
            [key.id.clone(), short(&key.listed_at, 40), verdict.to_owned(), models, short(&why, 120), to_do.to_owned()]
        });
        print(table(["key", "listed at", "verdict", "models", "why", "what to do"], cells));
        print(format_args!(
            "{}: {good} good, {at_limit} good at their limits, {bad} bad, {untested} not tested",
            count(found.len(), "key")
        ));
    }
}

/// Tests one key with its own pool, so that it is tested even while it cools down or is disabled.
async fn test(plan: &PoolPlan, key: &Key, place: &str, upstream: &Upstream) -> Finding {
    let began = tokio::time::Instant::now();
    let mut found = Finding {
        id: key.id().to_string(),
        provider: plan.name.clone(),
        listed_at: place.to_owned(),
        verdict: Verdict::Untested,
        class: None,
        status: None,
        message: None,
        advice: None,
        models: None,
        seconds: 0.0,
        disabled: false,
        is_rejected: false,
    };
    match tokio::time::timeout(TIMEOUT, ask(plan, key.clone(), upstream)).await {
        Err(_) => found.message = Some(format!("no answer within {} s", TIMEOUT.as_secs())),
        Ok(Err(message)) => found.message = Some(message),
        Ok(Ok((attempts, models))) => {
            let failure = attempts.last().and_then(|attempt| attempt.outcome().failure().cloned());
            let class = failure.as_ref().map(Failure::class);
            found.models = models;
            found.class = class.map(ErrorClass::as_str);
            found.status = failure.as_ref().and_then(Failure::status).map(|status| status.as_u16());
            found.message = failure.as_ref().and_then(Failure::message).map(plain);
            found.advice = class.map(|class| class.policy().advice);
            found.is_rejected = class == Some(ErrorClass::KeyRejected);
            found.verdict = match class {
                None => Verdict::Good,
                Some(ErrorClass::RateLimit | ErrorClass::DailyQuota) => Verdict::AtLimit,
                Some(ErrorClass::KeyRejected | ErrorClass::Unclear | ErrorClass::Billing | ErrorClass::NotEntitled) => {
                    Verdict::Bad
                }
                Some(_) => Verdict::Untested,
            };
        }
    }
    found.seconds = (began.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0;
    found
}

/// Lists the models with a key. Returns the attempts and the number of models, or why there was no response.
async fn ask(plan: &PoolPlan, key: Key, upstream: &Upstream) -> Result<(Attempts, Option<usize>), String> {
    let pool = plan.builder().and_then(|builder| builder.key(key).wait(Duration::ZERO).build());
    let pool = pool.map_err(|error| error.to_string())?;
    let path = match plan.kind {
        ProviderKind::Gemini => "/v1beta/models?pageSize=1000",
        ProviderKind::OpenAi | ProviderKind::ApiKeyHeader => "/v1/models",
        ProviderKind::Anthropic => "/v1/models?limit=1000",
    };
    let mut request = Request::get(path);
    if plan.kind == ProviderKind::Anthropic {
        request = request.header("anthropic-version", "2023-06-01");
    }
    let request = request.body(Body::empty()).map_err(|error| error.to_string())?;
    match KeyPoolLayer::new(&pool).layer(upstream.clone()).oneshot(request).await {
        Ok(answer) => {
            let (head, body) = answer.into_parts();
            let attempts = head.extensions.get::<Attempts>().cloned().unwrap_or_default();
            if !head.status.is_success() {
                return Ok((attempts, None));
            }
            let body = Limited::new(body, MAX_LIST).collect().await.map_err(|error| error.to_string())?.to_bytes();
            let value: Value =
                serde_json::from_slice(&body).map_err(|_| "the list of models is not JSON".to_owned())?;
            let models = value["models"].as_array().or_else(|| value["data"].as_array()).or_else(|| value.as_array());
            Ok((attempts, models.map(Vec::len)))
        }
        // The provider refused the request, and there is no other key.
        Err(error) if error.attempts().last().is_some_and(|attempt| attempt.status().is_some()) => {
            Ok((error.attempts().clone(), None))
        }
        Err(error) => Err(no_answer(&pool, &error)),
    }
}

/// Disables the permanently rejected keys.
async fn fix(found: &mut [Finding], stores: &Stores) -> anyhow::Result<()> {
    let rejected: Vec<&mut Finding> = found.iter_mut().filter(|key| key.is_rejected).collect();
    if rejected.is_empty() {
        return Ok(());
    }
    let Some(store) = stores.counting() else {
        warn("no key was disabled, because there is no database (--db)");
        return Ok(());
    };
    let record = |key: &Finding| Record::Open {
        target: BreakerTarget::Key(key.id.as_str().into()),
        until_ms: None,
        class: Some(ErrorClass::KeyRejected),
        reason: Some(format!("test-keys: {}", key.message.as_deref().unwrap_or_default()).into()),
    };
    store.record(rejected.iter().map(|key| record(key)).collect()).await?;
    for key in rejected {
        key.disabled = true;
    }
    Ok(())
}
