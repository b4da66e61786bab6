//! Tokens that open this gateway are no keys: they are never sent to a provider, wherever keys are looked for.

use http::{Method, StatusCode};
use serde_json::json;

use crate::{
    admin::{TOKEN, send},
    binary::Running,
    home::{Home, end, hello, secret, servers, simulator},
    support::Answer,
    tenants::within_2s,
};

/// As long as a key, and in the alphabet of one.
const ALICE: &str = "AIzaSyTEST-token-of-alice-000000000000";

fn post(running: &Running, path: &str, body: String) -> impl Future<Output = Answer> {
    send(running, Method::POST, path, body)
}

fn config(home: &Home) -> String {
    home.write("keypool.toml", &format!("[[tenants]]\nname = \"alice\"\ntoken = \"{ALICE}\"\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_stands_among_keys_is_left_out_and_said_to_be() {
    let (home, sim) = (Home::new(), simulator(1).await);
    let (config, bob) = (config(&home), token_of(&home, "bob"));
    let lines = format!("{} id=one\n{ALICE} id=hers\n{bob} id=his\n{TOKEN} id=admins\n", secret(0));
    let keys = home.write("keys.txt", &lines);
    let running = home.serve(&sim, &["--config", &config, "--keys", &keys, "--admin-token", TOKEN]);
    assert_eq!(servers(&running, 8).await, ["one"]);
    let listed = String::from_utf8(send(&running, Method::GET, "/keys", "").await.body.to_vec()).unwrap();
    assert!(!listed.contains("hers") && !listed.contains("his") && !listed.contains("admins"), "{listed}");
    // The same when the file changes under it.
    home.write("keys.txt", &format!("{lines}# again\n"));
    post(&running, "/reload", String::new()).await;
    assert_eq!(servers(&running, 8).await, ["one"]);
    let said = end(running).await;
    for line in [2, 3, 4] {
        let place = format!("keys.txt:{line}");
        assert!(said.lines().any(|told| told.contains(&place) && told.contains("token")), "{place}: {said}");
    }
    for token in [ALICE, &bob[3..], TOKEN] {
        assert!(!said.contains(token), "{said}");
    }
    assert_eq!(sim.log().len(), 16, "none was sent with anything but a key");
}

fn token_of(home: &Home, name: &str) -> String {
    let said = home.run(&["tenants", "add", name]).good();
    said.lines().find(|line| line.starts_with("kp-")).expect("the token").trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_not_taken_as_a_key_by_administrators_and_commands() {
    let (home, sim) = (Home::new(), simulator(2).await);
    let config = config(&home);
    home.add(0, "one", &[]);
    let bob = token_of(&home, "bob");
    let running = home.serve(&sim, &["--config", &config, "--admin-token", TOKEN]);
    within_2s(&running, &bob, StatusCode::OK).await;
    for token in [ALICE, &bob, TOKEN, "PLACEHOLDER_GEMINI_TOKEN"] {
        for path in ["/keys", "/keys/one/replace"] {
            let answer = post(&running, path, json!({ "secret": token }).to_string()).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {answer:?}");
            assert!(answer.json()["error"]["message"].as_str().unwrap().contains("token"), "{answer:?}");
        }
        let answer = post(&running, "/import", format!("{token}\n{}\n", secret(1))).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(answer.json()["rejected"].as_array().unwrap().len(), 1, "{answer:?}");
    }
    assert_eq!(hello(&running).await.status, StatusCode::OK);
    end(running).await;
    home.run(&["add-key", &bob]).bad(2, "token");
    let import = home.pipe(&["import", "-", "--json"], &format!("{bob}\n{}\n", secret(1))).json();
    assert_eq!(import["rejected"].as_array().unwrap().len(), 1, "{import}");
    assert!(!import.to_string().contains(&bob[3..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_no_key_of_another_provider_either() {
    let home = Home::new();
    let other = "[[providers]]\nname = \"open\"\nkind = \"openai\"\nupstream = \"http://127.0.0.1:9/v1\"\n";
    home.write("keypool.toml", other);
    let bob = token_of(&home, "bob");
    home.run(&["add-key", &bob, "--provider", "open"]).bad(2, "token");
    let import = home.pipe(&["import", "-", "--json", "--provider", "open"], &format!("{bob}\n{}\n", secret(1))).json();
    assert_eq!((&import["added"], import["rejected"].as_array().map(Vec::len)), (&json!(1), Some(1)), "{import}");
    assert!(!import.to_string().contains(&bob[3..]));
}
