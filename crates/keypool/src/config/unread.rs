//! Variables that are called like ours and that nothing reads: a misspelled one would change nothing, and nobody would
//! know.

use tower_keypool::config::{Environment, Origin, Problem};

use super::{ProviderName, variables::upstream};

/// What is read under the name that stands here, or with `_FILE` behind it.
const READ: [&str; 23] = [
    "KEYPOOL_ADMIN_LISTEN",
    "KEYPOOL_ADMIN_TOKEN",
    "KEYPOOL_API_KEY_FILE",
    "KEYPOOL_CACERT",
    "KEYPOOL_CONFIG",
    "KEYPOOL_DB",
    "KEYPOOL_KEYS",
    "KEYPOOL_LEASE",
    "KEYPOOL_LISTEN",
    "KEYPOOL_LISTEN_HOST",
    "KEYPOOL_LISTEN_PORT",
    "KEYPOOL_LOG_DIRECTORY",
    "KEYPOOL_LOG_FORMAT",
    "KEYPOOL_LOG_LEVEL",
    "KEYPOOL_PLACEHOLDER_TOKEN",
    "KEYPOOL_PROVIDER",
    "KEYPOOL_REDIS_PASSWORD",
    "KEYPOOL_REDIS_URL",
    "KEYPOOL_SECRET_KEY",
    "KEYPOOL_TLS_CERT",
    "KEYPOOL_TLS_KEY",
    "KEYPOOL_TOKEN",
    "KEYPOOL_UPSTREAM",
];
/// What Kubernetes sets by itself where a service is called `keypool`, and what the tests go by.
const OTHERS: [&str; 3] = ["KEYPOOL_PORT", "KEYPOOL_SERVICE_", "KEYPOOL_TEST_"];
/// Tables of the file: a variable names a setting in them with two underscores.
const TABLES: [&str; 9] = ["ADMIN", "BATCH", "GATEWAY", "LIMITS", "LOG", "POOL", "RESTS", "RETRY", "STORE"];
/// Keys are longer than this.
const SHORTEST_KEY: usize = 16;
/// So like a name that it is meant.
const LIKE: usize = 2;

/// Those that nothing reads, unless the file names them (`secret_env`).
pub(super) fn noted(environment: &Environment, file: &str) -> Vec<Problem> {
    let unread = environment.names().filter(|name| is_ours(name) && !file.contains(*name));
    unread.map(|name| Problem::new(Origin::env(shown(name)), "", message(name))).collect()
}

/// Those of ours, or that the file names, whose value is no text: to go on without them would be to do something else than
/// was asked for.
pub(super) fn not_text(environment: &Environment, file: &str) -> Vec<Problem> {
    let read = environment.not_text().filter(|name| is_read(name) || file.contains(*name));
    read.map(|name| Problem::new(Origin::env(name), "", "its value is no text (UTF-8)")).collect()
}

fn is_read(name: &str) -> bool {
    let plain = name.strip_suffix("_FILE").unwrap_or(name);
    let ours = format!("KEYPOOL_{plain}");
    name.starts_with("KEYPOOL_") || READ.contains(&&*ours) || is_of_a_provider(&ours) || name == "API_KEY_FILE"
}

fn is_ours(name: &str) -> bool {
    let plain = name.strip_suffix("_FILE").unwrap_or(name);
    let begins = |those: &[&str]| those.iter().any(|those| name.starts_with(those));
    let ours = name.starts_with("KEYPOOL_") && !name.starts_with("KEYPOOL__");
    ours && !READ.contains(&name) && !READ.contains(&plain) && !is_of_a_provider(plain) && !begins(&OTHERS)
}

/// Whether it holds a provider's keys, or its address.
fn is_of_a_provider(name: &str) -> bool {
    let (_, name) = name.split_at("KEYPOOL_".len());
    let of = |provider: ProviderName| provider.variables().reads(name) || upstream(provider).contains(&name);
    [ProviderName::Gemini, ProviderName::OpenAi, ProviderName::Anthropic].into_iter().any(of)
}

/// A name that somebody made of a key is not shown: names of variables are capitals, and short.
fn shown(name: &str) -> String {
    let (ours, rest) = name.split_at("KEYPOOL_".len());
    let is_plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if rest.len() < SHORTEST_KEY || rest.bytes().all(is_plain) { name.to_owned() } else { format!("{ours}…") }
}

fn message(name: &str) -> String {
    let meant = setting(name).or_else(|| {
        let near = READ.iter().map(|known| (strsim::damerau_levenshtein(name, known), known));
        near.min().filter(|(apart, _)| *apart <= LIKE).map(|(_, known)| (*known).to_owned())
    });
    let meant = meant.map_or_else(String::new, |meant| format!(" (is {meant} meant?)"));
    format!("no setting is read from it{meant}")
}

/// `KEYPOOL_POOL_WAIT` for `KEYPOOL__POOL__WAIT`.
fn setting(name: &str) -> Option<String> {
    let (table, key) = name.strip_prefix("KEYPOOL_")?.split_once('_')?;
    let key = key.trim_start_matches('_');
    (TABLES.contains(&table) && !key.is_empty()).then(|| format!("KEYPOOL__{table}__{key}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str], file: &str) -> Vec<String> {
        let environment = Environment::of(names.iter().map(|name| (*name, "x")));
        noted(&environment, file).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_nothing_reads_is_said_with_what_may_be_meant() {
        assert_eq!(
            of(&["KEYPOOL_LISTN", "KEYPOOL_POOL_WAIT", "KEYPOOL_WHATEVER"], ""),
            [
                "env KEYPOOL_LISTN: no setting is read from it (is KEYPOOL_LISTEN meant?)",
                "env KEYPOOL_POOL_WAIT: no setting is read from it (is KEYPOOL__POOL__WAIT meant?)",
                "env KEYPOOL_WHATEVER: no setting is read from it",
            ]
        );
        let misspelled =
            ["KEYPOOL_GEMINI_API_KEYZ", "KEYPOOL_GEMINI_API_KEY_X", "KEYPOOL_OPENAI_FOO", "KEYPOOL_GEMINI_BASE_URL"];
        assert_eq!(of(&misspelled, "").len(), 4, "{:?}", of(&misspelled, ""));
        assert_eq!(of(&["KEYPOOL_AIzaSy-not-a-real-key"], ""), ["env KEYPOOL_…: no setting is read from it"]);
    }

    #[test]
    fn what_is_read_or_somebody_elses_is_not() {
        let read = READ.iter().copied().chain(["KEYPOOL_TOKEN_FILE", "KEYPOOL_SECRET_KEY_FILE", "KEYPOOL__POOL__WAIT"]);
        let keys = [
            "KEYPOOL_GEMINI_API_KEY_7",
            "KEYPOOL_GEMINI_API_KEY_7_FILE",
            "KEYPOOL_OPENAI_BASE_URL",
            "KEYPOOL_GEMINI_FREE_RATE_LIMIT",
            "KEYPOOL_GOOGLE_API_KEY",
            "KEYPOOL_ANTHROPIC_PAID_KEYS_FILE",
        ];
        let others = ["KEYPOOL_PORT_5000_TCP_ADDR", "KEYPOOL_SERVICE_HOST", "PATH", "KEYPOOLS"];
        let all: Vec<&str> = read.chain(keys).chain(others).collect();
        assert_eq!(of(&all, ""), [""; 0]);
        assert_eq!(of(&["KEYPOOL_OF_MINE"], "[[keys]]\nsecret_env = \"KEYPOOL_OF_MINE\""), [""; 0]);
    }
}
