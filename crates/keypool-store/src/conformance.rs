//! A suite of checks that every [`Store`] must pass. A failed check panics.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tower_keypool::{
    ErrorClass, KeyId, Limit, Limits, Span, Unit,
    store::{
        Amounts, BreakerTarget, Candidate, Changes, Day, Granted, MIDNIGHT_GUARD, Record, ReserveRequest, Reserved,
        Store,
    },
};

/// The time zone that the checks use.
pub const ZONE: &str = "America/Los_Angeles";

/// Returns the maximum time that a window may open later than its span: the time for which a reservation may be used,
/// one part of the window, the guard, and 2 ms.
pub fn slack(span: Duration) -> Duration {
    const HOLD: Duration = Duration::from_secs(1);
    HOLD + span / 240 + (span / 64).min(Duration::from_millis(250)) + Duration::from_millis(2)
}

/// A clock that a test sets. It only goes forwards.
#[derive(Clone, Debug)]
pub struct Time(Arc<AtomicI64>);

impl Time {
    /// Creates a clock that shows a time in milliseconds since the Unix epoch.
    pub fn starting_at(unix_ms: i64) -> Self {
        Self(Arc::new(AtomicI64::new(unix_ms)))
    }

    /// Returns the time in milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Advances the clock by a duration.
    pub fn advance(&self, duration: Duration) {
        self.0.fetch_add(duration.as_millis() as i64, Ordering::SeqCst);
    }

    /// Advances the clock to a time in milliseconds since the Unix epoch.
    ///
    /// # Panics
    /// If that time has passed.
    pub fn advance_to(&self, unix_ms: i64) {
        let before = self.0.swap(unix_ms, Ordering::SeqCst);
        assert!(before <= unix_ms, "time goes forwards: from {before} to {unix_ms}");
    }

    /// Returns the clock in the form that the stores' options take.
    pub fn source(&self) -> Arc<dyn Fn() -> i64 + Send + Sync> {
        let time = self.clone();
        Arc::new(move || time.now_ms())
    }
}

/// The storage that holds the data of the stores under test.
pub trait Storage {
    /// Opens a store like one more process would; dropping the store is as if that process had been killed.
    fn open(&self) -> impl Future<Output = Arc<dyn Store>>;

    /// Returns the clock of all stores that were opened here.
    fn time(&self) -> &Time;
}

/// Runs every check. The storage must be empty, and its time before 2026-03-01.
///
/// # Panics
/// If the store violates the contract of [`Store`].
pub async fn run(storage: &impl Storage) {
    a_window_is_exact_for_any_alignment(storage).await;
    tokens_are_corrected(storage).await;
    unsent_requests_are_given_back(storage).await;
    a_cost_over_the_limit_needs_an_empty_window(storage).await;
    a_limit_of_zero_allows_nothing(storage).await;
    the_first_candidate_with_room_wins(storage).await;
    limits_of_different_spans_apply_together(storage).await;
    a_limit_that_is_learned_later_looks_back(storage).await;
    processes_share_a_window(storage).await;
    counts_outlive_the_process(storage).await;
    records_reach_other_processes(storage).await;
    records_outlive_the_process_until_they_expire(storage).await;
    a_day_ends_at_the_midnight_of_its_zone(storage).await;
    after_midnight_a_request_counts_for_both_days(storage).await;
    just_before_midnight_a_request_counts_for_both_days(storage).await;
    days_of_23_and_25_hours(storage).await;
}

/// Returns a candidate for a project, with a key of its own.
pub fn candidate(project: &str, limits: &Limits) -> Candidate {
    Candidate {
        key: KeyId::from(format!("key-of-{project}").as_str()),
        project: project.into(),
        model: "gemini-2.5-pro".into(),
        limits: limits.iter().copied().collect(),
        zone: ZONE.into(),
    }
}

/// Returns the cost of one request with a number of input tokens.
pub fn request(input_tokens: u64) -> Amounts {
    Amounts { requests: 1, input_tokens, ..Amounts::default() }
}

/// Returns the record that corrects a reservation to the amounts actually used.
pub fn used(candidate: &Candidate, granted: Granted, reserved: Amounts, used: Amounts) -> Record {
    let Candidate { key, project, model, .. } = candidate.clone();
    Record::Used { key, project, model, at: granted.at, reserved, used }
}

async fn reserve(store: &Arc<dyn Store>, candidates: &[&Candidate], cost: Amounts) -> Reserved {
    let candidates = candidates.iter().copied().cloned().collect();
    store.reserve(ReserveRequest { candidates, cost }).await.expect("the store answers")
}

/// Reserves a request that must be granted.
async fn grant(store: &Arc<dyn Store>, candidate: &Candidate, cost: Amounts) -> Granted {
    let reserved = reserve(store, &[candidate], cost).await;
    reserved.granted.unwrap_or_else(|| panic!("{candidate:?} has room, and was refused: {reserved:?}"))
}

/// Reserves a request that must be refused; returns after which time it may be granted.
async fn refuse(store: &Arc<dyn Store>, candidate: &Candidate, cost: Amounts) -> Duration {
    let reserved = reserve(store, &[candidate], cost).await;
    assert_eq!(reserved.granted, None, "{candidate:?} has no room");
    assert_eq!(reserved.opens_in.len(), 1);
    reserved.opens_in[0]
}

#[track_caller]
fn assert_about(actual: Duration, least: Duration, slack: Duration) {
    assert!(actual >= least && actual <= least + slack, "{actual:?} is not {least:?} plus at most {slack:?}");
}

const MINUTE: Duration = Duration::from_secs(60);

async fn a_window_is_exact_for_any_alignment(storage: &impl Storage) {
    let (store, time) = (storage.open().await, storage.time());
    let key = candidate("window", &Limits::new().per_minute(3));
    let mut starts = Vec::new();
    for step in [0, 7, 20] {
        time.advance(Duration::from_secs(step));
        starts.push(time.now_ms());
        let granted = grant(&store, &key, request(0)).await;
        assert!(granted.at.at_ms >= time.now_ms());
        assert!(granted.usable_for > Duration::ZERO);
    }
    for start in starts {
        let opens_in = refuse(&store, &key, request(0)).await;
        let passed = Duration::from_millis((time.now_ms() - start) as u64);
        assert_about(opens_in + passed, MINUTE, slack(MINUTE));
        time.advance(opens_in.checked_sub(Duration::from_millis(600)).expect("it opens_in later"));
        refuse(&store, &key, request(0)).await;
        time.advance(Duration::from_millis(600));
        grant(&store, &key, request(0)).await;
    }
}

async fn tokens_are_corrected(storage: &impl Storage) {
    let store = storage.open().await;
    let key = candidate("tokens", &Limits::new().tokens_per_minute(1_000).tokens_per_day(1_500));
    let first = grant(&store, &key, request(600)).await;
    refuse(&store, &key, request(600)).await;
    store.record(vec![used(&key, first, request(600), request(300))]).await.expect("kept");
    let second = grant(&store, &key, request(600)).await;
    // A use above the reservation counts in full, also if it grows.
    for (before, after) in [(600, 650), (650, 700)] {
        store.record(vec![used(&key, second, request(before), request(after))]).await.expect("kept");
    }
    // No more fits, not even a request whose tokens are unknown.
    refuse(&store, &key, request(1)).await;
    refuse(&store, &key, request(0)).await;
    storage.time().advance(MINUTE + slack(MINUTE));
    refuse(&store, &key, request(501)).await;
    grant(&store, &key, request(500)).await;

    let both = Limits::new().with(Limit { unit: Unit::Tokens, span: Span::MINUTE, amount: 100 });
    let key = candidate("tokens-of-both", &both);
    let cost = |output_tokens| Amounts { output_tokens, ..request(40) };
    grant(&store, &key, cost(20)).await;
    refuse(&store, &key, cost(1)).await;
    grant(&store, &key, cost(0)).await;
}

async fn unsent_requests_are_given_back(storage: &impl Storage) {
    let store = storage.open().await;
    let key = candidate("cancel", &Limits::new().per_minute(1).per_day(1));
    for _ in 0..3 {
        let granted = grant(&store, &key, request(10)).await;
        refuse(&store, &key, request(10)).await;
        store.record(vec![used(&key, granted, request(10), Amounts::default())]).await.expect("kept");
    }
    // Giving back twice frees one request only.
    let granted = grant(&store, &key, request(0)).await;
    let back = used(&key, granted, request(0), Amounts::default());
    store.record(vec![back.clone(), back]).await.expect("kept");
    grant(&store, &key, request(0)).await;
    refuse(&store, &key, request(0)).await;
}

async fn a_cost_over_the_limit_needs_an_empty_window(storage: &impl Storage) {
    let (store, time) = (storage.open().await, storage.time());
    let key = candidate("oversized", &Limits::new().tokens_per_minute(100));
    grant(&store, &key, request(5_000)).await;
    assert_about(refuse(&store, &key, request(1)).await, MINUTE, slack(MINUTE));
    time.advance(MINUTE + slack(MINUTE));
    grant(&store, &key, request(1)).await;
    let opens_in = refuse(&store, &key, request(101)).await;
    assert_about(opens_in, MINUTE, slack(MINUTE));
    time.advance(opens_in);
    grant(&store, &key, request(101)).await;
    let key = candidate("oversized-day", &Limits::new().tokens_per_day(100));
    grant(&store, &key, request(5_000)).await;
    refuse(&store, &key, request(0)).await;
}

async fn a_limit_of_zero_allows_nothing(storage: &impl Storage) {
    let store = storage.open().await;
    for limits in [Limits::new().tokens_per_minute(0), Limits::new().per_minute(0)] {
        for tokens in [0, 1] {
            assert!(refuse(&store, &candidate("zero", &limits), request(tokens)).await >= Duration::from_secs(3_600));
        }
    }
}

async fn the_first_candidate_with_room_wins(storage: &impl Storage) {
    let (store, time) = (storage.open().await, storage.time());
    let one = Limits::new().per_minute(1);
    let [first, second, third] = ["order-a", "order-b", "order-c"].map(|project| candidate(project, &one));
    grant(&store, &second, request(0)).await;
    time.advance(Duration::from_secs(20));
    grant(&store, &first, request(0)).await;
    let all = [&first, &second, &third];
    let reserved = reserve(&store, &all, request(0)).await;
    assert_eq!(reserved.granted.map(|granted| granted.candidate), Some(2));
    assert_eq!(reserved.opens_in.len(), 2);
    assert_about(reserved.opens_in[0], MINUTE, slack(MINUTE));
    assert_about(reserved.opens_in[1], Duration::from_secs(40), slack(MINUTE));
    let reserved = reserve(&store, &all, request(0)).await;
    assert_eq!((reserved.granted, reserved.opens_in.len()), (None, 3));
    time.advance(reserved.opens_in[1]);
    let reserved = reserve(&store, &all, request(0)).await;
    assert_eq!(reserved.granted.map(|granted| granted.candidate), Some(1));
}

async fn limits_of_different_spans_apply_together(storage: &impl Storage) {
    let (store, time) = (storage.open().await, storage.time());
    let span =
        |seconds, amount| Limit { unit: Unit::Requests, span: Span::Sliding(Duration::from_secs(seconds)), amount };
    let key = candidate("spans", &Limits::new().with(span(1, 2)).with(span(3_600, 5)));
    let hour = Duration::from_secs(3_600);
    for left in [2, 2, 1] {
        for _ in 0..left {
            grant(&store, &key, request(0)).await;
        }
        let opens_in = refuse(&store, &key, request(0)).await;
        if left == 2 {
            assert_about(opens_in, Duration::from_secs(1), slack(Duration::from_secs(1)));
            time.advance(opens_in);
        } else {
            // The hour's first requests were sent a few seconds ago.
            assert_about(opens_in, Duration::from_secs(3_600 - 9), slack(hour) + Duration::from_secs(9));
        }
    }
}

async fn a_limit_that_is_learned_later_looks_back(storage: &impl Storage) {
    let store = storage.open().await;
    let unlimited = candidate("learned", &Limits::new());
    for _ in 0..3 {
        grant(&store, &unlimited, request(10)).await;
    }
    let learned = candidate("learned", &Limits::new().per_minute(3));
    assert_about(refuse(&store, &learned, request(0)).await, MINUTE, slack(MINUTE));
    let learned = candidate("learned", &Limits::new().per_day(3));
    refuse(&store, &learned, request(0)).await;
    // A limit that one process knows counts the requests that other processes send without it.
    let short = Limit { unit: Unit::Requests, span: Span::Sliding(Duration::from_secs(10)), amount: 2 };
    let (knows, does_not) = (candidate("half", &Limits::new().with(short)), candidate("half", &Limits::new()));
    grant(&store, &knows, request(0)).await;
    grant(&store, &does_not, request(0)).await;
    refuse(&store, &knows, request(0)).await;
}

async fn processes_share_a_window(storage: &impl Storage) {
    let stores = [storage.open().await, storage.open().await, storage.open().await];
    let key = candidate("shared", &Limits::new().per_minute(7));
    let calls: Vec<_> = (0..30)
        .map(|at| {
            let (store, candidates) = (Arc::clone(&stores[at % 3]), vec![key.clone()]);
            tokio::spawn(async move { store.reserve(ReserveRequest { candidates, cost: request(0) }).await })
        })
        .collect();
    let mut granted = 0;
    for call in calls {
        let reserved = call.await.expect("no panic").expect("the store answers");
        granted += usize::from(reserved.granted.is_some());
    }
    assert_eq!(granted, 7);
}

async fn counts_outlive_the_process(storage: &impl Storage) {
    let key = candidate("restart", &Limits::new().per_minute(2).per_day(100).tokens_per_minute(1_000));
    let store = storage.open().await;
    let first = grant(&store, &key, request(100)).await;
    grant(&store, &key, request(200)).await;
    store.record(vec![used(&key, first, request(100), request(150))]).await.expect("kept");
    drop(store);
    let store = storage.open().await;
    let changes = store.load().await.expect("loaded");
    assert_eq!(changes.now_ms, storage.time().now_ms());
    let total = Amounts { requests: 2, input_tokens: 350, ..Amounts::default() };
    let windows = changes.records.iter().find_map(|record| match record {
        Record::Starts { project, model, span, starts } if **project == *"restart" => {
            assert_eq!((&**model, *span), (&*key.model, MINUTE));
            Some(starts.iter().fold(Amounts::default(), |sum, (at_ms, amounts)| {
                assert!(*at_ms >= first.at.at_ms);
                let requests = sum.requests + amounts.requests;
                Amounts { requests, input_tokens: sum.input_tokens + amounts.input_tokens, ..sum }
            }))
        }
        _ => None,
    });
    assert_eq!(windows, Some(total));
    let day = changes.records.iter().find_map(|record| match record {
        Record::Day { project, date, used, .. } if **project == *"restart" => Some((*date, *used)),
        _ => None,
    });
    assert_eq!(day, Some((first.at.date, total)));
    refuse(&store, &key, request(0)).await;
}

fn open(target: BreakerTarget, until_ms: Option<i64>) -> Record {
    Record::Open { target, until_ms, class: Some(ErrorClass::RateLimit), reason: Some("slow \"down\"\n".into()) }
}

async fn records_reach_other_processes(storage: &impl Storage) {
    let (one, other, now) = (storage.open().await, storage.open().await, storage.time().now_ms());
    let read = async |store: &Arc<dyn Store>, since: u64| store.changes(since).await.expect("the store answers");
    let start = other.load().await.expect("loaded").revision;
    let target = BreakerTarget::ProjectModel("a/b".into(), "gemini \"x\"".into());
    let limit = Limit { unit: Unit::Requests, span: Span::MINUTE, amount: 5 };
    let written = vec![
        open(target.clone(), Some(now + 60_000)),
        Record::Limit { project: "p".into(), model: "m".into(), limit, learned_ms: now },
        Record::Project { key: KeyId::from("k1"), project: "p".into() },
    ];
    one.record(written.clone()).await.expect("kept");
    let Changes { revision, now_ms, records } = read(&other, start).await;
    assert!(revision > start);
    assert_eq!((now_ms, sorted(records)), (now, sorted(written)));
    assert_eq!(read(&other, revision).await.records, []);
    assert_eq!(read(&one, start).await.records, [], "its own records are not reported back");

    // Only the last record of each target is reported.
    one.record(vec![open(target.clone(), None)]).await.expect("kept");
    one.record(vec![Record::Closed { target: target.clone() }]).await.expect("kept");
    assert_eq!(read(&other, revision).await.records, [Record::Closed { target: target.clone() }]);
    let reopened = open(target, None);
    other.record(vec![reopened.clone()]).await.expect("kept");
    assert_eq!(read(&one, revision).await.records, [reopened]);
}

fn sorted(mut records: Vec<Record>) -> Vec<Record> {
    records.sort_by_key(|record| format!("{record:?}"));
    records
}

async fn records_outlive_the_process_until_they_expire(storage: &impl Storage) {
    let (store, time) = (storage.open().await, storage.time());
    let now = time.now_ms();
    let key = |id: &str| BreakerTarget::Key(KeyId::from(id));
    let limit = Limit { unit: Unit::Tokens, span: Span::Day, amount: 9 };
    let short = open(key("short"), Some(now + 3_600_000));
    let learned = Record::Limit { project: "old".into(), model: "m".into(), limit, learned_ms: now };
    let closed = Record::Closed { target: key("closed") };
    let disabled = open(key("disabled"), None);
    let project = Record::Project { key: KeyId::from("k2"), project: "p".into() };
    let written = [short.clone(), learned.clone(), closed.clone(), disabled.clone(), project.clone()];
    store.record(written.to_vec()).await.expect("kept");
    drop(store);
    let kept = async || {
        let loaded = storage.open().await.load().await.expect("loaded").records;
        written.iter().filter(|record| loaded.contains(record)).cloned().collect::<Vec<_>>()
    };
    assert_eq!(kept().await, written);
    time.advance(Duration::from_secs(3_601));
    assert_eq!(kept().await, [learned, closed.clone(), disabled.clone(), project.clone()]);
    time.advance(Duration::from_secs(23 * 3_600 + 1));
    // A store may keep closings for longer.
    let kept: Vec<_> = kept().await.into_iter().filter(|record| *record != closed).collect();
    assert_eq!(kept, [disabled, project]);
}

/// Returns the next day in [`ZONE`].
fn tomorrow(time: &Time) -> Day {
    let zone = |at_ms| Day::at(ZONE, at_ms).expect("the zone is known");
    zone(zone(time.now_ms()).ends_ms)
}

async fn a_day_ends_at_the_midnight_of_its_zone(storage: &impl Storage) {
    let (store, time) = (storage.open().await, storage.time());
    let day = tomorrow(time);
    time.advance_to(day.starts_ms + 10 * 3_600_000);
    let key = candidate("day", &Limits::new().per_day(2));
    assert_eq!(grant(&store, &key, request(0)).await.at.date, day.date);
    time.advance(Duration::from_secs(3_600));
    grant(&store, &key, request(0)).await;
    let opens_in = refuse(&store, &key, request(0)).await;
    let left = Duration::from_millis((day.ends_ms - time.now_ms()) as u64);
    assert_about(opens_in, left + MIDNIGHT_GUARD, Duration::from_secs(1));
    time.advance(left + Duration::from_secs(5));
    assert_about(refuse(&store, &key, request(0)).await, Duration::from_secs(25), Duration::from_secs(1));
    time.advance(Duration::from_secs(26));
    assert_eq!(grant(&store, &key, request(0)).await.at.date, day.date + 1);
}

async fn after_midnight_a_request_counts_for_both_days(storage: &impl Storage) {
    let (store, time) = (storage.open().await, storage.time());
    let day = tomorrow(time);
    time.advance_to(day.starts_ms - 60_000);
    let key = candidate("both-days", &Limits::new().per_day(2));
    grant(&store, &key, request(0)).await;
    time.advance_to(day.starts_ms + 10_000);
    assert_eq!(grant(&store, &key, request(0)).await.at.date, day.date);
    // The day before is full.
    assert_about(refuse(&store, &key, request(0)).await, Duration::from_secs(20), Duration::from_secs(1));
    time.advance_to(day.starts_ms + 31_000);
    grant(&store, &key, request(0)).await;
    assert!(refuse(&store, &key, request(0)).await > Duration::from_secs(22 * 3_600));
}

/// A request reserved before midnight may be sent after it.
async fn just_before_midnight_a_request_counts_for_both_days(storage: &impl Storage) {
    let (store, time) = (storage.open().await, storage.time());
    let day = tomorrow(time);
    time.advance_to(day.starts_ms - 100);
    let key = candidate("before-midnight", &Limits::new().per_day(1));
    let granted = grant(&store, &key, request(0)).await;
    let both = granted.usable_for > Duration::from_millis(100);
    time.advance_to(day.starts_ms + 60_000);
    if both {
        refuse(&store, &key, request(0)).await;
    } else {
        grant(&store, &key, request(0)).await;
    }
}

async fn days_of_23_and_25_hours(storage: &impl Storage) {
    let (store, time) = (storage.open().await, storage.time());
    // Midnight of 2026-03-08 and of 2026-11-01.
    for (starts_ms, hours) in [(1_772_956_800_000, 23), (1_793_516_400_000, 25)] {
        let day = Day::at(ZONE, starts_ms).expect("the zone is known");
        let length = Duration::from_secs(hours * 3_600);
        assert_eq!((day.starts_ms, day.ends_ms), (starts_ms, starts_ms + length.as_millis() as i64));
        time.advance_to(starts_ms + 60_000);
        let left = Duration::from_secs(hours * 3_600 - 60);
        let key = candidate(&format!("{hours} hours"), &Limits::new().per_day(1));
        assert_eq!(grant(&store, &key, request(0)).await.at.date, day.date);
        let opens_in = refuse(&store, &key, request(0)).await;
        assert_about(opens_in, left + MIDNIGHT_GUARD, Duration::from_secs(1));
        time.advance_to(day.ends_ms - 2_000);
        refuse(&store, &key, request(0)).await;
        time.advance_to(day.ends_ms + 31_000);
        assert_eq!(grant(&store, &key, request(0)).await.at.date, day.date + 1);
    }
}
