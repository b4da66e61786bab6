//! Connections that somebody on the way dropped without a word.

use std::time::Duration;

use futures_util::future::join_all;
use keypool_client::Client;
use tower_keypool::{Backoff, Retry};

use crate::forgetful::Forgetful;
use crate::stage;

const WARM: usize = 12;

#[tokio::test]
async fn one_connection_that_was_forgotten_takes_the_others_with_it() {
    let provider = Forgetful::start(WARM).await.unwrap();
    let pool = stage::pool(provider.url(), 2).build().unwrap();
    // Without a retry that waits: the free one must do.
    let rule = Retry::new().max_retries(1).backoff(Backoff::fixed(Duration::from_secs(3600)));
    let client = Client::builder(&pool).retry(rule).build();
    for answer in join_all((0..WARM).map(|_| async { client.generate("Hello").await })).await {
        answer.unwrap();
    }
    provider.forget();
    for attempts in [2, 1, 1] {
        let answering = async { client.generate("Hello").await.unwrap() };
        let answer = tokio::time::timeout(Duration::from_secs(20), answering).await.expect("at the second attempt");
        assert_eq!(answer.attempts(), attempts);
    }
    assert_eq!(provider.arrived(), WARM + 3);
}
