//! The suite that every store passes.

mod storage;

use keypool_store::conformance;

#[tokio::test]
async fn redis_conforms() {
    let Some(storage) = storage::Redis::start().await else { return };
    conformance::run(&storage).await;
}
