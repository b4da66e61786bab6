//! A database that processes share is deleted, broken or replaced while they serve: they go on, on one file, and exceed no
//! limit.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use http::Request;

use crate::{
    binary::{Running, run},
    home::end,
    sharing::{Field, load, pass, until},
    support::try_ask,
};

async fn metrics(running: &mut Running) -> String {
    match try_ask(Request::get(format!("{}/-/metrics", running.url)), "").await {
        Ok(answer) => String::from_utf8_lossy(&answer.body).into_owned(),
        Err(error) => panic!("{error}: {:?}", running.has_ended()),
    }
}

/// Two processes under load, harmed after a while, joined by a third one then. What they said.
async fn harmed(harm: impl FnOnce(&Path)) -> Vec<String> {
    let field = Field::of(6, 3_000).await;
    let db = field.folder.path().join("shared.db");
    let mut all = vec![field.start("0"), field.start("0")];
    let stop = Arc::new(AtomicBool::new(false));
    let mut seen: Vec<_> = all.iter().map(|running| load(&running.url, 1, &stop)).collect();
    until(60, || seen.iter().all(|seen| seen.served.load(Relaxed) > 0)).await;
    pass(1_500).await;
    harm(&db);
    all.push(field.start("0"));
    seen.push(load(&all[2].url, 1, &stop));
    // A lease, and a little.
    pass(3_500).await;
    let served = || seen[..2].iter().map(|seen| seen.served.load(Relaxed)).sum::<usize>();
    let between = served();
    pass(1_000).await;
    until(60, || served() > between).await;
    // Both found it, whichever of them has something to do.
    for running in &mut all[..2] {
        for _ in 0..600 {
            let told = metrics(running).await;
            if told.contains("keypool_store_up 1")
                && !told.contains("keypool_sharing_breaks_total{event=\"board_lost\"} 0")
            {
                break;
            }
            pass(100).await;
        }
    }
    for running in &mut all[..2] {
        let told = metrics(running).await;
        assert!(told.contains("keypool_store_up 1"), "{told}");
        assert!(!told.contains("keypool_sharing_breaks_total{event=\"board_lost\"} 0"), "{told}");
    }
    stop.store(true, Relaxed);
    pass(300).await;
    let report = field.sim.report();
    assert_eq!(report.total.over_limit, 0, "{report}");
    assert!(seen.iter().all(|seen| seen.other.load(Relaxed) == 0), "every failure is that no key is left");
    let mut said = Vec::new();
    for running in all {
        said.push(end(running).await);
    }
    // One whole file, on which all of them worked.
    let (code, text) = run(&["db", "check", "--db", db.to_str().unwrap()]);
    assert_eq!(code, 0, "{text}: {said:?}");
    assert!(said[0].contains("what processes hold they say again"), "{said:?}");
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_it_is_made_again() {
    let said = harmed(|db| fs::remove_file(db).unwrap()).await;
    assert!(said.concat().contains("shared.db"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_its_whole_folder_gone_it_is_made_again() {
    harmed(|db| {
        for file in fs::read_dir(db.parent().unwrap()).unwrap() {
            fs::remove_file(file.unwrap().path()).unwrap();
        }
        // Those who work on it notice before another begins.
        std::thread::sleep(std::time::Duration::from_millis(1_200));
    })
    .await;
}

/// What is written then would go with it.
#[tokio::test(flavor = "multi_thread")]
async fn without_its_journal_it_is_made_again() {
    let said = harmed(|db| {
        for beside in ["shared.db-wal", "shared.db-shm"] {
            fs::remove_file(db.with_file_name(beside)).unwrap();
        }
    })
    .await;
    assert!(said.concat().contains("lost its journal"), "{said:?}");
}

/// Whoever comes then makes another index, and neither side sees what the other writes.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_index_of_its_journal_it_is_made_again() {
    let said = harmed(|db| fs::remove_file(db.with_file_name("shared.db-shm")).unwrap()).await;
    assert!(said.concat().contains("lost its journal"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_it_is_set_aside_and_begun_anew() {
    let said = harmed(|db| {
        let file = fs::OpenOptions::new().write(true).open(db).unwrap();
        let length = file.metadata().unwrap().len();
        let junk = vec![0xa5; usize::try_from(length).unwrap() - 100];
        file.write_all_at(&junk, 100).unwrap();
        // What is not in it yet lies in the journal beside it.
        let wal = db.with_file_name("shared.db-wal");
        fs::OpenOptions::new().write(true).truncate(true).open(wal).unwrap();
    })
    .await;
    assert!(said.concat().contains("set aside as"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_by_an_older_copy_it_is_taken_and_what_is_held_is_said_again() {
    harmed(|db| {
        let copy = db.with_file_name("copy.db");
        let (code, text) = run(&["db", "backup", copy.to_str().unwrap(), "--db", db.to_str().unwrap()]);
        assert_eq!(code, 0, "{text}");
        std::thread::sleep(std::time::Duration::from_millis(700));
        fs::rename(copy, db).unwrap();
    })
    .await;
}
