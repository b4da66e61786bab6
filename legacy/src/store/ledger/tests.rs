use super::*;

/// What every ledger does.
pub(in crate::store) async fn conforms(ledger: impl Ledger) {
    let entry = |name: &str, whose: &str, value: &str, until| LedgerEntry {
        name: name.to_owned(),
        whose: whose.to_owned(),
        value: value.to_owned(),
        until,
        revision: 0,
    };
    let names = |found: &[LedgerEntry]| found.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>();
    // A server forgets by its own clock.
    let now = 1_000_000_000_000 * 4;
    let all = vec![
        entry("files/a", "x", "1", None),
        entry("files/b", "y", "2", Some(now + 60_000)),
        entry("files/c", "x", "3", Some(now + 10_000_000_000)),
        entry("filings/d", "x", "4", None),
    ];
    ledger.keep("resource", all, Placing::Claim, now).await.unwrap();
    ledger.keep("other", vec![entry("files/a", "z", "9", None)], Placing::Claim, now).await.unwrap();
    let asked = || ["files/a", "files/b", "nothing"].map(str::to_owned).to_vec();
    let found = ledger.kept("resource", asked(), now).await.unwrap();
    assert_eq!(names(&found), ["files/a", "files/b"]);
    assert_eq!((found[0].whose.as_str(), found[0].value.as_str()), ("x", "1"));
    assert_eq!(names(&ledger.kept("resource", asked(), now + 60_000).await.unwrap()), ["files/a"], "the other ended");
    assert_eq!(names(&ledger.kept_of("resource", "x", "files/", now).await.unwrap()), ["files/a", "files/c"]);

    // Whose it is is whoever said so first.
    let claims = vec![entry("files/a", "y", "stolen", None), entry("files/b", "y", "new", Some(now + 90_000))];
    ledger.keep("resource", claims, Placing::Claim, now).await.unwrap();
    let found = ledger.kept("resource", asked(), now + 80_000).await.unwrap();
    assert_eq!((found[0].whose.as_str(), found[0].value.as_str()), ("x", "1"));
    assert_eq!((found[1].value.as_str(), found[1].until), ("2", Some(now + 90_000)), "it is kept for longer");
    let ended = vec![entry("files/b", "x", "mine", None)];
    ledger.keep("resource", ended, Placing::Claim, now + 90_000).await.unwrap();
    assert_eq!(ledger.kept("resource", asked(), now + 90_000).await.unwrap()[1].whose, "x", "who had it ended");

    let before = ledger.revision("resource").await.unwrap();
    let anew = vec![entry("files/a", "y", "given", None)];
    ledger.keep("resource", anew, Placing::Replace, now).await.unwrap();
    let found = ledger.kept("resource", asked(), now).await.unwrap();
    assert_eq!((found[0].whose.as_str(), found[0].value.as_str()), ("y", "given"));
    assert!(ledger.revision("resource").await.unwrap() > before);
    assert_eq!(names(&ledger.kept_of("resource", "x", "files/a", now).await.unwrap()), [""; 0]);
    ledger.forget("resource", asked()).await.unwrap();
    assert!(ledger.kept("resource", asked(), now).await.unwrap().is_empty());
    assert_eq!(ledger.kept("other", asked(), now).await.unwrap().len(), 1, "of another kind");

    let draw = |want, now| Draw { want, most: 10, until: 4_000_000_060_000, now };
    let mut drawn = Vec::new();
    for want in [4, 4, 4, 1] {
        drawn.push(ledger.draw("acme", draw(want, now)).await.unwrap());
    }
    assert_eq!(drawn, [4, 4, 2, 0]);
    assert_eq!(ledger.draw("other", draw(4, now)).await.unwrap(), 4);

    let count = |name: &str, by| Count { name: name.to_owned(), by, until: 4_000_000_060_000 };
    let count = |by| vec![count("acme", by), count("another", by), count("other", 0)];
    assert_eq!(ledger.count(count(0), now).await.unwrap(), [10, 0, 4], "read");
    assert_eq!(ledger.count(count(7), now).await.unwrap(), [17, 7, 4], "used beyond what there was");
    assert_eq!(ledger.draw("acme", draw(1, now)).await.unwrap(), 0);
    assert_eq!(ledger.count(count(-8), now).await.unwrap(), [9, 0, 4], "given back");
    assert_eq!(ledger.draw("acme", draw(4, now)).await.unwrap(), 1);
}

#[tokio::test]
async fn memory_conforms() {
    conforms(MemoryLedger::default()).await;
}

#[tokio::test]
async fn what_ended_takes_no_room_for_long() {
    let ledger = MemoryLedger::default();
    for at in 0..10_000 {
        let entry = LedgerEntry { name: at.to_string(), until: Some(at + 10), ..LedgerEntry::default() };
        ledger.keep("upload", vec![entry], Placing::Replace, at).await.unwrap();
    }
    assert!(ledger.held().entries.len() < 3_000);
}
