//! Runs the conformance suite, which every store must pass.

mod storage;

use std::sync::Arc;

use keypool_store::conformance;
use redis_fixture::RedisServer;

#[tokio::test]
async fn redis_conforms() {
    let Some(server) = RedisServer::start().map(Arc::new) else { return };
    conformance::run(&storage::Redis::on(&server, storage::START_MS).await).await;
}

#[tokio::test]
async fn sqlite_conforms() {
    conformance::run(&storage::Sqlite::at(storage::START_MS)).await;
}
