//! What is told of sharing: the events of docs/tracing.md, and the metrics of docs/metrics.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use tower_keypool::{
    KeyPool, Limits, SharingState,
    share::{OnMissing, OnStoreLoss},
};
use tracing::{Event, Metadata, Subscriber, span};

use crate::host::{FLASH, Host, Way, builder, pass, paused};

/// Events of one target: name, level and fields.
type Told = BTreeMap<String, (String, BTreeSet<String>)>;

#[derive(Clone, Default)]
struct Ear(Arc<Mutex<Told>>);

impl Subscriber for Ear {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "tower_keypool::sharing"
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let about = event.metadata();
        let fields = about.fields().iter().map(|field| field.name().to_owned()).filter(|name| name != "message");
        self.0.lock().unwrap().insert(about.name().to_owned(), (about.level().to_string(), fields.collect()));
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// What the page says of that target.
fn page() -> Told {
    let rows = include_str!("../../docs/tracing.md").lines().filter(|line| line.contains("`tower_keypool::sharing`"));
    let plain = |cell: &str| cell.trim().trim_matches('`').to_owned();
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        let fields = cells[5].split(',').map(plain).filter(|field| !field.is_empty()).collect();
        (plain(cells[1]), (plain(cells[3]), fields))
    })
    .collect()
}

async fn until(pool: &KeyPool, state: SharingState) {
    loop {
        match pool.sharing().expect("it shares").state {
            now if now == state => return,
            now => drop(pool.sharing_turns(now).await),
        }
    }
}

async fn live_through_everything() {
    let host = Host::new(false);
    let make = |limit| builder(2).limits(FLASH, Limits::new().per_minute(limit));
    let one = host.process("one", 1, make(10)).await;
    drop(one.pool.acquire(FLASH).await.unwrap());
    // A process that died, and one that is stricter.
    one.line.set(Way::Cut);
    until(&one.pool, SharingState::FailClosed).await;
    pass(65.0).await;
    let fair = OnStoreLoss::FairShare { processes: 2 };
    let two = host.process_as("two", 2, make(10), |sharing| sharing.on_store_loss(fair)).await;
    drop(two.pool.acquire(FLASH).await.unwrap());
    one.line.mend(Way::Cut);
    until(&one.pool, SharingState::Connected).await;
    let three = host.process("three", 3, make(5)).await;
    drop(three.pool.acquire(FLASH).await);
    pass(10.0).await;
    drop(two.pool.acquire(FLASH).await);
    pass(10.0).await;
    // Its store is away, and then missing.
    two.line.set(Way::Cut);
    until(&two.pool, SharingState::FairShare).await;
    two.line.mend(Way::Cut);
    until(&two.pool, SharingState::Connected).await;
    // All stand still for longer than a lease.
    tokio::time::advance(Duration::from_secs(20)).await;
    pass(1.0).await;
    let line = host.line("four", 4);
    line.set(Way::Cut);
    let local = OnMissing::Local { expected_processes: 2 };
    drop(host.open(&line, make(10), |sharing| sharing.on_missing(local)).await.unwrap());
    host.forget();
    pass(20.0).await;
}

#[test]
fn every_event_of_the_page_is_told_as_it_says() {
    let ear = Ear::default();
    // With one dispatcher alone, tracing asks that of the thread which meets an event first whether anybody listens, and
    // other tests' threads have none.
    let _second = tracing::Dispatch::new(Ear::default());
    tracing::subscriber::with_default(ear.clone(), || paused().block_on(live_through_everything()));
    let told = ear.0.lock().unwrap().clone();
    let mut page = page();
    // The clock of this host cannot be set.
    assert!(page.remove("keypool.clocks_parted").is_some());
    // The database's own thread tells it: crates/keypool/tests/it/mending.rs.
    assert!(page.remove("keypool.file_changed").is_some());
    assert_eq!(told, page);
}

#[cfg(feature = "metrics")]
#[test]
fn a_scrape_says_how_sharing_stands() {
    use prometheus_client::{encoding::text::encode, registry::Registry};
    use tower_keypool::metrics::PoolCollector;

    paused().block_on(async {
        let host = Host::new(true);
        let one = host.process("one", 1, builder(2).limits(FLASH, Limits::new().per_minute(10))).await;
        drop(one.pool.acquire(FLASH).await.unwrap());
        one.line.set(Way::Cut);
        until(&one.pool, SharingState::FailClosed).await;
        assert!(one.pool.try_acquire(FLASH).is_err());
        let mut registry = Registry::default();
        registry.register_collector(Box::new(PoolCollector::new(&one.pool)));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "keypool_sharing_state{state=\"fail_closed\"} 1",
            "keypool_sharing_state{state=\"connected\"} 0",
            "keypool_sharing_units 2",
            "keypool_sharing_fail_closed_demands_total 1",
            "keypool_sharing_store_calls_total{kind=\"urgent\"} 1",
        ] {
            assert!(text.lines().any(|is| is == line), "{line} in\n{text}");
        }
        let page = include_str!("../../docs/metrics.md");
        let of_sharing = text.lines().filter(|line| line.starts_with("keypool_sharing"));
        for name in of_sharing.filter_map(|line| line.split(['{', ' ']).next()) {
            assert!(page.contains(&format!("| `{name}` |")), "{name} is not on the page");
        }
    });
}
