//! A disk that is full of what lies beside the database: this test's own program, run again with files that may grow no further.

use std::{path::PathBuf, process::Command, sync::Arc};

use rusqlite::Connection;

use super::{Sqlite, counts, folder};
use crate::store::Store;

const FOLDER: &str = "KEYPOOL_TEST_FULL";

#[tokio::test]
#[ignore = "is run by the test below"]
async fn until_it_is_full() {
    let Ok(folder) = std::env::var(FOLDER).map(PathBuf::from) else { return };
    let path = folder.join("keypool.db");
    let store = Sqlite::open(&path).unwrap();
    let write = async |n| Store::write(&store, Arc::new(counts(n))).await;
    // Somebody who looks at it keeps what lies beside it from going into the file.
    let looking = Connection::open(&path).unwrap();
    looking.execute_batch("BEGIN; SELECT count(*) FROM api_keys").unwrap();
    let mut n = 1;
    while write(n).await.is_ok() {
        n += 1;
        assert!(n < 100_000);
    }
    let full = write(n).await.unwrap_err();
    assert!(full.is_passing(), "{full}");
    drop(looking);
    // What was refused is handed over again until it is kept.
    let mut tries = 0;
    while let Err(error) = write(n).await {
        tries += 1;
        assert!(tries < 3, "{error}");
    }
    for n in n + 1..n + 50 {
        write(n).await.unwrap();
    }
    let used = store.usage("2026-06-15", "2026-06-15").await.unwrap();
    assert_eq!(used.iter().map(|row| row.requests).sum::<i64>(), n + 49);
}

#[test]
fn what_lies_beside_it_fills_no_disk_for_good() {
    let folder = folder();
    let test = "store::sqlite::tests::full::until_it_is_full";
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 1600; exec \"$0\" \"$@\""]);
    command.arg(std::env::current_exe().unwrap()).args([test, "--exact", "--ignored", "--nocapture"]);
    let out = command.env(FOLDER, folder.path()).output().unwrap();
    let told = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && told.contains("1 passed"), "{told}{}", String::from_utf8_lossy(&out.stderr));
}
