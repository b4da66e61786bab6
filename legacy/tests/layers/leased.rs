//! A lease that a request brings along goes out by its own pool alone.

use http::{Request, StatusCode};
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_keypool::{CooldownLayer, Demand, Key, KeyPool, KeyPoolLayer, KeyRotationLayer};

use crate::{
    support::{Body, Plain, builder, narrow_pool, request},
    upstream::Upstream,
};

fn leased(pool: &KeyPool) -> Request<Body> {
    let lease = pool.try_acquire(Demand::new("m").ahead()).unwrap();
    let mut request = request("/models/m");
    request.extensions_mut().insert(Demand::new("m").leased(lease));
    request
}

#[tokio::test(start_paused = true)]
async fn anothers_lease_is_refused_and_given_back() {
    let another = KeyPool::builder(Plain::at("http://other.example"))
        .key(Key::new("of-the-other").id("x").max_concurrent(1))
        .build()
        .unwrap();
    let pool = builder(&["one"]).build().unwrap();
    let upstream = Upstream::new(&[]);
    for whole in [true, false] {
        let request = leased(&another);
        let error = if whole {
            KeyPoolLayer::new(&pool).layer(upstream.clone()).oneshot(request).await.map(drop).unwrap_err()
        } else {
            let stack = ServiceBuilder::new().layer(KeyRotationLayer::new(&pool)).layer(CooldownLayer::new(&pool));
            stack.service(upstream.clone()).oneshot(request).await.map(drop).unwrap_err()
        };
        assert!(error.is_refused(), "{error}");
        assert_eq!(error.status(), StatusCode::BAD_REQUEST);
        assert_eq!(error.to_string(), "not sent: its lease is another pool's");
        assert!(another.try_acquire("m").is_ok(), "it was given back, and never started");
    }
    assert!(upstream.asked().is_empty(), "no key went anywhere");
    assert_eq!((another.snapshot().in_flight, pool.snapshot().in_flight), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn its_own_lease_goes_out_also_over_another_handle() {
    let pool = narrow_pool();
    let upstream = Upstream::new(&[]);
    let client = KeyPoolLayer::new(pool.clone()).layer(upstream.clone());
    client.oneshot(leased(&pool)).await.unwrap();
    assert_eq!(upstream.asked().len(), 1);
}
