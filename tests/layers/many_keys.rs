//! Many keys and many requests.

use std::time::Duration;

use tower::{Layer, ServiceExt};
use tower_keypool::KeyPoolLayer;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn requests_succeed_while_a_third_of_the_keys_is_refused() {
    let pool = pool(1_000);
    let client = KeyPoolLayer::new(&pool).layer(provider(|key| match key % 10 {
        0 => suspended(key),
        3 | 7 => invalid(),
        _ => good(),
    }));
    for _ in 0..50 {
        let burst: Vec<_> = (0..40).map(|_| tokio::spawn(client.clone().oneshot(ask()))).collect();
        for sent in burst {
            let response = sent.await.unwrap().unwrap();
            assert_eq!(response.status(), 200);
            text(response).await;
        }
        tokio::time::sleep(SECOND).await;
    }
    let dead = breakers(&pool).len();
    assert_eq!(dead, 300, "all refused keys have a breaker, and no other has");
}

#[tokio::test(start_paused = true)]
async fn all_keys_serve_again_after_an_outage_with_invalid_key_errors() {
    let pool = builder(20).wait(Duration::from_millis(100)).build().unwrap();
    let begun = now();
    let healed = move || begun.elapsed() >= Duration::from_secs(60);
    let client = KeyPoolLayer::new(&pool).layer(provider(move |_| if healed() { good() } else { invalid() }));
    while begun.elapsed() < Duration::from_secs(180) {
        let response = client.clone().oneshot(ask()).await;
        if begun.elapsed() > Duration::from_secs(150) {
            assert_eq!(response.unwrap().status(), 200);
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(breakers(&pool), Vec::<String>::new());
}
