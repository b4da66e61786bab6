//! Every answer that was recorded of a provider, given to all that a batch sends: no task is sent without end or pause.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use keypool_client::{
    Client,
    batch::{Batch, Ended, Statistics, Task},
};
use serde_json::Value;
use tower_keypool::{Anthropic, BoxError, Clock, Gemini, KeyPool, KeyPoolBuilder, OpenAi, ReplayBody};

use crate::provider;

const QUICK: Duration = Duration::from_millis(20);
/// So long a run is looked at: to the middle of a minute, since many rests end with one.
const LOOKED_AT: Duration = Duration::from_secs(173);
/// So often a task may be sent in a minute, for each key.
const MOST_A_MINUTE: usize = 10;
/// More than this is without end.
const ENDLESS: usize = 1_000;

/// A recorded answer.
#[derive(Clone)]
struct Sample {
    name: String,
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Sample {
    fn all() -> Vec<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../legacy/tests/samples");
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut all: Vec<_> = files.filter(|path| path.extension().is_some_and(|ext| ext == "json")).collect();
        all.sort();
        all.iter().map(|path| Self::read(path)).collect()
    }

    fn named(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../legacy/tests/samples");
        Self::read(&folder.join(format!("{name}.json")))
    }

    fn read(path: &Path) -> Self {
        let json: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let headers = json["headers"].as_object().into_iter().flatten().map(|(name, value)| {
            (HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value.as_str().unwrap()).unwrap())
        });
        let body = match &json["body"] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            json => json.to_string(),
        };
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let status = json["status"].as_u64().unwrap() as u16;
        Self { name, status, headers: headers.collect(), body: body.into() }
    }

    fn answer(&self) -> Response<Full<Bytes>> {
        let mut answer = Response::new(Full::new(self.body.clone()));
        *answer.status_mut() = self.status.try_into().unwrap();
        answer.headers_mut().extend(self.headers.clone());
        answer.headers_mut().remove("content-length");
        answer
    }

    fn pool(&self, keys: usize) -> KeyPoolBuilder {
        const BASE: &str = "http://provider.invalid";
        let builder = match self.name.split('_').next().unwrap() {
            "openai" | "azure" | "openrouter" => KeyPool::builder(OpenAi::at(BASE).unwrap()),
            "anthropic" => KeyPool::builder(Anthropic::at(BASE).unwrap()),
            _ => KeyPool::builder(Gemini::at(BASE).unwrap()),
        };
        // A moment just before what rate headers of the samples name.
        let wall = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_153_560);
        builder.keys(provider::keys(keys)).clock(Clock::tokio_from(wall))
    }
}

/// When each task was sent.
type Sent = Arc<Mutex<Vec<(Duration, String)>>>;

/// A client to whom everything is answered with this, or what names `only`; until `heals`.
fn client(pool: &KeyPool, sample: &Sample, only: Option<&str>, heals: Option<u64>) -> (Client, Sent) {
    let (sent, sample) = (Sent::default(), sample.clone());
    let (kept, clock, only) = (Arc::clone(&sent), pool.clock().clone(), only.map(str::to_owned));
    let begun = clock.tick();
    let transport = tower::service_fn(move |request: Request<ReplayBody<Full<Bytes>>>| {
        let (kept, sample, only) = (Arc::clone(&kept), sample.clone(), only.clone());
        let at = clock.tick().since(begun);
        async move {
            let model = request.uri().path().to_owned();
            let body = request.into_body().collect().await?.to_bytes();
            let body = String::from_utf8(body.to_vec()).unwrap();
            let task = body.split("task ").nth(1).unwrap().split('"').next().unwrap().to_owned();
            let concerned = only.is_none_or(|only| model.contains(&only) || body.contains(&only))
                && heals.is_none_or(|heals| at.as_secs() < heals);
            kept.lock().unwrap().push((at, task));
            tokio::time::sleep(QUICK).await;
            Ok::<_, BoxError>(if concerned { sample.answer() } else { Sample::named("gemini_200_ok").answer() })
        }
    });
    (Client::builder(pool).transport(transport).build(), sent)
}

/// How a run stood when nothing more was to be seen.
struct Seen {
    ended: Ended,
    statistics: Statistics,
    sent: Vec<(Duration, String)>,
    waits: Option<f64>,
}

async fn run(batch: Batch, sent: &Sent, tasks: impl Iterator<Item = Task> + Send + 'static) -> Seen {
    let run = batch.run(tasks);
    let watch = run.watch();
    let counted = Arc::clone(sent);
    let looked = tokio::spawn(async move {
        for _ in 0..LOOKED_AT.as_secs() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if counted.lock().unwrap().len() > ENDLESS {
                break;
            }
        }
        // Just then a rest may have ended, and nobody know yet of the next one.
        let mut resting = None;
        for _ in 0..10 {
            resting = watch.statistics().resting.first().and_then(|resting| resting.seconds);
            if resting.is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        watch.stop();
        resting
    });
    let (ended, statistics) = run.finish().await;
    let waits = if matches!(ended, Ended::Stopped) { looked.await.unwrap() } else { None };
    looked_at(ended, statistics, sent, waits)
}

fn looked_at(ended: Ended, statistics: Statistics, sent: &Sent, waits: Option<f64>) -> Seen {
    Seen { ended, statistics, sent: sent.lock().unwrap().clone(), waits }
}

fn prompts(count: usize) -> impl Iterator<Item = Task> + Send {
    (0..count).map(|n| Task::prompt(format!("task {n}")))
}

#[tokio::test(start_paused = true)]
async fn whatever_is_answered_no_task_is_sent_without_end_or_pause() {
    // Pauses are drawn, and the bound is near: without a seed a task is seldom sent once more.
    fastrand::seed(7);
    let mut wrong = Vec::new();
    for sample in Sample::all() {
        for (tasks, keys) in [(1, 1), (1, 3), (3, 1), (3, 3), (6, 1), (6, 3)] {
            for slots in [false, true] {
                let pool = sample.pool(keys).build().unwrap();
                let (client, sent) = client(&pool, &sample, None, None);
                let batch = Batch::new(client).model("some-model");
                let batch = if slots { batch.workers_per_key(4).rate_limit_per_slot(0.1) } else { batch };
                let seen = run(batch, &sent, prompts(tasks)).await;
                // Limits and refusals that name a time are asked for again then, by all that wait, and no sooner.
                let mut by_minute = BTreeMap::<(u64, &str), usize>::new();
                for (at, task) in &seen.sent {
                    *by_minute.entry((at.as_secs() / 60, task)).or_default() += 1;
                }
                let most = by_minute.values().copied().max().unwrap_or_default();
                let ends = !matches!(seen.ended, Ended::Stopped);
                let named = ends || seen.waits.is_some();
                let told = format!(
                    "{}: {tasks} tasks, {keys} keys, slots {slots}: {} calls, {most} of a task in a minute; {} ok, \
                     {} failed {:?}, {:.1} s, {}, {:?}",
                    sample.name,
                    seen.sent.len(),
                    seen.statistics.ok,
                    seen.statistics.failed,
                    seen.statistics.errors,
                    seen.statistics.seconds,
                    if ends { format!("{:?}", seen.ended).chars().take(40).collect() } else { "waits".to_owned() },
                    seen.waits,
                );
                if std::env::var_os("SAMPLES_TOLD").is_some() {
                    eprintln!("{told}");
                }
                if most > MOST_A_MINUTE * keys || seen.sent.len() > ENDLESS || !named {
                    wrong.push(told);
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.join("\n"));
}

/// As somebody has it: one of many tasks names a model that was retired.
#[tokio::test(start_paused = true)]
async fn one_task_of_many_that_names_a_retired_model_fails_alone() {
    for keys in [1, 3, 6] {
        let sample = Sample::named("gemini_404_model_retired_new_users");
        let pool = sample.pool(keys).build().unwrap();
        let (client, sent) = client(&pool, &sample, Some("models/retired"), None);
        let tasks = (0..100).map(|n| {
            let task = Task::prompt(format!("task {n}"));
            if n == 50 { task.model("retired") } else { task }
        });
        let seen = run(Batch::new(client), &sent, tasks).await;
        assert!(matches!(seen.ended, Ended::Done), "{keys}: {:?}", seen.ended);
        assert_eq!((seen.statistics.ok, seen.statistics.failed), (99, 1), "{keys} keys");
        assert!(seen.sent.len() <= 99 + keys * 4, "{keys} keys: {} calls", seen.sent.len());
    }
}

/// Who says that it has no capacity says so of itself.
#[tokio::test(start_paused = true)]
async fn no_capacity_is_the_models_and_is_waited_for() {
    for name in ["gemini_429_model_capacity_exhausted", "anthropic_429_rate_limited_server"] {
        let sample = Sample::named(name);
        let pool = sample.pool(2).build().unwrap();
        let (client, sent) = client(&pool, &sample, None, None);
        let seen = run(Batch::new(client).model("some-model"), &sent, prompts(1)).await;
        assert_eq!(seen.statistics.errors.get("model_error"), Some(&1), "{name}: {:?}", seen.statistics.errors);
        assert!(seen.sent.len() == 4 && seen.statistics.seconds > 0.1, "{name}: {} s", seen.statistics.seconds);
    }
}

/// The pool holds keys of which many fail at once: it may be the way there. Where they do so again, it is the keys.
#[tokio::test(start_paused = true)]
async fn keys_that_are_all_refused_twice_are_no_good() {
    for keys in [5, 6, 12] {
        for (slots, until_exhausted) in [(false, false), (false, true), (true, false), (true, true)] {
            let sample = Sample::named("gemini_400_api_key_invalid");
            let pool = sample.pool(keys).build().unwrap();
            let (client, sent) = client(&pool, &sample, None, None);
            let batch = Batch::new(client);
            let batch = if slots { batch.workers_per_key(2).rate_limit_per_slot(1.0) } else { batch };
            let batch = if until_exhausted { batch.until_exhausted() } else { batch };
            let seen = run(batch, &sent, prompts(100)).await;
            let told = format!("{keys} keys, slots {slots}, {until_exhausted}");
            assert!(matches!(seen.ended, Ended::NoKey(_)), "{told}: {:?}", seen.ended);
            assert!(seen.statistics.seconds < 150.0, "{told}: {} s", seen.statistics.seconds);
            assert_eq!(seen.statistics.failed, 0, "{told}");
            let first = seen.sent[0].0;
            let again = seen.sent.iter().filter(|(at, _)| *at > first + Duration::from_secs(30)).count();
            // Each key is asked to confirm it, once; with slots two of one key may go before it has.
            assert!((1..=2 * keys).contains(&again), "{told}: one tries for all, not {again}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_way_that_heals_goes_on() {
    for (keys, slots) in [(6, false), (6, true), (12, false)] {
        let sample = Sample::named("gemini_400_api_key_invalid");
        let pool = sample.pool(keys).build().unwrap();
        let (client, sent) = client(&pool, &sample, None, Some(40));
        let batch = Batch::new(client).until_exhausted();
        let batch = if slots { batch.workers_per_key(2).rate_limit_per_slot(1.0) } else { batch };
        let seen = run(batch, &sent, prompts(100)).await;
        assert!(matches!(seen.ended, Ended::Done) && seen.statistics.ok == 100, "{keys}, {slots}: {:?}", seen.ended);
    }
}
