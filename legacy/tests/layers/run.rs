//! The closure form: the same rule over any call that takes a key.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_keypool::{
    Backoff, BoxError, CooldownLayer, Demand, Elsewhere, Error, KeyPool, KeyPoolLayer, KeyRotationLayer, LeasedKey,
    Models, Retry, RetryPolicy, RunError, Scope, Until, Verdict, VerdictKind,
};

use crate::{
    support::{ask, builder, free_slots, narrow_pool, pool},
    upstream::Upstream,
};

type Answer = Result<&'static str, String>;

/// What the words that answers use mean.
fn judge(answer: &Answer) -> Verdict {
    use VerdictKind as K;
    match answer {
        Ok(_) => Verdict::SUCCESS,
        Err(what) => match what.as_str() {
            "rate" => Verdict::new(K::RateLimited).until(Until::For(Duration::from_secs(40))),
            "rate briefly" => Verdict::new(K::RateLimited).until(Until::For(Duration::from_secs(2))),
            "invalid" => Verdict::new(K::InvalidKey),
            "fault" => Verdict::new(K::Transient),
            "overloaded" => Verdict::new(K::Overloaded).scope(Scope::Caller),
            "once more" => Verdict::new(K::Transient).retry_cap(1),
            "too much" => Verdict::new(K::RateLimited).scope(Scope::Caller).until(Until::For(Duration::from_secs(60))),
            "in a minute" => {
                Verdict::new(K::Overloaded).scope(Scope::Caller).until(Until::For(Duration::from_secs(60)))
            }
            "model" => Verdict::new(K::ModelUnavailable).scope(Scope::Caller),
            "never" => Verdict::new(K::ModelUnavailable)
                .scope(Scope::KeyLane)
                .until(Until::Lifted)
                .elsewhere(Elsewhere::OtherKey),
            _ => Verdict::new(K::CallerFault),
        },
    }
}

/// Answers by script, in order; remembers who asked, for which model and when.
#[derive(Clone)]
struct Script {
    answers: Arc<Mutex<Vec<Answer>>>,
    asked: Arc<Mutex<Vec<(String, String, u64)>>>,
    begun: tokio::time::Instant,
}

impl Script {
    #[expect(clippy::disallowed_methods, reason = "tokio's paused clock")]
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        Self { answers: Arc::new(Mutex::new(answers)), asked: Arc::default(), begun: tokio::time::Instant::now() }
    }

    fn bad(what: &[&str]) -> Self {
        Self::new(what.iter().map(|what| Err((*what).to_owned())))
    }

    async fn call(self, key: LeasedKey) -> Answer {
        let (key, model) = (key.key_id().to_string(), key.model().unwrap_or_default().to_owned());
        self.asked.lock().unwrap().push((key, model, self.begun.elapsed().as_millis() as u64));
        tokio::task::yield_now().await;
        self.answers.lock().unwrap().pop().unwrap_or(Ok("fine"))
    }

    async fn under(
        &self,
        pool: &KeyPool,
        rule: Retry,
        demand: impl Into<Demand>,
    ) -> Result<&'static str, RunError<String>> {
        pool.with_retry(rule).run(demand, judge, |key| self.clone().call(key)).await
    }

    fn keys(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(key, ..)| key.clone()).collect()
    }

    fn seconds(&self) -> Vec<u64> {
        self.asked.lock().unwrap().iter().map(|(.., ms)| ms / 1000).collect()
    }
}

fn steady() -> Retry {
    Retry::new().backoff(Backoff::fixed(Duration::from_secs(1)))
}

#[tokio::test(start_paused = true)]
async fn faults_of_keys_go_from_key_to_key_at_once_and_uncounted() {
    let pool = pool(&["a", "b", "c", "d", "e", "f"]);
    let script = Script::bad(&["rate", "invalid", "rate", "rate", "rate"]);
    assert_eq!(script.under(&pool, Retry::new().max_retries(0), "m").await.unwrap(), "fine");
    assert_eq!(script.keys(), ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(script.seconds(), [0; 6]);
}

/// A limit that rests nobody leaves its key ready: it is asked once.
#[tokio::test(start_paused = true)]
async fn a_limit_of_the_callers_own_is_asked_of_each_key_once() {
    let script = Script::bad(&["too much"; 90]);
    let too_much = Demand::new("m").wait(Duration::from_secs(3));
    let error = script.under(&pool(&["a", "b"]), Retry::new(), too_much).await.unwrap_err();
    assert_eq!((error.call().map(String::as_str), script.keys().len()), (Some("too much"), 2));
    assert_eq!(script.seconds(), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn out_of_keys_the_last_true_answer_stands_unless_asked_otherwise() {
    let script = Script::bad(&["rate", "rate"]);
    let error = script.under(&pool(&["a", "b"]), Retry::new(), "m").await.unwrap_err();
    assert_eq!(error.call().unwrap(), "rate");
    assert_eq!(error.attempts(), 2);
    assert_eq!(error.to_string(), "failed over key b: rate, after 2 attempts");

    let script = Script::bad(&["rate", "rate"]);
    let error = script.under(&pool(&["a", "b"]), Retry::new().exhausted_instead(true), "m").await.unwrap_err();
    assert!(error.pool().unwrap().is_exhausted());
    assert_eq!(
        error.pool().unwrap().retry_after(),
        Some(Duration::from_secs(40)),
        "{error}: a next request may be served"
    );
    assert_eq!(error.attempts(), 2);
}

/// That no key is left is told where one comes back; that none may ever have a model the answer says better.
#[tokio::test(start_paused = true)]
async fn that_no_key_may_have_a_model_is_told_by_the_answer_unless_one_comes_back() {
    for (answers, next) in [(["never", "never"], None), (["rate", "never"], Some(Duration::from_secs(40)))] {
        let script = Script::bad(&answers);
        let rule = Retry::new().exhausted_instead(true);
        let error = script.under(&pool(&["a", "b"]), rule, "m").await.unwrap_err();
        assert_eq!(error.attempts(), 2, "{answers:?}: {error}");
        assert_eq!(error.pool().and_then(Error::retry_after), next, "{answers:?}: {error}");
        assert_eq!(error.call().map(String::as_str), next.is_none().then_some("never"), "{answers:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn faults_of_the_provider_are_retried_after_a_pause_and_counted() {
    let script = Script::bad(&["fault"; 9]);
    let error = script.under(&pool(&["a", "b"]), steady(), "m").await.unwrap_err();
    assert_eq!(error.attempts(), 4);
    assert_eq!(script.seconds(), [0, 1, 2, 3]);
    assert_eq!(script.keys(), ["a", "b", "a", "b"]);
}

/// `run`, `RetryPolicy` and `KeyPoolLayer` bring no rule here.
#[tokio::test(start_paused = true)]
async fn who_brings_no_rule_goes_by_the_pools() {
    let two = || builder(&["a", "b"]);
    let run = async |pool: &KeyPool| {
        let script = Script::bad(&["fault"; 9]);
        pool.run("m", judge, |key| script.clone().call(key)).await.unwrap_err();
        script.seconds()
    };
    let every_second = Retry::new().max_retries(5).backoff(Backoff::every_second());
    let pool = two().retry(every_second).build().unwrap();
    assert_eq!(run(&pool).await, [0, 1, 2, 3, 4, 5]);
    let upstream = Upstream::new(&["fault"; 12]);
    let stack = KeyPoolLayer::new(&pool).layer(upstream.clone());
    stack.oneshot(ask()).await.unwrap();
    assert_eq!(upstream.seconds(), [0, 1, 2, 3, 4, 5]);
    let upstream = Upstream::new(&["fault"; 12]);
    let policy = RetryPolicy::new(&pool).max_retries(2).without_budget();
    let stack =
        ServiceBuilder::new().retry(policy).layer(KeyRotationLayer::new(&pool)).layer(CooldownLayer::new(&pool));
    stack.service(upstream.clone()).oneshot(ask()).await.unwrap();
    assert_eq!(upstream.seconds(), [0, 1, 2]);

    // Another configuration, another rule; without one the defaults.
    pool.reconfigure(two().retry(Retry::new().max_retries(0))).unwrap();
    assert_eq!(run(&pool).await, [0]);
    pool.reconfigure(two()).unwrap();
    assert_eq!(run(&pool).await.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_only_key_serves_again_after_a_fault_of_the_provider() {
    let pool = narrow_pool();
    let script = Script::bad(&["fault", "overloaded"]);
    assert_eq!(script.under(&pool, steady(), "m").await.unwrap(), "fine");
    assert_eq!(script.keys(), ["one", "one", "one"]);
    assert_eq!(free_slots(&pool), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_s_fault_is_never_retried() {
    let script = Script::bad(&["no such field"; 3]);
    let error = script.under(&pool(&["a", "b"]), steady(), "m").await.unwrap_err();
    assert_eq!(error.attempts(), 1);
    assert_eq!(script.keys(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_cap_of_the_answer_and_the_budget_bound_retries() {
    let script = Script::bad(&["once more"; 5]);
    assert_eq!(script.under(&pool(&["a", "b"]), steady(), "m").await.unwrap_err().attempts(), 2);

    let none = tower::retry::budget::TpsBudget::new(Duration::from_secs(10), 0, 0.0);
    let script = Script::bad(&["fault"; 5]);
    assert_eq!(script.under(&pool(&["a", "b"]), steady().budget(none), "m").await.unwrap_err().attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_delay_that_the_provider_asks_for_is_kept_where_there_is_time() {
    let script = Script::bad(&["in a minute"]);
    let error = script.under(&pool(&["a"]), steady().deadline(Duration::from_secs(50)), "m").await.unwrap_err();
    assert_eq!(error.attempts(), 1);
    // Without a deadline it is not waited for beyond the longest pause.
    let script = Script::bad(&["in a minute"]);
    assert_eq!(script.under(&pool(&["a"]), steady(), "m").await.unwrap_err().attempts(), 1);

    let script = Script::bad(&["in a minute"]);
    script.under(&pool(&["a"]), steady().deadline(Duration::from_secs(90)), "m").await.unwrap();
    assert_eq!(script.seconds(), [0, 60]);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_all_retries() {
    let script = Script::bad(&["fault"; 20]);
    let rule = steady().max_retries(20).deadline(Duration::from_millis(2_500));
    assert_eq!(script.under(&pool(&["a"]), rule, "m").await.unwrap_err().attempts(), 4);
    assert_eq!(script.seconds(), [0, 1, 2, 2]);
}

#[tokio::test(start_paused = true)]
async fn where_the_demand_may_wait_it_waits_for_a_key_that_comes_back_in_time() {
    let script = Script::bad(&["rate briefly"]);
    let patient = Demand::new("m").wait(Duration::from_secs(5));
    script.under(&pool(&["a"]), steady(), patient.clone()).await.unwrap();
    assert_eq!(script.seconds(), [0, 2], "the only key met a limit, and is back in time");
    // With two, the other rests shortly.
    let pool = pool(&["a", "b"]);
    pool.try_acquire("m")
        .unwrap()
        .judge(&Verdict::new(VerdictKind::RateLimited).until(Until::For(Duration::from_secs(3))));
    let script = Script::bad(&["rate"]);
    script.under(&pool, steady(), patient).await.unwrap();
    assert_eq!(script.keys(), ["b", "a"]);
    assert_eq!(script.seconds(), [0, 3]);
}

#[tokio::test(start_paused = true)]
async fn models_step_down_and_none_named_gets_the_best() {
    let pool = pool(&["a", "b"]);
    let runner = pool.with_retry(steady()).models(Models::new().for_all(["pro", "flash"]));
    let script = Script::bad(&["model"]);
    runner.run("pro", judge, |key| script.clone().call(key)).await.unwrap();
    let models: Vec<String> = script.asked.lock().unwrap().iter().map(|(_, model, _)| model.clone()).collect();
    assert_eq!(models, ["pro", "flash"]);

    let script = Script::bad(&[]);
    runner.run(Demand::any_model(), judge, |key| script.clone().call(key)).await.unwrap();
    assert_eq!(script.asked.lock().unwrap()[0].1, "pro");
    // Never for a caller's fault.
    let script = Script::bad(&["no such field"]);
    runner.run("pro", judge, |key| script.clone().call(key)).await.unwrap_err();
    assert_eq!(script.keys().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_model_below_that_comes_back_in_time_is_waited_for() {
    let pool = pool(&["a"]);
    for (model, seconds) in [("pro", 3_000), ("flash", 3)] {
        let rests = Verdict::new(VerdictKind::RateLimited).until(Until::For(Duration::from_secs(seconds)));
        pool.try_acquire(model).unwrap().settle(&rests);
    }
    let runner = pool.with_retry(steady()).models(Models::new().for_all(["pro", "flash"]));
    let script = Script::bad(&[]);
    let error = runner.run("pro", judge, |key| script.clone().call(key)).await.unwrap_err();
    assert!(error.to_string().ends_with("next in 3 s (as flash)"), "{error}");
    let patient = Demand::new("pro").wait(Duration::from_secs(5));
    runner.run(patient, judge, |key| script.clone().call(key)).await.unwrap();
    assert_eq!((script.seconds(), &*script.asked.lock().unwrap()[0].1), (vec![3], "flash"));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_out_of_all_models_is_told_the_soonest_of_all() {
    let pool = pool(&["a", "b"]);
    let rests = Verdict::new(VerdictKind::RateLimited).until(Until::For(Duration::from_secs(20)));
    while let Ok(lease) = pool.try_acquire("pro") {
        lease.settle(&rests);
    }
    let rule = Retry::new().exhausted_instead(true);
    let runner = pool.with_retry(rule).models(Models::new().for_all(["pro", "flash"]));
    let script = Script::bad(&["rate", "rate"]);
    let error = runner.run("pro", judge, |key| script.clone().call(key)).await.unwrap_err();
    assert_eq!(error.attempts(), 2);
    assert!(error.to_string().ends_with("next in 20 s (as pro)"), "{error}");
    // What was made for one model is asked of no other.
    let script = Script::bad(&[]);
    let keeps = Demand::new("pro").keeps_model();
    let runner = pool.with_retry(steady()).models(Models::new().for_all(["pro", "lite"]));
    let error = runner.run(keeps, judge, |key| script.clone().call(key)).await.unwrap_err();
    assert!(error.to_string().ends_with("next in 20 s"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn its_future_spawns_and_frees_the_slot_when_dropped() {
    let pool = narrow_pool();
    let call = |key: LeasedKey| async move {
        assert_eq!(key.expose(), "secret-one");
        assert!(!format!("{key:?}").contains("secret"));
        std::future::pending::<Answer>().await
    };
    let task = tokio::spawn(pool.run("m", judge, call));
    tokio::task::yield_now().await;
    assert_eq!(free_slots(&pool), 0);
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(free_slots(&pool), 1);
    // While it pauses, it holds the key that it goes on with.
    let script = Script::bad(&["fault"]);
    let walk = pool.with_retry(steady()).run("m", judge, move |key| script.clone().call(key));
    let task = tokio::spawn(walk);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(free_slots(&pool), 0);
    task.abort();
    assert!(task.await.is_err());
    assert_eq!(free_slots(&pool), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_closure_frees_the_slot() {
    let pool = narrow_pool();
    let call = |_: LeasedKey| async { panic!("in the closure") };
    assert!(tokio::spawn(pool.run::<_, _, _, _, &str, String>("m", judge, call)).await.unwrap_err().is_panic());
    assert_eq!(free_slots(&pool), 1);
}

/// The defaults that are promised: 3 retries, and pauses of up to 1, 2 and 4 seconds.
#[tokio::test(start_paused = true)]
async fn by_default_three_retries_after_pauses_of_at_most_1_2_and_4_seconds() {
    let pool = pool(&["a", "b"]);
    for seed in 0..20 {
        let script = Script::bad(&["fault"; 9]);
        let error = script.under(&pool, Retry::new().seed(seed), "m").await.unwrap_err();
        assert!(matches!(error, RunError::Call { .. }), "{error:?}");
        assert_eq!(script.keys().len(), 4);
        let seconds = script.seconds();
        assert!(seconds[1] <= 1 && seconds[2] <= 3 && seconds[3] <= 7, "{seconds:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_runner_is_made_once_and_called_many_times_with_other_demands() {
    let pool = pool(&["a", "b"]);
    let runner = pool.with_retry(Retry::new().max_retries(5).backoff(Backoff::fixed(Duration::from_secs(1))));
    for (n, model) in ["m", "n", "o"].into_iter().enumerate() {
        let script = Script::bad(&["fault"; 5]);
        let (call, prompt) = (script.clone(), format!("number {n}"));
        let answer = runner.run(model, judge, |key| {
            assert_eq!((key.model(), prompt.len()), (Some(model), 8));
            call.clone().call(key)
        });
        assert_eq!(answer.await.unwrap(), "fine");
        assert_eq!(script.keys().len(), 6);
    }
}

/// What one call is told counts for that call alone, however many share the runner.
#[tokio::test(start_paused = true)]
async fn a_runner_is_called_by_many_at_once_and_each_call_counts_its_own_retries() {
    let pool = pool(&["a", "b", "c"]);
    let runner = pool.with_retry(steady().max_retries(2).without_budget());
    let calls = (0..40).map(|n| {
        let (runner, script) = (runner.clone(), Script::bad(&["fault"; 9][..n % 4]));
        let model = format!("m{}", n % 5);
        tokio::spawn(async move {
            let call = |key: LeasedKey| {
                assert_eq!(key.model(), Some(&*model));
                script.clone().call(key)
            };
            let result = runner.run(&*model, judge, call).await;
            (n, result.is_ok(), script.seconds())
        })
    });
    for call in calls.collect::<Vec<_>>() {
        let (n, served, seconds) = call.await.unwrap();
        let faults = n % 4;
        assert_eq!((served, seconds), (faults <= 2, (0..=faults.min(2) as u64).collect()), "call {n}");
    }
    assert_eq!(pool.snapshot().in_flight, 0);
}

/// A demand that no limit could ever carry is refused before anything is sent, waited for or tried again.
#[tokio::test(start_paused = true)]
async fn a_demand_that_never_fits_is_sent_nowhere() {
    use tower_keypool::{Demand, Key, KeyPool, Limits};
    let pool = KeyPool::builder(crate::support::Plain::new())
        .keys(["a", "b"].map(|id| Key::new(format!("secret-{id}")).id(id)))
        .limits("m", Limits::new().tokens_per_minute(100))
        .build()
        .unwrap();
    let script = Script::bad(&[]);
    let demand = Demand::new("m").tokens(101).wait(Duration::from_secs(3_600));
    let error = script.under(&pool, Retry::new().exhausted_instead(true), demand).await.unwrap_err();
    let refused = error.pool().unwrap();
    assert!(refused.is_never_fits() && !refused.is_exhausted(), "{refused}");
    assert_eq!((refused.retry_after(), refused.status().is_client_error()), (None, true), "{refused}");
    assert_eq!((script.keys().len(), script.begun.elapsed().as_secs()), (0, 0));
    assert_eq!((pool.snapshot().started, pool.snapshot().exhausted), (0, 0));
}

/// reqwest's errors say the address that was asked, and whoever judges may pass that on.
#[tokio::test]
async fn words_of_a_verdict_that_hold_a_key_are_told_without_it() {
    let pool = pool(&["one", "two"]);
    let secrets = Mutex::new(Vec::new());
    let mut events = pool.events();
    let judged = |answer: &Result<(), String>| {
        let said = answer.as_ref().unwrap_err().clone();
        Verdict::new(VerdictKind::InvalidKey).code(said.clone()).advice(said)
    };
    let failed = pool.run("m", judged, |key: LeasedKey| {
        secrets.lock().unwrap().push(key.expose().to_owned());
        let said = format!("error sending request for url (https://a.example/?key={})", key.expose());
        std::future::ready(Err::<(), _>(said))
    });
    let failed = failed.await.unwrap_err();
    let lease = pool.try_acquire("other");
    if let Ok(lease) = lease {
        let said = format!("it was {}", lease.expose());
        lease.judge(&Verdict::new(VerdictKind::Suspended).advice(said.clone()));
        lease.settle(&Verdict::new(VerdictKind::Suspended).advice(said));
    }
    let mut told = vec![format!("{:?} {:?}", failed.served_by(), pool.snapshot())];
    while let Some(event) = events.try_next() {
        told.push(format!("{event:?}"));
    }
    let told = told.concat();
    let secrets = secrets.into_inner().unwrap();
    assert!(!secrets.is_empty() && told.contains("key=****"), "{told}");
    for secret in secrets {
        assert!(!told.contains(&secret), "{told}");
    }
}

/// `BoxError` is no error itself, so that `?` takes none that holds one.
#[tokio::test(start_paused = true)]
async fn a_failure_of_any_kind_goes_on_as_any_error() {
    async fn of(pool: &KeyPool, lease: bool) -> Result<(), BoxError> {
        let _held = lease.then(|| pool.try_acquire("m").unwrap());
        let judged = |_: &Result<(), BoxError>| Verdict::new(VerdictKind::CallerFault);
        let failed = pool.run("m", judged, |_| async {
            Err::<(), BoxError>(std::io::Error::other(std::io::Error::from(std::io::ErrorKind::NotFound)).into())
        });
        failed.await.map_err(RunError::into_box)?;
        Ok(())
    }
    let pool = narrow_pool();
    let error = of(&pool, false).await.unwrap_err();
    assert_eq!(error.to_string(), "failed over key one: entity not found");
    assert!(error.source().is_some());
    let out = of(&pool, true).await.unwrap_err();
    assert!(out.to_string().contains("1 busy"), "{out}");
    assert!(Error::find(&*out).is_some_and(Error::is_exhausted));
}
