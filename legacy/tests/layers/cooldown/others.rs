//! A good answer shows no key of the pool, also none that its own request never went out with: a provider knows it of another.

use std::io::Read;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::Response;
use proptest::prelude::*;
use tokio::runtime::Runtime;
use tower_keypool::{Demand, Key, KeyMask, Lease};

use super::support::{Bench, Steps, answer, collect, event, events, full, gzip, gzipped, json, text};

const ONE: &str = "AIzaSy-not-a-real-key-000000000000001";
const TWO: &str = "AIzaSy-not-a-real-key-000000000000002";
const LATER: &str = "AQ.Ab8-not-a-real-key-0000000000000003";

fn bench(keys: &[&str]) -> Bench {
    Bench::of(keys.iter().map(|key| Key::new(*key)))
}

/// What a caller may read: at each place the longest key that begins there is overwritten, from the first place on.
fn shown(keys: &[&str], text: &str) -> String {
    let (mut shown, mut rest) = (String::new(), text);
    while let Some(next) = rest.chars().next() {
        let key = keys.iter().filter(|key| rest.starts_with(**key)).map(|key| key.len()).max();
        let length = key.unwrap_or(next.len_utf8());
        shown += &if key.is_some() { "*".repeat(length) } else { next.to_string() };
        rest = &rest[length..];
    }
    shown
}

fn said(keys: &[&str]) -> String {
    let beginnings = keys.iter().map(|key| &key[..key.len() - 1]).collect::<Vec<_>>().join(" ");
    format!("{{\"a\":\"{}\",\"b\":\"{beginnings} \",\"c\":\"AIza, AIzaSy\\u003c\"}}", keys.join(" and "))
}

async fn whole_and_in_pieces(bench: &Bench, keys: &[&str]) {
    let whole = said(keys);
    let expected = shown(keys, &whole);
    assert!(!keys.iter().any(|key| expected.contains(key)));
    assert_eq!(text(bench.get(json(200, full(whole.clone()))).await).await, expected);
    for size in [1, 2, 7, 30, 64] {
        let chunks = || Steps::chunks(whole.as_bytes().chunks(size));
        assert_eq!(text(bench.get(json(200, chunks())).await).await, expected, "{size}");
        assert_eq!(text(bench.get(answer(200, "text/plain", chunks())).await).await, expected, "{size}");
    }
}

#[tokio::test(start_paused = true)]
async fn in_one_piece_and_in_many() {
    whole_and_in_pieces(&bench(&[ONE, TWO]), &[ONE, TWO]).await;
}

#[tokio::test(start_paused = true)]
async fn of_keys_that_begin_differently() {
    let keys = ["AIzaSy-not-a-real-key-01", LATER, "sk-proj-not-a-real-key-02", "0a1b2c3d", "xyz-not-a-key-at-all-3"];
    for count in 1..=keys.len() {
        whole_and_in_pieces(&bench(&keys[..count]), &keys[..count]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn of_keys_of_which_one_begins_another() {
    let longer = format!("{ONE}-and-more");
    let longest = format!("{longer}{ONE}");
    whole_and_in_pieces(&bench(&[ONE, &longer, &longest]), &[ONE, &longer, &longest]).await;
    whole_and_in_pieces(&bench(&["abcdefgh", "abcdefghi", "bcdefghijk"]), &["abcdefgh", "abcdefghi", "bcdefghijk"])
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_five_thousand() {
    let alike: Vec<String> = (0..5_000).map(|n| format!("AIzaSy-not-a-real-key-{n:017}")).collect();
    let unlike: Vec<String> =
        (0..5_000_u64).map(|n| format!("{:016x}-not-a-key-{n}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    for keys in [alike, unlike] {
        let bench = Bench::of(keys.iter().map(|key| Key::new(key.as_str())));
        let some: Vec<&str> = keys.iter().step_by(777).map(String::as_str).collect();
        whole_and_in_pieces(&bench, &some).await;
    }
}

#[tokio::test(start_paused = true)]
async fn escaped_as_writers_of_json_do_and_in_a_query() {
    let bench = bench(&[ONE, "abc+def/ghi==&jkl"]);
    let whole =
        r#"{"a":"abc+def\/ghi==&jkl","b":"abc+def/ghi\u003d\u003d\u0026jkl","c":"abc%2Bdef%2Fghi%3D%3D%26jkl"}"#;
    let expected = format!(r#"{{"a":"{}","b":"{}","c":"{}"}}"#, "*".repeat(18), "*".repeat(32), "*".repeat(27));
    assert_eq!(text(bench.get(json(200, full(whole))).await).await, expected);
    for size in [1, 3, 1000] {
        let chunks = Steps::chunks(whole.as_bytes().chunks(size));
        assert_eq!(text(bench.get(json(200, chunks)).await).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn in_a_stream_cut_at_each_place() {
    for keys in [&[ONE, TWO][..], &[ONE, TWO, LATER]] {
        let whole = [event("a", 5), event(&format!("x{TWO}y{ONE}"), 6), event("AIzaSy", 7)].concat();
        let expected = shown(keys, &whole);
        for cut in 0..whole.len() {
            let bench = bench(keys);
            let response = bench.get(events(Steps::chunks([&whole[..cut], &whole[cut..]]))).await;
            assert_eq!(text(response).await, expected, "cut at {cut}");
            assert_eq!(bench.tokens(), 7);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_that_ends_in_a_lines_end_does_not_wait() {
    use http_body_util::BodyExt;
    let first = "data: {\"a\":\"AIzaSy\"}\n\ndata: AIzaSy-not\n".to_owned();
    for keys in [&[ONE, TWO][..], &[ONE, TWO, LATER]] {
        let bench = bench(keys);
        let mut body = bench.get(events(Steps::chunks([&first]).then(super::support::Step::Never))).await.into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), first);
    }
}

fn inflated(bytes: &[u8]) -> String {
    let mut out = String::new();
    MultiGzDecoder::new(bytes).read_to_string(&mut out).unwrap();
    out
}

#[tokio::test(start_paused = true)]
async fn in_gzip() {
    for keys in [&[ONE, TWO][..], &[ONE, TWO, LATER]] {
        let whole = said(keys);
        let packed = gzip([&whole]).concat();
        for size in [1, 7, 10_000] {
            let response = bench(keys).get(gzipped(json(200, Steps::chunks(packed.chunks(size))))).await;
            assert_eq!(inflated(&collect(response).await.0), shown(keys, &whole));
        }
        let other = keys[keys.len() - 1];
        let (before, behind) = other.split_at(9);
        let pieces = [event("a", 5), format!("data: {before}"), format!("{behind}\r\n\r\n"), event(other, 6)];
        let response = bench(keys).get(gzipped(events(Steps::chunks(gzip(&pieces))))).await;
        assert_eq!(inflated(&collect(response).await.0), shown(keys, &pieces.concat()));
        // Where no key stands it passes as it came.
        let chunks = gzip([event("a", 5), event("AIzaSy-not", 6)]);
        let response = bench(keys).get(gzipped(events(Steps::chunks(&chunks)))).await;
        assert_eq!(collect(response).await.0, chunks.concat());
    }
}

/// The shorter key is whole where the longer one has only begun.
#[tokio::test(start_paused = true)]
async fn in_gzip_where_one_begins_another() {
    let longer = format!("{ONE}-and-more");
    let keys = [TWO, ONE, &longer];
    for pieces in [vec![format!("data: {ONE}-and")], vec![format!("data: {ONE}-a"), "nd-less\n".to_owned()]] {
        let response = bench(&keys).get(gzipped(events(Steps::chunks(gzip(&pieces))))).await;
        assert_eq!(inflated(&collect(response).await.0), shown(&keys, &pieces.concat()));
    }
}

#[tokio::test(start_paused = true)]
async fn of_keys_that_came_went_and_were_replaced() {
    let bench = bench(&[ONE]);
    whole_and_in_pieces(&bench, &[ONE]).await;
    let id = bench.pool.add(Key::new(TWO)).unwrap();
    whole_and_in_pieces(&bench, &[ONE, TWO]).await;
    // It may still answer what was asked with it.
    bench.pool.remove(&id).unwrap();
    whole_and_in_pieces(&bench, &[ONE, TWO]).await;
    let id = bench.pool.add(Key::new("AQ.Ab8-not-a-real-key-0000000000000009")).unwrap();
    bench.pool.replace(&id, LATER).unwrap();
    whole_and_in_pieces(&bench, &[ONE, LATER]).await;
    // That of the request itself is another one by now.
    bench.pool.replace(bench.lease.as_ref().unwrap().key_id(), "xyz-not-a-real-key").unwrap();
    whole_and_in_pieces(&bench, &[ONE, LATER, "xyz-not-a-real-key"]).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_key_that_comes_while_an_answer_comes() {
    use http_body_util::BodyExt;
    for (before, behind) in [("AIzaSy-not", "AIzaSy-not"), ("x", "AQ.")] {
        let bench = bench(&[ONE]);
        let whole = format!("{before}{ONE} {TWO} {LATER}");
        let (first, rest) = whole.split_at(before.len() + 20);
        let mut body = bench.get(answer(200, "text/plain", Steps::chunks([first, rest, behind]))).await.into_body();
        let mut all = body.frame().await.unwrap().unwrap().into_data().unwrap().to_vec();
        bench.pool.add(Key::new(TWO)).unwrap();
        bench.pool.add(Key::new(LATER)).unwrap();
        bench.pool.replace(bench.lease.as_ref().unwrap().key_id(), "another-key-by-now").unwrap();
        while let Some(frame) = body.frame().await {
            all.extend(frame.unwrap().into_data().unwrap());
        }
        let expected = shown(&[ONE, TWO, LATER], &format!("{whole}{behind}"));
        assert_eq!(String::from_utf8(all).unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn no_body_without_one_is_copied() {
    for keys in [&[ONE, TWO][..], &[ONE, TWO, LATER]] {
        let bench = bench(keys);
        let body = Bytes::from(format!("AIzaSy-not-a-real-key AQ.Ab8-not {}.", "text ".repeat(10_000)));
        let (_, mut pieces) =
            http_body_util::BodyExt::collect(bench.get(json(200, full(body.clone()))).await.into_body())
                .await
                .map(|all| (all.trailers().cloned(), all.to_bytes()))
                .unwrap();
        assert_eq!((pieces.as_ptr(), pieces.len()), (body.as_ptr(), body.len()));
        pieces.clear();
    }
}

fn asked(bench: &Bench, demand: Demand) -> (http::Request<()>, Lease) {
    let lease = bench.pool.try_acquire(demand).unwrap();
    lease.started();
    let mut request = http::Request::get("http://api.example/m").body(()).unwrap();
    request.extensions_mut().insert(lease.granted().clone());
    (request, lease)
}

#[tokio::test(start_paused = true)]
async fn in_what_is_told_in_other_words() {
    let longer = format!("{LATER}-and-more");
    for keys in [&[ONE, TWO][..], &[ONE, TWO, &longer]] {
        let bench = bench(keys);
        let (request, _lease) = asked(&bench, Demand::new("m").retold());
        let answer: Response<_> = bench.ask(request, json(200, Steps::chunks(["{}"]))).await.unwrap();
        let mask = answer.extensions().get::<KeyMask>().unwrap();
        let words = said(keys);
        let mut told = words.clone().into_bytes();
        mask.hide(&mut told);
        assert_eq!(String::from_utf8(told).unwrap(), shown(keys, &words));
        let most = keys.iter().map(|key| key.len()).max().unwrap();
        assert!(mask.longest() >= most);
        for key in keys {
            let escaped = Bytes::from(format!("it is \\u0041{}.", &key[1..]));
            assert_eq!(mask.hide_escaped(escaped), format!("it is {}.", "*".repeat(key.len() + 5)));
        }
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    thread_local!(static RUNTIME: Runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap());
    RUNTIME.with(|runtime| runtime.block_on(future))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_the_keys_and_the_pieces(
        start in prop_oneof![Just(""), Just("abaa"), Just("bb")],
        keys in prop::collection::btree_set("[ab]{8,12}", 1..8),
        words in prop::collection::vec(prop_oneof![
            (0_usize..8, 0_usize..14).prop_map(|(key, length)| (Some((key, length)), String::new())),
            "[ab]{0,4}[\n é]?".prop_map(|text| (None, text)),
        ], 0..16),
        cuts in prop::collection::vec(0_usize..200, 0..12),
        other in any::<bool>(),
    ) {
        let mut keys: Vec<String> = keys.into_iter().map(|key| format!("{start}{key}")).collect();
        if other {
            keys.push("zzzz-zzzz-zzzz".to_owned());
        }
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let said: String = words.iter().map(|(key, text)| match key {
            Some((key, length)) => { let key = keys[key % keys.len()]; &key[..key.len().min(*length)] }
            None => text,
        }).collect();
        let expected = shown(&keys, &said);
        run(async {
            let bench = bench(&keys);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| *cut.min(&said.len())).chain([0, said.len()]).collect();
            cuts.sort_unstable();
            let chunks = || cuts.windows(2).map(|cut| &said.as_bytes()[cut[0]..cut[1]]);
            let whole = answer(200, "text/plain", full(said.clone()));
            prop_assert_eq!(text(bench.get(whole).await).await, &*expected);
            let pieces = answer(200, "text/plain", Steps::chunks(chunks()));
            prop_assert_eq!(text(bench.get(pieces).await).await, &*expected);
            let packed = gzip(chunks());
            let pieces = gzipped(answer(200, "text/plain", Steps::chunks(packed)));
            let (told, error) = collect(bench.get(pieces).await).await;
            if error.is_none() {
                prop_assert_eq!(inflated(&told), &*expected);
            }
            Ok(())
        })?;
    }
}
