//! Answers that are told in other words: held to their end, with what overwrites the key in what is told of them.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tower_keypool::{Demand, KeyMask, Lease, VerdictKind};

use super::support::{Bench, KEY, STARS, Step, Steps, collect, event, events, json, kind, text};

fn asked(bench: &Bench, demand: Demand) -> (Request<()>, Lease) {
    let lease = bench.pool.try_acquire(demand).unwrap();
    let mut request = Request::post("http://api.example/m").body(()).unwrap();
    request.extensions_mut().insert(lease.granted().clone());
    (request, lease)
}

#[tokio::test(start_paused = true)]
async fn one_that_breaks_off_is_a_fault_before_anything_went_up() {
    let half = || Steps::chunks(["{\"a\":\"", &"x".repeat(100_000)]).then(Step::Wait(Duration::from_secs(20)));
    for (demand, expected) in [
        (Demand::new("m").retold_whole(), VerdictKind::Transient),
        (Demand::new("m").retold(), VerdictKind::Success),
        (Demand::new("m"), VerdictKind::Success),
    ] {
        let bench = Bench::new();
        let (request, _lease) = asked(&bench, demand.clone());
        match bench.ask(request, json(200, half().then(Step::Fail))).await {
            Ok(answer) => {
                assert_eq!((kind(&answer), expected), (VerdictKind::Success, VerdictKind::Success), "{demand:?}");
                assert!(collect(answer).await.1.is_some());
            }
            Err(error) => assert_eq!(error.verdict().unwrap().kind(), expected, "{demand:?}"),
        }

        let (request, _lease) = asked(&bench, demand.clone());
        let answer = bench.ask(request, json(200, half().then(Step::Data("\"}".into())))).await.unwrap();
        assert_eq!(kind(&answer), VerdictKind::Success, "{demand:?}");
        assert!(text(answer).await.ends_with("x\"}"));
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_ends_as_any_does_but_says_nothing_or_a_part_is_a_fault_too() {
    use VerdictKind::{Success, Transient};
    let split = [&b"\xEF"[..], b"\xBB\xBF{\"a\":[", b"1]}\n"];
    for (pieces, expected) in [
        (vec![], Transient),
        (vec![&b"\xEF\xBB\xBF \n"[..], b"\t"], Transient),
        (vec![&b"{\"a\":\"}"[..]], Transient),
        (vec![&b"\xEF\xBB\xBF{\"a\":["[..], b"1]"], Transient),
        (vec![&b"[{}"[..]], Transient),
        (split.to_vec(), Success),
        (vec![&b"[{\"a\":\"}\"}]"[..]], Success),
        // What is no JSON has no other end.
        (vec![&b"a { word"[..]], Success),
    ] {
        for (demand, expected, sized) in [
            (Demand::new("m").retold_whole(), expected, false),
            (Demand::new("m").retold_whole(), expected, true),
            (Demand::new("m").retold(), Success, false),
            (Demand::new("m").retold(), Success, true),
        ] {
            let bench = Bench::new();
            let (request, _lease) = asked(&bench, demand.clone());
            let body = Steps::chunks(&pieces);
            let told = match bench.ask(request, json(200, if sized { body.sized() } else { body })).await {
                Ok(answer) => {
                    let told = kind(&answer);
                    assert_eq!(collect(answer).await.0, pieces.concat());
                    told
                }
                Err(error) => error.verdict().unwrap().kind(),
            };
            assert_eq!(told, expected, "{:?} {demand:?}", String::from_utf8_lossy(&pieces.concat()));
        }
    }
    // Where nothing is made nothing may be the answer.
    let bench = Bench::new();
    let (mut request, _lease) = asked(&bench, Demand::new("m").retold_whole());
    *request.method_mut() = http::Method::DELETE;
    assert_eq!(kind(&bench.ask(request, json(200, Steps::new([]))).await.unwrap()), Success);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_held_no_longer_than_any() {
    let bench = Bench::new();
    let (request, _lease) = asked(&bench, Demand::new("m").retold_whole());
    let body = Steps::chunks([event("x", 1)]).then(Step::Never);
    let answer = bench.ask(request, events(body)).await.unwrap();
    assert_eq!(kind(&answer), VerdictKind::Success);
}

#[tokio::test(start_paused = true)]
async fn no_more_of_one_is_held_than_may_be() {
    let bench = Bench::new();
    let demand = Demand::new("m").retold_whole().held_while(|bytes| bytes <= 150_000);
    let (request, _lease) = asked(&bench, demand.clone());
    let long = Steps::chunks(["x".repeat(100_000), "y".repeat(100_000)]).then(Step::Never);
    let answer = bench.ask(request, json(200, long)).await.unwrap();
    assert_eq!(kind(&answer), VerdictKind::Success, "what it would have been is not known");

    let (request, _lease) = asked(&bench, demand);
    let short = Steps::chunks(["x".repeat(100_000)]).then(Step::Fail);
    let error = bench.ask(request, json(200, short)).await.unwrap_err();
    assert_eq!(error.verdict().unwrap().kind(), VerdictKind::Transient);
}

#[tokio::test(start_paused = true)]
async fn with_it_comes_what_overwrites_the_key() {
    let bench = Bench::new();
    let plain = bench.ask(asked(&bench, Demand::new("m")).0, json(200, Steps::chunks(["{}"]))).await.unwrap();
    assert!(plain.extensions().get::<KeyMask>().is_none(), "nobody asked for it");
    for demand in [Demand::new("m").retold(), Demand::new("m").retold_whole()] {
        let (request, _lease) = asked(&bench, demand);
        let answer = bench.ask(request, json(200, Steps::chunks(["{}"]))).await.unwrap();
        let mask = answer.extensions().get::<KeyMask>().unwrap();
        assert!(!format!("{mask:?}").contains(KEY));
        let mut words = format!("it is {KEY}.").into_bytes();
        mask.hide(&mut words);
        assert_eq!(String::from_utf8(words).unwrap(), format!("it is {STARS}."));
        let escaped = Bytes::from(format!("it is \\u0041{}.", &KEY[1..]));
        assert_eq!(mask.hide_escaped(escaped), format!("it is {STARS}*****."));
    }
}
