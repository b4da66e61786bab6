//! `keypool serve`: the gateway.

use std::{
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, anyhow};
use clap::{
    Args,
    builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser},
};
use tokio::net::TcpListener;
use tower_keypool::{Base, Clock, Gemini, KeyPool, Strategy};

use super::Failure;
use crate::{
    client::{Client, Roots},
    gateway::{
        Gateway,
        guard::Guard,
        listen,
        token::{PLACEHOLDER, Token},
    },
    keyfile::KeyFile,
    stack,
    status::{Status, StoreHealth, Traffic},
    telemetry::{self, Banner, Verbosity},
};

/// Serve the keys of a file as if they were one, to any Gemini client.
///
/// Clients keep their code: they get this gateway's address as base URL and its token as API key. Every path of the
/// Gemini API passes through, streams and uploads too.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    /// Key file: a key a line, options behind it (id= tier= priority= weight= owner= rpm= tpm= rpd= concurrent=
    /// interval= zone= label=), # comments
    #[arg(long, value_name = "FILE", default_value = "key.txt", env = "KEYPOOL_KEYS")]
    keys: PathBuf,

    /// Address to listen on; beyond loopback, --token is required
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:5000", env = "KEYPOOL_LISTEN")]
    listen: String,

    /// Where requests go: http(s)://host[:port][/path]
    #[arg(
        long,
        value_name = "URL",
        default_value = "https://generativelanguage.googleapis.com",
        env = "KEYPOOL_UPSTREAM"
    )]
    upstream: String,

    /// Certificates to trust in the place of Mozilla's, in PEM: for a proxy that breaks TLS open, or an upstream of
    /// one's own
    #[arg(long, value_name = "FILE", env = "KEYPOOL_CACERT")]
    cacert: Option<PathBuf>,

    /// Token that clients send in the place of an API key; needed beyond loopback
    #[arg(long, value_name = "TOKEN", help = TOKEN_HELP, env = "KEYPOOL_TOKEN", hide_env_values = true)]
    token: Option<String>,

    /// A name that clients may reach this gateway by, beside loopback and its addresses (repeatable)
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,

    /// Order among the ready keys of one priority
    #[arg(long, value_name = "NAME", default_value_t = Strategy::LeastLoaded, value_parser = strategies())]
    strategy: Strategy,

    /// Models to step down to, best first, when no key may serve the one asked for
    #[arg(long, value_name = "MODEL,…", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    fallback: Vec<String>,

    /// Seconds that a request waits for a key before it gets a 503
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    wait: Duration,

    #[command(flatten)]
    verbosity: Verbosity,
}

const TOKEN_HELP: &str =
    "Token that clients send in the place of an API key [default on loopback: PLACEHOLDER_GEMINI_TOKEN]";

const EXAMPLES: &str = "\
Examples:
  keypool serve --keys keys.txt
  keypool serve --fallback gemini-2.5-flash,gemini-2.5-flash-lite -v
  KEYPOOL_TOKEN=… keypool serve --listen 0.0.0.0:5000 --host pool.example

  curl -H 'x-goog-api-key: PLACEHOLDER_GEMINI_TOKEN' \\
    http://localhost:5000/v1beta/models/gemini-2.5-flash:generateContent \\
    -d '{\"contents\":[{\"parts\":[{\"text\":\"Hello\"}]}]}'

Under /-/ it tells of itself: /-/metrics (Prometheus), /-/health, /-/ready.

Exit codes: 0 ended by Ctrl-C or SIGTERM, 1 the system failed, 2 command line, key file or configuration is wrong.";

/// Streams in flight get this long to end after Ctrl-C.
const GRACE: Duration = Duration::from_secs(10);

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        telemetry::start(self.verbosity);
        let gemini = Gemini::at(&self.upstream).map_err(|error| Failure::config(anyhow!("--upstream: {error}")))?;
        let addresses = addresses(&self.listen)?;
        let (token, own_token) = self.token(&addresses)?;
        let file = KeyFile::load(&self.keys, &[PLACEHOLDER, &token]).map_err(Failure::config)?;
        let pool = self.pool(&file, gemini)?;
        let guard = self.guard()?;
        let roots = self.roots()?;

        super::runtime()?.block_on(async {
            let listener = TcpListener::bind(&*addresses)
                .await
                .with_context(|| format!("cannot listen on {} (choose another with --listen)", self.listen))
                .map_err(Failure::run)?;
            let address = listener.local_addr().map_err(Failure::run)?;
            let clock = Clock::system();
            let base = pool.provider().base();
            if is_itself(base, address) {
                return Err(Failure::config(anyhow!("--upstream {base}: that is where this gateway listens itself")));
            }
            let traffic = Arc::new(Traffic::new(clock.clone()));
            let status = Status::new(&pool, &traffic, StoreHealth::default());
            let client = Client::trusting(base, roots).counting(&traffic);
            let stack = stack::stack_over(&pool, &self.fallback, client);
            let gateway = Gateway::new(stack, base.clone(), guard, Token::new(token), clock.clone());
            let gateway = gateway.telling(status, traffic);
            let provider = &**pool.provider();
            let banner = Banner { address, upstream: base, path: &self.keys, file: &file, provider, own_token };
            telemetry::say(&banner);
            drop(file);
            let changes = telemetry::report_changes(&pool, clock);
            let interrupted = async {
                super::interrupted().await;
                tracing::info!("ending: answers under way get {} s; Ctrl-C again ends at once", GRACE.as_secs());
            };
            listen::serve(listener, Arc::new(gateway), GRACE, interrupted).await;
            changes.abort();
            Ok(())
        })
    }

    /// The token, and whether somebody chose it.
    fn token(&self, addresses: &[SocketAddr]) -> Result<(String, bool), Failure> {
        let on_loopback = addresses.iter().all(|address| address.ip().to_canonical().is_loopback());
        match &self.token {
            Some(token) if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Err(Failure::config(anyhow!("--token: it must be visible ASCII characters, without spaces")))
            }
            Some(token) if !on_loopback && token == PLACEHOLDER => {
                Err(Failure::config(anyhow!("--token: everybody knows {PLACEHOLDER}; beyond loopback choose another")))
            }
            Some(token) => Ok((token.clone(), true)),
            None if on_loopback => Ok((PLACEHOLDER.to_owned(), false)),
            None => Err(Failure::config(anyhow!(
                "--listen {} can be reached from other machines: choose a token for the clients with --token (or \
                 KEYPOOL_TOKEN)",
                self.listen
            ))),
        }
    }

    fn pool(&self, file: &KeyFile, gemini: Gemini) -> Result<KeyPool, Failure> {
        KeyPool::builder(gemini)
            .keys(file.entries.iter().map(|entry| entry.key.clone()))
            .strategy(self.strategy)
            // For the keys that name a tier, until an answer says otherwise.
            .known_limits(true)
            .wait(self.wait)
            .build()
            .with_context(|| format!("the key file {}", self.keys.display()))
            .map_err(Failure::config)
    }

    fn roots(&self) -> Result<Roots, Failure> {
        let Some(path) = &self.cacert else { return Ok(Roots::mozilla()) };
        Roots::from_file(path).map_err(|error| Failure::config(anyhow!("--cacert {}: {error}", path.display())))
    }

    fn guard(&self) -> Result<Guard, Failure> {
        if self.hosts.iter().any(|name| name.is_empty() || name.contains(['/', ':', '@', ' '])) {
            return Err(Failure::config(anyhow!("--host: a name such as pool.example, without scheme and port")));
        }
        let listen = self.listen.rsplit_once(':').map_or("", |(host, _)| host);
        Ok(Guard::new(self.hosts.iter().cloned().chain([listen.to_owned()])))
    }
}

/// Whether requests would come back here, and every key be refused as a wrong token.
fn is_itself(base: &Base, address: SocketAddr) -> bool {
    let host = base.authority().host().trim_matches(['[', ']']);
    let here = match host.parse::<IpAddr>() {
        Ok(ip) => ip == address.ip() || (ip.is_loopback() && address.ip().is_unspecified()),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    };
    here && base.authority().port_u16() == Some(address.port())
}

/// The addresses that `HOST:PORT` stands for.
fn addresses(listen: &str) -> Result<Vec<SocketAddr>, Failure> {
    let addresses: Vec<SocketAddr> = listen
        .to_socket_addrs()
        .map_err(|error| Failure::config(anyhow!("--listen {listen}: not HOST:PORT of this machine ({error})")))?
        .collect();
    if addresses.is_empty() {
        return Err(Failure::config(anyhow!("--listen {listen}: the name has no address")));
    }
    Ok(addresses)
}

fn strategies() -> impl TypedValueParser<Value = Strategy> {
    PossibleValuesParser::new(Strategy::NAMES.map(|(name, _)| name)).try_map(|name| name.parse::<Strategy>())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "a number of seconds".to_owned())?;
    if (0.0..=3600.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err("0 to 3600 seconds".to_owned())
    }
}
