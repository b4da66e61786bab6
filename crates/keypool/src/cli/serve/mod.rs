//! `keypool serve`: the gateway.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

mod no_key;
mod opening;

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use anyhow::{Context, anyhow};
use clap::{
    Args,
    builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser},
};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};
use tower_keypool::{
    Base, Strategy,
    config::{Origin, Setting},
};

use self::opening::known_tenants;
pub(super) use self::{
    no_key::NoKey,
    opening::{join, pool},
};
use super::{Failure, beside::Pools};
use crate::{
    admin::{Admin, Fixed, Scene},
    client::{Client, Roots, Sockets, WaysOut},
    config::{Inputs, Loaded},
    database::{
        self, Keys, Place, Records, Site,
        processes::{self, Process},
        tenants,
    },
    gateway::{Door, Gateway, Setup, listen, live::Live, tenant::From as TenantsFrom, tls::Tls, token::Token},
    reload::{Apply, Reload},
    stack, standing,
    status::{Status, StoreHealth, Traffic},
    telemetry::{self, Banner, Verbosity},
};

/// Serve many keys as if they were one, to any Gemini client.
///
/// Clients keep their code: they get this gateway's address as base URL and its token as API key. Every path of the
/// Gemini API passes through, streams and uploads too. Keys come from key files, from the environment (GEMINI_API_KEY
/// and others), from keypool.toml, and from the database (keypool add-key); options win over the environment, and that
/// over the file.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Serve {
    /// Key file (repeatable): a key a line, options behind it (id= tier= priority= weight= owner= rpm= tpm= rpd=
    /// concurrent= interval= zone= label=), # comments; or CSV with a header; or a JSON array [default: key.txt, if
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

/// So long the last counts are waited for, whatever is left of the grace.
const LAST_WRITE: Duration = Duration::from_secs(5);

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut inputs = self.inputs();
        let mut loaded = inputs.load().map_err(|errors| super::config::wrong(&errors))?;
        let _written = telemetry::start(&loaded.config.log)
            .with_context(|| format!("log.directory {:?}", loaded.config.log.directory))
            .map_err(Failure::config)?;
        let site = Site::of(&loaded.store);

        super::runtime()?.block_on(async {
            let joined = join(&site, &loaded).await?;
            if site.path().is_none_or(Path::exists) {
                database::SecretKey::of(site.path()).map_err(Failure::config)?;
            }
            let store = joined.database();
            let kept_in = store.as_ref().map(ToString::to_string);
            let mut keys = Keys::new(&site, store.clone());
            match keys.begin().await {
                Ok(told) => loaded = inputs.hear_beside(told, loaded),
                Err(error) if store.is_none() => tracing::warn!("{error}; keys in it are not used"),
                // Its keys come with it.
                Err(error) if error.is_unreachable() => tracing::warn!("{error}; keys in it are not known yet"),
                Err(error) => return Err(Failure::config(error)),
            }
            if loaded.keys.is_empty() {
                return Err(Failure::config(NoKey::of(&loaded)));
            }
            let pool = pool(&loaded, joined).await?;
            let listener = TcpListener::bind(&*loaded.addresses)
                .await
                .with_context(|| {
                    format!("cannot listen on {} (choose another with --listen)", loaded.config.gateway.listen)
                })
                .map_err(Failure::run)?;
            let address = listener.local_addr().map_err(Failure::run)?;
            let apart = match &loaded.admin.addresses {
                None => None,
                Some(addresses) => {
                    let listener = TcpListener::bind(&**addresses).await;
                    let what = "cannot listen at the address of the admin API (choose another with --admin-listen)";
                    let listener = listener.context(what).map_err(Failure::run)?;
                    let address = listener.local_addr().map_err(Failure::run)?;
                    tracing::info!(
                        "the admin API is on http{}://{address}/-/admin",
                        if loaded.certified.is_some() { "s" } else { "" }
                    );
                    Some(listener)
                }
            };
            // The pool's: another begins at another moment, and what both say of a request would not fit together.
            let clock = pool.clock().clone();
            let base = pool.provider().base();
            if is_itself(base, address) {
                return Err(Failure::config(anyhow!("--upstream {base}: that is where this gateway listens itself")));
            }
            let traffic = Arc::new(Traffic::new(clock.clone()));
            let health = StoreHealth::default();
            let status = Status::new(&pool, &traffic, health.clone());
            let watching = tokio::spawn(database::watch(pool.clone(), health));
            let setup = {
                let trusting = {
                    let (base, traffic) = (base.clone(), Arc::clone(&traffic));
                    move |roots: &Roots, ways: &WaysOut| {
                        let sockets = Sockets::through(&base, roots, ways).counting(&traffic);
                        (Client::through(&base, roots, ways).counting(&traffic), sockets)
                    }
                };
                // Connections outlive a reload, unless others are trusted from then on, or other ways go out.
                let ways = loaded.exits.ways.clone();
                let held = Mutex::new((loaded.roots.clone(), trusting(&loaded.roots, &ways), ways));
                let pool = pool.clone();
                move |loaded: &Loaded| {
                    let settings = loaded.config.pool();
                    let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
                    let ways = &loaded.exits.ways;
                    if held.0 != loaded.roots || held.2 != *ways {
                        *held = (loaded.roots.clone(), trusting(&loaded.roots, ways), ways.clone());
                    }
                    let (client, sockets) = &held.1;
                    let stack = stack::stack_over(&pool, settings.fallback(), settings.retry(), client.clone());
                    let setup = Setup::new(stack, loaded.guard(), Token::new(&*loaded.token), loaded.dialects());
                    let sockets = stack::sockets_over(&pool, settings.retry(), sockets.clone());
                    let names = loaded.config.gateway.served_headers;
                    let (unknown, waiting, nearness) = (loaded.unknown(), loaded.waiting(), loaded.nearness());
                    pool.bound_waiting(waiting.most);
                    Setup { names, live: Some(Live::new(sockets, pool.clone())), unknown, waiting, nearness, ..setup }
                }
            };
            let process = Process::this(address.to_string());
            let mut beside = Pools::new(site.clone(), Arc::clone(&traffic), clock.clone(), process.clone());
            let gateway = Gateway::new(setup(&loaded), base.clone(), clock.clone());
            gateway.stand_beside(beside.stand(&loaded).await);
            let records = Records::from(store.clone());
            status.stand_beside(&beside.pools());
            let gateway = gateway.telling(status, traffic).keeping(records.clone(), pool.clone());
            let (reload, asks) = mpsc::channel(4);
            let admin = {
                let scene = Scene::new(loaded.clone(), pool.clone(), beside.pools());
                let fixed = Fixed {
                    database: store.clone(),
                    records: records.clone(),
                    reload,
                    process: process.clone(),
                    used: gateway.used().clone(),
                };
                Arc::new(Admin::new(scene, fixed, gateway.trails(), clock.clone()))
            };
            let used = gateway.used().clone();
            let gateway = Arc::new(gateway.administered(Arc::clone(&admin)));
            let present = tokio::spawn(processes::tell(records.clone(), process.clone(), pool.clone()));
            let counting = tokio::spawn(used.clone().keep(records.clone(), process.id.clone()));
            gateway.tenants().set(TenantsFrom::Configuration, loaded.tenants.clone());
            let known = known_tenants(&records, gateway.tenants()).await?;
            let following = tokio::spawn(tenants::follow(store, Arc::clone(gateway.tenants()), known));
            // Whoever reads that it serves may end it.
            let stopped = super::interrupted();
            telemetry::say(&Banner { address, upstream: base, loaded: &loaded, kept_in: kept_in.as_deref() });
            let changes = telemetry::report_changes(&pool, clock);
            let grace = loaded.config.gateway.grace.0;
            let drain = loaded.config.gateway.drain_delay.0;
            let bounds = loaded.bounds();
            let tls = Tls::new(loaded.certified.clone());
            let beside = Arc::new(tokio::sync::Mutex::new(beside));
            let apply: Apply = {
                let (gateway, tls, beside, setup) =
                    (Arc::clone(&gateway), tls.clone(), Arc::clone(&beside), Arc::new(setup));
                Arc::new(move |loaded: &Loaded| {
                    let (gateway, tls, beside) = (Arc::clone(&gateway), tls.clone(), Arc::clone(&beside));
                    let (admin, setup, loaded) = (Arc::clone(&admin), Arc::clone(&setup), loaded.clone());
                    Box::pin(async move {
                        gateway.tenants().set(TenantsFrom::Configuration, loaded.tenants.clone());
                        gateway.change(setup(&loaded));
                        tls.change(loaded.certified.clone());
                        let mut beside = beside.lock().await;
                        gateway.stand_beside(beside.stand(&loaded).await);
                        gateway.tell_of(&beside.pools());
                        admin.change(&loaded, beside.pools());
                    })
                })
            };
            let reload = Reload { inputs, loaded, keys, pool: pool.clone(), apply, asks }.follow();
            let ending = Arc::new(OnceLock::new());
            let interrupted = {
                let (gateway, ending, clock) = (Arc::clone(&gateway), Arc::clone(&ending), pool.clock().clone());
                async move {
                    stopped.await;
                    gateway.leave();
                    if !drain.is_zero() {
                        let seconds = drain.as_secs_f64();
                        tracing::info!("ending: not ready any more, requests are taken for another {seconds} s");
                        tokio::time::sleep(drain).await;
                    }
                    let _ = ending.set(clock.tick());
                    tracing::info!(
                        "ending: answers under way get {} s; Ctrl-C again ends at once",
                        grace.as_secs_f64()
                    );
                }
            };
            let (door, apart) = match apart {
                None => (Door::Both, None),
                Some(listener) => {
                    let (close, closed) = oneshot::channel::<()>();
                    let closed = async move { drop(closed.await) };
                    let listening = (listener, Door::Administrators);
                    let served = listen::serve(listening, tls.clone(), Arc::clone(&gateway), (grace, bounds), closed);
                    (Door::Clients, Some((close, tokio::spawn(served))))
                }
            };
            listen::serve((listener, door), tls, gateway, (grace, bounds), interrupted).await;
            if let Some((close, served)) = apart {
                drop(close);
                let _ = served.await;
            }
            reload.abort();
            for task in [present, counting] {
                task.abort();
            }
            // What answers left of their time, and never less than a store needs that is only busy.
            let spent = ending.get().map_or(grace, |began| pool.clock().tick().since(*began));
            let wait = grace.saturating_sub(spent).max(LAST_WRITE);
            used.close(&records, &process.id, standing::now_ms(), wait).await;
            processes::leave(&records, &process).await;
            let beside = beside.lock().await;
            tokio::join!(pool.shutdown(), beside.shutdown());
            changes.abort();
            watching.abort();
            following.abort();
            Ok(())
        })
    }

    /// Options are settings like others, and win.
    fn inputs(self) -> Inputs {
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

/// Whether requests would come back here, and every key be refused as a wrong token.
fn is_itself(base: &Base, address: SocketAddr) -> bool {
    let host = base.authority().host().trim_matches(['[', ']']);
    let here = match host.parse::<IpAddr>() {
        Ok(ip) => ip == address.ip() || (ip.is_loopback() && address.ip().is_unspecified()),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    };
    here && base.authority().port_u16() == Some(address.port())
}

pub(super) fn strategies() -> impl TypedValueParser<Value = Strategy> {
    PossibleValuesParser::new(Strategy::NAMES.map(|(name, _)| name)).try_map(|name| name.parse::<Strategy>())
}
