//! The options of `serve`, and the settings that they are.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use clap::{
    Args,
    builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser},
};
use tower_keypool::{
    Strategy,
    config::{Origin, Setting},
};

use crate::{config::Inputs, database::Place, telemetry::Verbosity};

/// Serve many keys as if they were one, to any Gemini client.
///
/// Clients keep their code: they get this gateway's address as base URL and its token as API key. Every path of the
/// Gemini API passes through, streams and uploads too. Keys come from key files, from the environment (GEMINI_API_KEY
/// and others), from keypool.toml, and from the database (keypool add-key); options win over the environment, and that
/// over the file.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(in crate::cli) struct Serve {
    /// Key file (repeatable): a key a line, options behind it (id= tier= priority= weight= owner= exit= billing_account= rpm= tpm=
    /// rpd= concurrent= interval= zone= source= label=), # comments; or CSV or TSV with a header; or a JSON array [default: key.txt, if
    /// there is one] [env: KEYPOOL_KEYS, API_KEY_FILE]
    #[arg(long, value_name = "FILE")]
    keys: Vec<String>,

    /// Address to listen on; beyond loopback, --token is required [default: 127.0.0.1:5000] [env: KEYPOOL_LISTEN,
    /// LISTEN_HOST, LISTEN_PORT]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,

    /// Where requests go: http(s)://host[:port][/path] [default: the provider's address] [env: KEYPOOL_UPSTREAM,
    /// GEMINI_API_BASE_URL]
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,

    /// Certificates to trust in the place of Mozilla's, in PEM: for a proxy that breaks TLS open, or an upstream of
    /// one's own [env: KEYPOOL_CACERT]
    #[arg(long, value_name = "FILE")]
    cacert: Option<String>,

    /// Certificate to show to clients, in PEM, with those that vouch for it behind it: they connect over TLS, in HTTP/1.1
    /// or HTTP/2 [env: KEYPOOL_TLS_CERT_FILE; KEYPOOL_TLS_CERT holds the text]
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<String>,

    /// The certificate's private key, in PEM [env: KEYPOOL_TLS_KEY_FILE; KEYPOOL_TLS_KEY holds the text]
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,

    /// Token that clients send in the place of an API key; needed beyond loopback [default on loopback:
    /// PLACEHOLDER_GEMINI_TOKEN] [env: KEYPOOL_TOKEN, PLACEHOLDER_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,

    /// Token of the API under /-/admin and the page under /-/ui, which are off without one; --admin-token-file and the
    /// variables keep it out of the list of processes [env: KEYPOOL_ADMIN_TOKEN, KEYPOOL_ADMIN_TOKEN_FILE]
    #[arg(long, value_name = "TOKEN")]
    admin_token: Option<String>,

    /// The file that holds it
    #[arg(long, value_name = "FILE", conflicts_with = "admin_token")]
    admin_token_file: Option<String>,

    /// Address of their own for both [default: that of --listen] [env: KEYPOOL_ADMIN_LISTEN]
    #[arg(long, value_name = "HOST:PORT")]
    admin_listen: Option<String>,

    /// A name that clients may reach this gateway by, beside loopback and its addresses (repeatable)
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,

    /// Order among the ready keys of one priority [default: least-loaded]
    #[arg(long, value_name = "NAME", value_parser = strategies())]
    strategy: Option<Strategy>,

    /// Models to step down to, best first, when no key may serve the one asked for
    #[arg(long, value_name = "MODEL,…", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    fallback: Vec<String>,

    /// How long a request waits for a key before it gets a 503, in seconds or as 500ms, 41s, 5m [default: 5]
    #[arg(long, value_name = "SECONDS")]
    wait: Option<String>,

    #[command(flatten)]
    database: Place,

    #[command(flatten)]
    verbosity: Verbosity,

    /// How a line of the log is written: text, or json for programs [default: text] [env: KEYPOOL_LOG_FORMAT,
    /// LOG_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  GEMINI_API_KEY=… keypool serve
  keypool serve --keys keys.txt
  keypool serve --fallback gemini-2.5-flash,gemini-2.5-flash-lite -v
  KEYPOOL_TOKEN=… keypool serve --listen 0.0.0.0:5000 --host pool.example

  curl -H 'x-goog-api-key: PLACEHOLDER_GEMINI_TOKEN' \\
    http://localhost:5000/v1beta/models/gemini-2.5-flash:generateContent \\
    -d '{\"contents\":[{\"parts\":[{\"text\":\"Hello\"}]}]}'

Under /-/ it tells of itself: /-/metrics (Prometheus), /-/health, /-/ready.

Exit codes: 0 ended by Ctrl-C or SIGTERM, 1 the system failed, 2 command line, key file or configuration is wrong.";

impl Serve {
    /// Options are settings like others, and win.
    pub(super) fn inputs(self) -> Inputs {
        let Self {
            keys,
            listen,
            upstream,
            cacert,
            tls_cert,
            tls_key,
            token,
            admin_token,
            admin_token_file,
            admin_listen,
            hosts,
            strategy,
            fallback,
            wait,
            database,
            verbosity,
            log_format,
        } = self;
        let list = |items: Vec<String>| (!items.is_empty()).then(|| items.join(","));
        let level = match verbosity {
            Verbosity { verbose: true, .. } => Some(("-v", "debug")),
            Verbosity { quiet: true, .. } => Some(("-q", "error")),
            Verbosity { .. } => None,
        };
        let given = [
            ("--keys", "pool.key_files", list(keys)),
            ("--listen", "gateway.listen", listen),
            ("--upstream", "gateway.upstream", upstream),
            ("--cacert", "gateway.cacert", cacert),
            ("--tls-cert", "gateway.tls_cert_file", tls_cert),
            ("--tls-key", "gateway.tls_key_file", tls_key),
            ("--token", "gateway.token", token),
            ("--admin-token", "admin.token", admin_token),
            ("--admin-token-file", "admin.token_file", admin_token_file),
            ("--admin-listen", "admin.listen", admin_listen),
            ("--host", "gateway.hosts", list(hosts)),
            ("--strategy", "pool.strategy", strategy.map(|strategy| strategy.to_string())),
            ("--fallback", "pool.fallback", list(fallback)),
            ("--wait", "pool.wait", wait),
            ("--log-format", "log.format", log_format),
            (level.unwrap_or_default().0, "log.level", level.map(|(_, level)| level.to_owned())),
        ];
        let flags =
            given.into_iter().filter_map(|(flag, path, value)| Some(Setting::new(path, value?, Origin::flag(flag))));
        let flags = flags.chain(database.flags()).collect();
        Inputs::new(database.config().cloned(), flags)
    }
}

pub(in crate::cli) fn strategies() -> impl TypedValueParser<Value = Strategy> {
    PossibleValuesParser::new(Strategy::NAMES.map(|(name, _)| name)).try_map(|name| name.parse::<Strategy>())
}
