//! Several processes on one database whose disk is full: they go on with what they hold, exceed nothing, and serve again
//! when there is room.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    Demand, Gemini, Key, KeyPool, Limits, OutReason, Sharing, SharingState, Verdict,
    share::Settings,
    store::{SharedSqlite, Sqlite},
};

const LEASE: Duration = Duration::from_millis(1_500);
const OWNERS: usize = 300;
const FLASH: &str = "gemini-2.5-flash";
const PRO: &str = "gemini-2.5-pro";

struct Process {
    store: SharedSqlite,
    pool: KeyPool,
}

impl Process {
    async fn start(path: &std::path::Path) -> Self {
        let store = Sqlite::open(path).and_then(Sqlite::share).expect("a database");
        let mut settings = Settings::for_lease(LEASE);
        (settings.draws, settings.noting) = (store.settings().draws, store.settings().noting);
        let sharing = Sharing::new(store.holder().clone()).settings(settings);
        let key = |n: usize| Key::new(format!("AIza-not-a-real-key-{n:05}")).owner(format!("project-{n}"));
        let builder = KeyPool::builder(Gemini::new())
            .keys((0..OWNERS).map(key))
            .limits(FLASH, Limits::new().per_minute(2))
            .limits(PRO, Limits::new().per_minute(2));
        let pool = builder.open_shared(store.clone(), store.clone(), sharing).await.expect("a pool");
        Self { store, pool }
    }

    /// So many pages more may the file have. Each connection goes by a bound of its own.
    async fn allow(&self, more: i64) {
        let bound = self.store.database().run(move |desk| {
            let pages: i64 = desk.connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
            desk.connection.pragma_update(None, "max_page_count", pages + more)?;
            Ok(())
        });
        bound.await.expect("bounded");
    }

    /// Tries so often; counts what is started, by key.
    async fn serve(&self, model: &str, times: usize, wait: Duration, started: &mut BTreeMap<String, usize>) -> usize {
        let mut served = 0;
        for _ in 0..times {
            match self.pool.acquire(Demand::new(model).wait(wait)).await {
                Ok(lease) if lease.started() => {
                    *started.entry(format!("{model} {}", lease.key_id())).or_default() += 1;
                    served += 1;
                    lease.settle(&Verdict::SUCCESS);
                }
                Ok(_) => {}
                Err(error) => assert!(error.is_exhausted(), "{error}"),
            }
        }
        served
    }

    fn stands(&self) -> SharingState {
        self.pool.sharing().expect("it shares").state
    }
}

#[test]
fn processes_on_a_full_disk_exceed_nothing_and_serve_again_when_there_is_room() {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keypool.db");
        let (one, two) = (Process::start(&path).await, Process::start(&path).await);
        let mut started = BTreeMap::new();
        for process in [&one, &two] {
            assert_eq!(process.serve(FLASH, 20, LEASE, &mut started).await, 20);
        }
        one.allow(0).await;
        two.allow(0).await;
        // A model that nobody used yet: what is to be written of its owners has no place.
        let mut out = [false; 2];
        for _ in 0..100 {
            for (process, out) in [&one, &two].into_iter().zip(&mut out) {
                process.serve(PRO, 1, Duration::from_millis(20), &mut started).await;
                process.serve(FLASH, 1, Duration::from_millis(20), &mut started).await;
                *out |= process.stands() == SharingState::FailClosed;
            }
            if out == [true; 2] {
                break;
            }
        }
        assert_eq!(out, [true; 2], "what cannot be written ends");
        let refused = one.pool.try_acquire(PRO).expect_err("nothing is lent");
        let reasons = refused.exhausted().expect("exhausted").reasons();
        assert_eq!(reasons.collect::<Vec<_>>(), [(OutReason::StoreUnreachable, OWNERS)]);
        assert!(refused.to_string().ends_with("; next when the store answers"), "{refused}");
        one.allow(10_000).await;
        two.allow(10_000).await;
        for process in [&one, &two] {
            assert_eq!(process.pool.sharing_turns(SharingState::FailClosed).await, SharingState::Connected);
            assert!(process.serve(PRO, 20, 2 * LEASE, &mut started).await >= 19);
        }
        for process in [&one, &two] {
            process.serve(FLASH, 2 * OWNERS, Duration::ZERO, &mut started).await;
        }
        assert!(started.values().all(|count| *count <= 2), "{started:?}");
        one.pool.flush().await.expect("written");
        assert_eq!(one.store.database().check().await.expect("read"), [""; 0]);
    });
}
