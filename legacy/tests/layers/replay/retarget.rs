//! Another model in the same body.

use bytes::Bytes;
use http::Request;
use http_body::Body;
use http_body_util::{Empty, Full};
use proptest::prelude::*;
use tower_keypool::{ReplayLayer, TryClone};

use super::{
    attempts::body_below,
    support::{Feed, Paths, all, chunk, chunks, full},
};

fn layer() -> ReplayLayer {
    ReplayLayer::default().pool(Paths::pool())
}

fn post<B>(body: B) -> Request<B> {
    Request::post("/body").body(body).unwrap()
}

#[tokio::test]
async fn the_name_alone_changes_and_the_length_with_it() {
    let text = Bytes::from("x".repeat(1 << 20));
    let pieces = [Bytes::from(r#"{"messages":[""#), text.clone(), Bytes::from(r#""],"model":"dear-one"}"#)];
    let first = body_below(&layer(), post(chunks(pieces))).await.into_body();
    let mut second = first.try_clone().unwrap();
    assert!(second.retarget("cheap"));
    assert_eq!(second.size_hint().exact(), first.size_hint().exact().map(|exact| exact - 3));
    let mut third = second.try_clone().unwrap();
    drop(first);

    let read = all(&mut second).await.unwrap();
    assert_eq!(read[1].as_ptr(), text.as_ptr(), "what is not the name goes on by reference");
    assert_eq!(read[2..].concat(), br#""],"model":"cheap"}"#);
    assert!(third.retarget("a\"b"));
    assert_eq!(all(&mut third).await.unwrap()[2..].concat(), br#""],"model":"a\"b"}"#);
}

#[tokio::test]
async fn a_body_becomes_another_as_often_as_it_is_sent() {
    let mut first =
        body_below(&layer(), post(chunks([r#"{"model":"a","#, r#""b":1}"#].map(Bytes::from)))).await.into_body();
    let mut second = first.try_clone().unwrap();
    assert!(second.rewrite(["other ", "words"].map(Bytes::from).to_vec()));
    assert_eq!(second.size_hint().exact(), Some(11));
    let mut third = second.try_clone().unwrap();
    let mut fourth = third.try_clone().unwrap();
    assert_eq!(all(&mut first).await.unwrap().concat(), br#"{"model":"a","b":1}"#);
    assert!(second.reclaim());
    assert_eq!(all(&mut second).await.unwrap(), ["other ", "words"]);
    assert!(third.reclaim());
    assert_eq!(all(&mut third).await.unwrap().concat(), b"other words");
    assert!(fourth.rewrite(Vec::new()) && fourth.reclaim());
    assert_eq!(fourth.size_hint().exact(), Some(0));
    assert!(all(&mut fourth).await.unwrap().is_empty() && !fourth.rewrite(Vec::new()));
}

#[tokio::test]
async fn the_place_is_found_late_where_nobody_looked_before() {
    let (feed, body) = Feed::new();
    let mut first = body_below(&ReplayLayer::default(), post(body)).await.into_body();
    let mut second = first.try_clone().unwrap();
    assert!(!second.retarget("y"), "nothing is known of the body yet");
    feed.send(r#"{"model":"x","#);
    chunk(&mut first).await.unwrap().unwrap();
    assert!(second.retarget("longer"));
    assert!(second.reclaim());
    feed.send(r#""a":1}"#);
    feed.end();
    assert_eq!(all(&mut second).await.unwrap().concat(), br#"{"model":"longer","a":1}"#);
}

#[tokio::test]
async fn a_body_without_a_model_stays_as_it_is() {
    for text in ["", "hello", r#"{"a":{"model":"x"}}"#, r#"{"model":5}"#] {
        let mut body = body_below(&layer(), post(full(text))).await.into_body();
        assert!(!body.retarget("y"), "{text}");
        assert_eq!(all(&mut body).await.unwrap().concat(), text.as_bytes());
        assert!(!body.retarget("y"));
    }
}

#[test]
fn bodies_that_are_clones_by_nature_are_sent_again_as_they_are() {
    let mut full = Full::new(Bytes::from("abc"));
    assert!(full.reclaim() && !full.retarget("x"));
    assert_eq!(full.try_clone().unwrap().into_inner().unwrap(), "abc");
    assert!(Empty::<Bytes>::new().try_clone().unwrap().is_end_stream());
}

proptest! {
    #[test]
    fn any_name_in_any_chunks_becomes_any_other(
        before in "[a-z\"\\\\é]{0,8}",
        old in "[a-z\"\\\\é.-]{1,20}",
        new in "\\PC{0,20}",
        size in 1_usize..30,
        read in 0_usize..20,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let json = |model: &str| format!(r#"{{"a":{},"model":{},"z":[1]}}"#, quoted(&before), quoted(model));
            let (text, wanted) = (json(&old), json(&new));
            let pieces = text.as_bytes().chunks(size).map(Bytes::copy_from_slice);
            let mut first = body_below(&layer(), post(chunks(pieces))).await.into_body();
            let mut second = first.try_clone().unwrap();
            for _ in 0..read {
                chunk(&mut first).await;
            }
            assert!(second.retarget(&new));
            let mut left = second.size_hint().exact().unwrap();
            assert_eq!(left as usize, wanted.len());
            let mut got = Vec::new();
            while let Some(piece) = chunk(&mut second).await {
                let piece = piece.unwrap();
                left -= piece.len() as u64;
                got.extend_from_slice(&piece);
                assert_eq!(second.size_hint().exact(), Some(left));
                assert_eq!(second.is_end_stream(), left == 0);
            }
            assert_eq!(String::from_utf8(got).unwrap(), wanted);
        });
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
