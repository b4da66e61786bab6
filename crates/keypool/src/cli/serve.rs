//! `keypool serve`

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use clap::Args;
use tokio_util::sync::CancellationToken;
use tower_keypool::Strategy;

use super::{absolute, block_on, opened::Source};
use crate::{
    app::{self, App, AppState},
    config::{GatewaySection, Inputs, Loaded},
    reload,
    server::{Certificate, Server},
    telemetry,
};

/// Run the gateway: a reverse proxy that sends each request with one of the pooled keys.
///
/// Gemini, OpenAI and Anthropic clients work unchanged: they use the gateway's address as base URL and its token as API
/// key. Keys come from key files, the environment (GEMINI_API_KEY and others), keypool.toml and the database (keypool
/// add-key).
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    #[command(flatten)]
    source: Source,
    /// The address to listen on; a token is required unless it is a loopback address [default: 127.0.0.1:5000] [env:
    /// KEYPOOL_LISTEN, LISTEN_HOST, LISTEN_PORT]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Serve over TLS with this certificate chain, in PEM [env: KEYPOOL_TLS_CERT_FILE]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<String>,
    /// The private key of the certificate, in PEM [env: KEYPOOL_TLS_KEY_FILE]
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<String>,
    /// The token that clients send instead of an API key [default on loopback: PLACEHOLDER_GEMINI_TOKEN] [env:
    /// KEYPOOL_TOKEN, PLACEHOLDER_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// The token of the admin API (/-/admin) and the dashboard (/-/ui), which are off without it [env:
    /// KEYPOOL_ADMIN_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    admin_token: Option<String>,
    /// The file with the admin token [env: KEYPOOL_ADMIN_TOKEN_FILE]
    #[arg(long, value_name = "FILE", conflicts_with = "admin_token")]
    admin_token_file: Option<String>,
    /// A separate address for the admin API and the dashboard [env: KEYPOOL_ADMIN_LISTEN]
    #[arg(long, value_name = "HOST:PORT")]
    admin_listen: Option<String>,
    /// A host name that clients may use for the gateway, besides loopback names and its addresses (repeatable)
    #[arg(long = "host", value_name = "NAME")]
    hosts: Vec<String>,
    /// The order in which ready keys of the same priority are used [default: least-loaded]
    #[arg(long, value_name = "NAME", value_parser = Strategy::ALL.map(Strategy::as_str))]
    strategy: Option<String>,
    /// Models, best first: a request for one of them that no key can serve uses those after it
    #[arg(long, value_name = "MODEL,…", value_delimiter = ',')]
    fallback: Vec<String>,
    /// The maximum time that a request waits for a key before it fails: seconds, or 500ms, 5s, 1m [default: 5s]
    #[arg(long, value_name = "TIME")]
    wait: Option<String>,
    /// The format of the log: text or json [default: text] [env: KEYPOOL_LOG_FORMAT, LOG_FORMAT]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
}

const EXAMPLES: &str = "\
Examples:
  keypool serve
  keypool serve --keys more-keys.txt
  GEMINI_API_KEY=… keypool serve
  KEYPOOL_TOKEN=… keypool serve --listen 0.0.0.0:5000 --host pool.example

  curl -H 'x-goog-api-key: PLACEHOLDER_GEMINI_TOKEN' \\
    http://localhost:5000/v1beta/models/gemini-2.5-flash:generateContent \\
    -d '{\"contents\":[{\"parts\":[{\"text\":\"Hello\"}]}]}'

Exit codes: 0 stopped by a signal, 1 a system error, such as a port in use, 2 the command line or the configuration is wrong.";

impl Serve {
    pub(super) fn run(self, mut inputs: Inputs) -> anyhow::Result<ExitCode> {
        self.set(&mut inputs);
        let loaded = inputs.load()?;
        let _log = telemetry::start(&loaded)?;
        block_on(None, serve(inputs, loaded))?;
        Ok(ExitCode::SUCCESS)
    }

    fn set(self, inputs: &mut Inputs) {
        let file = |path: Option<String>| path.map(|path| absolute(&path));
        self.source.set(inputs);
        inputs.option("--listen", "gateway.listen", self.listen);
        inputs.option("--tls-cert", "gateway.tls_cert_file", file(self.tls_cert));
        inputs.option("--tls-key", "gateway.tls_key_file", file(self.tls_key));
        inputs.option("--token", "gateway.token", self.token);
        inputs.option("--admin-token", "admin.token", self.admin_token);
        inputs.option("--admin-token-file", "admin.token_file", file(self.admin_token_file));
        inputs.option("--admin-listen", "admin.listen", self.admin_listen);
        inputs.option("--host", "gateway.hosts", self.hosts);
        inputs.option("--strategy", "pool.strategy", self.strategy);
        inputs.option("--fallback", "pool.fallback", self.fallback);
        inputs.option("--wait", "pool.wait", self.wait);
        inputs.option("--log-format", "log.format", self.log_format);
    }
}

async fn serve(inputs: Inputs, loaded: Loaded) -> anyhow::Result<()> {
    let gateway = loaded.config.gateway.clone();
    let certificate = match (&gateway.tls_cert_file, &gateway.tls_key_file) {
        (Some(certificate), Some(key)) => {
            Some(Certificate::read(loaded.folder().join(certificate), loaded.folder().join(key))?)
        }
        _ => None,
    };
    if loaded.config.pool.fallback.len() == 1 {
        tracing::warn!("pool.fallback has one model, so it is never used: list the requested models before it");
    }
    // Opened first, so that problems with keys are logged even if the port is in use.
    let (listen, admin_listen) = (loaded.listen, loaded.admin_listen);
    let files = reload::Files::read(&inputs, &loaded, certificate.as_ref());
    let app = App::open(inputs, loaded).await?;
    let server = bind(listen, "--listen", &gateway, certificate.clone()).await?;
    let stop = CancellationToken::new();
    let mut servers = tokio::task::JoinSet::new();
    let address = server.address()?;
    let mut admin_address = app.loaded.load().admin_token.is_some().then_some(address);
    servers.spawn(server.serve(app::gateway(&app), stop.clone(), gateway.grace.0));
    if let Some(listen) = admin_listen {
        let server = bind(listen, "--admin-listen", &gateway, certificate.clone()).await?;
        admin_address = admin_address.and(Some(server.address()?));
        servers.spawn(server.serve(app::admin_pages(&app), stop.clone(), gateway.grace.0));
    }
    let is_tls = certificate.is_some();
    let reloading = reload::watch(AppState::clone(&app), certificate, files);
    // Signals are caught first, because a script may stop the gateway as soon as the address is logged.
    let mut signals = EndSignals::catch()?;
    log_addresses(address, admin_address, is_tls);
    tokio::spawn(reloading);
    signals.next().await;
    tracing::info!("shutting down: requests in flight have {} to finish", gateway.grace);
    app.shutdown.cancel();
    let ended = async {
        tokio::time::sleep(gateway.drain_delay.0).await;
        stop.cancel();
        app.live.close();
        servers.join_all().await;
        let _ = tokio::time::timeout(gateway.grace.0, app.live.wait()).await;
    };
    tokio::select! {
        () = ended => {}
        () = signals.next() => tracing::warn!("stopped at once by a second signal"),
    }
    // Write the remaining counts to the store.
    let pools = futures_util::future::join_all(app.pools.iter().map(|provider| provider.pool.shutdown()));
    let all = async { tokio::join!(pools, app.tenants.shutdown()) };
    let _ = tokio::time::timeout(Duration::from_secs(2), all).await;
    Ok(())
}

/// Binds an address that an option names.
async fn bind(
    address: SocketAddr,
    option: &str,
    gateway: &GatewaySection,
    certificate: Option<Certificate>,
) -> anyhow::Result<Server> {
    let server = Server::bind(address, gateway, certificate).await;
    server.map_err(|error| anyhow::anyhow!("{error:#}: choose another address with {option}"))
}

fn log_addresses(address: SocketAddr, admin: Option<SocketAddr>, is_tls: bool) {
    let scheme = if is_tls { "https" } else { "http" };
    tracing::info!("listening at {scheme}://{address}");
    if let Some(admin) = admin {
        tracing::info!("dashboard at {scheme}://{admin}/-/ui");
    }
}

/// Ctrl-C and SIGTERM. Once this exists, they no longer end the process at once.
pub(super) struct EndSignals {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl EndSignals {
    #[cfg(unix)]
    pub(super) fn catch() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    #[cfg(not(unix))]
    pub(super) fn catch() -> std::io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next signal.
    pub(super) async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}
