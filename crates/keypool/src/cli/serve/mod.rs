//! `keypool serve`: the gateway.

mod freed;
mod no_key;
mod opening;
mod options;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use anyhow::Context;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
};

use tower_keypool::{KeyPool, config::WhenMissing};

use self::opening::{known_keys, known_tenants};
pub(super) use self::{
    no_key::NoKey,
    opening::{join, pool},
    options::{Serve, strategies},
};
use super::{Failure, beside::Pools};
use crate::{
    admin::{Admin, Fixed, Scene},
    client::{Client, Roots, Sockets, WaysOut},
    config::Loaded,
    database::{
        self, Keys, Records, Site,
        processes::{self, Process},
        tenants, zones,
    },
    gateway::{Door, Gateway, Setup, listen, live::Live, tenant::From as TenantsFrom, tls::Tls, token::Token},
    reload::{Apply, Reload, Runs, Tell},
    stack, standing,
    status::{Status, StoreHealth, Traffic},
    telemetry::{self, Banner},
};

/// So long the last counts are waited for, whatever is left of the grace.
const LAST_WRITE: Duration = Duration::from_secs(5);

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut inputs = self.inputs();
        inputs.stay();
        let mut loaded = inputs.load_to_serve().map_err(|errors| super::config::wrong(&errors))?;
        let _written = telemetry::start(&loaded.config.log)
            .with_context(|| {
                let directory = loaded.config.log.directory.as_deref().unwrap_or(Path::new(""));
                format!("log.directory (LOG_DIRECTORY) {}", directory.display())
            })
            .map_err(Failure::config)?;
        let site = Site::of(&loaded.store);

        super::runtime_to_serve(loaded.config.gateway.threads)?.block_on(async {
            let joined = join(&site, &inputs, &loaded).await?;
            if site.path().is_none_or(Path::exists) {
                database::SecretKey::of(site.path()).map_err(Failure::config)?;
            }
            let store = joined.database();
            let kept_in = store.as_ref().map(ToString::to_string);
            if let Some(store) = &store
                && let Err(error) = database::part(store, &loaded.keys.keys).await
            {
                tracing::warn!("{error}; keys that left since the last run are counted still");
            }
            let mut keys = Keys::new(&site, store.clone());
            match known_keys(&mut keys, &loaded.store).await {
                Ok(told) => loaded = inputs.hear_beside(told, loaded),
                Err(error) if store.is_none() => tracing::warn!("{error}; keys in it are not used"),
                // Its keys come with it.
                Err(error) if error.is_passing() && loaded.store.on_missing == WhenMissing::Local => {
                    tracing::warn!("{error}; keys in it are not known yet");
                }
                Err(error) if error.is_passing() => return Err(Failure::run(error)),
                Err(error) => return Err(Failure::config(error)),
            }
            NoKey::check(&loaded, &site).await.map_err(Failure::config)?;
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
                    let client = client.clone().answering_within(loaded.config.gateway.answer_timeout.0);
                    let stack = stack::stack_over(&pool, loaded.fallback(), settings.retry(), client);
                    let setup = Setup::new(stack, loaded.guard(), Token::new(&*loaded.token), loaded.dialects());
                    let sockets = stack::sockets_over(&pool, settings.retry(), sockets.clone());
                    let names = loaded.config.gateway.served_headers;
                    let (unknown, waiting, nearness) = (loaded.unknown(), loaded.waiting(), loaded.nearness());
                    pool.bound_waiting(waiting.most);
                    let (live, aliases) = (Some(Live::new(sockets, pool.clone())), loaded.aliases());
                    Setup { names, live, unknown, waiting, nearness, aliases, ..setup }
                }
            };
            let process = Process::this(address.to_string());
            let mut beside = Pools::new(site.clone(), Arc::clone(&traffic), clock.clone(), process.clone());
            keys.in_both().are(loaded.sources(), &inputs.more);
            let process = process.with(keys.shut(), keys.in_both());
            let gateway = Gateway::new(setup(&loaded), base.clone(), clock.clone());
            let others = beside.stand(&loaded).await;
            if let Some(error) = beside.lacking() {
                return Err(Failure::run(error));
            }
            gateway.stand_beside(others);
            gateway.keep_beside(beside.belongings());
            let records = Records::from(store.clone());
            status.stand_beside(&beside.pools());
            hide_keys(&pool, &beside.pools(), &loaded);
            let gateway = gateway.telling(status, traffic).keeping(records.clone(), pool.clone());
            tell_zones(&records, &loaded).await;
            let (reload, asks) = mpsc::channel(4);
            let admin = {
                let scene = Scene::new(loaded.clone(), pool.clone(), beside.sides());
                let fixed = Fixed {
                    database: store.clone(),
                    looks: keys.looks(),
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
            let budgeting = tokio::spawn(gateway.keep_budgets());
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
                let (pool, records) = (pool.clone(), records.clone());
                Arc::new(move |loaded: &Loaded| {
                    let (gateway, tls, beside) = (Arc::clone(&gateway), tls.clone(), Arc::clone(&beside));
                    let (admin, setup, loaded) = (Arc::clone(&admin), Arc::clone(&setup), loaded.clone());
                    let (pool, records) = (pool.clone(), records.clone());
                    Box::pin(async move {
                        gateway.tenants().set(TenantsFrom::Configuration, loaded.tenants.clone());
                        gateway.change(setup(&loaded));
                        tls.change(loaded.certified.clone());
                        let mut beside = beside.lock().await;
                        gateway.stand_beside(beside.stand(&loaded).await);
                        gateway.keep_beside(beside.belongings());
                        gateway.tell_of(&beside.pools());
                        hide_keys(&pool, &beside.pools(), &loaded);
                        admin.change(&loaded, beside.sides());
                        tell_zones(&records, &loaded).await;
                    })
                })
            };
            let tell: Tell = Box::new(|news| tracing::info!("{news}"));
            let reload = Reload { inputs, loaded, keys, pool: pool.clone(), runs: Runs::Gateway, apply, tell, asks };
            let reload = reload.follow();
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
            tokio::spawn(freed::keep_for_large_bodies());
            listen::serve((listener, door), tls, Arc::clone(&gateway), (grace, bounds), interrupted).await;
            if let Some((close, served)) = apart {
                drop(close);
                let _ = served.await;
            }
            reload.abort();
            for task in [present, counting, budgeting] {
                task.abort();
                // What it writes last comes before what is written below.
                let _ = task.await;
            }
            // What answers left of their time, and never less than a store needs that is only busy.
            let spent = ending.get().map_or(grace, |began| pool.clock().tick().since(*began));
            let wait = grace.saturating_sub(spent).max(LAST_WRITE);
            tokio::join!(used.close(&records, &process.id, standing::now_ms(), wait), gateway.close_budgets(wait),);
            processes::leave(&records, &process).await;
            let beside = beside.lock().await;
            tokio::join!(pool.shutdown(), beside.shutdown());
            changes.abort();
            watching.abort();
            following.abort();
            Ok(())
        })
    }
}

/// No word of a model's name has so many letters.
const NO_WORD: usize = 12;

/// A caller of one pool may name a key of any, or the gateway's own token: none of them tells it.
fn hide_keys(own: &KeyPool, beside: &BTreeMap<String, KeyPool>, loaded: &Loaded) {
    let token = loaded.own_token.then_some(&*loaded.token);
    let admins = loaded.config.admin.token.as_ref().map(tower_keypool::config::SecretText::expose);
    // A shorter one may be a word of a model's name.
    let tokens: Vec<&str> = token.into_iter().chain(admins).filter(|token| token.len() >= NO_WORD).collect();
    for pool in beside.values().chain([own]) {
        pool.stand_beside(beside.values().chain([own]));
        pool.hide(tokens.iter().copied());
    }
}

/// Commands show days as this process counts them. A store that is away is told of elsewhere.
async fn tell_zones(records: &Records, loaded: &Loaded) {
    let _ = zones::tell(records, &loaded.keys.keys, standing::now_ms()).await;
}
