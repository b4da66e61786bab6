//! What an administrator says of a key that a file says otherwise: the file counts, and that is told.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    admin::{TOKEN, get, send},
    home::{Home, end, hello, secret, simulator},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_says_of_a_key_counts_and_that_is_told() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.write("keys.txt", &format!("{} id=one owner=theirs label=team:red\n", secret(0)));
    let running = home.serve(&sim, &["--keys", "keys.txt", "--admin-token", TOKEN]);
    let set = async |said: Value| {
        let answer = send(&running, Method::PATCH, "/keys/one", said.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.json()["acts"].as_str().unwrap().to_owned()
    };
    for said in [json!({ "owner": "mine" }), json!({ "owner": null }), json!({ "labels": { "team": "blue" } })] {
        let acts = set(said).await;
        assert!(acts.contains("keys.txt") && acts.contains("that counts") && !acts.contains("2 s"), "{acts}");
    }
    let both = set(json!({ "owner": "mine", "weight": 2.0 })).await;
    assert!(both.contains("2 s") && both.contains("otherwise of owner, and that counts"), "{both}");
    for said in [json!({ "weight": 3.0 }), json!({ "owner": "theirs" }), json!({ "labels": { "room": "1" } })] {
        let acts = set(said).await;
        assert!(acts.contains("2 s") && !acts.contains("counts"), "{acts}");
    }
    let key = get(&running, "/keys").await["keys"][0].clone();
    assert_eq!((&key["owner"], &key["id"]), (&json!("theirs"), &json!("one")), "{key}");

    let command = |args: &[&str]| {
        home.command(&[&["keys", "set", "one"], args].concat()).env("KEYPOOL_KEYS", "keys.txt").output()
    };
    let told = command(&["--owner", "mine"]).unwrap();
    let note = String::from_utf8(told.stderr).unwrap();
    assert!(
        told.status.success() && note.contains("keys.txt") && note.contains("otherwise of owner, and that counts"),
        "{note}"
    );
    let told = command(&["--weight", "2"]).unwrap();
    assert!(told.status.success() && told.stderr.is_empty(), "{told:?}");
    end(running).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_without_a_name_and_a_pool_that_is_not_there_are_told() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.add(0, "one", &[]);
    let running = home.serve(&sim, &["--admin-token", TOKEN]);
    for model in ["", "models/"] {
        let tried = send(&running, Method::POST, "/keys/one/test", json!({ "model": model }).to_string()).await;
        assert_eq!(tried.status, StatusCode::BAD_REQUEST, "{tried:?}");
    }
    for by in ["key", "model", "tenant"] {
        let path = format!("/usage?by={by}");
        assert_eq!(send(&running, Method::GET, &path, "").await.status, StatusCode::OK);
        let nowhere = send(&running, Method::GET, &format!("{path}&pool=nope"), "").await;
        assert_eq!(nowhere.status, StatusCode::NOT_FOUND, "{nowhere:?}");
    }
    assert_eq!(sim.report().total.arrivals, 0);
    end(running).await;
}

/// What it used is written with the name that it had.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_key_used_is_told_under_the_name_that_it_has_now() {
    let (home, sim) = (Home::new(), simulator(1).await);
    home.write("keys.txt", &format!("{} id=before\n", secret(0)));
    let running = home.serve(&sim, &["--keys", "keys.txt"]);
    assert_eq!(hello(&running).await.status, StatusCode::OK);
    end(running).await;
    home.write("keys.txt", &format!("{} id=after\n", secret(0)));
    let used = |more: &[&str]| {
        let out = home.command(&[&["usage"], more].concat()).env("KEYPOOL_KEYS", "keys.txt").output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    for more in [&[][..], &["--json"], &["--csv"]] {
        let told = used(more);
        assert!(told.contains("after") && !told.contains("before"), "{told}");
    }
    // The administrator hears the same, and of one key.
    let running = home.serve(&sim, &["--keys", "keys.txt", "--admin-token", TOKEN]);
    assert_eq!(hello(&running).await.status, StatusCode::OK);
    let rows = get(&running, "/usage?by=key").await["rows"].clone();
    assert_eq!((rows.as_array().unwrap().len(), &rows[0]["key"]), (1, &json!("after")), "{rows}");
    end(running).await;
}
