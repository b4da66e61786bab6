//! What tenants use where answers do not say it.

use http::Request;
use keypool::{
    database::Records,
    gateway::{
        capability::hash_of,
        listen::Bounds,
        resource::Unknown,
        tenant::{From, Grant, TenantLimits},
    },
};
use serde_json::json;
use tower_keypool::{Gemini, Key, KeyPool};

use crate::{
    retold::{in_turn, vectors},
    serving::ONE,
    support::{Served, ask},
};

#[tokio::test]
async fn what_an_answer_does_not_say_that_it_cost_counts_as_it_was_expected() {
    let (address, _) = in_turn(vec![vectors(1)]).await;
    let upstream = format!("http://{address}");
    let pool = KeyPool::builder(Gemini::at(&upstream).unwrap()).key(Key::new(ONE).id("one")).build().unwrap();
    let within = (Unknown::Refuse, Bounds::default());
    let (served, tenants, _used) = Served::counting(&pool, &upstream, Records::default(), within).await;
    let limits = TenantLimits { tpm: Some(100), ..TenantLimits::default() };
    let token_hash = hash_of(b"kp-alice");
    tenants.set(From::Commands, vec![Grant { name: "alice".into(), token_hash, limits, ..Grant::default() }]);
    let body = json!({ "model": "gemini-embedding-001", "input": "word ".repeat(1_000) }).to_string();
    let mut refused = None;
    for _ in 0..5 {
        let request = Request::post(served.url("/v1/embeddings")).header("authorization", "Bearer kp-alice");
        let answer = ask(request, body.clone()).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a hundred tokens are no five times a thousand words");
    let error = &refused.json()["error"];
    assert_eq!((refused.status.as_u16(), &error["code"]), (429, &json!("rate_limit_exceeded")), "{refused:?}");
    assert_eq!(error["type"], "tokens", "of which kind the limit is");
}
