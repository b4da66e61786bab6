//! A store of one's own: a JSON file, written anew with every batch.
//!
//! ```text
//! cargo run --example own_store
//! ```

use std::{
    fs,
    io::Write,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use tower_keypool::{
    BoxError, Gemini, Key, KeyPool, Limits,
    store::{Batch, Image, ImportRecord, Store, StoreError, UsageRecord, conformance},
};

/// One file. The lock keeps two writes apart.
struct JsonFile(Mutex<PathBuf>);

impl JsonFile {
    fn at(path: impl Into<PathBuf>) -> Self {
        Self(Mutex::new(path.into()))
    }

    /// What the file holds, and where it is.
    fn with<T>(&self, work: impl FnOnce(Image, &PathBuf) -> Result<T, BoxError>) -> Result<T, StoreError> {
        let path = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let read = || -> Result<Image, BoxError> {
            if path.exists() { Ok(serde_json::from_slice(&fs::read(&*path)?)?) } else { Ok(Image::default()) }
        };
        read()
            .and_then(|image| work(image, &path))
            .map_err(|error| StoreError::because(path.display().to_string(), error))
    }
}

impl Store for JsonFile {
    async fn load(&self) -> Result<Image, StoreError> {
        self.with(|image, _| Ok(image))
    }

    async fn write(&self, batch: Arc<Batch>) -> Result<(), StoreError> {
        self.with(|mut image, path| {
            image.apply(&batch);
            // All of it or nothing: a file takes another's name in one step.
            let next = path.with_extension("next");
            let mut file = fs::File::create(&next)?;
            file.write_all(&serde_json::to_vec(&image)?)?;
            if batch.is_lasting() {
                // A rest outlives the machine, too.
                file.sync_all()?;
            }
            fs::rename(next, path)?;
            if batch.is_lasting()
                && let Some(folder) = path.parent()
            {
                fs::File::open(folder)?.sync_all()?;
            }
            Ok(())
        })
    }

    async fn usage(&self, from: &str, to: &str) -> Result<Vec<UsageRecord>, StoreError> {
        let within = |record: &UsageRecord| *record.day >= *from && *record.day <= *to;
        self.with(|image, _| Ok(image.usage.into_values().filter(within).collect()))
    }

    async fn imports(&self) -> Result<Vec<ImportRecord>, StoreError> {
        self.with(|image, _| Ok(image.imports))
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let folder = std::env::temp_dir().join(format!("own-store-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    conformance::check(|name| std::future::ready(JsonFile::at(folder.join(name)))).await;
    println!("it does what every store must");

    let pool = || {
        KeyPool::builder(Gemini::new())
            .key(Key::free("not-a-real-key-1").id("first"))
            .limits("gemini-2.5-flash", Limits::new().per_minute(1))
            .open(JsonFile::at(folder.join("pool.json")))
    };
    let first = pool().await?;
    drop(first.try_acquire("gemini-2.5-flash")?);
    first.shutdown().await;
    let second = pool().await?;
    if let Err(error) = second.try_acquire("gemini-2.5-flash") {
        println!("after a restart: {error}");
    }
    fs::remove_dir_all(folder)?;
    Ok(())
}
