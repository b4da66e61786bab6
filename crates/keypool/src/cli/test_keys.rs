//! `keypool test-keys`

use std::process::ExitCode;

use clap::Args;
use futures_util::{StreamExt, stream};
use serde::Serialize;
use serde_json::json;
use tower_keypool::{
    ErrorClass, Key,
    store::{BreakerTarget, Record},
};

use super::{
    block_on,
    opened::{Source, warn_of_problems},
    output::{Json, count, plain, print, print_json, rounded_seconds, short, table, warn, wrong},
};
use crate::{
    config::{Inputs, PoolSettings},
    key_sources,
    proxy::{check_key::check_key, upstream::Upstream},
    store::Stores,
};

/// Maximum number of keys that are tested at the same time.
const CONCURRENCY: usize = 8;

const EXIT_CODES: &str = "Exit codes: 0 all keys are good, 1 some are bad or could not be tested, 2 the command line or the configuration is wrong.";

/// Test each key by listing the provider's models, which uses no quota. A key at its limit counts as good.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
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
enum CheckResult {
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
    verdict: CheckResult,
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
            let listed = key_sources::all(&loaded, &stores).await?;
            let mut tests = Vec::new();
            for (settings, keys) in &listed {
                warn_of_problems(keys);
                let of_pool = keys.keys.iter().map(|key| (settings, key, keys.place(&key.id())));
                tests.extend(of_pool);
            }
            if tests.is_empty() {
                return Err(wrong(
                    "there is no key to test: add one with `keypool add-key`, or name a key file with --keys FILE",
                ));
            }
            let tests = tests.into_iter().map(|(settings, key, place)| test(settings, key, place, &upstream));
            let mut found: Vec<Finding> = stream::iter(tests).buffered(CONCURRENCY).collect().await;
            if self.fix {
                fix(&mut found, &stores).await?;
            }
            self.print(&found);
            let all_good = found.iter().all(|key| matches!(key.verdict, CheckResult::Good | CheckResult::AtLimit));
            Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        })
    }

    fn print(&self, found: &[Finding]) {
        let of = |verdict| found.iter().filter(|key| key.verdict == verdict).count();
        let [good, at_limit, bad, untested] =
            [CheckResult::Good, CheckResult::AtLimit, CheckResult::Bad, CheckResult::Untested].map(of);
        if self.output.json {
            let summary = json!({ "good": good, "at_limit": at_limit, "bad": bad, "untested": untested });
            print_json(&json!({ "keys": found, "summary": summary }));
            return;
        }
        let cells = found.iter().map(|key| {
            let verdict = match key.verdict {
                CheckResult::Good => "good",
                CheckResult::AtLimit => "good, at its limit",
                CheckResult::Bad => "bad",
                CheckResult::Untested => "not tested",
            };
            let why = [key.class.map(|class| class.replace('_', " ")), key.message.clone()];
            let why = short(&why.into_iter().flatten().collect::<Vec<_>>().join(": "), 160);
            let to_do = if key.disabled { Some("disabled now") } else { key.advice };
            let why = [Some(why), to_do.map(str::to_owned)].into_iter().flatten().collect::<Vec<_>>().join(" → ");
            let models = key.models.map_or_else(|| "-".to_owned(), |models| models.to_string());
            [key.id.clone(), key.provider.clone(), key.listed_at.clone(), verdict.to_owned(), models, why]
        });
        let names = ["key", "provider", "listed at", "verdict", "models", "why, what to do"];
        let is_of_one = found.iter().all(|key| key.provider == found[0].provider);
        print(if is_of_one {
            table(without_provider(names), cells.map(without_provider))
        } else {
            table(names, cells)
        });
        print(format_args!(
            "{}: {good} good, {at_limit} good at their limits, {bad} bad, {untested} not tested",
            count(found.len(), "key")
        ));
    }
}

/// Removes the provider from a row.
fn without_provider<T>([key, _, place, verdict, models, why]: [T; 6]) -> [T; 5] {
    [key, place, verdict, models, why]
}

/// Tests one key.
async fn test(settings: &PoolSettings, key: &Key, place: &str, upstream: &Upstream) -> Finding {
    let checked = check_key(settings, key.clone(), upstream).await;
    Finding {
        id: key.id().to_string(),
        provider: settings.name.clone(),
        listed_at: place.to_owned(),
        verdict: match checked.class {
            _ if checked.works => CheckResult::Good,
            Some(ErrorClass::RateLimit | ErrorClass::DailyQuota) => CheckResult::AtLimit,
            Some(ErrorClass::KeyRejected | ErrorClass::Unclear | ErrorClass::Billing | ErrorClass::NotEntitled) => {
                CheckResult::Bad
            }
            _ => CheckResult::Untested,
        },
        class: checked.class.map(ErrorClass::as_str),
        status: checked.status,
        message: checked.message.as_deref().map(plain),
        advice: checked.advice,
        models: checked.models,
        seconds: rounded_seconds(checked.took),
        disabled: false,
        is_rejected: checked.class == Some(ErrorClass::KeyRejected),
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
