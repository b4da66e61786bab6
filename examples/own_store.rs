//! `cargo run --example own_store`: a custom store that keeps disabled keys in a file of JSON lines.

use std::{fs, path::PathBuf, sync::Mutex, time::Duration};

use tower_keypool::{
    BoxError, Error, ErrorClass, Gemini, Key, KeyPool, Outcome,
    store::{Changes, Granted, Record, ReserveRequest, Reserved, ReservedAt, Store, StoreFuture},
};

/// A log of records, one JSON object a line. It grants everything that the pool's own limits allow.
struct JsonLines {
    path: PathBuf,
    writing: Mutex<()>,
}

impl Store for JsonLines {
    fn load(&self) -> StoreFuture<'_, Changes> {
        let text = fs::read_to_string(&self.path).unwrap_or_default();
        let records: Result<Vec<Record>, _> = text.lines().map(serde_json::from_str).collect();
        let changes = records.map(|records| Changes { records, ..Changes::default() }).map_err(Error::store);
        Box::pin(std::future::ready(changes))
    }

    fn reserve(&self, _request: ReserveRequest) -> StoreFuture<'static, Reserved> {
        let granted = Granted { candidate: 0, at: ReservedAt::default(), usable_for: Duration::MAX };
        Box::pin(std::future::ready(Ok(Reserved { granted: Some(granted), opens_in: Vec::new() })))
    }

    fn record(&self, records: Vec<Record>) -> StoreFuture<'_, ()> {
        let written = (|| -> Result<(), BoxError> {
            let _writing = self.writing.lock().map_err(|_| "another write panicked")?;
            let mut text = fs::read_to_string(&self.path).unwrap_or_default();
            for record in &records {
                text.push_str(&serde_json::to_string(record)?);
                text.push('\n');
            }
            Ok(fs::write(&self.path, text)?)
        })();
        Box::pin(std::future::ready(written.map_err(Error::store)))
    }

    fn changes(&self, since: u64) -> StoreFuture<'_, Changes> {
        Box::pin(std::future::ready(Ok(Changes { revision: since, ..Changes::default() })))
    }
}

async fn open(path: PathBuf) -> Result<KeyPool, Error> {
    let store = JsonLines { path, writing: Mutex::default() };
    KeyPool::builder(Gemini::new()).key(Key::new("AIza-not-a-real-key-001").named("one")).store(store).open().await
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let path = std::env::temp_dir().join(format!("keypool-own-store-{}.jsonl", std::process::id()));
    let pool = open(path.clone()).await?;
    pool.acquire("gemini-2.5-flash").await?.report(&Outcome::from_class(ErrorClass::KeyRejected));
    pool.shutdown().await;

    let pool = open(path.clone()).await?;
    let error = pool.acquire("gemini-2.5-flash").await.expect_err("the key is still disabled");
    println!("{error}");
    fs::remove_file(path)?;
    Ok(())
}
