//! Tokens that other machines can try are not short.

use crate::home::{Ended, Home, secret};

const LONG: &str = "a-token-of-24-characters";

fn checked(home: &Home, listen: &str, token: Option<&str>) -> Ended {
    let mut command = home.command(&["config", "check"]);
    command.env("GEMINI_API_KEY", secret(0)).env("KEYPOOL_LISTEN", listen);
    if let Some(token) = token {
        command.env("PLACEHOLDER_TOKEN", token);
    }
    Home::ended(command, "")
}

#[test]
fn a_short_token_is_refused_beyond_loopback_and_told_of_on_it() {
    let home = Home::new();
    for (token, far, near) in [
        ("x", Some("8 characters at least"), true),
        ("1234567", Some("8 characters at least"), true),
        ("k7#Qz2v!", None, false),
        (LONG, None, false),
    ] {
        let beyond = checked(&home, "0.0.0.0:0", Some(token));
        if let Some(why) = far {
            assert!(beyond.err.contains("openssl rand -hex"), "{beyond:?}");
            assert!(beyond.err.contains("PLACEHOLDER_TOKEN"), "{beyond:?}");
            beyond.bad(2, why);
        } else {
            let noted = beyond.out.contains("harder to guess") && beyond.out.contains("PLACEHOLDER_TOKEN");
            assert_eq!((beyond.code, noted), (0, token != LONG), "{beyond:?}");
        }
        let told = checked(&home, "127.0.0.1:0", Some(token)).good();
        assert_eq!(told.contains("note: ") && told.contains("beyond loopback"), near, "{told}");
    }
    assert!(!checked(&home, "127.0.0.1:0", None).good().contains("note: "), "nobody chose one");
    let flag = ["serve", "--listen", "0.0.0.0:0", "--token", "short"];
    let mut command = home.command(&flag);
    command.env("GEMINI_API_KEY", secret(0));
    let refused = Home::ended(command, "");
    assert!(refused.err.contains("--token"), "{refused:?}");
    refused.bad(2, "8 characters at least");
}

#[test]
fn tenants_tokens_are_told_of_too() {
    let home = Home::new();
    home.write(
        "keypool.toml",
        "tenants = [{ name = \"a\", token = \"short-token\" }, { name = \"b\", token = \"kp-8d7e3f2a91c4b6e5\" }]",
    );
    let told = checked(&home, "127.0.0.1:0", None).good();
    let notes: Vec<&str> = told.lines().filter(|line| line.starts_with("note: ")).collect();
    assert!(
        matches!(&notes[..], [note] if note.contains("tenants[0].token: ") && note.contains("beyond loopback")),
        "{told}"
    );
    checked(&home, "0.0.0.0:0", Some(LONG)).bad(2, "tenants[0].token: ");
}

#[test]
fn a_long_token_that_is_plainly_guessed_is_refused_beyond_loopback() {
    let home = Home::new();
    for token in [
        "aaaaaaaa",
        "aaaaaaaaaaaaaaaaaaaaaaaa",
        "abababababababababab",
        "abcabcabcabcabcabc",
        "12345678",
        "1234567890123456",
        "abcdefghijklmnop",
        "0987654321fedcba",
        "password",
        "Password123!",
        "placeholder-2026",
        "changeme12345678",
        "my-secret-token-1",
        "qwertyuiop",
        "keypool-gateway",
    ] {
        let beyond = checked(&home, "0.0.0.0:0", Some(token));
        assert!(beyond.err.contains("openssl rand -hex"), "{token}: {beyond:?}");
        beyond.bad(2, "guess");
        let told = checked(&home, "127.0.0.1:0", Some(token)).good();
        assert!(told.contains("note: ") && told.contains("beyond loopback"), "{token}: {told}");
        home.write("keypool.toml", &format!("tenants = [{{ name = \"a\", token = \"{token}\" }}]"));
        checked(&home, "0.0.0.0:0", Some(LONG)).bad(2, "tenants[0].token: ");
        home.write("keypool.toml", &format!("[admin]\ntoken = \"{token}\""));
        checked(&home, "0.0.0.0:0", Some(LONG)).bad(2, "admin.token: ");
        home.write("keypool.toml", "");
    }
    for token in [
        "3f9c1a7be2d84056a1b2c3d4e5f60718",
        "correct-horse-battery-staple",
        "sk-a8Kd92mQpX7vLw",
        "1029384756019283",
        "8d7e3f2a-91c4-4b6e-a5d0-7c3f1e9b2a68",
    ] {
        let beyond = checked(&home, "0.0.0.0:0", Some(token));
        assert_eq!(beyond.code, 0, "{token}: {beyond:?}");
    }
}
