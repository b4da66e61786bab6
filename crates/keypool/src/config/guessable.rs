//! Tokens that somebody chose, and that others would try first.

/// A token of fewer different characters is guessed.
const DIFFERENT: usize = 5;
/// A piece that is no longer than this, and stands there again and again, makes no token.
const PIECE: usize = 8;
/// Characters in a row that follow each other tell no more than one does.
const ROW: usize = 4;
/// So much is to be left, where each row and each common word is one character.
const LEFT: usize = 8;

/// The keys' rows; the alphabet is one, too.
const ROWS: [&str; 6] =
    ["abcdefghijklmnopqrstuvwxyz", "01234567890", "qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop"];

/// What people write where a token is asked for, longer ones before those that they begin with.
const WORDS: [&str; 40] = [
    "placeholder",
    "passphrase",
    "password",
    "passwort",
    "passw0rd",
    "p@ssw0rd",
    "changeme",
    "changeit",
    "iloveyou",
    "sunshine",
    "football",
    "baseball",
    "princess",
    "superman",
    "trustno1",
    "welcome",
    "letmein",
    "default",
    "example",
    "gateway",
    "keypool",
    "private",
    "dragon",
    "monkey",
    "master",
    "shadow",
    "gemini",
    "openai",
    "google",
    "apikey",
    "secret",
    "sample",
    "access",
    "token",
    "admin",
    "login",
    "hello",
    "dummy",
    "test",
    "user",
];

/// Whether others would soon have guessed it.
pub(super) fn is_guessed(token: &str) -> bool {
    let token = token.to_ascii_lowercase();
    let bytes = token.as_bytes();
    let mut different = bytes.to_vec();
    different.sort_unstable();
    different.dedup();
    let repeats = |piece: usize| bytes.len() >= 2 * piece && bytes[piece..] == bytes[..bytes.len() - piece];
    different.len() < DIFFERENT || (1..=PIECE).any(repeats) || left(bytes) < LEFT
}

/// How many characters are left of it where what is common counts as one, and what stands between as none.
fn left(mut token: &[u8]) -> usize {
    let mut left = 0;
    while let Some(first) = token.first() {
        let word = WORDS.iter().find(|word| token.starts_with(word.as_bytes())).map(|word| word.len());
        let row = row(token);
        left += usize::from(!matches!(first, b'-' | b'_' | b'.'));
        token = &token[word.unwrap_or_default().max(if row < ROW { 1 } else { row })..];
    }
    left
}

/// How many of its first characters follow each other: one and the same, or one behind the other on a row, either way.
fn row(token: &[u8]) -> usize {
    let same = token.iter().take_while(|byte| **byte == token[0]).count();
    let along = ROWS.iter().map(|row| {
        let backward: Vec<u8> = row.bytes().rev().collect();
        run(token, row.as_bytes()).max(run(token, &backward))
    });
    along.max().unwrap_or_default().max(same)
}

/// How much of a row the token begins with, wherever on the row that is.
fn run(token: &[u8], row: &[u8]) -> usize {
    let from = |at: usize| token.iter().zip(&row[at..]).take_while(|(one, other)| one == other).count();
    (0..row.len()).map(from).max().unwrap_or_default()
}
